"""Files on local disks and on object stores, by path or URL: every access goes through here.

Files are stored as they are given. Beam would otherwise unpack what is named `*.gz`, and a size or
a digest would be that of other bytes than those that are stored.

Beam takes a second to import, so it is imported by the functions that need it, and paths of this
machine need none: what only reads an output on a disk never loads it. What a storage raises is
OSError, as Beam's BeamIOError is, and on object stores whatever their client raises.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
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


# What makes the options of object stores, until the first of them is opened.
_UNCONNECTED: list[Callable[[], Any]] = []


def connect(options: Callable[[], Any]) -> None:
    """Have object stores opened with Beam's PipelineOptions (regions, endpoints), before there is a
    pipeline; they are made when one is opened first.
    """
    _UNCONNECTED[:] = [options]


def require_file_system(path: str) -> None:
    """Raise ValueError where no installed file system reads paths of this scheme."""
    if not is_local(path):
        file_system(path)


def file_system(path: str) -> Any:
    """Return Beam's file system of a path."""
    return _file_systems().get_filesystem(path)


def join(folder: str, *parts: str) -> str:
    """Return the path of what lies in a folder, with the separator of its file system.

    >>> join("out", "snapshots", "20260131T120000Z-1f3c9a")
    'out/snapshots/20260131T120000Z-1f3c9a'
    """
    if is_local(folder):
        return os.path.join(folder, *parts)  # noqa: PTH118 as the path is spelled
    path: str = _file_systems().join(folder, *parts)
    return path


def name_of(path: str) -> str:
    """Return the last part of a path."""
    if is_local(path):
        return os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119 "a/b/.." is "a"
    name: str = _file_systems().split(path)[1]
    return name


def open_file(path: str) -> BinaryIO:
    """Open the stored bytes for reading; the stream is seekable."""
    if is_local(path):
        return Path(path).open("rb")
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
    if is_local(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("wb") as local:
            local.write(data)
        return
    from apache_beam.io.filesystem import CompressionTypes

    with _file_systems().create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(data)


def write_whole(path: str, data: Data, unfinished: str = "", *, durable: bool = True) -> None:
    """Write or replace a file so that readers see all of it or nothing, also after a power cut.

    unfinished: where the bytes lie until they are complete, in the same folder; `<path>.part` when
    empty. What a killed process leaves there is of no use. durable: without it a power cut may
    leave the file empty, which is many times as fast.
    """
    unfinished = unfinished or f"{path}.part"
    if is_local(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with Path(unfinished).open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    # The bytes must be on the platter before the name that promises them is.
                    os.fsync(file.fileno())
        except OSError:  # a full disk keeps no half of it
            with suppress(OSError):
                Path(unfinished).unlink(missing_ok=True)
            raise
        Path(unfinished).replace(path)
        if durable:
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
    if is_local(path):
        return os.path.exists(path)  # noqa: PTH110 "" is nothing, and no current folder
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
    if is_local(path):
        return Path(path).stat().st_size
    size: int = _file_systems().get_filesystem(path).size(path)
    return size


def find_file(path: str) -> FoundFile:
    """Describe the file of exactly this name, brackets and stars included."""
    if is_local(path):
        about = Path(path).stat()
        return FoundFile(path, about.st_size, about.st_mtime)
    return found_file(_file_systems().get_filesystem(path).metadata(path))


def find_files(pattern: str) -> list[FoundFile]:
    """List the files that a pattern of a user names (`*` within a folder, `**` below it as well).

    For patterns only: a folder's own name may hold brackets and stars, see listing.py.
    """
    if is_local(pattern):
        return list(_matching(pattern))
    return [found_file(each) for each in _file_systems().match([pattern])[0].metadata_list]


def _matching(pattern: str) -> Iterator[FoundFile]:
    """Yield the local files of a pattern as Beam finds objects; none for one that begins with a
    star.
    """
    if pattern.endswith("/"):
        pattern += "*"
    beginning = re.split(r"[\[*?]", pattern, maxsplit=1)[0]
    if beginning == pattern:
        if exists(pattern):
            yield find_file(pattern)
        return
    try:
        named = re.compile("".join(map(_as_expression, _GLOB.findall(pattern))), re.DOTALL)
    except re.error as error:
        raise OSError(f"{pattern}: {error}, in a part in brackets") from error
    for folder, _, names in os.walk(os.path.dirname(beginning)):  # noqa: PTH120 "" is nowhere
        for name in names:
            path = join(folder, name)
            if named.fullmatch(path):
                with suppress(OSError):  # one that is gone by now, or leads nowhere
                    yield find_file(path)


# The parts of a pattern. A bracket may stand first among those in brackets.
_GLOB = re.compile(r"\*\*|\[!?+\]?+[^\]]*\]|.", re.DOTALL)


def _as_expression(part: str) -> str:
    """Return the regular expression of a part of a pattern."""
    if part in _STARS:
        return _STARS[part]
    if len(part) == 1:
        return re.escape(part)
    inner = re.sub(r"[\\\[&~|]", r"\\\g<0>", part[1:-1])
    if inner.startswith("!"):
        return f"[^{inner[1:]}]"
    return f"[\\{inner}]" if inner.startswith("^") else f"[{inner}]"


_STARS = {"**": ".*", "*": r"[^/\\]*", "?": "."}


def has_folders(path: str) -> bool:
    """Tell whether the file system of a path has folders; object stores only have names."""
    if is_local(path):
        return True
    return bool(_file_systems().get_filesystem(path).has_dirs())


def copy_files(sources: Sequence[str], targets: Sequence[str]) -> None:
    """Copy files, each to the target of the same number; object stores copy without reading."""
    if all(map(is_local, (*sources, *targets))):
        for source, target in zip(sources, targets, strict=True):
            Path(target).unlink(missing_ok=True)  # never into a file that has other names too
            shutil.copy2(source, target)
        return
    _file_systems().copy(list(sources), list(targets))


def delete_files(paths: Sequence[str]) -> None:
    """Delete the files of exactly these names, brackets and stars included.

    On an object store a name that ends with a slash is a prefix, and goes with all it begins.
    """
    elsewhere = [path for path in paths if not is_local(path)]
    for path in paths:
        if is_local(path):  # Beam would take the name for a pattern, and a folder for a file
            Path(path).unlink()
    if elsewhere:
        _file_systems().delete([_as_pattern(path) for path in elsewhere])


def _as_pattern(path: str) -> str:
    """Return what Beam's file system of a path takes for its name when it deletes.

    Google's takes it for a pattern, but for prefixes; the others take names.
    """
    if not path.startswith("gs://") or path.endswith("/"):
        return path
    return re.sub(r"[[*?]", r"[\g<0>]", path)


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

    share_s3_clients()
    while _UNCONNECTED:
        FileSystems.set_options(_UNCONNECTED.pop()())
    return FileSystems


def found_file(metadata: Any) -> FoundFile:
    """Return what Beam knows of a file."""
    return FoundFile(metadata.path, metadata.size_in_bytes, metadata.last_updated_in_seconds)


@functools.cache
def share_s3_clients() -> None:
    """Let Beam's accesses to S3 share clients from now on; does nothing where boto3 is missing.

    Beam makes a client for every file that it opens, lists or asks for. Each reads again what
    boto3 knows of all services: a quarter of a second of processor time, more than most files take.
    """
    from apache_beam.io.aws.clients.s3 import boto3_client

    if boto3_client.boto3 is not None:
        session = functools.partial(_S3Session, boto3_client.boto3.session.Session)
        boto3_client.boto3 = SimpleNamespace(session=SimpleNamespace(Session=session))


_S3_LOCK = threading.Lock()
_S3_CLIENTS: dict[tuple[Any, ...], Any] = {}


class _S3Session:
    """A session as Beam uses it; several threads may use its clients at once."""

    def __init__(self, new_session: Any) -> None:
        self._new_session = new_session

    def client(self, **options: Any) -> Any:
        """Return the client for these options, and for what the environment says beside them."""
        said = sorted(each for each in os.environ.items() if each[0].startswith("AWS_"))
        # A forked process must not speak on its parent's connections.
        key = (os.getpid(), *said, *sorted(options.items()))
        with _S3_LOCK:
            if key not in _S3_CLIENTS:
                _S3_CLIENTS[key] = self._new_session().client(**options)
            return _S3_CLIENTS[key]
