"""Dates in the precision in which they are written: text → ISO 8601, `2024-05-17`, `2024-05` or
`2024`. Pure.

Nothing is guessed: where the order of day and month decides, both readings are given. Names of
months are those of CLDR, in the languages of LOCALES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache

# Austria's January has a name of its own.
LOCALES = ("en", "da", "de", "de_AT", "es", "fr", "it", "nb", "nl", "pt", "sv")
_FIRST_YEAR, _LAST_YEAR = 1000, 2999
_MIN_ABBREVIATION_CHARS = 3

_TIME = r"(?:[T ]\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?\s?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})(?:(?P<mark>[-/.])(?P<month>\d{{1,2}})"
    rf"(?:(?P=mark)(?P<day>\d{{1,2}}){_TIME})?)?"
)
_COMPACT = re.compile(rf"(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}}){_TIME}")
_YEAR_LAST = re.compile(
    r"(?P<one>\d{1,2})(?P<mark>[-/.])\s?(?:(?P<other>\d{1,2})(?P=mark)\s?)?(?P<year>\d{4})"
)
# Text may hold a date only where no longer number or word goes on, and no range: "2019-2024".
_BEFORE = r"(?<![\w])(?<![\w][-/.,:+])(?<!\d\s[-–—])(?<!\d\s[-–—]\s)"
_AFTER = r"(?![\w]|[-/.,:]\w|\s?[-–—]\s?\d)"


@dataclass(frozen=True, slots=True)
class DateMention:
    """A date in a text.

    value: ISO 8601; begin, end: code point offsets, end exclusive.
    """

    value: str
    begin: int
    end: int


def date_readings(text: str) -> tuple[str, ...]:
    """Return the dates that a whole text may mean: none, one, or two where the order decides.

    Of a time only the date is kept, as it stands there: no time zone moves it to another day.
    With dots the day comes first, as everywhere where dates are written so.

    >>> [date_readings(text) for text in ("17 May 2024", "Mai 2024", "17.05.2024", "31 June 2024")]
    [('2024-05-17',), ('2024-05',), ('2024-05-17',), ()]
    >>> date_readings("03/04/2024")
    ('2024-04-03', '2024-03-04')
    """
    text = text.strip()
    found = _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text)
    if found is not None:
        return _iso(found["year"], found["month"], found["day"])
    found = _YEAR_LAST.fullmatch(text)
    if found is not None:
        return _year_last(found)
    found = _written().fullmatch(text)
    if found is None:
        return ()
    name = found["month"] or found["month_first"] or found["month_only"]
    day = found["day"] or found["day_second"]
    # Ignoring case, Python takes "ı" for an "i"; folded it is still another letter.
    month = _months().get(name.casefold().rstrip("."))
    return () if month is None else _iso(found["year"], str(month), day)


def find_dates(text: str) -> list[DateMention]:
    """Return the dates in a text that can be read in one way only, in order of place."""
    mentions = []
    for found in _any_date().finditer(text):
        readings = date_readings(found[0])
        if len(readings) == 1:
            mentions.append(DateMention(readings[0], *found.span()))
    return mentions


def are_compatible(one: str, other: str) -> bool:
    """Return whether two ISO dates may be the same, one of them less exactly.

    >>> are_compatible("2024-05", "2024-05-17"), are_compatible("2024-05", "2024-06-17")
    (True, False)
    """
    return one.startswith(other) or other.startswith(one)


def in_words(value: str) -> str:
    """Return an ISO date as an English reader would say it.

    >>> in_words("2024-05-17"), in_words("2024-05"), in_words("2024")
    ('17 May 2024', 'May 2024', '2024')
    """
    year, *rest = value.split("-")
    words = [str(int(rest[1]))] if len(rest) == 2 else []
    words += [_english_months()[int(rest[0])]] if rest else []
    return " ".join([*words, year])


def _year_last(found: re.Match[str]) -> tuple[str, ...]:
    one, other, year = found["one"], found["other"], found["year"]
    if other is None:
        return _iso(year, one, None)
    day_first = _iso(year, other, one)
    if found["mark"] == ".":
        return day_first
    return tuple(dict.fromkeys([*day_first, *_iso(year, one, other)]))


def _iso(year: str, month: str | None, day: str | None) -> tuple[str, ...]:
    """Return the date in ISO form, or nothing if there is no such day."""
    if not _FIRST_YEAR <= int(year) <= _LAST_YEAR:
        return ()
    try:
        moment = date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return ()
    # As exact as what was given: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    length = len("YYYY") + len("-MM") * (month is not None) + len("-DD") * (day is not None)
    return (moment.isoformat()[:length],)


@cache
def _english_months() -> dict[int, str]:
    from babel import Locale

    return dict(Locale.parse("en").months["format"]["wide"])


@cache
def _months() -> dict[str, int]:
    """Return the number of each month's names, case-folded and without the dot of an abbreviation.

    A name that means different months in two languages is left out.
    """
    numbers: dict[str, set[int]] = {}
    for name, number in _names_of_months():
        numbers.setdefault(name.casefold().rstrip("."), set()).add(number)
    return {
        name: min(meant)
        for name, meant in numbers.items()
        if len(meant) == 1 and len(name) >= _MIN_ABBREVIATION_CHARS
    }


def _names_of_months() -> Iterator[tuple[str, int]]:
    from babel import Locale

    for locale in LOCALES:
        months = Locale.parse(locale).months
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for number, name in months[context][width].items():
                    yield name, number


@cache
def _written_pattern() -> tuple[str, str]:
    """Return what a written date looks like, once with names of its groups and once without."""
    names = "|".join(sorted(map(re.escape, _months()), key=lambda name: (-len(name), name)))
    month = rf"(?:{names})\b\.?"
    day = r"\d{1,2}"
    nth, of, gap = r"(?:\.|st|nd|rd|th|er|º|°)?", r"(?:(?:of|de|di|do)\s)?", r"[\s,/-]{1,2}"
    named = (
        rf"(?:(?P<day>{day}){nth}[\s-]?{of}(?P<month>{month})"
        rf"|(?P<month_first>{month})\s(?P<day_second>{day}){nth}(?=[\s,])"
        rf"|(?P<month_only>{month})){gap}(?:(?:of|de|di|do)\s)?(?P<year>\d{{4}})"
    )
    return named, re.sub(r"\?P<\w+>", "?:", named)


@cache
def _written() -> re.Pattern[str]:
    return re.compile(_written_pattern()[0], re.IGNORECASE)


@cache
def _any_date() -> re.Pattern[str]:
    numeric = (
        r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?"
        r"|\d{4}(?:[-/.]\d{1,2}){1,2}"
        r"|\d{1,2}([-/.])\s?\d{1,2}\1\s?\d{4}"
        r"|\d{1,2}[-/.]\d{4}|\d{4}"
    )
    return re.compile(rf"{_BEFORE}(?:{_written_pattern()[1]}|{numeric}){_AFTER}", re.IGNORECASE)
