r"""Regular expressions as Python reads them, written so that other engines read the same.

Python's own parser says what an expression means; it is written again from that, with what engines
read differently spelled out: which characters are letters, digits and spaces (`\w`, `\d`, `\s`),
where a word ends, and `$`, which here is the very end of the text.
"""

from __future__ import annotations

import re
import re._constants as codes
import re._parser as parser
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

# First and last code point of each run of characters.
Ranges = tuple[tuple[int, int], ...]

_DIRECTIONS = {1: "", -1: "<"}


def portable(pattern: str, end: str) -> str:
    r"""Return the expression as `regex` and RE2 read it alike.

    end: how the engine writes the end of the text. Raises what Python's parser raises.

    >>> portable(r"[a-c]+?$", r"\z")
    '[a-c]+?\\z'
    """
    parsed = parser.parse(pattern)
    return _Writer(end).sequence(parsed, parsed.state.flags)


class _Writer:
    """Writes nodes of Python's parser; flags are carried down to where they count."""

    def __init__(self, end: str) -> None:
        self._end = end

    def sequence(self, nodes: Any, flags: int) -> str:
        return "".join(self._node(code, argument, flags) for code, argument in nodes)

    def _node(self, code: Any, argument: Any, flags: int) -> str:
        name = str(code).lower()
        write: Callable[[Any, int], str] | None = getattr(self, f"_{name}", None)
        if write is not None:
            return write(argument, flags)
        if code in (codes.IN, codes.LITERAL, codes.NOT_LITERAL, codes.CATEGORY):
            return _with_case(_characters(code, argument, flags), flags)
        raise re.error(f"{name.replace('_', ' ')} is not supported")

    def _any(self, _: Any, flags: int) -> str:
        return "(?s:.)" if flags & re.DOTALL else r"[^\n]"

    def _at(self, place: Any, flags: int) -> str:
        lines = flags & re.MULTILINE
        word = _class(_category("word", flags))
        inside, outside = (rf"(?<={word})", rf"(?={word})"), (rf"(?<!{word})", rf"(?!{word})")
        return {
            codes.AT_BEGINNING: "(?m:^)" if lines else r"\A",
            codes.AT_BEGINNING_STRING: r"\A",
            codes.AT_END: "(?m:$)" if lines else self._end,
            codes.AT_END_STRING: self._end,
            codes.AT_BOUNDARY: f"(?:{inside[0]}{outside[1]}|{outside[0]}{inside[1]})",
            codes.AT_NON_BOUNDARY: f"(?:{inside[0]}{inside[1]}|{outside[0]}{outside[1]})",
        }[place]

    def _branch(self, argument: Any, flags: int) -> str:
        return f"(?:{'|'.join(self.sequence(each, flags) for each in argument[1])})"

    def _subpattern(self, argument: Any, flags: int) -> str:
        number, added, removed, inner = argument
        written = self.sequence(inner, (flags | added) & ~removed)
        return f"(?:{written})" if number is None else f"({written})"

    def _max_repeat(self, argument: Any, flags: int) -> str:
        return self._repeated(argument, flags, "")

    def _min_repeat(self, argument: Any, flags: int) -> str:
        return self._repeated(argument, flags, "?")

    def _possessive_repeat(self, argument: Any, flags: int) -> str:
        return self._repeated(argument, flags, "+")

    def _repeated(self, argument: Any, flags: int, mode: str) -> str:
        least, most, inner = argument
        written = self.sequence(inner, flags)
        if not (len(inner) == 1 and inner[0][0] in (codes.IN, codes.LITERAL, codes.ANY)):
            written = f"(?:{written})"
        unbounded = most == codes.MAXREPEAT
        short = {(0, True): "*", (1, True): "+"}.get((least, unbounded))
        if short is None and (least, most) == (0, 1):
            short = "?"
        count = short or f"{{{least},{'' if unbounded else most}}}"
        return written + count + mode

    def _atomic_group(self, inner: Any, flags: int) -> str:
        return f"(?>{self.sequence(inner, flags)})"

    def _assert(self, argument: Any, flags: int) -> str:
        return f"(?{_DIRECTIONS[argument[0]]}={self.sequence(argument[1], flags)})"

    def _assert_not(self, argument: Any, flags: int) -> str:
        return f"(?{_DIRECTIONS[argument[0]]}!{self.sequence(argument[1], flags)})"

    def _groupref(self, number: int, flags: int) -> str:
        return _with_case(rf"(?:\{number})", flags)

    def _groupref_exists(self, argument: Any, flags: int) -> str:
        number, yes, no = argument
        other = "" if no is None else "|" + self.sequence(no, flags)
        return f"(?({number}){self.sequence(yes, flags)}{other})"


def _with_case(written: str, flags: int) -> str:
    return f"(?i:{written})" if flags & re.IGNORECASE else written


def _characters(code: Any, argument: Any, flags: int) -> str:
    if code is codes.LITERAL:
        return _escaped(argument)
    if code is codes.NOT_LITERAL:
        return _class(((argument, argument),), negated=True)
    if code is codes.CATEGORY:
        return _class(_named(argument, flags))
    negated = bool(argument) and argument[0][0] is codes.NEGATE
    ranges: list[tuple[int, int]] = []
    for kind, value in argument[negated:]:
        if kind is codes.LITERAL:
            ranges.append((value, value))
        elif kind is codes.RANGE:
            ranges.append(value)
        else:
            ranges.extend(_named(value, flags))
    return _class(_merged(ranges), negated=negated)


def _named(category: Any, flags: int) -> Ranges:
    """Return the characters of a category by the parser's name: `CATEGORY_NOT_WORD`."""
    name = str(category).lower().removeprefix("category_")
    ranges = _category(name.removeprefix("not_"), flags)
    return _all_but(ranges) if name.startswith("not_") else ranges


def _category(name: str, flags: int) -> Ranges:
    return _members(name, 128 if flags & re.ASCII else sys.maxunicode + 1)


@lru_cache(maxsize=8)
def _members(name: str, limit: int) -> Ranges:
    is_member = {"word": _is_word, "digit": str.isdecimal, "space": str.isspace}[name]
    members = [code for code in range(limit) if is_member(chr(code))]
    if limit == 128 and name == "space":
        members = [ord(char) for char in "\t\n\v\f\r "]
    return _merged((code, code) for code in members)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _all_but(ranges: Sequence[tuple[int, int]]) -> Ranges:
    begins = [0, *(last + 1 for _, last in ranges)]
    ends = [*(first - 1 for first, _ in ranges), sys.maxunicode]
    return tuple((first, last) for first, last in zip(begins, ends, strict=True) if first <= last)


def _class(ranges: Ranges, *, negated: bool = False) -> str:
    if not ranges:  # no character at all, or any
        ranges, negated = ((0, sys.maxunicode),), not negated
    written = "".join(
        _escaped(first) + (f"-{_escaped(last)}" if last > first else "") for first, last in ranges
    )
    return f"[{'^' if negated else ''}{written}]"


def _escaped(code: int) -> str:
    char = chr(code)
    if code >= 128 or (char.isascii() and char.isalnum()):
        return char
    return f"\\x{code:02x}" if code < 33 or code == 127 else f"\\{char}"
