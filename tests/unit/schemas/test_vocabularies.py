"""schemas.vocabularies: closed lists that nobody types, and what a template changes in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.choices import Choice
from schemas.expectations import derive_checks
from schemas.loading import TemplateRefusedError, parse_template
from schemas.vocabularies import basic_colors, resolve
from transforms.extraction.colors import PALETTE
from transforms.extraction.gazetteer import Gazetteer

NORDIC = ("en", "sv", "de")


def attribute(vocabulary: str, *values: Any, locales: tuple[str, ...] = ("en",)) -> Attribute:
    entry = {
        "name": "it",
        "type": "enum",
        "vocabulary": vocabulary,
        "vocabulary_locales": locales,
        "values": values,
    }
    return Attribute.model_validate(entry)


def gazetteer(vocabulary: str, *values: Any, locales: tuple[str, ...] = ("en",)) -> Gazetteer:
    return Gazetteer.build(attribute(vocabulary, *values, locales=locales).values, leaf_only=False)


def named(found: Gazetteer, text: str) -> list[str]:
    return [mention.value for mention in found.find(text) if not mention.negated]


def test_lists_are_those_of_the_standards() -> None:
    """ISO 639-1 has 183 codes and ISO 3166-1 249 countries; what CLDR knows beyond them is no
    value.
    """
    languages = {choice.value for choice in attribute("languages").values}
    countries = {choice.value for choice in attribute("countries").values}
    assert (len(languages), len(countries)) == (183, 249)
    assert {"sv", "no", "tw", "zu"} <= languages
    assert languages.isdisjoint({"sh", "cn", "swe"})
    assert {"Sweden", "Côte d’Ivoire", "Myanmar", "Hong Kong", "Türkiye"} <= countries
    assert countries.isdisjoint({"European Union", "United Nations", "Kosovo", "Ascension Island"})


@pytest.mark.parametrize("vocabulary", ["languages", "countries", "colors"])
@pytest.mark.parametrize(
    "locales", [("en",), NORDIC, ("fr", "es", "it", "pt-BR"), ("ja", "zh", "ru", "ar")]
)
def test_every_name_stands_for_one_value(vocabulary: str, locales: tuple[str, ...]) -> None:
    """As a cell every name and code of a vocabulary leads to its value, in whatever languages."""
    choices = attribute(vocabulary, locales=locales).values
    found = Gazetteer.build(choices, leaf_only=False)
    wrong = [
        (name, choice.value)
        for choice in choices
        for name in choice.names
        if found.exact(name) != choice.value
    ]
    assert wrong == []


def test_names_count_in_the_languages_asked_for() -> None:
    """A country is named in English and in each further language, a language by its names; other
    languages are not read.
    """
    assert named(gazetteer("countries", locales=NORDIC), "Äpplen från Sverige und Österreich") == [
        "Sweden",
        "Austria",
    ]
    assert named(gazetteer("countries"), "Äpplen från Sverige") == []
    assert named(
        gazetteer("languages", locales=NORDIC), "Undertexter: svenska, finska, German"
    ) == ["sv", "fi", "de"]


def test_codes_count_in_cells_only() -> None:
    """`it`, `no`, `is` and `IN` are words: codes are understood as a whole cell and never read in a
    text.
    """
    languages, countries = gazetteer("languages"), gazetteer("countries")
    assert [languages.exact(cell) for cell in ("it", "NO", "swe", "ger", "deu")] == [
        "it",
        "no",
        "sv",
        "de",
        "de",
    ]
    assert [countries.exact(cell) for cell in ("SE", "swe", "IN", "usa")] == [
        "Sweden",
        "Sweden",
        "India",
        "United States",
    ]
    text = "it is no use IN so to be as is, OR it IS NO use in de la SE DE IT"
    assert (languages.find(text), countries.find(text)) == ([], [])
    assert countries.exact("NA") is None, "says that nothing is known"


def test_words_count_in_cells_only() -> None:
    """A jersey shirt, guinea fowl and nail polish are no places and no language; as a whole cell
    they are.
    """
    countries = gazetteer("countries", locales=NORDIC)
    assert (
        countries.find("jersey shirt, guinea fowl, Jordan shoes, island style, Bermuda shorts")
        == []
    )
    assert [countries.exact(cell) for cell in ("Jersey", "Island")] == ["Jersey", "Iceland"]
    assert gazetteer("languages").find("Nail polish") == []


def test_a_template_keeps_a_name_to_cells() -> None:
    """In a grocery text "turkey" is a bird: cell_only takes it out of texts, and synonyms bring a
    word into them.
    """
    grocery = gazetteer("countries", {"value": "Türkiye", "cell_only": ["Turkey"]}, locales=NORDIC)
    assert named(gazetteer("countries"), "Made in Turkey") == ["Türkiye"]
    assert named(grocery, "Smoked turkey breast. Ursprung: Turkiet") == ["Türkiye"]
    assert grocery.exact("TURKEY") == "Türkiye"
    assert named(
        gazetteer("countries", {"value": "Jersey", "synonyms": ["Jersey"]}), "from Jersey"
    ) == ["Jersey"]


def test_a_template_adds_and_renames() -> None:
    """A value of the template that names an entry's value takes its place; what is new comes last."""
    usa = {"value": "USA", "synonyms": ["United States"]}
    choices = attribute(
        "countries", usa, {"value": "United Kingdom", "synonyms": ["England"]}, "Kosovo"
    ).values
    values = [choice.value for choice in choices]
    assert (len(values), values[-1]) == (250, "Kosovo")
    assert "United States" not in values
    found = Gazetteer.build(choices, leaf_only=False)
    assert [found.exact(cell) for cell in ("United States", "US", "England", "GB")] == [
        "USA"
    ] * 2 + ["United Kingdom"] * 2
    norwegian = gazetteer("languages", {"value": "no", "cell_only": ["nb", "nn"]})
    assert [norwegian.exact(cell) for cell in ("nb", "nn", "Norwegian Bokmål", "NOR")] == ["no"] * 4


def test_a_name_that_the_template_gives_leaves_other_entries() -> None:
    """The template's word counts: a shade that it puts elsewhere is no longer where the vocabulary
    has it.
    """
    given = (
        {"value": "Black", "synonyms": ["navy"]},
        {"value": "Brown", "cell_only": ["tan"]},
        "Olive",
    )
    colors = gazetteer("colors", *given)
    assert named(colors, "Navy and blue, olive and green") == ["Black", "Blue", "Olive", "Green"]
    assert colors.exact("tan") == "Brown"


def test_pictures_and_words_have_the_same_colors() -> None:
    """Every name that a picture's colour gets is a name of a basic colour in text, and its shade
    means that colour.
    """
    colors = gazetteer("colors")
    assert all(named(colors, f"a {name} mug") for name in PALETTE)
    shades = {
        "navy": "Blue",
        "burgundy": "Red",
        "olive": "Green",
        "teal": "Turquoise",
        "beige": "Beige",
    }
    assert {name: colors.exact(name) for name in shades} == shades
    assert list(PALETTE) == [name for color in basic_colors() for name in color.anchors]


def test_foods_are_no_colors() -> None:
    """Cream, chocolate and salmon are colours in a column of colours only."""
    colors = gazetteer("colors")
    assert colors.find("chocolate cream with salmon and plum, rose and mint") == []
    assert [colors.exact(cell) for cell in ("Cream", "chocolate", "Salmon")] == [
        "Beige",
        "Brown",
        "Pink",
    ]


GIVEN = st.lists(
    st.builds(
        Choice,
        value=st.sampled_from(["Blue", "Navy", "Clear", "Red", "olive"]),
        synonyms=st.lists(st.sampled_from(["ink", "wine", "teal"]), max_size=2).map(tuple),
        cell_only=st.lists(st.sampled_from(["aqua", "gold", "rouge"]), max_size=2).map(tuple),
    ),
    max_size=3,
)


@settings(max_examples=100)
@given(GIVEN)
def test_what_is_resolved_stays(choices: list[Choice]) -> None:
    """Resolving a resolved list again changes nothing: a template may be dumped and read back."""
    names = [name.casefold() for choice in choices for name in dict.fromkeys(choice.names)]
    assume(
        len(set(names)) == len(names)
    )  # else the template contradicts itself, and is refused for it
    once = resolve("colors", ("en", "fr"), choices)
    owners = {name.casefold(): choice.value for choice in once for name in choice.names}
    assert all(owners[name.casefold()] == choice.value for choice in once for name in choice.names)
    assert resolve("colors", ("en", "fr"), once) == once


SHOP = """
name: shop
version: 1.0.0
record: {{id: sku}}
attributes:
  - {{name: origin, type: enum, from: origin{more}}}
"""


def test_the_resolved_list_is_what_everything_sees() -> None:
    """The list is part of the template's hash and of the expectations, and survives a round trip."""
    plain = parse_template(SHOP.format(more=", vocabulary: countries"), "t")
    swedish = parse_template(
        SHOP.format(more=", vocabulary: countries, vocabulary_locales: [en, sv]"), "t"
    )
    more = parse_template(SHOP.format(more=", vocabulary: countries, values: [Kosovo]"), "t")
    assert len({plain.hash, swedish.hash, more.hash}) == 3
    [check] = [
        c
        for c in derive_checks(more)
        if c.expectation == "ExpectColumnValuesToBeInSet" and c.column == "origin"
    ]
    assert {"Sweden", "Kosovo"} <= set(check.arguments["value_set"])
    assert type(more).model_validate(more.model_dump(mode="json", by_alias=True)).hash == more.hash


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (", vocabulary: planets", "'languages', 'countries' or 'colors', not 'planets'"),
        (
            ", vocabulary: countries, vocabulary_locales: [en, klingon]",
            "'klingon' is not a language with names in CLDR",
        ),
        (", vocabulary: countries, vocabulary_locales: []", "at least 1 item"),
        (", values: [Red], vocabulary_locales: [sv]", "vocabulary_locales belongs to a vocabulary"),
        (
            ", vocabulary: countries, values: [A, {value: B, synonyms: [a]}]",
            "'a' stands for both 'A' and 'B'",
        ),
        (
            ", vocabulary: colors, values: [{value: Navy, synonyms: [blue]}, Blue]",
            "stands for both 'Navy' and 'Blue'",
        ),
    ],
)
def test_what_is_wrong_with_a_vocabulary_is_said(more: str, problem: str) -> None:
    """A wrong vocabulary, language or contradiction is refused with its line and what to write."""
    with pytest.raises(TemplateRefusedError) as refused:
        parse_template(SHOP.format(more=more), "t")
    assert [error.line for error in refused.value.errors] == [6]
    assert problem in str(refused.value)


def test_a_vocabulary_needs_a_closed_list() -> None:
    """Of a tree or an open text there is no vocabulary."""
    for kind in ("string", "category", "number"):
        with pytest.raises(ValueError, match="vocabulary belongs to type enum or multi_enum"):
            Attribute.model_validate({"name": "it", "type": kind, "vocabulary": "colors"})
