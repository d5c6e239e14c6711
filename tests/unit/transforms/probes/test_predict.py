"""transforms.probes.predict."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, EvidenceText, Example
from schemas.template import Template
from tests.support import clean_example, example, learning_template, without
from transforms.probes.calibration import Cut
from transforms.probes.classifier import Classifier
from transforms.probes.predict import propose
from transforms.probes.training import Probe, train_probe

SHOP = learning_template()
NAMES = ("color", "tags", "proof", "model")


LEAST = {least: learning_template(min_confidence=least) for least in (0.0, 0.8, 1.0)}


@cache
def probe(name: str) -> Probe:
    rows = [clean_example(n) for n in range(60)]
    rows += [example(f"none{n}", f"gift card {n}", absent=(name,)) for n in range(5)]
    return train_probe(SHOP, SHOP.by_name[name], rows)


def pictures(number: int) -> Example:
    """A row that nothing but its picture tells the colour of."""
    color = "Red" if number % 2 else "Blue"
    tokens = [(f"color={color}", 0.9)]
    row = example(
        f"i{number:02}", "plain thing", known={"color": (color,)}, pictures={f"p{number}": tokens}
    )
    return replace(row, image_vector=np.array([number % 2, 1, number % 5], "<f4").tobytes())


@cache
def seeing() -> tuple[Template, Probe]:
    """A probe that looks at pictures."""
    shop = learning_template(evidence=["text", "image"])
    return shop, train_probe(shop, shop.by_name["color"], [pictures(n) for n in range(60)])


WORDS = st.sampled_from(
    [
        *[
            "scarlet",
            "ruby",
            "AZURE",
            "emerald",
            "shirt",
            "lamp",
            "Keeps dry.",
            "damp",
            "gift card",
            "Red",
            "navy",
        ],
        *[
            "Model: AK-123",
            "Model:",
            "BK-0",
            "reduced clearance outlet bargain",
            "arrived fresh this season",
        ],
        *["👕", "ß", "İ", "\0", "\n", ",", "e\u0301", "x" * 30, "型番"],
    ]
)
TEXTS = st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=30)
asked_rows = st.lists(
    st.builds(
        example,
        item_id=st.just("x"),
        title=TEXTS,
        about=TEXTS,
        pictures=st.dictionaries(st.sampled_from("pq"), st.just([("color=Red", 0.9)])),
    ),
    max_size=4,
)


def check(attribute: Attribute, by: Probe, row: Example, value: AttributeValue) -> None:
    """A value has all of its provenance and is allowed; a candidate says why it is none; nothing is
    nothing.
    """
    if value.value is None and value.candidate is None:
        assert value.reason == "not-stated"
        return
    least = max(by.cut.threshold, attribute.min_confidence)
    said = value.value if value.value is not None else value.candidate
    assert value.confidence is not None
    assert 0 <= value.confidence <= round(by.calibration.ceiling, 4) < 1
    assert (value.method, len(value.fingerprint or "")) == (
        "span:crf" if by.kind == "spans" else f"probe:{by.view}",
        64,
    )
    if value.value is None:
        assert (value.reason, value.source) == ("below-threshold", None)
        assert value.confidence < least
    else:
        assert value.source in ("text", "image")
        assert value.confidence >= attribute.min_confidence
        assert value.confidence >= by.cut.threshold - 1e-4
    if attribute.spec.has_closed_list:
        assert {*(said if isinstance(said, list) else [said])} <= {
            choice.value for choice in attribute.values
        }
        assert said != []
    span = value.evidence
    assert span is not None
    if span.begin is not None:
        texts = {text.field: text.text for text in row.texts}
        assert texts[span.field][span.begin : span.end] == span.text != ""
    if value.value is not None and span.image is not None:
        assert (value.source, span.image) == ("image", row.pictures[0])


@settings(max_examples=30, deadline=None)
@given(rows=asked_rows, name=st.sampled_from(NAMES), least=st.sampled_from(sorted(LEAST)))
def test_answers_are_allowed_sure_and_proven(rows: list[Example], name: str, least: float) -> None:
    """Whatever the texts: no closed list is left, what is filled has provenance and is sure, the
    rest says why.
    """
    shop = LEAST[least]
    answers = propose(shop, probe(name), "digest", rows)
    assert len(answers) == len(rows)
    for row, value in zip(rows, answers, strict=True):
        check(shop.by_name[name], probe(name), row, value)
        assert propose(shop, probe(name), "digest", [row]) == [value], "a row's answer is its own"


@settings(max_examples=30, deadline=None)
@given(rows=asked_rows)
def test_answers_from_pictures(rows: list[Example]) -> None:
    """The same of a probe that looks at pictures: its evidence is the first one, and without any it
    says nothing.
    """
    shop, by = seeing()
    assert by.view == "image"
    for row, value in zip(rows, propose(shop, by, "digest", rows), strict=True):
        check(shop.by_name["color"], by, row, value)
        assert (value.evidence is None) == (not row.pictures)


def one(name: str, row: Example, by: Probe | None = None, shop: Template = SHOP) -> AttributeValue:
    (value,) = propose(shop, by or probe(name), "digest", [row])
    return value


def test_a_value_with_its_evidence() -> None:
    """What is sure is filled, with the word that speaks most for it, or the span itself."""
    row = example("x", "👕 azure kettle", "Keeps dry. Model: DK-515 arrived fresh this season.")
    color, model = one("color", row), one("model", row)
    assert (color.value, color.source, color.method, color.candidate) == (
        "Blue",
        "text",
        "probe:text",
        None,
    )
    assert color.evidence is not None
    assert (color.evidence.field, color.evidence.begin, color.evidence.text) == (
        "title",
        2,
        "azure",
    )
    assert (model.value, model.source, model.method) == ("DK-515", "text", "span:crf")
    assert model.evidence is not None
    assert (model.evidence.field, model.evidence.begin) == ("about", 18)
    assert (one("proof", row).value, one("tags", row).value) == (True, ["new"])
    assert one("tags", example("x", "bag", "reduced clearance outlet bargain")).value == [
        "sale",
        "eco",
    ]


def test_a_picture_as_evidence() -> None:
    """Where the picture tells the value it is the evidence."""
    shop, by = seeing()
    value = one("color", without(pictures(7)), by, shop)
    assert (value.value, value.source, value.method) == ("Red", "image", "probe:image")
    assert value.evidence is not None
    assert (value.evidence.field, value.evidence.image) == ("images", "p7")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("color", "Blue"), ("tags", ["new"]), ("proof", True), ("model", "DK-515")],
)
def test_below_the_threshold(name: str, expected: object) -> None:
    """A probe without a threshold, or an attribute that asks for more, leaves the value open, with
    the candidate.
    """
    row = example("x", "azure kettle", "Keeps dry. Model: DK-515 arrived fresh this season.")
    assert one(name, row).value == expected
    abstaining = replace(probe(name), cut=Cut(2.0))
    for value in (one(name, row, abstaining), one(name, row, shop=LEAST[1.0])):
        assert (value.value, value.candidate, value.reason, value.source) == (
            None,
            expected,
            "below-threshold",
            None,
        )


def test_nothing_is_said() -> None:
    """Rows like those that have none get no value; without a model the reason is too few labels,
    for numbers none.
    """
    card = one("color", example("x", "gift card 77"))
    assert (card.value, card.candidate, card.reason) == (None, None, "not-stated")
    assert (
        one("color", example("x", "lamp"), Probe("color", "classes", labelled=3)).reason
        == "too-few-labels"
    )
    assert one("color", example("x", "lamp"), Probe("color", "classes")).reason == "not-stated"
    assert (
        one("model", example("x", "lamp"), Probe("model", "spans", labelled=9)).reason
        == "too-few-labels"
    )
    assert one("weight", example("x", "lamp"), Probe("weight", "none")).reason == "not-stated"
    assert one("model", example("x")).reason == "not-stated"


@pytest.mark.parametrize("name", NAMES)
def test_rows_unlike_any_other_are_left_open(name: str) -> None:
    """Where every held-back row was answered rightly, rows that show nothing of the kind are left
    open all the same.
    """
    by = train_probe(SHOP, SHOP.by_name[name], [clean_example(n) for n in range(60)])
    assert by.right == 1.0
    for row in (
        example("x", "Umbrella of wood", "Nice to have."),
        example("y"),
        example("z", "gift card"),
    ):
        assert one(name, row, by).value is None


def test_a_span_that_breaks_the_rules_is_no_value() -> None:
    """A span is read as a cell would be: one that the attribute does not accept is left."""
    row = example("x", "azure kettle", "Keeps dry. Model: DK-515 arrived fresh this season.")
    attributes = [
        a.model_copy(update={"pattern": r"\d+"}) if a.name == "model" else a
        for a in SHOP.attributes
    ]
    shop = SHOP.model_copy(update={"attributes": tuple(attributes)})
    shop.__dict__.pop("by_name", None)
    assert one("model", row, shop=shop).reason == "not-stated"


def test_fingerprints() -> None:
    """A fingerprint changes with the probe, the texts and the pictures, and with nothing else."""
    row = example("x", "azure kettle")
    first = one("color", row).fingerprint
    others = [
        *propose(SHOP, probe("color"), "other digest", [row]),
        one("color", example("x", "azure kettles")),
        one("color", replace(row, pictures=("p",))),
        one("color", replace(row, texts=(EvidenceText("about", "azure kettle", "text"),))),
    ]
    assert len({first, *(value.fingerprint for value in others)}) == 5
    assert one("color", replace(row, item_id="y")).fingerprint == first


def test_rules_are_heard() -> None:
    """Where rows show that a name in a title is the value, a probe follows it for things it has not
    seen.
    """
    rows = [
        example(
            f"i{n:02}",
            f"{('Red', 'Blue')[n % 2]} thing{n}",
            known={"color": (("Red", "Blue")[n % 2],)},
        )
        for n in range(60)
    ]
    by = train_probe(SHOP, SHOP.by_name["color"], rows)
    assert isinstance(by.model, Classifier)
    assert one("color", example("x", "blue whatsit"), by).value == "Blue"
