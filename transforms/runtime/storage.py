"""Files on local disks and on object stores, by path or URL: every access goes through here.

Files are stored as they are given. Beam would otherwise unpack what is named `*.gz`, and a size or
a digest would be that of other bytes than those that are stored.

Beam is imported by the functions that need it, so that modules which only handle paths or local
files can be imported, and pickled, without it. What a storage raises is OSError or Beam's
BeamIOError, and on object stores whatever their client raises.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

Data: TypeAlias = bytes | memoryview


class FoundFile(NamedTuple):
    """A stored file. modified_secs: seconds since the epoch, 0 where the storage does not say."""

    path: str
    size_bytes: int
    modified_secs: float


def is_local(path: str) -> bool:
    """Tell a path on a disk of this machine from a URL.

    >>> is_local("out/tables"), is_local("gs://bucket/out")
    (True, False)
    """
    return "://" not in path


def connect(options: Any) -> None:
    """Give object stores Beam's PipelineOptions (regions, endpoints) before there is a pipeline."""
    _file_systems().set_options(options)


def require_file_system(path: str) -> None:
    """Raise ValueError where no installed file system reads paths of this scheme."""
    _file_systems().get_filesystem(path)


def join(folder: str, *parts: str) -> str:
    """Return the path of what lies in a folder, with the separator of its file system.

    >>> join("out", "snapshots", "20260131T120000Z-1f3c9a")
    'out/snapshots/20260131T120000Z-1f3c9a'
    """
    path: str = _file_systems().join(folder, *parts)
    return path


def name_of(path: str) -> str:
    """Return the last part of a path."""
    name: str = _file_systems().split(path)[1]
    return name


def open_file(path: str) -> BinaryIO:
    """Open the stored bytes for reading; the stream is seekable."""
    from apache_beam.io.filesystem import CompressionTypes

    opened = _file_systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return cast(BinaryIO, opened)


def read_bytes(path: str) -> bytes:
    """Return the bytes of a file."""
    with open_file(path) as file:
        return file.read()


def write_bytes(path: str, data: Data) -> None:
    """Write a file, and the folders above it where there are folders.

    A reader may see half of it on a disk, see `write_whole`; object stores show it as a whole.
    """
    from apache_beam.io.filesystem import CompressionTypes

    with _file_systems().create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(data)


def write_whole(path: str, data: Data, unfinished: str = "") -> None:
    """Write or replace a file so that readers see all of it or nothing, also after a power cut.

    unfinished: where the bytes lie until they are complete, in the same folder; `<path>.part` when
    empty. What a killed process leaves there is of no use.
    """
    unfinished = unfinished or f"{path}.part"
    if is_local(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(unfinished).open("wb") as file:
            file.write(data)
            file.flush()
            # The bytes must be on the platter before the name that promises them is.
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
        sync(Path(path).parent)
    elif _file_systems().get_filesystem(path).has_dirs():
        write_bytes(unfinished, data)
        _file_systems().rename([unfinished], [path])
    else:  # an object store, which shows an object as a whole
        write_bytes(path, data)


def sync(path: str | Path) -> None:
    """Wait until a local file or folder, as it is now, survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exists(path: str) -> bool:
    """Tell whether there is a file, or a folder where there are folders."""
    return bool(_file_systems().exists(path))


def is_missing(path: str) -> bool:
    """Tell whether it is certain that there is no such file.

    A storage that cannot be asked, for want of permission or a network, has not said so.
    """
    try:
        return not Path(path).exists() if is_local(path) else not exists(path)
    except Exception:  # each object store has its own exceptions
        return False


def size_bytes(path: str) -> int:
    """Return the size of a file."""
    size: int = _file_systems().get_filesystem(path).size(path)
    return size


def find_file(path: str) -> FoundFile:
    """Describe the file of exactly this name, brackets and stars included."""
    return _found(_file_systems().get_filesystem(path).metadata(path))


def find_files(pattern: str) -> list[FoundFile]:
    """List the files that a pattern names (`*` within a folder, `**` below it as well)."""
    return [_found(each) for each in _file_systems().match([pattern])[0].metadata_list]


def has_folders(path: str) -> bool:
    """Tell whether the file system of a path has folders; object stores only have names."""
    return bool(_file_systems().get_filesystem(path).has_dirs())


def folder_names(path: str) -> list[str]:
    """List the names of the folders in a folder, sorted; none where there is no such folder."""
    if is_local(path):
        folder = Path(path)
        return (
            sorted(each.name for each in folder.iterdir() if each.is_dir())
            if (folder.is_dir())
            else []
        )
    # An object store has no folders but the beginnings of names.
    beginning = path.rstrip("/") + "/"
    found = find_files(join(path, "**"))
    return sorted({each.path.removeprefix(beginning).split("/", 1)[0] for each in found})


def copy_files(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Copy files, each to the target of the same number; object stores copy without reading."""
    _file_systems().copy(list(sources), list(targets))


def delete_files(paths: Sequence[str]) -> None:
    """Delete files."""
    _file_systems().delete(list(paths))


def remove_folder(path: str) -> None:
    """Remove a folder or prefix with all it holds.

    Nothing is raised: cleaning up must not hide why a run ended.
    """
    if is_local(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(Exception):
        # Beam's object stores delete a prefix only when its name ends like a folder's.
        delete_files([path.rstrip("/") + "/"])


def _file_systems() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def _found(metadata: Any) -> FoundFile:
    return FoundFile(metadata.path, metadata.size_in_bytes, metadata.last_updated_in_seconds)
