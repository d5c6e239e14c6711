"""transforms.fill.cascade and transforms.runtime.buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Bucket, Item, RawRecord, Record, Reject, Value
from schemas.template import Template
from tests.support import clean_example, example, learning_template
from transforms.fill.cascade import Cascade, FillAttributes, apply_probes, fill_item
from transforms.fill.rules import RuleStep
from transforms.items.evidence import evidence_texts
from transforms.probes.features import example_of
from transforms.probes.report import report_of
from transforms.probes.store import save_probe
from transforms.probes.training import Probe, train_probe
from transforms.runtime.buckets import each_item

RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)

ATTRIBUTES: list[dict[str, Any]] = [
    {
        "name": "color",
        "type": "enum",
        "values": ["Red", {"value": "Blue", "synonyms": ["navy"]}],
        "from": ["c", "c2"],
    },
    {"name": "tags", "type": "multi_enum", "values": ["new", "sale", "eco"], "from": "tags"},
    {
        "name": "category",
        "type": "category",
        "values": ["Food > Milk", "Care > Milk", "Food > Tea"],
        "from": "cat",
    },
    {"name": "weight", "type": "number", "unit": "g", "min": 1, "max": 2000, "from": "weight"},
    {"name": "pages", "type": "number", "integer": True},
    {
        "name": "proof",
        "type": "boolean",
        "true_terms": ["waterproof"],
        "false_terms": ["leaky"],
        "from": "proof",
    },
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
        {
            "name": "shop",
            "version": "1.0.0",
            "record": {"id": "id"},
            "attributes": [*texts, *filled],
        }
    )


SHOP = template()


def item(values: dict[str, Value], given: dict[str, str] | None = None, item_id: str = "1") -> Item:
    raw_texts = given if given is not None else {name: str(value) for name, value in values.items()}
    return Item(
        Record(item_id, values, raw_texts, (), (), RAW, origins=dict.fromkeys(raw_texts, "c2.key"))
    )


def test_given_values_stand_with_their_column() -> None:
    """A given value is kept, whatever the title says, with the column it came from and the cell as
    it was.
    """
    value = fill_item(
        SHOP, [RuleStep(SHOP)], item({"title": "Red", "color": "Blue"}, {"color": "NAVY"})
    ).values["color"]
    assert (value.value, value.source, value.method, value.confidence) == (
        "Blue",
        "record",
        "given",
        1.0,
    )
    assert value.evidence is not None
    assert (value.evidence.field, value.evidence.text, value.evidence.begin) == (
        "column:c2.key",
        "NAVY",
        None,
    )


def test_given_but_invalid_is_never_filled() -> None:
    """A cell that does not fit leaves the value unknown, even when the title states one."""
    value = fill_item(SHOP, [RuleStep(SHOP)], item({"title": "Red"}, {"color": "mauve"})).values[
        "color"
    ]
    assert (value.value, value.reason) == (None, "given-invalid")
    assert value.evidence is not None
    assert (value.evidence.field, value.evidence.text) == ("column:c2.key", "mauve")


def test_not_fillable() -> None:
    """Where the template says fill: false, a stated value stays unknown."""
    shop = template(fill=False)
    assert (
        fill_item(shop, [RuleStep(shop)], item({"title": "Red"})).values["color"].reason
        == "not-fillable"
    )


def test_every_attribute_gets_an_answer() -> None:
    """Each attribute has a value or a reason, in template order, also with no step at all."""
    for steps in ([], [RuleStep(SHOP)]):
        values = fill_item(SHOP, steps, item({})).values
        assert list(values) == [attribute.name for attribute in SHOP.attributes]
        assert {value.reason for value in values.values()} == {"not-stated", "not-fillable"}


@dataclass(frozen=True)
class Scripted:
    """A step with fixed answers that notes what it is asked."""

    name: str
    answers: dict[str, AttributeValue]
    asked: list[list[str]]

    def propose(
        self, item: Item, open_attributes: Sequence[Attribute]
    ) -> dict[str, AttributeValue]:
        self.asked.append([attribute.name for attribute in open_attributes])
        return self.answers


def test_cascade() -> None:
    """The first step with a value wins, later ones are asked only for what is open, and the last
    reason stays.
    """
    known = AttributeValue("Red", "model", "probe", 0.9)
    first = Scripted(
        "first", {"color": known, "tags": AttributeValue(None, reason="ambiguous")}, []
    )
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
            *[
                "500 g",
                "1,5 kg",
                "2 x 3 g",
                "weight: 40 g",
                "320 pages",
                "pages",
                "EAN 4006381333931",
                "color:",
            ],
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
    """No given value changes, no closed list is left, and a filled value has provenance whose span
    is in the text.
    """
    shop = template(
        [ATTRIBUTES[i] for i in sorted(chosen)], min_confidence=threshold, fill=fillable
    )
    values: dict[str, Value] = {name: GIVEN[name] for name in known if name in shop.by_name}
    values |= {"title": title} if title is not None else {}
    values |= {"about": about} if about is not None else {}
    before = item(values, dict.fromkeys({*values, *(invalid & shop.by_name.keys())}, "as given"))
    filled = fill_item(shop, [RuleStep(shop)], before)
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
    if attribute.spec.has_closed_list:
        chosen = value.value if isinstance(value.value, list) else [value.value]
        assert set(chosen) <= {choice.value for choice in attribute.values}
    if attribute.type is AttributeType.NUMBER:
        assert isinstance(value.value, float)
        assert (attribute.min or 0) <= value.value <= (attribute.max or value.value)


def test_a_failure_concerns_one_record() -> None:
    """A record on which a stage raises is set aside with the message; its neighbours and earlier
    rejects stay.
    """

    def fail_on_b(given: Item) -> Item | Reject:
        if given.item_id == "b":
            raise KeyError("no such thing")
        return (
            Reject(RAW, "required-missing", "validate", "color", "c")
            if given.item_id == "c"
            else given
        )

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
    buckets = [
        Bucket(n, (item({"title": title}, item_id=str(n)),))
        for n, title in enumerate(["Red shirt", "Shirt"])
    ]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        filled = pipeline | beam.Create(buckets) | FillAttributes(Cascade(SHOP))
        answers = filled | beam.Map(
            lambda bucket: [(i.item_id, i.values["color"].value) for i in bucket.items]
        )
        assert_that(answers, equal_to([[("0", "Red")], [("1", None)]]))


LEARNT = learning_template()
CLEAN = [clean_example(n) for n in range(60)]


@cache
def probe_of(name: str) -> Probe:
    return train_probe(LEARNT, LEARNT.by_name[name], CLEAN)


def learnt_item(
    values: dict[str, Value], item_id: str, absent: tuple[str, ...] = (), invalid: str = ""
) -> Item:
    cells = {name: f"{value}" for name, value in values.items()} | dict.fromkeys(
        [*absent, *invalid.split()], "as given"
    )
    return Item(Record(item_id, values, cells, (), (), RAW, absent=absent))


def filled_bucket(*items: Item, number: int = 4) -> Bucket:
    """A bucket after the rules, with what probes see of its items."""
    filled = tuple(fill_item(LEARNT, [RuleStep(LEARNT)], each) for each in items)
    return Bucket(
        number, filled, examples={each.item_id: example_of(LEARNT, each) for each in items}
    )


def probed(bucket: Bucket, *probes: Probe) -> dict[str, Item]:
    result = apply_probes(LEARNT, [(probe, "digest") for probe in probes], bucket)
    assert not result.rejects
    return {each.item_id: each for each in result.items}


TITLES = st.sampled_from(
    ["azure kettle", "scarlet lamp", "Red lamp", "Red and blue lamp", "lamp", "", "moss Green bag"]
)
SOURCE: dict[str, list[Value]] = {
    "color": ["Red", "Green"],
    "proof": [True, False],
    "model": ["AK-1"],
    "tags": [["new"], ["eco", "sale"]],
}
sources = st.fixed_dictionaries(
    {"title": TITLES}, optional={name: st.sampled_from(values) for name, values in SOURCE.items()}
)


@settings(max_examples=20, deadline=None)
@given(
    many=st.lists(sources, min_size=1, max_size=5),
    absent=st.sets(st.sampled_from(sorted(SOURCE))),
    invalid=st.sets(st.sampled_from(sorted(SOURCE))),
)
def test_probes_change_no_source_value(
    many: list[dict[str, Value]], absent: set[str], invalid: set[str]
) -> None:
    """What the source gave, in whatever form, probes leave as it is, value, statement and mistake;
    items stay in order.
    """
    items = []
    for n, values in enumerate(many):
        without_value = absent - values.keys()
        wrong = " ".join(sorted(invalid - values.keys() - without_value))
        items.append(learnt_item(values, f"i{n:03}", tuple(sorted(without_value)), wrong))
    before = filled_bucket(*items)
    after = apply_probes(LEARNT, [(probe_of(name), "digest") for name in SOURCE], before)
    assert (after.number, after.rejects, after.examples) == (before.number, (), before.examples)
    for was, has in zip(before.items, after.items, strict=True):
        assert has.record == was.record
        assert list(has.values) == list(was.values)
        for name, value in was.values.items():
            if name in was.record.given or value.value is not None:
                assert has.values[name] == value
            elif has.values[name].value is not None:
                assert (has.values[name].method or "").startswith(("probe:", "span:"))


def test_probes_fill_what_rules_leave_open() -> None:
    """A value that rules state stands; one that they do not is filled by the rows, or open with
    what was seen.
    """
    items = probed(
        filled_bucket(
            learnt_item({"title": "azure kettle"}, "rows"),
            learnt_item({"title": "Red kettle azure"}, "rules"),
            learnt_item({"title": "Red or blue umbrella"}, "both"),
        ),
        probe_of("color"),
    )
    rows, rules, both = (items[name].values["color"] for name in ("rows", "rules", "both"))
    assert (rows.value, rows.method, rows.source) == ("Blue", "probe:text", "text")
    assert (rules.value, rules.method) == ("Red", "rule:closed-list")
    assert (both.value, both.source) == (None, None)
    assert both.reason in ("ambiguous", "below-threshold")


def test_stated_absent_stays() -> None:
    """Where the source says that there is none, neither rules nor probes fill a value."""
    item_of = probed(
        filled_bucket(learnt_item({"title": "azure Red kettle"}, "x", ("color",))),
        probe_of("color"),
    )["x"]
    color = item_of.values["color"]
    assert (color.value, color.reason, color.candidate) == (None, "stated-absent", None)
    assert color.evidence is not None
    assert color.evidence.text == "as given"


def test_too_few_labels() -> None:
    """Where too few rows have a value that is the reason, unless the rules saw something."""
    few = train_probe(LEARNT, LEARNT.by_name["color"], CLEAN[:5])
    bucket = filled_bucket(
        learnt_item({"title": "azure kettle"}, "a"), learnt_item({"title": "Red and blue"}, "b")
    )
    items = probed(bucket, few)
    assert [items[name].values["color"].reason for name in "ab"] == ["too-few-labels", "ambiguous"]


def test_rows_contradict_a_value() -> None:
    """A source value that rows like it deny is flagged with both, and stays; filled or equal values
    are not flagged.
    """
    wrong = replace(CLEAN[7], known={**CLEAN[7].known, "color": ("Red",)})
    denying = train_probe(LEARNT, LEARNT.by_name["color"], [*CLEAN[:7], wrong, *CLEAN[8:]])
    title = wrong.texts[0].text
    for values, expected in (
        ({"color": "Red"}, ["rows-contradict-value"]),
        ({"color": "Blue"}, []),
        ({}, []),
    ):
        found = probed(
            filled_bucket(learnt_item({"title": title, **values}, wrong.item_id)), denying
        )[wrong.item_id]
        assert [flag.reason for flag in found.flags] == expected
        if expected:
            flag = found.flags[0]
            assert (flag.field, found.values["color"].value) == ("color", "Red")
            assert flag.detail.startswith(
                "given is 'Red'; rows like this one have 'Blue' (text, confidence 0.9"
            )


def test_a_probe_that_fails_on_one_record() -> None:
    """A probe that raises on one record sets that one aside with the message; the others are
    answered.
    """
    broken = replace(example("b", "azure lamp"), text_vector=b"12345")  # no whole number of floats
    bucket = filled_bucket(*(learnt_item({"title": "azure lamp"}, name) for name in "abc"))
    bucket = replace(bucket, rejects=(Reject(RAW, "missing-id", "normalise", "no id"),))
    result = apply_probes(
        LEARNT,
        [(probe_of("color"), "digest"), (probe_of("proof"), "digest")],
        replace(bucket, examples={**bucket.examples, "b": broken}),
    )
    assert [(each.item_id, each.values["color"].value) for each in result.items] == [
        ("a", "Blue"),
        ("c", "Blue"),
    ]
    assert [(r.reason, r.stage, r.item_id) for r in result.rejects] == [
        ("missing-id", "normalise", None),
        ("internal-error", "fill", "b"),
    ]
    assert result.rejects[1].message.startswith("ValueError: ")


def test_items_without_an_example_are_left() -> None:
    """Where nothing is known of an item, probes say nothing of it."""
    bucket = filled_bucket(learnt_item({"title": "azure lamp"}, "a"))
    assert (
        apply_probes(LEARNT, [(probe_of("color"), "digest")], replace(bucket, examples={})).items
        == bucket.items
    )


def test_the_whole_cascade(tmp_path: Path) -> None:
    """Through Beam: rules with measured confidence, then stored probes; without rules the probes
    alone.
    """
    stored = [save_probe(str(tmp_path), probe_of(name)) for name in ("color", "model")]
    reports = [report_of(LEARNT, probe_of(each.attribute), each, "key", {}) for each in stored]
    told = {"title": "Green kettle", "about": "Keeps dry. Model: DK-515 arrived fresh this season."}
    bucket = filled_bucket(learnt_item({"title": "azure kettle"}, "a"), learnt_item(told, "b"))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        buckets = pipeline | beam.Create([bucket])
        side = pipeline | "Reports" >> beam.Create(reports)
        for rules, expected in ((True, ["Blue", "Green"]), (False, ["Blue", None])):
            filled = buckets | f"Fill {rules}" >> FillAttributes(Cascade(LEARNT, rules), side)
            colors = filled | f"Colors {rules}" >> beam.Map(
                lambda b: [i.values["color"].value for i in b.items]
            )
            models = filled | f"Models {rules}" >> beam.Map(
                lambda b: [i.values["model"].value for i in b.items]
            )
            assert_that(colors, equal_to([expected]), label=f"colors {rules}")
            assert_that(models, equal_to([[None, "DK-515"]]), label=f"models {rules}")
