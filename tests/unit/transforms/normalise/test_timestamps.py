"""Event times: one instant, however the source writes it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.normalise.timestamps import UnclearMomentError, parse_event_ts

NOON = 1769860800_000000  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    "cell",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31 12:00:00",
        " 2026-01-31T13:00+01:00 ",
        "20260131T120000Z",
        1769860800,
        1769860800.0,
        "1769860800",
        Decimal(1769860800),
        1769860800_000,
        1769860800_000_000,
        1769860800_000_000_000,
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 12),
        datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
        pd.Timestamp("2026-01-31T12:00:00Z"),
    ],
)
def test_one_instant_in_all_its_forms(cell: Any) -> None:
    """ISO 8601, epochs by their size, and Parquet's datetimes agree; no zone means UTC."""
    assert parse_event_ts(cell) == NOON


def test_dates_are_their_midnight() -> None:
    """A day counts from its first instant in UTC, also when JSON writes it as a number."""
    midnight = NOON - 12 * 3600 * 1_000_000
    assert {
        parse_event_ts(cell) for cell in (date(2026, 1, 31), "2026-01-31", "20260131", 20260131)
    } == {midnight}


def test_fractions_are_kept_to_the_microsecond() -> None:
    """Fractions of a second survive exactly, before 1970 too."""
    assert parse_event_ts("1769860800.25") == NOON + 250_000
    assert parse_event_ts("2026-01-31T12:00:00.000001Z") == NOON + 1
    assert parse_event_ts(-1000000000.5) == -1000000000_500000


@pytest.mark.parametrize(
    "cell",
    ["yesterday", "", "31.01", 7, 2026, True, None, [], {}, "2026-13-01", 1e300, pd.NaT],
)
def test_what_is_no_time_is_none(cell: Any) -> None:
    """Less than a day, small numbers and other things are refused and not guessed."""
    assert parse_event_ts(cell) is None


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))
def test_iso_round_trip(moment: datetime) -> None:
    """Every instant written as ISO 8601 is read back to the microsecond."""
    micros = parse_event_ts(moment.isoformat())
    assert micros is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == moment


def test_days_as_people_write_them() -> None:
    """A day with a time is read, a day that may be two is reported with both, and the order decides."""
    assert parse_event_ts("15.01.2026 08:30") == parse_event_ts("2026-01-15T08:30:00Z")
    with pytest.raises(UnclearMomentError, match="2026-04-03 or 2026-03-04"):
        parse_event_ts("03/04/2026")
    assert parse_event_ts("03/04/2026", order="month-first") == parse_event_ts("2026-03-04")


def test_formats_of_the_template() -> None:
    """With a format nothing else is read, except the times that Parquet has as such."""
    assert parse_event_ts("46037", ["excel"]) == parse_event_ts("2026-01-15")
    assert parse_event_ts(46037, ["excel"]) == parse_event_ts("2026-01-15")
    assert parse_event_ts("2026-01-15", ["excel"]) is None
    assert parse_event_ts(datetime(2026, 1, 15), ["excel"]) == parse_event_ts("2026-01-15")


@pytest.mark.parametrize("cell", ["20240517103000", 20240517103000, "202405171030"])
def test_times_without_marks(cell: Any) -> None:
    """A time in digits alone is one of the calendar, and no number of milliseconds."""
    assert parse_event_ts(cell) == parse_event_ts("2024-05-17T10:30:00Z")


@pytest.mark.parametrize("cell", ["99999999999999", 9_999_999_999, "17/05/2567", "20249917103000"])
def test_times_far_off_are_none(cell: Any) -> None:
    """A record that changed in centuries to come would hide all others with its id."""
    assert parse_event_ts(cell) is None


@given(st.datetimes(datetime(1973, 4, 1), datetime(2199, 1, 1)), st.sampled_from([1, 1000]))
def test_epochs_come_back(moment: datetime, per_second: int) -> None:
    """Seconds and milliseconds since 1970 are the time that they count."""
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    assert parse_event_ts(seconds * per_second) == seconds * 1_000_000
