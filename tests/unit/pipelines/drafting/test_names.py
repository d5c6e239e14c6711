"""pipelines.drafting.names: what the name of a column says, in whatever spelling and language."""

from __future__ import annotations

import pytest

from pipelines.drafting.names import Called, has_word, is_called, words_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("title", "title"),
        ("productDisplayName", "title"),
        ("ITEM_NAME", "title"),
        ("Name*", "title"),
        ("name-en_US", "title"),
        ("Artikelbezeichnung", "title"),
        ("Libellé", "title"),
        ("商品名", "title"),
        ("Название", "title"),
        ("description-en_US-ecommerce", "text"),
        ("Body (HTML)", "text"),
        ("Langbeschreibung", "text"),
        ("parent_asin", "id"),
        ("Variant SKU", "id"),
        ("Artikelnr", "id"),
        ("Image URLs (x,y,z...)", "picture"),
        ("product_category_tree", "category"),
    ],
)
def test_a_name_tells_what_its_column_holds(name: str, kind: Called) -> None:
    """Words are found in camel case, with marks, in brackets' company and as ends of longer words."""
    assert is_called(name, kind)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Brand Name", "title"),
        ("vendor_name", "title"),
        ("masterCategory", "title"),
        ("Option1 Name", "title"),
        ("Attribute 1 name", "title"),
        ("fileName", "title"),
        ("username", "title"),
        ("articleType", "title"),
        ("Herstellername", "title"),
        ("", "title"),
    ],
)
def test_the_name_of_something_else_is_no_title(name: str, kind: Called) -> None:
    """What a brand, an option or a file is called does not name the item."""
    assert not is_called(name, kind)


@pytest.mark.parametrize(
    "name", ["price", "salePrice", "price-EUR", "Price tax excluded", "Verkaufspreis", "Prix TTC"]
)
def test_prices_are_known_by_one_word(name: str) -> None:
    """A price is one with whatever else its column's name says."""
    assert has_word(name, "price")


def test_words_are_those_of_the_name_alone() -> None:
    """Nothing is lost in capital letters and digits, and what brackets hold is no word."""
    assert words_of("parentASIN2 [old]") == ("parent", "asin", "2")
