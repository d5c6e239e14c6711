"""The texts of an item: ordered, labelled, honest about what was filled, without repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.elements import (
    AttributeValue,
    ImageFeatures,
    ImageResult,
    Item,
    ItemAnswer,
    RawRecord,
    Record,
    Value,
)
from schemas.loading import parse_template
from tests.support import TEMPLATE
from transforms.items.text import compose, compose_item, compose_values

SHOP = parse_template(TEMPLATE, "test")
TAGS = "Automatic picture tags. Nothing recognised with confidence."


def picture(digest: str, **known: object) -> ImageResult:
    features = ImageFeatures(digest, "0" * 16, 8, 8, "PNG", 1, **known)  # type: ignore[arg-type]
    return ImageResult(f"{digest}.png", features)


def item_of(**values: Value) -> Item:
    record = Record("a", dict(values), {}, (), (), RawRecord(b"", "jsonl", "f", 1))
    given = {name: AttributeValue(value, "record", "given", 1.0) for name, value in values.items()}
    return Item(record, values=given)


FIRST = picture(
    "one",
    labels=(("mug", 0.6), ("cup", 0.31), ("bowl", 0.29)),
    colors=(("red", 0.7), ("white", 0.2)),
    text="BEST\nMUG",
)
PICTURES = (
    FIRST,
    picture("two", labels=(("mug", 0.9),), colors=(("white", 0.8),)),
    # The same file under another name says nothing new.
    replace(FIRST, path="again.png"),
    ImageResult("gone.png", None, "image-missing"),
)


def test_text_follows_the_template() -> None:
    """Labels and order are the template's, whatever the order of the values."""
    text = compose_values(SHOP, {"weight": 180.0, "tags": ["new", "eco"], "title": "Mug!"})
    assert text == "Title: Mug! Weight: 180 g. Tags: new, eco."


def test_an_empty_record_has_no_text() -> None:
    """Without values there is no text at all, so that nothing meaningless is embedded."""
    assert compose_values(SHOP, {}) == ""
    assert compose(SHOP, item_of()) == ""


def test_only_the_enriched_text_has_filled_values() -> None:
    """text_source holds the source's values only; text_enriched adds filled values and the picture."""
    item = item_of(title="Mug")
    filled = {
        "color": AttributeValue("Red", "text", "rule:closed-list", 0.9),
        "weight": AttributeValue(None, reason="not-stated"),
    }
    item = compose_item(SHOP, replace(item, values=item.values | filled, images=PICTURES[1:2]))
    assert item.text_source == "Title: Mug."
    assert item.text_enriched == "Title: Mug. Color: Red. Picture: mug. Colours: white."


def test_pictures_are_said_in_facts() -> None:
    """What is likely on any of the distinct pictures, their colours and their text, each once; none
    of the sentences around them.
    """
    item = replace(item_of(title="Cup"), images=PICTURES, image_description=TAGS)
    assert compose(SHOP, item) == (
        "Title: Cup. Picture: mug, cup. Colours: red, white. Text on the picture: BEST MUG."
    )


def test_a_language_models_description_takes_the_place_of_the_tags() -> None:
    """Where a language model was asked, its description stands for the pictures; where it has none,
    nothing does.
    """
    item = replace(item_of(title="Mug"), images=PICTURES, answer=ItemAnswer("a"))
    assert compose(SHOP, item) == "Title: Mug."
    described = replace(item, image_description="A red mug.")
    assert compose(SHOP, described) == "Title: Mug. Picture: A red mug."


@pytest.mark.parametrize(
    ("title", "color", "text"),
    [
        ("Red mug", "Red", "Title: Red mug."),
        ("Mug, RED", "Red", "Title: Mug, RED."),
        ("Redder mug", "Red", "Title: Redder mug. Color: Red."),
        ("Mug", "Red", "Title: Mug. Color: Red."),
    ],
)
def test_what_was_said_is_not_said_again(title: str, color: str, text: str) -> None:
    """A value that an earlier part states as words of their own is left out, in any case."""
    assert compose(SHOP, item_of(title=title, color=color)) == text


def test_titles_and_texts_are_always_said() -> None:
    """A text that begins with the title is a part of its own, and so is a title after it."""
    item = item_of(title="Mug", about="Mug with a handle")
    assert compose(SHOP, item) == "Title: Mug. About: Mug with a handle."
    assert compose(SHOP, item, ["about", "title"]) == "About: Mug with a handle. Title: Mug."


def test_parts_are_chosen_and_ordered() -> None:
    """Named parts come in their order, and no others; the readable description can be one."""
    item = replace(item_of(title="Mug", weight=180.0), images=PICTURES[:1], image_description=TAGS)
    assert compose(SHOP, item, ["image_labels", "weight"]) == "Picture: mug, cup. Weight: 180 g."
    assert compose(SHOP, item, ["title", "image_description"]) == f"Title: Mug. Picture: {TAGS}"
    assert compose(SHOP, item, ["tags", "color"]) == ""


def test_a_page_of_small_print_is_cut() -> None:
    """Of the text on a picture so much goes in as leaves room for what the catalog says."""
    item = replace(item_of(), images=(picture("one", text="ABC " * 400),))
    text = compose(SHOP, item)
    assert text.startswith("Text on the picture: ABC ABC")
    assert 240 <= len(text) <= 270
