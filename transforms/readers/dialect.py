"""How a delimited text file is written, and how that is spelled in the name of a record's format.

A record in quarantine is read again from its own bytes, header and format, so the format has to say
everything that parsing takes: `csv` alone is RFC 4180 with commas, `csv;delimiter=%3B` has
semicolons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from urllib.parse import quote, unquote

from schemas.elements import POINTS

# Format → what separates its cells unless a file says otherwise.
DELIMITERS = {"csv": ",", "tsv": "\t"}
DELIMITER_NAMES = {
    ",": "commas",
    "\t": "tabs",
    ";": "semicolons",
    "|": "vertical bars",
    ":": "colons",
    " ": "spaces",
    "^": "carets",
    "~": "tildes",
}
_ESCAPED_CHARS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "Z": "\x1a"}
# Characters that no text may hold (Unicode calls them noncharacters) stand for escaped ones while a
# row is taken apart.
_FIRST_STAND_IN = 0xFDD0
_NULL_STAND_IN = "\ufdef"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a row are separated and quoted.

    quote: empty where quotes are ordinary characters. escape: a character before others that takes
    away their meaning, or makes a line break of `n`; empty without one. spaces: whether those after
    a delimiter belong to no cell.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    spaces: bool = False

    def spelled(self, format_name: str) -> str:
        r"""Return the format's name with what differs from that format's own dialect.

        >>> Dialect(";").spelled("csv"), Dialect("\t").spelled("tsv")
        ('csv;delimiter=%3B', 'tsv')
        """
        usual = usual_dialect(format_name)
        parts = [format_name]
        for field in fields(self):
            value = getattr(self, field.name)
            if value != getattr(usual, field.name):
                text = ("yes" if value else "no") if isinstance(value, bool) else value
                parts.append(f"{field.name}={quote(text, safe='')}")
        return ";".join(parts)

    def __str__(self) -> str:
        parts = [DELIMITER_NAMES.get(self.delimiter, f"cells separated by {self.delimiter!r}")]
        if not self.quote:
            parts.append("quotes are ordinary characters")
        elif self.quote != '"':
            parts.append(f"quoted by {self.quote}")
        if self.escape:
            parts.append(f"escaped by {self.escape}")
        if self.spaces:
            parts.append("spaces after delimiters")
        return ", ".join(parts)


def usual_dialect(format_name: str) -> Dialect:
    """Return the dialect that a format has unless a file says otherwise."""
    return Dialect(DELIMITERS[format_name])


@lru_cache(maxsize=256)
def parse_spelled(spelled: str) -> tuple[str, Dialect]:
    """Return format and dialect of what `Dialect.spelled` gave; KeyError for other formats.

    >>> parse_spelled("csv;delimiter=%3B;quote=")
    ('csv', Dialect(delimiter=';', quote='', escape='', spaces=False))
    """
    format_name, *parts = spelled.split(";")
    given = dict(part.split("=", 1) for part in parts)
    usual = usual_dialect(format_name)
    return format_name, Dialect(
        unquote(given.get("delimiter", usual.delimiter)),
        unquote(given.get("quote", usual.quote)),
        unquote(given.get("escape", usual.escape)),
        given.get("spaces", "no") == "yes",
    )


def with_decimals(spelled: str, decimals: Sequence[tuple[str, str]]) -> str:
    """Return the spelled format with the decimal marks of columns, without which their numbers
    would mean something else when a record is read again.

    Columns with points stand apart, as they do not make another record of the same bytes.

    >>> with_decimals("csv", [("Price", ","), ("Size", ".")])
    'csv;decimals=Price%3A%2C;points=Size'
    """
    entries = [f"{quote(column, safe='')}:{mark}" for column, mark in decimals if mark != "."]
    points = [quote(column, safe="") for column, mark in decimals if mark == "."]
    if entries:
        spelled = f"{spelled};decimals={quote('&'.join(entries), safe='')}"
    return f"{spelled};{POINTS}={quote('&'.join(points), safe='')}" if points else spelled


@lru_cache(maxsize=256)
def decimals_of(spelled: str) -> Mapping[str, str]:
    """Return column → decimal mark of what `with_decimals` gave; empty for other formats.

    >>> dict(decimals_of("csv;decimals=Price%3A%2C;points=Size")), dict(decimals_of("jsonl"))
    ({'Price': ',', 'Size': '.'}, {})
    """
    parts = dict(part.split("=", 1) for part in spelled.split(";")[1:])
    entries = unquote(parts.get("decimals", ""))
    pairs = (entry.rpartition(":") for entry in entries.split("&") if entry)
    points = unquote(parts.get(POINTS, ""))
    return {unquote(column): mark for column, _, mark in pairs} | {
        unquote(column): "." for column in points.split("&") if column
    }


def base_format(spelled: str) -> str:
    """Return the format without its dialect.

    >>> base_format("csv;delimiter=%3B"), base_format("jsonl")
    ('csv', 'jsonl')
    """
    return spelled.partition(";")[0]


class Cells:
    r"""Prepares lines for Python's csv module where it cannot read a dialect itself, and mends the
    cells behind it.

    The module takes delimiters of one character, and knows no escape that makes another character
    (`\n`) or a missing value (`\N`). Both become stand-ins that are put back in the cells.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        delimiter, escape = dialect.delimiter, dialect.escape
        self.delimiter = delimiter if len(delimiter) == 1 else "\x1f"
        self._back: dict[int, str] = {ord(_NULL_STAND_IN): "N"} if escape else {}
        self._pairs: dict[str, str] = {}
        if escape:
            characters = ["n", "t", "r", "b", "Z", escape, dialect.quote or '"', delimiter, "\n"]
            for number, character in enumerate(dict.fromkeys(characters)):
                stand_in = chr(_FIRST_STAND_IN + number)
                self._pairs[character] = stand_in
                self._back[ord(stand_in)] = _ESCAPED_CHARS.get(character, character)
        self.is_plain = not escape and len(delimiter) == 1

    def continues(self, line: str) -> bool:
        """Return whether the line's end is escaped, so that the next line belongs to its row."""
        escape = self._dialect.escape
        if not escape:
            return False
        bare = line.rstrip("\r\n")
        return bare != line and (len(bare) - len(bare.rstrip(escape))) % 2 == 1

    def prepared(self, line: str) -> str:
        """Return the line as the csv module can read it."""
        if len(self._dialect.delimiter) > 1:
            line = line.replace(self._dialect.delimiter, self.delimiter)
        escape = self._dialect.escape
        if not escape or escape not in line:
            return line
        out: list[str] = []
        position = 0
        while (found := line.find(escape, position)) >= 0 and found + 1 < len(line):
            following = line[found + 1]
            if following == "\r" and line[found + 2 : found + 3] == "\n":
                found, following = found + 1, "\n"
                out.append(line[position : found - 1])
            else:
                out.append(line[position:found])
            if following == "N":
                out.append(_NULL_STAND_IN)
            else:
                # An escape before a character that needs none stands for that character.
                out.append(self._pairs.get(following, following))
            position = found + 2
        out.append(line[position:])
        return "".join(out)

    def mended(self, cells: list[str]) -> list[str]:
        r"""Return the cells with the characters that stand-ins stand for; a cell of `\N` alone is
        empty.
        """
        if not self._back:
            return cells
        return ["" if cell == _NULL_STAND_IN else cell.translate(self._back) for cell in cells]
