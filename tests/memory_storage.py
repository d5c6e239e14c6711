"""An object store in memory as a Beam file system, `store://`: like the real ones it deletes
prefixes only with `/`.
"""

from __future__ import annotations

import io
from typing import Any, ClassVar

from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem


class _Upload(io.BytesIO):
    """Becomes visible as a whole, when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            MemoryStorage.files[self._path] = self.getvalue()
        super().close()


class MemoryStorage(FileSystem):  # type: ignore[misc]
    """Objects by name; there are no folders."""

    files: ClassVar[dict[str, bytes]] = {}

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
        for name, data in sorted(self.files.items()):
            if name.startswith(dir_or_prefix):
                yield FileMetadata(name, len(data))

    def create(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.UNCOMPRESSED
    ) -> io.BytesIO:
        return _Upload(path)

    def open(
        self, path: str, mime_type: str = "", compression_type: str = CompressionTypes.UNCOMPRESSED
    ) -> io.BytesIO:
        if path not in self.files:
            raise FileNotFoundError(path)
        return io.BytesIO(self.files[path])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.files[target] = self.files[source]

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path: str) -> bool:
        return path in self.files

    def size(self, path: str) -> int:
        return len(self.files[path])

    def last_updated(self, path: str) -> float:
        return 0.0

    def checksum(self, path: str) -> str:
        return str(hash(self.files[path]))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            for name in [
                name
                for name in self.files
                if name == path or (path.endswith("/") and name.startswith(path))
            ]:
                del self.files[name]
