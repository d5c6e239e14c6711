"""Files inside files: compressed ones, and members of archives, as streams of their bytes.

Nothing is unpacked to a path of its own, so a member's name cannot reach anywhere, and no more than
a block is in memory. What unpacks to thousands of times its size is no catalog and is refused.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from transforms.readers.contract import InputSplit, SplitDigest
from transforms.runtime.storage import open_file

ZIP, TAR = "zip", "tar"
# What compresses a file, and the endings that say so.
COMPRESSIONS = {
    "gzip": (".gz", ".gzip"),
    "bz2": (".bz2",),
    "xz": (".xz",),
    "zstd": (".zst", ".zstd"),
}
# Text of catalogs is packed to a fifth or a twentieth.
MAX_RATIO = 1_000
MAX_ZIP_RATIO = 200
_UNSUSPICIOUS_BYTES = 256 << 20
# A header may claim gigabytes of dictionary; `xz -9` takes 65 MB.
_XZ_MEMORY_BYTES = 256 << 20
_BLOCK_BYTES = 64 << 10
_READ_AHEAD_BYTES = 128 << 10
_SPOOL_BYTES = 1 << 20
_LOOK_BYTES = 16 << 20
MAX_MEMBERS = 10_000
_ENCRYPTED = 0x1


class UnpackError(OSError):
    """A container that is damaged, or that is not meant to be read; its message has the fix."""


class Member(NamedTuple):
    """A file in an archive. size_bytes: unpacked; copy: its number among those of its name."""

    name: str
    size_bytes: int
    copy: int = 1


def layer(archive: str, member: Member) -> str:
    """Return what `InputSplit.layers` calls a member of an archive.

    >>> layer("zip", Member("export/products.csv", 10))
    'zip:export/products.csv'
    """
    # No name has a zero in it.
    copy = f"\0{member.copy}" if member.copy > 1 else ""
    return f"{archive}:{member.name}{copy}"


@contextmanager
def open_stored(split: InputSplit, digest: SplitDigest | None = None) -> Iterator[BinaryIO]:
    """Yield the bytes of a file, out of all that it is packed in.

    digest: of what is stored, so that `sha256sum` gives the same; of a member as `unzip -p` gives
    it. None looks at nothing. A file that is not packed is yielded as it is, seekable and not
    digested.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(open_file(split.file))
        members = [place for place, each in enumerate(split.layers) if ":" in each]
        digested_from = members[-1] + 1 if members else 0
        for place, each in enumerate([*split.layers, ""]):
            if place == digested_from and split.layers and digest is not None:
                stream = digested(stream, digest)
            if each:
                stream = _unpacked(stream, each, stack)
        yield stream


@contextmanager
def open_seekable(split: InputSplit, digest: SplitDigest | None = None) -> Iterator[BinaryIO]:
    """Yield the bytes of a file such that they can be read in any order: those of a packed one are
    written to a temporary file without a name.
    """
    with open_stored(split, digest) as stream:
        if not split.layers:
            yield stream
            return
        with _spooled(stream) as spooled:
            yield spooled


def unpacked_share(split: InputSplit) -> float:
    """Return how many bytes a packed file has for each that is stored, by its beginning; 0 where
    that cannot be told, or its layers tell their sizes themselves.
    """
    if not split.layers or any(":" in each for each in split.layers):
        return 0.0
    size_bytes = 0
    try:
        with ExitStack() as stack:
            stored = _Counting(stack.enter_context(open_file(split.file)))
            stream = buffered(stored)
            for each in split.layers:
                stream = _unpacked(stream, each, stack)
            while size_bytes < _LOOK_BYTES and (data := stream.read(_SPOOL_BYTES)):
                size_bytes += len(data)
    except Exception:  # whatever an object store or a damaged file raises: reading tells it
        return 0.0
    return size_bytes / max(1, stored.size_bytes)


def digested(stream: BinaryIO, digest: SplitDigest) -> BinaryIO:
    """Return a stream that digests what is read of it."""
    return buffered(_Digesting(stream, digest))


def members_of(stream: BinaryIO, archive: str) -> list[Member]:
    """Return the files in a zip or tar archive, in its order.

    Raises UnpackError for one that is encrypted, packed as `zipfile` cannot unpack it, or a bomb.
    """
    if archive == TAR:
        return _tar_members(stream)
    with zipfile.ZipFile(stream) as opened:
        infos = [info for info in opened.infolist() if not info.is_dir()]
    _check_count(len(infos))
    for info in infos:
        if info.flag_bits & _ENCRYPTED:
            raise UnpackError(f"{info.filename} is encrypted; unpack it with its password: 7z x")
        if info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
            zipfile.ZIP_BZIP2,
            zipfile.ZIP_LZMA,
        ):
            raise UnpackError(
                f"{info.filename} is packed by method {info.compress_type}, which is not read; "
                "unpack it: 7z x"
            )
    packed, plain = sum(i.compress_size for i in infos), sum(i.file_size for i in infos)
    if plain > max(_UNSUSPICIOUS_BYTES, MAX_ZIP_RATIO * packed):
        raise UnpackError(
            f"it unpacks from {packed:,} to {plain:,} bytes, as no catalog does; unpack it yourself"
        )
    return _numbered((info.filename, info.file_size) for info in infos)


def _tar_members(stream: BinaryIO) -> list[Member]:
    with tarfile.open(fileobj=stream, mode="r|") as opened:
        found = []
        for info in opened:
            if info.isfile():
                found.append((info.name, info.size))
                _check_count(len(found))
    return _numbered(found)


def _numbered(found: Iterable[tuple[str, int]]) -> list[Member]:
    """Return members, those of one name counted: a file may be added to an archive again."""
    copies: Counter[str] = Counter()
    members = []
    for name, size_bytes in found:
        copies[name] += 1
        members.append(Member(name, size_bytes, copies[name]))
    return members


def _check_count(members: int) -> None:
    if members > MAX_MEMBERS:
        raise UnpackError(
            f"it holds more than {MAX_MEMBERS:,} files; unpack it and name those with records"
        )


def _unpacked(stream: BinaryIO, packing: str, stack: ExitStack) -> BinaryIO:
    name, _, rest = packing.partition(":")
    member, _, number = rest.partition("\0")
    copy = int(number or 1)
    if name == ZIP:
        # The list of members is at the end.
        seekable = stream if stream.seekable() else stack.enter_context(_spooled(stream))
        archive = stack.enter_context(zipfile.ZipFile(seekable))
        of_name = [info for info in archive.infolist() if info.filename == member]
        return buffered(_Reading(stack.enter_context(archive.open(of_name[copy - 1])).read))
    if name == TAR:
        return stack.enter_context(_tar_member(stream, member, copy))
    counted = _Counting(stream)
    return buffered(_Unpacking(_OPENERS[name](buffered(counted), stack), counted))


@contextmanager
def _tar_member(stream: BinaryIO, member: str, copy: int) -> Iterator[BinaryIO]:
    with tarfile.open(fileobj=stream, mode="r|") as opened:
        for info in opened:
            if info.name != member or not info.isfile():
                continue
            copy -= 1
            if not copy and (found := opened.extractfile(info)):
                yield buffered(_Reading(found.read))
                return
    raise UnpackError(f"it has no member {member!r} any more")


@contextmanager
def _spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a temporary file without a name that holds what is left of a stream."""
    with tempfile.TemporaryFile() as spooled:
        while data := stream.read(_SPOOL_BYTES):
            spooled.write(data)
        spooled.seek(0)
        yield cast(BinaryIO, spooled)


def _read_gzip(stream: BinaryIO, stack: ExitStack) -> Callable[[int], bytes]:
    return stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")).read1


def _read_bz2(stream: BinaryIO, _stack: ExitStack) -> Callable[[int], bytes]:
    return _Members(stream, bz2.BZ2Decompressor).read


def _read_xz(stream: BinaryIO, _stack: ExitStack) -> Callable[[int], bytes]:
    return _Members(stream, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)).read


def _read_zstd(stream: BinaryIO, stack: ExitStack) -> Callable[[int], bytes]:
    # Unlike zstandard's own reader, Arrow's tells when a frame is cut off.
    given = stack.enter_context(pa.PythonFile(stream, mode="r"))
    opened = stack.enter_context(pa.CompressedInputStream(given, "zstd"))
    return cast("Callable[[int], bytes]", opened.read)


_OPENERS = {"gzip": _read_gzip, "bz2": _read_bz2, "xz": _read_xz, "zstd": _read_zstd}


class _Members:
    """Compressed parts behind each other, as `cat a.xz b.xz` gives them, with zeros between."""

    def __init__(self, stream: BinaryIO, start: Callable[[], Any]) -> None:
        self._stream = stream
        self._start = start
        self._decompressor = start()
        self._waiting = b""

    def read(self, size_bytes: int) -> bytes:
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0")
                while not rest and (data := self._stream.read(_BLOCK_BYTES)):
                    rest = data.lstrip(b"\0")
                if not rest:
                    return b""
                self._decompressor, self._waiting = self._start(), rest
            elif not self._waiting and self._decompressor.needs_input:
                self._waiting = self._stream.read(_BLOCK_BYTES)
                if not self._waiting:
                    raise EOFError("the compressed data end in the middle")
            data, self._waiting = self._decompressor.decompress(self._waiting, size_bytes), b""
            if data:
                return cast(bytes, data)


def buffered(raw: io.RawIOBase) -> BinaryIO:
    """Return a stream with lines over one that only reads."""
    return cast(BinaryIO, io.BufferedReader(raw, _READ_AHEAD_BYTES))


class _Reading(io.RawIOBase):
    """A stream of what a function reads."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Counting(_Reading):
    """Passes bytes on and counts them."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream.read)
        self.size_bytes = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self.size_bytes += count
        return count


class _Digesting(_Reading):
    """Passes bytes on and digests them."""

    def __init__(self, stream: BinaryIO, digest: SplitDigest) -> None:
        super().__init__(stream.read)
        self._digest = digest

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self._digest.update(buffer[:count])
        return count


class _Unpacking(_Reading):
    """Passes unpacked bytes on, as long as there are not thousands of them for each packed one."""

    def __init__(self, read: Callable[[int], bytes], packed: _Counting) -> None:
        super().__init__(read)
        self._packed = packed
        self._size_bytes = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self._size_bytes += count
        if self._size_bytes > max(_UNSUSPICIOUS_BYTES, MAX_RATIO * self._packed.size_bytes):
            raise UnpackError(
                f"it unpacks to more than {MAX_RATIO:,} times its size, as no catalog does; "
                "unpack it yourself"
            )
        return count
