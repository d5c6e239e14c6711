"""Workbooks whose parts are read as openpyxl does, and none of which fills the memory.

Shared strings lie in a temporary file instead of a list. Texts are cut where they are longer than a
record may be, so that their record is refused as too large; what no spreadsheet writes (a row of
megabytes, a cell right of column XFD, more rows than a sheet can have) breaks the sheet off.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from array import array
from collections.abc import Sequence
from typing import Any, BinaryIO, cast, overload

from openpyxl.cell.text import Text
from openpyxl.packaging.manifest import Manifest
from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from transforms.readers.containers import UnpackError, buffered
from transforms.readers.markup.shortening import LongTagError, Shortening

_BLOCK_BYTES = 64 << 10
# What ends an element that is read as one: of a sheet, and of the shared strings.
_ENDS = re.compile(rb"(?:/(?:\w+:)?(?:row|si)|<(?:\w+:)?row[^>]*/)>")
# Excel's last column is XFD, its last row 1,048,576.
_OUTSIDE = re.compile(rb"""<(?:\w+:)?(?:c|row)\s[^>]*?\br=["'](?:[A-Za-z]{4,}|[A-Za-z]*\d{8})""")
_MAX_ROWS = 1 << 20
_MAX_TOKEN_BYTES = 200
# A row has 16,384 cells, each of some elements, and the parser holds all of them.
_MAX_TAGS = 1 << 20
# A record of several cells that are too long is refused alone.
_LARGE_CELLS = 4
_ESCAPED = "x005F_"  # openpyxl leaves it out
_STRING_TAG = f"{{{SHEET_MAIN_NS}}}si"


def open_workbook(stream: BinaryIO, most_bytes: int) -> Any:
    """Return the workbook in a file, to be read sheet by sheet. most_bytes: of a text, or a row.

    Raises UnpackError for what no spreadsheet writes, and whatever openpyxl and zipfile raise.
    """
    reader = _Reader(stream, most_bytes)
    reader.read()
    return reader.wb


class _Reader(ExcelReader):
    package: Manifest

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        super().__init__(stream, read_only=True, data_only=True, keep_links=False)
        self.archive = _Archive(stream, most_bytes)

    def read_strings(self) -> None:
        """Read the shared strings into a file; called by `read`."""
        found = self.package.find(SHARED_STRINGS)
        if found is None:
            return
        strings = Strings()
        with self.archive.open(found.PartName[1:]) as source:
            for _, node in iterparse(source):
                if node.tag == _STRING_TAG:
                    strings.append(Text.from_tree(node).content.replace(_ESCAPED, ""))
                    _free(node)
        self.shared_strings = strings


def _free(node: Any) -> None:
    """Free an element, and those before it, where the parser knows which they are."""
    node.clear()
    if hasattr(node, "getparent"):
        parent = node.getparent()
        while parent is not None and node.getprevious() is not None:
            del parent[0]


class Strings(Sequence[str]):
    """Texts in a temporary file without a name; in memory is where each begins."""

    def __init__(self) -> None:
        # Closed when nothing refers to it any more: openpyxl has no place to do so.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._begins = array("q", [0])

    def append(self, text: str) -> None:
        """Add a text at the end."""
        data = text.encode("utf-8", "surrogatepass")
        self._file.seek(self._begins[-1])
        self._file.write(data)
        self._begins.append(self._begins[-1] + len(data))

    def __len__(self) -> int:
        return len(self._begins) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(f"there is no shared string {place}, of {len(self)}")
        begin = self._begins[place]
        self._file.seek(begin)
        return self._file.read(self._begins[place + 1] - begin).decode("utf-8", "surrogatepass")


class _Archive(zipfile.ZipFile):
    """A zip archive whose parts come shortened."""

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        super().__init__(stream)
        self._most_bytes = most_bytes

    def open(self, *arguments: Any, **named: Any) -> Any:
        """Return a part of the archive."""
        return buffered(_Part(cast(BinaryIO, super().open(*arguments, **named)), self._most_bytes))


class _Part(io.RawIOBase):
    """A part of a workbook, shortened and checked; raises UnpackError where it is read."""

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream = stream
        self._shorten = Shortening(most_bytes)
        self._most_bytes = _LARGE_CELLS * most_bytes
        self._waiting = memoryview(b"")
        self._is_wide: bool | None = None
        self._kept = b""
        self._rows = self._tags = self._size_bytes = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting and not self._ended:
            self._waiting = memoryview(self._next())
        count = min(len(buffer), len(self._waiting))
        buffer[:count] = self._waiting[:count]
        self._waiting = self._waiting[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _next(self) -> bytes:
        data = self._stream.read(_BLOCK_BYTES)
        self._ended = not data
        if self._is_wide is None:
            self._is_wide = b"\0" in data[:4] or data[:2] in (b"\xff\xfe", b"\xfe\xff")
        if self._is_wide:
            raise UnpackError("its parts are not in UTF-8, as those of a workbook are")
        try:
            data = self._shorten.shortened(data)
            data += self._shorten.rest() if self._ended else b""
        except LongTagError as error:
            raise UnpackError(f"it is no workbook: {error}") from error
        self._check(data)
        return data

    def _check(self, data: bytes) -> None:
        block = self._kept + data
        end = 0
        for match in _ENDS.finditer(block):
            end = match.end()
            self._rows += match[0].endswith((b"row>", b"/>"))
        self._size_bytes = len(block) - end if end else self._size_bytes + len(data)
        self._tags = block.count(b"<", end) if end else self._tags + data.count(b"<")
        self._kept = block[max(end, len(block) - _MAX_TOKEN_BYTES) :]
        if self._rows > _MAX_ROWS:
            raise UnpackError(f"it has more than {_MAX_ROWS:,} rows, as no sheet has")
        if self._tags > _MAX_TAGS or self._size_bytes > self._most_bytes:
            raise UnpackError("it has a row, or another part, that is larger than any sheet's is")
        if outside := _OUTSIDE.search(block):
            place = outside[0].rpartition(b"r=")[2].decode("ascii", "replace")
            raise UnpackError(f"it has a cell at {place}, where no sheet has one")
