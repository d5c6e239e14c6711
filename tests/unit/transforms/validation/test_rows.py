"""Row checks: derived from the template, first reason wins, the raw record is kept."""

from __future__ import annotations

from schemas.elements import (
    AttributeValue,
    Flag,
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
    Reject,
)
from schemas.loading import parse_template
from schemas.template import Template
from tests.support import TEMPLATE
from transforms.validation.rows import check_item

RAW = RawRecord(b'{"sku": "a"}', "jsonl", "in.jsonl", 7)


def template(change: str = "", to: str = "") -> Template:
    return parse_template(TEMPLATE.replace(change, to) if change else TEMPLATE, "test")


def item(
    shop: Template, flags: tuple[Flag, ...] = (), images: tuple[ImageResult, ...] = ()
) -> Item:
    values = {
        attribute.name: AttributeValue(None, reason="not-stated") for attribute in shop.attributes
    }
    return Item(Record("a", {}, {}, (), flags, RAW), images, values, flags)


def test_an_item_without_faults_passes_unchanged() -> None:
    """Nothing is required by default: the very same item comes back."""
    shop = template()
    sound = item(shop)
    assert check_item(shop, sound) is sound


def test_a_required_value_that_is_missing_sets_the_record_aside() -> None:
    """required: true without a value, also after filling, is required-missing with the raw record."""
    shop = template("name: color,", "name: color, required: true,")
    found = check_item(shop, item(shop))
    assert isinstance(found, Reject)
    assert (found.reason, found.field, found.item_id, found.raw) == (
        "required-missing",
        "color",
        "a",
        RAW,
    )
    assert "not-stated" in found.message


def test_an_invalid_value_is_quarantined_only_on_request() -> None:
    """A flagged value is value-rejected when the attribute says on_invalid: quarantine, else the
    item passes.
    """
    flag = Flag("value-not-in-list", "color", "'Mauve' is not among Red, Blue, Green")
    lenient, strict = template(), template("name: color,", "name: color, on_invalid: quarantine,")
    assert isinstance(check_item(lenient, item(lenient, (flag,))), Item)
    found = check_item(strict, item(strict, (flag,)))
    assert isinstance(found, Reject)
    assert (found.reason, found.field) == ("value-rejected", "color")
    assert "Mauve" in found.message


def test_a_required_picture_that_cannot_be_used_sets_the_record_aside() -> None:
    """images.required: true with no usable picture is image-required and says what was tried."""
    shop = template("images: {", "images: {required: true, ")
    found = check_item(shop, item(shop, images=(ImageResult("gone.png", reason="image-missing"),)))
    assert isinstance(found, Reject)
    assert found.reason == "image-required"
    assert "gone.png: image-missing" in found.message
    usable = ImageResult("a.png", ImageFeatures("d", "0" * 16, 1, 1, "PNG", 1))
    assert isinstance(check_item(shop, item(shop, images=(usable,))), Item)
