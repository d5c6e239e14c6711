"""One item's whole story, read from the tables: values with their provenance, pictures, neighbours,
history.

Only the file of the item's bucket is read, but for the nearest items, which lie anywhere, and for
ids not found.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots.snapshot import Snapshot
from schemas.reasons import REASONS
from schemas.sections.vectors import DEFAULT_SPACES
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX
from schemas.texts import shorten
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.runtime.sealed import DamagedFileError
from transforms.validation.frames import vectors_of

MAX_NEIGHBOURS = 5
MAX_RAW_CHARS = 2_000
MAX_SUGGESTIONS = 5
MAX_TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute of an item. given: as the source wrote it; the rest as in its provenance."""

    attribute: str
    value: Any
    given: str | None
    source: str | None
    method: str | None
    confidence: float | None
    evidence: Mapping[str, Any] | None
    reason: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of the nearest items by text vector. similarity: cosine."""

    item_id: str
    similarity: float
    title: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """An attribute that differs from the snapshot before."""

    attribute: str
    before: Any
    after: Any
    source: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """The item in one snapshot.

    created: when its row was made; fate: `item`, `deleted` or `absent`, `damaged` where nobody can
    tell, which `problem` says why.
    """

    run_id: str
    published: bool
    fate: str
    created: str | None
    changes: tuple[Change, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row in quarantine that has the item's id. raw: the record as text, shortened."""

    reason: str
    stage: str
    message: str
    fix: str
    source: str
    raw: str


@dataclass(frozen=True, slots=True)
class Story:
    """All of it. row: the item's row as it is, empty where there is none."""

    item_id: str
    run_id: str
    row: Mapping[str, Any]
    values: tuple[Value, ...]
    pictures: tuple[Mapping[str, Any], ...]
    flags: tuple[Mapping[str, Any], ...]
    neighbours: tuple[Neighbour, ...]
    versions: tuple[Version, ...]
    set_aside: tuple[SetAside, ...]


def story_of(info: Snapshot, item_id: str, earlier: Sequence[Snapshot] = ()) -> Story:
    """Return the item's story.

    earlier: snapshots of its history, oldest first. Raises DamagedFileError.
    """
    row = row_of(info, item_id) or {}
    return Story(
        item_id,
        info.run_id,
        row,
        tuple(values_of(row)),
        tuple(row.get("images") or ()),
        tuple(row.get("flags") or ()),
        tuple(nearest(info, item_id)) if row else (),
        tuple(_versions(earlier, item_id)),
        tuple(_set_aside(info, item_id)),
    )


def row_of(info: Snapshot, item_id: str) -> dict[str, Any] | None:
    """Return the item's row of the items table, None where there is none."""
    for file in files_of_item(info, "items", item_id):
        table = read_parquet(info.path, file)
        for row in table.filter(pc.equal(table["item_id"], item_id)).to_pylist():
            return dict(row)
    return None


def values_of(row: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the attributes of a row of the items table, in the order of its columns."""
    for name in row:
        if (
            name.endswith(PROVENANCE_SUFFIX)
            and name.removesuffix(PROVENANCE_SUFFIX) + GIVEN_SUFFIX in row
        ):
            attribute, provenance = name.removesuffix(PROVENANCE_SUFFIX), row[name] or {}
            yield Value(
                attribute,
                row[attribute],
                row[attribute + GIVEN_SUFFIX],
                *(
                    provenance.get(leaf)
                    for leaf in (
                        "source",
                        "method",
                        "confidence",
                        "evidence",
                        "reason",
                        "candidate",
                    )
                ),
            )


def nearest(info: Snapshot, item_id: str) -> list[Neighbour]:
    """Return the nearest items by text vector; every vector is looked at, one file at a time."""
    own = None
    table_name = DEFAULT_SPACES[0].table
    for file in files_of_item(info, table_name, item_id):
        table = read_parquet(info.path, file)
        rows = vectors_of(table)[pc.equal(table["item_id"], item_id).to_numpy()]
        own = rows[0] if len(rows) else None
    if own is None:
        return []
    best: list[tuple[float, str]] = []
    for file in info.files_of(table_name):
        if file.rows:
            table = read_parquet(info.path, file)
            similar = vectors_of(table) @ own
            top = np.argsort(-similar)[: MAX_NEIGHBOURS + 1]
            ids = table["item_id"].take(pa.array(top)).to_pylist()
            best = heapq.nlargest(
                MAX_NEIGHBOURS + 1, [*best, *zip(similar[top].tolist(), ids, strict=True)]
            )
    found = [(score, other) for score, other in best if other != item_id][:MAX_NEIGHBOURS]
    return [Neighbour(other, score, _title(row_of(info, other) or {})) for score, other in found]


def _title(row: Mapping[str, Any]) -> str | None:
    """Return what an item is: the beginning of what its source says."""
    text = row.get("text_source")
    return text[:MAX_TITLE_CHARS] if text else None


def _versions(snapshots: Sequence[Snapshot], item_id: str) -> Iterator[Version]:
    before: dict[str, Any] | None = None
    for info in snapshots:
        try:
            row = row_of(info, item_id)
        except DamagedFileError as error:
            yield Version(info.run_id, info.is_published, "damaged", None, (), str(error))
            continue
        fate = "absent" if row is None else "deleted" if row.get("deleted_ts") else "item"
        changes = tuple(_changes(before, row)) if row is not None and before is not None else ()
        created = None if row is None else str(row["created_ts"])
        yield Version(info.run_id, info.is_published, fate, created, changes)
        before = row if info.is_published else before


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old = {value.attribute: value.value for value in values_of(before)}
    for value in values_of(after):
        if old.get(value.attribute) != value.value:
            yield Change(value.attribute, old.get(value.attribute), value.value, value.source)


def _set_aside(info: Snapshot, item_id: str) -> Iterator[SetAside]:
    # A reject lies in the bucket of its bytes, or of its item; so every file may have it.
    for file in info.files_of("quarantine"):
        if not file.rows:
            continue
        table = read_parquet(info.path, file)
        for row in table.filter(
            pc.fill_null(pc.equal(table["item_id"], item_id), False)
        ).to_pylist():
            raw = row["raw"].decode("utf-8", "replace")
            shown = shorten(raw, MAX_RAW_CHARS)
            place = f"{row['source_file']}, {row['source_position']}"
            fix = REASONS[row["reason"]].fix if row["reason"] in REASONS else ""
            yield SetAside(row["reason"], row["stage"], row["message"], fix, place, shown)


def near_ids(info: Snapshot, item_id: str) -> list[str]:
    """Return ids that look like one that is not there."""
    best: list[tuple[float, str]] = []
    for file in info.files_of("items"):
        if file.rows:
            ids = read_parquet(info.path, file, ["item_id"])["item_id"].to_pylist()
            close = difflib.get_close_matches(item_id, ids, n=MAX_SUGGESTIONS, cutoff=0.6)
            scored = [
                (difflib.SequenceMatcher(None, item_id, each).ratio(), each) for each in close
            ]
            best = heapq.nlargest(MAX_SUGGESTIONS, [*best, *scored])
    return [each for _, each in best]


def files_of_item(info: Snapshot, table: str, item_id: str) -> list[DataFile]:
    """Return the files of a table that may have rows of an item."""
    name = f"bucket-{bucket_of(item_id, info.manifest.buckets):05d}.parquet"
    return [file for file in info.files_of(table) if file.path.endswith(name)]
