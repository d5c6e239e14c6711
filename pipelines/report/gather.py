"""The rows of a snapshot as the report needs them: counts over all of them, read column by
column, and a bounded sample.

A file is read at a time, in an order drawn from the seed, and only rows that are shown are ever
turned into Python objects, so that memory does not grow with the catalog.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.report.groups import Groups
from pipelines.snapshots.manifest import Manifest
from schemas.sections.vectors import DEFAULT_SPACES
from schemas.tables.arrow import PROVENANCE_SUFFIX
from transforms.runtime.parquet import DataFile, read_bytes, read_parquet

SEED = 7
FILLED_EXAMPLES, UNKNOWN_EXAMPLES, FLAG_EXAMPLES, QUARANTINE_EXAMPLES = 5, 3, 5, 4
MAX_POINTS = 1_500
CONFIDENCE_BINS = 10
MAX_RAW_BYTES = 4_096

Row = dict[str, Any]


@dataclass
class Gathered:
    """What was read. attributes: in the order of the table.

    confidence: attribute → filled values in ten equal steps of confidence from 0 to 1, exact over
    all rows.
    rows: item id → the whole row, of items that are shown; filled, unknown: attribute → ids;
    flagged: reason → ids.
    quarantine: reason → rows; points: rows of the sample for the map, with the columns of
    `point_columns` only.
    vectors: space → item id → vector, of the sample.
    """

    attributes: list[str] = field(default_factory=list)
    confidence: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    filled: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unknown: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    flagged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    quarantine: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    points: list[Row] = field(default_factory=list)
    vectors: dict[str, dict[str, np.ndarray[Any, np.dtype[np.float32]]]] = field(
        default_factory=dict
    )
    groups: Groups = field(default_factory=Groups)

    @property
    def title(self) -> str:
        """The attribute that names an item, empty where none looks like it."""
        named = [name for name in self.attributes if name.lower() in ("title", "name")]
        return named[0] if named else (self.attributes[0] if self.attributes else "")


def gather(snapshot: str, manifest: Manifest) -> Gathered:
    """Read what the report shows of a snapshot. Raises DamagedFileError."""
    found = Gathered()
    by_table: dict[str, list[DataFile]] = defaultdict(list)
    for file in manifest.files:
        by_table[file.table].append(file)
    draw, items = random.Random(SEED), [file for file in by_table["items"] if file.rows]  # noqa: S311
    rows = sum(file.rows for file in items)
    sampled: dict[str, set[str]] = {}
    for file in draw.sample(items, len(items)):
        share = file.rows if rows <= MAX_POINTS else round(MAX_POINTS * file.rows / rows)
        chosen = sorted(draw.sample(range(file.rows), min(file.rows, share)))
        points = _read_items(found, read_bytes(snapshot, file), chosen)
        sampled[file.path.rpartition("/")[2]] = {row["item_id"] for row in points}
        found.points += points
    for file in by_table["quarantine"]:
        if file.rows:
            _read_quarantine(found, read_parquet(snapshot, file))
    for space in DEFAULT_SPACES:
        found.vectors[space.name] = _read_vectors(snapshot, by_table[space.table], sampled)
    return found


def _read_items(found: Gathered, data: bytes, chosen: Sequence[int]) -> list[Row]:
    """Count the rows of a file and take what is shown of it; returns its points of the map."""
    file = pq.ParquetFile(pa.BufferReader(data))
    names = file.schema_arrow.names
    if not found.attributes:
        provenances = [
            name.removesuffix(PROVENANCE_SUFFIX)
            for name in names
            if name.endswith(PROVENANCE_SUFFIX)
        ]
        found.attributes = [name for name in provenances if name + "__given" in names]
    # Items that are kept without a record are in no count of the manifest.
    live = pc.is_null(file.read(columns=["deleted_ts"])["deleted_ts"]).combine_chunks()
    wanted = _count_values(found, file, live)
    table = file.read(columns=["item_id", "text_source", "images", "flags"])
    found.groups.add(table.filter(live))
    wanted |= _flagged(found, table, live.to_pylist())
    if wanted:
        whole = file.read().take(pa.array(sorted(wanted)))
        found.rows |= {row["item_id"]: row for row in whole.to_pylist(maps_as_pydicts="lossy")}
    columns = ["item_id", "images", "text_source", *found.attributes]
    points = pa.array([row for row in chosen if live[row].as_py()], pa.int64())
    return list(file.read(columns=columns).take(points).to_pylist(maps_as_pydicts="lossy"))


def _count_values(found: Gathered, file: pq.ParquetFile, live: pa.Array) -> set[int]:
    """Count confidences of filled values; returns the rows that become examples of an attribute."""
    ids = file.read(columns=["item_id"])["item_id"]
    wanted: set[int] = set()
    for name in found.attributes:
        parts = [
            f"{name}{PROVENANCE_SUFFIX}.{part}" for part in ("source", "confidence", "candidate")
        ]
        provenance = file.read(columns=parts)[name + PROVENANCE_SUFFIX].combine_chunks()
        source, confidence, candidate = (
            pc.struct_field(provenance, part) for part in ("source", "confidence", "candidate")
        )
        filled = pc.and_(pc.fill_null(pc.not_equal(source, "record"), False), live)
        known = confidence.filter(filled).drop_null().to_numpy(zero_copy_only=False)
        bins = np.minimum((known * CONFIDENCE_BINS + 1e-6).astype(np.int64), CONFIDENCE_BINS - 1)
        counts = np.bincount(bins, minlength=CONFIDENCE_BINS).astype(np.int64)
        found.confidence[name] = (
            found.confidence.get(name, np.zeros(CONFIDENCE_BINS, np.int64)) + counts
        )
        unsure = pc.and_(pc.and_(pc.is_null(source), pc.is_valid(candidate)), live)
        for rows, into, most in (
            (filled, found.filled[name], FILLED_EXAMPLES),
            (unsure, found.unknown[name], UNKNOWN_EXAMPLES),
        ):
            free = most - len(into)
            if free > 0:
                taken = _spread(
                    np.flatnonzero(rows.to_numpy(zero_copy_only=False)), source, free, wanted
                )
                into += [ids[row].as_py() for row in taken]
                wanted.update(taken)
    return wanted


def _spread(rows: np.ndarray[Any, Any], source: pa.Array, most: int, shown: set[int]) -> list[int]:
    """Return a few of these rows, every source in turn, those not yet shown first."""
    by_source: dict[Any, list[int]] = defaultdict(list)
    for row in rows[:2_000].tolist():
        by_source[source[row].as_py()].append(row)
    turns = [
        (rank, row)
        for each in by_source.values()
        for rank, row in enumerate(sorted(each, key=lambda row: (row in shown, row)))
    ]
    return [row for _, row in sorted(turns)[:most]]


def _flagged(found: Gathered, table: pa.Table, live: Sequence[bool]) -> set[int]:
    """Return the rows that become examples of a flag."""
    lists = table["flags"].combine_chunks()
    reasons = pc.struct_field(pc.list_flatten(lists), "reason").to_pylist()
    parents, ids, wanted = pc.list_parent_indices(lists).to_pylist(), table["item_id"], set()
    for row, reason in zip(parents, reasons, strict=True):
        if not live[row]:
            continue
        shown = found.flagged[reason]
        if len(shown) < FLAG_EXAMPLES:
            item_id = ids[row].as_py()
            if item_id not in shown:
                shown.append(item_id)
                wanted.add(row)
    return wanted


def _read_quarantine(found: Gathered, table: pa.Table) -> None:
    reasons, wanted, taken = table["reason"].to_pylist(), [], Counter[str]()
    for row, reason in enumerate(reasons):
        if len(found.quarantine[reason]) + taken[reason] < QUARANTINE_EXAMPLES:
            taken[reason] += 1
            wanted.append(row)
    for row in table.take(pa.array(wanted, pa.int64())).to_pylist():
        found.quarantine[row["reason"]].append(row)


def _read_vectors(
    snapshot: str, files: Sequence[DataFile], sampled: Mapping[str, set[str]]
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the vectors of sampled items."""
    found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for file in files:
        ids = sampled.get(file.path.rpartition("/")[2], set())
        if not ids or not file.rows:
            continue
        table = read_parquet(snapshot, file)
        table = table.filter(
            pc.is_in(table["item_id"], value_set=pa.array(sorted(ids), pa.string()))
        ).combine_chunks()
        if table.num_rows:
            flat = (
                pc.list_flatten(table.column(1)).to_numpy(zero_copy_only=False).astype(np.float32)
            )
            matrix = flat.reshape(table.num_rows, -1)
            found |= dict(zip(table["item_id"].to_pylist(), matrix, strict=True))
    return found
