"""Moments as people and programs write them, and dates in the formats that a template names.

Nothing is guessed: of two orders of day and month the column or the template decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from schemas.sections.dates import (
    DAY_FIRST,
    EPOCH_MS,
    EPOCH_S,
    EXCEL,
    ISO,
    MONTH_FIRST,
    strptime_of,
)
from transforms.extraction.dates.written import (
    FIRST_YEAR,
    LAST_YEAR,
    DateOrder,
    date_readings,
    english_months,
    months_by_name,
)

MIXED: Literal["mixed"] = "mixed"
# Years of two digits up to this one are of this century, as for Python.
_LAST_OF_THIS_CENTURY = 68

# A whole date whose year comes last, with or without a time behind it.
_ORDERED = re.compile(r"(\d{1,2})([-/.])\s?(\d{1,2})\2\s?\d{4}(?:[T ,].*)?")
# Beyond so many are no months.
_MONTHS = 12


def column_order(cells: Iterable[str]) -> DateOrder | None:
    """Return the order of day and month that the dates of a column tell; `mixed` where both are
    used; None where none tells.

    >>> column_order(["03/04/2025", "31/12/2025"]), column_order(["12/31/2025"])
    ('day-first', 'month-first')
    >>> column_order(["03/04/2025"]), column_order(["31/12/2025", "12/31/2025"])
    (None, 'mixed')
    """
    orders: set[DateOrder] = set()
    for cell in cells:
        found = _ORDERED.fullmatch(cell.strip())
        if found and int(found[1]) > _MONTHS >= int(found[3]):
            orders.add(DAY_FIRST)
        elif found and int(found[3]) > _MONTHS >= int(found[1]):
            orders.add(MONTH_FIRST)
    return MIXED if len(orders) > 1 else next(iter(orders), None)


# "Thu, 15 Jan 2026" of mails and feeds.
_WEEKDAY = re.compile(r"[^\W\d_]{2,10}\.?,\s*(?=\d)")
_CLOCK = re.compile(
    r"(?P<date>.*?\d)\s*[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)"
    r"(?::(?P<second>[0-5]\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?\s?(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
)
_HALF_DAY = 12


def moment_readings(text: str, order: DateOrder | None = None) -> tuple[datetime, ...]:
    """Return the moments that a whole text may mean: as `date_readings`, of whole days, with the
    time that stands behind the date; without a zone in UTC.

    >>> [str(each) for each in moment_readings("15.01.2026 08:30")]
    ['2026-01-15 08:30:00+00:00']
    >>> len(moment_readings("03/04/2026 8:30 pm")), moment_readings("May 2026")
    (2, ())
    """
    bare = _WEEKDAY.sub("", text.strip(), count=1)
    clock = _CLOCK.fullmatch(bare)
    days = date_readings(clock["date"] if clock else bare, order)
    moments = []
    for day in days:
        if len(day) == len("YYYY-MM-DD"):
            moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
            timed = _at(moment, clock) if clock else moment
            moments += [timed] if timed is not None else []
    return tuple(moments)


def date_of_moment(text: str) -> str:
    """Return what stands before the time of a text with a date and a time; empty without one.

    >>> date_of_moment("Thu, 15 Jan 2026 08:30:00 +0100"), date_of_moment("2026")
    ('15 Jan 2026', '')
    """
    clock = _CLOCK.fullmatch(_WEEKDAY.sub("", text.strip(), count=1))
    return clock["date"] if clock else ""


def _at(day: datetime, clock: re.Match[str]) -> datetime | None:
    hour = int(clock["hour"])
    if clock["half"]:
        if not 1 <= hour <= _HALF_DAY:
            return None
        hour = hour % _HALF_DAY + (_HALF_DAY if clock["half"] in "Pp" else 0)
    if hour > 23:
        return None
    micros = int(((clock["fraction"] or "") + "000000")[:6])
    moment = day.replace(hour=hour, minute=int(clock["minute"]), microsecond=micros)
    moment = moment.replace(second=int(clock["second"] or 0))
    zone = clock["zone"] or ""
    if zone[:1] not in ("+", "-"):
        return moment
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return moment - offset if zone[0] == "+" else moment + offset


_EXCEL_BEGIN = datetime(1899, 12, 30, tzinfo=UTC)
# 1920 to 2119: other numbers are no days of a catalog.
_EXCEL_DAYS = (7_306, 80_353)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Formatted:
    """A moment that a format of the template reads, in UTC.

    value: in ISO 8601, as exactly as the format tells the date; as it stands there, whatever the
    zone.
    """

    moment: datetime
    value: str


def read_formatted(text: str, formats: Iterable[str]) -> Formatted | None:
    """Return what the first format that fits makes of a text; None if none does.

    >>> read_formatted("17.05.24", ["DD.MM.YY"]).value, read_formatted("46037", ["excel"]).value
    ('2024-05-17', '2026-01-15')
    """
    for each in formats:
        found = _by_format(text.strip(), each)
        if found is not None:
            return found
    return None


def _by_format(text: str, name: str) -> Formatted | None:
    if name in (EXCEL, EPOCH_S, EPOCH_MS):
        return _by_number(text, name)
    if name == ISO:
        with suppress(ValueError):
            return _formatted(datetime.fromisoformat(text), text[:10])
        return None
    if name in (DAY_FIRST, MONTH_FIRST):
        order: DateOrder = DAY_FIRST if name == DAY_FIRST else MONTH_FIRST
        moments = moment_readings(_with_century(text), order)
        return Formatted(moments[0], moments[0].date().isoformat()) if len(moments) == 1 else None
    directives = strptime_of(name)
    for written in (text, _in_english(text, str), _in_english(text, lambda name: name[:3])):
        with suppress(ValueError):
            moment = datetime.strptime(written, directives)
            return _formatted(moment, moment.date().isoformat()[: _exactness(directives)])
    return None


def _formatted(moment: datetime, value: str) -> Formatted:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return Formatted(aware.astimezone(UTC), value)


def _by_number(text: str, name: str) -> Formatted | None:
    if not re.fullmatch(r"-?\d{1,18}(?:\.\d+)?", text):
        return None
    number = float(text)
    if name == EXCEL:
        if not _EXCEL_DAYS[0] <= number <= _EXCEL_DAYS[1]:
            return None
        # A spreadsheet's fraction of a day is exact to less than a second.
        moment = _EXCEL_BEGIN + timedelta(seconds=round(number * 86_400))
    else:
        try:
            moment = _EPOCH + timedelta(milliseconds=number * (1 if name == EPOCH_MS else 1_000))
        except OverflowError:
            return None
    is_of_time = FIRST_YEAR <= moment.year <= LAST_YEAR
    return Formatted(moment, moment.date().isoformat()) if is_of_time else None


def _with_century(text: str) -> str:
    """Return a date whose year has two digits with four: up to 68 they are of this century."""
    found = re.fullmatch(r"(\d{1,2}([-/.])\d{1,2}\2)(\d{2})(?!\d)(.*)", text)
    if found is None:
        return text
    century = "20" if int(found[3]) <= _LAST_OF_THIS_CENTURY else "19"
    return f"{found[1]}{century}{found[3]}{found[4]}"


def _exactness(directives: str) -> int:
    has_month = any(part in directives for part in ("%m", "%b", "%B", "%j", "%x", "%c", "%D", "%F"))
    has_day = any(part in directives for part in ("%d", "%j", "%x", "%c", "%D", "%F", "%e"))
    return len("YYYY") + (len("-MM") + len("-DD") * has_day) * has_month


def _in_english(text: str, name_of: Callable[[str], str]) -> str:
    """Return a text with the months of other languages as strptime knows them."""

    def english(word: re.Match[str]) -> str:
        month = months_by_name().get(word[0].casefold().rstrip("."))
        return word[0] if month is None else name_of(english_months()[month.number])

    return re.sub(r"[^\W\d_]+\.?", english, text)
