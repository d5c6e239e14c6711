"""Physical lines of a split: any file system, packed or not, byte ranges; never more than one
line, or one small block of them, in memory.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from typing import Any, BinaryIO, NamedTuple

from transforms.readers.containers import buffered, digested, open_stored
from transforms.readers.contract import InputSplit, ReadLimits, SplitDigest, UnreadableError

UTF8 = "utf-8"
_BOM = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 20
_READ_AHEAD_BYTES = 128 << 10
# So much is read at once. A line that begins in one block may end in the next.
BLOCK_BYTES = 64 << 10
LONGEST_READY_BYTES = 2 * BLOCK_BYTES
_MAX_READY = 256


class Line(NamedTuple):
    """number: 1-based, counted from the split's begin; data: with its line end; size_bytes: also
    when data is cut.
    """

    number: int
    data: bytes
    size_bytes: int


@contextmanager
def open_lines(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Lines]:
    """Yield the lines that begin in a split of a text file; raises UnreadableError."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open_stored(split, digest))
            read_as = split.read_as
            if read_as is not None and (read_as.encoding != UTF8 or read_as.carriage_returns):
                if not split.layers:
                    # The stored bytes are digested, so that `sha256sum` gives the same.
                    stream = digested(stream, digest)
                stream = buffered(_ToUtf8(stream, read_as.encoding, read_as.carriage_returns))
            lines = Lines(stream, split, limits.kept_bytes, digest)
        except Exception as error:  # an object store raises whatever its client raises
            raise UnreadableError(
                0, f"{split.path} cannot be opened: {_describe(error)}"
            ) from error
        yield lines


def _is_converted(split: InputSplit) -> bool:
    """Return whether lines are read from other bytes than those that are stored."""
    read_as = split.read_as
    return bool(split.layers) or (
        read_as is not None and (read_as.encoding != UTF8 or read_as.carriage_returns)
    )


class Lines:
    """Reads the lines of a split, keeping at most `max_raw_bytes` of each.

    They are read in blocks, of which all whole lines are there at once; one that is longer, by
    itself.
    """

    def __init__(
        self, stream: BinaryIO, split: InputSplit, max_raw_bytes: int, digest: SplitDigest
    ) -> None:
        self._stream = stream
        self._split = split
        self._max_raw_bytes = max_raw_bytes
        is_converted = _is_converted(split)
        self._digest = None if is_converted else digest
        self._end = None if is_converted else split.end
        # What fills a whole block loses its beginning where the file breaks off within it.
        self._read_some = getattr(stream, "read1", stream.read)
        self._has_blocks = hasattr(stream, "read1") and max_raw_bytes >= LONGEST_READY_BYTES
        self._offset = split.begin
        self._number = 0
        self._ready: list[bytes] = []
        self._taken = 0
        # The beginning of a line whose end is not there, and whether the next block has none.
        self._rest = b""
        self._is_long = False
        if split.begin:
            # Starting one byte early tells a line that begins at `begin` from one that reaches into
            # the split.
            stream.seek(split.begin - 1)
            self._offset += self._skip_line(None) - 1

    def take(self, size_bytes: int) -> bytes:
        """Return the next bytes whatever lines they are in, for a look; none at the end. Not for
        what is also read by lines.
        """
        try:
            data = self._stream.read(size_bytes)
        except Exception as error:  # as in `read`
            message = f"{self._split.path} breaks off: {_describe(error)}"
            raise UnreadableError(self._number, message) from error
        if self._digest is not None:
            self._digest.update(data)
        return data

    def __iter__(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield all lines, each as `Line` has it; raises UnreadableError as `read` does."""
        return chain.from_iterable(self._batches())

    def _batches(self) -> Iterator[Iterable[tuple[int, bytes, int]]]:
        while True:
            if lines := self.ready():
                first = self._number + 1
                self.skip(len(lines))
                yield zip(count(first), lines, map(len, lines), strict=False)
            elif (line := self.read()) is not None:
                yield (line,)
            else:
                return

    def read(self) -> Line | None:
        """Return the next line, or None at the end; raises UnreadableError when the file breaks
        off.
        """
        if self._taken < len(self._ready) or self._filled():
            data = self._ready[self._taken]
            self._taken += 1
            size_bytes = len(data)
        else:
            try:
                found = self._read()
            except UnreadableError:
                raise
            except Exception as error:  # gzip, zlib, and whatever an object store's client raises
                raise self._broken(error) from error
            if found is None:
                return None
            data, size_bytes = found
        self._number += 1
        # A named tuple's own constructor takes a fifth of the time that reading a line does.
        return tuple.__new__(Line, (self._number, data, size_bytes))

    def ready(self) -> Sequence[bytes]:
        """Return lines that follow and are there as a whole, the first of them that which `read`
        would return; none where it has to be asked for the next. Raises UnreadableError.
        """
        if self._taken == len(self._ready) and not self._filled():
            return ()
        return self._ready[self._taken : self._taken + _MAX_READY]

    def skip(self, lines: int) -> None:
        """Go on behind so many of the lines that `ready` returned."""
        self._taken += lines
        self._number += lines

    @property
    def number(self) -> int:
        """Number of the last line that was read."""
        return self._number

    def _filled(self) -> bool:
        """Read a block; return whether there are lines in it."""
        if not self._has_blocks or self._is_long:
            return False
        self._ready, self._taken = self._block(), 0
        self._is_long = not self._ready
        return not self._is_long

    def _block(self) -> list[bytes]:
        """Return the whole lines of the next block; none at the end, or where none ends in it."""
        if self._end is not None and self._offset >= self._end:
            return []
        try:
            data = self._rest + self._read_some(BLOCK_BYTES)
        except Exception as error:  # as in `read`
            raise self._broken(error) from error
        # The last line that begins in the split ends behind the last byte of it.
        last = -1 if self._end is None else self._end - 1 - self._offset
        whole = data.find(b"\n", last) + 1 if 0 <= last < len(data) else 0
        is_last = whole > 0
        whole = whole or data.rfind(b"\n") + 1
        self._rest = b"" if is_last else data[whole:]
        block = data[:whole]
        self._offset += whole
        if self._digest is not None:
            self._digest.update(block)
        lines = io.BytesIO(block).readlines()
        return [_without_marks(line) for line in lines] if _BOM in block else lines

    def _read(self) -> tuple[bytes, int] | None:
        """Return the next line that is not in a block, and how long it is."""
        if self._end is not None and self._offset >= self._end:
            return None
        data, self._rest, self._is_long = self._rest, b"", False
        data += self._stream.readline(self._max_raw_bytes - len(data))
        if not data:
            self._check_length()
            return None
        if self._digest is not None:
            self._digest.update(data)
        size_bytes = len(data)
        if size_bytes == self._max_raw_bytes and not data.endswith(b"\n"):
            size_bytes += self._skip_line(self._digest)
        starts_file = self._offset == 0
        self._offset += size_bytes
        without = _without_marks(data)
        if not without and starts_file:
            return None
        return without, size_bytes - len(data) + len(without)

    def _broken(self, error: Exception) -> UnreadableError:
        return UnreadableError(
            self._number,
            f"{self._split.path} breaks off after line {self._number}: {_describe(error)}",
        )

    def _skip_line(self, digest: SplitDigest | None) -> int:
        skipped_bytes = 0
        while data := self._stream.readline(_SKIP_BYTES):
            skipped_bytes += len(data)
            if digest is not None:
                digest.update(data)
            if data.endswith(b"\n"):
                break
        return skipped_bytes

    def _check_length(self) -> None:
        if self._end is not None:
            message = (
                f"{self._split.path} has become shorter: it reached to byte {self._end:,} at the "
                "start"
            )
            raise UnreadableError(self._number, f"{message}, now to {self._offset:,}")


def _without_marks(line: bytes) -> bytes:
    """Return a line without marks of byte order at its begin: files that were written behind each
    other (`cat a.csv b.csv`) have them within, too, and one that was exported once more has two.
    """
    while line.startswith(_BOM):
        line = line[len(_BOM) :]
    return line


class _ToUtf8(io.RawIOBase):
    """Text of any encoding as UTF-8; what is not of that encoding becomes bytes that are not UTF-8,
    so that its record is refused.
    """

    def __init__(self, stream: BinaryIO, encoding: str, carriage_returns: bool) -> None:
        self._stream = stream
        # The wide encodings know no other way to keep half of a pair.
        errors = "surrogatepass" if encoding.startswith("utf") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._carriage_returns = carriage_returns
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting and not self._ended:
            data = self._stream.read(_READ_AHEAD_BYTES)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{error.reason} at the end of the {error.encoding} text"
                ) from error
            if self._carriage_returns:
                text = text.replace("\r", "\n")
            self._waiting = text.encode("utf-8", "surrogatepass")
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
