"""JSON that is not one object a line: one array, objects over several lines or behind each other,
a list inside a document. Its records are found without reading more than one into memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from transforms.readers.contract import EXCERPT_BYTES, FileRefusedError, Records
from transforms.readers.formats.json_lists import (
    ITSELF,
    KEY,
    Found,
    check_objects,
    choose_list,
    has_record_key,
    list_of_document,
    lists_in,
)
from transforms.readers.formats.lines import Lines

# Enough to see what a document is made of, and where its list begins.
SAMPLE_BYTES = 1 << 20
_CHUNK_BYTES = 256 << 10
# RFC 7464 puts a record separator before each text.
_SEPARATOR = b"\x1e"
_BLANK = b" \t\r\n" + _SEPARATOR
_STRUCTURE = re.compile(rb'["{}\[\],]')
_IN_STRING = re.compile(rb'["\\]')
RECORD, BETWEEN = "record", "between"
_ONLY_KEYS = re.compile(rb'[\s\[{]*(?:"(?:[^"\\]|\\.)*"\s*:[\s\[{]*)*', re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_BRACKETS = _BLANK + _BOM + b"[]{},"
_SHOWN_BYTES = 40
# So many lines are looked at to see whether records have one each, although the first is broken.
_LOOKED_AT_LINES = 50
# Where a record that is one line of megabytes says what it is.
_FIRST_KEYS_BYTES = 2_000


class Element(NamedTuple):
    """One record of a document: line that it begins in, its bytes, how many it has in all."""

    number: int
    data: bytes
    size_bytes: int


def find_records(sample: bytes, *, is_whole: bool, named: str | None) -> Records | None:
    """Return where a document has its records; None for JSON lines.

    sample: its beginning. named: the path of the list that somebody gave.
    Raises FileRefusedError where the path leads nowhere, or several lists could be meant.
    """
    start = len(sample) - len(sample.lstrip(_BOM + _BLANK))
    text = sample[start:]
    if named is not None and named != ITSELF:
        return _at_path(text, start, named.removesuffix("[]").split("."))
    if text.startswith(b"["):
        return Records(start + 1, "one array")
    if not text.startswith(b"{"):
        return None
    if sample[:start].endswith(_SEPARATOR):
        return Records(start, "objects behind each other, with separators", is_list=False)
    return _of_objects(text, start, is_whole=is_whole, is_itself=named == ITSELF)


def _of_objects(text: bytes, start: int, *, is_whole: bool, is_itself: bool) -> Records | None:
    """Return where the records are of a document that begins with an object.

    is_itself: whether somebody said that objects with lists are records themselves.
    """
    first, _, rest = text.partition(b"\n")
    document = _object(first.strip().rstrip(b","))
    if document is not None and (rest.strip() or not is_whole):
        if not is_itself:
            check_objects(document)
        return None
    if _are_mostly_objects(rest):
        return None
    if document is None and is_whole:
        document = _object(text.strip())
    if document is not None:
        found = None if is_itself else list_of_document(document)
        one = Records(0, "one object", is_list=False) if rest.strip() else None
        return one if found is None else _at_path(text, start, found.path)
    # Not within the lists of a document of a single line, whose end is not at hand.
    if re.search(rb"\}\s*,?\s*\{", first) and _closes(first):
        return Records(0, "objects behind each other", is_list=False)
    if not re.fullmatch(rb"\{\s*(\".*)?", first.strip()) or first.rstrip().endswith(b"}"):
        return None
    found = None if is_itself else _main_list(text)
    if b"\n" not in text and (found is None or (not found.is_named and _has_record_key(text))):
        return None  # one large record a line
    if found is None:
        if not is_itself and (whole := _first_object(text)) is not None:
            check_objects(whole)
        return Records(0, "objects over several lines", is_list=False)
    return _at_path(text, start, found.path)


def _are_mostly_objects(text: bytes) -> bool:
    """Return whether most lines are objects by themselves: then a line that is none is damaged."""
    lines = [line for line in text.split(b"\n", _LOOKED_AT_LINES)[:-1] if line.strip()]
    objects = sum(_object(line.strip()) is not None for line in lines)
    return objects * 2 > len(lines)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _first_object(text: bytes) -> dict[str, Any] | None:
    """Return the first object of several behind each other, None where it does not end."""
    depth = 0
    for match in KEY.finditer(text):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(match[0], 0)
        if not depth:
            return _object(text[: match.end()])
    return None


def _has_record_key(text: bytes) -> bool:
    """Return whether a document, of which the beginning is at hand, names itself as a record."""
    depth = 0
    for match in KEY.finditer(text[:_FIRST_KEYS_BYTES]):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(match[0], 0)
        key = match["key"]
        if depth == 1 and key and has_record_key({key.decode("utf-8", "replace")}):
            return True
    return False


def _walk(text: bytes) -> Iterator[tuple[list[str], bytes, int]]:
    """Yield each opening bracket of a document with the keys that lead to it and its end.

    Ends where the outermost bracket closes. Keys inside lists are of no use and not told apart.
    """
    keys: list[str] = []
    key = ""
    for match in KEY.finditer(text):
        token = match[0]
        if match["key"] is not None:
            key = match["key"].decode("utf-8", "replace")
        elif token in (b"{", b"["):
            keys.append(key)
            yield keys[1:], token, match.end()
            key = ""
        elif token in (b"}", b"]"):
            if len(keys) <= 1:
                return
            keys.pop()


def _main_list(text: bytes) -> Found | None:
    """Return the list of records of a document whose end is not at hand; None where the first
    object ends, so that others follow it.

    Raises FileRefusedError.
    """
    return None if _closes(text) else choose_list(list(lists_in(text)))


def _closes(text: bytes) -> bool:
    depth = 0
    for match in KEY.finditer(text):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(match[0], 0)
        if not depth:
            return True
    return False


def _at_path(text: bytes, start: int, path: Sequence[str]) -> Records:
    for keys, token, end in _walk(text):
        if token == b"[" and keys == list(path):
            return Records(start + end, f"the list at {'.'.join(path)}", depth=len(keys))
    raise FileRefusedError(
        [
            f"there is no list at {'.'.join(path)!r} in the first {len(text):,} bytes; name the "
            "path of the list of records, with dots between the keys: records: data.products"
        ]
    )


class Around:
    """What stands around the list of a document, beside the keys that lead to it."""

    def __init__(self) -> None:
        self._before, self._behind = b"", b""

    def before(self, part: bytes) -> None:
        self._before += part[: max(0, EXCERPT_BYTES - len(self._before))]

    def behind(self, part: bytes) -> None:
        self._behind += part[: max(0, EXCERPT_BYTES - len(self._behind))]

    @property
    def excerpt(self) -> bytes:
        """Return how it begins; nothing where there are only brackets and those keys."""
        before = self._before.strip(_BLANK + _BOM)
        before = b"" if _ONLY_KEYS.fullmatch(before) else b" ".join(before.split())
        behind = b" ".join(self._behind.strip(_BRACKETS).split())
        return b" ... ".join(filter(None, (before[:_SHOWN_BYTES], behind))) if behind else before


def read_elements(
    lines: Lines, records: Records, max_raw_bytes: int, around: Around
) -> Iterator[Element]:
    """Yield the records of a document, in order; raises UnreadableError where the file breaks off.
    What is none of them goes to `around`.

    A record that is larger than `max_raw_bytes` is cut there. Values that are no objects are
    yielded too: they are refused by name.
    """
    number = 1
    left = records.begin
    while left and (skipped := lines.take(min(left, _CHUNK_BYTES))):
        number += skipped.count(b"\n")
        left -= len(skipped)
        around.before(skipped)
    current = _Current(number, max_raw_bytes)
    brackets = _Brackets(records)
    while data := lines.take(_CHUNK_BYTES):
        begin = 0
        for end, following, what in brackets.ends(data):
            if what != BETWEEN:
                current.take(data[begin:end])
                yield from current.ended()
            else:
                current.skip(data[begin:end])
                around.behind(data[begin:end])
            begin = following
        rest = data[begin:]
        if brackets.is_between:
            current.skip(rest)
            around.behind(rest)
        else:
            current.take(rest)
    yield from current.ended()


class _Brackets:
    """Finds where records end, whatever strings and brackets they hold, chunk by chunk.

    Behind the list of a document come the brackets that close the document. What stands behind
    those belongs to no record: it is taken for one, so that it is refused and seen, but for a
    further list, as a second page of an export is.
    """

    def __init__(self, records: Records) -> None:
        self._is_list = records.is_list
        self._around = records.depth
        self._depth = 0
        self._in_string = self._is_escaped = False
        # Within the document, behind its list.
        self.is_between = False
        self._is_behind = False

    def ends(self, data: bytes) -> Iterator[tuple[int, int, str]]:
        """Yield where a part ends, where the next may begin, and whether it is a RECORD or what
        stands BETWEEN the records and the end of their document.
        """
        for token, begin, end in self._structure(data):
            if self.is_between:
                self._around += 1 if token in b"{[" else -1 if token in b"]}" else 0
                if self._around == 0:
                    self.is_between, self._is_behind = False, True
                    yield end, end, BETWEEN
            elif token == b"[" and self._is_behind and self._depth == 0:
                self._is_behind = False
                yield end, end, BETWEEN
            elif token in b"{[":
                self._depth += 1
            elif token == b",":
                if self._depth == 0:
                    yield begin, end, RECORD
            elif self._depth == 0 and self._is_list and not self._is_behind:
                yield begin, end, RECORD
                self.is_between, self._is_behind = self._around > 0, self._around == 0
            else:
                self._depth = max(0, self._depth - 1)
                if self._depth == 0 and not self._is_list:
                    yield end, end, RECORD

    def _structure(self, data: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Yield the brackets and commas outside strings, with their places."""
        position = 1 if self._is_escaped else 0
        self._is_escaped = False
        while match := (_IN_STRING if self._in_string else _STRUCTURE).search(data, position):
            token, position = match[0], match.end()
            if token == b"\\":
                self._is_escaped = position >= len(data)
                position += 1
            elif token == b'"':
                self._in_string = not self._in_string
            else:
                yield token, match.start(), position


class _Current:
    """The record that is being read."""

    def __init__(self, number: int, max_raw_bytes: int) -> None:
        self._number = self._begin = number
        self._max_raw_bytes = max_raw_bytes
        self._kept = bytearray()
        self._size_bytes = 0

    def take(self, part: bytes) -> None:
        """Add bytes; what is blank before a record belongs to none."""
        if not self._kept:
            bare = part.lstrip(_BLANK + _BOM)
            self._number += part[: len(part) - len(bare)].count(b"\n")
            self._begin = self._number
            part = bare
        self._number += part.count(b"\n")
        self._size_bytes += len(part)
        self._kept += part[: max(0, self._max_raw_bytes - len(self._kept))]

    def skip(self, part: bytes) -> None:
        """Count the lines of what belongs to no record."""
        self._number += part.count(b"\n")

    def ended(self) -> Iterator[Element]:
        """Yield the record, if there is one, and begin the next."""
        data = bytes(self._kept).rstrip(_BLANK)
        if data:
            cut = self._size_bytes - len(self._kept)
            yield Element(self._begin, data, len(data) + cut)
        self._kept.clear()
        self._size_bytes = 0
