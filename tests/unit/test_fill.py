"""transforms.fill and transforms.buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import Attribute, AttributeType
from schemas.elements import AttributeValue, Bucket, Item, RawRecord, Record, Reject, Value
from schemas.template import Template
from transforms.buckets import each_item
from transforms.fill import FillAttributes, fill_item
from transforms.rules import RuleRung, evidence_texts

RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)

ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "color", "type": "enum", "values": ["Red", {"value": "Blue", "synonyms": ["navy"]}], "from": ["c", "c2"]},
    {"name": "tags", "type": "multi_enum", "values": ["new", "sale", "eco"], "from": "tags"},
    {"name": "category", "type": "category", "values": ["Food > Milk", "Care > Milk", "Food > Tea"], "from": "cat"},
    {"name": "weight", "type": "number", "unit": "g", "min": 1, "max": 2000, "from": "weight"},
    {"name": "pages", "type": "number", "integer": True},
    {"name": "proof", "type": "boolean", "true_terms": ["waterproof"], "false_terms": ["leaky"], "from": "proof"},
    {"name": "gtin", "type": "identifier", "scheme": "gtin", "from": "gtin"},
]
GIVEN: dict[str, Value] = {
    "color": "Blue",
    "tags": ["eco"],
    "category": "Food > Tea",
    "weight": 7.0,
    "pages": 3.0,
    "proof": False,
    "gtin": "96385074",
}


def template(attributes: Sequence[dict[str, Any]] = ATTRIBUTES, **every: Any) -> Template:
    texts = [
        {"name": "title", "type": "string", "role": "title", "from": "name"},
        {"name": "about", "type": "localized", "role": "text", "from": "text"},
    ]
    filled = [{"fill": True, **attribute, **every} for attribute in attributes]
    return Template.model_validate(
        {"name": "shop", "version": "1.0.0", "record": {"id": "id"}, "attributes": [*texts, *filled]}
    )


SHOP = template()


def item(values: dict[str, Value], given: dict[str, str] | None = None, item_id: str = "1") -> Item:
    raw_texts = given if given is not None else {name: str(value) for name, value in values.items()}
    return Item(Record(item_id, values, raw_texts, (), (), RAW, origins=dict.fromkeys(raw_texts, "c2.key")))


def test_given_values_stand_with_their_column() -> None:
    """A given value is kept, whatever the title says, with the column it came from and the cell as it was."""
    value = fill_item(SHOP, [RuleRung(SHOP)], item({"title": "Red", "color": "Blue"}, {"color": "NAVY"})).values[
        "color"
    ]
    assert (value.value, value.source, value.method, value.confidence) == ("Blue", "record", "given", 1.0)
    assert value.evidence is not None
    assert (value.evidence.field, value.evidence.text, value.evidence.begin) == ("column:c2.key", "NAVY", None)


def test_given_but_invalid_is_never_filled() -> None:
    """A cell that does not fit leaves the value unknown, even when the title states one."""
    value = fill_item(SHOP, [RuleRung(SHOP)], item({"title": "Red"}, {"color": "mauve"})).values["color"]
    assert (value.value, value.reason) == (None, "given-invalid")
    assert value.evidence is not None
    assert (value.evidence.field, value.evidence.text) == ("column:c2.key", "mauve")


def test_not_fillable() -> None:
    """Where the template says fill: false, a stated value stays unknown."""
    shop = template(fill=False)
    assert fill_item(shop, [RuleRung(shop)], item({"title": "Red"})).values["color"].reason == "not-fillable"


def test_every_attribute_gets_an_answer() -> None:
    """Each attribute has a value or a reason, in template order, also with no rung at all."""
    for rungs in ([], [RuleRung(SHOP)]):
        values = fill_item(SHOP, rungs, item({})).values
        assert list(values) == [attribute.name for attribute in SHOP.attributes]
        assert {value.reason for value in values.values()} == {"not-stated", "not-fillable"}


@dataclass(frozen=True)
class Scripted:
    """A rung with fixed answers that notes what it is asked."""

    name: str
    answers: dict[str, AttributeValue]
    asked: list[list[str]]

    def propose(self, item: Item, open_attributes: Sequence[Attribute]) -> dict[str, AttributeValue]:
        self.asked.append([attribute.name for attribute in open_attributes])
        return self.answers


def test_cascade() -> None:
    """The first rung with a value wins, later ones are asked only for what is open, and the last reason stays."""
    known = AttributeValue("Red", "model", "probe", 0.9)
    first = Scripted("first", {"color": known, "tags": AttributeValue(None, reason="ambiguous")}, [])
    late = {
        "color": AttributeValue("Blue", "model", "late", 1.0),
        "tags": AttributeValue(None, reason="below-threshold"),
    }
    second = Scripted("second", late, [])
    values = fill_item(SHOP, [first, second], item({"weight": 5.0})).values
    assert first.asked == [["color", "tags", "category", "pages", "proof", "gtin"]]
    assert second.asked == [["tags", "category", "pages", "proof", "gtin"]]
    assert values["color"] is known
    assert (values["tags"].reason, values["category"].reason) == ("below-threshold", "not-stated")


PHRASES = st.lists(
    st.sampled_from(
        [
            *[
                "red",
                "navy",
                "blue",
                "not",
                "without",
                "new",
                "sale",
                "milk",
                "food",
                "tea",
                "care",
                "waterproof",
                "leaky",
            ],
            *["500 g", "1,5 kg", "2 x 3 g", "weight: 40 g", "320 pages", "pages", "EAN 4006381333931", "color:"],
            *[",", ".", "\n", "and", "/", "ß", "👕", "½ g", "9 t"],
        ]
    ),
    max_size=9,
).map(" ".join)


@given(
    title=st.none() | PHRASES | st.text(),
    about=st.none() | st.dictionaries(st.sampled_from(["en", "sv"]), PHRASES, min_size=1),
    known=st.sets(st.sampled_from(sorted(GIVEN))),
    invalid=st.sets(st.sampled_from(sorted(GIVEN))),
    chosen=st.sets(st.sampled_from(range(len(ATTRIBUTES))), min_size=1),
    threshold=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    fillable=st.booleans(),
)
def test_laws(
    title: str | None,
    about: dict[str, str] | None,
    known: set[str],
    invalid: set[str],
    chosen: set[int],
    threshold: float,
    fillable: bool,
) -> None:
    """No given value changes, no closed list is left, and a filled value has provenance whose span is in the text."""
    shop = template([ATTRIBUTES[i] for i in sorted(chosen)], min_confidence=threshold, fill=fillable)
    values: dict[str, Value] = {name: GIVEN[name] for name in known if name in shop.by_name}
    values |= {"title": title} if title is not None else {}
    values |= {"about": about} if about is not None else {}
    before = item(values, dict.fromkeys({*values, *(invalid & shop.by_name.keys())}, "as given"))
    filled = fill_item(shop, [RuleRung(shop)], before)
    assert filled.record == before.record
    texts = {text.field: text.text for text in evidence_texts(shop, before)}
    for attribute in shop.attributes:
        value = filled.values[attribute.name]
        if attribute.name in before.record.given:
            assert value.value == values.get(attribute.name)
            assert value.source == ("record" if attribute.name in values else None)
        elif value.value is not None:
            assert_filled(attribute, value, texts)


def assert_filled(attribute: Attribute, value: AttributeValue, texts: dict[str, str]) -> None:
    assert attribute.fill
    assert (value.source, bool(value.method), bool(value.fingerprint)) == ("text", True, True)
    assert value.confidence is not None
    assert value.confidence >= attribute.min_confidence
    span = value.evidence
    assert span is not None
    assert span.text == texts[span.field][span.begin : span.end] != ""
    if attribute.type.has_closed_list:
        chosen = value.value if isinstance(value.value, list) else [value.value]
        assert set(chosen) <= {choice.value for choice in attribute.values}
    if attribute.type is AttributeType.NUMBER:
        assert isinstance(value.value, float)
        assert (attribute.min or 0) <= value.value <= (attribute.max or value.value)


def test_a_failure_concerns_one_record() -> None:
    """A record on which a stage raises is set aside with the message; its neighbours and earlier rejects stay."""

    def fail_on_b(given: Item) -> Item | Reject:
        if given.item_id == "b":
            raise KeyError("no such thing")
        return Reject(RAW, "required-missing", "validate", "color", "c") if given.item_id == "c" else given

    earlier = Reject(RAW, "missing-id", "normalise", "no id")
    bucket = Bucket(3, tuple(item({}, item_id=name) for name in "abcd"), (earlier,))
    result = each_item(bucket, "fill", fail_on_b)
    assert [kept.item_id for kept in result.items] == ["a", "d"]
    assert [(r.reason, r.stage, r.item_id) for r in result.rejects] == [
        ("missing-id", "normalise", None),
        ("internal-error", "fill", "b"),
        ("required-missing", "validate", "c"),
    ]
    assert result.rejects[1].message == "KeyError: 'no such thing'"
    assert result.number == 3


def test_transform() -> None:
    """The transform fills every item of every bucket as `fill_item` does."""
    buckets = [Bucket(n, (item({"title": title}, item_id=str(n)),)) for n, title in enumerate(["Red shirt", "Shirt"])]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        filled = pipeline | beam.Create(buckets) | FillAttributes(SHOP)
        answers = filled | beam.Map(lambda bucket: [(i.item_id, i.values["color"].value) for i in bucket.items])
        assert_that(answers, equal_to([[("0", "Red")], [("1", None)]]))
