"""The filling cascade end to end: rules, probes, contradictions and a language model, through
main([...]).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import Run, Shop, flags

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku, images: {columns: photos}}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: about, type: string, role: text, from: text, description: What the shop says of it.}
  - {name: kind, type: enum, from: kind, values: [Mug, Chair, Lamp], rules: false, fill: true, description: What it is.}
  - {name: maker, type: string, from: maker, absent: [none], fill: true, description: Who made it.}
  - {name: color, type: enum, from: color, values: [Red, {value: Blue, synonyms: [navy]}], fill: true, description: Colour.}
"""
WORDS = {
    "Mug": "handle coffee tea drink ceramic",
    "Chair": "seat legs back sit wooden",
    "Lamp": "light bulb shade glow",
}
MAKERS = ("Alden", "Borg", "Castor")


def maker_of(number: int) -> str:
    return MAKERS[number // 4 % 3]


def record(number: int, **given: Any) -> dict[str, Any]:
    kind, maker = list(WORDS)[number % 3], maker_of(number)
    words = WORDS[kind].split()
    text = f"{words[number // 3 % 4]} {words[number // 7 % 4]} for the house, number {number}. Made by {maker}."
    row: dict[str, Any] = {
        "sku": f"s{number:03}",
        "name": f"Item {number}",
        "text": text,
        "kind": kind,
        "maker": maker,
    }
    return {name: value for name, value in (row | given).items() if value is not None}


def records(count: int = 150) -> list[dict[str, Any]]:
    """Every fifth lacks its kind, every sixth its maker; one says that it has no maker."""
    gaps = [
        {} | ({"kind": None} if n % 5 == 0 else {}) | ({"maker": None} if n % 6 == 0 else {})
        for n in range(count)
    ]
    rows = [record(number, **gap) for number, gap in enumerate(gaps)]
    rows[7]["maker"] = "none"
    rows[5]["color"] = "Blue"
    return rows


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Run]:
    shop = Shop(tmp_path_factory.mktemp("shop"), TEMPLATE)
    return shop, shop.run(shop.file("in.jsonl", records()))


def by_id(run: Run) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in run.rows("items")}


def probes(run: Run) -> dict[str, dict[str, Any]]:
    return {probe["attribute"]: probe for probe in run.manifest["probes"]}


def test_missing_values_are_learnt_from_the_rows_that_have_them(learnt: tuple[Shop, Run]) -> None:
    """Closed lists and open values are filled rightly, each with source, method, confidence and
    evidence.
    """
    _, run = learnt
    assert run.code == 0, run.err
    rows = by_id(run)
    for number in range(0, 150, 5):
        row = rows[f"s{number:03}"]
        assert row["kind"] == list(WORDS)[number % 3]
        provenance = row["kind__provenance"]
        assert (provenance["source"], provenance["method"]) == ("text", "probe:text")
        assert provenance["confidence"] >= 0.8
        assert provenance["evidence"]["field"] in ("title", "about")
    spans = [rows[f"s{number:03}"] for number in range(0, 150, 6)]
    assert [row["maker"] for row in spans] == [maker_of(n) for n in range(0, 150, 6)]
    assert [row["maker__provenance"]["evidence"]["text"] for row in spans] == [
        row["maker"] for row in spans
    ]


def test_no_source_value_changes(learnt: tuple[Shop, Run]) -> None:
    """What the source gave stands as it was, and what it says that there is none of stays unknown."""
    _, run = learnt
    rows = by_id(run)
    for given in records():
        for name in ("kind", "color"):
            if name in given:
                assert (
                    rows[given["sku"]][name],
                    rows[given["sku"]][f"{name}__provenance"]["source"],
                ) == (
                    given[name],
                    "record",
                )
    assert rows["s007"]["maker"] is None
    assert rows["s007"]["maker__provenance"]["reason"] == "stated-absent"


def test_too_few_labels_abstain_and_say_so(learnt: tuple[Shop, Run]) -> None:
    """One row with a colour is nothing to learn from: the row, the manifest and the summary say so."""
    _, run = learnt
    assert by_id(run)["s002"]["color__provenance"]["reason"] == "too-few-labels"
    assert "needed to learn from" in probes(run)["color"]["note"]
    assert "abstain, see the report for why: color" in run.out
    assert "filled without a language model" in run.out


def test_probes_of_an_earlier_run_are_used_again(learnt: tuple[Shop, Run]) -> None:
    """The same labels train nothing again and give the same rows; moved labels do train."""
    shop, run = learnt
    again = shop.run(shop.folder / "in.jsonl", options=["--full"])
    assert all(probe["reused"] for probe in again.manifest["probes"])
    assert [probe["digest"] for probe in again.manifest["probes"]] == [
        p["digest"] for p in run.manifest["probes"]
    ]
    drop = ("created_ts",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in again.rows("items")] == [
        {k: v for k, v in row.items() if k not in drop} for row in run.rows("items")
    ]
    moved = [row | {"kind": "Lamp"} for row in records() if "kind" in row]
    changed = shop.run(shop.file("moved.jsonl", moved))
    assert not probes(changed)["kind"]["reused"]


def test_rungs_can_be_switched_off(learnt: tuple[Shop, Run]) -> None:
    """Without probes nothing is learnt or filled by them; without rules a stated colour is not
    taken.
    """
    shop, _ = learnt
    rows = [record(n, kind=None, name=f"navy Item {n}") for n in range(4)]
    path = shop.file("few.jsonl", rows)
    bare = shop.run(path, options=["--no-probes", "--no-rules"], output="bare")
    assert {row["color"] for row in bare.rows("items")} == {None}
    assert bare.manifest["probes"] == []
    ruled = shop.run(path, options=["--no-probes"], output="ruled")
    assert {row["color"] for row in ruled.rows("items")} == {"Blue"}


def test_reference_rows_teach_and_are_not_written(learnt: tuple[Shop, Run]) -> None:
    """Labelled rows of another catalog fill this one's gaps; they are counted, and no row of the
    tables.
    """
    shop, _ = learnt
    path = shop.file("unlabelled.jsonl", [record(n, kind=None, maker=None) for n in range(6)])
    reference = shop.file("labelled.jsonl", records())
    run = shop.run(path, options=["--reference", str(reference)], output="taught")
    rows = by_id(run)
    assert [rows[f"s{n:03}"]["kind"] for n in range(6)] == [list(WORDS)[n % 3] for n in range(6)]
    assert run.manifest["counts"]["records_in"] == len(run.rows("items")) == 6
    assert sum(split["records"] for split in run.manifest["reference"]) == 150
    refused = shop.run(
        path, options=["--reference", str(reference), "--no-probes"], output="refused"
    )
    assert refused.code == 2
    assert "--no-probes switches off" in refused.err


def test_contradictions_flag_both_sides_and_keep_the_value(tmp_path: Path) -> None:
    """One text under two unrelated titles, and a value that all like rows deny, are flagged;
    nothing is changed.
    """
    text = "A long story of a dog that walks home over the hills alone, at night and in the rain, for many weeks."
    rows = records()
    rows[30] |= {"name": "Otter song", "text": text}
    rows[31] |= {"name": "Granite bridges", "text": text}
    rows[32]["kind"] = "Mug"  # its words are a lamp's
    shop = Shop(tmp_path, TEMPLATE)
    items = by_id(shop.run(shop.file("in.jsonl", rows)))
    assert all("shared-text-other-title" in flags(items[name]) for name in ("s030", "s031"))
    assert items["s032"]["kind"] == "Mug"
    (flag,) = [f for f in items["s032"]["flags"] if f["reason"] == "rows-contradict-value"]
    assert flag["detail"].startswith("given is 'Mug'; rows like this one have 'Lamp'")


def test_a_language_model_is_asked_for_what_is_open_only(learnt: tuple[Shop, Run]) -> None:
    """What rules and probes settled is in no question, and a budget is kept to; what it leaves open
    says so.
    """
    shop, _ = learnt
    calls = 20
    options = ["--describe-backend", "fake", "--max-model-calls", str(calls)]
    run = shop.run(shop.folder / "in.jsonl", options=options, output="asked")
    assert run.manifest["counts"]["described"]["calls"] <= calls
    rows = by_id(run)
    assert {rows[f"s{number:03}"]["kind__provenance"]["method"] for number in range(0, 150, 5)} == {
        "probe:text"
    }
    assert "budget" in {row["color__provenance"]["reason"] for row in rows.values()}
    missing = run.manifest["counts"]["missing"]
    assert missing["values_settled"] >= 30 + 25
    assert missing["items_settled"] == 1  # the one whose colour is given, and whose kind is filled
