"""transforms.extraction.dates.written: what is a date, how exactly, and what is not guessed."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from babel.dates import format_date
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribute_types.date import ISO_DATE
from schemas.lexicons import lexicons
from transforms.extraction.dates.written import (
    are_compatible,
    date_readings,
    find_dates,
    in_words,
)

# Chinese and Japanese number the months, Russian puts a sign for "year" behind.
OTHERWISE = {"international", "ja", "ru", "zh"}
LOCALES = sorted(
    locale
    for code, lexicon in lexicons().items()
    if code not in OTHERWISE
    for locale in (code, *lexicon.dates.regions)
)
DAYS = st.dates(dt.date(1000, 1, 1), dt.date(2299, 12, 31))
ISO_DATES = st.builds(
    lambda day, length: day.isoformat()[:length], DAYS, st.sampled_from([4, 7, 10])
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024", "2024"),
        ("2024-05", "2024-05"),
        ("2024-5-7", "2024-05-07"),
        ("2024/05/17", "2024-05-17"),
        ("20240517", "2024-05-17"),
        ("2024-05-17T23:30:00-08:00", "2024-05-17"),
        ("2024-05-17 10:00:00.123 UTC", "2024-05-17"),
        ("17.05.2024", "2024-05-17"),
        ("3. 4. 2024", "2024-04-03"),
        ("17/05/2024", "2024-05-17"),
        ("05/17/2024", "2024-05-17"),
        ("04-04-2024", "2024-04-04"),
        ("05/2024", "2024-05"),
        ("17 May 2024", "2024-05-17"),
        ("17th of May, 2024", "2024-05-17"),
        ("May 17, 2024", "2024-05-17"),
        ("17-May-2024", "2024-05-17"),
        ("Sept. 2024", "2024-09"),
        ("1er janvier 2020", "2020-01-01"),
        ("17 de mayo de 2024", "2024-05-17"),
        ("Jänner 2020", "2020-01"),
        ("29 February 2024", "2024-02-29"),
        ("May of 2024", "2024-05"),
        ("Mar 2024", "2024-03"),
        ("17 mars 2024", "2024-03-17"),
        ("2024-05-17T23:59:60Z", "2024-05-17"),
    ],
)
def test_forms_that_have_one_reading(text: str, value: str) -> None:
    """ISO dates and times, dots, and written months are read, in the precision that they have."""
    assert date_readings(text) == (value,)


def test_the_order_of_day_and_month_is_not_guessed() -> None:
    """Where both orders give a day, both are given; with dots the day comes first."""
    assert date_readings("03/04/2024") == ("2024-04-03", "2024-03-04")
    assert date_readings("3-4-2024") == ("2024-04-03", "2024-03-04")
    assert date_readings("03.04.2024") == ("2024-04-03",)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2024-02-30", "29 February 2023", "17.5.24", "13/13/2024", "13/2024"),
        *("2024-W20", "0999", "3000", "1700000000", "May", "May 2024 or so", "17 Mumble 2024"),
        *("aprıl 2024", "2024-05/17", "2019-2024", "24"),
        *("2024-05-17T99:99", "2024-05-17 24:00", "2024-05-17T10:60", "2024-05-17T10:00:61"),
        *("2024-05-17T10:00+99:00", "20240517T9999"),
        *("Set of 2024", "Set 2024", "1 set 2024", "Gen 2024", "Out 2024", "Mag 2024", "Ago 2024"),
        *("Dic 2024", "Des 2024", "Mai of 2024", "17 of mayo 2024", "17 de May 2024"),
        *("May de 2024", "1 do April 2024"),
    ],
)
def test_what_is_not_a_date_has_no_reading(text: str) -> None:
    """Impossible days and times, ranges, short years and English words are not dates."""
    assert date_readings(text) == ()


@given(ISO_DATES)
def test_an_iso_date_is_itself(value: str) -> None:
    """Every ISO date is read as itself, matches the stored pattern, and comes back from words."""
    assert date_readings(value) == (value,)
    assert re.fullmatch(ISO_DATE, value)
    assert date_readings(in_words(value)) == (value,)


@given(DAYS, st.sampled_from(LOCALES))
def test_long_dates_of_every_language_are_read(day: dt.date, locale: str) -> None:
    """The long form of CLDR, `17. Mai 2024`, is read in each of the languages."""
    assert date_readings(format_date(day, "long", locale)) == (day.isoformat(),)


@given(DAYS, st.sampled_from(["{d:02}/{m:02}/{y}", "{d}-{m}-{y}", "{m}/{d}/{y}"]))
def test_the_true_date_is_among_the_readings(day: dt.date, form: str) -> None:
    """However a date of numbers was meant, it is one of its readings, and there are two at most."""
    readings = date_readings(form.format(d=day.day, m=day.month, y=day.year))
    assert day.isoformat() in readings
    assert len(readings) == (1 if day.day > 12 or day.day == day.month else 2)


@given(st.text() | st.from_regex(r"[0-9 ./:T-]{4,24}", fullmatch=True))
def test_any_text_gives_iso_dates_or_nothing(text: str) -> None:
    """No text raises, and every reading has the stored form; so has every date in a text."""
    for value in (*date_readings(text), *(mention.value for mention in find_dates(text))):
        assert re.fullmatch(ISO_DATE, value)


def test_dates_in_a_text_have_their_places() -> None:
    """Dates of one reading are found with their spans; ranges, codes and ambiguous ones are not."""
    text = (
        "Code v17-05-24x. Updated: 2024-05-17T10:00:00Z. First sold: May 5, 2021, in blue. "
        "Sold in two shops: 12.04.2023. Years: 2019-2024. Ambiguous: 03/04/2024."
    )
    found = find_dates(text)
    assert [(mention.value, text[mention.begin : mention.end]) for mention in found] == [
        ("2024-05-17", "2024-05-17T10:00:00Z"),
        ("2021-05-05", "May 5, 2021"),
        ("2023-04-12", "12.04.2023"),
    ]


@given(
    ISO_DATES.map(in_words) | ISO_DATES,
    ISO_DATES.map(in_words) | ISO_DATES,
    st.sampled_from([" ", ""]),
    st.sampled_from(
        [*"-‐‒–—―−~/&,;+|", "--", "...", "…", "to", "or", "bis", "oder", "et", "until about the"]
    ),
    st.sampled_from([" ", ""]),
)
def test_a_text_of_two_dates_states_none(
    one: str, other: str, before: str, between: str, after: str
) -> None:
    """Two dates that only a mark or a few words part are a range or a choice, never one date."""
    assert find_dates(f"{one}{before}{between}{after}{other}") == []


@given(ISO_DATES, ISO_DATES)
def test_dates_of_two_fields_are_both_found(one: str, other: str) -> None:
    """A label between two dates makes them two facts."""
    found = find_dates(f"Published: {one}. Updated: {other}.")
    assert [mention.value for mention in found] == [one, other]


@given(ISO_DATES, ISO_DATES)
def test_dates_are_compatible_where_they_overlap(one: str, other: str) -> None:
    """Two dates may be the same exactly when there is a day that both of them hold."""
    exact = min(len(one), len(other))
    assert are_compatible(one, other) == (one[:exact] == other[:exact])
    assert are_compatible(one, other) == are_compatible(other, one)
    assert are_compatible(one, one[:4])
