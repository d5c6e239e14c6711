"""An object store in memory as a Beam file system, `store://`: like the real ones it deletes
prefixes only with `/`.
"""

from __future__ import annotations

import io
from collections import Counter
from importlib.util import find_spec
from typing import Any, ClassVar

from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem

try:
    _HAS_GOOGLE = find_spec("google.cloud.storage") is not None
except ModuleNotFoundError:
    _HAS_GOOGLE = False


class _Upload(io.BytesIO):
    """Becomes visible as a whole, when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            MemoryStorage.files[self._path] = self.getvalue()
        super().close()


class StoreError(Exception):
    """What the clients of stores raise, with the code of HTTP."""

    def __init__(self, code: int) -> None:
        super().__init__("GET https://store.example/o?signature=s3cret failed")
        self.code = code


class MemoryStorage(FileSystem):  # type: ignore[misc]
    """Objects by name; there are no folders.

    requests: how many pages of listings, of PAGE objects each, questions for one object, and
    objects were answered. forbids_listing: answers a listing with an error. broken: paths that are
    answered with an error, and prefixes that listings of are.
    """

    PAGE = 1000
    files: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[Counter[str]] = Counter()
    forbids_listing: ClassVar[bool] = False
    broken: ClassVar[dict[str, Exception]] = {}

    @classmethod
    def scheme(cls) -> str:
        return "store"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        """There are no folders to make."""

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Any:
        if self.forbids_listing:
            raise StoreError(403)
        for beginning, error in self.broken.items():
            if dir_or_prefix.startswith(beginning):
                raise error
        found = sorted(name for name in self.files if name.startswith(dir_or_prefix))
        self.requests["list"] += not found
        for number, name in enumerate(found):
            self.requests["list"] += number % self.PAGE == 0
            yield FileMetadata(name, len(self.files[name]), self.last_updated(name))

    def create(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.UNCOMPRESSED
    ) -> io.BytesIO:
        return _Upload(path)

    def open(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.UNCOMPRESSED
    ) -> io.BytesIO:
        if path in self.broken:
            raise self.broken[path]
        if path not in self.files:
            raise FileNotFoundError(path)
        self.requests["open"] += 1
        return io.BytesIO(self.files[path])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.files[target] = self.files[source]

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path: str) -> bool:
        if path in self.broken:
            raise self.broken[path]
        return path in self.files

    def size(self, path: str) -> int:
        return len(self.files[path])

    def last_updated(self, path: str) -> float:
        return float(sum(self.files[path]))

    def checksum(self, path: str) -> str:
        return str(hash(self.files[path]))

    def metadata(self, path: str) -> FileMetadata:
        self.requests["metadata"] += 1
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            for name in [
                name
                for name in self.files
                if name == path or (path.endswith("/") and name.startswith(path))
            ]:
                del self.files[name]


class GoogleMemoryStorage(MemoryStorage):
    """The same as `gs://`, where the real one is not installed."""

    @classmethod
    def scheme(cls) -> str:
        return "gs-memory" if _HAS_GOOGLE else "gs"
