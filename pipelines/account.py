"""The account of a run: what went in, what came out, where the rest is. Pure functions over stage reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from transforms.readers import SplitReport
from transforms.write import BucketReport, DataFile


@dataclass(frozen=True, slots=True)
class Account:
    """Counts over a whole run.

    quarantined: reason → records of the catalog; image_rows_quarantined: reason → rows of image tables.
    values: attribute → source or `unknown:<reason>` → items.
    """

    records_in: int = 0
    items: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    image_rows_in: int = 0
    image_rows_quarantined: dict[str, int] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def records_quarantined(self) -> int:
        return sum(self.quarantined.values())

    @property
    def unaccounted(self) -> int:
        """Records that are neither items nor in quarantine: always 0, or the snapshot is refused."""
        return self.records_in - self.items - self.records_quarantined

    def as_row(self) -> dict[str, float]:
        """The columns that the gate's `run` frame checks."""
        unreadable = self.quarantined.get("file-unreadable", 0) + self.image_rows_quarantined.get("file-unreadable", 0)
        return {
            "records_in": self.records_in,
            "items": self.items,
            "unaccounted_records": self.unaccounted,
            "unreadable_files": unreadable,
            "quarantine_rate": self.records_quarantined / max(1, self.records_in),
        }


def add_up(splits: Iterable[SplitReport], buckets: Sequence[BucketReport]) -> Account:
    """The account of all stage reports of a run."""
    incoming: Counter[str] = Counter()
    for split in splits:
        incoming[split.kind] += split.records + split.rejects
    return Account(
        records_in=incoming["catalog"],
        items=sum(bucket.items for bucket in buckets),
        quarantined=_total(bucket.quarantined.get("catalog", {}) for bucket in buckets),
        image_rows_in=incoming["image-table"],
        image_rows_quarantined=_total(bucket.quarantined.get("image-table", {}) for bucket in buckets),
        values={
            name: _total(bucket.values.get(name, {}) for bucket in buckets)
            for name in dict.fromkeys(name for bucket in buckets for name in bucket.values)
        },
        flags=_total(bucket.flags for bucket in buckets),
        images=_total(bucket.images for bucket in buckets),
        rows=_total({file.table: file.rows} for file in data_files(buckets)),
    )


def data_files(buckets: Iterable[BucketReport]) -> list[DataFile]:
    """All files of the snapshot in the order of their paths."""
    return sorted((file for bucket in buckets for file in bucket.files), key=lambda file: file.path)


def _total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
