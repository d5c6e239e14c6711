"""Rows of tables of pictures: how many an item may have, and those that say the same.

Such a table may say the same of an item millions of times. Of rows that are joined with an item
nothing is needed but their keys, so those that say the same are one object. Others are told apart
by their places, and stay what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from schemas.elements import ImageRow, Record, Reject
from schemas.reasons import TOO_MANY_IMAGE_ROWS

STAGE = "assemble"
# Of one item; those that say the same count as one.
MAX_IMAGE_ROWS = 10_000

Element = TypeVar("Element", Record, ImageRow, Reject)


class Repeats:
    """Rows that were taken, of items whose records were seen before them."""

    def __init__(self) -> None:
        self._items, self._rows = set[str](), dict[tuple[Any, ...], ImageRow]()

    def earlier(self, element: Element) -> Element | None:
        """Return the row that said the same before; None where there was none."""
        if isinstance(element, Record):
            self._items.add(element.item_id)
        return self._rows.get(_said(element)) if isinstance(element, ImageRow) else None

    def take(self, element: Element) -> Element:
        """Return the element, which stands for those that come and say the same."""
        if isinstance(element, ImageRow) and element.item_id in self._items:
            self._rows[_said(element)] = element
        return element


def _said(row: ImageRow) -> tuple[Any, ...]:
    """Return what makes up the key of a row, of its item."""
    raw = row.raw
    return row.item_id, raw.data, raw.known_by, raw.format, raw.header


def crowded_items(rows: Sequence[ImageRow]) -> set[str]:
    """Return the items that have too many rows; rows that say the same are one object."""
    if len(rows) <= MAX_IMAGE_ROWS:
        return set()
    counts = Counter({id(row): row.item_id for row in rows}.values())
    return {item_id for item_id, count in counts.items() if count > MAX_IMAGE_ROWS}


class Different:
    """Looks through all rows there are without holding any.

    records, rows: every call reads them again. crowded: items that have too many rows.
    """

    def __init__(
        self, records: Callable[[], Iterable[Record]], rows: Callable[[], Iterable[ImageRow]]
    ) -> None:
        self._items, self.crowded = frozenset[str](), set[str]()
        said: dict[str, set[int]] = {}
        for number, row in enumerate(rows()):
            if not number:
                self._items = frozenset(record.item_id for record in records())
            if row.item_id not in self._items or row.item_id in self.crowded:
                continue
            of_item = said.setdefault(row.item_id, set())
            of_item.add(hash(_said(row)))
            if len(of_item) > MAX_IMAGE_ROWS:
                self.crowded.add(row.item_id)
                del said[row.item_id]

    def once(self, rows: Iterable[ImageRow]) -> Iterator[ImageRow]:
        """Yield the rows that may be held, one of those that say the same."""
        said = set[int]()
        for row in rows:
            if row.item_id in self.crowded:
                continue
            if row.item_id in self._items:
                key = hash(_said(row))
                if key in said:
                    continue
                said.add(key)
            yield row


def one_of_too_many(row: ImageRow) -> Reject:
    """Return the row of an item that has more than it may have."""
    message = (
        f"tables of pictures have more than {MAX_IMAGE_ROWS:,} different rows of {row.item_id!r}, "
        "which goes on without them; does their id name items?"
    )
    return Reject(row.raw, TOO_MANY_IMAGE_ROWS, STAGE, message, row.item_id)
