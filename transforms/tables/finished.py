"""Tables of vectors made for a bucket whose items are finished: all its other files stay.

(bucket's files, items with new vectors) → files of these vectors, and the report of all. Flags of
the items tell which vectors could not be made, so where they change the items are written too, and
with them what the records table says of being tried again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from schemas.elements import Bucket, Flag
from schemas.reasons import BUDGET, EMBED_FAILED, TEXT_CUT, may_pass
from schemas.sections.vectors import flag_fields
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.tables.specs import ITEMS, RECORDS, tables_of
from schemas.template import Template
from transforms.runtime import storage
from transforms.runtime.parquet import DataFile, parquet_table, read_parquet, write_parquet
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import TableContext, build_table, flag_row
from transforms.tables.write import count_table

# Reasons of flags that say something of a vector.
_OF_VECTORS = frozenset([TEXT_CUT, EMBED_FAILED, BUDGET])

FlagRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FinishedBucket:
    """A bucket as it lies below `snapshot`.

    is_new: this run wrote its files, so that a bundle that is tried again may find them written a
    second time.
    """

    snapshot: str
    report: BucketReport
    is_new: bool = False

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return a table, None where the bucket has no row of it. Raises DamagedFileError."""
        file = next((file for file in self.report.files if file.table == table), None)
        chosen = None if columns is None else list(dict.fromkeys(columns))
        if file is None:
            return None
        if self.is_new:
            return parquet_table(storage.read_bytes(file.place(self.snapshot)), chosen)
        return read_parquet(self.snapshot, file, chosen)

    @property
    def has_flagged_vectors(self) -> bool:
        """Whether a flag may say something of a vector."""
        return not _OF_VECTORS.isdisjoint(self.report.flags)


@dataclass(frozen=True, slots=True)
class Revised:
    """A bucket's report once its vectors were made, and the tables of which a file was written."""

    report: BucketReport
    written: tuple[str, ...] = ()


def without_tables(report: BucketReport, tables: Collection[str]) -> BucketReport:
    """Return the report without the files of tables that are none of these."""
    return replace(report, files=tuple(file for file in report.files if file.table in tables))


def revise(
    context: TableContext,
    finished: FinishedBucket,
    bucket: Bucket,
    made: Collection[str],
    gone: Collection[str] = (),
) -> Revised:
    """Write the tables of the spaces `made`, and leave out those of spaces that are no more.

    bucket: items with a record, with the vectors and flags of those spaces alone; gone: spaces
    whose flags go with them.
    """
    tables = tables_of(context.template.spaces)
    files = {file.table: file for file in finished.report.files if file.table in tables}
    written: dict[str, DataFile] = {}
    for name, spec in tables.items():
        if spec.space and spec.space in made:
            files.pop(name, None)
            table = build_table(spec, bucket, context)
            if table.num_rows or bucket.number == 0:
                written[name] = write_parquet(context.snapshot, name, bucket.number, table)
    report = finished.report
    flags = {item.item_id: item.flags for item in bucket.items}
    for name, table in _flagged_anew(context, finished, flags, {*made, *gone}).items():
        report = count_table(report, context.template, name, table)
        written[name] = write_parquet(context.snapshot, name, bucket.number, table)
    files |= written
    ordered = tuple(files[name] for name in tables if name in files)
    return Revised(replace(report, files=ordered), tuple(written))


def _flagged_anew(
    context: TableContext,
    finished: FinishedBucket,
    flags: Mapping[str, Sequence[Flag]],
    spaces: Collection[str],
) -> dict[str, pa.Table]:
    """Return the tables that change with the flags of these spaces; none where no flag changes.

    flags: item → those that its new vectors have.
    """
    if not (finished.has_flagged_vectors or any(flags.values())):
        return {}
    seen = finished.read(ITEMS.name, ["item_id", "deleted_ts", "flags"])
    changed = {} if seen is None else changed_flags(context.template, seen, flags, spaces)
    items, records = finished.read(ITEMS.name), finished.read(RECORDS.name)
    if not changed or items is None:
        return {}
    metadata = {"run_id": context.run.run_id, **context.run.metadata}
    items = with_flags(items, changed, context.run.started)
    tables = {ITEMS.name: items.replace_schema_metadata(metadata)}
    if records is not None:
        retries = _retries(context.template, items.take(pa.array(list(changed))))
        again = with_retries(records, retries)
        if not again.equals(records):
            tables[RECORDS.name] = again.replace_schema_metadata(metadata)
    return tables


def changed_flags(
    template: Template,
    items: pa.Table,
    made: Mapping[str, Sequence[Flag]],
    spaces: Collection[str],
) -> dict[int, list[FlagRow]]:
    """Return row → all flags of the item, where those of these spaces are not what they were.

    made: item → the flags that they have now. Items without a record keep what they have.
    """
    revised = frozenset().union(*map(flag_fields, spaces))
    changed = {}
    columns = (items[name].to_pylist() for name in ("item_id", "deleted_ts", "flags"))
    for row, (item_id, deleted_ts, flags) in enumerate(zip(*columns, strict=True)):
        now = [flag_row(flag) for flag in made.get(item_id, ())]
        before = [flag for flag in flags if _is_of(flag, revised)]
        if deleted_ts is None and _content(before) != _content(now):
            kept = [flag for flag in flags if not _is_of(flag, revised)]
            changed[row] = _in_order(template, [*kept, *now])
    return changed


def _is_of(flag: FlagRow, fields: Collection[str]) -> bool:
    return flag["reason"] in _OF_VECTORS and flag["field"] in fields


def _content(flags: Sequence[FlagRow]) -> list[tuple[str, str, str]]:
    return sorted((flag["reason"], flag["field"], flag["detail"]) for flag in flags)


def _in_order(template: Template, flags: Sequence[FlagRow]) -> list[FlagRow]:
    """Return the flags in the order of a run that makes all spaces at once: those of texts come
    last, space by space.
    """
    texts = [space.name for space in template.spaces if space.of == "text"]
    places = {field: place for place, name in enumerate(texts) for field in flag_fields(name)}
    last = [flag for flag in flags if _is_of(flag, places)]
    first = [flag for flag in flags if not _is_of(flag, places)]
    return [*first, *sorted(last, key=lambda flag: places[flag["field"]])]


def with_flags(
    items: pa.Table, changed: Mapping[int, Sequence[FlagRow]], now: dt.datetime
) -> pa.Table:
    """Return the items table with other flags in some rows, which are new to its readers."""
    flags, times = items["flags"].to_pylist(), items["created_ts"].to_pylist()
    for row, new in changed.items():
        flags[row], times[row] = list(new), now
    for name, values in (("flags", flags), ("created_ts", times)):
        field = items.schema.field(name)
        items = items.set_column(
            items.schema.get_field_index(name), field, pa.array(values, field.type)
        )
    return items


def _retries(template: Template, items: pa.Table) -> dict[str, bool]:
    """Return item → whether a later run tries its record again, by what is unknown and flagged."""
    reasons: dict[str, list[str | None]] = {item_id: [] for item_id in items["item_id"].to_pylist()}
    for said, flags in zip(reasons.values(), items["flags"].to_pylist(), strict=True):
        said += [flag["reason"] for flag in flags]
    for attribute in template.attributes:
        column = items[attribute.name + PROVENANCE_SUFFIX].to_pylist()
        for said, provenance in zip(reasons.values(), column, strict=True):
            said.append(provenance["reason"] if provenance else None)
    return {item_id: may_pass(each) for item_id, each in reasons.items()}


def with_retries(records: pa.Table, retries: Mapping[str, bool]) -> pa.Table:
    """Return the records table with what it says of trying the records of these items again."""
    ids, fates, before = (records[name].to_pylist() for name in ("item_id", "fate", "retry"))
    now = [
        retries.get(item_id, was) if fate == "item" else was
        for item_id, fate, was in zip(ids, fates, before, strict=True)
    ]
    place, field = records.schema.get_field_index("retry"), records.schema.field("retry")
    return records.set_column(place, field, pa.array(now, field.type))
