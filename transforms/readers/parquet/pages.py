"""The headers of a column's pages: what each unpacks to, known before anything is unpacked.

Arrow tells the size of a whole column only. A header is a structure of Thrift's compact protocol:
the first numbers are wanted, the rest is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

# Most headers have some dozens of bytes.
_WINDOW_BYTES = 512
# A header holds the least and the largest value of its page.
_MAX_HEADER_BYTES = 16 << 20
_MAX_DEPTH = 8
_SIZE_FIELD, _PACKED_FIELD = 2, 3
# Where the headers of data pages, of both versions, keep how many values there are.
_HEADERS_WITH_VALUES = (5, 8)
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE = (1, 2), 3, (4, 5, 6), 7
_BINARY, _LISTS, _MAP, _STRUCT = 8, (9, 10), 11, 12


class Page(NamedTuple):
    """size_bytes: unpacked; values: how many it holds, 0 for a dictionary."""

    size_bytes: int
    values: int


class PagesError(ValueError):
    """What should be the header of a page is none."""


def pages_of(stream: BinaryIO, column: Any) -> Iterator[Page]:
    """Yield the pages of a column in a row group, its dictionary first; raises PagesError.

    column: its metadata, as Arrow gives them.
    """
    place = column.data_page_offset
    if column.dictionary_page_offset:
        place = min(place, column.dictionary_page_offset)
    end = place + column.total_compressed_size
    while place < end:
        page, length = _read_header(stream, place)
        yield page
        place += length


def _read_header(stream: BinaryIO, place: int) -> tuple[Page, int]:
    """Return a page and its length with its header, as it is stored."""
    window = _WINDOW_BYTES
    while True:
        stream.seek(place)
        data = stream.read(window)
        try:
            return _Header(data).page()
        except IndexError:
            if len(data) < window or window >= _MAX_HEADER_BYTES:
                raise PagesError(f"no header of a page at byte {place:,}") from None
            window *= 32


class _Header:
    """Reads a header; raises IndexError where the data end before it does."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def page(self) -> tuple[Page, int]:
        found = self._fields(0)
        size_bytes, packed = found.get(_SIZE_FIELD, -1), found.get(_PACKED_FIELD, -1)
        if size_bytes < 0 or packed < 0:
            raise PagesError("the header of a page names no size")
        return Page(size_bytes, max(0, found.get(-1, 0))), self._place + packed

    def _fields(self, depth: int) -> dict[int, int]:
        """Return the numbers of a structure by field; at -1 those of values of a page within."""
        if depth > _MAX_DEPTH:
            raise PagesError("the header of a page is nested too deeply")
        found: dict[int, int] = {}
        field = 0
        while (head := self._byte()) != 0:
            delta, kind = head >> 4, head & 15
            field = field + delta if delta else self._zigzag()
            if kind in _INTEGERS:
                found[field] = self._zigzag()
            elif kind == _STRUCT:
                within = self._fields(depth + 1)
                if depth == 0 and field in _HEADERS_WITH_VALUES:
                    found[-1] = within.get(1, 0)
            else:
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _BOOLEANS:
            return
        if kind == _BYTE:
            self._move(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self._move(8)
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind == _STRUCT:
            self._fields(depth + 1)
        elif kind in _LISTS:
            self._skip_list(depth)
        elif kind == _MAP:
            self._skip_map(depth)
        else:
            raise PagesError(f"the header of a page has a field of the unknown type {kind}")

    def _skip_list(self, depth: int) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 15
        count = self._varint() if count == 15 else count
        for _ in range(count):
            # Booleans in a list take a byte each.
            self._skip(_BYTE if kind in _BOOLEANS else kind, depth + 1)

    def _skip_map(self, depth: int) -> None:
        if count := self._varint():
            kinds = self._byte()
            for _ in range(count):
                for kind in (kinds >> 4, kinds & 15):
                    self._skip(_BYTE if kind in _BOOLEANS else kind, depth + 1)

    def _byte(self) -> int:
        byte = self._data[self._place]
        self._place += 1
        return byte

    def _move(self, count: int) -> None:
        self._place += count
        if self._place > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise PagesError("a number in the header of a page does not end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
