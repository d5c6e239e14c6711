"""A bucket, item by item: a function that fails on one record sets that record aside, and only that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from schemas.elements import Bucket, Item, Reject
from transforms.runtime.metrics import Meter


def each_item(bucket: Bucket, stage: str, function: Callable[[Item], Item | Reject]) -> Bucket:
    """The bucket with `function` applied to each item, in order; rejects are added to the bucket's own.

    A record on which `function` raises becomes a Reject with reason `internal-error`.
    """
    items: list[Item] = []
    rejects: list[Reject] = list(bucket.rejects)
    with Meter(stage).timed():
        for item in bucket.items:
            outcome = _attempt(item, stage, function)
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                items.append(outcome)
    return replace(bucket, items=tuple(items), rejects=tuple(rejects))


def _attempt(item: Item, stage: str, function: Callable[[Item], Item | Reject]) -> Item | Reject:
    try:
        return function(item)
    except Exception as error:  # a defect met on one record must not stop the run
        return Reject(item.record.raw, "internal-error", stage, f"{type(error).__name__}: {error}", item.item_id)
