"""What one bucket may hold of what was read: all of it, or the smallest items that fit together.

(records, image rows and rejects of a bucket, bytes) → what is put together and what is set aside.
Pure. Which ones fit follows from their contents alone, never from their order, and an item is taken
or set aside with all its rows. What is weighed is about what the elements take in memory, so that a
bucket's memory is bounded whatever ids a catalog has.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np

from schemas.elements import ImageRow, RawRecord, Record, Reject
from schemas.hashing import stable_hash
from schemas.reasons import BUCKET_TOO_LARGE

STAGE = "assemble"
# A record's bytes, its values, and its cells as they were given.
COPIES = 3
# Of an element besides its bytes: objects of Python, and the columns of its row.
ELEMENT_BYTES = 2 << 10
# Of each reference to a picture: its result, with what is said of it.
PICTURE_BYTES = 1 << 10

# Where no limit is given.
UNBOUNDED = 1 << 62

Kept = Record | ImageRow
Element = TypeVar("Element", Record, ImageRow, Reject)


def weight_of(element: Kept | Reject) -> int:
    """Return how many bytes an element counts as."""
    if isinstance(element, ImageRow):
        return _size(element.raw) + ELEMENT_BYTES // 2
    if isinstance(element, Reject):
        return sum(_size(raw) + ELEMENT_BYTES for raw in (element.raw, *element.rows))
    size = COPIES * _size(element.raw) + ELEMENT_BYTES + PICTURE_BYTES * len(element.image_refs)
    return size + sum(map(_size, element.rows))


def _size(raw: RawRecord) -> int:
    # A format may hold cells from the rows above, a header thousands of names.
    return len(raw.data) + len(raw.header) + len(raw.format)


@dataclass(frozen=True, slots=True)
class Source:
    """The elements of a bucket, each kind in any order; every call reads them again."""

    records: Callable[[], Iterable[Record]]
    image_rows: Callable[[], Iterable[ImageRow]] = tuple
    rejects: Callable[[], Iterable[Reject]] = tuple


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a bucket is put together from. is_whole: whether nothing had to be set aside or cut."""

    records: list[Record]
    image_rows: list[ImageRow]
    rejects: list[Reject]
    is_whole: bool = True


def admit(source: Source, max_bytes: int) -> Admitted:
    """Return what of a bucket fits into `max_bytes`, as `weight_of` counts.

    Where not all does, half is for items, the smallest first, and half for the bytes that are kept
    of rejects, each cut to as many as all can have. Each rejected row stays a row, however many
    there are.
    """
    budget = _Budget(max_bytes)
    everything = Admitted(
        list(budget.fitting(source.records())),
        list(budget.fitting(source.image_rows())),
        list(budget.fitting(source.rejects())),
    )
    return everything if budget.left >= 0 else _smallest(source, max_bytes)


class _Budget:
    """Counts what is taken. left: bytes; below zero when not all was given."""

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes

    def fitting(self, elements: Iterable[Element]) -> Iterator[Element]:
        """Yield elements as long as they fit."""
        for element in elements if self.left >= 0 else ():
            self.left -= weight_of(element)
            if self.left < 0:
                return
            yield element


def _smallest(source: Source, max_bytes: int) -> Admitted:
    chosen = _chosen(source, max_bytes // 2)
    sizes = array("q")
    for reject in _rejects(source, chosen, max_bytes):
        sizes.extend(len(raw.data) for raw in (reject.raw, *reject.rows))
    kept_bytes = share_of(np.frombuffer(sizes, np.int64), max_bytes // 2)
    return Admitted(
        [each for each in source.records() if _unit(each.item_id) in chosen],
        [each for each in source.image_rows() if _unit(each.item_id) in chosen],
        [_cut(each, kept_bytes) for each in _rejects(source, chosen, max_bytes)],
        is_whole=False,
    )


def _unit(item_id: str) -> int:
    return stable_hash(item_id)


def _chosen(source: Source, max_bytes: int) -> set[int]:
    """Return the items that fit, the smallest first; by their hashes, as there may be millions."""
    weights: dict[int, int] = {}
    for element in chain[Kept](source.records(), source.image_rows()):
        unit = _unit(element.item_id)
        weights[unit] = weights.get(unit, 0) + weight_of(element)
    chosen, left = set(), max_bytes
    for weight, unit in sorted((weight, unit) for unit, weight in weights.items()):
        left -= weight
        if left < 0:
            break
        chosen.add(unit)
    return chosen


def _rejects(source: Source, chosen: set[int], max_bytes: int) -> Iterator[Reject]:
    """Yield the bucket's rejects, and those of the items that do not fit."""
    yield from source.rejects()
    message = (
        f"the items that share its bucket are larger together than {max_bytes:,} bytes "
        "(--max-bucket-bytes), and this is one of the largest; raise --buckets, or "
        "--max-bucket-bytes if the machine has the memory"
    )
    for record in source.records():
        if _unit(record.item_id) not in chosen:
            yield record.rejected(BUCKET_TOO_LARGE, STAGE, message)
    for row in source.image_rows():
        if _unit(row.item_id) not in chosen:
            yield Reject(row.raw, BUCKET_TOO_LARGE, STAGE, message, row.item_id)


def _cut(reject: Reject, most_bytes: int) -> Reject:
    rows = tuple(raw.cut(most_bytes) for raw in reject.rows)
    return replace(reject, raw=reject.raw.cut(most_bytes), rows=rows)


def share_of(sizes: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> int:
    """Return how many bytes each may keep such that all keep `most` together.

    >>> share_of(np.array([10, 20, 90]), 60)
    30
    """
    ordered = np.sort(sizes)
    # If all from a place on were cut to what the one there has.
    before = np.concatenate([[0], np.cumsum(ordered)[:-1]])
    left = len(ordered) - np.arange(len(ordered))
    too_much = before + ordered * left > most
    if not too_much.any():
        return int(ordered[-1]) if len(ordered) else 0
    first = int(np.argmax(too_much))
    return int(max(0, most - before[first]) // left[first])
