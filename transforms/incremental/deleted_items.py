"""Items whose records have left the catalog: their rows go over to a new snapshot, with the time
when that was seen.

(earlier snapshot, ids) → rows by table and new bucket → files written again. Columnar, a bucket at
a time.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.elements import DELETED
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX
from schemas.tables.specs import ITEMS, RECORDS, table_spec, tables_of
from schemas.template import Template
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import TableContext
from transforms.tables.write import add_rows, empty_tables

_ENCODED = (b"encoder", b"dimension")


def add_deleted_items(
    earlier: str,
    files: Mapping[int, Sequence[DataFile]],
    gone: pa.Table,
    context: TableContext,
    reports: Sequence[BucketReport],
    num_buckets: int,
) -> list[BucketReport]:
    """Write again the buckets of the new snapshot to which items belong that are gone.

    files: the earlier snapshot's by bucket; gone: `item_id` and `bucket` there; context: of the new
    snapshot. Returns the reports of all its buckets.
    """
    wanted: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item_id, bucket in zip(
        gone["item_id"].to_pylist(), gone["bucket"].to_pylist(), strict=True
    ):
        wanted[bucket_of(item_id, num_buckets)][bucket].append(item_id)
    written = []
    for report in reports:
        rows: dict[str, list[pa.Table]] = defaultdict(list)
        for bucket, ids in wanted.get(report.bucket, {}).items():
            for name, table in _rows_of(
                earlier, files[bucket], pa.array(ids, pa.string()), context.template
            ):
                rows[name].append(table)
        if rows:
            empty = empty_tables(context, report.bucket)
            fitting = {}
            for name, tables in rows.items():
                fitting[name] = pa.concat_tables(
                    [
                        fitted(name, table, empty[name], context.template, context.run.started)
                        for table in tables
                    ]
                )
            report = add_rows(context, report, fitting)
        written.append(report)
    return written


def _rows_of(
    snapshot: str, files: Sequence[DataFile], ids: pa.Array, template: Template
) -> Iterator[tuple[str, pa.Table]]:
    """Read what a bucket's tables hold of items; of their records only the one that the item was
    made of.
    """
    tables = tables_of(template.spaces)
    for file in files:
        # An earlier snapshot may have tables that are no longer written.
        if file.table not in tables or not tables[file.table].keeps_deleted:
            continue
        table = read_parquet(snapshot, file)
        table = table.filter(pc.is_in(table["item_id"], value_set=ids))
        if file.table == RECORDS.name:
            table = table.filter(pc.is_in(table["fate"], value_set=pa.array(["item", DELETED])))
        yield file.table, table


def fitted(
    name: str, rows: pa.Table, like: pa.Table, template: Template, now: dt.datetime
) -> pa.Table:
    """Earlier rows as today's table has them, marked as gone: what has no place in it, or another
    type, is left out.

    Rows derived from another encoder's vectors are left out: nothing could be compared with them.
    """
    if name == ITEMS.name:
        marked = like.schema.field("deleted_ts")
        since = pa.array([now] * len(rows), marked.type)
        if marked.name in rows.column_names:  # earlier versions had none
            since = pc.coalesce(rows[marked.name], since)
            rows = rows.drop_columns([marked.name])
        rows = rows.append_column(marked, since)
        for attribute in template.attributes:
            names = [
                attribute.name,
                attribute.name + GIVEN_SUFFIX,
                attribute.name + PROVENANCE_SUFFIX,
            ]
            if not all(each in rows.column_names for each in names) or not _same_type(
                rows, like, attribute.name
            ):
                rows = rows.drop_columns([each for each in names if each in rows.column_names])
    elif name == RECORDS.name:
        rows = rows.set_column(
            rows.column_names.index("fate"),
            rows.schema.field("fate"),
            pa.array([DELETED] * len(rows), pa.string()),
        )
        rows = rows.set_column(
            rows.column_names.index("retry"),
            rows.schema.field("retry"),
            pa.array([False] * len(rows)),
        )
    elif table_spec(name).space and _encoded(rows) != _encoded(like):
        rows = rows.slice(0, 0)
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names and _same_type(rows, like, field.name)
        else pa.nulls(len(rows), field.type)
        for field in like.schema
    ]
    return pa.Table.from_arrays(columns, schema=like.schema)


def _same_type(rows: pa.Table, like: pa.Table, name: str) -> bool:
    return bool(rows.schema.field(name).type == like.schema.field(name).type)


def _encoded(table: pa.Table) -> list[bytes | None]:
    return [(table.schema.metadata or {}).get(key) for key in _ENCODED]
