"""Paths of pictures made from columns."""

from __future__ import annotations

import pytest

from schemas.sections.pictures import check_pattern, fill_pattern, pattern_columns

TEXTS = {"id": "108775015", "brand": "Fjord", "nr": "7", "sku": "ab-12.x"}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{id}.jpg", "108775015.jpg"),
        ("images/{id:0>10}.jpg", "images/0108775015.jpg"),
        ("images/{id:0>10[:3]}/{id:0>10}.jpg", "images/010/0108775015.jpg"),
        ("{id[:2]}/{id[2:4]}/{id}", "10/87/108775015"),
        ("{id[-3:]}.png", "015.png"),
        ("{brand}/{sku}.webp", "Fjord/ab-12.x.webp"),
        ("{ brand }_{nr:0>3}.jpg", "Fjord_007.jpg"),
        ("{id:.4}.jpg", "1087.jpg"),
        ("{nr:_<3}{nr:_>3}.gif", "7____7.gif"),
        ("https://shop.example/{id}/large.jpg", "https://shop.example/108775015/large.jpg"),
        ("{id}/{missing}.jpg", None),
    ],
)
def test_fills_places(pattern: str, path: str | None) -> None:
    """A place is a column, filled up or cut; without a text that it needs there is no path."""
    assert fill_pattern(check_pattern(pattern), TEXTS) == path


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("images/{id.jpg", "'{'"),
        ("images/id}.jpg", "'}'"),
        ("images/{}.jpg", "'{'"),
        ("images/{{id}}.jpg", "'{'"),
        ("images/a.jpg", "same for every record"),
        ("images/{id:0>x}.jpg", "cannot be written"),
        ("images/{id:05d}.jpg", "cannot be written"),
        ("images/{id[3]}.jpg", "'{'"),
    ],
)
def test_refuses_what_cannot_be_filled(pattern: str, told: str) -> None:
    """A pattern that would fail for every record is refused with an example of one that does not."""
    with pytest.raises(ValueError, match=told):
        check_pattern(pattern)


def test_names_its_columns() -> None:
    """The columns of a pattern are known, so that missing ones can be told."""
    assert pattern_columns("{id}/{brand}/{nr:0>3}-{nr}.jpg") == ("brand", "nr")
