"""Rows of the last snapshot that stay in a bucket: all but those that are gone or rebuilt.

(Base, bucket) → table name → pa.Table; columnar, so that unchanged rows never become elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.elements import KEY_BYTES, MODEL_ANSWER
from schemas.tables.specs import table_spec
from transforms.runtime import storage
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.runtime.sealed import DamagedFileError
from transforms.tables.row_equality import equal_rows

DROPS_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("raw_key", pa.binary(KEY_BYTES)),
    ]
)


@dataclass(frozen=True, slots=True)
class Base:
    """The snapshot that a run continues from.

    files: of the buckets that the run writes again; drops: Arrow file of DROPS_SCHEMA, a row for
    each record that is gone or rebuilt, with the id of its item if it was one; kept_whole: tables
    that are not rebuilt, so that none of their rows is dropped.
    """

    snapshot: str
    files: Mapping[int, tuple[DataFile, ...]]
    drops: str
    kept_whole: frozenset[str] = frozenset()


def write_drops(path: str, drops: pa.Table) -> None:
    """Write the file that `Base.drops` names."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, DROPS_SCHEMA) as writer:
        writer.write_table(drops.cast(DROPS_SCHEMA))
    storage.write_bytes(path, sink.getvalue().to_pybytes())


# One file for all buckets of a run: without the cache each bucket would read it again.
@lru_cache(maxsize=2)
def _read_drops(path: str) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(storage.read_bytes(path))).read_all()


def kept_tables(base: Base, bucket: int) -> dict[str, pa.Table]:
    """Return the bucket's earlier tables without what is dropped.

    Raises DamagedFileError, and UnknownTableError for a table that has no specification.
    """
    drops = _read_drops(base.drops)
    drops = drops.filter(pc.equal(drops["bucket"], bucket))
    ids, keys = (drops[name].combine_chunks().drop_null() for name in ("item_id", "raw_key"))
    kept = {}
    for file in base.files.get(bucket, ()):
        table = read_parquet(base.snapshot, file)
        if file.table in base.kept_whole:
            kept[file.table] = table
            continue
        dropped = pc.is_in(table["item_id"], value_set=ids)
        if table_spec(file.table).one_row_per == "record":
            # An answer in quarantine is no record of the catalog: it goes with the item.
            of_item = pc.and_(pc.equal(table["input"], MODEL_ANSWER), dropped)
            dropped = pc.or_(pc.is_in(table["raw_key"], value_set=keys), of_item)
        kept[file.table] = table.filter(pc.invert(dropped))
    return kept


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """Tables of a snapshot of as many buckets, for rows that are rebuilt and may turn out the same.

    files: bucket → table name → file; same_spaces: those whose vectors are what today's encoders
    would give.
    """

    snapshot: str
    files: Mapping[int, Mapping[str, DataFile]]
    same_spaces: frozenset[str] = frozenset()

    def read(self, bucket: int, table: str, columns: list[str] | None = None) -> pa.Table | None:
        """Return a bucket's table; None where there is none, or its file is damaged."""
        file = self.files.get(bucket, {}).get(table)
        try:
            return None if file is None else read_parquet(self.snapshot, file, columns)
        except DamagedFileError:
            return None


def with_earlier_times(items: pa.Table, before: pa.Table | None) -> pa.Table:
    """Return the items, with the earlier created_ts in rows that are otherwise equal.

    Of such rows nothing new was found out, so consumers need not see them as new.
    """
    if before is None or before.schema.remove_metadata() != items.schema.remove_metadata():
        return items
    places = pc.index_in(
        items["item_id"], value_set=before["item_id"].combine_chunks()
    ).combine_chunks()
    found = pc.is_valid(places)
    rows, earlier = items.filter(found), before.take(places.drop_null())
    same = np.ones(rows.num_rows, np.bool_)
    for name in rows.column_names:
        if name != "created_ts":
            same &= equal_rows(rows[name].combine_chunks(), earlier[name].combine_chunks())
    times = items["created_ts"].to_numpy(zero_copy_only=False).copy()
    kept = np.flatnonzero(found.to_numpy(zero_copy_only=False))[same]
    times[kept] = earlier["created_ts"].to_numpy(zero_copy_only=False)[same]
    at = items.column_names.index("created_ts")
    return items.set_column(
        at, items.schema.field(at), pa.array(times).cast(items.schema.field(at).type)
    )


def joined(name: str, kept: pa.Table | None, fresh: pa.Table) -> pa.Table:
    """Return rows that stay and new rows in the order in which a single run would write them.

    Raises UnknownTableError.
    """
    if kept is None or not kept.num_rows:
        return fresh
    metadata = fresh.schema.metadata
    together = pa.concat_tables([kept.replace_schema_metadata(metadata), fresh])
    keys = [(column, "ascending", "at_start") for column in table_spec(name).sort_order]
    order = pc.sort_indices(together, sort_keys=keys)
    return together.take(order).replace_schema_metadata(metadata)
