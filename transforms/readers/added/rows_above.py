"""Empty cells of a file's rows are filled from the rows above them, where the template says so.

(unread records of a file in order, FillDown) → the same with those cells, under keys of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from schemas.elements import RawRecord, Reject
from transforms.extraction.cells import as_text, given_text, is_null
from transforms.normalise.column_names import ColumnNames
from transforms.readers.added.fill_down import REASON, FillDown, Filled, with_filled
from transforms.readers.contract import STAGE, ParsedRecord, Unread

_KEPT_SPELLINGS = 1_000


def filled_down(scan: Iterable[Unread], fill: FillDown) -> Iterator[Unread]:
    """Yield records with what they have from the rows above; one that has no row above is refused.

    All rows are looked into, whether they are wanted or not: the next one may need them.
    """
    above = _Above(fill)
    for unread in scan:
        element = unread.read()
        found = above.complete(element)
        key_of = unread.key_of if found is element else partial(_key_of, found.raw)
        yield Unread(unread.data, key_of, _as_found, found)


def _key_of(raw: RawRecord, _data: bytes) -> bytes:
    return raw.key


def _as_found(element: ParsedRecord | Reject) -> ParsedRecord | Reject:
    return element


class _Above:
    """What the rows so far have in the columns that are filled."""

    def __init__(self, fill: FillDown) -> None:
        self._fill = fill
        self._cells: dict[str, str] = {}
        self._is_broken = False
        self._spelled: dict[tuple[str, ...], tuple[str, ...]] = {}

    def complete(self, element: ParsedRecord | Reject) -> ParsedRecord | Reject:
        if isinstance(element, Reject):
            # It may have been the row with the key: what follows belongs to nothing that is known.
            self._cells.clear()
            self._is_broken = True
            return element
        names = self._names(element.cells)
        filled, is_key_there = self._filled(element.cells, names)
        if not is_key_there:
            raw = replace(element.raw, format=with_filled(element.raw.format, ()))
            return Reject(raw, REASON, STAGE, no_row_above(names[0], is_broken=self._is_broken))
        if not filled:
            return element
        raw = replace(element.raw, format=with_filled(element.raw.format, filled))
        return element._replace(raw=raw, cells={**element.cells, **dict(filled)})

    def _filled(self, cells: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Filled, bool]:
        """Return what a row has from above, and whether it has a key then."""
        filled: list[tuple[str, str]] = []
        is_other = False
        for column, name in zip(self._fill.columns, names, strict=True):
            cell = cells.get(name)
            if not is_null(cell, self._fill.null_values):
                text = as_text(cell)
                text = given_text(cell) if text is None else text
                # Another key begins: what stood in the columns behind was the last one's.
                is_other = is_other or self._cells.get(column) != text
                self._cells[column] = text
                self._is_broken = False
            elif is_other:
                self._cells.pop(column, None)
            elif column in self._cells:
                filled.append((name, self._cells[column]))
        return tuple(filled), self._fill.columns[0] in self._cells

    def _names(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns as these cells call them."""
        written = tuple(cells)
        if written not in self._spelled:
            if len(self._spelled) >= _KEPT_SPELLINGS:
                self._spelled.clear()
            names = ColumnNames(written)
            self._spelled[written] = tuple(names.find(each) or each for each in self._fill.columns)
        return self._spelled[written]


def no_row_above(column: str, *, is_broken: bool = False) -> str:
    """Return why a row is refused that has no key and no row above to have it from."""
    if is_broken:
        return (
            f"{column} is empty, and the row above that may have it could not be read; mend that "
            f"row, or fill {column} in this one"
        )
    return (
        f"{column} is empty, and no row above it in its file has one to fill it with "
        f"(record.fill_down); fill {column}"
    )
