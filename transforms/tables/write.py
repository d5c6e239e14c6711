"""Buckets as Parquet files, one file a table and bucket, and an exact account of their rows.

PCollection[Bucket] → PCollection[BucketReport]. File names depend on the bucket only, so a retried
bundle writes the same file again; readers see nothing of it until the snapshot is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.elements import MERGED, Bucket
from schemas.reasons import EMBED_FAILED, TEXT_CUT
from schemas.sections.vectors import space_of
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.tables.columns import IMAGE_ROW_FATES
from schemas.tables.specs import ITEMS, table_spec, tables_of
from schemas.template import Template
from transforms.runtime.metrics import Meter
from transforms.runtime.parquet import read_parquet, write_parquet
from transforms.runtime.stages.fused import FusedStep, in_one
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import Encoders, RunInfo, TableContext, build_table
from transforms.tables.merge import Base, EarlierRows, joined, kept_tables, with_earlier_times
from transforms.vectors.canaries import Canary

_GIVEN = pa.array(["record"])
_NEVER_FILLED = pa.array(["given-invalid", "not-fillable", "stated-absent"])
_CHEAP_SOURCES = pa.array(["text", "image", "neighbour"])


def write_bucket(
    context: TableContext,
    bucket: Bucket,
    base: Base | None = None,
    earlier: EarlierRows | None = None,
) -> BucketReport:
    """Write the bucket's tables.

    Empty ones are left out, but bucket 0 always has all: readers' globs match, and a later run
    knows from it which tables there are.

    base: an earlier snapshot, whose rows stay where they are not dropped; earlier: rows of one,
    whose created_ts stays where all else is equal.
    """
    kept = kept_tables(base, bucket.number) if base is not None else {}
    report = BucketReport(bucket.number)
    files = []
    ids = pa.array([], pa.string())
    for name, fresh in _tables(context, bucket):
        if name == ITEMS.name and earlier is not None:
            fresh = with_earlier_times(fresh, earlier.read(bucket.number, name))
        table = joined(name, kept.pop(name, None), fresh)
        if name == ITEMS.name:
            ids = table["item_id"].combine_chunks()
        elif base is not None and name in base.kept_whole:
            # Nothing was dropped of it, but an item may have been quarantined meanwhile.
            table = table.filter(pc.is_in(table["item_id"], value_set=ids))
        report = count_table(report, context.template, name, table)
        if table.num_rows or bucket.number == 0:
            files.append(write_parquet(context.snapshot, name, bucket.number, table))
    return replace(report, files=tuple(files))


def empty_tables(context: TableContext, bucket: int) -> dict[str, pa.Table]:
    """Return the tables of a bucket without rows, by name."""
    return dict(_tables(context, Bucket(bucket, ())))


def add_rows(
    context: TableContext, report: BucketReport, rows: Mapping[str, pa.Table]
) -> BucketReport:
    """Write a bucket's files again with further rows by table.

    Returns the report of what they hold then.
    """
    written = {file.table: file for file in report.files}
    again = BucketReport(report.bucket)
    files = []
    for name, empty in empty_tables(context, report.bucket).items():
        table = read_parquet(context.snapshot, written[name]) if name in written else empty
        table = joined(name, rows.get(name), table)
        again = count_table(again, context.template, name, table)
        if table.num_rows or name in written:
            files.append(write_parquet(context.snapshot, name, report.bucket, table))
    return replace(again, files=tuple(files))


def _tables(context: TableContext, bucket: Bucket) -> Iterator[tuple[str, pa.Table]]:
    """Tables of the bucket by name, one at a time, so that only one is held in memory."""
    for name, spec in tables_of(context.template.spaces).items():
        # An evaluation makes no vectors and has no encoders, so none of the tables made of them.
        if not spec.space or spec.space in context.encoders.dimensions:
            yield name, build_table(spec, bucket, context)


def count_table(
    report: BucketReport, template: Template, name: str, table: pa.Table
) -> BucketReport:
    """Return the report with what the rows of a table add to the fields that it is counted as."""
    counts: dict[str, Any] = {
        field: _COUNTS[field](template, table) for field in table_spec(name).counted_as
    }
    return replace(report, **counts)


def _count_values(template: Template, items: pa.Table) -> dict[str, dict[str, int]]:
    live = _with_record(items)
    return {
        name: _counted(_source_or_reason(provenance))
        for name, provenance in _provenances(template, live).items()
    }


def _count_missing(template: Template, items: pa.Table) -> dict[str, int]:
    live = _with_record(items)
    return count_missing(live.num_rows, _provenances(template, live).values())


def _count_flags(items: pa.Table) -> dict[str, int]:
    flags = pc.list_flatten(_with_record(items)["flags"].combine_chunks())
    return _counted(pc.struct_field(flags, "reason"))


def _count_by_space(items: pa.Table, reason: str) -> dict[str, int]:
    """Return space of vectors → flags with a reason."""
    flags = pc.list_flatten(_with_record(items)["flags"].combine_chunks())
    found = flags.filter(pc.equal(pc.struct_field(flags, "reason"), reason))
    counted = _counted(pc.struct_field(found, "field"))
    return {space_of(name): number for name, number in counted.items()}


def _count_images(items: pa.Table) -> dict[str, int]:
    images = pc.list_flatten(_with_record(items)["images"].combine_chunks())
    usable = pc.is_valid(pc.struct_field(images, "digest"))
    return _counted(pc.if_else(usable, "usable", pc.struct_field(images, "reason")))


def _count_image_rows(records: pa.Table) -> dict[str, int]:
    fates = _counted(records.filter(pc.equal(records["input"], "image-table"))["fate"])
    return {fate: fates.get(fate, 0) for fate in IMAGE_ROW_FATES}


def _count_rows_merged(records: pa.Table) -> dict[str, int]:
    return _counted(records.filter(pc.equal(records["fate"], MERGED))["fate"])


# Field of BucketReport → how rows of the table that is counted as it are counted.
_COUNTS: Mapping[str, Callable[[Template, pa.Table], dict[str, Any]]] = {
    "values": _count_values,
    "missing": _count_missing,
    "flags": lambda _, items: _count_flags(items),
    "images": lambda _, items: _count_images(items),
    "texts_cut": lambda _, items: _count_by_space(items, TEXT_CUT),
    "vectors_failed": lambda _, items: _count_by_space(items, EMBED_FAILED),
    "image_rows": lambda _, records: _count_image_rows(records),
    "rows_merged": lambda _, records: _count_rows_merged(records),
}


def _with_record(items: pa.Table) -> pa.Table:
    """Items that are in the catalog: those kept without a record are in no count but `rows`."""
    deleted = items["deleted_ts"]
    # Most runs keep no deleted items: the whole table is not copied for each count then.
    return items if deleted.null_count == len(deleted) else items.filter(pc.is_null(deleted))


def _provenances(template: Template, items: pa.Table) -> dict[str, pa.StructArray]:
    return {
        attribute.name: items[attribute.name + PROVENANCE_SUFFIX].combine_chunks()
        for attribute in template.attributes
    }


def _source_or_reason(provenance: pa.StructArray) -> pa.Array:
    source, reason = (pc.struct_field(provenance, name) for name in ("source", "reason"))
    return pc.coalesce(
        source, pc.binary_join_element_wise("unknown", pc.fill_null(reason, ""), ":")
    )


def _counted(column: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    return {str(each["values"]): each["counts"] for each in pc.value_counts(column).to_pylist()}


def count_missing(items: int, provenances: Iterable[pa.StructArray]) -> dict[str, int]:
    """Count values that may be filled, and items with any; of both, those that need no language
    model.
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
        self._context = TableContext(
            transform.snapshot, transform.template, transform.encoders, transform.run
        )
        self._heartbeat_dir = transform.heartbeat_dir
        self._base, self._earlier = transform.base, transform.earlier

    def setup(self) -> None:
        self._meter = Meter("write", self._heartbeat_dir)

    def process(
        self, bucket: Bucket, canaries: Mapping[str, Sequence[Canary]] = MappingProxyType({})
    ) -> Iterator[BucketReport]:
        with self._meter.timed():
            encoders = self._context.encoders.proven(canaries)
            context = replace(self._context, encoders=encoders)
            report = write_bucket(context, bucket, self._base, self._earlier)
        self._meter.add("items", len(bucket.items))
        self._meter.add("quarantined", len(bucket.rejects))
        self._meter.beat()
        yield report


@dataclass(eq=False)
class WriteTables(beam.PTransform):
    """Write each bucket below `snapshot` and report what was written.

    base, earlier: as of `write_bucket`. canaries: a side input, table → canaries, of tables that
    have had none.
    """

    snapshot: str
    template: Template
    encoders: Encoders
    run: RunInfo
    heartbeat_dir: str = ""
    base: Base | None = None
    earlier: EarlierRows | None = None
    canaries: beam.pvalue.AsDict | None = None

    def step(self) -> FusedStep:
        """Return Bucket → BucketReport."""
        return FusedStep(_Write(self), () if self.canaries is None else (self.canaries,))

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[BucketReport]:
        return buckets | in_one(self.step()).with_output_types(BucketReport)
