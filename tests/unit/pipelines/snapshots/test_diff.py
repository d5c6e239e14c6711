"""What differs between two snapshots, against a slow comparison row by row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshots.diff import (
    ADDED,
    CHANGED,
    KINDS,
    REMOVED,
    ROWS_AT_ONCE,
    Difference,
    add_items,
    diff,
    divided_alike,
)
from pipelines.snapshots.snapshot import Snapshot
from tests.manifests import make_manifest
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import write_parquet

PROVENANCE = pa.struct(
    [("source", pa.string()), ("method", pa.string()), ("confidence", pa.float32())]
)
SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("color", pa.string()),
        ("color__provenance", PROVENANCE),
        ("tags", pa.list_(pa.string())),
        ("tags__provenance", PROVENANCE),
        ("text_enriched", pa.string()),
    ]
)
Row = dict[str, Any]


def row(item_id: str, color: str | None, tags: list[str] | None, source: str, text: str) -> Row:
    told = {"source": source, "method": "m", "confidence": 0.5}
    unknown = {"source": None, "method": None, "confidence": None}
    return {
        "item_id": item_id,
        "color": color,
        "color__provenance": told if color else unknown,
        "tags": tags,
        "tags__provenance": told if tags is not None else unknown,
        "text_enriched": text,
    }


rows = st.lists(
    st.builds(
        row,
        st.sampled_from("abcdefg"),
        st.sampled_from([None, "red", "blue"]),
        st.sampled_from([None, [], ["new"], ["new", "sale"]]),
        st.sampled_from(["record", "text", "model"]),
        st.sampled_from(["one", "two"]),
    ),
    unique_by=lambda each: each["item_id"],
)


def table(of: list[Row], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(sorted(of, key=lambda each: each["item_id"]), schema=schema)


def slowly(
    old: list[Row], new: list[Row]
) -> tuple[Counter[str], dict[tuple[str, str], Counter[str]]]:
    before, after = ({each["item_id"]: each for each in side} for side in (old, new))
    items = Counter(
        {
            ADDED: len(after.keys() - before.keys()),
            REMOVED: len(before.keys() - after.keys()),
            CHANGED: 0,
        }
    )
    values: dict[tuple[str, str], Counter[str]] = {}
    for item_id in before.keys() & after.keys():
        a, b = before[item_id], after[item_id]
        differs = a["text_enriched"] != b["text_enriched"]
        for name in ("color", "tags"):
            if a[name] != b[name]:
                kind = ADDED if a[name] is None else REMOVED if b[name] is None else CHANGED
                told = (a if kind == REMOVED else b)[f"{name}__provenance"]["source"]
                values.setdefault((name, kind), Counter())[told] += 1
                differs = True
        items[CHANGED] += differs
    return items, values


def counted(found: Difference) -> dict[tuple[str, str], Counter[str]]:
    every = {(name, kind): d.counts[kind] for name, d in found.attributes.items() for kind in KINDS}
    return {key: counts for key, counts in every.items() if counts}


@given(rows, rows)
def test_counts_are_those_of_a_slow_comparison(old: list[Row], new: list[Row]) -> None:
    """Items and values added, changed and removed, by source, are what comparing row by row gives."""
    found = Difference("a", "b")
    add_items(found, table(old), table(new), 2)
    items, values = slowly(old, new)
    assert +found.items == +items
    assert counted(found) == values


@given(rows)
def test_a_snapshot_does_not_differ_from_itself(same: list[Row]) -> None:
    """Equal rows give an empty difference."""
    found = Difference("a", "a")
    add_items(found, table(same), table(same), 3)
    assert found.is_empty
    assert not found.attributes


def thin_snapshot(folder: Path, name: str, of: list[Row], buckets: int) -> Snapshot:
    """A snapshot of an attribute without provenance."""
    schema = pa.schema(
        [("item_id", pa.string()), ("color", pa.string()), ("color__provenance", PROVENANCE)]
    )
    return snapshot(folder, name, of, buckets, schema)


def snapshot(
    folder: Path, name: str, of: list[Row], buckets: int, schema: pa.Schema = SCHEMA
) -> Snapshot:
    path = folder / name
    (path / "items").mkdir(parents=True)
    held: dict[int, list[Row]] = {}
    for each in of:
        held.setdefault(bucket_of(each["item_id"], buckets), []).append(each)
    files = [
        write_parquet(str(path), "items", bucket, table(held[bucket], schema)) for bucket in held
    ]
    return Snapshot(name, str(path), make_manifest(name, buckets=buckets, files=files))


def test_other_buckets_make_no_difference(tmp_path: Path) -> None:
    """Snapshots that are divided otherwise are compared as a whole; examples are bounded and name
    the method.
    """
    old = [row(f"i{n}", "red", None, "text", "one") for n in range(30)]
    new = [row(f"i{n}", "blue" if n < 10 else "red", None, "model", "one") for n in range(5, 35)]
    before = snapshot(tmp_path, "a", old, 4)
    for buckets in (16, 4, 6, 7, 1):
        found = diff(before, snapshot(tmp_path, f"b{buckets}", new, buckets), 2)
        assert dict(found.items) == {ADDED: 5, REMOVED: 5, CHANGED: 5}
        assert found.attributes["color"].counts[CHANGED] == {"model": 5}
        examples = found.attributes["color"].examples
        assert [(each.before, each.after, each.method) for each in examples] == [
            ("red", "blue", "m")
        ] * 2
        assert all(len(shown) <= 2 for shown in found.item_examples.values())
    assert diff(before, before).is_empty
    assert diff(before, snapshot(tmp_path, "c", old, 6)).is_empty


def test_what_does_not_fit_at_once_is_compared_in_parts(tmp_path: Path) -> None:
    """More rows than are held at once, in numbers of buckets with nothing in common, give the same
    counts.
    """
    old, new = (
        [{"item_id": f"i{n}", "color": color} for n in range(start, start + 60_000)]
        for start, color in ((0, "red"), (20_000, "blue"))
    )
    sides = [thin_snapshot(tmp_path, name, of, n) for name, of, n in (("a", old, 2), ("b", new, 3))]
    pairs = list(divided_alike(*((info, info.manifest.files) for info in sides)))
    assert len(pairs) == 2
    assert max(each.num_rows for pair in pairs for each in pair) < ROWS_AT_ONCE
    found = diff(*sides)
    assert dict(found.items) == {ADDED: 20_000, REMOVED: 20_000, CHANGED: 40_000}


def test_equal_files_are_not_opened(tmp_path: Path) -> None:
    """A bucket whose file has the same digest on both sides is skipped, even where the file is
    gone.
    """
    rows_of = [row(f"i{n}", "red", None, "text", "one") for n in range(8)]
    sides = [snapshot(tmp_path, name, rows_of, 2) for name in ("a", "b")]
    for path in tmp_path.rglob("*.parquet"):
        path.unlink()
    assert diff(*sides).is_empty
