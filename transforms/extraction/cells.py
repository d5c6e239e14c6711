"""How the cells of a raw column are taken apart: lists, category paths, `key=value` pairs, JSON and
Arrow values.

(cell, ColumnFormat) → entries, paths, or the cell under a key. Nothing here raises, whatever the
cell holds.
"""

from __future__ import annotations

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
from transforms.extraction.exact_json import parse_json
from transforms.extraction.plain_text import decode_entities, to_single_line

_MAX_DIGITS = 400


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
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return None
    try:
        if not math.isfinite(cell):
            return None
        if cell == int(cell):
            return str(int(cell))
        # Written out, 1e-999999999 would take a gigabyte.
        written_out = (
            isinstance(cell, Decimal)
            and len(cell.as_tuple().digits) - cell.adjusted() < _MAX_DIGITS
        )
        return f"{cell:f}" if written_out else str(cell)
    except (ValueError, OverflowError):  # integers of more digits than Python writes
        return None


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
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def as_mapping(cell: Any, column: ColumnFormat) -> dict[str, Any] | None:
    """Keys and values of an object, an Arrow map, a text that holds a JSON object, or a cell of
    pairs; else None.

    A text without a single pair is not a cell of pairs.
    """
    if isinstance(cell, Mapping):
        return {str(key): value for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        pairs = [entry for entry in cell if isinstance(entry, tuple) and len(entry) == 2]
        return (
            {str(key): value for key, value in pairs} if cell and len(pairs) == len(cell) else None
        )
    if not isinstance(cell, str):
        return None
    if column.format == "pairs":
        found = dict(_pairs(cell, column))
        return found if found or not cell.strip() else None
    parsed = _json(cell, "{")
    return parsed if isinstance(parsed, dict) else None


def reach(mapping: Mapping[str, Any], key: str) -> Any:
    """Return the value under `key`; a key with dots that is not there itself leads into nested
    objects.
    """
    value: Any = mapping
    while isinstance(value, Mapping) and key not in value and "." in key:
        first, key = key.split(".", 1)
        value = value.get(first)
    return value.get(key) if isinstance(value, Mapping) else None


def split_list(cell: Any, column: ColumnFormat, *, keyed: bool = False) -> list[Any]:
    """Return the entries of a cell: native lists as they are, text by the column's separator; no
    empty or ignored ones.

    keyed: the cell stood under a key of a pairs cell, so that `list_separator` parts its values.
    """
    if isinstance(cell, str):
        native = _json(cell, "[") if column.format == "list" or keyed else None
        if isinstance(native, list):
            cell = native
        elif keyed and column.format == "pairs":
            cell = _split(cell, column.list_separator)
        else:
            cell = _split(cell, column.separator) if column.format == "list" else [cell]
    entries = cell if isinstance(cell, list | tuple) else [cell]
    ignored = _ignored(column.ignore)
    return [entry for entry in entries if not is_null(entry, ignored)]


def split_paths(cell: Any, column: ColumnFormat, *, keyed: bool = False) -> list[str | None]:
    """Return the category paths of a cell, their steps cleaned and joined by ` > `; None for an
    entry that is not a path.

    A native list of texts is one path, unless the column says `format: list`; a list of lists is
    several. Steps and entries that the column ignores are left out.

    >>> shop = ColumnFormat(format="list", path_separator="/", ignore=("Default",))
    >>> split_paths("Default/Men/Tops,Default", shop)
    ['Men > Tops']
    """
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
    it.
    """
    for pair in _pair_boundary(column.separator, column.key_separator).split(text):
        key, found, value = pair.partition(column.key_separator)
        if found and key.strip():
            yield key.strip(), value


@lru_cache(maxsize=256)
def _pair_boundary(separator: str, key_separator: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(separator)}(?=\s*[\w.:-]+?\s*{re.escape(key_separator)})")


def _split(text: str, separator: str) -> list[str]:
    if ";" in separator:  # the end of an entity is not a separator
        text = decode_entities(text)
    return text.split(separator)


@lru_cache(maxsize=1024)
def _ignored(ignore: tuple[str, ...]) -> frozenset[str]:
    return frozenset(["", *(entry.strip().casefold() for entry in ignore)])


def _json(text: str, opening: str) -> Any:
    if text.lstrip().startswith(opening):
        try:
            return parse_json(text.encode())
        except (UnicodeEncodeError, orjson.JSONDecodeError, RecursionError):
            return None
    return None
