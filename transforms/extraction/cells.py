"""How the cells of a raw column are taken apart: lists, category paths, `key=value` pairs, JSON and
Arrow values.

(cell, ColumnFormat) → entries, paths, or the cell under a key. Nothing here raises, whatever the
cell holds.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from schemas.attributes import PATH_SEPARATOR
from schemas.template import ColumnFormat
from transforms.extraction.plain_text import decode_entities, to_single_line
from transforms.extraction.structures.parse import parse_structure
from transforms.extraction.structures.paths import pair_of

MAX_DIGITS = 400
# Of one word before an equals sign, and of the space on each side of it.
_MAX_KEY_CHARS, _MAX_SPACE_CHARS = 200, 40
# How elements of XML are read that have attributes beside their text.
_XML_TEXT = "#text"
_NEUTRAL_ATTRIBUTES = frozenset(
    ("@type", "@xsi:type", "@xml:space", "@format", "@mode", "@encoding")
)
# How a list of texts, objects or lists begins that a program has printed, and one of nothing.
_LIST_OF_TEXTS = re.compile(r"""\s*\[\s*(?:[bu]?["'\[{]|\])""")


def is_null(cell: Any, null_values: frozenset[str] = frozenset([""])) -> bool:
    """Return whether the cell holds nothing: None, NaN, a text that counts as null, or a container
    of only such.

    null_values: case-folded texts; white space around the cell's text does not count.

    >>> is_null([" ", None, {}]), is_null("N/A", frozenset(["", "n/a"])), is_null(0)
    (True, True, False)
    """
    if cell is None or isinstance(cell, str):
        return cell is None or cell.strip().casefold() in null_values
    waiting = [cell]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            if part.strip().casefold() not in null_values:
                return False
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, list | tuple):
            waiting.extend(part)
        elif part is not None and not _is_not_a_number(part):
            return False
    return True


def _is_not_a_number(cell: Any) -> bool:
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return isinstance(cell, float | datetime) and bool(cell != cell)  # NaT of pandas is a datetime


def as_text(cell: Any) -> str | None:
    """One scalar as text, uncleaned; None for what no text stands for (booleans, lists, objects,
    bytes, infinities).

    >>> as_text(32.0), as_text(0.5), as_text(True)
    ('32', '0.5', None)
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, dict) and _XML_TEXT in cell:
        return _text_of_element(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return None
    try:
        if not math.isfinite(cell):
            return None
        if cell == int(cell):
            return str(int(cell))
        # Written out, 1e-999999999 would take a gigabyte.
        written_out = (
            isinstance(cell, Decimal) and len(cell.as_tuple().digits) - cell.adjusted() < MAX_DIGITS
        )
        return f"{cell:f}" if written_out else str(cell)
    except (ValueError, OverflowError):  # integers of more digits than Python writes
        return None


def _text_of_element(cell: Mapping[str, Any]) -> str | None:
    """Return the text of an XML element whose attributes say how it is written, not what it is."""
    text = cell[_XML_TEXT]
    is_alone = all(key == _XML_TEXT or key in _NEUTRAL_ATTRIBUTES for key in cell)
    return text if isinstance(text, str) and is_alone else None


def given_text(cell: Any) -> str:
    """Return the cell as the source wrote it: text as it is, everything else as compact JSON with
    all digits.
    """
    if isinstance(cell, str):
        return cell
    with suppress(TypeError, ValueError):  # integers beyond 64 bits, deep nesting
        return orjson.dumps(cell, default=_exact, option=orjson.OPT_NON_STR_KEYS).decode()
    with suppress(TypeError, ValueError, RecursionError):
        return orjson.dumps(
            _with_big_integers(cell), default=_exact, option=orjson.OPT_NON_STR_KEYS
        ).decode()
    try:
        return json.dumps(
            cell, default=_plain, ensure_ascii=False, separators=(",", ":"), skipkeys=True
        )
    except (TypeError, ValueError, RecursionError):
        return f"<{type(cell).__name__} that cannot be written as JSON>"


def _with_big_integers(cell: Any) -> Any:
    """Return the cell with every integer as its digits: orjson writes none beyond 64 bits."""
    if isinstance(cell, Mapping):
        return {key: _with_big_integers(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_with_big_integers(entry) for entry in cell]
    return (
        orjson.Fragment(str(cell)) if isinstance(cell, int) and not isinstance(cell, bool) else cell
    )


def _exact(value: Any) -> Any:
    is_number = isinstance(value, Decimal) and value.is_finite()
    return orjson.Fragment(str(value)) if is_number else _plain(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        # Escape sequences would say nothing; the record itself keeps the bytes.
        return f"<{len(value):,} bytes of binary data>"


def as_mapping(cell: Any, column: ColumnFormat) -> dict[str, Any] | None:
    """Keys and values of an object, an Arrow map, a list of pairs, a text that holds one of these,
    or a cell of pairs; else None.

    A text without a single pair is not a cell of pairs.
    """
    opened = open_cell(cell, column)
    if isinstance(opened, Mapping):
        return {str(key): value for key, value in opened.items()}
    if not isinstance(opened, list | tuple):
        return None
    pairs = [pair for entry in opened if (pair := pair_of(entry)) is not None]
    is_mapping = bool(opened) and len(pairs) == len(opened)
    return {str(key): value for key, value in pairs} if is_mapping else None


def open_cell(cell: Any, column: ColumnFormat) -> Any:
    """Return what has keys or entries in a cell: objects and lists as they are, the structure that
    a text is, or the mapping of a cell of pairs; None for anything else.

    A key that stands several times has a list of its values.
    """
    if not isinstance(cell, str):
        return cell if isinstance(cell, Mapping | list | tuple) else None
    structure = parse_structure(cell)
    if structure is not None or column.format != "pairs":
        return structure
    found: dict[str, dict[str, None]] = {}
    for key, value in _pairs(cell, column):
        found.setdefault(key, {})[value] = None
    if not found:
        return None if cell.strip() else {}
    return {
        key: list(given) if len(given) > 1 else next(iter(given)) for key, given in found.items()
    }


def split_list(cell: Any, column: ColumnFormat, *, keyed: bool = False) -> list[Any]:
    """Return the entries of a cell: those of native lists, also of lists within, and of texts that
    are one list of texts as programs print them; text by the column's separator; no empty or
    ignored ones.

    keyed: the cell stood under a key of a pairs cell, so that `list_separator` parts its values.
    """
    if isinstance(cell, str):
        if not (keyed or column.format == "list" or _is_list_of_texts(cell)):
            return [] if is_null(cell, _ignored(column.ignore)) else [cell]
        native = parse_structure(cell)
        if native is None and column.format == "list" and "{" in cell:
            native = _postgres_array(cell)
        if isinstance(native, list):
            cell = list(_leaves(native))
        elif keyed and column.format == "pairs":
            cell = _split(cell, column.list_separator)
        else:
            cell = _split(cell, column.separator) if column.format == "list" else [cell]
    elif isinstance(cell, list):
        cell = list(_leaves(cell))
    entries = cell if isinstance(cell, list | tuple) else [cell]
    ignored, numbers = _ignored(column.ignore), _ignored_numbers(column.ignore)
    kept = [entry for entry in entries if not is_null(entry, ignored)]
    if numbers:
        kept = [entry for entry in kept if isinstance(entry, str) or as_text(entry) not in numbers]
    return kept


def _is_list_of_texts(text: str) -> bool:
    """Return whether a text is one list of texts, objects or lists, as programs print them."""
    return text.lstrip()[:1] == "[" and _LIST_OF_TEXTS.match(text) is not None


def _leaves(entries: Sequence[Any]) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, list):
            yield from _leaves(entry)
        else:
            yield entry


def split_paths(cell: Any, column: ColumnFormat, *, keyed: bool = False) -> list[str | None]:
    """Return the category paths of a cell, their steps cleaned and joined by ` > `; None for an
    entry that is not a path.

    A native list of texts is one path, unless the column says `format: list`; a list of lists is
    several. Steps and entries that the column ignores are left out.

    >>> shop = ColumnFormat(format="list", path_separator="/", ignore=("Default",))
    >>> split_paths("Default/Men/Tops,Default", shop)
    ['Men > Tops']
    """
    if isinstance(cell, str) and _is_list_of_texts(cell):
        native = parse_structure(cell)
        cell = native if isinstance(native, list) else cell
    if isinstance(cell, list | tuple) and column.format != "list":
        several = any(isinstance(entry, list | tuple) for entry in cell)
        entries: Sequence[Any] = cell if several else [cell]
    else:
        entries = [cell] if column.format == "path" else split_list(cell, column, keyed=keyed)
    separator = column.separator if column.format == "path" else column.path_separator
    ignored = _ignored(column.ignore)
    paths = [_path(entry, separator, ignored) for entry in entries]
    return [path for path in paths if path != ""]


def _path(entry: Any, separator: str | None, ignored: frozenset[str]) -> str | None:
    if isinstance(entry, list | tuple):
        steps: Sequence[Any] = [step for step in entry if step is not None]
    else:
        text = as_text(entry)
        steps = [entry] if text is None or separator is None else _split(text, separator)
    texts = [as_text(step) for step in steps]
    if any(text is None for text in texts):
        return None
    cleaned = (to_single_line(text) for text in texts if text is not None)
    return PATH_SEPARATOR.join(step for step in cleaned if step.casefold() not in ignored)


def _pairs(text: str, column: ColumnFormat) -> Iterator[tuple[str, str]]:
    """(key, value) of a cell of pairs; a separator inside a value stays there, as no `key=` follows
    it, or a backslash is before it.
    """
    if column.fields is not None:
        found = list(_entries_with_fields(text, column.separator, column.fields.count(":") - 1))
        if found and found[-1].end() == len(text):
            yield from ((each["key"].strip(), each["value"]) for each in found)
            return
    for pair in _pair_boundary(column.separator, column.key_separator).split(text):
        key, is_pair, value = pair.partition(column.key_separator)
        if is_pair and key.strip():
            yield key.strip(), value.replace(f"\\{column.separator}", column.separator)


@lru_cache(maxsize=256)
def _pair_boundary(separator: str, key_separator: str) -> re.Pattern[str]:
    """Return an expression for separators that a key follows.

    Behind a comma, which is in many values, a key of several words begins with a capital letter.
    Keys and the space around them have bounds: a cell is looked through once, not once a separator.
    """
    end = re.escape(key_separator)
    several_words = rf"(?:(?!{re.escape(separator)}|{end}).){{1,60}}?"
    if separator.strip() == ",":
        several_words = rf"(?=[^\W\d_a-zß-ÿ]){several_words}"
    space = rf"\s{{0,{_MAX_SPACE_CHARS}}}"
    return re.compile(
        rf"(?<!\\){re.escape(separator)}(?={space}+(?:[\w.:-]{{1,{_MAX_KEY_CHARS}}}?|{several_words}){space}{end})"
    )


def _entries_with_fields(text: str, separator: str, trailing: int) -> Iterator[re.Match[str]]:
    pattern, at = _with_fields(separator, trailing), 0
    while at < len(text) and (found := pattern.match(text, at)):
        yield found
        at = found.end()


@lru_cache(maxsize=256)
def _with_fields(separator: str, trailing: int) -> re.Pattern[str]:
    """Return an expression for `Name:Value:2:0`: behind the value a place, and flags that are 0 or
    1; so `Ratio:3:1:3` is a ratio of 3:1, in place 3.
    """
    between = re.escape(separator)
    fields = rf":\d+(?::[01]?){{0,{trailing - 1}}}"
    return re.compile(rf"\s*+(?P<key>[^:]+?):(?P<value>.*?){fields}\s*(?:{between}|\Z)", re.DOTALL)


def _split(text: str, separator: str) -> list[str]:
    """Return the parts of a text; a separator behind a backslash is a character like others."""
    if ";" in separator:  # the end of an entity is not a separator
        text = decode_entities(text)
    if "\\" not in text:
        return text.split(separator)
    parts = _unescaped(separator).split(text)
    return [part.replace(f"\\{separator}", separator) for part in parts]


@lru_cache(maxsize=256)
def _unescaped(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\\){re.escape(separator)}")


def _postgres_array(text: str) -> list[str] | None:
    """Return the entries of `{Blue,"Dark, green"}`, as PostgreSQL writes arrays of texts."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")) or "{" in text[1:]:
        return None
    rows = list(csv.reader([text[1:-1]], escapechar="\\", doublequote=False))
    return [entry for entry in rows[0] if entry != "NULL"] if len(rows) == 1 else None


@lru_cache(maxsize=1024)
def _ignored_numbers(ignore: tuple[str, ...]) -> frozenset[str]:
    """Return what is ignored of numbers that are no texts."""
    return frozenset(entry.strip() for entry in ignore if entry.strip().isdecimal())


@lru_cache(maxsize=1024)
def _ignored(ignore: tuple[str, ...]) -> frozenset[str]:
    return frozenset(["", *(entry.strip().casefold() for entry in ignore)])
