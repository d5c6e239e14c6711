"""Buckets as Parquet files, one file a table and bucket, and an exact account of what was written.

PCollection[Bucket] → PCollection[BucketReport]. File names depend on the bucket only, so a retried bundle
writes the same file again; readers see nothing of it until the snapshot is published.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.elements import Bucket
from schemas.template import Template
from transforms.meter import Meter
from transforms.tabulate import RunInfo, embeddings_table, items_table, quarantine_table

ROW_GROUP_ROWS = 64 * 1024
_NEVER_FILLED = frozenset(["given-invalid", "not-fillable", "stated-absent"])
_CHEAP_SOURCES = frozenset(["text", "image", "neighbour"])


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a snapshot. path: relative to the snapshot; digest: SHA-256."""

    table: str
    path: str
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class BucketReport:
    """What one bucket holds beside its rows.

    values: (attribute, source or `unknown:<reason>`) → items; images: `usable` or a reason id → references.
    missing: what the source left out and may be filled, and how much of it rules and probes settled.
    image_rows: `attached`, `repeated` (the item had the picture already) or `item-quarantined` → rows of image tables.
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


def write_parquet(snapshot: str, table_name: str, bucket: int, table: pa.Table) -> DataFile:
    """Write one file: zstd, dictionary-encoded, with statistics, sorted by its first column."""
    sink = io.BytesIO()
    embeddings = table_name.startswith("embeddings/")
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=["item_id"] if embeddings else True,
        use_byte_stream_split=[f"{table.column_names[1]}.list.element"] if embeddings else False,
        row_group_size=ROW_GROUP_ROWS,
        sorting_columns=[pq.SortingColumn(0, nulls_first=table_name == "quarantine")],
        store_schema=True,
    )
    data = sink.getbuffer()
    path = f"{table_name}/bucket-{bucket:05d}.parquet"
    with FileSystems.create(
        FileSystems.join(snapshot, *path.split("/")), compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(data)
    return DataFile(table_name, path, table.num_rows, len(data), hashlib.sha256(data).hexdigest())


def write_bucket(snapshot: str, template: Template, encoders: Encoders, bucket: Bucket, run: RunInfo) -> BucketReport:
    """Write the bucket's tables. Empty ones are left out, but bucket 0 always has all, so that globs match."""
    files = [
        write_parquet(snapshot, name, bucket.number, table)
        for name, table in _tables(template, encoders, bucket, run)
        if table.num_rows or bucket.number == 0
    ]
    return count_bucket(bucket, tuple(files))


def _tables(template: Template, encoders: Encoders, bucket: Bucket, run: RunInfo) -> Iterator[tuple[str, pa.Table]]:
    """The bucket's tables by name, one at a time, so that only one is held."""
    yield "items", items_table(template, bucket.items, run)
    yield "quarantine", quarantine_table(bucket.rejects, run)
    for kind, dimension in encoders.dimensions.items():
        yield f"embeddings/{kind}", embeddings_table(kind, bucket.items, dimension, encoders.models[kind], run)


def count_bucket(bucket: Bucket, files: tuple[DataFile, ...]) -> BucketReport:
    """The account of a bucket."""
    values: dict[str, Counter[str]] = {}
    for item in bucket.items:
        for name, value in item.values.items():
            values.setdefault(name, Counter())[value.source or f"unknown:{value.reason}"] += 1
    images = [image for item in bucket.items for image in item.images]
    return BucketReport(
        bucket=bucket.number,
        values={name: dict(counts) for name, counts in values.items()},
        missing=count_missing(bucket),
        flags=dict(Counter(flag.reason for item in bucket.items for flag in item.flags)),
        images=dict(Counter(image.reason or "usable" for image in images)),
        image_rows=count_image_rows(bucket),
        files=files,
    )


def count_missing(bucket: Bucket) -> dict[str, int]:
    """Values that may be filled, and items with any; of both those for which no language model has to be asked."""
    counts = dict.fromkeys(("values", "values_settled", "items", "items_settled"), 0)
    for item in bucket.items:
        missing = [v for v in item.values.values() if v.source != "record" and v.reason not in _NEVER_FILLED]
        settled = sum(value.source in _CHEAP_SOURCES for value in missing)
        counts["values"] += len(missing)
        counts["values_settled"] += settled
        counts["items"] += bool(missing)
        counts["items_settled"] += bool(missing) and settled == len(missing)
    return counts


def count_image_rows(bucket: Bucket) -> dict[str, int]:
    """Where the rows of image tables went that found an item: each number is counted on its own, none is a rest."""
    items = {item.item_id for item in bucket.items}
    gone = {reject.item_id for reject in bucket.rejects if reject.item_id is not None} - items
    return {
        "attached": sum(len({i.path for i in item.images}.difference(item.record.image_refs)) for item in bucket.items),
        "repeated": sum(item.repeated_image_rows for item in bucket.items),
        "item-quarantined": sum(rows for item_id, rows in bucket.image_rows.items() if item_id in gone),
    }


class _Write(beam.DoFn):
    def __init__(self, transform: WriteTables) -> None:
        self._snapshot, self._template = transform.snapshot, transform.template
        self._encoders, self._run = transform.encoders, transform.run
        self._heartbeat_dir = transform.heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("write", self._heartbeat_dir)

    def process(self, bucket: Bucket) -> Iterator[BucketReport]:
        with self._meter.timed():
            report = write_bucket(self._snapshot, self._template, self._encoders, bucket, self._run)
        self._meter.add("items", len(bucket.items))
        self._meter.add("quarantined", len(bucket.rejects))
        self._meter.beat()
        yield report


@dataclass(eq=False)
class WriteTables(beam.PTransform):
    """Writes each bucket below `snapshot` and reports what it wrote."""

    snapshot: str
    template: Template
    encoders: Encoders
    run: RunInfo
    heartbeat_dir: str = ""

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        return buckets | beam.ParDo(_Write(self)).with_output_types(BucketReport)
