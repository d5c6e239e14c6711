"""Buckets as Parquet files, one file a table and bucket, and an exact account of what was written.

PCollection[Bucket] → PCollection[BucketReport]. File names depend on the bucket only, so a retried
bundle writes the same file again; readers see nothing of it until the snapshot is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import IMAGE_ROW_FATES
from schemas.elements import Bucket
from schemas.tables import PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.runtime.metrics import Meter
from transforms.runtime.parquet import DataFile, read_parquet, write_parquet
from transforms.tables.build import (
    RunInfo,
    embeddings_table,
    items_table,
    quarantine_table,
    records_table,
)
from transforms.tables.merge import Base, EarlierRows, joined, kept_tables, with_earlier_times

_GIVEN = pa.array(["record"])
_NEVER_FILLED = pa.array(["given-invalid", "not-fillable", "stated-absent"])
_CHEAP_SOURCES = pa.array(["text", "image", "neighbour"])


@dataclass(frozen=True, slots=True)
class BucketReport:
    """What one bucket holds beside its rows.

    values: (attribute, source or `unknown:<reason>`) → items; images: `usable` or a reason id →
    references.
    missing: what the source left out and may be filled, and how much of it rules and probes
    settled.
    image_rows: `attached`, `repeated` (the item had the picture already) or `item-quarantined` →
    rows of image tables.
    """

    bucket: int
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    image_rows: dict[str, int] = field(default_factory=dict)
    files: tuple[DataFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoders:
    """What the vectors were made with: model names and dimensions, by kind."""

    models: dict[str, str]
    dimensions: dict[str, int]


def write_bucket(
    snapshot: str,
    template: Template,
    encoders: Encoders,
    bucket: Bucket,
    run: RunInfo,
    base: Base | None = None,
    earlier: EarlierRows | None = None,
) -> BucketReport:
    """Write the bucket's tables.

    Empty ones are left out, but bucket 0 always has all, so that globs match.

    base: an earlier snapshot, whose rows stay where they are not dropped; earlier: rows of one,
    whose date stays where all else is equal.
    """
    kept = kept_tables(base, bucket.number) if base is not None else {}
    report = BucketReport(bucket.number)
    files = []
    ids = pa.array([], pa.string())
    for name, fresh in _tables(template, encoders, bucket, run):
        if name == "items" and earlier is not None:
            fresh = with_earlier_times(fresh, earlier.read(bucket.number, name))
        table = joined(name, kept.pop(name, None), fresh)
        if name == "items":
            ids = table["item_id"].combine_chunks()
        elif (
            base is not None and name in base.kept_whole
        ):  # an item may have been set aside meanwhile
            table = table.filter(pc.is_in(table["item_id"], value_set=ids))
        report = count_table(report, template, name, table)
        if table.num_rows or bucket.number == 0:
            files.append(write_parquet(snapshot, name, bucket.number, table))
    return replace(report, files=tuple(files))


def empty_tables(
    template: Template, encoders: Encoders, bucket: int, run: RunInfo
) -> dict[str, pa.Table]:
    """The tables of a bucket without rows, by name."""
    return dict(_tables(template, encoders, Bucket(bucket, ()), run))


def add_rows(
    snapshot: str,
    template: Template,
    encoders: Encoders,
    report: BucketReport,
    rows: Mapping[str, pa.Table],
    run: RunInfo,
) -> BucketReport:
    """Write a bucket's files again with further rows by table; the report of what they hold
    then.
    """
    written = {file.table: file for file in report.files}
    again = BucketReport(report.bucket)
    files = []
    for name, empty in empty_tables(template, encoders, report.bucket, run).items():
        table = read_parquet(snapshot, written[name]) if name in written else empty
        table = joined(name, rows.get(name), table)
        again = count_table(again, template, name, table)
        if table.num_rows or name in written:
            files.append(write_parquet(snapshot, name, report.bucket, table))
    return replace(again, files=tuple(files))


def _tables(
    template: Template, encoders: Encoders, bucket: Bucket, run: RunInfo
) -> Iterator[tuple[str, pa.Table]]:
    """The bucket's tables by name, one at a time, so that only one is held."""
    yield "items", items_table(template, bucket.items, run)
    yield "quarantine", quarantine_table(bucket.rejects, run)
    yield "records", records_table(bucket, run)
    for kind, dimension in encoders.dimensions.items():
        yield (
            f"embeddings/{kind}",
            embeddings_table(kind, bucket.items, dimension, encoders.models[kind], run),
        )


def count_table(
    report: BucketReport, template: Template, name: str, table: pa.Table
) -> BucketReport:
    """The report with what a table adds to the bucket's account; items whose records are gone are
    in none.
    """
    if name == "records":
        of_images = table.filter(pc.equal(table["input"], "image-table"))
        fates = _counted(of_images["fate"])
        return replace(report, image_rows={fate: fates.get(fate, 0) for fate in IMAGE_ROW_FATES})
    if name != "items":
        return report
    table = table.filter(pc.is_null(table["deleted_ts"]))
    provenances = {
        a.name: table[a.name + PROVENANCE_SUFFIX].combine_chunks() for a in template.attributes
    }
    images = pc.list_flatten(table["images"].combine_chunks())
    usable = pc.is_valid(pc.struct_field(images, "digest"))
    return replace(
        report,
        values={
            name: _counted(_source_or_reason(provenance))
            for name, provenance in provenances.items()
        },
        missing=count_missing(table.num_rows, provenances.values()),
        flags=_counted(pc.struct_field(pc.list_flatten(table["flags"].combine_chunks()), "reason")),
        images=_counted(pc.if_else(usable, "usable", pc.struct_field(images, "reason"))),
    )


def _source_or_reason(provenance: pa.StructArray) -> pa.Array:
    source, reason = (pc.struct_field(provenance, name) for name in ("source", "reason"))
    return pc.coalesce(
        source, pc.binary_join_element_wise("unknown", pc.fill_null(reason, ""), ":")
    )


def _counted(column: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    return {str(each["values"]): each["counts"] for each in pc.value_counts(column).to_pylist()}


def count_missing(items: int, provenances: Iterable[pa.StructArray]) -> dict[str, int]:
    """Values that may be filled, and items with any; of both those for which no language model has
    to be asked.
    """
    missing, settled = np.zeros(items, np.int64), np.zeros(items, np.int64)
    for provenance in provenances:
        source, reason = (pc.struct_field(provenance, name) for name in ("source", "reason"))
        never = pc.or_(
            pc.is_in(source, value_set=_GIVEN), pc.is_in(reason, value_set=_NEVER_FILLED)
        )
        missing += ~never.to_numpy(zero_copy_only=False)
        settled += pc.is_in(source, value_set=_CHEAP_SOURCES).to_numpy(zero_copy_only=False)
    return {
        "values": int(missing.sum()),
        "values_settled": int(settled.sum()),
        "items": int((missing > 0).sum()),
        "items_settled": int(((missing > 0) & (missing == settled)).sum()),
    }


class _Write(beam.DoFn):
    def __init__(self, transform: WriteTables) -> None:
        self._snapshot, self._template = transform.snapshot, transform.template
        self._encoders, self._run = transform.encoders, transform.run
        self._heartbeat_dir, self._base, self._earlier = (
            transform.heartbeat_dir,
            transform.base,
            transform.earlier,
        )

    def setup(self) -> None:
        self._meter = Meter("write", self._heartbeat_dir)

    def process(self, bucket: Bucket) -> Iterator[BucketReport]:
        with self._meter.timed():
            report = write_bucket(
                self._snapshot,
                self._template,
                self._encoders,
                bucket,
                self._run,
                self._base,
                self._earlier,
            )
        self._meter.add("items", len(bucket.items))
        self._meter.add("quarantined", len(bucket.rejects))
        self._meter.beat()
        yield report


@dataclass(eq=False)
class WriteTables(beam.PTransform):
    """Writes each bucket below `snapshot` and reports what it wrote.

    base, earlier: as of `write_bucket`.
    """

    snapshot: str
    template: Template
    encoders: Encoders
    run: RunInfo
    heartbeat_dir: str = ""
    base: Base | None = None
    earlier: EarlierRows | None = None

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        return buckets | beam.ParDo(_Write(self)).with_output_types(BucketReport)
