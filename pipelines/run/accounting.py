"""The account of a run: what went in, what came out, where the rest is.

Pure functions over stage reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transforms.describe.budget import Usage
from transforms.readers import SplitReport
from transforms.runtime.parquet import DataFile
from transforms.tables.write import BucketReport
from transforms.validation.frames import Found


@dataclass(frozen=True, slots=True)
class Account:
    """Counts over a whole run.

    items_deleted: kept though their records have left the catalog; no other count has them, but
    `rows`.
    quarantined: reason → records of the catalog; image_rows_quarantined: reason → rows of image
    tables.
    image_rows_attached: rows that added a picture; image_rows_repeated: rows whose item had the
    picture already;
    image_rows_item_quarantined: rows whose item was set aside.
    answers_quarantined: unusable answers of a language model, which are no records; described: what
    that model did.
    values: attribute → source or `unknown:<reason>` → items.
    missing: values that may be filled and items with any, and those that rules and probes settled.
    """

    records_in: int = 0
    items: int = 0
    items_deleted: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    image_rows_in: int = 0
    image_rows_attached: int = 0
    image_rows_repeated: int = 0
    image_rows_item_quarantined: int = 0
    image_rows_quarantined: dict[str, int] = field(default_factory=dict)
    answers_quarantined: dict[str, int] = field(default_factory=dict)
    described: Usage = field(default_factory=Usage)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def records_quarantined(self) -> int:
        return sum(self.quarantined.values())

    @property
    def unaccounted(self) -> int:
        """Records that are neither items nor in quarantine: always 0, or the snapshot is
        refused.
        """
        return self.records_in - self.items - self.records_quarantined

    @property
    def unaccounted_image_rows(self) -> int:
        """Rows of image tables that went nowhere: always 0, or the snapshot is refused."""
        with_items = (
            self.image_rows_attached + self.image_rows_repeated + self.image_rows_item_quarantined
        )
        return self.image_rows_in - with_items - sum(self.image_rows_quarantined.values())

    @property
    def describe_failures(self) -> int:
        """Items that the language model failed on; those that the budget left open did not fail."""
        return sum(
            items for reason, items in self.described.failed_items.items() if reason != "budget"
        )

    def as_row(self) -> dict[str, float]:
        """The columns that the gate's `run` frame checks."""
        unreadable = self.quarantined.get("file-unreadable", 0) + self.image_rows_quarantined.get(
            "file-unreadable", 0
        )
        return {
            "records_in": self.records_in,
            "items": self.items,
            "unaccounted_records": self.unaccounted,
            "unaccounted_image_rows": self.unaccounted_image_rows,
            "unreadable_files": unreadable,
            "quarantine_rate": self.records_quarantined / max(1, self.records_in),
            "describe_failure_rate": self.describe_failures / max(1, self.described.items),
        }


def add_up(
    splits: Iterable[SplitReport],
    buckets: Sequence[BucketReport],
    found: Found,
    usages: Iterable[Usage] = (),
) -> Account:
    """The account of a run: stage reports, and items and quarantine as they were found on disk."""
    incoming: Counter[str] = Counter()
    for split in splits:
        incoming[split.kind] += split.records + split.rejects + split.known
    image_rows = _total(bucket.image_rows for bucket in buckets)
    return Account(
        records_in=incoming["catalog"],
        items=found.items,
        items_deleted=found.deleted,
        quarantined=_total([found.quarantined.get("catalog", {})]),
        image_rows_in=incoming["image-table"],
        image_rows_attached=image_rows.get("attached", 0),
        image_rows_repeated=image_rows.get("repeated", 0),
        image_rows_item_quarantined=image_rows.get("item-quarantined", 0),
        image_rows_quarantined=_total([found.quarantined.get("image-table", {})]),
        answers_quarantined=_total([found.quarantined.get("model-answer", {})]),
        described=sum(usages, Usage()),
        values={
            name: _total(bucket.values.get(name, {}) for bucket in buckets)
            for name in dict.fromkeys(name for bucket in buckets for name in bucket.values)
        },
        missing=_total(bucket.missing for bucket in buckets),
        flags=_total(bucket.flags for bucket in buckets),
        images=_total(bucket.images for bucket in buckets),
        rows=_total({file.table: file.rows} for file in data_files(buckets)),
    )


def data_files(buckets: Iterable[BucketReport]) -> list[DataFile]:
    """All files of the snapshot in the order of their paths."""
    return sorted((file for bucket in buckets for file in bucket.files), key=lambda file: file.path)


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
