"""How the cells of a text column are written: one value, a list, category paths, or `key=value`
pairs. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.template import ColumnFormat

# In the order of preference: what texts seldom hold comes first.
LIST_SEPARATORS = ("\n", "|", ";", ",")
PATH_SEPARATORS = (" > ", ">", "/")
MIN_SHARE = 0.6
# A list repeats its entries over the catalog and keeps them short; a text with commas does not.
MAX_ENTRY_CHARS = 30
MAX_DISTINCT_SHARE = 0.5
_PAIR = re.compile(r"\s*[A-Za-z_][\w .-]{0,60}=")
_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|tiff?)(?:\?.*)?$", re.IGNORECASE)
_HTML = re.compile(r"<(?:p|br|b|i|ul|li|div|span|strong|em|h\d)\b[^>]*>", re.IGNORECASE)
_AMOUNT = re.compile(r"\d\s*[^\W\d_]{1,4}\b|\d[.,]\d")
_URL = re.compile(r"https?://\S+$", re.IGNORECASE)


ONE_VALUE = ColumnFormat()


@dataclass(frozen=True, slots=True)
class Shape:
    """kind: text, list, path, paths (several a cell) or pairs; format: what the template says of
    it.
    """

    kind: str
    format: ColumnFormat = ONE_VALUE


def shape_of(cells: Sequence[str]) -> Shape:
    """Return how these cells are written, judged by most of them."""
    pairs = _pairs(cells)
    if pairs is not None:
        return pairs
    if is_html(cells):
        return Shape("text")
    separator = list_separator(cells)
    entries = [
        part.strip() for cell in cells for part in (cell.split(separator) if separator else [cell])
    ]
    path = _path_separator(entries)
    if path is not None and separator is not None:
        return Shape("paths", ColumnFormat(format="list", separator=separator, path_separator=path))
    if path is not None:
        return Shape("path", ColumnFormat(format="path", separator=path))
    if separator is not None:
        return Shape("list", ColumnFormat(format="list", separator=separator))
    return Shape("text")


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


def _path_separator(entries: Sequence[str]) -> str | None:
    """Return what stands between the steps of category paths: few first steps, and many entries
    with several.
    """
    filled = [entry for entry in entries if entry]
    for separator in PATH_SEPARATORS:
        deep = [entry for entry in filled if separator in entry.strip(separator)]
        firsts = {entry.split(separator)[0].strip() for entry in deep}
        repeats = len(set(deep)) <= MAX_DISTINCT_SHARE * len(deep)
        steps = [step.strip() for entry in deep for step in entry.split(separator)]
        if sum(_is_like_a_value(step) for step in steps) < 0.9 * len(steps):
            continue
        is_tree = (
            len(deep) >= 0.4 * max(1, len(filled))
            and len(firsts) <= max(3, 0.05 * len(deep))
            and repeats
        )
        if is_tree and not any(_URL.match(entry) or _PICTURE.search(entry) for entry in deep[:50]):
            return separator
    return None


def _pairs(cells: Sequence[str]) -> Shape | None:
    """`color=Blue,material=Wool|Silk`: most cells are made of pairs."""
    for separator in (",", ";", "\n", "|"):
        like = [
            cell
            for cell in cells
            if _PAIR.match(cell) and _share_of_pairs(cell, separator) >= MIN_SHARE
        ]
        several = sum(separator in cell for cell in like)
        if cells and len(like) >= MIN_SHARE * len(cells) and several >= 0.3 * len(cells):
            inner = "|" if separator != "|" else ","
            return Shape(
                "pairs", ColumnFormat(format="pairs", separator=separator, list_separator=inner)
            )
    return None


def _share_of_pairs(cell: str, separator: str) -> float:
    parts = [part for part in cell.split(separator) if part.strip()]
    return sum(_PAIR.match(part) is not None for part in parts) / max(1, len(parts))


def are_pictures(texts: Sequence[str]) -> bool:
    """Return whether these are names of picture files, nearly all of them."""
    filled = [text for text in texts if text]
    return bool(filled) and sum(_PICTURE.search(text) is not None for text in filled) >= 0.8 * len(
        filled
    )


def are_urls(texts: Sequence[str]) -> bool:
    return bool(texts) and sum(_URL.match(text) is not None for text in texts) >= 0.8 * len(texts)


def is_html(texts: Sequence[str]) -> bool:
    return bool(texts) and sum(_HTML.search(text) is not None for text in texts) >= 0.2 * len(texts)
