"""Numbers and quantities in text: cell → float, text → amounts in an attribute's unit.

Only a plain amount counts. A range ("5–7 cm"), a product ("6 x 330 ml", "20 x 30 cm"), a bound ("up
to 5 kg"), a rate ("5 g/100 ml") and a part of a model number ("GSR-120") state something else and
are left out.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from schemas.lexicons import lexicons, one_of
from schemas.units import convert, convert_stated, spellings_of, text_spellings
from transforms.extraction.small_words import AND, APPROXIMATELY, BOUND, BY, OR, PER, TO

DecimalMark = Literal[",", "."]

_FRACTION_CHARS = "¼½¾⅐-⅞"
# A plain space groups digits in a cell of its own only: in running text "2 500 ml" may be two
# bottles.
_GROUPS_IN_TEXT = ",.'’\u00a0\u202f"


def _number_pattern(group_marks: str) -> str:
    return (
        rf"(?:\d{{1,3}}(?:[{group_marks}]\d{{3}})+(?:[.,]\d+)?(?![.,]?\d)"
        rf"|\d{{1,4}}[ \u00a0-]\d{{1,2}}[/⁄]\d{{1,3}}(?!\d)|\d{{1,2}}[/⁄]\d{{1,3}}(?!\d)"
        rf"|(?:\d{{1,4}}\s?)?[{_FRACTION_CHARS}]|\d+(?:[.,]\d+)?(?![.,]?\d)|\.\d+)"
    )


NUMBER = _number_pattern(_GROUPS_IN_TEXT)
_CELL_NUMBER = _number_pattern(_GROUPS_IN_TEXT + " ")
_SIGN = r"[-+−]?\s?"
_ABOUT = rf"(?:{APPROXIMATELY}|[~≈±])\s*"
_WHOLE_NUMBER = re.compile(
    rf"\s*(?:{_ABOUT})?[$€£¥₹]?\s?(?P<number>{_SIGN}(?:{_CELL_NUMBER}|\d+(?:\.\d+)?[eE][-+]?\d+))\s?[$€£¥₹]?\s*",
    re.IGNORECASE,
)
_WHOLE_QUANTITY = re.compile(
    rf"\s*(?:{_ABOUT})?(?P<number>{_SIGN}{_CELL_NUMBER})[\s-]?(?P<unit>[^\d\s,;:].{{0,30}}?)\s*",
    re.IGNORECASE,
)
# no digit, letter, hyphen or slash before: that is the rest of a number, a range or a model name
NOT_INSIDE = rf"(?=[.\d{_FRACTION_CHARS}])(?<![\w.,/'’\-–—⁄])"
_DIGIT = re.compile(rf"[\d{_FRACTION_CHARS}]")
_SINGLE_MARK = re.compile(r"(?<![\d.,])\d+([.,])(\d+)(?![.,]?\d)")

# What stands before or after a number that is not a plain amount.
_WORD_BEFORE = r"(?<![^\W\d_])"
_NOT_PLAIN_BEFORE = re.compile(
    rf"(?:{_WORD_BEFORE}[x×*]\s?|\d\s*(?:[-–—]|{TO}|{BY}|{AND}|{OR})\s*"
    rf"|\d\s?[^\W\d_]{{1,6}}\s?[-–—]\s?|{_WORD_BEFORE}(?:{PER}|{BOUND})\.?\s*|[<>≤≥±]\s*)$",
    re.IGNORECASE,
)
_NOT_PLAIN_AFTER = re.compile(
    rf"(?:\s?(?:[A-Za-z]{{1,2}}\.?\s?)?[x×*]\s?\d|\s?[-–—]\s?\d|\s(?:{TO}|{BY})\s\d|/\S"
    rf"|\s?/\s?[^\W\d_]|\s{PER}\b)",
    re.IGNORECASE,
)
# Spellings that are mostly other words ("in") → what has to follow such a unit.
_UNIT_ONLY_BEFORE = {
    unit: re.compile(rf"\s*(?:$|[^\w\s]|{one_of(words)}\b)", re.IGNORECASE)
    for lexicon in lexicons().values()
    for unit, words in lexicon.units_only_before.items()
}

# Two amounts that make one ("5 ft 3 in"): larger unit, smaller unit.
# One amount, written in two units.
_TWICE = re.compile(
    r"(?P<one>[^()/|=]*\d[^()/|=]*[^\W\d_][^()/|=]*?)\s*"
    r"(?:\(\s*(?P<other>[~≈]?\s*[.\d][^()]*)\)|[/|=]\s*(?P<other2>[~≈]?\s*[.\d][^()/|=]*))\s*"
)
_IMPERIAL = re.compile(r"(?i)(?:oz|ounces?|lbs?|pounds?|fl|inch|inches|gal|\")")
_SAME_AMOUNT = 0.02
# The sign of Directive 76/211/EEC behind an amount: the contents are right on average.
_ESTIMATED = re.compile(r"\s*(?:℮|(?<=[\w.])\s+e)\s*$")
_COMPOUNDS = (("foot", "inch"), ("hour", "minute"), ("minute", "second"), ("pound", "ounce"))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A stated amount, in the unit that was asked for.

    begin, end: code point offsets, end exclusive.
    """

    amount: float
    begin: int
    end: int
    text: str


def parse_number(text: str, mark: DecimalMark | None = None) -> float | None:
    """Return the number that a whole cell holds, or None. mark: the decimal mark of its column.

    A mark that stands alone before exactly three digits groups thousands when it is a comma, and is
    a decimal point when it is a dot.

    >>> texts = ("1,234.5", "1.234,5", "1,01", "1,234", "1 1/2", "ca ½", "12 apples")
    >>> [parse_number(t) for t in texts]
    [1234.5, 1234.5, 1.01, 1234.0, 1.5, 0.5, None]
    """
    match = _WHOLE_NUMBER.fullmatch(text)
    return None if match is None else to_float(match["number"], mark)


def parse_quantity(cell_text: str, unit: str, mark: DecimalMark | None = None) -> float | None:
    """Return the amount, in `unit`, that a whole cell holds; a bare number is already in `unit`.

    None when the cell is not a single amount, or measures something else. The same amount in two
    units is one, and the sign of estimated contents (e) belongs to it. mark: the decimal mark of
    the column.

    >>> [parse_quantity(t, "g") for t in ("ca 180g", "1,01 kg", "75", "1l", "6 x 20 g", "5-7 g")]
    [180.0, 1010.0, 75.0, None, None, None]
    >>> [parse_quantity(t, "g") for t in ("8 oz (227 g)", "500g / 1.1lb", "1 Kg e", "8 oz (200 g)")]
    [227.0, 500.0, 1000.0, None]
    """
    number = parse_number(cell_text, mark)
    if number is not None:
        return number
    if two := _TWICE.fullmatch(cell_text):
        return _one_amount([two["one"], two["other"] or two["other2"]], unit, mark)
    cell_text = _ESTIMATED.sub("", cell_text)
    for pattern, larger, smaller in _compound_patterns():
        match = pattern.fullmatch(cell_text.strip())
        amount = _compound_amount(match, larger, smaller, unit) if match else None
        if amount is not None:
            return amount
    match = _WHOLE_QUANTITY.fullmatch(cell_text)
    amount = to_float(match["number"], mark) if match else None
    return convert_stated(amount, match["unit"], unit) if match and amount is not None else None


def _one_amount(texts: Sequence[str], unit: str, mark: DecimalMark | None) -> float | None:
    """Return the amount that both texts state, as the one does that needs no conversion of systems.

    The other is rounded: "8 oz (227 g)".
    """
    amounts = [parse_quantity(text, unit, mark) for text in texts]
    one, other = amounts
    if one is None or other is None or abs(one - other) > _SAME_AMOUNT * abs(one):
        return None
    metric = [
        amount for text, amount in zip(texts, amounts, strict=True) if not _IMPERIAL.search(text)
    ]
    return metric[0] if metric else one


def find_quantities(text: str, unit: str) -> list[Quantity]:
    """Return the plain amounts that `text` states in units of `unit`'s kind, in order, converted to
    `unit`.

    >>> text = "Oat drink 1,5 l (6 x 330 ml: another pack), 180g oats"
    >>> [q.amount for q in find_quantities(text, "ml")]
    [1500.0]
    """
    if _DIGIT.search(text) is None:
        return []
    found = list(_find_compounds(text, unit))
    taken = [(quantity.begin, quantity.end) for quantity in found]
    mark = decimal_mark(text)
    for match in _quantity_pattern(unit).finditer(text):
        if _overlaps(match.span(), taken) or not _is_plain(text, match):
            continue
        number = to_float(match["number"], mark)
        amount = None if number is None else convert(number, match["unit"], unit)
        if amount is not None:
            found.append(Quantity(amount, match.start(), match.end(), match.group()))
    return sorted(found, key=lambda quantity: quantity.begin)


def find_numbers(text: str) -> list[Quantity]:
    """Return the plain numbers without a unit that `text` states, in order.

    >>> [n.amount for n in find_numbers("Hardcover, 1,320 pages, 2nd edition, 5-7 plates, 24 cm")]
    [1320.0]
    """
    mark = decimal_mark(text)
    plain = (match for match in _lone_number_pattern().finditer(text) if _is_plain(text, match))
    numbers = ((match, to_float(match["number"], mark)) for match in plain)
    return [
        Quantity(n, match.start(), match.end(), match.group())
        for match, n in numbers
        if n is not None
    ]


# A cell of numbers, not a text that holds some: nothing long, and a digit near its begin.
_NUMBERS = re.compile(r"\s*\D{0,4}\d.{0,40}")
_MARKED = re.compile(r"(?<![\d.,])(\d*)((?:[.,]\d+)+)(?![.,]?\d)")
# Of the numbers that tell a column's mark, so many agree where one of them is a slip.
_AGREE = 0.95


def column_mark(cells: Iterable[str]) -> DecimalMark | Literal["mixed"] | None:
    """Return the decimal mark that the numbers of a column tell; `mixed` where both are used and
    nothing says which one groups thousands; None where nothing tells.

    "0,750" tells more than any other: three decimals, and no thousands.

    >>> column_mark(["12,90", "1.299"]), column_mark(["1,234.50"]), column_mark(["1,250", "3"])
    (',', '.', None)
    >>> column_mark(["3,2", "4.5"]), column_mark([".33 l", "0,750 kg", "8.8oz"])
    ('mixed', ',')
    """
    certain: Counter[DecimalMark] = Counter()
    likely: Counter[DecimalMark] = Counter()
    for cell in cells:
        if _NUMBERS.fullmatch(cell):
            for whole, rest in _MARKED.findall(cell):
                mark, is_certain = _told_mark(whole, rest)
                if mark is not None:
                    (certain if is_certain else likely)[mark] += 1
    evidence = certain or likely
    if not evidence:
        return None
    mark, count = evidence.most_common(1)[0]
    return mark if count >= _AGREE * evidence.total() else "mixed"


def _told_mark(whole: str, rest: str) -> tuple[DecimalMark | None, bool]:
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
    return any(
        re.fullmatch(r"[1-9]\d{0,2}", whole) is not None and re.fullmatch(r"[.,]\d{3}", rest)
        for whole, rest in _MARKED.findall(text)
    )


@lru_cache(maxsize=16)
def decimal_mark(text: str) -> DecimalMark | None:
    """Return the decimal mark that the unambiguous numbers of a text agree on, or None.

    >>> decimal_mark("Fett 3,2 g, 1.015 ml"), decimal_mark("1,000 sheets")
    (',', None)
    """
    marks = {mark for mark, decimals in _SINGLE_MARK.findall(text) if len(decimals) != 3}
    return marks.pop() if len(marks) == 1 else None


def to_float(number: str, mark: DecimalMark | None) -> float | None:
    """Return what `NUMBER` matched as a number; None for what is not a fraction ("5/2").

    mark: the decimal mark where the number alone does not tell; None follows `parse_number`'s rule.
    """
    bare = number.strip().replace("−", "-").replace("⁄", "/")
    sign = -1.0 if bare.startswith("-") else 1.0
    bare = bare.lstrip("+-").strip()
    if bare[-1:].isnumeric() and not bare[-1].isdecimal():
        return sign * (float(bare[:-1].strip() or 0) + unicodedata.numeric(bare[-1]))
    if "/" in bare:
        *whole, fraction = re.split(r"[\s-]", bare)
        numerator, denominator = (int(part) for part in fraction.split("/"))
        if numerator >= denominator:
            return None
        return sign * (sum(map(float, whole)) + numerator / denominator)
    value = sign * float(_plain_digits(re.sub(r"[\s'’]", "", bare), mark))
    return value if math.isfinite(value) else None


def _plain_digits(bare: str, mark: DecimalMark | None) -> str:
    """Return the digits with at most a decimal point."""
    marks = re.findall(r"[.,]", bare)
    if not marks:
        return bare
    last = marks[-1]
    if len(set(marks)) == 2:
        decimal = last
    elif len(marks) > 1:
        decimal = ""
    elif re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", bare):
        decimal = mark or "."
    else:
        decimal = last
    grouping = {",", "."} - {decimal}
    return "".join("." if c == decimal else c for c in bare if c not in grouping)


@cache
def _quantity_pattern(unit: str) -> re.Pattern[str]:
    return re.compile(
        rf"{NOT_INSIDE}(?P<number>{NUMBER})[\s\u00a0-]?(?P<unit>{unit_pattern(unit)})"
    )


@cache
def _lone_number_pattern() -> re.Pattern[str]:
    return re.compile(
        rf"{NOT_INSIDE}(?P<number>{NUMBER})(?![^\W_]|[\s\u00a0-]?(?:{unit_pattern(None)}))"
    )


def unit_pattern(unit: str | None) -> str:
    """Return a pattern of the spellings that running text may use for a unit of `unit`'s kind, of
    any kind for None.
    """
    any_case, same_case = text_spellings(unit)
    parts = [f"(?i:{_alternatives(any_case)})"] if any_case else []
    parts += [_alternatives(same_case)] if same_case else []
    return rf"(?:{'|'.join(parts)})(?![^\W_]|\^|['′\"]?\d)"


def _alternatives(spellings: Iterable[str]) -> str:
    longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    return "|".join(re.escape(spelling).replace(r"\ ", r"\.?\s?") for spelling in longest_first)


def _is_plain(text: str, match: re.Match[str]) -> bool:
    if _NOT_PLAIN_BEFORE.search(text, max(0, match.start() - 20), match.start()):
        return False
    if _NOT_PLAIN_AFTER.match(text, match.end()):
        return False
    unit = match.groupdict().get("unit", "")
    if unit == "s" and text[match.end() - 2].isdigit():  # "the 80s"
        return False
    needed = _UNIT_ONLY_BEFORE.get(unit.casefold())
    return needed is None or needed.match(text, match.end()) is not None


@cache
def _compound_patterns() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    return tuple(
        (
            re.compile(
                rf"(?<![\w.,/–-])(?P<large>\d{{1,6}})\s?{_spelled(large)}[\s,-]{{0,2}}(?:{AND}\s)?"
                rf"(?P<small>{NUMBER})\s?{_spelled(small)}(?![^\W_])",
                re.IGNORECASE,
            ),
            large,
            small,
        )
        for large, small in _COMPOUNDS
    )


def _spelled(unit: str) -> str:
    """Return a pattern of the unit's spellings beside another unit, its single letters included."""
    return one_of(spellings_of(unit), space=r"\s?")


def _find_compounds(text: str, unit: str) -> Iterator[Quantity]:
    for pattern, larger, smaller in _compound_patterns():
        if convert(1.0, larger, unit) is None:
            continue
        for match in pattern.finditer(text):
            amount = _compound_amount(match, larger, smaller, unit)
            if amount is not None:
                yield Quantity(amount, match.start(), match.end(), match.group())


def _compound_amount(match: re.Match[str], larger: str, smaller: str, unit: str) -> float | None:
    small = to_float(match["small"], None)
    large = convert(float(match["large"]), larger, unit)
    rest = None if small is None else convert(small, smaller, unit)
    one = convert(1.0, larger, unit)
    if large is None or rest is None or one is None or rest >= one:
        return None
    return round(large + rest, 9)


def _overlaps(span: tuple[int, int], taken: Iterable[tuple[int, int]]) -> bool:
    return any(span[0] < end and begin < span[1] for begin, end in taken)
