"""The time at which a source record changed: cell → microseconds since the epoch in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from transforms.extraction.cells import as_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_NUMBER = re.compile(r"(-?\d{9,19})(?:\.(\d+))?")
# An epoch's digits tell its unit: ten are seconds (1973 to 2286), then milli-, micro- and
# nanoseconds.
_MICROS_PER_UNIT = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))


def parse_event_ts(cell: Any) -> int | None:
    """Return microseconds since the epoch in UTC, or None for anything else.

    ISO 8601 (without a zone: UTC), a date (its midnight), the datetimes of Parquet, or an epoch of
    at least nine digits in seconds, milli-, micro- or nanoseconds.

    >>> parse_event_ts("1970-01-02"), parse_event_ts(1700000000), parse_event_ts("yesterday")
    (86400000000, 1700000000000000, None)
    """
    try:
        if isinstance(cell, datetime):
            return _micros(cell)
        if isinstance(cell, date):
            return _micros(datetime(cell.year, cell.month, cell.day, tzinfo=UTC))
        text = as_text(cell)
        if text is None:
            return None
        epoch = _EPOCH_NUMBER.fullmatch(text.strip())
        return (
            _micros_of_epoch(int(epoch[1]), epoch[2] or "")
            if epoch
            else _micros(datetime.fromisoformat(text.strip()))
        )
    except (ValueError, OverflowError, TypeError):  # what the calendar does not hold
        return None


def _micros(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int((aware - _EPOCH) // _MICROSECOND)


def _micros_of_epoch(number: int, fraction: str) -> int:
    for limit, micros in _MICROS_PER_UNIT:
        if abs(number) < limit:
            part = int((fraction + "0" * 6)[:6]) * micros // 1_000_000
            return number * micros + (part if number >= 0 else -part)
    return number // 1_000
