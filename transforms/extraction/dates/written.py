"""Dates in the precision in which they are written: text → ISO 8601, `2024-05-17`, `2024-05` or
`2024`. Pure.

Nothing is guessed: where the order of day and month decides, both readings are given. Names of
months are those of the Unicode CLDR in the languages that have a lexicon (schemas/lexicons).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal, NamedTuple

from schemas.lexicons import INTERNATIONAL, every, lexicons, one_of
from schemas.sections.dates import DAY_FIRST, MONTH_FIRST
from transforms.extraction.small_words import AND, OR, TO

DateOrder = Literal["day-first", "month-first", "mixed"]
# A later year is one of another calendar (2567 is 2024 in Thailand), or stands for "never".
FIRST_YEAR, LAST_YEAR = 1000, 2299
_MIN_ABBREVIATION_CHARS = 3

# Not 24:00, which is the next day.
_HOUR, _SIXTY = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_TIME = (
    rf"(?:[T ]{_HOUR}:?{_SIXTY}(?::?(?:{_SIXTY}|60)(?:[.,]\d+)?)?"
    rf"\s?(?:Z|UTC|GMT|[+-]{_HOUR}(?::?{_SIXTY})?)?)?"
)
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

# What may lie between the two ends of a range, or between alternatives.
_MAX_WORDS_BETWEEN = 5
_WORD = re.compile(r"\w+")
# A new field parts two dates: "Release date: 2019. Updated: 2021".
_NEW_FIELD = re.compile(r"[.,;|)\n]\s{0,3}[^\W\d][^.,;|\n:=]*[:=]")
_YEAR = re.compile(r"(?<!\d)[12]\d{3}(?!\d)")
_OPEN_END = one_of(every(lambda words: words.dates.open_ends))
_CONNECTOR = f"{AND}|{OR}|{TO}|{one_of(every(lambda words: words.dates.connectors))}"
_BEFORE_ERA = one_of(every(lambda words: words.dates.before_era), space=r"\s?")
# What makes a date in front of it a decade, a date before our era, or one end of something.
_NOT_ONE_DATE_AFTER = re.compile(
    r"\s?['’`´]\s?s\b"
    rf"|\s?{_BEFORE_ERA}(?!\w)"
    rf"|\s*(?:[^\w\s,.;:|()]+|\.{{2,}}|…|\b(?:{_CONNECTOR})\b)\s*['’]?\d"
    rf"|(?:[^\w.;|\n]+\w+){{0,2}}[^\w.;|\n]+(?:{_OPEN_END})\b"
    r"|\s*(?:[-\u2010-\u2015\u2212~+/&]+|\.{2,}|…)\s*(?:[?,;)]|\.?(?:\s*$|\n))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DateMention:
    """A date in a text.

    value: ISO 8601; begin, end: code point offsets, end exclusive.
    """

    value: str
    begin: int
    end: int


def date_readings(text: str, order: DateOrder | None = None) -> tuple[str, ...]:
    """Return the dates that a whole text may mean: none, one, or two where the order decides.

    Of a time only the date is kept, as it stands there: no time zone moves it to another day.
    With dots the day comes first, as everywhere where dates are written so.

    order: of day and month, where the column or the template tells it.

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
        return _year_last(found, order)
    found = _written().fullmatch(text)
    if found is None:
        return ()
    name = found["month"] or found["month_first"] or found["month_only"]
    day = found["day"] or found["day_second"]
    # Ignoring case, Python takes "ı" for an "i"; folded it is still another letter.
    month = months_by_name().get(name.casefold().rstrip("."))
    if month is None:
        return ()
    # "of" belongs to a month of its own language: "17 de May" is neither Spanish nor English.
    links = {link.casefold() for link in (found["link"], found["year_link"]) if link}
    return _iso(found["year"], str(month.number), day) if links <= month.links else ()


def find_dates(text: str) -> list[DateMention]:
    """Return the dates in a text that can be read in one way only, in order of place.

    A date with another date, a year or a month near it, or with an open end ("to present"), may
    be one end of a range or one of several, and is left out. So are decades and years BC.

    >>> [mention.value for mention in find_dates("In 2019 to 2021. First printed: May 2018")]
    ['2018-05']
    """
    candidates = [
        (found, date_readings(found[0]))
        for found in _any_date().finditer(text)
        if _NOT_ONE_DATE_AFTER.match(text, found.end()) is None
    ]
    if not any(len(readings) == 1 for _, readings in candidates):
        return []
    traces = _traces(text)
    begins, ends = sorted(begin for begin, _ in traces), sorted(end for _, end in traces)
    return [
        DateMention(readings[0], *found.span())
        for found, readings in candidates
        if len(readings) == 1 and not _has_company(text, found.span(), begins, ends)
    ]


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
    words += [english_months()[int(rest[0])]] if rest else []
    return " ".join([*words, year])


def _traces(text: str) -> list[tuple[int, int]]:
    """Return the spans of all that may be a date or a part of one."""
    spans = [found.span() for pattern in (_YEAR, _any_date()) for found in pattern.finditer(text)]
    # The English verb is not the month: "colours may vary".
    spans += [found.span() for found in _month_name().finditer(text) if found[0] != "may"]
    return spans


def _has_company(
    text: str, span: tuple[int, int], begins: Sequence[int], ends: Sequence[int]
) -> bool:
    """Return whether the nearest trace on either side belongs to the same field.

    Only the nearest counts: what parts it from the date parts all that lie behind it.

    begins, ends: sorted offsets of the traces.
    """
    begin, end = span
    after, before = bisect_left(begins, end), bisect_right(ends, begin)
    gaps = [text[end : begins[after]]] if after < len(begins) else []
    gaps += [text[ends[before - 1] : begin]] if before else []
    return any(
        len(_WORD.findall(gap)) <= _MAX_WORDS_BETWEEN and _NEW_FIELD.search(gap) is None
        for gap in gaps
    )


def _year_last(found: re.Match[str], order: DateOrder | None) -> tuple[str, ...]:
    one, other, year = found["one"], found["other"], found["year"]
    if other is None:
        return _iso(year, one, None)
    day_first = _iso(year, other, one)
    month_first = _iso(year, one, other)
    if order == MONTH_FIRST:
        return month_first
    if order == DAY_FIRST or (found["mark"] == "." and order is None):
        return day_first
    return tuple(dict.fromkeys([*day_first, *month_first]))


def _iso(year: str, month: str | None, day: str | None) -> tuple[str, ...]:
    """Return the date in ISO form, or nothing if there is no such day."""
    if not FIRST_YEAR <= int(year) <= LAST_YEAR:
        return ()
    try:
        moment = date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return ()
    # As exact as what was given: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    length = len("YYYY") + len("-MM") * (month is not None) + len("-DD") * (day is not None)
    return (moment.isoformat()[:length],)


@cache
def english_months() -> dict[int, str]:
    """Return the names of months by number."""
    from babel import Locale

    return dict(Locale.parse("en").months["format"]["wide"])


@dataclass(frozen=True, slots=True)
class _Month:
    """A month by one of its names. links: words for "of" in the languages that call it so."""

    number: int
    links: frozenset[str]


@cache
def months_by_name() -> dict[str, _Month]:
    """Return the months by name, case-folded and without the dot of an abbreviation.

    A name is left out that means different months in two languages, or is another word in one.
    """
    found: dict[str, list[_Named]] = {}
    for code, lexicon in lexicons().items():
        if code != INTERNATIONAL:
            for locale in (code, *lexicon.dates.regions):
                for name, number, is_whole in _names_of_months(locale):
                    named = _Named(number, code, is_whole)
                    found.setdefault(name.casefold().rstrip("."), []).append(named)
    months = {name: _month(name, named) for name, named in found.items()}
    return {name: month for name, month in months.items() if month is not None}


class _Named(NamedTuple):
    """A month that a language has a name for. is_whole: the name is not an abbreviation."""

    number: int
    code: str
    is_whole: bool


def _month(name: str, named: Sequence[_Named]) -> _Month | None:
    numbers = {each.number for each in named}
    codes = {each.code for each in named}
    if len(name) < _MIN_ABBREVIATION_CHARS or len(numbers) > 1 or _is_other_word(name, codes):
        return None
    # "May" is English, though Spanish shortens mayo so.
    whole = {each.code for each in named if each.is_whole} or codes
    return _Month(numbers.pop(), frozenset(word for c in whole for word in lexicons()[c].dates.of))


def _is_other_word(name: str, codes: Collection[str]) -> bool:
    """Return whether a language in which it is not a month has another word like it."""
    others = (each for code, each in lexicons().items() if code not in codes)
    return any(name in each.dates.not_months for each in others)


def _names_of_months(locale: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each name of a month in a locale with its number, and whether it is a whole one."""
    from babel import Locale

    months = Locale.parse(locale).months
    for context in ("format", "stand-alone"):
        for width in ("wide", "abbreviated"):
            for number, name in months[context][width].items():
                # Chinese and Japanese number the months.
                if not name[0].isdigit():
                    yield name, number, width == "wide"


@cache
def _written_pattern() -> tuple[str, str]:
    """Return what a written date looks like, once with names of its groups and once without."""
    names = "|".join(sorted(map(re.escape, months_by_name()), key=lambda name: (-len(name), name)))
    month = rf"(?:{names})\b\.?"
    day = r"\d{1,2}"
    nth, gap = r"(?:\.|st|nd|rd|th|er|º|°)?", r"[\s,/-]{1,2}"
    links = one_of(every(lambda words: words.dates.of))
    of, year_of = (rf"(?:(?P<{name}>{links})\s)?" for name in ("link", "year_link"))
    named = (
        rf"(?:(?P<day>{day}){nth}[\s-]?{of}(?P<month>{month})"
        rf"|(?P<month_first>{month})\s(?P<day_second>{day}){nth}(?=[\s,])"
        rf"|(?P<month_only>{month})){gap}{year_of}(?P<year>\d{{4}})"
    )
    return named, re.sub(r"\?P<\w+>", "?:", named)


@cache
def _written() -> re.Pattern[str]:
    return re.compile(_written_pattern()[0], re.IGNORECASE)


@cache
def _month_name() -> re.Pattern[str]:
    names = "|".join(map(re.escape, months_by_name()))
    return re.compile(rf"\b(?:{names})\b", re.IGNORECASE)


@cache
def _any_date() -> re.Pattern[str]:
    numeric = (
        r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?"
        r"|\d{4}(?:[-/.]\d{1,2}){1,2}"
        r"|\d{1,2}([-/.])\s?\d{1,2}\1\s?\d{4}"
        r"|\d{1,2}[-/.]\d{4}|\d{4}"
    )
    return re.compile(rf"{_BEFORE}(?:{_written_pattern()[1]}|{numeric}){_AFTER}", re.IGNORECASE)
