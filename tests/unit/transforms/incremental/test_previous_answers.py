"""Answers carried over: values as they were, only those that still hold, and who goes before whom."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.elements import (
    AttributeValue,
    Evidence,
    Item,
    ItemAnswer,
    PreviousAnswer,
    RawRecord,
    Record,
)
from schemas.loading import parse_template
from tests.support import TEMPLATE
from transforms.incremental.previous_answers import (
    PreviousAnswersConfig,
    read_previous_answers,
    value_from_arrow,
)
from transforms.items.answers import merge_answers
from transforms.items.identity import item_fingerprint
from transforms.runtime.parquet import write_parquet
from transforms.runtime.sealed import DamagedFileError
from transforms.tables.build import RunInfo, arrow_value, items_table

KINDS = """
name: kinds
version: 1.0.0
record: {id: id}
attributes:
  - {name: title, type: string, role: title, from: t, description: d}
  - {name: text, type: string, from: s, description: d}
  - {name: amount, type: number, from: n, description: d}
  - {name: count, type: number, integer: true, from: i, description: d}
  - {name: proof, type: boolean, from: b, description: d}
  - {name: color, type: enum, values: [Red, Blue], from: c, description: d}
  - {name: tags, type: multi_enum, values: [new, sale], from: g, description: d}
  - {name: names, type: localized, from: l, description: d}
  - {name: since, type: date, from: s, description: d}
"""
ATTRIBUTES = {attribute.name: attribute for attribute in parse_template(KINDS, "test").attributes}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "since": st.sampled_from(["2024", "2024-05", "2024-05-17"]),
    "text": st.text(st.characters(codec="utf-8"), min_size=1),
    "amount": st.floats(allow_nan=False, allow_infinity=False),
    "count": st.integers(-(2**53), 2**53).map(float),
    "proof": st.booleans(),
    "color": st.sampled_from(["Red", "Blue"]),
    "tags": st.lists(st.sampled_from(["new", "sale"]), min_size=1, unique=True),
    "names": st.dictionaries(
        st.sampled_from(["de", "en"]), st.text(st.characters(codec="utf-8")), min_size=1
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_from_its_column(name: str) -> None:
    """For every type of attribute, a value written to its Arrow column and read back is the same
    value, of its type.
    """
    attribute: Attribute = ATTRIBUTES[name]

    @given(VALUES[name])
    def check(value: Any) -> None:
        (stored,) = pa.array(
            [arrow_value(attribute, value)], attribute.spec.arrow_type(attribute)
        ).to_pylist()
        back = value_from_arrow(attribute, stored)
        assert back == value
        assert type(back) is type(value)

    check()
    assert value_from_arrow(attribute, None) is None


SHOP = parse_template(TEMPLATE, "test")
RUN = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})


def said(value: Any, model: str = "tiny", **more: Any) -> AttributeValue:
    told = {
        "source": "model" if value is not None else None,
        "method": f"mllm:{model}",
        "confidence": 0.9,
    }
    return AttributeValue(
        value, **{**told, "model": model, "prompt_hash": "p", "fingerprint": "f", **more}
    )


def answer(
    model: str = "tiny", description: str = "A mug.", **values: AttributeValue
) -> ItemAnswer:
    told = ItemAnswer("a", values=values, method=f"mllm:{model}", model=model, prompt_hash="p")
    if not description:
        return told
    return replace(told, description=description, alt_text="Mug", fingerprint="f", described=("d",))


def item(**values: AttributeValue) -> Item:
    whole = {a.name: AttributeValue(None, reason="not-stated") for a in SHOP.attributes} | values
    record = Record("a", {}, {}, (), (), RawRecord(b"{}", "jsonl", "f", 1))
    spoken = answer()
    return Item(record, values=whole, image_description=spoken.description, answer=spoken)


def carried(tmp_path: Path, made: Item, **config: Any) -> list[PreviousAnswer]:
    file = write_parquet(str(tmp_path), "items", 0, items_table(SHOP, [made], RUN))
    chosen = {
        "attributes": frozenset({"color", "weight"}),
        "description": True,
        "stale": False,
        "num_buckets": 4,
    }
    return list(
        read_previous_answers(
            PreviousAnswersConfig(str(tmp_path), SHOP, **{**chosen, **config}), file
        )
    )


def test_what_was_said_comes_back(tmp_path: Path) -> None:
    """Values, unknowns with their reason, evidence and the description are carried over with all
    their provenance.
    """
    evidence = Evidence("title", 3, 7, "blue", None)
    weight = said(None, reason="model-unknown", confidence=None)
    made = item(color=said("Blue", evidence=evidence), weight=weight)
    (found,) = carried(tmp_path, made)
    assert found.current == answer(color=made.values["color"], weight=weight)
    assert (found.item_id, found.fingerprint, found.stale) == ("a", item_fingerprint(made), None)


@pytest.mark.parametrize("reason", ["budget", "backend-failed", "answer-malformed", "answer-empty"])
def test_failures_are_not_carried_over(tmp_path: Path, reason: str) -> None:
    """What may pass, or was no answer, is asked again."""
    (found,) = carried(tmp_path, item(color=said(None, reason=reason, confidence=None)))
    assert found.current.values == {}


def test_what_others_found_is_not_carried_over(tmp_path: Path) -> None:
    """Values of the source, of rules and of probes are found again, and are no answers."""
    by_rule = AttributeValue("Blue", "text", "rule", 0.9, Evidence("title", 0, 4, "blue"))
    (found,) = carried(
        tmp_path, item(color=by_rule, weight=AttributeValue(3.0, "record", "given", 1.0))
    )
    assert found.current.values == {}


def test_only_what_would_be_asked_alike_is_current(tmp_path: Path) -> None:
    """What another question or another model gave is stale: dropped, or with `stale` kept apart,
    unknowns not.
    """
    made = item(color=said("Blue"), weight=said(3.0))
    (found,) = carried(tmp_path, made, attributes=frozenset({"weight"}), description=False)
    assert (set(found.current.values), found.current.description, found.stale) == (
        {"weight"},
        "",
        None,
    )
    (found,) = carried(
        tmp_path, made, attributes=frozenset({"weight"}), description=False, stale=True
    )
    assert found.stale is not None
    assert (set(found.stale.values), found.stale.description) == ({"color"}, "A mug.")
    assert carried(tmp_path, made, said_by=("newer", "p")) == []
    (found,) = carried(tmp_path, made, said_by=("newer", "p"), stale=True)
    assert (found.current.values, set(found.stale.values if found.stale else ())) == (
        {},
        {"color", "weight"},
    )
    (found,) = carried(tmp_path, made, said_by=("tiny", "p"), stale=True)
    assert found.stale is None
    unknown = item(color=said(None, reason="model-unknown", confidence=None))
    (found,) = carried(tmp_path, unknown, attributes=frozenset(), stale=True)
    assert found.stale is None, "that another model did not know is worth nothing"


def test_values_that_the_list_lost_are_not_kept(tmp_path: Path) -> None:
    """A stale value that the template's closed list no longer has is dropped."""
    made = item(color=said("Blue"))
    (found,) = carried(tmp_path, made, attributes=frozenset(), stale=True)
    assert found.stale is not None
    narrow = parse_template(TEMPLATE.replace("{value: Blue, synonyms: [navy]}, ", ""), "test")
    file = write_parquet(str(tmp_path), "items", 0, items_table(SHOP, [made], RUN))
    config = PreviousAnswersConfig(str(tmp_path), narrow, frozenset(), True, True, 4)
    assert [each.stale for each in read_previous_answers(config, file)] == [None]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Nothing is carried over from a file that holds other bytes than were written."""
    file = write_parquet(str(tmp_path), "items", 0, items_table(SHOP, [item()], RUN))
    with pytest.raises(DamagedFileError):
        list(
            read_previous_answers(
                PreviousAnswersConfig(str(tmp_path), SHOP, frozenset(), True, False, 4),
                replace(file, digest="0"),
            )
        )


UNKNOWN = said(None, "newer", reason="model-unknown", confidence=None)


def test_without_a_past_the_fresh_answer_stands() -> None:
    """An item that nothing was said of before has today's answer, or none."""
    assert merge_answers(None, None) is None
    assert merge_answers(None, answer()) == answer()


def test_fresh_goes_before_current_before_stale() -> None:
    """Per attribute: what was said today, else what still holds, else what another model said;
    unknowns come last.
    """
    past = PreviousAnswer(
        "a",
        "f",
        answer(color=said("Red"), weight=said(1.0), size=said("S")),
        answer("old", about=said("old"), code=said("old"), size=said("old"), weight=said(9.0)),
    )
    fresh = answer(
        "newer", "", color=said("Blue", "newer"), about=UNKNOWN, code=said("new", "newer")
    )
    merged = merge_answers(past, fresh)
    assert merged is not None
    assert {name: value.value for name, value in merged.values.items()} == {
        "color": "Blue",
        "weight": 1.0,
        "size": "S",
        "about": "old",
        "code": "new",
    }
    assert (merged.description, merged.model) == ("A mug.", "tiny"), "who described it"


def test_a_new_description_goes_before_old_ones() -> None:
    """The description, its alt text and its provenance come together from one answer."""
    old = replace(answer("old"), description="Old.", fingerprint="o")
    new = replace(answer("newer"), description="New.", fingerprint="n")
    merged = merge_answers(PreviousAnswer("a", "f", answer("tiny", ""), old), new)
    assert merged == new
    failed = ItemAnswer(
        "a", method="mllm:newer", model="newer", prompt_hash="p", reason="budget", message="spent"
    )
    kept = merge_answers(PreviousAnswer("a", "f", answer("tiny", ""), old), failed)
    assert kept == replace(old, reason="budget", message="spent"), (
        "and it is said that the new one was not asked"
    )


def test_stale_answers_are_no_answers_before_asking() -> None:
    """As long as a new model was not asked, what an old one said does not keep it from being asked."""
    past = PreviousAnswer(
        "a", "f", answer("tiny", "", weight=said(1.0)), answer("old", color=said("Red"))
    )
    assert merge_answers(past, None) == past.current
