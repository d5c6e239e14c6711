"""XML feeds: one element a record, found by its place. InputSplit → ParsedRecord | Reject.

Entities of documents, DTDs and the network are off. What was read is dropped at once, so that one
record is in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from html.entities import name2codepoint
from typing import Any

from lxml import etree

from schemas.sections.inputs import InputDescription
from transforms.readers.containers import digested, open_stored
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    EXCERPT_BYTES,
    Format,
    InputSplit,
    ReadAs,
    ReadLimits,
    SplitDigest,
    Unread,
    UnreadableError,
)
from transforms.readers.formats.jsonl import JSONL
from transforms.readers.formats.objects import Object, unread_objects
from transforms.readers.formats.xml_records import ALL, Place, Seen, choose_place, named_place
from transforms.readers.formats.xml_values import TEXT, as_value, name_of
from transforms.readers.markup.shortening import Shortening

# Enough to see which element is a record.
_SAMPLE_BYTES = 1 << 20
_CHUNK_BYTES = 64 << 10
MAX_DEPTH = 200
# The name of an element, where records are elements of several names.
_ELEMENT = "#element"
_SHOWN_AROUND = 20
_PREDEFINED = frozenset({"amp", "lt", "gt", "quot", "apos"})
# How documents begin whose characters have two bytes.
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_AMPERSAND = re.compile(rb"&(?:#\d+;|#x[0-9a-fA-F]+;|([a-zA-Z][\w.-]*);)?")
_CDATA_BEGIN, _CDATA_END = b"<![CDATA[", b"]]>"
# An entity's name, or the begin of a mark, may be cut by the end of a block.
_MAX_CUT_BYTES = 40


def _plan(whole: InputSplit, _split_bytes: int, description: InputDescription) -> list[InputSplit]:
    read_as = ReadAs(encoding=description.encoding or "utf-8")
    try:
        place = _find_records(replace(whole, read_as=read_as), description)
    except UnreadableError:
        # Reading the split reports it.
        return [whole]
    return [replace(whole, read_as=replace(read_as, place=place))]


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    place = split.read_as.place if split.read_as is not None else ()
    yield from unread_objects(split, limits, _records(split, place, limits, digest))


def _records(
    split: InputSplit, place: Place, limits: ReadLimits, digest: SplitDigest
) -> Iterator[Object]:
    """Yield the elements at a place; raises UnreadableError where the document is none, or breaks
    off.
    """
    walk = _Walk(place, limits.kept_bytes)
    for block in _events(split, digest, limits.kept_bytes):
        for event, element in block.events:
            if (found := walk.take(event, element)) is not None:
                yield found
        walk.wait(block.size_bytes)
    digest.leave_out_around(walk.around.encode())


@dataclass
class _Block:
    """events: (start or end, element) of the bytes that were read; size_bytes: how many."""

    events: Iterator[tuple[str, Any]]
    size_bytes: int


def _events(
    split: InputSplit, digest: SplitDigest, most_bytes: int = DEFAULT_LIMITS.kept_bytes
) -> Iterator[_Block]:
    parser = etree.XMLPullParser(
        ("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=True,
        encoding=_forced_encoding(split),
    )
    mend, shorten = _Mending(), Shortening(most_bytes)
    try:
        with open_stored(split, digest) as stored:
            stream = stored if split.layers else digested(stored, digest)
            while data := stream.read(_CHUNK_BYTES):
                mended = mend.mended(data)
                problem = _problem_of(
                    parser.feed, mended if mend.is_wide else shorten.shortened(mended)
                )
                # What was complete before the problem is read.
                yield _Block(parser.read_events(), len(data))
                if problem:
                    raise UnreadableError(problem[0], f"{split.path} {problem[1]}")
            rest = mend.rest()
            rest = rest if mend.is_wide else shorten.shortened(rest) + shorten.rest()
            problem = _problem_of(parser.feed, rest) or _problem_of(parser.close)
            yield _Block(parser.read_events(), 0)
            if problem:
                raise UnreadableError(problem[0], f"{split.path} {problem[1]}")
    except UnreadableError:
        raise
    except Exception as error:  # whatever an object store, or what packed the file, raises
        raise UnreadableError(
            0, f"{split.path} breaks off: {type(error).__name__}: {error}"
        ) from error


def _problem_of(step: Callable[..., Any], *data: bytes) -> tuple[int, str] | None:
    """Return the line and what is wrong there, None if nothing is."""
    try:
        step(*data)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        return line, f"is no XML from line {line} on: {error.msg}; export it again"
    return None


def _forced_encoding(split: InputSplit) -> str | None:
    """Return the encoding that somebody gave; documents say their own."""
    encoding = split.read_as.encoding if split.read_as is not None else "utf-8"
    # libxml2 knows UTF-16LE and UTF-32BE by no other name.
    return None if encoding == "utf-8" else re.sub(r"^(utf-\d\d)-", r"\1", encoding)


class _Mending:
    """Ampersands as XML wants them: `&nbsp;` as HTML has it becomes a number, a bare one `&amp;`.

    Not in CDATA, where they mean themselves, and not in encodings of two bytes.
    """

    def __init__(self) -> None:
        self._waiting = b""
        self._is_cdata = False
        self._is_wide: bool | None = None

    @property
    def is_wide(self) -> bool:
        """Whether characters have two bytes, as the beginning says."""
        return bool(self._is_wide)

    def mended(self, data: bytes) -> bytes:
        if self._is_wide is None:
            self._is_wide = data.startswith(_WIDE)
        if self._is_wide:
            return data
        data = self._waiting + data
        # What may go on in the next block waits for it.
        cut = max(data.rfind(b"&", -_MAX_CUT_BYTES), data.rfind(b"<", -len(_CDATA_BEGIN)))
        if self._is_cdata:
            cut = data.rfind(b"]", -len(_CDATA_END))
            while cut > 0 and data[cut - 1 : cut] == b"]":
                cut -= 1
        data, self._waiting = (data, b"") if cut < 0 else (data[:cut], data[cut:])
        return self._by_parts(data)

    def rest(self) -> bytes:
        data, self._waiting = self._waiting, b""
        return self._by_parts(data)

    def _by_parts(self, data: bytes) -> bytes:
        parts = []
        while data:
            mark = _CDATA_END if self._is_cdata else _CDATA_BEGIN
            part, found, data = data.partition(mark)
            parts.append(part if self._is_cdata else _AMPERSAND.sub(_as_number, part))
            parts.append(found)
            if found:
                self._is_cdata = not self._is_cdata
        return b"".join(parts)


def _as_number(match: re.Match[bytes]) -> bytes:
    name = (match[1] or b"").decode()
    if name in _PREDEFINED or match[0].startswith(b"&#"):
        return match[0]
    if name in name2codepoint:
        return b"&#%d;" % name2codepoint[name]
    # An entity that the document would declare is not looked up, so it stays as it is written.
    return b"&amp;" + match[0][1:]


class _Walk:
    """Goes through a document and turns the elements at a place into objects; what stands around
    them is kept to be told.

    Of a record that has more than `most_bytes` the elements are dropped one by one from there on,
    so that memory is bounded, and what is left is yielded with the size that it had.
    """

    def __init__(self, place: Place, most_bytes: int) -> None:
        self._place = place
        self._most_bytes = most_bytes
        self._path: list[str] = []
        self._around: Counter[str] = Counter()
        self.records = 0
        self.waiting_bytes = 0

    def wait(self, size_bytes: int) -> None:
        """Note that so many bytes were read since the last record ended; raises UnreadableError
        where that cannot be because of a record.
        """
        self.waiting_bytes += size_bytes
        if self.waiting_bytes > self._most_bytes and not self._path:
            raise UnreadableError(
                self.records,
                f"there is no element in more than {self._most_bytes:,} bytes; export it again",
            )

    @property
    def is_within(self) -> bool:
        """Whether a record has begun."""
        depth = len(self._place)
        return len(self._path) >= depth and self._leads(depth)

    def _leads(self, depth: int) -> bool:
        """Return whether the first names of the path are those of the place."""
        here, place = self._path[:depth], self._place[:depth]
        if place and place[-1] == ALL:
            return here[:-1] == list(place[:-1])
        return here == list(place)

    def take(self, event: str, element: Any) -> Object | None:
        if event == "start":
            self._path.append(name_of(element))
            if len(self._path) > MAX_DEPTH:
                raise UnreadableError(
                    self.records, f"elements lie within each other {MAX_DEPTH} times; export less"
                )
            return None
        depth, found = len(self._path), None
        is_record = depth == len(self._place) and self.is_within
        if is_record:
            value = as_value(element)
            cells = value if isinstance(value, dict) else {TEXT: value}
            if self._place[-1] == ALL:
                cells = {_ELEMENT: self._path[-1], **cells}
            self.records += 1
            is_large = self.waiting_bytes > self._most_bytes
            size_bytes = self.waiting_bytes if is_large else 0
            found = Object(element.sourceline or self.records, cells, size_bytes)
            self.waiting_bytes = 0
        elif not self.is_within:
            self._note(element)
        if is_record or depth <= len(self._place) or not self.is_within:
            self._drop(element)
        elif self.waiting_bytes > self._most_bytes:
            _free(element)
        self._path.pop()
        return found

    def _note(self, element: Any) -> None:
        """Note what an element that is in no record says."""
        name, depth = self._path[-1], len(self._path)
        if depth < len(self._place) and self._leads(depth):
            # It leads to records.
            for key, value in element.attrib.items():
                self._say(f"{name}@{etree.QName(key).localname} {value}")
            self._say(element.text or "")
            if len(element):
                self._say(element[-1].tail or "")
        elif self._leads(depth - 1):
            self._say(f"{name} {element.text or ''}")
            self.waiting_bytes = 0

    def _say(self, text: str) -> None:
        text = " ".join(text[:EXCERPT_BYTES].split())
        if text and (text in self._around or len(self._around) < _SHOWN_AROUND):
            self._around[text] += 1

    def _drop(self, element: Any) -> None:
        """Free an element, and what stands before it."""
        element.clear(keep_tail=True)
        parent = element.getparent()
        while parent is not None and element.getprevious() is not None:
            self._say(parent[0].tail or "")
            del parent[0]

    @property
    def around(self) -> str:
        """What stands around the records, in the order of the document."""
        return ", ".join(
            f"{text} ({count} times)" if count > 1 else text for text, count in self._around.items()
        )


def _free(element: Any) -> None:
    """Free an element within a record, and those before it."""
    element.clear()
    parent = element.getparent()
    while element.getprevious() is not None:
        del parent[0]


def _find_records(whole: InputSplit, description: InputDescription) -> Place:
    """Return the place of the records of a document.

    Raises FileRefusedError where that cannot be told, and UnreadableError.
    """
    seen = _places(whole)
    if not seen:
        raise UnreadableError(0, f"{whole.path} holds no element")
    if description.records is not None:
        return named_place(seen, description.records.removesuffix("[]"), _SAMPLE_BYTES)
    return choose_place(seen)


def _places(whole: InputSplit) -> dict[Place, Seen]:
    """Return the places of the elements at the beginning of a document, in order."""
    seen: dict[Place, Seen] = {}
    path: list[str] = []
    size_bytes = 0
    # What breaks off is read up to there, so it is looked at up to there.
    with suppress(UnreadableError):
        for block in _events(whole, SplitDigest()):
            size_bytes += block.size_bytes
            for event, element in block.events:
                if event == "end":
                    path.pop()
                    continue
                path.append(name_of(element))
                here = seen.setdefault(tuple(path), Seen())
                here.count += 1
                here.parts += len(element.attrib)
                here.names.update(map(str, element.attrib))
                if len(path) > 1:
                    parent = seen[tuple(path[:-1])]
                    parent.parts += 1
                    parent.children += 1
                    parent.names.add(path[-1])
            if size_bytes >= _SAMPLE_BYTES:
                break
    return seen


XML = Format((".xml", ".rss", ".atom"), _scan, JSONL.rebuild, _plan)
