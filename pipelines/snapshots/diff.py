"""Differences between two snapshots: records and values added, changed and removed, by attribute
and source.

(Snapshot, Snapshot) → Difference. Columnar, a bucket at a time; files that both share are not
opened.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots.query import Rows, query
from pipelines.snapshots.snapshot import Snapshot
from schemas.elements import MODEL_ANSWER
from schemas.tables.arrow import PROVENANCE_SUFFIX
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import DataFile, read_parquet

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
KINDS = (ADDED, CHANGED, REMOVED)
NO_SOURCE = "unknown"
# Of each side that are held at once where two snapshots are divided otherwise.
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Example:
    """One value that differs.

    before, after: as JSON would write them; of the side that has a value the method.
    """

    item_id: str
    kind: str
    before: Any
    after: Any
    method: str | None
    confidence: float | None


@dataclass
class AttributeDifference:
    """kind → source of the value (after; before, where it was removed) → items; and the first few
    of them.
    """

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in KINDS}
    )
    examples: list[Example] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(counts.total() for counts in self.counts.values())


@dataclass
class Difference:
    """items: kind → items, with the ids of the first few; changed: a value, a text or a flag
    differs.

    quarantine: kind (added, removed) → reason → records.
    """

    before: str
    after: str
    items: Counter[str] = field(default_factory=Counter)
    item_examples: dict[str, list[str]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    attributes: dict[str, AttributeDifference] = field(default_factory=dict)
    quarantine: dict[str, Counter[str]] = field(
        default_factory=lambda: {ADDED: Counter(), REMOVED: Counter()}
    )

    @property
    def is_empty(self) -> bool:
        return not (self.items.total() or any(reasons for reasons in self.quarantine.values()))


def diff(before: Snapshot, after: Snapshot, max_examples: int = 3) -> Difference:
    """Compare two snapshots; max_examples: of each kind and attribute. Raises DamagedFileError."""
    found = Difference(before.run_id, after.run_id)
    for old, new in _pairs(before, after):
        add_items(found, old, new, max_examples)
    _add_quarantine(found, before, after)
    found.attributes = {
        name: found.attributes[name]
        for name in sorted(found.attributes)
        if found.attributes[name].total
    }
    return found


def _pairs(before: Snapshot, after: Snapshot) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the rows of items that have to be compared, a bucket at a time.

    A join in SQL would hold a whole side at once, and compare files that both sides share.
    """
    olds, news = _different_files(before, after, "items")
    if before.manifest.buckets == after.manifest.buckets:
        for path in sorted(olds.keys() | news.keys()):
            yield _table(before, olds.get(path)), _table(after, news.get(path))
    else:
        yield from divided_alike((before, olds.values()), (after, news.values()))


def _different_files(
    before: Snapshot, after: Snapshot, table: str
) -> tuple[dict[str, DataFile], dict[str, DataFile]]:
    """Return the files of a table, by path, without those that both snapshots share."""
    olds = {file.path: file for file in before.files_of(table)}
    news = {file.path: file for file in after.files_of(table)}
    if before.manifest.buckets == after.manifest.buckets:
        for path in olds.keys() & news.keys():
            if olds[path].digest == news[path].digest:
                del olds[path], news[path]
    return olds, news


def divided_alike(
    *sides: tuple[Snapshot, Iterable[DataFile]],
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield rows of equal ids of two snapshots with different numbers of buckets.

    A bucket is a hash modulo the number of buckets, so ids agree modulo what divides both numbers:
    these files belong together and are read once. Where that is too much to hold, they are read
    once for each further part of the ids.
    """
    common = math.gcd(*(info.manifest.buckets for info, _ in sides))
    for part in range(common):
        files = [_files_of_part(every, part, common) for _, every in sides]
        parts = max(1, math.ceil(max(map(_num_rows, files)) / ROWS_AT_ONCE))
        for further in range(parts):
            wanted = part + common * further, common * parts
            old, new = (
                _part(info, each, *wanted) for (info, _), each in zip(sides, files, strict=True)
            )
            yield old, new


def _files_of_part(files: Iterable[DataFile], part: int, parts: int) -> list[DataFile]:
    """Return the files whose number is `part` modulo `parts`."""
    return [file for file in files if _number(file) % parts == part]


def _num_rows(files: Iterable[DataFile]) -> int:
    return sum(file.rows for file in files)


def _number(file: DataFile) -> int:
    return int(file.path.rpartition("-")[2].removesuffix(".parquet"))


def _table(info: Snapshot, file: DataFile | None) -> pa.Table:
    return pa.table({}) if file is None else read_parquet(info.path, file)


def _part(info: Snapshot, files: Sequence[DataFile], part: int, parts: int) -> pa.Table:
    """Return the rows of these files whose ids belong to a part."""
    tables = []
    for file in files:
        table = read_parquet(info.path, file)
        ids = table["item_id"].to_pylist()
        tables.append(
            table.filter(pa.array([bucket_of(each, parts) == part for each in ids], pa.bool_()))
        )
    return pa.concat_tables(tables) if tables else pa.table({})


def add_items(found: Difference, old: pa.Table, new: pa.Table, max_examples: int) -> None:
    """Add what differs between two sets of rows of the items table."""
    old_ids, new_ids = _ids(old), _ids(new)
    for kind, ids, others in ((ADDED, new_ids, old_ids), (REMOVED, old_ids, new_ids)):
        alone = ids.filter(pc.invert(pc.is_in(ids, value_set=others)))
        _note(found, kind, alone.to_pylist(), max_examples)
    both = old_ids.filter(pc.is_in(old_ids, value_set=new_ids))
    at_old, at_new = (pc.index_in(both, value_set=ids) for ids in (old_ids, new_ids))
    changed = np.zeros(len(both), np.bool_)
    for name in _attributes(old, new):
        sides = [_side(table, name, at) for table, at in ((old, at_old), (new, at_new))]
        differs = _compare(found, name, both, sides, max_examples)
        changed |= differs
    for name in ("text_enriched", "flags", "image_description"):
        if name in old.column_names and name in new.column_names:
            changed |= ~_equal(old[name].take(at_old), new[name].take(at_new))
    _note(found, CHANGED, both.filter(pa.array(changed)).to_pylist(), max_examples)


def _ids(table: pa.Table) -> pa.Array:
    return (
        table["item_id"].combine_chunks()
        if "item_id" in table.column_names
        else pa.array([], pa.string())
    )


def _note(found: Difference, kind: str, ids: Sequence[str], max_examples: int) -> None:
    found.items[kind] += len(ids)
    shown = found.item_examples[kind]
    shown += ids[: max(0, max_examples - len(shown))]


def _attributes(*tables: pa.Table) -> list[str]:
    names = (
        name for table in tables for name in table.column_names if name.endswith(PROVENANCE_SUFFIX)
    )
    return list(dict.fromkeys(name.removesuffix(PROVENANCE_SUFFIX) for name in names))


@dataclass(frozen=True)
class _Side:
    """An attribute's values of the items of both sides, with provenance; None where the side lacks
    the column.
    """

    values: pa.Array | None
    provenance: pa.Array | None

    def known(self, rows: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if self.values is None:
            return np.zeros(rows, np.bool_)
        return np.asarray(pc.is_valid(self.values).to_numpy(zero_copy_only=False), np.bool_)


def _side(table: pa.Table, name: str, at: pa.Array) -> _Side:
    if name not in table.column_names:
        return _Side(None, None)
    values, provenance = (
        table[each].take(at).combine_chunks() for each in (name, name + PROVENANCE_SUFFIX)
    )
    return _Side(values, provenance)


def _compare(
    found: Difference, name: str, ids: pa.Array, sides: Sequence[_Side], max_examples: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    old, new = sides
    had, has = old.known(len(ids)), new.known(len(ids))
    same = np.ones(len(ids), np.bool_)
    if old.values is not None and new.values is not None:
        same = _equal(old.values, new.values)
    kinds = {ADDED: ~had & has, REMOVED: had & ~has, CHANGED: had & has & ~same}
    for kind, rows in kinds.items():
        if not rows.any():
            continue
        difference = found.attributes.setdefault(name, AttributeDifference())
        side = old if kind == REMOVED else new
        if side.provenance is None:
            continue
        chosen = side.provenance.filter(pa.array(rows))
        sources = pc.fill_null(pc.struct_field(chosen, "source"), NO_SOURCE)
        difference.counts[kind].update(
            {str(r["values"]): r["counts"] for r in pc.value_counts(sources).to_pylist()}
        )
        shown = sum(example.kind == kind for example in difference.examples)
        for row in np.flatnonzero(rows)[: max(0, max_examples - shown)]:
            provenance = side.provenance[int(row)].as_py() or {}
            before, after = (
                None if s.values is None else s.values[int(row)].as_py() for s in sides
            )
            difference.examples.append(
                Example(
                    ids[int(row)].as_py(),
                    kind,
                    before,
                    after,
                    provenance.get("method"),
                    provenance.get("confidence"),
                )
            )
    return np.asarray(kinds[ADDED] | kinds[REMOVED] | kinds[CHANGED])


def _equal(old: Any, new: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each value equals the other side's; nothing equals nothing."""
    if pa.types.is_nested(old.type) or old.type != new.type:
        return np.array(
            [a == b for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True)], np.bool_
        )
    equal = pc.fill_null(pc.equal(old, new), False)
    neither = pc.and_(pc.is_null(old), pc.is_null(new))
    return np.asarray(pc.or_(equal, neither).to_numpy(zero_copy_only=False), np.bool_)


# A record is known by its bytes; the same bytes may lie in quarantine several times.
_QUARANTINE_SQL = """
    WITH rows AS (
        SELECT reason, raw_digest, 1 AS side FROM new WHERE input IS DISTINCT FROM $answers
        UNION ALL
        SELECT reason, raw_digest, -1 FROM old WHERE input IS DISTINCT FROM $answers
    ), records AS (SELECT reason, raw_digest, sum(side) AS more FROM rows GROUP BY ALL)
    SELECT
        reason,
        sum(greatest(more, 0))::BIGINT AS added,
        sum(greatest(-more, 0))::BIGINT AS removed
    FROM records GROUP BY reason ORDER BY reason
"""


def _add_quarantine(found: Difference, before: Snapshot, after: Snapshot) -> None:
    """Count the records that came into quarantine and that left it; answers of a language model
    are not records.
    """
    olds, news = _different_files(before, after, "quarantine")
    if not olds and not news:
        return
    schema = pa.schema([(name, pa.string()) for name in ("reason", "raw_digest", "input")])
    old, new = Rows(before, [*olds.values()], schema), Rows(after, [*news.values()], schema)
    for row in query(_QUARANTINE_SQL, {"answers": MODEL_ANSWER}, old=old, new=new):
        for kind in (ADDED, REMOVED):
            if row[kind]:
                found.quarantine[kind][row["reason"]] += row[kind]
