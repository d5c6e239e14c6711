"""pipelines.drafting.identity: what identifies an item, and what is said where nothing does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.drafting.identity import find_id
from pipelines.drafting.profile import Profile


def profile_of(rows: list[dict[str, Any]]) -> Profile:
    found = Profile()
    for row in rows:
        found.add(row)
    return found


RANGE = range(12)


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ([{"rating_number": n * 7, "parent_asin": f"B0{n}"} for n in RANGE], "parent_asin"),
        ([{"price": f"{n}.5", "title": f"Mug {n}", "code": f"{n:04}"} for n in RANGE], "code"),
        ([{"": n, "sku": f"S{n}", "title": f"Mug {n}"} for n in RANGE], "sku"),
        ([{"Unnamed: 0": n, "title": f"Mug {n}", "uuid": f"a-{n}"} for n in RANGE], "uuid"),
        ([{"image_id": f"{n}.jpg", "sku": f"S{n}"} for n in RANGE], "sku"),
        (
            [{"created": f"2026-01-{n + 1:02}", "Artikelnummer": 100 + n} for n in RANGE],
            "Artikelnummer",
        ),
        ([{"category_id": n // 4, "title": f"Mug {n}", "ref": f"r{n}"} for n in RANGE], "ref"),
        ([{"ID": n, "SKU": f"S{n}" if n else None, "name": "Mug"} for n in RANGE], "ID"),
        ([{"product": {"id": n, "name": f"Mug {n}"}} for n in RANGE], "product.id"),
    ],
)
def test_the_id_is_the_column_that_is_called_so(rows: list[dict[str, Any]], column: str) -> None:
    """Counters, measures, pictures and times are no ids, however unique."""
    identity = find_id(profile_of(rows))
    assert (identity.column, identity.is_grouped, identity.is_known) == (column, False, True)


@pytest.mark.parametrize(
    "rows",
    [
        # Variants below a product; its title is in the first row only.
        [
            {"Handle": f"h{n // 3}", "Title": None if n % 3 else f"Mug {n}", "Size": n % 3}
            for n in RANGE
        ],
        # A row for each picture, everything else repeated.
        [{"Handle": f"h{n // 2}", "Title": f"Mug {n // 2}", "Image": f"{n}.jpg"} for n in RANGE],
        # A row for each language, without a title by name.
        [{"Handle": f"h{n // 2}", "lang": "de", "made": n // 2, "kg": n // 2} for n in RANGE],
    ],
)
def test_rows_that_share_an_id_are_one_item(rows: list[dict[str, Any]]) -> None:
    """Where no column is unique, rows go together by the one that is called as an id is, and the
    draft says so.
    """
    identity = find_id(profile_of(rows))
    assert (identity.column, identity.is_grouped) == ("Handle", True)
    assert "rows of one id are one item" in identity.note


VARIANTS_BELOW = [
    {
        "Handle": None if n % 3 else f"h{n}",
        "Title": None if n % 3 else f"Mug {n}",
        "SKU": f"s{n}",
        "Size": "SML"[n % 3],
    }
    for n in RANGE
]


@pytest.mark.parametrize(
    ("hidden", "column", "is_grouped"), [("", "SKU", False), ("SKU", "Handle", True)]
)
def test_rows_below_a_key_belong_to_it(hidden: str, column: str, is_grouped: bool) -> None:
    """Where only the first row of a product has its key, rows go with the row above: as variants
    where each has an id of its own, else as rows of one item.
    """
    rows = [{name: row[name] for name in row if name != hidden} for row in VARIANTS_BELOW]
    identity = find_id(profile_of(rows))
    assert (identity.column, identity.above, identity.is_known) == (column, "Handle", True)
    assert identity.is_grouped == is_grouped
    assert "8 rows without Handle belong to the row above" in identity.note
    assert find_id(profile_of(rows), "handle").above == "Handle"


@pytest.mark.parametrize(
    "change",
    [
        # An id that is only missing: the row says what it is.
        lambda n, row: {**row, "Title": f"Mug {n}"},
        # The first row has none.
        lambda n, row: {**row, "Handle": None} if n == 0 else row,
        # A key comes again behind another one.
        lambda n, row: {**row, "Handle": row["Handle"] and f"h{n // 3 % 2}"},
        # Every row has a key.
        lambda n, row: {**row, "Handle": f"h{n // 3}"},
        # Rows that say nothing.
        lambda n, row: dict.fromkeys(row) if n % 3 else row,
        # A column that is not called as an id is.
        lambda n, row: {"Shelf": row["Handle"], "Title": row["Title"], "SKU": row["SKU"]},
    ],
)
def test_rows_that_have_no_key_from_above(change: Callable[[int, Any], Any]) -> None:
    """Nothing is filled down where the rows do not show that they belong to the one above."""
    assert find_id(profile_of([change(n, row) for n, row in enumerate(VARIANTS_BELOW)])).above == ""


def test_rows_of_one_category_are_not_one_item() -> None:
    """What different items share is no id of theirs: another column is taken, and it is said that
    nothing tells.
    """
    rows = [{"category_id": n // 4, "title": f"Mug {n}"} for n in RANGE]
    identity = find_id(profile_of(rows))
    assert (identity.column, identity.is_known) == ("title", False)
    assert "no column is called as an id is" in identity.note


@pytest.mark.parametrize(
    "rows", [[{"a": "x", "b": 1}] * 2, [{}], [{"a": None}], [{"a": {"b": []}}]]
)
def test_there_is_always_an_id(rows: list[dict[str, Any]]) -> None:
    """Where nothing identifies the records, the nearest column is taken and said to be no id."""
    identity = find_id(profile_of(rows))
    assert identity.column
    assert not identity.is_known
    assert identity.note


def test_a_named_column_is_taken() -> None:
    """The id that somebody names is the id, in any case and below a key; others are refused with
    the names that there are.
    """
    found = profile_of([{"SKU": f"S{n}", "Style": f"T{n // 2}", "meta": {"key": n}} for n in RANGE])
    assert find_id(found, "sku").column == "SKU"
    assert find_id(found, "style").is_grouped
    assert find_id(found, "meta.key").column == "meta.key"
    with pytest.raises(
        ValueError, match="--id colour: the catalog has no such column; it has SKU, Style, meta"
    ):
        find_id(found, "colour")
