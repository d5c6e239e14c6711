"""What is held at once of what was read: all of it, or the smallest units that fit together.

(records, image rows and rejects, bytes) → what is put together and what is set aside. A unit is an
item with its rows, or a group of rows. Pure. Which ones fit follows from their contents alone,
never from their order, and a unit is taken or set aside with all its rows. What is weighed is about
what the elements take in memory, so that memory is bounded whatever ids a catalog has.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
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
    """The elements of a bucket, each kind in any order; every call reads them again.

    key: of sources that give the same elements; None where that is not known.
    """

    records: Callable[[], Iterable[Record]]
    image_rows: Callable[[], Iterable[ImageRow]] = tuple
    rejects: Callable[[], Iterable[Reject]] = tuple
    key: Hashable = None


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


@dataclass(frozen=True, slots=True)
class _Choice:
    """What of a bucket fits: the units that are taken, the items that go on without their rows of
    tables of pictures, and how many bytes are kept of a reject.
    """

    units: array[int]
    crowded: frozenset[str]
    kept_bytes: int


# Several stages of a run put the same bucket together, and to choose is to read it three times.
_CHOICES: OrderedDict[tuple[Hashable, int], _Choice] = OrderedDict()
_MOST_CHOICES = 64


def _choice_of(source: Source, max_bytes: int) -> _Choice:
    """Return what of a bucket fits, as it was found out before if it is the same bucket."""
    key = (source.key, max_bytes)
    choice = _CHOICES.get(key) if source.key is not None else None
    if choice is None:
        choice = _chosen(source, max_bytes)
        if source.key is not None:
            _CHOICES[key] = choice
            while len(_CHOICES) > _MOST_CHOICES:
                _CHOICES.popitem(last=False)
    return choice


def _chosen(source: Source, max_bytes: int) -> _Choice:
    different = Different(source.records, source.image_rows)
    elements = chain[Kept](source.records(), different.once(source.image_rows()))
    units = chosen_units(((_unit(each.item_id), each) for each in elements), max_bytes // 2)
    sizes, seen = array("q"), set[int]()
    for element in _every(source):
        if not _is_refused(element, units, different.crowded):
            continue
        further = () if isinstance(element, ImageRow) else element.rows
        sizes.extend(len(raw.data) for raw in (element.raw, *further))
        for header in _long_headers(element):
            if hash(header) not in seen:
                seen.add(hash(header))
                sizes.append(len(header))
    kept_bytes = share_of(np.frombuffer(sizes, np.int64), max_bytes // 2)
    return _Choice(array("Q", sorted(units)), frozenset(different.crowded), kept_bytes)


def _smallest(source: Source, max_bytes: int) -> Admitted:
    choice = _choice_of(source, max_bytes)
    budget, units = Budget(max_bytes), frozenset(choice.units)
    admitted = Admitted([], [], [], is_whole=False)
    message = too_large("items", "bucket", max_bytes)
    for element in _every(source):
        if _is_refused(element, units, choice.crowded):
            reject = _cut(_refused(element, message, choice.crowded), choice.kept_bytes)
            admitted.rejects.append(budget.headers.sharing(reject))
        elif isinstance(element, Record):
            admitted.records.extend(budget.fitting([element]))
        elif isinstance(element, ImageRow):
            admitted.image_rows.extend(budget.fitting([element]))
    return admitted


def _every(source: Source) -> Iterator[Kept | Reject]:
    yield from source.rejects()
    yield from source.records()
    yield from source.image_rows()


def _is_refused(element: Kept | Reject, units: Container[int], crowded: Container[str]) -> bool:
    """Tell whether an element will be a reject."""
    if isinstance(element, Reject):
        return True
    if isinstance(element, ImageRow) and element.item_id in crowded:
        return True
    return _unit(element.item_id) not in units


def _refused(element: Kept | Reject, message: str, crowded: Container[str]) -> Reject:
    """Return what becomes of an element that is refused; message: where it does not fit."""
    if isinstance(element, Reject):
        return element
    if isinstance(element, Record):
        return element.rejected(BUCKET_TOO_LARGE, STAGE, message)
    if element.item_id in crowded:
        return one_of_too_many(element)
    return Reject(element.raw, BUCKET_TOO_LARGE, STAGE, message, element.item_id)


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
