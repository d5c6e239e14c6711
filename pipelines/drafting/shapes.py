"""How the cells of a text column are written: one value, a list, category paths, or `key=value`
pairs. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.template import ColumnFormat
from transforms.extraction.cells import as_mapping, split_list

# In the order of preference: what texts seldom hold comes first.
LIST_SEPARATORS = ("\n", "|", ";", ",")
PATH_SEPARATORS = (" >> ", ">>", " > ", ">", "/")
MIN_SHARE = 0.6
# A list repeats its entries over the catalog and keeps them short; a text with commas does not.
MAX_ENTRY_CHARS = 30
MAX_DISTINCT_SHARE = 0.5
# What stands between key and value → a pair; "https://" is none.
_PAIRS = {
    "=": re.compile(r"\s*[A-Za-z_][\w .-]{0,60}="),
    ":": re.compile(r"\s*[^\W\d][\w ./()-]{0,40}:(?!//)"),
}
MIN_PAIRS = 6
_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|tiff?)(?:\?.*)?$", re.IGNORECASE)
_HTML = re.compile(r"<(?:p|br|b|i|ul|li|div|span|strong|em|h\d)\b[^>]*>", re.IGNORECASE)
_AMOUNT = re.compile(r"\d\s*[^\W\d_]{1,4}\b|\d[.,]\d")
_URL = re.compile(r"https?://\S+$", re.IGNORECASE)


ONE_VALUE = ColumnFormat()
LISTED = ColumnFormat(format="list")
MIN_STRUCTURED = 0.8


@dataclass(frozen=True, slots=True)
class Shape:
    """kind: text, list, path, paths (several a cell) or pairs; format: what the template says of
    it.
    """

    kind: str
    format: ColumnFormat = ONE_VALUE


@dataclass(frozen=True, slots=True)
class Hints:
    """What a column's name says of its cells, which counts where they are too few to tell."""

    is_tree: bool = False
    is_list: bool = False
    is_pairs: bool = False


NO_HINTS = Hints()


def shape_of(cells: Sequence[str], hints: Hints = NO_HINTS) -> Shape:
    """Return how these cells are written, judged by most of them."""
    is_tree = hints.is_tree
    found = structured(cells, is_tree=is_tree) or _pairs(cells, is_named=hints.is_pairs)
    if found is not None:
        return found
    if is_html(cells):
        return Shape("text")
    separator = list_separator(cells)
    if separator is None and hints.is_tree and _is_in("\\,", cells):
        separator = ","  # commas that part nothing are written so
    if separator is None and hints.is_list:
        separator = next((mark for mark in LIST_SEPARATORS if _is_in(mark, cells)), None)
    entries = [
        part.strip() for cell in cells for part in (cell.split(separator) if separator else [cell])
    ]
    path = _path_separator(entries, is_tree=is_tree)
    if path is not None and separator is not None:
        return Shape("paths", ColumnFormat(format="list", separator=separator, path_separator=path))
    if path is not None:
        return Shape("path", ColumnFormat(format="path", separator=path))
    if separator is not None:
        return Shape("list", ColumnFormat(format="list", separator=separator))
    return Shape("text")


def as_list(cell: Any) -> list[Any] | None:
    """Return the entries of a list, also of one that a text cell holds as a run reads it; None for
    everything else.
    """
    if isinstance(cell, str):
        if not cell.lstrip().startswith("["):
            return None
        entries = split_list(cell, LISTED)
        # What is no list but a text is split by commas: it still begins with its bracket.
        is_text = bool(entries) and str(entries[0]).lstrip().startswith("[")
        return None if is_text else entries
    return list(cell) if isinstance(cell, list | tuple) else None


def structured(cells: Sequence[str], *, is_tree: bool = False) -> Shape | None:
    """Return how texts are written that hold JSON, or what else a run reads as a list or an object;
    None for other texts.
    """
    filled = [cell for cell in cells if cell.strip() not in ("[]", "{}")]
    if not filled:
        return None
    if sum(as_mapping(cell, ONE_VALUE) is not None for cell in filled) >= MIN_STRUCTURED * len(
        filled
    ):
        return Shape("objects")
    lists = [entries for cell in filled if (entries := as_list(cell)) is not None]
    if len(lists) < MIN_STRUCTURED * len(filled):
        return None
    entries = [entry for each in lists for entry in each if isinstance(entry, str)]
    path = _path_separator(entries, is_tree=is_tree)
    return Shape("paths" if path else "list", LISTED.model_copy(update={"path_separator": path}))


def list_separator(cells: Sequence[str]) -> str | None:
    """Return what stands between the entries of lists, None where cells are no lists."""
    for separator in LIST_SEPARATORS:
        lists = [cell for cell in cells if separator in cell]
        if len(lists) < max(2, 0.1 * len(cells)):
            continue
        entries = [cell for cell in cells if separator not in cell]
        for cell in lists:
            entries += (part.strip() for part in cell.split(separator))
        counts = Counter(filter(None, entries))
        total = counts.total()
        short = sum(n for entry, n in counts.items() if _is_like_a_value(entry))
        if total and len(counts) <= MAX_DISTINCT_SHARE * total and short >= 0.9 * total:
            return separator
        if total and all(_PICTURE.search(entry) for entry in counts):
            return separator
    return None


def _is_like_a_value(entry: str) -> bool:
    """Short, or a path with a short last step, and no amount: those are sentences, or facts of one
    item.
    """
    last = re.split(r"[>/]", entry)[-1].strip()
    return len(last) <= MAX_ENTRY_CHARS and not _AMOUNT.search(last)


def _path_separator(entries: Sequence[str], *, is_tree: bool) -> str | None:
    """Return what stands between the steps of category paths: few first steps, and many entries
    with several.

    is_tree: whether the column's name says so, where the entries are too few to tell.
    """
    filled = [entry for entry in entries if entry]
    for separator in PATH_SEPARATORS:
        deep = [entry for entry in filled if separator in entry.strip(separator)]
        firsts = {entry.split(separator)[0].strip() for entry in deep}
        repeats = len(set(deep)) <= MAX_DISTINCT_SHARE * len(deep)
        steps = [step.strip() for entry in deep for step in entry.split(separator)]
        if sum(_is_like_a_value(step) for step in steps) < 0.9 * len(steps):
            continue
        looks_like_a_tree = len(deep) >= 0.4 * max(1, len(filled)) and (
            is_tree or (len(firsts) <= max(3, 0.05 * len(deep)) and repeats)
        )
        if looks_like_a_tree and not any(
            _URL.match(entry) or _PICTURE.search(entry) for entry in deep[:50]
        ):
            return separator
    return None


def _is_in(mark: str, cells: Sequence[str]) -> bool:
    return any(mark in cell for cell in cells)


def _pairs(cells: Sequence[str], *, is_named: bool) -> Shape | None:
    """`color=Blue,material=Wool|Silk`: most cells are made of pairs.

    is_named: whether the column's name says so.
    """
    for key_separator, pair in _PAIRS.items():
        for separator in (",", ";", "\n", "|"):
            like = [cell for cell in cells if _share_of_pairs(cell, separator, pair) >= MIN_SHARE]
            several = sum(separator in cell for cell in like)
            if not like or len(like) < MIN_SHARE * len(cells) or several < 0.3 * len(cells):
                continue
            if key_separator == ":" and not (is_named or _keys_repeat(like, separator, pair)):
                continue
            inner = "|" if separator != "|" else ","
            given = {} if key_separator == "=" else {"key_separator": key_separator}
            form = ColumnFormat(format="pairs", separator=separator, list_separator=inner, **given)
            return Shape("pairs", form)
    return None


def _share_of_pairs(cell: str, separator: str, pair: re.Pattern[str]) -> float:
    if pair.match(cell) is None:
        return 0.0
    parts = [part for part in cell.split(separator) if part.strip()]
    return sum(pair.match(part) is not None for part in parts) / max(1, len(parts))


def _keys_repeat(cells: Sequence[str], separator: str, pair: re.Pattern[str]) -> bool:
    """Return whether what stands before colons is the same in many cells: sentences with a colon
    are no pairs.
    """
    parts = (part for cell in cells for part in cell.split(separator))
    keys = Counter(found[0].strip() for part in parts if (found := pair.match(part)))
    return keys.total() >= MIN_PAIRS and len(keys) <= MAX_DISTINCT_SHARE * keys.total()


def are_pictures(texts: Sequence[str], least: float = 0.8) -> bool:
    """Return whether these are names of picture files, at least that share of them."""
    filled = [text for text in texts if text]
    named = sum(_PICTURE.search(text) is not None for text in filled)
    return bool(filled) and named >= least * len(filled)


def are_urls(texts: Sequence[str]) -> bool:
    return bool(texts) and sum(_URL.match(text) is not None for text in texts) >= 0.8 * len(texts)


def is_html(texts: Sequence[str]) -> bool:
    return bool(texts) and sum(_HTML.search(text) is not None for text in texts) >= 0.2 * len(texts)
