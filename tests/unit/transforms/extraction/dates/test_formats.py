"""transforms.extraction.dates.formats: moments, orders of day and month, and formats by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from babel.dates import format_date
from hypothesis import given
from hypothesis import strategies as st

from schemas.loading import TemplateRefusedError, parse_template
from transforms.extraction.dates.formats import column_order, moment_readings, read_formatted

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku%s}
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
  - {name: since, type: %s, from: since, description: When.}
"""


def moments(text: str, order: Any = None) -> list[str]:
    return [f"{each:%Y-%m-%d %H:%M:%S}" for each in moment_readings(text, order)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("31.12.2025", "2025-12-31 00:00:00"),
        ("15.01.2026 08:30", "2026-01-15 08:30:00"),
        ("15.1.2026, 8:30:15", "2026-01-15 08:30:15"),
        ("31/12/2025 23:59", "2025-12-31 23:59:00"),
        ("12/31/2025 11:59 PM", "2025-12-31 23:59:00"),
        ("12/31/2025 12:05 a.m.", "2025-12-31 00:05:00"),
        ("Thu, 15 Jan 2026 08:30:00 +0100", "2026-01-15 07:30:00"),
        ("Thu, 15 Jan 2026 08:30:00 GMT", "2026-01-15 08:30:00"),
        ("17. Mai 2024 10:00", "2024-05-17 10:00:00"),
        ("17 mai 2024", "2024-05-17 00:00:00"),
        ("May 17, 2024 10:00:00-05:30", "2024-05-17 15:30:00"),
        ("2024/05/17 10:00", "2024-05-17 10:00:00"),
    ],
)
def test_moments_as_people_write_them(text: str, moment: str) -> None:
    """A day with a time and a zone is one moment, in UTC."""
    assert moments(text) == [moment]


def test_the_order_decides() -> None:
    """Of two days the column or the template decides, also against dots, and nothing else does."""
    assert moments("03/04/2025") == ["2025-04-03 00:00:00", "2025-03-04 00:00:00"]
    assert moments("03/04/2025", "day-first") == ["2025-04-03 00:00:00"]
    assert moments("03/04/2025", "month-first") == ["2025-03-04 00:00:00"]
    assert moments("03.04.2025", "month-first") == ["2025-03-04 00:00:00"]
    assert len(moments("03.04.2025", "mixed")) == 2
    assert moments("31/12/2025", "month-first") == []


@pytest.mark.parametrize(
    "text",
    [
        "May 2024",
        "2024",
        "soon",
        "31.02.2025",
        "15.01.2026 25:00",
        "12/31/2025 13:00 PM",
        "8:30",
        "",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """Less than a day, or what the calendar and the clock do not have, is no moment."""
    assert moments(text) == []


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["03/04/2025", "31/12/2025 08:30"], "day-first"),
        (["03-04-2025", "12-31-2025"], "month-first"),
        (["31.12.2025", "01.02.2026"], "day-first"),
        (["31/12/2025", "12/31/2025"], "mixed"),
        (["03/04/2025", "05/05/2025"], None),
        (["2025-12-31", "13.5", "99/99/2025", "model 31/12/2025 x"], None),
        ([], None),
    ],
)
def test_a_column_tells_its_order(cells: list[str], order: str | None) -> None:
    """One date that reads in one way only decides for all of its column; two that differ for none."""
    assert column_order(cells) == order


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("17.05.24", "DD.MM.YY", "2024-05-17"),
        ("17.05.2024 10:30", "DD.MM.YYYY HH:mm", "2024-05-17"),
        ("05-17-2024", "MM-DD-YYYY", "2024-05-17"),
        ("20240517", "YYYYMMDD", "2024-05-17"),
        ("17/05/99", "%d/%m/%y", "1999-05-17"),
        ("17 Mai 2024", "%d %B %Y", "2024-05-17"),
        ("17 mars 2024", "DD MMMM YYYY", "2024-03-17"),
        ("17-Dez-2024", "DD-MMM-YYYY", "2024-12-17"),
        ("05/2024", "MM/YYYY", "2024-05"),
        ("2024", "YYYY", "2024"),
        ("03/04/25", "day-first", "2025-04-03"),
        ("03/04/2025", "month-first", "2025-03-04"),
        ("46037", "excel", "2026-01-15"),
        ("46037.5", "excel", "2026-01-15"),
        ("1700000000", "epoch-s", "2023-11-14"),
        ("1700000000000", "epoch-ms", "2023-11-14"),
        ("86400", "epoch-s", "1970-01-02"),
        ("2024-05-17T23:30:00-05:00", "iso", "2024-05-17"),
    ],
)
def test_formats_of_a_template(text: str, name: str, value: str) -> None:
    """A format reads what it names, as exactly as it tells the date."""
    found = read_formatted(text, [name])
    assert found is not None
    assert found.value == value


def test_times_of_formats() -> None:
    """The moment of a format is in UTC, with the time that it tells."""
    found = read_formatted("46037.5", ["excel"])
    assert found is not None
    assert found.moment == datetime(2026, 1, 15, 12, tzinfo=UTC)
    zoned = read_formatted("17.05.2024 10:30 +0200", ["%d.%m.%Y %H:%M %z"])
    assert zoned is not None
    assert zoned.moment == datetime(2024, 5, 17, 8, 30, tzinfo=UTC)


def test_the_first_format_that_fits() -> None:
    """Of several formats the first that fits counts; a text that none fits has no date."""
    both = ["DD.MM.YYYY", "excel"]
    assert [
        found and found.value
        for found in (
            read_formatted(text, both) for text in ("17.05.2024", "46037", "5/17/2024", "7")
        )
    ] == ["2024-05-17", "2026-01-15", None, None]


@pytest.mark.parametrize("name", ["parsnip", "%d.%m", "DD.MM", "%Q", "HH:mm", ""])
def test_formats_that_there_are_not(name: str) -> None:
    """A format that tells no year is refused in the template, with what to write."""
    with pytest.raises(TemplateRefusedError, match="is no format of dates; write one of iso"):
        parse_template(TEMPLATE % ("", f'date, format: "{name}"'), "test")
    with pytest.raises(TemplateRefusedError, match="is no format of dates"):
        parse_template(TEMPLATE % (f', event_ts: t, event_ts_format: "{name}"', "date"), "test")


def test_a_format_is_of_dates() -> None:
    """Only a date has a format, and a template without one keeps its hash."""
    with pytest.raises(TemplateRefusedError, match="format belongs to type date, not string"):
        parse_template(TEMPLATE % ("", "string, format: iso"), "test")
    plain = parse_template(TEMPLATE % ("", "date"), "test")
    said = parse_template(TEMPLATE % ("", "date, format: iso"), "test")
    assert plain.hash != said.hash
    assert "format" not in plain.attributes[1].model_dump(mode="json")


@given(
    st.dates(datetime(1970, 1, 1).date(), datetime(2068, 12, 31).date()),
    st.sampled_from(["de", "en_GB", "fr", "es", "sv", "it", "nl", "en_US"]),
    st.sampled_from(["short", "medium", "long"]),
)
def test_dates_of_locales_come_back(day: Any, locale: str, width: Any) -> None:
    """A date in the usual writing of a country is that day, given the order, or none; never another
    day.
    """
    text = format_date(day, width, locale=locale)
    order = "month-first" if locale == "en_US" else "day-first"
    found = read_formatted(text, ["iso", order])
    assert found is None or found.value == day.isoformat()
