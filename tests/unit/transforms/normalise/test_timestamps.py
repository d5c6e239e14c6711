"""Event times: one instant, however the source writes it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.normalise.timestamps import parse_event_ts

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
    ["yesterday", "", "31.01.2026", 7, 2026, True, None, [], {}, "2026-13-01", 1e300, pd.NaT],
)
def test_what_is_no_time_is_none(cell: Any) -> None:
    """Local date styles, small numbers and other things are refused and not guessed."""
    assert parse_event_ts(cell) is None


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))
def test_iso_round_trip(moment: datetime) -> None:
    """Every instant written as ISO 8601 is read back to the microsecond."""
    micros = parse_event_ts(moment.isoformat())
    assert micros is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros) == moment
