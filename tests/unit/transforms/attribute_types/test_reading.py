"""One cell, one attribute: the value in normalised form, or a flag that says what is wrong and what
is allowed.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.reading import shorten
from transforms.attribute_types.registry import operations_of

COLORS = [{"value": "Red", "synonyms": ["rouge"]}, "Blue", {"value": "LumaTech", "synonyms": []}]
TREE = [
    "Fruit",
    "Fruit > Apple",
    {"value": "Tops > Tees", "synonyms": ["Men > Tops > Tees", "tee"]},
]


def read(
    cell: Any, column: ColumnFormat | None = None, siblings: tuple[str, ...] = (), **entry: Any
) -> tuple[Value | None, list[str]]:
    """The value and the reasons of the flags."""
    attribute = Attribute.model_validate({"name": "it", **entry})
    value, flags = operations_of(attribute).reader(attribute, siblings)(
        cell, column or ColumnFormat(), False
    )
    assert all(flag.field == "it" and flag.detail for flag in flags)
    return value, [flag.reason for flag in flags]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("<b>Mug</b>\n blue", "Mug blue"),
        (42, "42"),
        (1.5, "1.5"),
        (["a", "<i>b</i>", None], "a, b"),
        ("<p></p>", None),
        ("\u200b", None),
    ],
)
def test_strings_are_cleaned_to_one_line(cell: Any, value: str | None) -> None:
    """Strings lose markup and line breaks; a cell of which nothing remains is no mistake."""
    assert read(cell, type="string") == (value, [])


def test_prose_keeps_its_lines() -> None:
    """With role text, paragraphs stay apart, and a list of texts becomes lines."""
    assert read("<p>a</p><p>b</p>", type="string", role="text") == ("a\nb", [])
    assert read(["a", "b"], type="string", role="text") == ("a\nb", [])


@pytest.mark.parametrize("cell", [True, {"a": 1}, b"bytes", ["a", {"b": 1}]])
def test_what_is_no_text_is_flagged(cell: Any) -> None:
    """Booleans, objects and bytes are not turned into text behind the user's back."""
    assert read(cell, type="string") == (None, ["value-wrong-type"])


def test_length_and_pattern_are_checked_after_cleaning() -> None:
    """max_length counts clean characters; the pattern has to match the whole text."""
    assert read("<b>abc</b>", type="string", max_length=3) == ("abc", [])
    assert read("abcd", type="string", max_length=3) == (None, ["value-too-long"])
    assert read("AB-12", type="string", pattern="[A-Z]+-[0-9]+") == ("AB-12", [])
    assert read("AB-12x", type="string", pattern="[A-Z]+-[0-9]+") == (
        None,
        ["value-pattern-mismatch"],
    )


@pytest.mark.parametrize(
    ("cell", "value", "reasons"),
    [
        ("ca 1.01kg", 1010.0, []),
        ("180 g", 180.0, []),
        (180, 180.0, []),
        ("75", 75.0, []),
        ([75], 75.0, []),
        ("1l", None, ["value-wrong-type"]),
        ("heavy", None, ["value-wrong-type"]),
        (True, None, ["value-wrong-type"]),
        (float("inf"), None, ["value-wrong-type"]),
        ([1, 2], None, ["value-wrong-type"]),
        (10**400, None, ["value-wrong-type"]),
        ("6 kg", None, ["value-out-of-range"]),
        (-1, None, ["value-out-of-range"]),
    ],
)
def test_numbers_come_in_the_attributes_unit(
    cell: Any, value: float | None, reasons: list[str]
) -> None:
    """Amounts are converted, bare numbers are in the unit already, and both bounds are checked
    after that.
    """
    assert read(cell, type="number", unit="g", min=0, max=5000) == (value, reasons)


@pytest.mark.parametrize(
    ("bounds", "cell", "allowed"),
    [
        ({"min": 0}, -1, "allowed: at least 0 g"),
        ({"max": 9}, 10, "allowed: at most 9 g"),
        ({"min": 0, "max": 9}, -1, "allowed: at least 0 g and at most 9 g"),
        ({"min": 0, "max": 9}, 10, "allowed: at least 0 g and at most 9 g"),
    ],
)
def test_the_allowed_range_is_named(bounds: dict[str, float], cell: float, allowed: str) -> None:
    """Whichever bounds the template gives, the flag says which they are."""
    attribute = Attribute.model_validate({"name": "it", "type": "number", "unit": "g", **bounds})
    value, (flag,) = operations_of(attribute).reader(attribute, ())(cell, ColumnFormat(), False)
    assert (value, flag.reason) == (None, "value-out-of-range")
    assert flag.detail == f"{cell} is {cell} g; {allowed}"


def test_whole_numbers() -> None:
    """An integer attribute takes no fractions, and nothing that a 64-bit column cannot hold
    exactly.
    """
    assert read("1994", type="number", integer=True) == (1994.0, [])
    assert read(1994.5, type="number", integer=True) == (None, ["value-wrong-type"])
    assert read(1e300, type="number", integer=True) == (None, ["value-out-of-range"])


def test_a_column_that_feeds_two_measures() -> None:
    """An amount that fits another attribute of the same column is no mistake; without a unit it may
    be either.
    """
    assert read("1l", siblings=("ml",), type="number", unit="g") == (None, [])
    assert read("2 kg", siblings=("ml",), type="number", unit="g") == (2000.0, [])
    assert read("2", siblings=("ml",), type="number", unit="g") == (None, ["value-wrong-type"])
    assert read("a lot", siblings=("ml",), type="number", unit="g") == (None, ["value-wrong-type"])


@pytest.mark.parametrize(
    ("cell", "value", "reasons"),
    [
        (True, True, []),
        ("Yes ", True, []),
        ("JA", True, []),
        (0, False, []),
        (1.0, True, []),
        ("0.0", False, []),
        ("maybe", None, ["value-wrong-type"]),
        ({}, None, []),
    ],
)
def test_booleans_by_terms(cell: Any, value: bool | None, reasons: list[str]) -> None:
    """Yes and no are what the template lists, in any case; numbers count as their digits."""
    assert read(cell, type="boolean", true_terms=["yes", "1", "ja"]) == (value, reasons)


@pytest.mark.parametrize(
    ("cell", "value", "reasons"),
    [
        ("red", "Red", []),
        ("Rouge", "Red", []),
        ("LumaTech&trade;", "LumaTech", []),
        (["Red", "rouge"], "Red", []),
        ("Green", None, ["value-not-in-list"]),
        (["Red", "Blue"], None, ["value-wrong-type"]),
        (True, None, ["value-wrong-type"]),
        ([], None, []),
    ],
)
def test_closed_lists_know_synonyms(cell: Any, value: str | None, reasons: list[str]) -> None:
    """A name of the list or a synonym gives the list's value; one value only."""
    assert read(cell, type="enum", values=COLORS) == (value, reasons)


def test_several_values_keep_the_known_ones() -> None:
    """Of several entries the known are kept in the list's order, once each, and the others are
    flagged together.
    """
    column = ColumnFormat(format="list", separator="|")
    assert read("Blue|rouge|Red", column, type="multi_enum", values=COLORS) == (["Red", "Blue"], [])
    assert read("Blue|Mauve|Puce|", column, type="multi_enum", values=COLORS) == (
        ["Blue"],
        ["value-not-in-list"],
    )
    assert read(["Blue", {}, 7.5, True], type="multi_enum", values=COLORS) == (
        ["Blue"], ["value-not-in-list", "value-wrong-type"],
    )  # fmt: skip


def test_the_deepest_known_category_wins() -> None:
    """Of several given paths the deepest that the list knows counts; the shop's other paths are no
    mistake.
    """
    column = ColumnFormat(format="list", path_separator="/", ignore=("Default",))
    tree = {"type": "category", "values": TREE}
    assert read("Default/Sale,Default/Fruit,Default/Fruit/Apple,Default", column, **tree) == (
        "Fruit > Apple",
        [],
    )
    assert read("Men/Tops/Tees", column, **tree) == ("Tops > Tees", [])
    assert read("Sale/Tops,Promotions", column, **tree) == (None, ["value-not-in-list"])
    assert read("Default", column, **tree) == (None, [])
    assert read(["Fruit", "Apple"], **tree) == ("Fruit > Apple", [])
    assert read({"a": 1}, **tree) == (None, ["value-wrong-type"])


def test_identifiers_are_checked() -> None:
    """A GTIN keeps its digits only; a wrong check digit and what is no number at all are told
    apart.
    """
    gtin = {"type": "identifier", "scheme": "gtin"}
    assert read("4006381 333931", **gtin) == ("4006381333931", [])
    assert read(4006381333931, **gtin) == ("4006381333931", [])
    assert read(4006381333931.0, **gtin) == ("4006381333931", [])
    assert read("4006381333932", **gtin) == (None, ["value-bad-check-digit"])
    assert read("unknown", **gtin) == (None, ["value-wrong-type"])
    assert read(["x"], type="identifier", scheme="any", pattern="[a-z]") == ("x", [])


def test_localized_texts() -> None:
    """Languages come sorted, with hyphens; what is no text or no language is flagged, the rest is
    kept.
    """
    titles = {"zh_TW": "蘋果", "en": "<b>An apple</b>", "de": None, "fr": ""}
    assert read(titles, type="localized") == ({"en": "An apple", "zh-TW": "蘋果"}, [])
    assert read([("en", "Mug")], type="localized") == ({"en": "Mug"}, [])
    assert read('{"en": "Mug"}', type="localized") == ({"en": "Mug"}, [])
    assert read({"en": "Mug", "de": ["x"], "?": "y"}, type="localized") == (
        {"en": "Mug"},
        ["value-wrong-type"] * 2,
    )
    assert read({"en": "Mug", "de": "Becher"}, type="localized", languages=["en"]) == (
        {"en": "Mug"},
        ["value-not-in-list"],
    )
    assert read("Mug", type="localized") == (None, ["value-wrong-type"])
    assert read({}, type="localized") == (None, [])


def test_messages_name_the_value_and_what_is_allowed() -> None:
    """A flag tells the value, shortened, and what would have been right."""
    attribute = Attribute.model_validate(
        {"name": "year", "type": "number", "min": 1880, "max": 2100}
    )
    _, (flag,) = operations_of(attribute).reader(attribute, ())("1066", ColumnFormat(), False)
    assert flag.detail == "'1066' is 1066; allowed: at least 1880 and at most 2100"
    attribute = Attribute.model_validate({"name": "color", "type": "enum", "values": COLORS})
    _, (flag,) = operations_of(attribute).reader(attribute, ())("x" * 500, ColumnFormat(), False)
    assert (
        flag.detail
        == f"'{'x' * 80}… (500 characters)' not in the list; allowed: Red, Blue, LumaTech"
    )
    assert shorten({"a": [1]}) == '{"a":[1]}'


def test_parts_of_compound_cells() -> None:
    """Of a pack size or dimensions, the part is read that is meant; a cell of other parts is no
    mistake.
    """
    count, each, total = (
        {"type": "number", "part": "pack_count"},
        *({"type": "number", "unit": "ml", "part": part} for part in ("each", "total")),
    )
    cells = ("6 x 330 ml", "330 ml", "12-pack", "6")
    assert [read(cell, **count)[0] for cell in cells] == [6, None, 12, 6]
    assert [read(cell, **each)[0] for cell in cells[:3]] == [330, 330, None]
    assert [read(cell, **total)[0] for cell in cells[:3]] == [1980, 330, None]
    assert [read(cell, **entry)[1] for cell in cells[:3] for entry in (count, each, total)] == [
        []
    ] * 9
    width, depth = ({"type": "number", "unit": "cm", "part": part} for part in ("width", "depth"))
    assert read("H 10 cm, B 5 cm", **width) == (5, [])
    assert read("H 10 cm, B 5 cm", **depth) == (None, [])
    assert read("30 cm", **width) == (30, [])
    assert read("20 x 30 x 5 cm", **width) == (None, ["value-wrong-type"]), "which side is not said"


def test_terms_are_joined_as_feeds_join_them() -> None:
    """A term stands for its words however a feed joins them."""
    terms = {"type": "boolean", "true_terms": ["in stock"], "false_terms": ["pre-order", "-"]}
    cells = ("in_stock", "In-Stock", "IN STOCK", "preorder", "pre_order", "pre order", "-")
    assert [read(cell, **terms)[0] for cell in cells] == [
        True,
        True,
        True,
        None,
        False,
        False,
        False,
    ]
