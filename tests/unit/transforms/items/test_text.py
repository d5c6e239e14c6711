"""The enriched text: ordered, labelled, honest about what was filled."""

from __future__ import annotations

from schemas.elements import AttributeValue, Item, RawRecord, Record
from schemas.loading import parse_template
from tests.support import TEMPLATE
from transforms.items.text import compose_item, compose_text

SHOP = parse_template(TEMPLATE, "test")


def test_text_follows_the_template() -> None:
    """Labels and order are the template's, whatever the order of the values."""
    text = compose_text(SHOP, {"weight": 180.0, "tags": ["new", "eco"], "title": "Mug!"})
    assert text == "Title: Mug! Weight: 180 g. Tags: new, eco."


def test_an_empty_record_has_no_text() -> None:
    """Without values there is no text at all, so that nothing meaningless is embedded."""
    assert compose_text(SHOP, {}) == ""


def test_only_the_enriched_text_has_filled_values() -> None:
    """text_source holds the source's values only; text_enriched adds filled values and the picture."""
    record = Record(
        "a", {"title": "Mug"}, {"title": "Mug"}, (), (), RawRecord(b"", "jsonl", "f", 1)
    )
    values = {
        "title": AttributeValue("Mug", "record", "given", 1.0),
        "color": AttributeValue("Red", "text", "rule:closed-list", 0.9),
        "weight": AttributeValue(None, reason="not-stated"),
    }
    item = compose_item(SHOP, Item(record, values=values, image_description="A red mug."))
    assert item.text_source == "Title: Mug."
    assert item.text_enriched == "Title: Mug. Color: Red. Picture: A red mug."
