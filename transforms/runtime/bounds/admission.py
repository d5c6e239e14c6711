"""What is held at once of what was read: all of it, or the smallest units that fit together.

(records, image rows and rejects, bytes) → what is put together and what is set aside. A unit is an
item with its rows, or a group of rows. Pure. Which ones fit follows from their contents alone,
never from their order, and a unit is taken or set aside with all its rows. What is weighed is about
what the elements take in memory, so that memory is bounded whatever ids a catalog has.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from schemas.elements import (
    LONG_HEADER_BYTES,
    ImageRow,
    RawRecord,
    Record,
    Reject,
    with_raws,
)
from schemas.hashing import stable_hash
from schemas.reasons import BUCKET_TOO_LARGE
from transforms.runtime.bounds.picture_rows import (
    STAGE,
    Different,
    Repeats,
    crowded_items,
    one_of_too_many,
)

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
    """Return how many bytes an element counts as, besides long headers, which many share."""
    if isinstance(element, ImageRow):
        return _size(element.raw) + ELEMENT_BYTES // 2
    if isinstance(element, Reject):
        return sum(_size(raw) + ELEMENT_BYTES for raw in (element.raw, *element.rows))
    size = COPIES * _size(element.raw) + ELEMENT_BYTES + PICTURE_BYTES * len(element.image_refs)
    return size + sum(map(_size, element.rows))


def _size(raw: RawRecord) -> int:
    # A format may hold cells from the rows above.
    header = 0 if _has_long_header(raw) else len(raw.header)
    return len(raw.data) + header + len(raw.format)


def _has_long_header(raw: RawRecord) -> bool:
    return len(raw.header) >= LONG_HEADER_BYTES


def _long_headers(element: Kept | Reject) -> Iterator[bytes]:
    """Yield the long headers of an element, one that several of its rows have as often."""
    if _has_long_header(element.raw):
        yield element.raw.header
    if not isinstance(element, ImageRow):
        yield from (raw.header for raw in element.rows if _has_long_header(raw))


class Headers:
    """Long headers of what is held, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def new_bytes(self, element: Kept | Reject) -> int:
        """Return by how many bytes an element's headers add to what is held."""
        new = 0
        for header in _long_headers(element):
            if header not in self._known:
                self._known[header] = header
                new += len(header)
        return new

    def sharing(self, element: Element) -> Element:
        """Return the element with the header that another one holds."""
        shared: Element = with_raws(element, self._shared)
        return shared

    def _shared(self, raw: RawRecord) -> RawRecord:
        held = self._known.setdefault(raw.header, raw.header) if _has_long_header(raw) else None
        return raw if held is None or held is raw.header else replace(raw, header=held)


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
    there are. An item that has too many rows of tables of pictures goes on without them.
    """
    budget = Budget(max_bytes)
    everything = Admitted(
        list(budget.fitting(source.records())),
        list(budget.fitting(source.image_rows())),
        list(budget.fitting(source.rejects())),
    )
    if budget.left < 0:
        return _smallest(source, max_bytes)
    crowded = crowded_items(everything.image_rows)
    return _without(crowded, everything, source) if crowded else everything


class Budget:
    """Counts what is taken. left: bytes; below zero when not all was given. headers: of what was.

    A row of a table of pictures that repeats another one is held as that one, and takes nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes
        self.headers, self._repeats = Headers(), Repeats()

    def fitting(self, elements: Iterable[Element]) -> Iterator[Element]:
        """Yield elements as long as they fit."""
        for element in elements if self.left >= 0 else ():
            earlier = self._repeats.earlier(element)
            if earlier is not None:
                yield earlier
                continue
            self.left -= weight_of(element) + self.headers.new_bytes(element)
            if self.left < 0:
                return
            yield self._repeats.take(self.headers.sharing(element))


def _without(crowded: Container[str], everything: Admitted, source: Source) -> Admitted:
    """Return what was admitted without the rows of tables of pictures of these items."""
    rows = [row for row in everything.image_rows if row.item_id not in crowded]
    # Read again: each with its own place.
    refused = (one_of_too_many(row) for row in source.image_rows() if row.item_id in crowded)
    rejects = [*everything.rejects, *refused]
    return Admitted(everything.records, rows, rejects, is_whole=False)


def _smallest(source: Source, max_bytes: int) -> Admitted:
    different = Different((each.item_id for each in source.records()), source.image_rows())
    elements = chain[Kept](source.records(), different.once(source.image_rows()))
    chosen = chosen_units(((_unit(each.item_id), each) for each in elements), max_bytes // 2)
    rejected = partial(_rejects, source, chosen, different.crowded, max_bytes)
    sizes, seen = array("q"), set[int]()
    for reject in rejected():
        sizes.extend(len(raw.data) for raw in (reject.raw, *reject.rows))
        for header in _long_headers(reject):
            if hash(header) not in seen:
                seen.add(hash(header))
                sizes.append(len(header))
    kept_bytes = share_of(np.frombuffer(sizes, np.int64), max_bytes // 2)
    kept = Budget(max_bytes)
    rows = (row for row in source.image_rows() if row.item_id not in different.crowded)
    return Admitted(
        list(kept.fitting(each for each in source.records() if _unit(each.item_id) in chosen)),
        list(kept.fitting(row for row in rows if _unit(row.item_id) in chosen)),
        [kept.headers.sharing(_cut(each, kept_bytes)) for each in rejected()],
        is_whole=False,
    )


def _unit(item_id: str) -> int:
    return stable_hash(item_id)


def chosen_units(elements: Iterable[tuple[int, Kept]], max_bytes: int) -> set[int]:
    """Return the units that fit, the smallest first: by number, as there may be millions."""
    weights: dict[int, int] = {}
    # Of headers nothing is held but their size: they may be more than what fits.
    header_bytes: dict[int, int] = {}
    headers_of: dict[int, tuple[int, ...]] = {}
    for unit, element in elements:
        weights[unit] = weights.get(unit, 0) + weight_of(element)
        for header in _long_headers(element):
            known = headers_of.get(unit, ())
            if hash(header) not in known:
                header_bytes[hash(header)] = len(header)
                headers_of[unit] = (*known, hash(header))
    alone = dict(weights)
    for unit, headers in headers_of.items():
        alone[unit] += sum(header_bytes[each] for each in headers)
    chosen, left, held = set(), max_bytes, set[int]()
    for unit in sorted(weights, key=lambda unit: (alone[unit], unit)):
        new = set(headers_of.get(unit, ())) - held
        left -= weights[unit] + sum(header_bytes[each] for each in new)
        if left < 0:
            break
        held |= new
        chosen.add(unit)
    return chosen


def grouped(
    records: Callable[[], Iterable[Record]], max_bytes: int
) -> tuple[dict[str, list[Record]], Iterator[Reject]]:
    """Return the groups whose rows fit together into `max_bytes`, the smallest first where not all
    do, and the rows of the others.

    records: reads them again; nothing of what is refused is held.
    """
    budget, groups = Budget(max_bytes), dict[str, list[Record]]()
    for row in budget.fitting(records()):
        groups.setdefault(row.group, []).append(row)
    if budget.left >= 0:
        return groups, iter(())
    groups.clear()
    chosen = chosen_units(((_unit(row.group), row) for row in records()), max_bytes)
    headers, message = Headers(), too_large("groups of rows", "bucket", max_bytes)
    for row in records():
        if _unit(row.group) in chosen:
            groups.setdefault(row.group, []).append(headers.sharing(row))
    refused = (row for row in records() if _unit(row.group) not in chosen)
    return groups, (row.rejected(BUCKET_TOO_LARGE, STAGE, message) for row in refused)


def _rejects(
    source: Source, chosen: Container[int], crowded: Container[str], max_bytes: int
) -> Iterator[Reject]:
    """Yield the bucket's rejects, and those of the items that do not fit, or are crowded."""
    yield from source.rejects()
    message = too_large("items", "bucket", max_bytes)
    for record in source.records():
        if _unit(record.item_id) not in chosen:
            yield record.rejected(BUCKET_TOO_LARGE, STAGE, message)
    for row in source.image_rows():
        if row.item_id in crowded:
            yield one_of_too_many(row)
        elif _unit(row.item_id) not in chosen:
            yield Reject(row.raw, BUCKET_TOO_LARGE, STAGE, message, row.item_id)


def too_large(units: str, place: str, max_bytes: int) -> str:
    """Return why a unit was set aside."""
    return (
        f"the {units} that share its {place} are larger together than {max_bytes:,} bytes "
        "(--max-bucket-bytes), and this is one of the largest; raise --buckets, or "
        "--max-bucket-bytes if the machine has the memory"
    )


def _cut(reject: Reject, most_bytes: int) -> Reject:
    cut: Reject = with_raws(reject, partial(_cut_row, most_bytes))
    return cut


def _cut_row(most_bytes: int, raw: RawRecord) -> RawRecord:
    kept = raw.without_header() if _has_long_header(raw) and len(raw.header) > most_bytes else raw
    return kept.cut(most_bytes)


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
