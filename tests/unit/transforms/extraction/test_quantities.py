"""transforms.extraction.quantities and the spellings of schemas.units."""

from __future__ import annotations

from typing import Any

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.units import convert, is_unit, same_kind, text_spellings
from transforms.extraction.decimal_marks import decimal_mark, reads_two_ways
from transforms.extraction.quantities import (
    find_numbers,
    find_quantities,
    parse_number,
    parse_quantity,
    plain_text,
    to_float,
)

PINT = pint.UnitRegistry()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,01", 1.01),
        ("0,125", 0.125),
        ("1,234", 1234),
        ("1.234", 1.234),
        ("1.234.567", 1234567),
        ("1234,567", 1234.567),
        ("1 234 567,8", 1234567.8),
        ("1\u202f234", 1234),
        ("1'234.5", 1234.5),
        ("½", 0.5),
        ("1½", 1.5),
        ("1 1/2", 1.5),
        ("3-1/2", 3.5),
        ("ca 1.01", 1.01),
        ("approx. 7", 7),
        ("~ 5", 5),
        ("-5", -5),
        ("−5,5", -5.5),
        ("$12.50", 12.5),
        ("1e-5", 1e-5),
        ("٣", 3),
    ],
)
def test_parse_number(text: str, number: float) -> None:
    """The ways in which catalogs write a number in a cell are read."""
    assert parse_number(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "12 apples",
        "5-7",
        "1,2,3",
        "12.",
        "nan",
        "inf",
        "1e999",
        "7/3",
        "1/0",
        "5 %",
        "180g",
        "9" * 400,
    ],
)
def test_parse_number_refuses(text: str) -> None:
    """What is no single finite number is None."""
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("ca 180g", "g", 180),
        ("ca 1.01kg", "g", 1010),
        ("1l", "ml", 1000),
        ("180", "g", 180),
        ("500 ML", "ml", 500),
        ("1½ l", "l", 1.5),
        ('29"', "cm", 73.66),
        ("8 1/2 in.", "cm", 21.59),
        ("5'6\"", "cm", 167.64),
        ("1 h 30 min", "minute", 90),
        ("-5 °C", "°C", -5),
        ("20 °C", "°F", 68),
        ("180 g/m2", "gsm", 180),
        ("8.5 fl. oz.", "ml", 251.375),
    ],
)
def test_parse_quantity(text: str, unit: str, amount: float) -> None:
    """A cell's amount comes out in the attribute's unit; a bare number is in that unit already."""
    assert parse_quantity(text, unit) == pytest.approx(amount, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1l", "g"),
        ("5-7 cm", "cm"),
        ("6 x 330 ml", "ml"),
        ("5 kg net", "kg"),
        ("5 %", "g"),
        ("", "g"),
        ("large", "cm"),
    ],
)
def test_parse_quantity_refuses(text: str, unit: str) -> None:
    """Another dimension, a range, a product or more words are no amount."""
    assert parse_quantity(text, unit) is None


@pytest.mark.parametrize(
    ("text", "unit", "amounts"),
    [
        ("Oats 180g", "g", [180]),
        ("Juice 1,5 l", "ml", [1500]),
        ("width 55 cm.", "cm", [55]),
        ('Monitor 29" black', "inch", [29]),
        ("a 12-inch pan", "inch", [12]),
        ("300-GB drive", "GB", [300]),
        ("½ l or so", "l", [0.5]),
        ("1 1/2 cups", "ml", [354.882]),
        ("Cola - 500 ml", "ml", [500]),
        ("Cola 500 ml / 16.9 fl oz", "ml", [500, 499.793]),
        ("runs 1 h 30 min", "minute", [90]),
        ("5'6\" tall", "cm", [167.64]),
        ("11 in long", "inch", [11]),
        ("1,015 kg, fat 3,2 g", "g", [1015, 3.2]),
    ],
)
def test_find_quantities(text: str, unit: str, amounts: list[float]) -> None:
    """Plain amounts are found in running text and converted."""
    assert [q.amount for q in find_quantities(text, unit)] == pytest.approx(amounts, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("6 x 330 ml", "ml"),
        ("330 ml x 6", "ml"),
        ("20x30 cm", "cm"),
        ('24"W x 30"D', "inch"),
        ("5–7 cm", "cm"),
        ("5 - 7 cm", "cm"),
        ("5 cm - 7 cm", "cm"),
        ("5 to 7 cm", "cm"),
        ("up to 20 hours", "hour"),
        ("max. 5 kg", "kg"),
        ("< 5 kg", "kg"),
        ("5 g/100 ml", "g"),
        ("3 g per 100 g", "g"),
        ("12V/24V", "V"),
        ("GSR-120 V", "V"),
        ("50 % off", "g"),
        ("5 m²", "m"),
        ("2 in 1", "cm"),
        ("5 in the box", "cm"),
        ("the 80s", "second"),
        ("5G phone", "g"),
        ("6 bags, 2 hands, 5 points", "kg"),
        ("2 hands", "cm"),
        ("12 ct", "g"),
        ("500 ml", "g"),
    ],
)
def test_what_is_no_plain_amount(text: str, unit: str) -> None:
    """Products, ranges, bounds, rates, model numbers and look-alikes are left out."""
    assert find_quantities(text, unit) == []


def test_quantities_cut_their_text_out() -> None:
    """Offsets are those of the stated amount, number and unit."""
    text = "👟 ca 1,5 kg (netto)"
    [quantity] = find_quantities(text, "g")
    assert text[quantity.begin : quantity.end] == quantity.text == "1,5 kg"


def test_numbers_without_unit() -> None:
    """A number followed by a unit, a letter, % or part of a range is no bare number."""
    assert [n.amount for n in find_numbers("1,320 pages, 24 cm, 2nd, 50%, 5-7 plates, 3 maps")] == [
        1320,
        3,
    ]


def test_decimal_mark_of_a_text() -> None:
    """Unambiguous numbers tell how ambiguous ones of the same text are meant; contradicting ones do
    not.
    """
    assert decimal_mark("3,2 g and 1.500 g") == ","
    assert decimal_mark("3.25 and 1,5") is None
    assert [q.amount for q in find_quantities("fat 3,2 g, net 1.500 g", "g")] == [3.2, 1500]


def test_units() -> None:
    """Shop spellings are units in any case, single letters only in their own; words are not, and
    kinds do not mix.
    """
    assert [is_unit(text) for text in ("KG", "ml", "fl. oz.", '"', "g/m2", "parsnip", "")] == [
        True
    ] * 5 + [False] * 2
    assert convert(500, "ML", "l") == 0.5
    assert convert(1, "GB", "degree") is None
    assert same_kind("lb", "g")
    assert not same_kind("7200rpm", "Hz")
    assert "ct" in text_spellings("carat")[0]
    assert "ct" not in text_spellings("g")[0]


@given(st.floats(min_value=-1e9, max_value=1e9).map(lambda number: round(number, 6)))
def test_round_trip(number: float) -> None:
    """A number written with a decimal point and without grouping is read back."""
    assert parse_number(f"{number:.6f}") == pytest.approx(number, abs=1e-6)
    assert parse_number(f"{number:,.6f}") == pytest.approx(number, abs=1e-6)


@given(st.text(alphabet="0123456789.,/-½ xgklm\"'%e\u00a0", max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever a text holds, reading amounts does not fail, and every amount cuts its text out."""
    parse_number(text)
    parse_quantity(text, "g")
    found = [*find_quantities(text, "g"), *find_quantities(text, "inch"), *find_numbers(text)]
    assert all(text[q.begin : q.end] == q.text and q.amount == q.amount for q in found)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("Выпуск 2020 г., в коробке", "g"), ("fits 5 GM trucks", "g"), ("Tahoe 2 LT trim", "l")],
)
def test_abbreviations_that_mean_other_things_in_a_text(text, unit):
    """What is a unit in a cell of its own, a year or a car is in a text, states no amount there."""
    assert find_quantities(text, unit) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,00,000", 100_000),
        ("12,34,567.50", 1_234_567.5),
        ("١٬٢٩٩٫٥", 1299.5),
        ("١٫٢٥٠", 1.25),
        ("1'299.5", 1299.5),
        ("1,00,00", None),
        ("1,0,000", None),
        ("10³", None),
    ],
)
@pytest.mark.parametrize("mark", [None, ",", "."])
def test_marks_that_read_in_one_way(text: str, number: float | None, mark: Any) -> None:
    """Lakhs and the marks of Arabic numbers mean the same in every column; no other groups do."""
    assert parse_number(text, mark) == number
    assert parse_quantity(f"{text} g", "g", mark) == number


@given(st.floats(1e-9, 1e12) | st.integers(0, 10**15))
def test_plain_texts_of_numbers(number: float) -> None:
    """A number as text is that number again, whatever the decimal mark of a column."""
    text = plain_text(number)
    assert not reads_two_ways(text)
    for mark in (None, ","):
        assert parse_number(text, mark) == pytest.approx(number)


@given(
    st.sampled_from(
        [
            "kg g",
            "oz g",
            "inch cm",
            "fluid_ounce ml",
            "hour minute",
            "degree_Celsius degree_Fahrenheit",
        ]
    ),
    st.floats(-1e6, 1e6) | st.integers(0, 10_000).map(float),
)
def test_factors_convert_as_the_library_does(units, amount):
    """LAW: an amount is what pint makes of it, with and without a zero point of its own."""
    one, other = units.split()
    wanted = PINT.Quantity(amount, one).to(other).magnitude
    assert convert(amount, one, other) == round(float(wanted), 9)


@given(
    st.from_regex(r"[0-9]{1,4}([.,][0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["g", "kg", "KG", "oz", "ml", "lb", "e", "x", "Stück", "g."]),
    st.sampled_from([None, ",", "."]),
)
def test_plain_amounts_read_as_within_spaces(number, space, unit, mark):
    """LAW: an amount that is written as most are reads as the same amount with spaces around it,
    which no short way is taken for.
    """
    text = f"{number}{space}{unit}"
    assert parse_quantity(text, "g", mark) == parse_quantity(f" {text} ", "g", mark)


@pytest.mark.parametrize("text", ["10/12", "5/6", "1/10", "6/7"])
def test_sizes_are_no_fractions(text: str) -> None:
    """Two numbers with a stroke are a size or an age, unless a unit makes them a fraction."""
    assert parse_number(text) is None
    assert parse_quantity(f"{text} in", "inch") is not None
    assert [parse_number(each) for each in ("1/2", "3/4", "5/8", "1 5/6")] == [
        0.5,
        0.75,
        0.625,
        pytest.approx(1.8333333),
    ]


@pytest.mark.parametrize("piece", ["1 x ", "1", "1,", "1 kg ", "- ", " ", "1/", "1 1/2 "])
def test_a_cell_of_any_length_is_read_at_once(piece: str) -> None:
    """A cell of 200,000 signs is no amount; trying to read it as one would take hours."""
    assert parse_quantity(piece * 50_000, "g") is None


def test_a_number_whose_marks_contradict_each_other_is_none() -> None:
    """A mark that groups thousands and stands before decimals, too, tells no number."""
    assert to_float("1.000,512.50", None) is None
