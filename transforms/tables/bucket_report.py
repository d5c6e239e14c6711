"""The account of one bucket of a snapshot: how many rows of what, and in which files."""

from __future__ import annotations

from dataclasses import dataclass, field

from transforms.runtime.parquet import DataFile


@dataclass(frozen=True, slots=True)
class BucketReport:
    """Counts and files of one bucket.

    values: attribute → source or `unknown:<reason>` → items; flags: reason → flags of items;
    images: `usable` or a reason id → references.
    missing: values that the source left out and may be filled, and how many of them rules and
      probes filled, as of `count_missing`.
    image_rows: `attached`, `repeated` (the item had the picture already) or `item-quarantined` →
      rows of image tables.
    rows_merged: `merged` → rows that are a part of an item which another row stands for.
    texts_cut: space of vectors → items whose text is longer than what was read of it.
    vectors_failed: space of vectors → items whose vector its encoder failed to make.
    """

    bucket: int
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    image_rows: dict[str, int] = field(default_factory=dict)
    rows_merged: dict[str, int] = field(default_factory=dict)
    texts_cut: dict[str, int] = field(default_factory=dict)
    vectors_failed: dict[str, int] = field(default_factory=dict)
    files: tuple[DataFile, ...] = ()
