"""The time at which a source record changed: cell → microseconds since the epoch in UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from transforms.extraction.cells import as_text
from transforms.extraction.dates.formats import moment_readings, read_formatted
from transforms.extraction.dates.written import DateOrder

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A record that changed later than this would hide all others.
_LATEST_MICROS = int((datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND)
_EPOCH_NUMBER = re.compile(r"(-?\d{9,19})(?:\.(\d+))?")
# An epoch's digits tell its unit: ten are seconds (1973 to 2286), then milli-, micro- and
# nanoseconds.
# 20240517103000: as milliseconds it would be in the year 2611, without its seconds in 1976.
_COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?")
_MICROS_PER_UNIT = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))


class UnclearMomentError(ValueError):
    """A time of two days, because nobody says whether day or month comes first."""


def parse_event_ts(
    cell: Any, formats: Sequence[str] = (), order: DateOrder | None = None
) -> int | None:
    """Return microseconds since the epoch in UTC, or None for anything else.

    ISO 8601 (without a zone: UTC), a date (its midnight), the datetimes of Parquet, an epoch of
    at least nine digits in seconds, milli-, micro- or nanoseconds, or a day as people write it,
    with or without a time. Raises UnclearMomentError, with both readings.

    formats: of the template; nothing else is read then. order: of day and month in its column.

    >>> parse_event_ts("1970-01-02"), parse_event_ts(1700000000), parse_event_ts("yesterday")
    (86400000000, 1700000000000000, None)
    >>> parse_event_ts("20231114221320"), parse_event_ts("99990000000000")
    (1700000000000000, None)
    """
    try:
        if isinstance(cell, datetime):
            return _micros(cell)
        if isinstance(cell, date):
            return _micros(datetime(cell.year, cell.month, cell.day, tzinfo=UTC))
        text = as_text(cell)
        if text is None:
            return None
        if formats:
            found = read_formatted(text, formats)
            return None if found is None else _micros(found.moment)
        return _of_text(text.strip(), order)
    except UnclearMomentError:
        raise
    except (ValueError, OverflowError, TypeError):  # what the calendar does not hold
        return None


def is_moment(cell: Any) -> bool:
    """Return whether a cell holds a time, also one of two days as nobody says what comes first.

    >>> is_moment("03/04/2024"), is_moment("2024-05-17"), is_moment("soon")
    (True, True, False)
    """
    try:
        return parse_event_ts(cell) is not None
    except UnclearMomentError:
        return True


def _of_text(text: str, order: DateOrder | None) -> int | None:
    if text[4:5] != "-":  # else it is an ISO date, as nearly all are
        if compact := _COMPACT.fullmatch(text):
            with suppress(ValueError):
                parts = [int(part) for part in compact.groups() if part is not None]
                return _micros(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]
        if epoch := _EPOCH_NUMBER.fullmatch(text):
            return _micros_of_epoch(int(epoch[1]), epoch[2] or "")
    with suppress(ValueError):
        return _micros(datetime.fromisoformat(text))
    moments = moment_readings(text, order)
    if len(moments) > 1:
        raise UnclearMomentError(" or ".join(each.date().isoformat() for each in moments))
    return _micros(moments[0]) if moments else None


def _micros(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int((aware - _EPOCH) // _MICROSECOND)


def _micros_of_epoch(number: int, fraction: str) -> int | None:
    found = number // 1_000
    for limit, micros in _MICROS_PER_UNIT:
        if abs(number) < limit:
            part = int((fraction + "0" * 6)[:6]) * micros // 1_000_000
            found = number * micros + (part if number >= 0 else -part)
            break
    return found if found < _LATEST_MICROS else None
