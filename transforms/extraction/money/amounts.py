"""Amounts of money in cells and texts: text → lowest and highest amount, and currency. Pure.

Read are the codes, signs and words of schemas/currencies before or behind a number, or in the place
of its decimal mark ("12€90"), and how shops write round amounts ("12.–", "1.299:-", "1,299/-").
What reads two ways is refused with both readings: a price that is wrong by a factor is worse than
none. What is no price of one thing ("12 €/kg", "was 20, now 15") is none.

Signs and decimals come from Babel. The library price-parser was compared and left out: it takes the
first number of any text, so that "1’299.00" is 1, "1.250 KWD" 1250 and "12 €/kg" a price.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from schemas.currencies import currencies_of, decimals_of, folded
from schemas.lexicons import every, one_of
from transforms.extraction.decimal_marks import DecimalMark
from transforms.extraction.small_words import TO

MAX_CHARS = 120
# Right-to-left marks and the like, which say how a text is shown and nothing else.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\u061c\ufeff\u00ad]")
_ARABIC_DECIMAL, _ARABIC_GROUP = "\u066b", "\u066c"
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("’‘`´", "'"))
# A number with its marks, and what shops write instead of no cents: ".-" ",--" ":-" "/-" "/=".
_NUMBER = re.compile(
    r"(?P<digits>(?<![\w.,/])[.,]\d+|\d+(?:[ .,']\d+)*)(?P<round>[.,:]-{1,2}|/[-=])?"
)
_BETWEEN = (re.compile(r"-|~|\.{2,3}"), re.compile(rf"(?:^|\s){TO}\s", re.IGNORECASE))
_STARTS = re.compile(
    rf"\s*{one_of(every(lambda words: words.prices.starts))}(?![^\W\d_])\s*", re.IGNORECASE
)
_TAXED = re.compile(
    rf"[\s,(]*{one_of(every(lambda words: words.prices.taxed))}[\s)]*$", re.IGNORECASE
)
_FREE = frozenset(map(folded, every(lambda words: words.prices.free)))
_GROUPED = re.compile(r"\d{1,3}(?:([ '])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")
_GROUPED_BY_MARK = re.compile(r"\d{1,3}([.,])\d{3}(?:\1\d{3})*(?:(?!\1)[.,]\d+)?")
# Lakhs and crores: 12,34,567.00.
_INDIAN = re.compile(r"\d{1,3}(?:,\d{2})+,\d{3}(?:\.\d+)?")
_PLAIN = re.compile(r"\d*[.,]?\d+")
_TWO_WAYS = re.compile(r"[1-9]\d{0,2}([.,])\d{3}")
# Where a sign and a code stand together: "$ USD", "USD$".
_PARTS = re.compile(r"[^\W\d_]+\.?|[^\w\s]+")
# "12⁹⁰ €", as shops show cents.
_RAISED_CENTS = re.compile("(?<![.,\\d])(\\d{1,6})([⁰¹²³⁴⁵⁶⁷⁸⁹]{2})(?![⁰¹²³⁴⁵⁶⁷⁸⁹])")
MAX_DIGITS = 15


class UnclearMoneyError(ValueError):
    """An amount that could be several, or is of several currencies, and what to write."""


@dataclass(frozen=True, slots=True)
class Money:
    """A price, or a range of prices.

    highest: of a range, None for one price. is_open: only the lowest price is given ("from 12.50").
    currencies: that the text may mean; empty where it names none.
    """

    amount: Decimal
    highest: Decimal | None = None
    is_open: bool = False
    currencies: frozenset[str] = frozenset()

    def currency(self, default: str | None) -> str | None:
        """Return the currency, where a default decides between several; None where unknown."""
        if len(self.currencies) == 1:
            return next(iter(self.currencies))
        return default if not self.currencies or default in self.currencies else None


def read_money(
    text: str, mark: DecimalMark | None = None, default: str | None = None
) -> Money | None:
    """Return the price that a whole text holds, or None where it holds anything else.

    mark: the decimal mark of its column; default: the currency of what names none. Raises
    UnclearMoneyError.

    >>> [str(read_money(text).amount) for text in ("USD 219", "12,90 €", "CHF 1'299.–", "1.299:-")]
    ['219', '12.90', '1299', '1299']
    >>> sorted(read_money("kr 199").currencies), read_money("12 €/kg")
    (['DKK', 'ISK', 'NOK', 'SEK'], None)
    """
    if len(text) > MAX_CHARS:
        return None
    text = _RAISED_CENTS.sub(_with_mark, text)
    if any(char.isdigit() and not char.isdecimal() for char in text):
        return None  # raised or in circles: of a note, or who knows
    bare, mark = _plain(text, mark)
    if folded(bare) in _FREE:
        return Money(Decimal(0))
    bare = _TAXED.sub("", bare)
    start = _STARTS.match(bare)
    bare = bare[start.end() :] if start else bare
    found = list(_NUMBER.finditer(bare))
    if (cents := _sign_as_mark(bare, found)) is not None:
        return cents
    if not 1 <= len(found) <= 2:
        return None
    return _of_numbers(bare, found, mark, default, is_open=start is not None)


def _with_mark(found: re.Match[str]) -> str:
    return f"{found[1]}.{unicodedata.normalize('NFKC', found[2])}"


def _plain(text: str, mark: DecimalMark | None) -> tuple[str, DecimalMark | None]:
    """Return a text with ASCII digits, dashes and spaces, and its decimal mark if it tells one."""
    marks = [char for char in text if char in (_ARABIC_DECIMAL, _ARABIC_GROUP)]
    if marks:
        text, mark = text.replace(_ARABIC_GROUP, "").replace(_ARABIC_DECIMAL, "."), "."
    # Before the sign of rials becomes a word.
    signs = "".join(char if char == "﷼" else unicodedata.normalize("NFKC", char) for char in text)
    digits = "".join(
        str(unicodedata.decimal(char)) if char.isdecimal() else char
        for char in _INVISIBLE.sub("", signs)
    )
    return " ".join(digits.translate(_DASHES).split()), mark


def _sign_as_mark(text: str, found: list[re.Match[str]]) -> Money | None:
    """Return the amount of "12€90"."""
    if len(found) != 2 or found[0].start() != 0 or found[1].end() != len(text):
        return None
    whole, cents = (each["digits"] for each in found)
    between = text[found[0].end() : found[1].start()]
    codes = currencies_of(between) if between.strip() == between else frozenset()
    if not codes or not re.fullmatch(r"\d{1,6}", whole) or not re.fullmatch(r"\d{2}", cents):
        return None
    return Money(Decimal(f"{whole}.{cents}"), currencies=codes)


def _of_numbers(
    text: str,
    found: list[re.Match[str]],
    mark: DecimalMark | None,
    default: str | None,
    *,
    is_open: bool,
) -> Money | None:
    before, after = text[: found[0].start()], text[found[-1].end() :]
    is_open = is_open or after.rstrip().endswith("+")
    after = after.rstrip().removesuffix("+")
    before, is_negative = _sign(before)
    marks = [before, after]
    if len(found) == 2:
        between = _range_marks(text[found[0].end() : found[1].start()])
        if between is None or is_negative or is_open:
            return None
        marks += between
    codes = _codes_of(marks)
    if codes is None:
        return None
    known = codes or (frozenset({default}) if default else frozenset())
    if default in known:
        known = frozenset({str(default)})
    amounts = [_amount(each, mark, known) for each in found]
    if None in amounts:
        return None
    low, *high = [amount for amount in amounts if amount is not None]
    if high and high[0] <= low:
        if high[0] < low:
            raise UnclearMoneyError("is no range from low to high; write one price")
        high = []
    return Money(-low if is_negative else low, high[0] if high else None, is_open, codes)


def _sign(before: str) -> tuple[str, bool]:
    """Return what stands before a number without its sign, and whether that is a minus."""
    bare = before.strip()
    for sign in ("-", "+"):
        if bare.startswith(sign) or bare.endswith(sign):
            return bare.removeprefix(sign).removesuffix(sign), sign == "-"
    return bare, False


def _range_marks(between: str) -> list[str] | None:
    """Return what stands around the sign of a range; None without one."""
    # The sign first: "12 A$ - 15 A$" has a Spanish "a" too.
    for pattern in _BETWEEN:
        if found := pattern.search(between):
            return [between[: found.start()], between[found.end() :]]
    return None


def _codes_of(marks: list[str]) -> frozenset[str] | None:
    """Return the currencies that all marks may mean; empty without marks, None where one is no
    currency's.
    """
    common: frozenset[str] | None = None
    for mark in filter(None, map(str.strip, marks)):
        for codes in _codes_of_mark(mark):
            if not codes:
                return None
            both = codes if common is None else common & codes
            if not both:
                raise UnclearMoneyError("names two currencies; write one")
            common = both
    return common or frozenset()


def _codes_of_mark(mark: str) -> list[frozenset[str]]:
    bare = mark.strip("()[]:, ") or mark
    whole = currencies_of(bare)
    if whole:
        return [whole]
    return [currencies_of(part) for part in (bare.split() if " " in bare else _PARTS.findall(bare))]


def _amount(
    found: re.Match[str], mark: DecimalMark | None, currencies: frozenset[str]
) -> Decimal | None:
    digits = found["digits"]
    is_round = found["round"] is not None
    if sum(map(str.isdigit, digits)) > MAX_DIGITS:
        return None
    if _TWO_WAYS.fullmatch(digits):
        decimal = "" if is_round else _mark_of_two(digits, mark, currencies)
    elif _GROUPED.fullmatch(digits) or _PLAIN.fullmatch(digits):
        decimal = next((char for char in digits if char in ".,"), "")
    elif grouped := _GROUPED_BY_MARK.fullmatch(digits):
        decimal = ({".": ",", ",": "."})[grouped[1]]
    elif _INDIAN.fullmatch(digits):
        decimal = "."
    else:
        return None
    if is_round and decimal and decimal in digits:
        return None
    return Decimal(
        "".join(
            "." if char == decimal else char for char in digits if char.isdigit() or char == decimal
        )
    )


def _mark_of_two(digits: str, mark: DecimalMark | None, currencies: frozenset[str]) -> str:
    """Return the decimal mark of a number such as 1.299, empty where its mark groups thousands.

    The column decides, then the decimals that amounts of the currency have. A comma groups
    thousands, as no price has three decimals, but a point before three digits may be a database's.
    """
    own = "," if "," in digits else "."
    if mark is not None:
        return own if own == mark else ""
    decimals = {decimals_of(code) for code in currencies}
    if decimals == {0} or (own == "," and 3 not in decimals):
        return ""
    if decimals == {3} and own == ".":
        return own
    as_decimals, as_thousands = digits.replace(own, "."), digits.replace(own, "")
    raise UnclearMoneyError(
        f"may be {as_decimals} or {as_thousands}; say which mark stands before decimals: "
        'decimal: "," or "." under columns:'
    )
