"""A written snapshot read back: what lies on disk, compared with the reports, as the frames that the gate checks.

Each file is read once, whole: a file holds one bucket, so memory is bounded by a bucket.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.attributes import Attribute, AttributeType
from schemas.tables import PROVENANCE_SUFFIX, TABLES
from schemas.template import Template
from transforms.data_files import DataFile
from transforms.spool import bucket_of
from transforms.write import BucketReport

MAX_EXAMPLES = 5

Frame = tuple[str, pa.Table]


@dataclass(slots=True)
class Tally:
    """How many there were, with the first few named."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class Found:
    """What the files of a snapshot hold, counted from the files themselves.

    items: with a record; deleted: kept without one.
    quarantined: input (`catalog` or `image-table`) → reason → rows.
    files_amiss: files that are missing, unreadable, changed since they were written, or in no report.
    buckets_amiss: bucket numbers without exactly one report, and reports of buckets that do not exist.
    """

    items: int = 0
    quarantined: dict[str, Counter[str]] = field(default_factory=dict)
    files_amiss: Tally = field(default_factory=Tally)
    buckets_amiss: Tally = field(default_factory=Tally)
    deleted: int = 0


def read_frames(
    snapshot: str,
    template: Template,
    reports: Sequence[BucketReport],
    num_buckets: int,
    found: Found,
    looked_at: Collection[int] | None = None,
) -> Iterator[Frame]:
    """The frames of every reported file, bucket by bucket; `found` is filled on the way.

    looked_at: buckets whose files are read, None for all.
    """
    _check_buckets(reports, num_buckets, found)
    _check_unreported(snapshot, reports, found)
    for report in reports:
        if looked_at is not None and report.bucket not in looked_at:
            continue
        ids = pa.array([], pa.string())
        # The ids of the bucket's items must be known before its vectors come.
        for file in sorted(report.files, key=lambda file: file.table != "items"):
            parquet = open_file(snapshot, file, found)
            if parquet is None:
                continue
            if file.table == "items":
                table = parquet.read(columns=_item_columns(template))
                ids = table["item_id"].combine_chunks()
                table = _without_deleted(table, file, report.bucket, num_buckets, found)
                yield "items", item_frame(template, table, report.bucket, num_buckets)
                yield from list_frames(template, table)
            elif file.table == "quarantine":
                _count_quarantine(parquet.read(columns=["input", "reason"]), found)
            elif file.table.startswith("embeddings/"):
                yield file.table, embedding_frame(parquet.read(), ids)


def open_file(snapshot: str, file: DataFile, found: Found) -> pq.ParquetFile | None:
    """The file as it lies on disk, read into memory; None when it cannot be read. Differences go to `found`."""
    try:
        with FileSystems.open(file.place(snapshot), compression_type=CompressionTypes.UNCOMPRESSED) as source:
            data = source.read()
        parquet = pq.ParquetFile(pa.BufferReader(data))
    except (OSError, BeamIOError, pa.ArrowException) as error:
        found.files_amiss.add(f"{file.path}: cannot be read ({type(error).__name__})")
        return None
    if parquet.metadata.num_rows != file.rows:
        found.files_amiss.add(f"{file.path}: {parquet.metadata.num_rows} rows, {file.rows} were written")
    elif hashlib.sha256(data).hexdigest() != file.digest:
        found.files_amiss.add(f"{file.path}: other bytes than were written")
    return parquet


def item_frame(template: Template, table: pa.Table, bucket: int, num_buckets: int) -> pa.Table:
    """Scalar columns of the items table; a value without a source shows as source `<none>`.

    misplaced_id: an id that belongs to another bucket's file; miscounted_id: an item whose image_count is
    not the number of its usable pictures; both null where all is well.
    `<attribute>__confidence` is null where the source gave the value, so that only filled ones are checked.
    """
    ids = table["item_id"].combine_chunks()
    misplaced = [bucket_of(item_id, num_buckets) != bucket for item_id in ids.to_pylist()]
    miscounted = usable_pictures(table["images"]) != table["image_count"].to_numpy()
    nowhere = pa.scalar(None, pa.string())
    columns: dict[str, Any] = {
        "item_id": ids,
        "misplaced_id": pc.if_else(pa.array(misplaced, pa.bool_()), ids, nowhere),
        "miscounted_id": pc.if_else(pa.array(miscounted, pa.bool_()), ids, nowhere),
    }
    for attribute in template.attributes:
        columns |= _attribute_columns(attribute, table)
    return pa.table(columns)


def _attribute_columns(attribute: Attribute, table: pa.Table) -> dict[str, pa.ChunkedArray]:
    name = attribute.name
    provenance, known = table[name + PROVENANCE_SUFFIX], pc.is_valid(table[name])
    source = pc.fill_null(pc.struct_field(provenance, "source"), "<none>")
    filled = pc.and_(known, pc.not_equal(source, "record"))
    confidence = pc.fill_null(pc.struct_field(provenance, "confidence"), float("-inf"))
    # float32 cannot hold 0.8; compare what was meant, not the rounding.
    rounded = pc.round(pc.cast(confidence, pa.float64()), 6)
    # Of free texts, lists and mappings only presence is checked here; holding them would cost memory.
    checked = attribute.type in (AttributeType.NUMBER, AttributeType.BOOLEAN) or (
        attribute.type.has_closed_list and attribute.type is not AttributeType.MULTI_ENUM
    )
    return {
        f"{name}__source": pc.if_else(known, source, pa.scalar(None, pa.string())),
        f"{name}__confidence": pc.if_else(filled, rounded, pa.scalar(None, pa.float64())),
        name: table[name] if checked else pc.if_else(known, "<value>", pa.scalar(None, pa.string())),
    }


def usable_pictures(images: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Pictures with a digest, that is with features, in each row of the `images` column."""
    lists = images.combine_chunks()
    usable = pc.is_valid(pc.struct_field(pc.list_flatten(lists), "digest"))
    rows = pc.filter(pc.list_parent_indices(lists), usable).to_numpy()
    return np.bincount(rows, minlength=len(lists)).astype(np.int64)


def list_frames(template: Template, table: pa.Table) -> Iterator[Frame]:
    """One frame per list attribute, one row per entry."""
    for attribute in template.attributes:
        if attribute.type is AttributeType.MULTI_ENUM:
            yield f"list:{attribute.name}", pa.table({attribute.name: pc.list_flatten(table[attribute.name])})


def embedding_frame(table: pa.Table, item_ids: pa.Array) -> pa.Table:
    """item_id, the length of its vector (-1 with NaN or infinity), and stray_id: an id of no item of the bucket."""
    vectors, ids = table.column(1).combine_chunks(), table["item_id"].combine_chunks()
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), vectors.type.list_size)
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    stray = pc.if_else(pc.is_in(ids, value_set=item_ids), pa.scalar(None, pa.string()), ids)
    return pa.table({"item_id": ids, "stray_id": stray, "norm": np.where(np.isfinite(norms), norms, -1.0)})


def _without_deleted(table: pa.Table, file: DataFile, bucket: int, num_buckets: int, found: Found) -> pa.Table:
    """Items that have a record; the others were checked by the template of their time, and only have to be at home."""
    has_record = pc.is_null(table["deleted_ts"])
    live, deleted = table.filter(has_record), table.filter(pc.invert(has_record))
    found.items += live.num_rows
    found.deleted += deleted.num_rows
    known = Counter(table["item_id"].to_pylist()) if deleted.num_rows else Counter()
    for item_id in deleted["item_id"].to_pylist():
        if bucket_of(item_id, num_buckets) != bucket:
            found.files_amiss.add(f"{file.path}: deleted item {item_id} belongs to another bucket")
        elif known[item_id] > 1:
            found.files_amiss.add(f"{file.path}: {item_id} is there as a deleted item as well")
    return live


def _item_columns(template: Template) -> list[str]:
    names = [attribute.name for attribute in template.attributes]
    leaves = [f"{name}{PROVENANCE_SUFFIX}.{leaf}" for name in names for leaf in ("source", "confidence")]
    return ["item_id", "deleted_ts", "image_count", "images.list.element.digest", *names, *leaves]


def _count_quarantine(table: pa.Table, found: Found) -> None:
    for kind, reason in zip(table["input"].to_pylist(), table["reason"].to_pylist(), strict=True):
        found.quarantined.setdefault(kind, Counter())[reason] += 1


def _check_buckets(reports: Sequence[BucketReport], num_buckets: int, found: Found) -> None:
    times = Counter(report.bucket for report in reports)
    for number in sorted({*range(num_buckets), *times}):
        expected = 1 if 0 <= number < num_buckets else 0
        if times[number] != expected:
            found.buckets_amiss.add(f"bucket {number}: {times[number]} reports, {expected} expected")


def _check_unreported(snapshot: str, reports: Sequence[BucketReport], found: Found) -> None:
    """Readers take every Parquet file of a table's folder, so a file that nobody reported is a fault."""
    reported = {file.path for report in reports for file in report.files}
    for table in TABLES:
        pattern = FileSystems.join(snapshot, *table.split("/"), "*.parquet")
        for metadata in FileSystems.match([pattern])[0].metadata_list:
            path = f"{table}/{FileSystems.split(metadata.path)[1]}"
            if path not in reported:
                found.files_amiss.add(f"{path}: in no report of this run")
