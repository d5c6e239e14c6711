"""Numbers and quantities in text: cell → float, text → amounts in an attribute's unit.

Only a plain amount counts. A range ("5–7 cm"), a product ("6 x 330 ml", "20 x 30 cm"), a bound ("up
to 5 kg"), a rate ("5 g/100 ml") and a part of a model number ("GSR-120") state something else and
are left out.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from schemas.lexicons import lexicons, one_of
from schemas.units import convert, convert_stated, spellings_of, text_spellings
from transforms.extraction.decimal_marks import DecimalMark, mark_of_unit, reads_two_ways, text_mark
from transforms.extraction.number_places import (
    FRACTION_CHARS,
    NOT_INSIDE,
    matches_at,
    number_places,
)
from transforms.extraction.small_words import AND, APPROXIMATELY, BOUND, BY, OR, PER, TO

# A plain space groups digits in a cell of its own only: in running text "2 500 ml" may be two
# bottles.
_GROUPS_IN_TEXT = ",.'’\u00a0\u202f"


def _number_pattern(group_marks: str) -> str:
    return (
        rf"(?:\d{{1,3}}(?:[{group_marks}]\d{{3}})+(?:[.,]\d+)?(?![.,]?\d)"
        rf"|\d{{1,4}}[ \u00a0-]\d{{1,2}}[/⁄]\d{{1,3}}(?!\d)|\d{{1,2}}[/⁄]\d{{1,3}}(?!\d)"
        rf"|(?:\d{{1,4}}\s?)?[{FRACTION_CHARS}]|\d+(?:[.,]\d+)?(?![.,]?\d)|\.\d+)"
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
# As nearly all are written, and nothing else could be meant.
_PLAIN_QUANTITY = re.compile(r"(?P<number>\d{1,6}(?:\.\d{1,2})?) ?(?P<unit>(?!e)[a-zA-Z]{1,12})")

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
# Sizes and ages, "10/12", "5/6", where no unit says that it is a fraction; these are of halves,
# thirds, quarters, fifths and of inches.
_TWO_NUMBERS = re.compile(r"\d{1,2}[/⁄](?!(?:[23458]|16|32|64)$)\d{1,3}")
_MONEY_SIGN = re.compile(r"[$€£¥₹]")
_ARABIC_DECIMAL, _ARABIC_GROUP = "\u066b", "\u066c"
_LAKHS = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?!,?\d)")
_TWO_WAYS = re.compile(r"-?[1-9]\d{0,2}[.,]\d{3}")
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
    if text[-1:].isalpha():  # a unit, or a word
        return None
    text, mark = _usual_marks(text, mark)
    match = _WHOLE_NUMBER.fullmatch(text)
    if match is None or _TWO_NUMBERS.fullmatch(match["number"].strip()):
        return None
    return to_float(match["number"], mark)


def _usual_marks(text: str, mark: DecimalMark | None) -> tuple[str, DecimalMark | None]:
    """Return a text with the marks of numbers that all use, and the decimal mark if it tells one:
    of Arabic "١٬٢٩٩٫٥", of lakhs "12,34,567".
    """
    if _ARABIC_DECIMAL in text or _ARABIC_GROUP in text:
        return text.replace(_ARABIC_GROUP, "").replace(_ARABIC_DECIMAL, "."), "."
    if text.count(",") > 1 and (lakhs := _LAKHS.search(text)):
        return text.replace(lakhs[0], lakhs[0].replace(",", "")), "."
    return text, mark


def plain_text(number: Any) -> str:
    """Return a number as a text that reads in one way, and a text as it is.

    >>> plain_text(1.125), plain_text(12), plain_text(1.2e-05), plain_text("1,250")
    ('1.1250', '12', '0.000012', '1,250')
    """
    if isinstance(number, str):
        return number
    text = str(number)
    if "e" in text.casefold():
        text = f"{Decimal(text):f}"
    return f"{text}0" if _TWO_WAYS.fullmatch(text) else text


# A longer cell is not a single amount, and the patterns of one would try it in very many ways.
MAX_AMOUNT_CHARS = 300


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
    if plain := _PLAIN_QUANTITY.fullmatch(cell_text):
        amount = to_float(plain["number"], mark)
        return None if amount is None else convert_stated(amount, plain["unit"], unit)
    if len(cell_text) > MAX_AMOUNT_CHARS or _MONEY_SIGN.search(cell_text):
        return None
    number = parse_number(cell_text, mark)
    if number is not None:
        return number
    cell_text, mark = _usual_marks(cell_text, mark)
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
    places = number_places(text)
    if not places.runs:
        return []
    found = list(_find_compounds(text, unit))
    taken = [(quantity.begin, quantity.end) for quantity in found]
    mark = text_mark(text)
    for match in matches_at(_quantity_pattern(unit), text, places.free):
        if _overlaps(match.span(), taken) or not _is_plain(text, match):
            continue
        own_mark = mark or mark_of_unit(match["unit"])
        if own_mark is None and reads_two_ways(match["number"]):
            continue
        number = to_float(match["number"], own_mark)
        amount = None if number is None else convert(number, match["unit"], unit)
        if amount is not None:
            found.append(Quantity(amount, match.start(), match.end(), match.group()))
    return sorted(found, key=lambda quantity: quantity.begin)


def find_numbers(text: str) -> list[Quantity]:
    """Return the plain numbers without a unit that `text` states, in order.

    >>> [n.amount for n in find_numbers("Hardcover, 1,320 pages, 2nd edition, 5-7 plates, 24 cm")]
    [1320.0]
    """
    mark = text_mark(text)
    found = matches_at(_lone_number_pattern(), text, number_places(text).free)
    plain = (match for match in found if _is_plain(text, match))
    numbers = ((match, to_float(match["number"], mark)) for match in plain)
    return [
        Quantity(n, match.start(), match.end(), match.group())
        for match, n in numbers
        if n is not None
    ]


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
    digits = _plain_digits(re.sub(r"[\s'’]", "", bare), mark)
    if digits.count(".") > 1:  # "1.000,512.50": its last mark groups thousands, too
        return None
    value = sign * float(digits)
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


@cache
def _compounds_of(unit: str) -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """Return those that measure the same kind of thing as the unit."""
    return tuple(each for each in _compound_patterns() if convert(1.0, each[1], unit) is not None)


def _find_compounds(text: str, unit: str) -> Iterator[Quantity]:
    for pattern, larger, smaller in _compounds_of(unit):
        for match in matches_at(pattern, text, number_places(text).begins):
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
