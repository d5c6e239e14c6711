"""Judging: rows of the folds' tables and the truth become the right decisions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.judge import (
    Judged,
    Labels,
    Truth,
    judge,
    rung_of,
    same_text,
    same_value,
    texts_of,
    texts_of_candidate,
    truth_of_source,
)
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.loading import parse_template
from schemas.tables.columns import IMAGE, PROVENANCE
from transforms.items.mask import Mask

TEMPLATE = parse_template(
    """
name: shop
version: 1.0.0
record: {id: id}
attributes:
  - {name: title, type: string, role: title, from: title}
  - {name: color, type: enum, from: color, values: [Red, Blue, Green], absent: [none], fill: true}
  - {name: weight, type: number, unit: g, from: weight, fill: true}
  - {name: tags, type: multi_enum, from: tags, values: [new, sale, eco], fill: true}
""",
    "shop",
)
NAMES = [attribute.name for attribute in TEMPLATE.attributes]
GIVEN = {"source": "record", "method": "given", "confidence": 1.0}


def attribute(name: str) -> Attribute:
    return TEMPLATE.by_name[name]


def filled(
    value: Any, method: str = "rule:enum", confidence: float = 0.9, **more: Any
) -> tuple[Any, dict[str, Any]]:
    return value, {"source": "text", "method": method, "confidence": confidence, **more}


def given(value: Any) -> tuple[Any, dict[str, Any]]:
    return value, GIVEN


def unknown(reason: str = "not-stated", **seen: Any) -> tuple[None, dict[str, Any]]:
    return None, {"reason": reason, **seen}


def table(folder: Path, rows: dict[str, dict[str, Any]]) -> Path:
    """An items table of these rows: id → attribute → (value, provenance)."""
    struct = pa.struct(
        [
            *PROVENANCE,
            *([] if "candidate" in PROVENANCE.names else [pa.field("candidate", pa.string())]),
        ]
    )
    columns: dict[str, Any] = {"item_id": pa.array(list(rows))}
    for name in NAMES:
        cells = [row.get(name, unknown()) for row in rows.values()]
        columns[name] = pa.array(
            [value for value, _ in cells], attribute(name).spec.arrow_type(attribute(name))
        )
        texts = [
            row.get("given", {}).get(name) or (str(v) if p is GIVEN else None)
            for row, (v, p) in zip(rows.values(), cells, strict=True)
        ]
        columns[f"{name}__given"] = pa.array(texts, pa.string())
        columns[f"{name}__provenance"] = pa.array([provenance for _, provenance in cells], struct)
    columns["images"] = pa.array([row.get("images", []) for row in rows.values()], pa.list_(IMAGE))
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "bucket-00000.parquet")
    return folder


def judged(
    folder: Path, rows: dict[str, dict[str, Any]], truth: Truth, labels: Labels | None = None
) -> Judged:
    return judge(TEMPLATE, [table(folder / "items", rows)], [None], truth, labels=labels)


def only(result: Judged) -> Decision:
    (decision,) = result.decisions
    return decision


def test_a_filled_value_is_the_candidate_and_answered(tmp_path: Path) -> None:
    """A value that a rung filled is judged with its rung, confidence, span and picture paths."""
    evidence = {"field": "title", "begin": 0, "end": 4, "text": "crimson"}
    row = {
        "title": given("Crimson mug"),
        "color": filled("Red", evidence=evidence),
        "images": [{"path": "a.png", "digest": "ab"}],
    }
    found = only(judged(tmp_path, {"p1": row}, {("p1", "color"): ("red",)}))
    assert (found.candidate, found.answered, found.matched, found.predicted, found.expected) == (
        ("Red",),
        True,
        1,
        1,
        1,
    )
    assert (found.rung, found.method, found.source) == ("rules", "rule:enum", "text")
    assert found.confidence == pytest.approx(0.9)
    assert (found.evidence, found.title, found.images) == (
        "title: crimson",
        "Crimson mug",
        ("a.png",),
    )
    assert found.reason is None


def test_what_did_not_suffice_is_a_candidate_that_is_not_answered(tmp_path: Path) -> None:
    """The value that was considered is judged too, so that coverage can be seen at other
    thresholds.
    """
    seen = {"method": "probe:text", "confidence": 0.4, "candidate": "Blue"}
    found = only(
        judged(
            tmp_path,
            {"p1": {"color": unknown("below-threshold", **seen)}},
            {("p1", "color"): ("Red",)},
        )
    )
    assert (found.candidate, found.answered, found.matched, found.predicted) == (
        ("Blue",),
        False,
        0,
        1,
    )
    assert (found.rung, found.reason) == ("probe", "below-threshold")
    assert found.confidence == pytest.approx(0.4)


def test_nothing_considered_has_no_rung_and_no_confidence(tmp_path: Path) -> None:
    """Without a candidate nothing is said of where it came from, whatever the provenance holds."""
    seen = {"method": "mllm:x", "confidence": 0.0}
    found = only(
        judged(
            tmp_path,
            {"p1": {"color": unknown("model-unknown", **seen)}},
            {("p1", "color"): ("Red",)},
        )
    )
    assert (found.candidate, found.rung, found.method, found.confidence) == ((), "", None, None)
    assert (found.predicted, found.expected, found.reason) == (0, 1, "model-unknown")


def test_an_invented_value_is_an_answer_where_the_truth_is_none(tmp_path: Path) -> None:
    """With an empty truth any candidate is wrong."""
    found = only(judged(tmp_path, {"p1": {"color": filled("Red")}}, {("p1", "color"): ()}))
    assert (found.accepted, found.expected, found.matched, found.predicted) == ((), 0, 0, 1)


def test_values_of_lists_are_counted_one_by_one(tmp_path: Path) -> None:
    """Of a multi-valued attribute the overlap of the sets counts, also of a candidate that is JSON
    text.
    """
    rows = {
        "p1": {"tags": filled(["new", "sale"])},
        "p2": {
            "tags": unknown(
                "below-threshold", method="probe", confidence=0.3, candidate='["eco","new"]'
            )
        },
    }
    truth = {("p1", "tags"): ("new", "eco", "sale"), ("p2", "tags"): ("eco",)}
    first, second = judged(tmp_path, rows, truth).decisions
    assert (first.matched, first.predicted, first.expected) == (2, 2, 3)
    assert (second.candidate, second.matched, second.predicted, second.expected) == (
        ("eco", "new"),
        1,
        2,
        1,
    )


def test_any_accepted_value_of_a_single_valued_attribute_is_right(tmp_path: Path) -> None:
    """Several accepted texts are alternatives; numbers agree to six digits."""
    truth = {("p1", "weight"): ("453.592", "500")}
    found = only(judged(tmp_path, {"p1": {"weight": filled(453.59237)}}, truth))
    assert (found.matched, found.expected) == (1, 1)


def test_slots_that_the_catalog_fills_itself_are_left_out(tmp_path: Path) -> None:
    """Where the source gives something, valid or not, nothing was decided; an item that is not
    there is counted.
    """
    rows = {
        "p1": {"color": given("Red")},
        "p2": {"color": unknown("given-invalid"), "given": {"color": "reddish"}},
        "p3": {"color": filled("Red")},
    }
    result = judged(
        tmp_path, rows, {(item, "color"): ("Red",) for item in ("p1", "p2", "p3", "p4")}
    )
    assert [each.item_id for each in result.decisions] == ["p3"]
    assert (result.given, result.missing) == (2, 1)
    assert len(list(result.notes())) == 2


def test_the_majority_comes_from_labelled_rows_only(tmp_path: Path) -> None:
    """The baseline is the most frequent given value; filled values and what is held back do not
    vote.
    """
    rows = {f"g{n}": {"color": given("Blue")} for n in range(2)} | {
        f"f{n}": {"color": filled("Red")} for n in range(5)
    }
    truth = {("f0", "color"): ("Blue",)}
    found = only(judged(tmp_path, rows, truth))
    assert (found.baseline, found.baseline_matched, found.baseline_predicted) == (("Blue",), 1, 1)


def test_labels_of_a_reference_vote_too(tmp_path: Path) -> None:
    """Labelled rows of a reference catalog are labelled rows."""
    labels = {"color": Counter({("Green",): 3})}
    found = only(
        judged(
            tmp_path,
            {"p1": {"color": filled("Red")}, "p2": {"color": given("Blue")}},
            {("p1", "color"): ("Green",)},
            labels,
        )
    )
    assert found.baseline == ("Green",)


def folds(tmp_path: Path, masks: Sequence[Mask], values: dict[str, str]) -> list[Path]:
    """Tables of a catalog whose colours are hidden fold by fold, and filled with Red there."""
    return [
        table(
            tmp_path / f"fold-{number}",
            {
                item: {"color": filled("Red") if mask.hides(item, "color") else given(value)}
                for item, value in values.items()
            },
        )
        for number, mask in enumerate(masks)
    ]


def test_each_slot_is_judged_in_the_fold_that_hides_it(tmp_path: Path) -> None:
    """Over all folds every slot is judged once, against what the other folds show that the source
    gave.
    """
    masks = [Mask(frozenset(["color"]), "value", 3, number) for number in range(3)]
    values = {f"p{number}": "Red" if number % 2 else "Blue" for number in range(12)}
    tables = folds(tmp_path, masks, values)
    truth = truth_of_source(TEMPLATE, tables, masks)
    assert truth == {(item, "color"): (value,) for item, value in values.items()}
    decisions = judge(TEMPLATE, tables, masks, truth).decisions
    assert sorted(each.item_id for each in decisions) == sorted(values)
    for each in decisions:
        assert masks[each.fold].hides(each.item_id, "color")
        assert each.matched == (values[each.item_id] == "Red")


def test_a_source_that_says_there_is_none_gives_an_empty_truth(tmp_path: Path) -> None:
    """A cell of the template's `absent` is a truth, one that does not fit the list is none."""
    masks = [Mask(frozenset(["color"]), "value", 2, number) for number in range(2)]
    rows = {
        "p1": {"color": unknown("given-invalid"), "given": {"color": "None"}},
        "p2": {"color": unknown("given-invalid"), "given": {"color": "reddish"}},
    }
    tables = [table(tmp_path / str(number), rows) for number in range(2)]
    assert truth_of_source(TEMPLATE, tables, masks) == {("p1", "color"): ()}


def test_order_of_rows_and_folds_of_truth_do_not_matter(tmp_path: Path) -> None:
    """Decisions are sorted by fold, item and attribute."""
    rows = {item: {"color": filled("Red"), "weight": filled(3.0)} for item in ("b", "a")}
    truth = {(item, name): ("x",) for item in ("b", "a") for name in ("weight", "color")}
    result = judged(tmp_path, rows, truth)
    assert [(d.item_id, d.attribute) for d in result.decisions] == [
        ("a", "color"),
        ("a", "weight"),
        ("b", "color"),
        ("b", "weight"),
    ]


def test_a_picture_as_evidence_is_named_by_its_path(tmp_path: Path) -> None:
    """Evidence in a picture names the file and not its digest."""
    row = {
        "color": filled("Red", "mllm:x", evidence={"field": "images", "image": "ab"}),
        "images": [{"path": "a.png", "digest": "ab"}],
    }
    assert only(judged(tmp_path, {"p1": row}, {("p1", "color"): ("Red",)})).evidence == "a.png"


@pytest.mark.parametrize(
    ("method", "rung"),
    [
        ("rule:number", "rules"),
        ("probe", "probe"),
        ("probe:image", "probe"),
        ("span:x", "spans"),
        ("mllm:a:b", "model"),
        ("neighbour:title", "neighbour"),
        (None, ""),
    ],
)
def test_methods_belong_to_rungs(method: str | None, rung: str) -> None:
    """The beginning of a method names its rung; one that is not known stands for itself."""
    assert rung_of(method) == rung


@pytest.mark.parametrize(
    ("name", "value", "texts"),
    [
        ("color", "Red", ("Red",)),
        ("weight", 250.0, ("250",)),
        ("tags", ["new", "new"], ("new",)),
        ("color", None, ()),
    ],
)
def test_values_as_texts(name: str, value: Any, texts: tuple[str, ...]) -> None:
    """A value reads as people would write it, and a candidate's text reads like the value."""
    assert texts_of(attribute(name), value) == texts
    candidate = (
        json.dumps(value) if isinstance(value, list) else None if value is None else str(value)
    )
    assert texts_of_candidate(attribute(name), candidate) == texts


def test_booleans_read_alike_from_values_and_candidates() -> None:
    """True is yes, however it is written."""
    eco = Attribute(name="eco", type=AttributeType.BOOLEAN)
    assert {
        texts_of(eco, True),
        texts_of_candidate(eco, "True"),
        texts_of_candidate(eco, "yes"),
    } == {("yes",)}


def test_the_exact_comparison_sees_case_and_spacing() -> None:
    """Texts of the paper's protocol are stripped and otherwise equal; usually case and spacing do
    not count.
    """
    brand = Attribute(name="brand", type=AttributeType.STRING)
    assert same_text(brand, " 25K ") == "25K" != same_text(brand, "25k")
    assert same_value(brand, "25 K") == same_value(brand, "25  k")
