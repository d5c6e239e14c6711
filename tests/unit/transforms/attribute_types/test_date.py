"""transforms.attribute_types.date: dates in cells, texts, answers and counts."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.registry import operations_of
from transforms.extraction.statements import Statement

RELEASED = Attribute.model_validate({"name": "release_date", "type": "date", "fill": True})
DATES = operations_of(RELEASED)


def read(cell: Any) -> tuple[Value | None, list[str]]:
    """Return the value and the details of the flags."""
    value, flags = DATES.reader(RELEASED, ())(cell, ColumnFormat(), False)
    assert all((flag.reason, flag.field) == ("value-wrong-type", "release_date") for flag in flags)
    return value, [flag.detail for flag in flags]


def stated(text: str) -> list[tuple[Value, str]]:
    """Return what a text states, with its span."""
    found = DATES.finder(RELEASED, alone=True)(text)
    return [(s.value, text[s.begin : s.end]) for s in found]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("<b>17 May&nbsp;2024</b>", "2024-05-17"),
        (2024, "2024"),
        (2024.0, "2024"),
        (Decimal("2024.10"), "2024-10"),
        (Decimal("2024.1"), "2024-01"),
        (dt.date(2024, 5, 17), "2024-05-17"),
        (dt.datetime(2024, 5, 17, 23, 30, tzinfo=dt.UTC), "2024-05-17"),
        (["2024-05", "2024-05"], "2024-05"),
        ("<p></p>", None),
        ([], None),
    ],
)
def test_cells_that_people_have_are_read(cell: Any, value: str | None) -> None:
    """Text, numbers and the dates of Parquet are read; an empty cell is no mistake."""
    assert read(cell) == (value, [])


def test_an_ambiguous_cell_names_both_readings() -> None:
    """Day and month are never guessed: the flag names both dates, in words and as to write them."""
    assert read("03/04/2024") == (
        None,
        [
            "'03/04/2024' may mean 3 April 2024 or 4 March 2024; write 2024-04-03 or 2024-03-04, or "
            "say dates: day-first or dates: month-first under columns:"
        ],
    )


@pytest.mark.parametrize(
    "cell", ["soon", True, {"y": 2024}, "17.5.24", "2024-02-30", "2024-05-17T99:99"]
)
def test_what_is_not_a_date_is_flagged(cell: Any) -> None:
    """A cell without a date is flagged with what to write; so is one with two."""
    value, (detail,) = read(cell)
    assert value is None
    assert "is not a date; write for example 2024-05-17" in detail
    assert read(["2024", "2025"]) == (None, ['["2024","2025"] gives several values; write one'])


@pytest.mark.parametrize("cell", [2024.1, 2024.12, 202405, 20240517, 1700000000, 0, -2024, 1e300])
def test_a_number_is_only_a_year(cell: float) -> None:
    """A float has lost the zero of 2024.10, so the flag asks for text instead of guessing."""
    value, (detail,) = read(cell)
    assert value is None
    assert detail.endswith('only a year may be one; write a date as text, for example "2024-10"')


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Release date: 17 May 2024.", [("2024-05-17", "17 May 2024")]),
        ("A mug. Release date 2024-05, in white", [("2024-05", "2024-05")]),
        ("Release date: 2019", [("2019", "2019")]),
        ("Original release date: 2019", []),
        ("Release date: 03/04/2024", []),
        ("Released in May 2024, a classic of 1987", []),
        ("Release date: 2019-2024", []),
        ("Release date: 2024. The colours may vary, order now.", [("2024", "2024")]),
        ("Release date: 2024. Updated: 2025", [("2024", "2024")]),
        ("Published: 2019. Release date: 2024 - Publisher", [("2024", "2024")]),
    ],
)
def test_texts_state_dates_behind_the_label(text: str, found: list[tuple[str, str]]) -> None:
    """Only a date right behind the attribute's own name is its value, and only a clear one."""
    assert stated(text) == found


@pytest.mark.parametrize(
    "dates",
    [
        *("2019 to 2021", "Dec 2024 – Jan 2025", "2024-05-17 to 2024-06-01", "2019 or 2020"),
        *("12.05.2024 bis 14.05.2024", "2024 / 2025", "2024 & 2025", "2024, 2025", "2024~2025"),
        *("2024−2025", "2024 − 2025", "2024‒2025", "2024 -- 2025", "2024...2025", "2024…2025"),
        *("2024; 2025", "2024 to early 2025", "2024 (2025 in Europe)", "2024 to 03/04/2025"),
        *("2024 – present", "2024 to the present day", "2024 bis heute", "2024 onwards"),
        *("2024 or later", "2024 à aujourd'hui", "2024 –", "2024+", "2024 –?"),
        *("17 May 2024 to June", "2024-05-17 to 19", "2024 or '25", "2024 & 25", "2024 bis 25"),
        *("1990's", "1990’s", "1850 BC", "1850 B.C.", "1850 BCE", "1850 v. Chr.", "1850 v.Chr."),
        *("1850 av. J.-C.", "1850 a.C.", "1850 f.Kr.", "2024-05-17T99:99"),
    ],
)
def test_a_text_of_more_or_less_than_one_date_states_none(dates: str) -> None:
    """Ranges, choices, open ends, decades and years BC leave the date unknown: better than wrong."""
    assert stated(f"Release date: {dates}") == []
    assert stated(f"A mug. Release date: {dates}, in white") == []


def test_a_text_states_the_most_exact_of_its_dates() -> None:
    """A year and a day of it come down to the day; two different dates to none."""
    year, day, other = (
        Statement(value, begin, begin + 4, "labelled-term")
        for begin, value in enumerate(["2024", "2024-05-17", "2024-06"])
    )
    assert DATES.decide(RELEASED, [year, day]) is day
    assert DATES.decide(RELEASED, [year, other]) is other
    assert DATES.decide(RELEASED, [day, other]) is None


def test_a_less_exact_date_contradicts_nothing_and_is_not_the_truth() -> None:
    """A month agrees with a day of it, while an evaluation tells the two apart."""
    assert DATES.agree("2024-05", "2024-05-17")
    assert not DATES.agree("2024-05", "2024-06-17")
    assert DATES.comparison_key("2024-05") != DATES.comparison_key("2024-05-17")


def test_answers_are_dates_of_the_calendar() -> None:
    """An answer that the schema lets pass must still be a day that there is."""
    assert DATES.parse_answer(RELEASED, "2024-02-29") == "2024-02-29"
    assert DATES.parse_answer(RELEASED, "2023-02-29") is None
    assert DATES.is_unknown("unknown")


def test_a_date_is_counted_by_its_year() -> None:
    """Dates are too many to count one by one, so drift compares years."""
    values = pa.array(["2024-05-17", "2024", None, "2019-01"], pa.string())
    assert DATES.count(values) == {"2024": 2, "2019": 1}
    assert DATES.count(pa.array([], pa.string())) == {}


@given(st.dates(dt.date(1000, 1, 1), dt.date(2299, 12, 31)), st.sampled_from([4, 7, 10]))
def test_a_value_comes_back_from_every_form(day: dt.date, length: int) -> None:
    """Words, column, labels and candidate of a date all give the date back."""
    value = day.isoformat()[:length]
    assert read(DATES.format(RELEASED, value)) == (value, [])
    column = pa.array([DATES.to_arrow(RELEASED, value)], RELEASED.spec.arrow_type(RELEASED))
    assert DATES.from_arrow(column[0].as_py()) == value
    assert DATES.value_of_labels(RELEASED, [value]) == value
    assert DATES.candidate_texts(DATES.candidate_text(value)) == DATES.texts(value)
    assert stated(f"Release date: {DATES.format(RELEASED, value)}.")[0][0] == value
