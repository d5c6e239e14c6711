"""Names of values that only the first row of a group has: `Option1 Name` beside `Option1 Value`.

(rows of one group, how a row is read again) → the rows, with the values that had no name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from schemas.elements import RawRecord, Record, Reject
from transforms.extraction.cells import as_text, is_null
from transforms.normalise.column_groups import ColumnGroup

# A record and cells that it is to have besides its own → the record as it is then.
ReadAgain = Callable[[RawRecord, Mapping[str, str]], Record | Reject]
# What a record that is read again from its bytes no longer shows.
_OF_READING = "input-mended"


class PairNames:
    """The pairs of columns of an input, and what one of its rows has in them.

    groups: that the template's names stand for.
    """

    def __init__(self, groups: Iterable[ColumnGroup], null_values: frozenset[str]) -> None:
        pairs = (
            (member.named_by, member.column)
            for group in groups
            for member in group.members
            if member.named_by is not None
        )
        self._pairs = tuple(dict.fromkeys(pairs))
        self._null_values = null_values

    @property
    def are_there(self) -> bool:
        """Whether there are such columns."""
        return bool(self._pairs)

    def given(self, cells: Mapping[str, Any]) -> dict[str, str]:
        """Return column of names → the name that a row has there; no text where its value has
        none.
        """
        return dict(self._given(cells))

    def _given(self, cells: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for named_by, column in self._pairs:
            name = cells.get(named_by)
            if not is_null(name, self._null_values):
                if text := as_text(name):
                    yield named_by, text
            elif not is_null(cells.get(column), self._null_values):
                yield named_by, ""


def with_names(rows: Sequence[Record], read_again: ReadAgain) -> list[Record]:
    """Return the rows of a group, in their order; one whose values have no names has those of the
    first row that names them.
    """
    names: dict[str, tuple[str, Record]] = {}
    for row in rows:
        for column, name in row.pair_names.items():
            if name:
                names.setdefault(column, (name, row))
    return [_named(row, names, read_again) for row in rows]


def _named(row: Record, names: Mapping[str, tuple[str, Record]], read_again: ReadAgain) -> Record:
    missing = [column for column, name in row.pair_names.items() if not name and column in names]
    if not missing:
        return row
    found = read_again(row.raw, {column: names[column][0] for column in missing})
    if isinstance(found, Reject):
        return row
    givers = dict.fromkeys(names[column][1].raw for column in missing)
    named_in = ", ".join(giver.short_key for giver in givers)
    named = {
        name: f"{origin} (named in row {named_in})"
        for name, origin in found.origins.items()
        if found.values.get(name) != row.values.get(name)
    }
    kept = [flag for flag in row.flags if flag.reason == _OF_READING]
    return replace(
        found,
        flags=(*found.flags, *kept),
        origins={**found.origins, **named},
        # A variant has them from another item's row; rows of one item are all named with it.
        inherited=tuple(giver.key for giver in givers) if row.group else (),
    )
