"""XML whose texts, attributes and comments are cut where they are longer than any record may be.

bytes → bytes that mean the same to a parser, but for what lies beyond. Parsers hold a text or a tag
as a whole, however long it is. Only what no record may hold is left out, so whoever counts the
bytes that came knows that the record was too large.
"""

from __future__ import annotations

import re

_COMMENT, _CDATA = (b"<!--", b"-->"), (b"<![CDATA[", b"]]>")
_ENDS = dict((_COMMENT, _CDATA))
_BEGINS = re.compile(rb"<!--|<!\[CDATA\[")
_IN_TAG = re.compile(rb"[\"'>]")
# A tag with several attributes that are too long is kept to their beginnings.
_LONG_VALUES = 4
# A mark may be cut by the end of a block.
_MAX_MARK_BYTES = 8


class LongTagError(ValueError):
    """A tag, or what stands before the first one, is longer than any record may be."""


class Shortening:
    """Cuts what comes in blocks. most_bytes: of a text, an attribute, a comment.

    Not for encodings of two bytes a character.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting = b""
        # What ends the comment or CDATA that is open, and how long it is by now.
        self._end = b""
        self._length = 0
        # Since the last bracket: how long it is and how much of that is kept, whether it is still
        # the tag, and the open quote.
        self._run = self._kept = 0
        self._in_tag = False
        self._quote = b""

    def shortened(self, data: bytes) -> bytes:
        """Return the next bytes; raises LongTagError. A mark that is cut by their end waits."""
        data, self._waiting = self._waiting + data, b""
        parts = []
        while data:
            if self._end:
                within, end, rest = data.partition(self._end)
                if not end:
                    rest = data[-len(self._end) + 1 :]
                    parts.append(self._cut(data[: len(data) - len(rest)]))
                    self._waiting = rest
                    break
                parts += [self._cut(within), end]
                self._end, self._run, self._kept, self._in_tag = b"", 0, 0, False
                data = rest
            elif (begin := _BEGINS.search(data)) is not None:
                parts += [self._markup(data[: begin.start()]), begin[0]]
                self._end, self._length = _ENDS[begin[0]], 0
                data = data[begin.end() :]
            else:
                bracket = data.rfind(b"<", -_MAX_MARK_BYTES)
                if bracket >= 0:
                    data, self._waiting = data[:bracket], data[bracket:]
                parts.append(self._markup(data))
                break
        return b"".join(parts)

    def rest(self) -> bytes:
        """Return what waited for more, at the end."""
        return self._cut(self._waiting) if self._end else self._waiting

    def _cut(self, within: bytes) -> bytes:
        left = self._most_bytes - self._length
        self._length += len(within)
        return within[: max(0, left)]

    def _markup(self, data: bytes) -> bytes:
        """Return tags and texts; what goes on with what is too long already is left out."""
        if self._run > self._most_bytes:
            data = self._resumed(data)
        bracket = data.rfind(b"<")
        if bracket < 0:
            self._run += len(data)
            self._kept += len(data)
            self._follow(data)
            if self._in_tag and self._kept > _LONG_VALUES * self._most_bytes:
                raise LongTagError(f"a tag has more than {self._kept:,} bytes")
        else:
            self._run = self._kept = len(data) - bracket
            self._in_tag, self._quote = True, b""
            self._follow(data[bracket + 1 :])
        return data

    def _resumed(self, data: bytes) -> bytes:
        """Return the bytes from the end of what is too long on."""
        if self._in_tag and not self._quote:
            raise LongTagError(f"a tag has more than {self._most_bytes:,} bytes")
        place = data.find(self._quote if self._in_tag else b"<")
        if place < 0:
            return b""
        self._run = 0
        return data[place:]

    def _follow(self, data: bytes) -> None:
        """Note whether a tag, and a quote within it, are still open behind these bytes."""
        place = 0
        while self._in_tag:
            if self._quote:
                place = data.find(self._quote, place) + 1
                if not place:
                    return
                self._quote = b""
            elif (match := _IN_TAG.search(data, place)) is None:
                return
            else:
                place = match.end()
                self._in_tag = match[0] != b">"
                self._quote = match[0] if self._in_tag else b""
