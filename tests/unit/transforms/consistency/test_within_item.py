"""transforms.consistency.within_item: an item against itself, and how far a catalog lets such
comparisons be relied on.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import (
    Flag,
    Value,
)
from schemas.template import Template
from tests.items import item, picture
from transforms.consistency.reliability import MIN_CHECKS, add_tallies, reliable_checks
from transforms.consistency.text_similarity import MAX_DETAIL_CHARS
from transforms.consistency.within_item import (
    Check,
    check_colors,
    check_picture_text,
    check_texts,
    colors_of_values,
    tally,
)

COLORS: list[Any] = [
    "Red",
    "Yellow",
    {"value": "Blue", "synonyms": ["navy"]},
    "Black",
    "Pink",
    {"value": "Striped"},
]
SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "about", "type": "string", "role": "text"},
            {"name": "color", "type": "enum", "values": COLORS},
            {"name": "size", "type": "enum", "values": ["Small", "Large"]},
            {
                "name": "category",
                "type": "category",
                "values": ["Food", "Food > Tea", "Food > Milk"],
            },
            {"name": "weight", "type": "number", "unit": "g"},
            {"name": "tags", "type": "multi_enum", "values": ["sale", "eco"]},
            {"name": "gtin", "type": "identifier", "scheme": "gtin"},
        ],
    }
)


def text_flags(values: dict[str, Value]) -> list[tuple[str, str]]:
    checks = check_texts(SHOP, item(values))
    return [(check.field, check.flag.detail) for check in checks if check.flag is not None]


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        (
            {"title": "Mug, blue", "color": "Red"},
            "the source says 'Red'; title says 'Blue': 'Mug, blue'",
        ),
        (
            {"about": "Color: navy", "color": "Red"},
            "the source says 'Red'; about says 'Blue': 'Color: navy'",
        ),
        (
            {"about": "Weight: 1.5 kg", "weight": 200.0},
            "the source says '200 g'; about says '1500 g': 'Weight: 1.5 kg'",
        ),
        (
            {"about": "EAN 4006381333931", "gtin": "96385074"},
            "the source says '96385074'; about says '4006381333931': 'EAN 4006381333931'",
        ),
        (
            {"title": "Milk", "category": "Food > Tea"},
            "the source says 'Food > Tea'; title says 'Food > Milk': 'Milk'",
        ),
    ],
)
def test_a_text_that_says_otherwise(values: dict[str, Value], detail: str) -> None:
    """A value that a title names or a label announces, and that is not the source's, is flagged
    with both sides.
    """
    [(_, said)] = text_flags(values)
    assert said == detail


@pytest.mark.parametrize(
    "values",
    [
        {"title": "Mug, red", "color": "Red"},
        {"title": "Mug, red and blue", "color": "Red"},
        {"title": "Mug, blue", "about": "Also in red", "color": "Red"},
        {"title": "Mug, not blue", "color": "Red"},
        {"about": "Goes well with blue plates", "color": "Red"},
        {"title": "Milk", "category": "Food"},
        {"about": "Weight: 201 g", "weight": 200.0},
        {"title": "Mug for sale", "tags": ["eco"]},
        {"title": "Mug, blue"},
    ],
)
def test_what_is_no_contradiction(values: dict[str, Value]) -> None:
    """Nothing is said where a text also names the source's value, denies the other, mentions it in
    passing, or rounds;
    nor of a list with several answers, nor where the source gave nothing."""
    assert text_flags(values) == []


def test_colors_far_apart() -> None:
    """A stated colour is contradicted when no main colour of any picture is near it."""
    shirt: dict[str, Value] = {"title": "Shirt", "color": "Yellow"}
    purple, beige = (
        picture((("purple", 0.8), ("black", 0.2))),
        picture((("yellow", 0.5), ("black", 0.3)), digest="e"),
    )
    [check] = check_colors(SHOP, item(shirt, purple))
    assert check.flag == Flag(
        "picture-contradicts-value",
        "color",
        "the source says 'Yellow'; the picture's main colours are purple 80%, black 20%",
    )
    assert [c.flag for c in check_colors(SHOP, item(shirt, purple, beige))] == [None]


@pytest.mark.parametrize(
    ("color", "shown"),
    [("Black", (("navy", 0.9),)), ("Red", (("purple", 0.2),)), ("Striped", (("red", 0.9),))],
)
def test_colors_too_near_to_tell(color: str, shown: tuple[tuple[str, float], ...]) -> None:
    """Colours that people mix up, pictures of hardly any colour, and values that are no colour
    contradict nothing.
    """
    assert [
        c for c in check_colors(SHOP, item({"color": color}, picture(shown))) if c.flag is not None
    ] == []


def test_only_lists_of_colors_are_compared_with_pictures() -> None:
    """A closed list is one of colours when the palette knows most of its values, by their names or
    synonyms.
    """
    assert colors_of_values(SHOP.by_name["color"])["Blue"] == ("blue", "navy")
    assert colors_of_values(SHOP.by_name["size"]) == {}
    assert colors_of_values(SHOP.by_name["category"]) == {}


@pytest.mark.parametrize(
    ("title", "read", "contradicted"),
    [
        ("Eighth Day, The", "DEN SEDMÝ,\nOSMÁNOC", True),
        ("Magnificent Seven, The", "THE MAGNVICENT SEVFN", False),
        ("Amélie", "AMELIE JEUNET", False),
        ("Eighth Day, The", "DEN", None),
        ("Crows and Sparrows", "乌鸦与麻雀乌鸦与麻雀乌鸦", None),
        ("七人の侍", "SEVEN SAMURAI TOSHIRO", None),
        ("M", "FRITZ LANG PETER LORRE", None),
    ],
)
def test_a_title_that_is_not_on_the_picture(
    title: str, read: str, contradicted: bool | None
) -> None:
    """Pictures with other words than the title's are flagged, misread letters allowed for; too few,
    or words of another
    alphabet, tell nothing."""
    check = check_picture_text(SHOP, item({"title": title}, picture(text=read)))
    assert (None if check is None else check.flag is not None) is contradicted
    if check is not None and check.flag is not None:
        assert check.flag.reason == "picture-text-other-title"
        assert (
            check.flag.detail
            == "the title is 'Eighth Day, The'; on the picture stands 'DEN SEDMÝ, / OSMÁNOC'"
        )


def test_words_of_other_cells_may_be_on_the_picture() -> None:
    """A picture with a word from any of the record's cells is the record's own."""
    both: dict[str, Value] = {"title": "Unknown Stranger", "about": "From the novel by Steel"}
    check = check_picture_text(SHOP, item(both, picture(text="DANIELLE STEEL COLLECTION")))
    assert check is not None
    assert check.flag is None


@given(
    title=st.text(max_size=400),
    about=st.text(max_size=400)
    | st.sampled_from(["color: blue", "EAN 4006381333931", "weight: 3 kg"]),
    read=st.text(max_size=900),
)
def test_any_text(title: str, about: str, read: str) -> None:
    """Whatever the texts are, comparisons end, give the same answer twice, and their details stay
    short.
    """
    values: dict[str, Value] = {
        "title": title,
        "about": about,
        "color": "Red",
        "weight": 5.0,
        "gtin": "96385074",
    }
    whole = item(values, picture(text=read))
    checks = [*check_texts(SHOP, whole), *filter(None, [check_picture_text(SHOP, whole)])]
    assert checks == [*check_texts(SHOP, whole), *filter(None, [check_picture_text(SHOP, whole)])]
    assert all(
        len(check.flag.detail) <= MAX_DETAIL_CHARS for check in checks if check.flag is not None
    )


def test_what_a_catalog_lets_be_believed() -> None:
    """A kind of comparison counts when it was made often enough and contradicted seldom, however it
    was added up.
    """
    flag = Flag("text-contradicts-value", "year", "")
    checks = [
        *[Check("text-contradicts-value", "color")] * 80,
        *[Check("text-contradicts-value", "color", flag)] * 20,
        *[Check("text-contradicts-value", "year")] * 79,
        *[Check("text-contradicts-value", "year", flag)] * 21,
        *[Check("text-contradicts-value", "rare")] * (MIN_CHECKS - 1),
    ]
    random.Random(3).shuffle(checks)
    parts = [tally(checks[begin : begin + 7]) for begin in range(0, len(checks), 7)]
    assert reliable_checks(add_tallies(parts)) == {("text-contradicts-value", "color")}
