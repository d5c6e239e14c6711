"""Prices in running texts: text → amounts with their currency and place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from schemas.currencies import written_marks
from schemas.lexicons import one_of
from transforms.extraction.money.amounts import Money, UnclearMoneyError, read_money
from transforms.extraction.small_words import TO


@dataclass(frozen=True, slots=True)
class MoneyMention:
    """A price in a running text. begin, end: code point offsets, end exclusive."""

    money: Money
    begin: int
    end: int


@cache
def _in_text() -> re.Pattern[str]:
    marks = one_of(written_marks(), space=r"\s?", dots=False)
    mark = rf"(?:{marks}|[A-Z]{{3}})\.?"
    number = r"\d+(?:[.,'’\u00a0\u202f]\d+)*(?:[.,:][-–—]{1,2}|/-)?"
    return re.compile(
        rf"(?<![\w.,])(?:{mark}\s?{number}(?:\s?{mark}(?![^\W\d_]))?|{number}\s?{mark}(?![^\W\d_]))"
    )


# What makes a price in front of it one of several, or of an amount of something.
_NO_PRICE_BEHIND = re.compile(rf"\s?(?:[-–—~/×x]\s?\S|{TO}\s|per\b|\d)", re.IGNORECASE)


def find_money(text: str, begin: int) -> MoneyMention | None:
    """Return the price that stands in a text at `begin`, with its currency.

    >>> find_money("Price: 12.90 EUR, in white", 7).end
    16
    """
    found = _in_text().match(text, begin)
    if found is None or _NO_PRICE_BEHIND.match(text, found.end()):
        return None
    try:
        money = read_money(found[0])
    except UnclearMoneyError:
        return None
    if money is None or len(money.currencies) != 1:
        return None
    return MoneyMention(money, found.start(), found.end())
