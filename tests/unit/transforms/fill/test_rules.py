"""transforms.fill.rules and transforms.extraction.statements."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.elements import (
    AttributeValue,
    Evidence,
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
    Value,
)
from schemas.template import Template
from transforms.fill.rules import EvidenceText, RuleStep, fill_by_rules
from transforms.items.evidence import CONFIDENCE, evidence_texts


def template(*attributes: dict[str, Any]) -> Template:
    texts = [
        {"name": "title", "type": "string", "role": "title"},
        {"name": "about", "type": "string", "role": "text"},
        {"name": "names", "type": "localized", "role": "text"},
    ]
    return Template.model_validate(
        {
            "name": "shop",
            "version": "1.0.0",
            "record": {"id": "id"},
            "attributes": [*texts, *attributes],
        }
    )


COLOR = {
    "name": "color",
    "type": "enum",
    "values": ["Red", {"value": "Blue", "synonyms": ["navy"]}],
    "fill": True,
}


def fill(
    attribute: dict[str, Any], *texts: tuple[str, str], others: tuple[dict[str, Any], ...] = ()
) -> AttributeValue:
    shop = template({"fill": True, "min_confidence": 0.1, **attribute}, *others)
    evidence = [
        EvidenceText(
            field,
            text,
            "image" if field == "image_text" else "text",
            "d1" if field == "image_text" else None,
        )
        for field, text in texts
    ]
    return fill_by_rules(shop, evidence, shop.by_name[attribute["name"]])


def outcome(value: AttributeValue) -> Value | None:
    return value.reason if value.value is None else value.value


def test_provenance() -> None:
    """A filled value says where it stands, by which rule it was found, how sure it is and what it
    depends on.
    """
    value = fill(COLOR, ("title", "A red shirt"))
    assert value.value == "Red"
    assert (value.source, value.method, value.confidence) == (
        "text",
        "rule:closed-list",
        CONFIDENCE["term"]["title"],
    )
    assert value.evidence == Evidence("title", 2, 5, "red")
    assert value.fingerprint is not None
    assert len(value.fingerprint) == 64


def test_first_text_that_states_a_value_decides() -> None:
    """What the title states is not weighed against the description; an empty title leaves it to the
    next text.
    """
    assert fill(COLOR, ("title", "Red shirt"), ("about", "also in blue")).value == "Red"
    assert fill(COLOR, ("title", "Shirt"), ("about", "in blue")).value == "Blue"
    assert (
        outcome(fill(COLOR, ("title", "Red and blue shirt"), ("about", "in blue"))) == "ambiguous"
    )
    assert outcome(fill(COLOR, ("title", "Shirt, not red"))) == "not-stated"


def test_prior_order() -> None:
    """In every rule a title weighs at least as much as prose, and prose more than text on a
    picture.
    """
    assert all(place["title"] >= place["text"] > place["image"] for place in CONFIDENCE.values())
    assert CONFIDENCE["term"]["title"] > CONFIDENCE["synonym"]["title"]


def test_default_threshold() -> None:
    """At the default threshold a name in a title fills, one in prose only behind its label."""
    shop = {key: value for key, value in COLOR.items() if key != "min_confidence"} | {
        "min_confidence": 0.8
    }
    assert outcome(fill(shop, ("title", "navy shirt"))) == "Blue"
    assert outcome(fill(shop, ("about", "a red shirt"))) == "below-threshold"
    assert outcome(fill(shop, ("about", "Soft. Color: red"))) == "Red"


def test_what_was_seen_and_did_not_suffice() -> None:
    """An unknown says which rule saw what where; it has no value and no source."""
    shop = {**COLOR, "min_confidence": 0.8}
    weak = fill(shop, ("title", "Shirt"), ("about", "a red shirt"), ("about", "a navy shirt"))
    assert (weak.reason, weak.value, weak.source) == ("below-threshold", None, None)
    assert (weak.method, weak.confidence) == ("rule:closed-list", CONFIDENCE["term"]["text"])
    assert weak.evidence == Evidence("about", 2, 5, "red")
    several = fill(shop, ("title", "A red or blue shirt"))
    assert (several.reason, several.value, several.source, several.confidence) == (
        "ambiguous",
        None,
        None,
        None,
    )
    assert (several.method, several.evidence) == (
        "rule:closed-list",
        Evidence("title", 2, 13, "red or blue"),
    )


def test_a_later_text_may_be_surer() -> None:
    """What is too weak in one text does not end the search; what is ambiguous does."""
    shop = {**COLOR, "min_confidence": 0.8}
    assert fill(shop, ("about", "a red shirt"), ("about", "Color: blue")).value == "Blue"
    unsure = fill(
        shop, ("about", "a red shirt"), ("about", "red or blue"), ("about", "Color: blue")
    )
    assert (unsure.reason, unsure.evidence) == ("below-threshold", Evidence("about", 2, 5, "red"))


def test_label_picks_its_values() -> None:
    """Behind the attribute's own label only the enumeration there counts; another label is not it."""
    assert fill(COLOR, ("about", "Blue box. Color: red; navy lining")).value == "Red"
    assert outcome(fill(COLOR, ("about", "Color: red / navy. Blue box"))) == "ambiguous"
    assert outcome(fill(COLOR, ("about", "Lining color: red, blue shirt"))) == "ambiguous"


def test_multi_enum() -> None:
    """All stated values, in list order, over the span from the first to the last."""
    tags = {"name": "tags", "type": "multi_enum", "values": ["new", "eco", "sale"]}
    value = fill(tags, ("title", "Sale! A new shirt, no eco"))
    assert value.value == ["new", "sale"]
    assert value.evidence == Evidence("title", 0, 11, "Sale! A new")


def test_category() -> None:
    """The most special of nested categories counts; two branches are ambiguous."""
    values = ["Food > Fruit", "Food > Fruit > Apple", "Food > Drinks > Juice"]
    category = {"name": "category", "type": "category", "values": values}
    assert fill(category, ("title", "Fruit: apples")).value == "Food > Fruit > Apple"
    assert outcome(fill(category, ("title", "Apple juice"))) == "ambiguous"


def test_boolean() -> None:
    """A true term makes it true, its denial or a false term false; a bare yes states nothing."""
    proof = {
        "name": "proof",
        "type": "boolean",
        "true_terms": ["yes", "waterproof"],
        "false_terms": ["no", "leaky"],
    }
    assert fill(proof, ("title", "Waterproof jacket")).value is True
    assert fill(proof, ("title", "Jacket, not waterproof")).value is False
    assert fill(proof, ("title", "Leaky jacket")).value is False
    assert outcome(fill(proof, ("title", "Yes, a jacket. No."))) == "not-stated"
    assert outcome(fill(proof, ("title", "not leaky"))) == "not-stated"
    assert outcome(fill(proof, ("title", "waterproof, once leaky"))) == "ambiguous"
    assert fill(proof, ("title", "waterproof")).method == "rule:term"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Oats 500 g", 500.0),
        ("Oats 0.5 kg (17.6 oz)", 500.0),
        ("Oats 500 g or 750 g", "ambiguous"),
        ("Oats 500 ml", "not-stated"),
        ("Oats 999 kg", "not-stated"),
        ("Weight: 300 g, box 900 g", 300.0),
        ("Oats 6 x 40 g", "not-stated"),
    ],
)
def test_quantity(title: str, expected: object) -> None:
    """One plain amount in the attribute's range and kind; a label decides between several."""
    weight = {"name": "weight_g", "type": "number", "unit": "g", "min": 0, "max": 5000}
    assert outcome(fill(weight, ("title", title))) == expected


def test_quantity_between_rivals() -> None:
    """Where two attributes take lengths, only a labelled length is taken, and by the one whose
    label it is.
    """
    width = {"name": "width", "type": "number", "unit": "cm"}
    height = {"name": "height", "type": "number", "unit": "mm"}
    assert fill(width, ("title", "Box 30 cm")).value == 30.0
    assert outcome(fill(width, ("title", "Box 30 cm"), others=(height,))) == "not-stated"
    for text in ["Height: 5 cm Width: 30 cm", "30 cm width, 5 cm height"]:
        assert fill(width, ("title", text), others=(height,)).value == 30.0, text
        assert fill(height, ("title", text), others=(width,)).value == 50.0, text
    # the label may belong to either amount
    assert outcome(fill(height, ("title", "30 cm height 5 cm"), others=(width,))) == "not-stated"


def test_number_without_unit_needs_its_label() -> None:
    """A bare number is taken only beside the attribute's name, and a fraction not for a whole
    number.
    """
    pages = {"name": "pages", "type": "number", "integer": True}
    for text in ["320 pages", "Pages: 320", "320-page novel"]:
        assert fill(pages, ("title", text)).value == 320.0, text
    for text in ["320", "Part 3 of 4", "3.5 pages", "Pages 5-7", "Page 130 ml"]:
        assert outcome(fill(pages, ("title", text))) == "not-stated", text


def test_identifier() -> None:
    """A labelled identifier with its check digit is taken; without one nothing is."""
    gtin = {"name": "gtin", "type": "identifier", "scheme": "gtin"}
    assert fill(gtin, ("about", "EAN 4006381333931")).value == "4006381333931"
    assert outcome(fill(gtin, ("about", "EAN 4006381333932"))) == "not-stated"
    assert (
        outcome(
            fill(
                {"name": "code", "type": "identifier", "scheme": "any", "fill": False},
                ("about", "EAN 4006381333931"),
            )
        )
        == "not-stated"
    )


def test_text_on_pictures_only_where_allowed() -> None:
    """Text read off a picture counts only when the attribute's evidence lists the image, and names
    the picture.
    """
    assert outcome(fill(COLOR, ("image_text", "RED"))) == "not-stated"
    value = fill({**COLOR, "evidence": ["image", "text"]}, ("image_text", "RED"))
    assert (value.value, value.source, value.evidence) == (
        "Red",
        "image",
        Evidence("image_text", 0, 3, "RED", "d1"),
    )
    assert outcome(fill({**COLOR, "evidence": ["image"]}, ("title", "red"))) == "not-stated"


def test_fingerprint() -> None:
    """It changes with a text that was looked at, the attribute's entry or a rival, and with nothing
    else.
    """
    base = fill(COLOR, ("title", "shirt")).fingerprint
    assert fill(COLOR, ("title", "shirt")).fingerprint == base
    assert fill(COLOR, ("title", "shirt"), ("image_text", "red")).fingerprint == base
    assert (
        fill(COLOR, ("title", "shirt"), others=({"name": "size", "type": "string"},)).fingerprint
        == base
    )
    assert fill(COLOR, ("title", "shirts")).fingerprint != base
    assert fill({**COLOR, "values": ["Red"]}, ("title", "shirt")).fingerprint != base
    weight, other = ({"name": name, "type": "number", "unit": "g"} for name in ("weight", "other"))
    assert (
        fill(weight, ("title", "x")).fingerprint
        != fill(weight, ("title", "x"), others=(other,)).fingerprint
    )


def picture(digest: str, text: str) -> ImageResult:
    return ImageResult(f"{digest}.jpg", ImageFeatures(digest, "0" * 16, 8, 8, "PNG", 1, text=text))


def test_evidence_texts() -> None:
    """Titles, texts, one text per language, then the text on each distinct picture."""
    values: dict[str, Value] = {
        "about": "prose",
        "title": "name",
        "names": {"sv": "namn", "en": "name"},
    }
    images = (
        picture("d1", "RED"),
        picture("d1", "RED"),
        picture("d2", ""),
        ImageResult("x.jpg", reason="image-empty"),
    )
    item = Item(Record("1", values, {}, (), (), RawRecord(b"", "jsonl", "f", 1)), images)
    assert [(text.field, text.text, text.image) for text in evidence_texts(template(), item)] == [
        ("title", "name", None),
        ("about", "prose", None),
        ("names.en", "name", None),
        ("names.sv", "namn", None),
        ("image_text", "RED", "d1"),
    ]


def test_rung_answers_for_every_open_attribute() -> None:
    """The step proposes a value or a reason for each attribute that it is asked about, and for no
    other.
    """
    shop = template(COLOR, {"name": "gtin", "type": "identifier", "scheme": "gtin", "fill": True})
    item = Item(
        Record("1", {"title": "Red"}, {"title": "Red"}, (), (), RawRecord(b"", "jsonl", "f", 1))
    )
    assert {
        n: v.value for n, v in RuleStep(shop).propose(item, [shop.by_name["color"]]).items()
    } == {"color": "Red"}
