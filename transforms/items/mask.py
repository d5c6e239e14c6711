"""Known values hidden for an evaluation: Bucket → Bucket whose records lack what it hides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from schemas.elements import Bucket, Item, Record
from schemas.hashing import stable_hash

# `value`: each value for itself; `item`: all of an item's together.
Unit = Literal["value", "item"]


@dataclass(frozen=True, slots=True)
class Mask:
    """The values that one fold of an evaluation hides, by a seeded hash: any run hides the same.

    attributes: names of those that may be hidden; fold: 0 to folds - 1; over all folds each value
    is hidden once.
    """

    attributes: frozenset[str]
    unit: Unit = "value"
    folds: int = 5
    fold: int = 0
    seed: int = 0

    def hides(self, item_id: str, attribute: str) -> bool:
        """Tell whether this fold hides the item's value of the attribute."""
        if attribute not in self.attributes:
            return False
        key = item_id if self.unit == "item" else f"{item_id}\n{attribute}"
        return stable_hash(f"{self.seed}\n{key}") % self.folds == self.fold


def mask_bucket(mask: Mask, bucket: Bucket) -> Bucket:
    """Return the bucket as if the source had never given what the mask hides."""
    return replace(bucket, items=tuple(_masked(mask, item) for item in bucket.items))


def _masked(mask: Mask, item: Item) -> Item:
    record = item.record
    hidden = {name for name in record.given if mask.hides(item.item_id, name)}
    return replace(item, record=_without(record, hidden)) if hidden else item


def _without(record: Record, hidden: set[str]) -> Record:
    return replace(
        record,
        values={name: value for name, value in record.values.items() if name not in hidden},
        given={name: text for name, text in record.given.items() if name not in hidden},
        origins={name: source for name, source in record.origins.items() if name not in hidden},
        absent=tuple(name for name in record.absent if name not in hidden),
        flags=tuple(flag for flag in record.flags if flag.field not in hidden),
    )
