"""What a sample of a column tells of how its numbers and dates are written: which mark stands
before decimals, whether the day comes first.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from typing import Any

from transforms.extraction.dates.formats import column_order
from transforms.extraction.decimal_marks import column_mark, groups_thousands
from transforms.extraction.identifiers import WHOLE
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    Format,
    InputSplit,
    ParsedRecord,
    SplitDigest,
    UnreadableError,
)

# In a column of numbers a digit stands near a cell's begin, behind a sign or a currency.
_DIGIT_WITHIN = 5
# Records are looked at until their texts are so long together.
_SAMPLE_CHARS = 16 << 20
_WHOLE = re.compile(r"\s*\d+\.0\s*")
SAMPLE_RECORDS = 500
# Of what is looked into: lists and objects within each other, and entries of a list.
_DEPTH, _LIST_ENTRIES = 4, 20

ColumnMarks = tuple[tuple[str, str], ...]


def marks_of_columns(columns: Mapping[str, Sequence[str]]) -> ColumnMarks:
    """Return of which columns something is to be known: the mark before decimals, `mixed` where
    both are used, `thousands` where marks group thousands if the numbers are whole; of dates,
    whether the day comes first; WHOLE where numbers are whole and each another although they end
    in .0.

    columns: name → some of its cells that hold text.

    >>> cells = {"price": ["12,90", "3"], "weight": ["1,250 kg"], "size": ["1.5", "1,250"]}
    >>> marks_of_columns(cells)
    (('price', ','), ('size', '.'))
    """
    found: list[tuple[str, str]] = []
    for name, cells in columns.items():
        # As ids are that pandas or a spreadsheet took for numbers.
        if cells and len(set(cells)) == len(cells) and all(map(_WHOLE.fullmatch, cells)):
            found.append((name, WHOLE))
            continue
        # A title may hold numbers, but not most of its column does.
        numbers = sum(any(map(str.isdigit, cell.strip()[:_DIGIT_WITHIN])) for cell in cells)
        if numbers * 2 < len(cells):
            continue
        order = column_order(cell.strip() for cell in cells)
        mark = column_mark(cells) or ("thousands" if groups_thousands(cells) else None)
        if order is not None:
            found.append((name, "mixed-dates" if order == "mixed" else order))
        elif mark is not None:
            found.append((name, mark))
    return tuple(found)


def marks_of_records(file_format: Format, split: InputSplit) -> ColumnMarks:
    """Return what `marks_of_columns` does, of the first records of a file whose numbers may be
    text.

    A key of an object counts as a column, `column.key`, also of objects in a list.
    """
    texts: dict[str, list[str]] = {}
    size_chars = 0
    with (
        suppress(UnreadableError),  # reading the split reports it
        closing(_records(file_format, split)) as records,
    ):
        for cells in islice(records, SAMPLE_RECORDS):
            for name, text in _texts_in(cells):
                texts.setdefault(name, []).append(text)
                size_chars += len(text)
            if size_chars > _SAMPLE_CHARS:
                break
    return marks_of_columns(texts)


def _records(file_format: Format, split: InputSplit) -> Generator[Mapping[str, Any]]:
    for unread in file_format.scan(split, DEFAULT_LIMITS, SplitDigest()):
        element = unread.read()
        if isinstance(element, ParsedRecord):
            yield element.cells


def _texts_in(cells: Mapping[str, Any], depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    for name, cell in cells.items():
        if isinstance(cell, str):
            if cell.strip():
                yield name, cell
        elif depth and isinstance(cell, Mapping):
            yield from _texts_in({f"{name}.{key}": value for key, value in cell.items()}, depth - 1)
        elif depth and isinstance(cell, list | tuple):
            for entry in cell[:_LIST_ENTRIES]:
                yield from _texts_in({name: entry}, depth - 1)
