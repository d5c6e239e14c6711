"""How cells are taken apart: lists, paths, pairs, native values."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.template import ColumnFormat
from transforms.extraction.cells import (
    as_mapping,
    as_text,
    given_text,
    is_null,
    split_list,
    split_paths,
)

TEXT = ColumnFormat()
LIST = ColumnFormat(format="list", ignore=("n/a",))
PAIRS = ColumnFormat(format="pairs")
SHOP_PATHS = ColumnFormat(format="list", path_separator="/", ignore=("Default Category",))

CELLS = st.recursive(
    st.one_of(
        *(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.decimals(),
            st.dates(),
            st.datetimes(),
        ),
        *(st.text(max_size=20), st.binary(max_size=5)),
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
FORMATS = st.sampled_from(
    [TEXT, LIST, PAIRS, SHOP_PATHS, ColumnFormat(format="path", separator=" > ")]
)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"id": 123456789012345678901234}, '{"id":123456789012345678901234}'),
        (
            [10**30, Decimal("0.12345678901234567890"), "ü"],
            '[1000000000000000000000000000000,0.12345678901234567890,"ü"]',
        ),
        (Decimal("1.50"), "1.50"),
    ],
)
def test_given_numbers_keep_their_digits(cell: Any, text: str) -> None:
    """Integers beyond 64 bits and decimals are written with all their digits, as numbers."""
    assert given_text(cell) == text


def test_json_in_cells_keeps_its_digits() -> None:
    """Objects and lists that stand as text in a cell are read without rounding their numbers."""
    assert as_mapping('{"id":123456789012345678901234}', TEXT) == {"id": 123456789012345678901234}
    assert split_list("[123456789012345678901234, 0.5]", LIST) == [123456789012345678901234, 0.5]
    assert as_text(Decimal("1e-999999999")) == "1E-999999999"


@pytest.mark.parametrize(
    "cell",
    [None, "", " \n", "N/A", float("nan"), Decimal("NaN"), [], {}, [None, ["", {"a": None}]], ()],
)
def test_null_is_what_holds_nothing(cell: Any) -> None:
    """None, NaN, the template's null texts and containers of only such are all the same: nothing."""
    assert is_null(cell, frozenset(["", "n/a"]))


@pytest.mark.parametrize("cell", [0, False, 0.0, "0", [0], {"a": "x"}, b""])
def test_zero_and_false_are_values(cell: Any) -> None:
    """A zero is a statement and not a gap."""
    assert not is_null(cell)


def test_lists_are_split_and_emptied_of_nothing() -> None:
    """Empty and ignored entries go, whatever their case; a JSON list in a text cell is a list."""
    assert split_list("a,,b, N/A ,", LIST) == ["a", "b"]
    assert split_list('["a, b", null, "c"]', LIST) == ["a, b", "c"]
    assert split_list("[sic], b", LIST) == ["[sic]", " b"]
    assert split_list(["a,b", None, 3], LIST) == ["a,b", 3]
    assert split_list("a,b", TEXT) == ["a,b"]
    assert split_list("\nNylon\nMesh\n", ColumnFormat(format="list", separator="\n")) == [
        "Nylon",
        "Mesh",
    ]


def test_an_entity_at_a_semicolon_is_not_cut() -> None:
    """Where entries are parted by semicolons, the one that ends an entity parts nothing."""
    assert split_list("Cocona&reg;;Wool", ColumnFormat(format="list", separator=";")) == [
        "Cocona®",
        "Wool",
    ]


def test_pairs_keep_separators_inside_values() -> None:
    """A comma that no `key=` follows belongs to the value before it; the first = ends the key."""
    cell = "material=Wool|Cotton,note=Warm, soft, and light,formula=a=b, size = XL ,broken"
    assert as_mapping(cell, PAIRS) == {
        "material": "Wool|Cotton", "note": "Warm, soft, and light", "formula": "a=b", "size": " XL ,broken",
    }  # fmt: skip
    assert split_list("Wool|Cotton|", PAIRS, keyed=True) == ["Wool", "Cotton"]
    assert as_mapping("", PAIRS) == {}


def test_mappings_of_all_kinds_are_reached() -> None:
    """Objects, Arrow maps and JSON texts are looked into by key, also nested and with dots in a
    key.
    """
    assert as_mapping([("en", "mug"), ("de", "Becher")], TEXT) == {"en": "mug", "de": "Becher"}
    assert as_mapping('{"en": "mug"}', TEXT) == {"en": "mug"}
    assert as_mapping("{broken", TEXT) is None
    assert as_mapping(["a"], TEXT) is None


@pytest.mark.parametrize(
    ("cell", "column", "paths"),
    [
        ("Default Category/Men/Tops,Default Category", SHOP_PATHS, ["Men > Tops"]),
        ("Men/Tops/Tees,Sale/Tees", SHOP_PATHS, ["Men > Tops > Tees", "Sale > Tees"]),
        (["Fruit", "Apple"], TEXT, ["Fruit > Apple"]),
        (["Fruit", "Apple"], ColumnFormat(format="path"), ["Fruit > Apple"]),
        ([["Fruit", "Apple"], ["Sale"]], TEXT, ["Fruit > Apple", "Sale"]),
        (["Men/Tops", "Sale"], SHOP_PATHS, ["Men > Tops", "Sale"]),
        (
            "Food > Tea &amp; Coffee >",
            ColumnFormat(format="path", separator=">"),
            ["Food > Tea & Coffee"],
        ),
        ("Mugs", TEXT, ["Mugs"]),
        ("Default Category", SHOP_PATHS, []),
        ({"a": 1}, TEXT, [None]),
    ],
)
def test_category_paths(cell: Any, column: ColumnFormat, paths: list[str | None]) -> None:
    """Paths come out in one form, whether the source writes them as lists, texts or lists of texts."""
    assert split_paths(cell, column) == paths


def test_scalars_as_text() -> None:
    """Whole floats lose their `.0`, dates are ISO 8601; what no text stands for gives none."""
    cells = [
        "a",
        7,
        32.0,
        0.5,
        Decimal("1.50"),
        Decimal("2.00"),
        date(2026, 1, 31),
        datetime(2026, 1, 31, 12, tzinfo=UTC),
    ]
    assert [as_text(cell) for cell in cells] == [
        "a", "7", "32", "0.5", "1.50", "2", "2026-01-31", "2026-01-31T12:00:00+00:00",
    ]  # fmt: skip
    assert [as_text(cell) for cell in (True, None, [], {}, b"a", math.inf, math.nan)] == [None] * 7


def test_elements_with_attributes() -> None:
    """An element of XML is its text, unless an attribute says in what language or unit it is."""
    assert as_text({"@type": "html", "#text": "Mug"}) == "Mug"
    for attribute in ("@currency", "@unit", "@xml:lang", "@name"):
        assert as_text({attribute: "x", "#text": "5"}) is None
    assert as_text({"@type": "html", "#text": ["a"]}) is None


def test_given_is_what_the_source_wrote() -> None:
    """Text stays as it is, markup and spaces too; everything else is compact JSON."""
    assert given_text(" <b>A</b> ") == " <b>A</b> "
    assert given_text({"en": "mug", "n": [1, None, True]}) == '{"en":"mug","n":[1,null,true]}'
    assert given_text(2**70) == str(2**70)
    assert given_text(date(2026, 1, 31)) == '"2026-01-31"'
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "cannot be written" in given_text(deep)
    assert is_null(deep)


@given(CELLS, FORMATS, st.booleans())
def test_no_cell_breaks_anything(cell: Any, column: ColumnFormat, keyed: bool) -> None:
    """Whatever a cell holds, it is taken apart without an error and its given text is text."""
    assert all(not is_null(entry) for entry in split_list(cell, column, keyed=keyed))
    assert all(path is None or path for path in split_paths(cell, column, keyed=keyed))
    as_mapping(cell, column)
    assert is_null(cell) or given_text(cell).encode()


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.text(alphabet="abc |;.", max_size=10),
        max_size=6,
    )
)
def test_pairs_round_trip(pairs: dict[str, str]) -> None:
    """What is written as pairs is read back, key by key."""
    assert as_mapping(",".join(f"{key}={value}" for key, value in pairs.items()), PAIRS) == pairs


@given(st.lists(st.none() | st.booleans() | st.text(max_size=8), max_size=5))
def test_json_lists_in_text_cells_read_like_native_ones(entries: list[Any]) -> None:
    """A CSV that holds a JSON list gives the same entries as the JSON list itself."""
    assert split_list(json.dumps(entries), LIST) == split_list(entries, LIST)


@pytest.mark.parametrize(
    ("cell", "column", "entries"),
    [
        ('["a.jpg", "b,c.jpg"]', ColumnFormat(), ["a.jpg", "b,c.jpg"]),
        ("['a.jpg', 'b.jpg']", ColumnFormat(), ["a.jpg", "b.jpg"]),
        ("[]", ColumnFormat(), []),
        ("[REC]", ColumnFormat(), ["[REC]"]),
        ("[1984]", ColumnFormat(), ["[1984]"]),
        ('["Heroes" by Bowie]', ColumnFormat(), ['["Heroes" by Bowie]']),
    ],
)
def test_a_printed_list_of_texts_is_a_list(
    cell: str, column: ColumnFormat, entries: list[str]
) -> None:
    """A text cell that is wholly a list of texts is read as one without a word in the template;
    what only begins with a bracket stays a text.
    """
    assert split_list(cell, column) == entries


@pytest.mark.parametrize("cell", ['["Home", "Tea / Coffee"]', "['Home', 'Tea / Coffee']"])
@pytest.mark.parametrize("column", [ColumnFormat(), ColumnFormat(format="path", separator="/")])
def test_a_printed_path_is_a_path(cell: str, column: ColumnFormat) -> None:
    """The steps of a printed list are the steps of the path, whatever separators are in them."""
    assert split_paths(cell, column) == ["Home > Tea / Coffee"]
