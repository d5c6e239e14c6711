"""Pictures that are kept beside the output, by their content.

bytes ↔ `sha256:` reference.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from transforms.normalise.pictures import BY_CONTENT, content_reference
from transforms.runtime import storage

_REFERENCE = re.compile(rf"{BY_CONTENT}[0-9a-f]{{64}}")


@dataclass(frozen=True)
class Contents:
    """The folder of kept pictures, empty for none; several processes may keep one at once."""

    folder: str

    def names(self, reference: str) -> bool:
        """Tell whether a reference is one by content, which is found here if anywhere."""
        return bool(self.folder) and _REFERENCE.fullmatch(reference) is not None

    def path(self, reference: str) -> str:
        """Return where the content of a reference is kept, relative to the folder."""
        digest = reference.removeprefix(BY_CONTENT)
        return f"{digest[:2]}/{digest}"

    def has(self, reference: str) -> bool:
        return storage.exists(self._whole_path(reference))

    def keep(self, data: bytes) -> str:
        """Store a picture; return the reference by its content."""
        reference = content_reference(data)
        path = self._whole_path(reference)
        if not storage.exists(path):
            # Each needs an unfinished file of its own.
            storage.write_whole(path, data, f"{path}.{uuid.uuid4().hex}.part")
        return reference

    def _whole_path(self, reference: str) -> str:
        return storage.join(self.folder, *self.path(reference).split("/"))
