"""The gate on a snapshot of the real job: each planted fault is refused and named, each harmless
change is let through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.gate_snapshot import (
    BUCKETS,
    ITEMS,
    Snapshot,
    make,
    records,
    replace_template,
    with_rows,
    with_vectors,
)
from tests.support import Run, Shop

TOLD: list[str] = []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    return make(Shop(tmp_path_factory.mktemp("gated")))


@pytest.fixture
def snapshot(runs: tuple[Run, Run], tmp_path: Path) -> Snapshot:
    return Snapshot.copy(tmp_path / "snapshot", *runs)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints the table of faults and harmless changes when all of them were tried (pytest -s)."""
    yield
    print("\n" + "\n".join(["", f"{'planted':52} {'verdict':9} named by", *TOLD]))


Spoil = Callable[[Snapshot], None]


def cast(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        field = table.schema.field(name)
        return table.set_column(
            place, pa.field(name, kind, field.nullable, field.metadata), table[name].cast(kind)
        )

    return change


def described(name: str, about: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        return table.cast(
            table.schema.set(place, table.schema.field(name).with_metadata({"description": about}))
        )

    return change


def first(table: pa.Table, **values: Any) -> pa.Table:
    content = table.to_pylist()
    content[0].update(values)
    return with_rows(table, content)


def without_last(table: pa.Table) -> pa.Table:
    return table.slice(0, table.num_rows - 1)


def twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)]).combine_chunks()


def provenance(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda row: {**row["color__provenance"], **changes}


def filled(snapshot: Snapshot, **changes: Any) -> None:
    """Change the provenance of the first filled colour of bucket 0."""

    def change(table: pa.Table) -> pa.Table:
        content = table.to_pylist()
        row = next(r for r in content if r["color__provenance"]["source"] == "text")
        for name, value in changes.items():
            if name == "given":
                row["color__given"] = value
            else:
                row["color__provenance"][name] = value
        return with_rows(table, content)

    snapshot.edit("items", change)


def everywhere(name: str, value: Callable[[dict[str, Any]], Any]) -> Spoil:
    return lambda snapshot: snapshot.set(name, value, bucket=None, rows=None)


def with_null(name: str, share: int) -> Spoil:
    """Every `share`-th item loses a value, as if its column had been emptied."""

    def change(table: pa.Table) -> pa.Table:
        content = table.to_pylist()
        for row in content[::share]:
            row[name], row[f"{name}__given"] = None, None
            row[f"{name}__provenance"] = {
                **row[f"{name}__provenance"],
                "source": None,
                "reason": "not-stated",
            }
        return with_rows(table, content)

    return lambda snapshot: snapshot.edit("items", change, None)


def vectors(
    kind: str, change: Callable[[np.ndarray[Any, Any]], Any], bucket: int | None = 0
) -> Spoil:
    return lambda s: s.edit(f"embeddings/{kind}", lambda table: with_vectors(table, change), bucket)


def set_row(row: int, value: float) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    def change(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        matrix[row] = value
        return matrix

    return change


def unit(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


def jittered(scale: float) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    return lambda matrix: unit(
        matrix + scale * np.random.default_rng(3).standard_normal(matrix.shape)
    )


def turned(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """All vectors point near one direction."""
    return unit(0.05 * matrix + np.eye(1, matrix.shape[1], 7))


def more_quarantine(count: int) -> Spoil:
    """As if `count` items had been set aside instead."""

    def spoil(snapshot: Snapshot) -> None:
        snapshot.edit(
            "quarantine",
            lambda t: pa.concat_tables([t, *[t.slice(0, 1)] * count]).combine_chunks(),
            0,
        )
        snapshot.inputs = [replace(snapshot.inputs[0], records=snapshot.inputs[0].records + count)]

    return spoil


def unlinked(snapshot: Snapshot) -> None:
    snapshot.path("items").unlink()


def truncated(snapshot: Snapshot) -> None:
    path = snapshot.path("embeddings/text")
    path.write_bytes(path.read_bytes()[:-40])


def flipped(snapshot: Snapshot) -> None:
    path = snapshot.path("records")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


def copied(snapshot: Snapshot) -> None:
    snapshot.path("items").with_name("bucket-00099.parquet").write_bytes(
        snapshot.path("items").read_bytes()
    )


def swapped(snapshot: Snapshot) -> None:
    """The files of two buckets under each other's names."""
    one, other = (snapshot.path("items", bucket) for bucket in range(BUCKETS))
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])
    for bucket in range(BUCKETS):
        snapshot.sign("items", bucket)


def said(**numbers: float) -> Spoil:
    return lambda snapshot: snapshot.account.update(numbers)


FAULTS: dict[str, tuple[str, Spoil]] = {
    "number written as text": (
        "file-types",
        lambda s: s.edit("items", cast("weight", pa.string())),
    ),
    "another unit": ("file-types", lambda s: s.edit("items", described("weight", "Weight. [kg]"))),
    "column missing": (
        "file-types",
        lambda s: s.edit("items", lambda t: t.drop_columns(["proof"])),
    ),
    "vectors of another dimension": (
        "file-types",
        vectors("text", lambda m: unit(np.hstack([m, np.ones((len(m), 1))])), bucket=1),
    ),
    "value outside its closed list": ("closed-list", lambda s: s.set("color", lambda _: "Mauve")),
    "list entry outside its closed list": (
        "closed-list",
        lambda s: s.set("tags", lambda _: ["new", "old"]),
    ),
    "number below its range": ("range", lambda s: s.set("weight", lambda _: -5.0, rows=9)),
    "number above its range": ("range", lambda s: s.set("weight", lambda _: 9e9, rows=9)),
    "text too long": ("max-length", lambda s: s.set("title", lambda _: "x" * 61)),
    "text off its pattern": ("pattern", lambda s: s.set("code", lambda _: "ab-1")),
    "wrong check digit": ("check-digit", lambda s: s.set("ean", lambda _: "4006381333932")),
    "required value missing": ("required", lambda s: s.set("title", lambda _: None)),
    "coverage below the template's": ("coverage", with_null("weight", 2)),
    "null rate risen": ("drift-null-rate", with_null("proof", 2)),
    "id twice": ("ids-unique", lambda s: s.edit("items", twice)),
    "files of two buckets swapped": ("ids-in-bucket", swapped),
    "vector with NaN": ("vector-norm", vectors("text", set_row(3, np.nan))),
    "vector with infinity": ("vector-norm", vectors("image", set_row(3, np.inf))),
    "vector of zeros": ("vector-norm", vectors("text", set_row(0, 0))),
    "vector not of length one": ("vector-norm", vectors("image", lambda m: 2 * m)),
    "two vectors of one item": ("vector-unique", lambda s: s.edit("embeddings/text", twice)),
    "vector of no item": (
        "vector-owned",
        lambda s: s.edit("embeddings/image", lambda t: first(t, item_id="nobody")),
    ),
    "text vector missing": ("vectors-there", lambda s: s.edit("embeddings/text", without_last)),
    "picture vector missing": ("vectors-there", lambda s: s.edit("embeddings/image", without_last)),
    "items lost on the way": ("records-accounted", lambda s: s.edit("items", lambda t: t.slice(3))),
    "half of the catalog gone": (
        "drift-items-lost",
        lambda s: s.drop_items(lambda item_id: item_id < "s0150"),
    ),
    "file missing": ("files-as-written", unlinked),
    "file cut short": ("files-as-written", truncated),
    "one bit flipped": ("files-as-written", flipped),
    "file that nobody wrote": ("files-as-written", copied),
    "bucket reported twice": ("buckets-once", lambda s: s.reports.append(s.reports[0])),
    "bucket not reported": ("buckets-once", lambda s: s.reports.pop()),
    "filled without evidence": ("evidence", lambda s: filled(s, evidence=None)),
    "filled without a method": ("evidence", lambda s: filled(s, method=None)),
    "filled below the threshold": ("confidence", lambda s: filled(s, confidence=0.3)),
    "confidence above one": ("confidence", lambda s: filled(s, confidence=1.7)),
    "filled without a confidence": ("confidence", lambda s: filled(s, confidence=None)),
    "value without a source": ("source-known", lambda s: filled(s, source=None)),
    "value of a strange source": ("source-known", lambda s: filled(s, source="oracle")),
    "filled over what the source gave": ("source-kept", lambda s: filled(s, given="Blue")),
    "what the source gave is lost": (
        "source-kept",
        lambda s: s.set("title__given", lambda _: None),
    ),
    "record of an item that is not there": (
        "records-match",
        lambda s: s.edit(
            "records",
            lambda t: first(t.filter(pa.compute.equal(t["fate"], "item")), item_id="nobody"),
        ),
    ),
    "item without a record": (
        "records-match",
        lambda s: s.edit("records", lambda t: t.slice(t.num_rows // 2)),
    ),
    "quarantine with a strange reason": (
        "quarantine-reason",
        lambda s: s.edit("quarantine", lambda t: first(t, reason="because")),
    ),
    "quarantine without a message": (
        "quarantine-reason",
        lambda s: s.edit("quarantine", lambda t: first(t, message="")),
    ),
    "wrong number of pictures": ("image-count", lambda s: s.set("image_count", lambda _: 7)),
    "one value everywhere": ("drift-values", everywhere("color", lambda _: "Red")),
    "numbers a hundred times smaller": (
        "drift-values",
        everywhere("weight", lambda row: None if row["weight"] is None else row["weight"] / 100),
    ),
    "text vectors turned": ("drift-vectors", vectors("text", turned, None)),
    "picture vectors turned": ("drift-vectors", vectors("image", turned, None)),
    "quarantine grown": ("drift-quarantine", more_quarantine(80)),
    "most of the catalog in quarantine": ("quarantine-rate", more_quarantine(900)),
    "language model failed": ("describe-failure-rate", said(describe_failure_rate=0.5)),
    "input cut off": ("inputs-readable", said(unreadable_files=1)),
    "encoder failed on everything": ("encoders-answer", said(encoders_that_always_failed=1)),
    "no items": ("min-items", said(items=0)),
    "picture rows lost": ("image-rows-accounted", said(unaccounted_image_rows=2)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused_and_named(fault: str, snapshot: Snapshot) -> None:
    """The snapshot is refused, and the check of the fault is among those that failed, with numbers
    and what to do.
    """
    kind, spoil = FAULTS[fault]
    spoil(snapshot)
    refusing = [result for result in snapshot.gate() if result.refuses]
    TOLD.append(
        f"{fault:52} {'refused' if refusing else 'PASSED':9} {', '.join(dict.fromkeys(r.check.kind for r in refusing))}"
    )
    named = [result for result in refusing if result.check.kind == kind]
    assert named, [(result.check.kind, result.examples) for result in refusing]
    assert named[0].unexpected >= 1
    assert named[0].check.fix


def reordered(table: pa.Table) -> pa.Table:
    return table.take(list(range(table.num_rows))[::-1])


def some(name: str, value: Callable[[dict[str, Any]], Any], rows: int = 5) -> Spoil:
    return lambda snapshot: snapshot.set(name, value, bucket=None, rows=rows)


HARMLESS: dict[str, Spoil] = {
    "nothing": lambda s: None,
    "rows in another order": lambda s: s.edit("items", reordered, None),
    "vectors in another order": lambda s: s.edit("embeddings/text", reordered, None),
    "records in another order": lambda s: s.edit("records", reordered, None),
    "no compression": lambda s: s.edit("items", lambda t: t, None, compression="none"),
    "another compression": lambda s: s.edit(
        "embeddings/text", lambda t: t, None, compression="snappy"
    ),
    "small row groups": lambda s: s.edit("items", lambda t: t, None, row_group_size=7),
    "no dictionaries": lambda s: s.edit("items", lambda t: t, None, use_dictionary=False),
    "no statistics": lambda s: s.edit("quarantine", lambda t: t, None, write_statistics=False),
    "another run's metadata": lambda s: s.edit(
        "items",
        lambda t: t.replace_schema_metadata({**(t.schema.metadata or {}), b"run_id": b"other"}),
        None,
    ),
    "a column described in other words": lambda s: s.edit(
        "items", described("title", "What it is called."), None
    ),
    "other words beside the unit": lambda s: s.edit(
        "items", described("weight", "What it weighs. [g]"), None
    ),
    "a report beside the tables": lambda s: (s.folder / "report.html").write_text("<p>"),
    "a few items gone": lambda s: s.drop_items(lambda item_id: item_id < "s0280"),
    "a tenth of the items gone": lambda s: s.drop_items(lambda item_id: item_id[-1] != "7"),
    "other values within the closed list": some("color", lambda _: "Green"),
    "other list entries": some("tags", lambda _: ["eco"]),
    "empty lists": some("tags", lambda _: []),
    "other numbers": some("weight", lambda row: None if row["weight"] is None else 333.0),
    "numbers a little higher": everywhere(
        "weight", lambda r: None if r["weight"] is None else r["weight"] * 1.01
    ),
    "numbers at the end of their range": some(
        "weight", lambda row: None if row["weight"] is None else 5000.0
    ),
    "other titles": some("title", lambda _: "Another mug"),
    "a title of the allowed length": some("title", lambda _: "x" * 60),
    "texts in another script": some("about", lambda _: "Ένα φλιτζάνι 🍵 \u200f"),
    "other texts": everywhere("about", lambda row: f"New: {row['about']}"),
    "some values lost": with_null("proof", 12),
    "some numbers lost": with_null("weight", 15),
    "surer": lambda s: filled(s, confidence=1.0),
    "as sure as needed": lambda s: filled(s, confidence=0.8),
    "another method": lambda s: filled(s, method="mllm:other"),
    "seen on the picture": lambda s: filled(s, source="image"),
    "more flags": some(
        "flags", lambda _: [{"reason": "image-missing", "field": "x", "detail": "y"}]
    ),
    "no descriptions": everywhere("image_description", lambda _: None),
    "another event time": some("event_ts", lambda _: None),
    "text vectors a little moved": vectors("text", jittered(0.01), None),
    "picture vectors a little moved": vectors("image", jittered(0.01), None),
    "two more in quarantine": more_quarantine(2),
    "another registered reason": lambda s: s.edit(
        "quarantine", lambda t: first(t, reason="malformed-json"), 0
    ),
    "another message": lambda s: s.edit(
        "quarantine", lambda t: first(t, message="it has no id"), 0
    ),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_change_is_let_through(change: str, snapshot: Snapshot) -> None:
    """Nothing of it refuses the snapshot."""
    HARMLESS[change](snapshot)
    refusing = [
        (result.check.kind, result.examples) for result in snapshot.gate() if result.refuses
    ]
    TOLD.append(
        f"{change:52} {'refused' if refusing else 'passed':9} {', '.join(kind for kind, _ in refusing)}"
    )
    assert refusing == []


def test_there_are_thirty_of_each() -> None:
    """Thirty kinds of faults and thirty harmless changes at least are tried."""
    assert len(FAULTS) >= 30
    assert len(HARMLESS) >= 30


def test_a_drift_that_is_meant_is_a_warning(snapshot: Snapshot) -> None:
    """With --accept-drift what differs from the last snapshot is reported and refuses nothing; other
    faults still do.
    """
    FAULTS["half of the catalog gone"][1](snapshot)
    failed = [result for result in snapshot.gate(accepted=True) if not result.passed]
    assert {result.check.kind for result in failed} == {"drift-items-lost"}
    assert not any(result.refuses for result in failed)


def test_an_operator_is_told_of_drift_and_may_accept_it(runs: tuple[Run, Run]) -> None:
    """A run on half of the catalog is refused with numbers and what to do, readers keep the last
    snapshot, and with
    --accept-drift the same run is published with a warning."""
    shop = replace_template(Shop(runs[0].output.parent))
    half = shop.file("half.jsonl", records()[: ITEMS // 2])
    options = ("--buckets", str(BUCKETS))
    current = (runs[0].output / "current").resolve()
    refused = shop.run(half, options=options)
    assert refused.code == 1
    assert (runs[0].output / "current").resolve() == current != refused.snapshot
    for expected in ("drift-items-lost", "were 300, are 150", "--accept-drift", "REFUSED"):
        assert expected in refused.out
    assert refused.manifest["compared_with"] == current.name
    accepted = shop.run(half, options=(*options, "--accept-drift"))
    assert accepted.code == 0, accepted.out
    assert "warning: share of the last snapshot's items that went" in accepted.out
