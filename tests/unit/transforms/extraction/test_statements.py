"""transforms.extraction.statements: what a text states of each type of attribute, in normalised
form and as stated.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.attributes import Attribute
from schemas.elements import Evidence, EvidenceText
from schemas.template import Template
from transforms.extraction.statements import amount_finder, closed_list_finder
from transforms.fill.rules import fill_by_rules


def filled(text: str, **entry: Any) -> tuple[Any, str | None]:
    """The value that a title's rule fills, or the reason, and the evidence as it stands in the
    text.
    """
    attributes = [
        {"name": "title", "type": "string", "role": "title"},
        {"name": "it", "fill": True, "min_confidence": 0.1, **entry},
    ]
    shop = Template.model_validate(
        {"name": "s", "version": "1.0.0", "record": {"id": "id"}, "attributes": attributes}
    )
    value = fill_by_rules(shop, [EvidenceText("title", text, "text")], shop.by_name["it"])
    evidence = value.evidence
    if evidence is not None:
        assert evidence == Evidence(
            "title", evidence.begin, evidence.end, text[evidence.begin : evidence.end]
        )
    return value.reason if value.value is None else value.value, evidence.text if evidence else None


WEIGHT = {"type": "number", "unit": "g"}
COUNTRY = {"type": "enum", "vocabulary": "countries", "vocabulary_locales": ["en", "sv"]}
TREE = {"type": "category", "values": [{"value": "Food > Dairy > Milk", "synonyms": ["mjölk"]}]}
LANGUAGES = {"type": "multi_enum", "vocabulary": "languages"}


@pytest.mark.parametrize(
    ("text", "entry", "value", "stated"),
    [
        ("Mug, navy", {"type": "enum", "vocabulary": "colors"}, "Blue", "navy"),
        ("Flour 1,5 kg", WEIGHT, 1500.0, "1,5 kg"),
        ("Tomater från Spanien", COUNTRY, "Spain", "Spanien"),
        ("Film in Swedish and Finnish", LANGUAGES, ["fi", "sv"], "Swedish and Finnish"),
        ("Färsk mjölk", TREE, "Food > Dairy > Milk", "mjölk"),
        (
            "Not for children",
            {"type": "boolean", "true_terms": ["for children"]},
            False,
            "for children",
        ),
        (
            "Pen, EAN 4 006381 333931",
            {"type": "identifier", "scheme": "gtin"},
            "4006381333931",
            "4 006381 333931",
        ),
        (
            "By orcid.org/0000-0002-1825-0097",
            {"type": "identifier", "scheme": "orcid"},
            "0000000218250097",
            "0000-0002-1825-0097",
        ),
        (
            "Frame, 30 x 40 cm (W x H)",
            {"type": "number", "unit": "mm", "part": "width"},
            300.0,
            "30 x 40 cm",
        ),
    ],
)
def test_normalised_and_as_stated(
    text: str, entry: dict[str, Any], value: object, stated: str
) -> None:
    """A filled value is the normalised one, and its evidence the words of the text, for each type."""
    assert filled(text, **entry) == (value, stated)


PACKS = {
    "pack_count": {"type": "number", "integer": True, "part": "pack_count", "min": 1},
    "each": {"type": "number", "unit": "ml", "part": "each"},
    "total": {"type": "number", "unit": "ml", "part": "total"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cola 6 x 330 ml", (6.0, 330.0, 1980.0)),
        ("Cola 6 x 330 ml (1.98 l)", (6.0, 330.0, 1980.0)),
        ("Cola 330 ml", ("not-stated", 330.0, 330.0)),
        ("Cola 330 ml, 6-pack", (6.0, "not-stated", "not-stated")),
        ("Cola 330 ml, pack of 1", (1.0, 330.0, 330.0)),
        ("6 x 330 ml or 4 x 330 ml", ("ambiguous", 330.0, "ambiguous")),
    ],
)
def test_parts_of_a_pack(text: str, expected: tuple[object, ...]) -> None:
    """An amount is one's and all's where no pack is spoken of, and nobody's where it may be either."""
    assert tuple(filled(text, **entry)[0] for entry in PACKS.values()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Width: 30 cm", 30.0),
        ("Shelf. Bredd 30 cm", 30.0),
        ("Shelf, 30 cm width", 30.0),
        ("Strap width: 3 cm", "not-stated"),
        ("Bag with 3 cm width strap", "not-stated"),
        ("Shelf 30 cm", "not-stated"),
        ("Shelf 30 x 20 cm", "not-stated"),
        ("Width: 30 cm (W 31 x H 20 cm)", "ambiguous"),
    ],
)
def test_sides(text: str, expected: object) -> None:
    """A side needs its word, letter or legend, at the beginning or end of a field; two widths are
    ambiguous.
    """
    assert filled(text, type="number", unit="cm", part="width")[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "without sugar",
        "sugar-free",
        "no added sugar",
        "utan socker",
        "ohne Zucker",
        "fri från socker",
        "0% sugar",
    ],
)
def test_denied_values_of_a_list(text: str) -> None:
    """What a text denies in English, Swedish or German is no value of a list."""
    content = {
        "type": "multi_enum",
        "values": [{"value": "Sugar", "synonyms": ["socker", "zucker"]}, "Milk"],
    }
    assert filled(f"Drink {text}", **content)[0] == "not-stated"


@pytest.mark.parametrize(
    "text", ["not blue", "inte blå", "nicht blau", "not made in China", "inte tillverkad i Kina"]
)
def test_denied_values_of_a_vocabulary(text: str) -> None:
    """Denial holds for names that nobody typed, too."""
    locales = ["en", "sv", "de"]
    for vocabulary in ("colors", "countries"):
        entry = {"type": "enum", "vocabulary": vocabulary, "vocabulary_locales": locales}
        assert filled(f"Mug, {text}", **entry)[0] == "not-stated"


@pytest.mark.parametrize("label", ["Farbe:", "couleur :", "Färg:", "Color:", "Colour:"])
def test_labels_of_other_languages(label: str) -> None:
    """What stands behind a label counts, and not what stands elsewhere, in each language."""
    color = Attribute.model_validate({"name": "color", "type": "enum", "values": ["Red", "Blue"]})
    found = closed_list_finder(color)(f"Mug. {label} red. Goes with blue")
    assert [(statement.value, statement.kind) for statement in found] == [("Red", "labelled-term")]


@pytest.mark.parametrize(
    "text", ["Gewicht: 2 kg", "poids : 2 kg", "vikt 2 kg", "peso de 2 kg", "Weight: circa 2 kg"]
)
def test_labelled_amounts_of_other_languages(text: str) -> None:
    """A label tells which of several amounts is the attribute's, in each language."""
    weight = Attribute.model_validate({"name": "weight_g", "type": "number", "unit": "g"})
    found = amount_finder(weight, alone=False)(f"Box for 30 kg. {text}")
    assert [statement.value for statement in found] == [2000.0]
