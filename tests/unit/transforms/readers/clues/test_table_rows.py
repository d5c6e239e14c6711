"""Rows of a table that are no records: headers, headers that come again, totals and remarks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.readers.clues.table_rows import (
    Ids,
    are_ids_alike,
    header_place,
    is_footer,
    is_other_header,
    is_second_header,
    is_total,
    record_for_header,
)

NAMES = ["sku", "title", "price", "stock"]
BELOW = [["A1", "Mug", "5.00", "3"], ["A2", "Cup", "6.00", ""], ["A3", "Pan", "7.00", "1"]]


@pytest.mark.parametrize(
    "above",
    [
        [],
        [["Prices 2024"]],
        [["", "", "Prices 2024"], []],
        [["Exported", "2024-05-01"]],
        [["Exported:", "by Ann", "Smith"]],
        [["Shop", "Ours"], ["Rows", "3"], []],
    ],
)
def test_the_header_reaches_as_far_as_the_rows(above):
    """What stands above a header is shorter than the rows of the table are; the header is not."""
    rows = [*above, NAMES, *BELOW]
    assert header_place(rows, rows) == len(above)


def test_a_pair_that_reaches_as_far_as_most_rows():
    """A date above the header is no name, although the last column of most rows is empty."""
    rows = [["Exported", "2024-05-01"], ["sku", "title", "since"], ["A1", "Mug"], ["A2", "Cup"]]
    assert header_place(rows, rows) == 1


@pytest.mark.parametrize(
    ("header", "below"),
    [
        (["", "title", "price"], [["0", "Mug", "5"]]),
        (["", "title"], [["0", "Mug"]]),
        (["title"], [["Mug"], ["Cup"]]),
        (["sku", "title", "price", "note"], [["1", "Mug"], ["2", "Cup"]]),
        (["sku", "title"], [["1", "Mug", "5"], ["2", "Cup", "6"]]),
    ],
)
def test_headers_that_are_not_like_their_rows(header, below):
    """A header with names missing, or with more of them than rows have cells, is the header."""
    assert header_place([header, *below], [header, *below]) == 0


@pytest.mark.parametrize(
    "cells",
    [
        ["Total", "", "36.00", ""],
        ["", "Total:", "€ 36,00", ""],
        ["Grand total", "", "", "8"],
        ["Summe", "", "1 234,50 EUR", ""],
        ["Total général", "", "", ""],
        ["Total products: 8", "", "", ""],
        ["Number of rows", "8", "", ""],
        ["(8 rows)", "", "", ""],
        ["8 rows in set (0.01 sec)", "", "", ""],
        ["--- end of export ---", "", "", ""],
        ["End of file", "", "", ""],
        ["----------", "", "", ""],
        ["Exported on 2024-05-01", "", "", ""],
        ["合計", "", "36", ""],
    ],
)
def test_footers(cells):
    """A row that says nothing but a total, a count or an end is a footer."""
    assert is_total(cells, len(cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["Total Wine Opener", "", "", ""],
        ["Total", "Wine opener", "", ""],
        ["Total", "A-17", "", ""],
        ["End Table", "", "", ""],
        ["END-TABLE-1", "", "79.00", ""],
        ["END", "", "5.00", ""],
        ["1200 Watt kettle", "Kettle", "", ""],
        ["3 mugs", "", "", ""],
        ["Count Dracula", "", "", ""],
        ["Sum 41 sunscreen", "", "", ""],
        ["*** NEW *** Mug", "", "", ""],
        ["Records of the year", "", "", ""],
        ["Generated Art", "", "", ""],
        ["Total", "Mug", "5.00", "3"],
    ],
)
def test_products_that_are_named_as_footers(cells):
    """A product whose name begins as a total, a count or an end does is no footer."""
    assert not is_total(cells, len(cells))


@given(st.permutations(NAMES), st.integers(2, 4), st.lists(st.sampled_from("xyz"), max_size=1))
def test_other_headers(names, kept, more):
    """Names of columns in any order, some of them, with one more, are a header; records are none."""
    assert is_other_header([*names[:kept], *more], NAMES)
    assert not any(is_other_header(row, NAMES) for row in BELOW)
    assert not is_other_header(["A9", "price", "9.00", "1"], NAMES)


def test_a_record_for_a_header():
    """A first row with numbers where the rows below have them is told as a record, names are not."""
    assert record_for_header(BELOW[0], BELOW[1:]) == "5.00"
    assert record_for_header(NAMES, BELOW) is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("A1", "A20", True),
        ("mug-001", "MUG-2", True),
        ("17", "4006381333931", True),
        ("mug", "cup", False),
        ("A 1", "B 2", False),
        ("A1", "Colour", False),
    ],
)
def test_ids_alike(one, other, alike):
    """Cells are ids of one catalog if they have letters and digits in the same order."""
    assert are_ids_alike(one, other) is alike


@pytest.mark.parametrize(
    ("row", "is_one"),
    [
        (["item_sku", "item_name", "standard_price", "quantity"], True),
        (["item_sku", "item_name", "", "stock_level"], True),
        (["A1", "Mug", "5.00", "3"], False),
        (["A1", "red_mug", "sold_out", "none_left"], False),
        (["new", "Mug", "unknown", "unknown"], False),
        (["", "", "EUR", ""], False),
    ],
)
def test_a_second_header(row, is_one):
    """A row of names as programs use them, above numbers, is one more header; a record is none."""
    assert is_second_header([row, *BELOW]) is is_one


@pytest.mark.parametrize(
    ("ids", "is_one"),
    [
        (["A1", "A2", "B-30"], True),
        (["A1"], False),
        (["A 1", "A 2"], False),
        (["mug", "cup"], False),
    ],
)
def test_a_sentence_where_the_ids_are(ids, is_one):
    """A sentence alone at the end is a remark where the ids are codes, and may be a title else."""
    seen = Ids()
    for each in ids:
        seen.add(each)
    assert is_footer(["All prices incl. VAT", "", ""], 3, seen) is is_one
    assert not is_footer(["All prices incl. VAT", "Mug", ""], 3, seen)
    assert not is_footer(["", "All prices incl. VAT", ""], 3, seen)
    assert not is_footer(["B-31", "", ""], 3, seen)
