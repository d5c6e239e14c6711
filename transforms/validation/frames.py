"""A written snapshot read back: what lies on disk, compared with the reports, as the frames that
the gate checks.

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

from schemas.attributes import Attribute
from schemas.tables import GIVEN_SUFFIX, PROVENANCE_SUFFIX, TABLES
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import DataFile
from transforms.tables.write import BucketReport
from transforms.validation.distributions import Distributions
from transforms.validation.file_schemas import FileTypes
from transforms.validation.row_faults import (
    NOWHERE,
    PROVENANCE_LEAVES,
    mismatched_records,
    missing_vectors,
    row_faults,
)

MAX_EXAMPLES = 5

Frame = tuple[str, pa.Table]
KINDS = ("text", "image")


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
    files_amiss: files that are missing, unreadable, changed since they were written, or in no
    report.
    buckets_amiss: bucket numbers without exactly one report, and reports of buckets that do not
    exist.
    types_amiss: files whose columns or types are not the template's; vectors_amiss: items without
    their vector;
    records_amiss: records and items that do not name each other. distributions: of the items'
    values and vectors.
    """

    items: int = 0
    quarantined: dict[str, Counter[str]] = field(default_factory=dict)
    files_amiss: Tally = field(default_factory=Tally)
    buckets_amiss: Tally = field(default_factory=Tally)
    deleted: int = 0
    types_amiss: Tally = field(default_factory=Tally)
    vectors_amiss: Tally = field(default_factory=Tally)
    records_amiss: Tally = field(default_factory=Tally)
    distributions: Distributions = field(default_factory=Distributions)


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
    types = FileTypes(template)
    for report in reports:
        if looked_at is None or report.bucket in looked_at:
            yield from _BucketReader(snapshot, template, report, num_buckets, types, found).frames()


@dataclass
class _BucketReader:
    """Reads the files of one bucket and holds its tables against each other."""

    snapshot: str
    template: Template
    report: BucketReport
    num_buckets: int
    types: FileTypes
    found: Found
    items: pa.Table | None = None
    records: pa.Table | None = None
    # Of all rows of the items table, deleted ones included.
    ids: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    vector_ids: dict[str, pa.Array] = field(
        default_factory=lambda: dict.fromkeys(KINDS, pa.array([], pa.string()))
    )

    def frames(self) -> Iterator[Frame]:
        # The ids of the bucket's items must be known before its vectors come.
        for file in sorted(self.report.files, key=lambda file: file.table != "items"):
            parquet = open_file(self.snapshot, file, self.found)
            wrong = "" if parquet is None else self.types.fault(file.table, parquet.schema_arrow)
            if wrong:
                self.found.types_amiss.add(f"{file.path}: {wrong}")
            elif parquet is not None:
                yield from self._of(file, parquet)
        self._compare()

    def _of(self, file: DataFile, parquet: pq.ParquetFile) -> Iterator[Frame]:
        match file.table:
            case "items":
                table = parquet.read(columns=_item_columns(self.template))
                self.ids = table["item_id"].combine_chunks()
                self.items = _without_deleted(
                    table, file, self.report.bucket, self.num_buckets, self.found
                )
                self.found.distributions.add_items(self.template, self.items)
                yield (
                    "items",
                    item_frame(self.template, self.items, self.report.bucket, self.num_buckets),
                )
                yield from list_frames(self.template, self.items)
            case "quarantine":
                table = parquet.read(columns=["input", "reason", "message"])
                _count_quarantine(table, self.found)
                yield "quarantine", quarantine_frame(table)
            case "records":
                self.records = parquet.read(columns=["item_id", "input", "fate"])
            case _:
                yield (
                    file.table,
                    self._vectors(file.table.removeprefix("embeddings/"), parquet.read()),
                )

    def _vectors(self, kind: str, table: pa.Table) -> pa.Table:
        matrix = vectors_of(table)
        self.vector_ids[kind] = table["item_id"].combine_chunks()
        self.found.distributions.add_vectors(kind, matrix)
        return embedding_frame(self.vector_ids[kind], matrix, self.ids)

    def _compare(self) -> None:
        if self.items is None:
            return
        for lost in missing_vectors(self.items, self.vector_ids):
            self.found.vectors_amiss.add(lost)
        if self.records is not None:
            for lost in mismatched_records(self.records, self.items):
                self.found.records_amiss.add(lost)


def open_file(snapshot: str, file: DataFile, found: Found) -> pq.ParquetFile | None:
    """The file as it lies on disk, read into memory; None when it cannot be read.

    Differences go to `found`.
    """
    try:
        with FileSystems.open(
            file.place(snapshot), compression_type=CompressionTypes.UNCOMPRESSED
        ) as source:
            data = source.read()
        parquet = pq.ParquetFile(pa.BufferReader(data))
    except (OSError, BeamIOError, pa.ArrowException) as error:
        found.files_amiss.add(f"{file.path}: cannot be read ({type(error).__name__})")
        return None
    if parquet.metadata.num_rows != file.rows:
        found.files_amiss.add(
            f"{file.path}: {parquet.metadata.num_rows} rows, {file.rows} were written"
        )
    elif hashlib.sha256(data).hexdigest() != file.digest:
        found.files_amiss.add(f"{file.path}: other bytes than were written")
    return parquet


def item_frame(template: Template, table: pa.Table, bucket: int, num_buckets: int) -> pa.Table:
    """Scalar columns of the items table, and what is wrong with its rows (`row_faults`).

    A value without a source shows as source `<none>`. `<attribute>__confidence` is null where the
    source gave the value, so that only filled ones are checked.
    """
    columns: dict[str, Any] = {
        "item_id": table["item_id"].combine_chunks(),
        **row_faults(template, table, bucket, num_buckets),
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
    # Of free texts, lists and mappings only presence is checked here; holding them would cost
    # memory.
    return {
        f"{name}__source": pc.if_else(known, source, pa.scalar(None, pa.string())),
        f"{name}__confidence": pc.if_else(filled, rounded, pa.scalar(None, pa.float64())),
        name: table[name]
        if operations_of(attribute).is_held_by_gate
        else pc.if_else(known, "<value>", pa.scalar(None, pa.string())),
    }


def list_frames(template: Template, table: pa.Table) -> Iterator[Frame]:
    """One frame per list attribute, one row per entry."""
    for attribute in template.attributes:
        if attribute.spec.is_list:
            yield (
                f"list:{attribute.name}",
                pa.table({attribute.name: pc.list_flatten(table[attribute.name])}),
            )


def quarantine_frame(table: pa.Table) -> pa.Table:
    """reason, `<no message>` where a row does not say what was wrong."""
    has_message = pc.greater(pc.utf8_length(pc.fill_null(table["message"], "")), 0)
    return pa.table({"reason": pc.if_else(has_message, table["reason"], "<no message>")})


def vectors_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vectors of an embeddings table, shape (rows, dimension)."""
    vectors = table.column(1).combine_chunks()
    return (
        vectors.flatten()
        .to_numpy(zero_copy_only=False)
        .reshape(len(vectors), vectors.type.list_size)
    )


def embedding_frame(
    ids: pa.Array, matrix: np.ndarray[Any, np.dtype[np.float32]], item_ids: pa.Array
) -> pa.Table:
    """item_id, the length of its vector (-1 with NaN or infinity), and stray_id: an id of no item
    of the bucket.
    """
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    stray = pc.if_else(pc.is_in(ids, value_set=item_ids), NOWHERE, ids)
    return pa.table(
        {"item_id": ids, "stray_id": stray, "norm": np.where(np.isfinite(norms), norms, -1.0)}
    )


def _without_deleted(
    table: pa.Table, file: DataFile, bucket: int, num_buckets: int, found: Found
) -> pa.Table:
    """Items that have a record; the others were checked by the template of their time, and only
    have to be at home.
    """
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
    given = [f"{name}{GIVEN_SUFFIX}" for name in names]
    leaves = [f"{name}{PROVENANCE_SUFFIX}.{leaf}" for name in names for leaf in PROVENANCE_LEAVES]
    fixed = ["item_id", "deleted_ts", "image_count", "images.list.element.digest", "text_enriched"]
    return [*fixed, "flags.list.element.reason", *names, *given, *leaves]


def _count_quarantine(table: pa.Table, found: Found) -> None:
    for kind, reason in zip(table["input"].to_pylist(), table["reason"].to_pylist(), strict=True):
        found.quarantined.setdefault(kind, Counter())[reason] += 1


def _check_buckets(reports: Sequence[BucketReport], num_buckets: int, found: Found) -> None:
    times = Counter(report.bucket for report in reports)
    for number in sorted({*range(num_buckets), *times}):
        expected = 1 if 0 <= number < num_buckets else 0
        if times[number] != expected:
            found.buckets_amiss.add(
                f"bucket {number}: {times[number]} reports, {expected} expected"
            )


def _check_unreported(snapshot: str, reports: Sequence[BucketReport], found: Found) -> None:
    """Readers take every Parquet file of a table's folder, so a file that nobody reported is a
    fault.
    """
    reported = {file.path for report in reports for file in report.files}
    for table in TABLES:
        pattern = FileSystems.join(snapshot, *table.split("/"), "*.parquet")
        for metadata in FileSystems.match([pattern])[0].metadata_list:
            path = f"{table}/{FileSystems.split(metadata.path)[1]}"
            if path not in reported:
                found.files_amiss.add(f"{path}: in no report of this run")
