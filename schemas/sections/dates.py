"""How dates and times of a catalog are written: the formats that a template may name."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

DAY_FIRST: Literal["day-first"] = "day-first"
MONTH_FIRST: Literal["month-first"] = "month-first"
# Days since 1899-12-30, as spreadsheets count; seconds and milliseconds since 1970 in UTC.
EXCEL, EPOCH_S, EPOCH_MS, ISO = "excel", "epoch-s", "epoch-ms", "iso"
NAMES = (ISO, DAY_FIRST, MONTH_FIRST, EXCEL, EPOCH_S, EPOCH_MS)
# Letters as calendars write them; `MM` behind hours or before seconds is written `mm`.
_LETTERS = {
    "YYYY": "%Y",
    "yyyy": "%Y",
    "YY": "%y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "DD": "%d",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "SS": "%S",
    "ss": "%S",
    "AM": "%p",
}
_LETTER = re.compile("|".join(sorted(_LETTERS, key=len, reverse=True)))
_SAMPLE = datetime(2001, 2, 3, 16, 5, 6, tzinfo=UTC)


@lru_cache(maxsize=256)
def strptime_of(name: str) -> str:
    """Return a format in the directives of Python's strptime.

    Raises ValueError that says what is allowed.

    >>> strptime_of("DD.MM.YYYY HH:mm"), strptime_of("%d/%m/%y")
    ('%d.%m.%Y %H:%M', '%d/%m/%y')
    """
    directives = name if "%" in name else _LETTER.sub(lambda found: _LETTERS[found[0]], name)
    try:
        back = datetime.strptime(_SAMPLE.strftime(directives), directives)
    except (ValueError, re.error) as error:
        raise ValueError(_problem(name)) from error
    has_year = "%" in directives and back.year == _SAMPLE.year
    if not has_year:
        raise ValueError(_problem(name))
    return directives


def check_format(name: str) -> None:
    """Raise ValueError unless a format is one of NAMES or tells at least the year."""
    if name not in NAMES:
        strptime_of(name)


def _problem(name: str) -> str:
    return (
        f"{name!r} is no format of dates; write one of {', '.join(NAMES)}, letters such as "
        "DD.MM.YYYY HH:mm, or directives of strptime such as %d/%m/%Y"
    )
