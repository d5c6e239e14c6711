"""A written snapshot read back from disk: compared with the reports, and as the gate's frames.

Each file is read once, whole: a file holds one bucket, so memory is bounded by a bucket.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.attributes import Attribute
from schemas.sections.vectors import IMAGE_PARTS
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX
from schemas.tables.specs import (
    ITEMS,
    QUARANTINE,
    RECORDS,
    TableSpec,
    UnknownTableError,
    table_spec,
    tables_of,
)
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.runtime import storage
from transforms.runtime.buckets import bucket_of
from transforms.runtime.listing import files_in
from transforms.runtime.parquet import DataFile
from transforms.tables.bucket_report import BucketReport
from transforms.validation.distributions import Distributions
from transforms.validation.file_schemas import FileTypes
from transforms.validation.row_faults import (
    NO_IDS,
    NOWHERE,
    PROVENANCE_LEAVES,
    chunk_ids,
    mismatched_records,
    missing_chunks,
    missing_rows,
    row_faults,
)
from transforms.vectors.contract import METADATA_KEY, of_text

MAX_EXAMPLES = 5

Frame = tuple[str, pa.Table]


@dataclass(slots=True)
class Faults:
    """Number of faults of a kind, with examples of the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class Found:
    """Content of a snapshot, counted from the files themselves.

    items: with a record; deleted: kept without one.
    quarantined: input (`catalog` or `image-table`) → reason → rows.
    distributions: of the items' values and vectors.
    described: vector table → digest of the contract in a file's metadata, empty where it has none,
      and dimension of its vectors.
    faults: kind of check of the whole run (`schemas.checks`) → faults, in words.
    """

    items: int = 0
    quarantined: dict[str, Counter[str]] = field(default_factory=dict)
    deleted: int = 0
    distributions: Distributions = field(default_factory=Distributions)
    described: dict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))
    faults: dict[str, Faults] = field(default_factory=lambda: defaultdict(Faults))


def read_frames(
    snapshot: str,
    template: Template,
    reports: Sequence[BucketReport],
    num_buckets: int,
    found: Found,
    only: Collection[int] | None = None,
) -> Iterator[Frame]:
    """Yield the frames of every reported file, bucket by bucket; `found` is filled on the way.

    only: buckets whose files are read, None for all.
    """
    _check_buckets(reports, num_buckets, found)
    _check_unreported(snapshot, template, reports, found)
    types = FileTypes(template)
    for report in reports:
        if only is None or report.bucket in only:
            yield from _BucketReader(snapshot, template, report, num_buckets, types, found).frames()


@dataclass
class _BucketReader:
    """Reads the files of one bucket and compares its tables with each other."""

    snapshot: str
    template: Template
    report: BucketReport
    num_buckets: int
    types: FileTypes
    found: Found
    items: pa.Table | None = None
    records: pa.Table | None = None
    # Table → ids of its rows, those of items without a record included.
    ids: dict[str, pa.Array] = field(default_factory=dict)

    def frames(self) -> Iterator[Frame]:
        # The ids of the bucket's items must be known before its vectors come.
        for file in sorted(self.report.files, key=lambda file: file.table != ITEMS.name):
            parquet = open_file(self.snapshot, file, self.found)
            if parquet is None:
                continue
            fault = self.types.fault(file.table, parquet.schema_arrow)
            if fault:  # its columns cannot be relied on, so its rows are not checked
                self.found.faults["file-types"].add(f"{file.path}: {fault}")
            else:
                yield from self._of(file, parquet)
        self._compare()

    def _of(self, file: DataFile, parquet: pq.ParquetFile) -> Iterator[Frame]:
        spec = table_spec(file.table)
        if spec is ITEMS:
            yield from self._items(file, parquet)
        elif spec is QUARANTINE:
            table = parquet.read(columns=["input", "reason", "message"])
            _count_quarantine(table, self.found)
            yield spec.name, quarantine_frame(table)
        elif spec is RECORDS:
            self.records = parquet.read(columns=["item_id", "input", "fate"])
        else:
            yield spec.name, self._rows_of_items(spec, parquet)

    def _items(self, file: DataFile, parquet: pq.ParquetFile) -> Iterator[Frame]:
        table = parquet.read(columns=_item_columns(self.template))
        self.ids[ITEMS.name] = table["item_id"].combine_chunks()
        self.items = _without_deleted(table, file, self.report.bucket, self.num_buckets, self.found)
        self.found.distributions.add_items(self.template, self.items)
        yield (
            ITEMS.name,
            item_frame(self.template, self.items, self.report.bucket, self.num_buckets),
        )
        yield from list_frames(self.template, self.items)

    def _rows_of_items(self, spec: TableSpec, parquet: pq.ParquetFile) -> pa.Table:
        """Return the frame of a table whose rows are of items; of vectors with their norms."""
        if spec.one_row_per == "record":
            raise UnknownTableError(f"the gate has no frame for the rows of table {spec.name}")
        is_chunks = spec.one_row_per == "chunk"
        columns = ["item_id", *(["chunk"] if is_chunks else [])]
        if spec.vectors:
            columns.append(spec.vectors)
        table = parquet.read(columns=columns)
        ids = self.ids[spec.name] = table["item_id"].combine_chunks()
        frame = owned_frame(ids, self.ids.get(ITEMS.name, NO_IDS))
        if is_chunks:
            frame = frame.append_column("row_id", chunk_ids(table))
            for lost in missing_chunks(spec.space, table):
                self.found.faults["vectors-there"].add(lost)
        if not spec.vectors:
            return frame
        matrix = vectors_of(table)
        self.found.described[spec.name].add((_said_of(parquet, spec.name), matrix.shape[1]))
        if not is_chunks:
            self.found.distributions.add_vectors(spec.space, matrix)
        return frame.append_column("norm", pa.array(norms_of(matrix)))

    def _compare(self) -> None:
        if self.items is None:
            return
        for lost in missing_rows(self.template, self.items, self.ids):
            self.found.faults["vectors-there"].add(lost)
        if self.records is not None:
            for lost in mismatched_records(self.records, self.items):
                self.found.faults["records-match"].add(lost)


def open_file(snapshot: str, file: DataFile, found: Found) -> pq.ParquetFile | None:
    """Open the file as it lies on disk, read into memory; None when it cannot be read.

    Differences from its report go to `found`.
    """
    try:
        data = storage.read_bytes(file.place(snapshot))
        parquet = pq.ParquetFile(pa.BufferReader(data))
    except (OSError, pa.ArrowException) as error:
        found.faults["files-as-written"].add(
            f"{file.path}: cannot be read ({type(error).__name__})"
        )
        return None
    if parquet.metadata.num_rows != file.rows:
        found.faults["files-as-written"].add(
            f"{file.path}: {parquet.metadata.num_rows} rows, {file.rows} were written"
        )
    elif hashlib.sha256(data).hexdigest() != file.digest:
        found.faults["files-as-written"].add(f"{file.path}: other bytes than were written")
    return parquet


def _said_of(parquet: pq.ParquetFile, table: str) -> str:
    """Return the digest of the contract in a file's metadata, or the empty string."""
    text = (parquet.schema_arrow.metadata or {}).get(METADATA_KEY.encode())
    return of_text(text, table).digest if text else ""


def item_frame(template: Template, table: pa.Table, bucket: int, num_buckets: int) -> pa.Table:
    """Scalar columns of the items table, and the faults of its rows (`row_faults`).

    A value without a source has source `<none>`. `<attribute>__confidence` is null where the source
    gave the value, so that only filled ones are checked.
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
    # float32 has no exact 0.8: without rounding it would fall below a limit of 0.8.
    rounded = pc.round(pc.cast(confidence, pa.float64()), 6)
    # Of free texts, lists and mappings only presence is checked here; holding them would cost
    # memory.
    return {
        f"{name}__source": pc.if_else(known, source, pa.scalar(None, pa.string())),
        f"{name}__confidence": pc.if_else(filled, rounded, pa.scalar(None, pa.float64())),
        name: operations_of(attribute).gate_values(table[name])
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
    """Column reason of the quarantine; `<no message>` in rows that do not say what was wrong."""
    has_message = pc.greater(pc.utf8_length(pc.fill_null(table["message"], "")), 0)
    return pa.table({"reason": pc.if_else(has_message, table["reason"], "<no message>")})


def vectors_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vectors of a table that has them in its last column, shape (rows, dimension)."""
    vectors = table.column(table.num_columns - 1).combine_chunks()
    return (
        vectors.flatten()
        .to_numpy(zero_copy_only=False)
        .reshape(len(vectors), vectors.type.list_size)
    )


def owned_frame(ids: pa.Array, item_ids: pa.Array) -> pa.Table:
    """Return item_id, and stray_id: the id again where the bucket has no such item, else null."""
    stray = pc.if_else(pc.is_in(ids, value_set=item_ids), NOWHERE, ids)
    return pa.table({"item_id": ids, "stray_id": stray})


def norms_of(matrix: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, Any]:
    """Lengths of vectors, float64 of shape (rows,); -1 of those with NaN or infinity."""
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    return np.where(np.isfinite(norms), norms, -1.0)


def _without_deleted(
    table: pa.Table, file: DataFile, bucket: int, num_buckets: int, found: Found
) -> pa.Table:
    """Return items that have a record.

    The others were checked by the template of their time: only that they are in the right bucket,
    and not there as live items too, is checked again.
    """
    has_record = pc.is_null(table["deleted_ts"])
    live, deleted = table.filter(has_record), table.filter(pc.invert(has_record))
    found.items += live.num_rows
    found.deleted += deleted.num_rows
    known = Counter(table["item_id"].to_pylist()) if deleted.num_rows else Counter()
    for item_id in deleted["item_id"].to_pylist():
        if bucket_of(item_id, num_buckets) != bucket:
            found.faults["files-as-written"].add(
                f"{file.path}: deleted item {item_id} belongs to another bucket"
            )
        elif known[item_id] > 1:
            found.faults["files-as-written"].add(
                f"{file.path}: {item_id} is there as a deleted item as well"
            )
    return live


def _item_columns(template: Template) -> list[str]:
    names = [attribute.name for attribute in template.attributes]
    given = [f"{name}{GIVEN_SUFFIX}" for name in names]
    leaves = [f"{name}{PROVENANCE_SUFFIX}.{leaf}" for name in names for leaf in PROVENANCE_LEAVES]
    fixed = ["item_id", "deleted_ts", "image_count", "images.list.element.digest"]
    if any(part in IMAGE_PARTS for space in template.spaces for part in space.parts):
        shown = ("labels.list.element.name", "labels.list.element.score", "text")
        fixed += [f"images.list.element.{leaf}" for leaf in shown]
        fixed += [f"images.list.element.colors.list.element.{leaf}" for leaf in ("name", "score")]
    texts = ["text_enriched", "image_description"]
    flags = ["flags.list.element.reason", "flags.list.element.field"]
    return [*fixed, *texts, *flags, *names, *given, *leaves]


def _count_quarantine(table: pa.Table, found: Found) -> None:
    for kind, reason in zip(table["input"].to_pylist(), table["reason"].to_pylist(), strict=True):
        found.quarantined.setdefault(kind, Counter())[reason] += 1


def _check_buckets(reports: Sequence[BucketReport], num_buckets: int, found: Found) -> None:
    times = Counter(report.bucket for report in reports)
    for number in sorted({*range(num_buckets), *times}):
        expected = 1 if 0 <= number < num_buckets else 0
        if times[number] != expected:
            found.faults["buckets-once"].add(
                f"bucket {number}: {times[number]} reports, {expected} expected"
            )


def _check_unreported(
    snapshot: str, template: Template, reports: Sequence[BucketReport], found: Found
) -> None:
    """Find files in no report: readers take every Parquet file of a table's folder."""
    reported = {file.path for report in reports for file in report.files}
    for table in tables_of(template.spaces):
        for stored in files_in(storage.join(snapshot, *table.split("/")), ".parquet"):
            path = f"{table}/{storage.name_of(stored.path)}"
            if path not in reported:
                found.faults["files-as-written"].add(f"{path}: in no report of this run")
