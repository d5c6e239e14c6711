"""Buckets: their numbers, their key ranges, and functions on them item by item.

A function that fails on one record quarantines that record, and only that one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from schemas.elements import Bucket, Item, Reject
from schemas.hashing import stable_hash
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, fault_of, within
from transforms.runtime.metrics import Meter


def each_item(
    bucket: Bucket,
    stage: str,
    function: Callable[[Item], Item | Reject],
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> Bucket:
    """Apply `function` to each item of a bucket, in order; rejects are added to the bucket's own.

    A record on which `function` raises becomes a Reject with reason `internal-error`, one that
    takes longer than `element_secs` of processor time with `took-too-long`.
    """
    items: list[Item] = []
    rejects: list[Reject] = list(bucket.rejects)
    with Meter(stage).timed():
        for item in bucket.items:
            outcome = _attempt(item, stage, function, element_secs)
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                items.append(outcome)
    return replace(bucket, items=tuple(items), rejects=tuple(rejects))


def _attempt(
    item: Item, stage: str, function: Callable[[Item], Item | Reject], element_secs: float
) -> Item | Reject:
    try:
        return within(element_secs, function, item)
    except Exception as error:  # a defect met on one record must not stop the run
        reason, message = fault_of(error)
        return item.record.rejected(reason, stage, message)


def bucket_of(key: str, num_buckets: int) -> int:
    """Return the bucket of an id, a digest or a path: stable over runs, machines and versions.

    >>> bucket_of("sku-1", 16)
    6
    """
    return stable_hash(key) % num_buckets


_DIGITS = 4


def part_of(key: str, parts: int) -> int:
    """Return the number of the part that a hexadecimal key belongs to; parts are contiguous ranges
    of keys.

    >>> part_of("ffff" + 60 * "0", 4), part_of("00ab", 4)
    (3, 0)
    """
    return int(key[:_DIGITS], 16) * parts >> 4 * _DIGITS


def bounds_of(part: int, parts: int) -> tuple[str, str]:
    """Return the first and last key of a part, by their first four digits.

    >>> bounds_of(3, 4)
    ('c000', 'ffff')
    """
    size = 1 << 4 * _DIGITS
    first, after = (-(-number * size // parts) for number in (part, part + 1))
    return f"{first:04x}", f"{after - 1:04x}"
