"""Which mark stands before decimals, as the numbers of a column or a text tell, or its language.

1,250 is 1.25 for some and 1250 for others; what nothing tells is not guessed. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Literal

from schemas.lexicons import INTERNATIONAL, Lexicon, lexicons

DecimalMark = Literal[",", "."]

# A cell of numbers, not a text that holds some: nothing long, and a digit near its begin.
_NUMBERS = re.compile(r"\s*\D{0,4}\d.{0,40}")
_MARKED = re.compile(r"(?<![\d.,])(\d*)((?:[.,]\d+)+)(?![.,]?\d)")
# What a number with a mark has, and most texts have not.
_MARK_BEFORE_DIGIT = re.compile(r"[.,]\d")
_READS_TWO_WAYS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}[.,]\d{3}(?![.,]?\d)")
# Of the numbers that tell a column's mark, so many agree where one of them is a slip.
_AGREE = 0.95
_THOUSAND_DIGITS = 3
# So many numbers with other decimals make up for one with three behind a zero.
_CERTAIN_WEIGHS = 3


def column_mark(cells: Iterable[str]) -> DecimalMark | Literal["mixed"] | None:
    """Return the decimal mark that the numbers of a column tell; `mixed` where both are used and
    nothing says which one groups thousands; None where nothing tells.

    "0,750" tells more than any other: three decimals, and no thousands. It does not outweigh that
    its mark groups thousands elsewhere, or many decimals behind the other mark.

    >>> column_mark(["12,90", "1.299"]), column_mark(["1,234.50"]), column_mark(["1,250", "3"])
    (',', '.', None)
    >>> column_mark(["3,2", "4.5"]), column_mark([".33 l", "0,750 kg", "8.8oz"])
    ('mixed', ',')
    >>> column_mark(["0,845", "1,299.50"]), column_mark(["0,845", *["9.90"] * 4])
    ('mixed', 'mixed')
    """
    certain: Counter[DecimalMark] = Counter()
    likely: Counter[DecimalMark] = Counter()
    grouping: set[str] = set()
    for cell in cells:
        if _NUMBERS.fullmatch(cell):
            for whole, rest in _MARKED.findall(cell):
                mark, is_certain = _mark_of(whole, rest)
                if mark is not None:
                    (certain if is_certain else likely)[mark] += 1
                    grouping |= {char for char in rest if char in ",." and char != mark}
    evidence = certain or likely
    if not evidence:
        return None
    mark, count = evidence.most_common(1)[0]
    against = likely.total() - likely[mark]
    if certain and (mark in grouping or against > _CERTAIN_WEIGHS * count):
        return "mixed"
    return mark if count >= _AGREE * evidence.total() else "mixed"


# Digits alone, up to which no mark would group thousands.
_SMALL_WHOLE = re.compile(r"(?<![\d.,])\d{1,3}(?![.,]?\d)")
_LARGE_WHOLE = re.compile(r"(?<![\d.,])\d{4,}(?![.,]?\d)")


def groups_thousands(cells: Iterable[str]) -> bool:
    """Return whether the numbers of a column, if all are whole, have marks of thousands: beside
    1,250 stands 500, and no 1250. With three decimals 500 would be 500,000.

    >>> groups_thousands(["1,000", "500"]), groups_thousands(["1,000", "2,000"])
    (True, False)
    """
    texts = [cell for cell in cells if _NUMBERS.fullmatch(cell)]
    return (
        any(map(reads_two_ways, texts))
        and any(map(_SMALL_WHOLE.search, texts))
        and not any(map(_LARGE_WHOLE.search, texts))
    )


def _mark_of(whole: str, rest: str) -> tuple[DecimalMark | None, bool]:
    """Return the decimal mark that one number tells, and whether beyond doubt.

    whole: the digits before its first mark; rest: all behind them.
    """
    marks = re.findall(r"[.,]", rest)
    *groups, decimals = (len(digits) for digits in re.split(r"[.,]", rest)[1:])
    last: DecimalMark = "," if marks[-1] == "," else "."
    other: DecimalMark = "." if last == "," else ","
    if any(digits != 3 for digits in groups):
        return None, False  # a date, a version
    if len(marks) > 1:
        if marks.count(last) == 1:
            return last, False
        # Groups of thousands alone: the decimal mark is the other one.
        return (other if decimals == 3 and len(set(marks)) == 1 else None), False
    if decimals == 3 and whole == "0":
        return last, True
    return (last if decimals != 3 or len(whole) > 3 else None), False


def reads_two_ways(text: str) -> bool:
    """Return whether a number of the text has a single mark before three digits, which may be
    decimals or thousands.

    >>> reads_two_ways("1,250 kg"), reads_two_ways("0,250 kg"), reads_two_ways("1,25 kg")
    (True, False, False)
    """
    if _MARK_BEFORE_DIGIT.search(text) is None:
        return False
    return _READS_TWO_WAYS.search(text) is not None


def mark_of_whole(text: str, *, groups: bool) -> DecimalMark | None:
    """Return the decimal mark of a text whose number is whole and reads two ways; None where both
    readings are whole. groups: its column has marks of thousands.

    >>> mark_of_whole("1,250", groups=False), mark_of_whole("1.000", groups=True)
    ('.', ',')
    >>> mark_of_whole("1.000", groups=False)
    """
    found = {number[0] for number in _READS_TWO_WAYS.finditer(text)}
    is_decided = groups or any(not number.endswith("000") for number in found)
    marks = {char for number in found for char in number if char in ",."}
    if not is_decided or len(marks) != 1:
        return None
    return "," if marks == {"."} else "."


_SINGLE_MARK = re.compile(r"(?<![\d.,])(\d+)([.,])(\d+)(?![.,]?\d)")


@lru_cache(maxsize=16)
def decimal_mark(text: str) -> DecimalMark | None:
    """Return the decimal mark that the unambiguous numbers of a text agree on, or None.

    >>> decimal_mark("Fett 3,2 g, 1.015 ml"), decimal_mark("1,000 sheets"), decimal_mark("0,125 l")
    (',', None, ',')
    """
    if _MARK_BEFORE_DIGIT.search(text) is None:
        return None
    marks = {
        mark
        for whole, mark, decimals in _SINGLE_MARK.findall(text)
        if len(decimals) != _THOUSAND_DIGITS or whole == "0"
    }
    return marks.pop() if len(marks) == 1 else None


@lru_cache(maxsize=16)
def text_mark(text: str) -> DecimalMark | None:
    """Return the decimal mark of a text: what its other numbers agree on, else, if a number reads
    two ways, what the language has that its words are of. None where nothing tells.

    >>> text_mark("Mehl mit Ei für Brot, 1.250 g"), text_mark("Flour with egg for bread, 1,250 g")
    (',', '.')
    >>> text_mark("Toor dal 1,250 g")
    """
    mark = decimal_mark(text)
    if mark is not None or not reads_two_ways(text):
        return mark
    words = set(_WORD.findall(text.casefold()))
    commas, points = (len(words & known) for known in _words_of_marks())
    if commas >= _MIN_WORDS + _OUTWEIGHS * points:
        return ","
    return "." if points >= _MIN_WORDS + _OUTWEIGHS * commas else None


def mark_of_unit(unit: str | None) -> DecimalMark | None:
    """Return the decimal mark of those who measure in inches, pounds and ounces.

    >>> mark_of_unit('"'), mark_of_unit("lbs"), mark_of_unit("kg")
    ('.', '.', None)
    """
    return "." if unit is not None and _IMPERIAL.fullmatch(unit) else None


_IMPERIAL = re.compile(
    r"""["”″]|''|[’′]{1,2}|(?i:in|inch|inches|ft|feet|foot|yd|yards?|lbs?|pounds?"""
    r"""|oz|ounces?|fl\.?\s?oz|gal|gallons?|qt|quarts?|mi|miles?|btu)\.?"""
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_UNIT_CHARS = 4
# A word or two of another language may be a name: "iPad Pro", "Le Creuset", "Fit for Fun".
_MIN_WORDS, _OUTWEIGHS = 2, 2
# Words of languages that have no list of them, units that many have, and what is seldom a word.
_OF_MANY = frozenset(
    {
        *("in", "an", "on", "or", "par", "pro", "et", "le", "les", "du", "des", "den", "circa"),
        *("volt", "hertz", "celsius", "fahrenheit", "lumen", "pixel", "ampere", "megapixel"),
        *("kilowatt", "grad", "percent", "minut", "sekund", "gramme", "pint", "yard", "mile"),
    }
)


@cache
def _words_of_marks() -> tuple[frozenset[str], frozenset[str]]:
    """Return words that only languages with decimal commas have, and only those with points.

    Spanish is of both, as Mexico has points.
    """
    from babel import Locale

    found: dict[str, set[str]] = {",": set(), ".": set(), "": set()}
    for code, lexicon in lexicons().items():
        if code != INTERNATIONAL:
            mark = Locale.parse(code).number_symbols["latn"]["decimal"]
            found["" if code in _BOTH_MARKS else mark] |= set(_usual_words(lexicon))
    commas, points, both = found[","], found["."], found[""]
    both |= _OF_MANY
    return frozenset(commas - points - both), frozenset(points - commas - both)


_BOTH_MARKS = frozenset({"es"})


def _usual_words(lexicon: Lexicon) -> Iterable[str]:
    small = (lexicon.and_, lexicon.or_, lexicon.to, lexicon.by, lexicon.per, lexicon.approximately)
    # Nouns and adjectives are too often words of another language: "5-7 plates".
    for words in (lexicon.stop_words, *small):
        yield from (word for word in words if _WORD.fullmatch(word))
    for words in lexicon.units.values():
        yield from (word for word in words if len(word) >= _MIN_UNIT_CHARS and word.isalpha())
