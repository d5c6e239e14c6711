"""Prices as numbers and objects of JSON and Parquet: value → amount and currency."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from schemas.currencies import currencies_of, decimals_of
from transforms.extraction.decimal_marks import DecimalMark
from transforms.extraction.money.amounts import MAX_DIGITS, Money, UnclearMoneyError, read_money
from transforms.extraction.money.minor_units import MICROS, Part, part_of_name

# Of an object's keys, in lower case and letters only.
# `#text` is that of an element of XML, beside an attribute with its currency.
_AMOUNT_KEYS = ("amount", "value", "price", "decimalvalue", "val", "text")
_LOW_KEYS = ("min", "minprice", "minamount", "low", "lowprice", "from", "minvalue")
_HIGH_KEYS = ("max", "maxprice", "maxamount", "high", "highprice", "to", "maxvalue")
# The last is the unit of all that is no money, too.
_CURRENCY_KEYS = (
    "currency",
    "currencycode",
    "pricecurrency",
    "currencyiso",
    "isocurrencycode",
    "unit",
)
# How many decimals a whole amount has, or by what it is to be divided.
_PLACES_KEYS = (
    *("fractiondigits", "precision", "scale", "exponent", "decimals", "decimalplaces"),
    "currencyexponent",
)
_MINOR_UNITS_KEYS = ("minorunits", "minorunit")
_DIVISOR_KEYS = ("divisor",)
_SCALE_KEYS = frozenset({*_PLACES_KEYS, *_MINOR_UNITS_KEYS, *_DIVISOR_KEYS})
_DECIMALS = re.compile(r"[.,]\d")
_WHOLE = re.compile(r"\s*(-?\d{1,18})(?:\.0+)?\s*")


def read_money_object(
    given: Mapping[str, Any], mark: DecimalMark | None = None, default: str | None = None
) -> Money | None:
    """Return the price of an object such as `{"value": 12.9, "currency": "EUR"}`, or None.

    Amounts in cents only where a key or a unit says so (`amount_cents`, `centAmount`), and their
    currency is known. Raises UnclearMoneyError.
    """
    by_key = {_letters(key): value for key, value in given.items()}
    part = part_of_name(str(by_key.get("unit") or ""))
    keys = _CURRENCY_KEYS if part is None else _CURRENCY_KEYS[:-1]
    stated = _first(by_key, keys)
    codes: frozenset[str] = frozenset()
    if stated is not None:
        codes = currencies_of(str(stated).strip().upper()) or currencies_of(str(stated))
        if not codes:
            return None
    known = Money(Decimal(0), currencies=codes).currency(default)
    amount = _first(by_key, _AMOUNT_KEYS)
    if amount is not None and part is None:
        return _with_codes(_scaled(_member(amount, mark, known), amount, by_key), codes)
    if amount is None:
        part, amount = _in_parts(given)
    if part is not None:
        return _of_parts(amount, part, _first(by_key, _PLACES_KEYS), known, codes)
    if "nanos" in by_key:
        return _with_codes(_of_nanos(by_key.get("units"), by_key["nanos"]), codes)
    low, high = _first(by_key, _LOW_KEYS), _first(by_key, _HIGH_KEYS)
    lowest, highest = _member(low, mark, known), _member(high, mark, known)
    if lowest is None or (high is not None and highest is None):
        return None
    top = None if highest is None or highest.amount == lowest.amount else highest.amount
    return _with_codes(Money(lowest.amount, top, highest is None, lowest.currencies), codes)


@lru_cache(maxsize=4096)
def _letters(key: str) -> str:
    return re.sub(r"[^a-z]", "", str(key).casefold())


def scale_beside(beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells the scale of the amount that stands among these keys."""
    return {
        key: value
        for key, value in beside.items()
        if value not in (None, "")
        if _letters(key) in _SCALE_KEYS
        or (_letters(key) == "unit" and part_of_name(str(value)) is not None)
    }


def _in_parts(given: Mapping[str, Any]) -> tuple[Part | None, Any]:
    """Return the parts of a currency that a key names, and how many."""
    for key, value in given.items():
        part = part_of_name(str(key))
        if part is not None and value not in (None, ""):
            return part, value
    return None, None


def _scaled(money: Money | None, amount: Any, by_key: Mapping[str, Any]) -> Money | None:
    """Return a price whose object says by what it is to be divided.

    A number of decimals beside a whole amount may say that the amount has these, or how it is to
    be shown.
    """
    divisor = _first(by_key, _DIVISOR_KEYS)
    places = _first(by_key, (*_PLACES_KEYS, *_MINOR_UNITS_KEYS))
    if money is None or (divisor is None and places is None):
        return money
    if divisor is not None:
        if not isinstance(divisor, int) or divisor < 1 or money.highest is not None:
            return None
        return replace(money, amount=money.amount / divisor)
    is_whole = money.amount == money.amount.to_integral_value()
    if str(places) not in ("0", "0.0") and is_whole and not _DECIMALS.search(str(amount)):
        raise UnclearMoneyError(
            f"may be whole or have the {places} decimals that stand beside it; name the key of "
            "cents, such as amount_cents, or write the amount with its decimals"
        )
    return money


def _of_nanos(units: Any, nanos: Any) -> Money | None:
    """Return the price of google.type.Money."""
    whole, billionths = _whole(units or 0), _whole(nanos)
    if whole is None or billionths is None:
        return None
    return Money(Decimal(whole) + Decimal(billionths).scaleb(-9))


def _first(by_key: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((by_key[key] for key in keys if by_key.get(key) not in (None, "")), None)


def _member(given: Any, mark: DecimalMark | None, default: str | None) -> Money | None:
    if isinstance(given, Mapping):
        return read_money_object(given, mark, default)
    if isinstance(given, str):
        return read_money(given, mark, default)
    return read_amount(given)


def read_amount(given: Any) -> Money | None:
    """Return the price that a number of JSON or Parquet is; None for what is none."""
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        return None
    amount = Decimal(str(given))
    return Money(amount) if amount.is_finite() and abs(amount) < 10**MAX_DIGITS else None


def _with_codes(money: Money | None, codes: frozenset[str]) -> Money | None:
    if money is None or not codes:
        return money
    both = money.currencies & codes if money.currencies else codes
    if not both:
        raise UnclearMoneyError("names two currencies; write one")
    return Money(money.amount, money.highest, money.is_open, both)


def _of_parts(
    count: Any, part: Part, places: Any, code: str | None, codes: frozenset[str]
) -> Money | None:
    """Return the price of a number of cents, or of millionths."""
    whole = _whole(count)
    if whole is None:
        return None
    if part == "micros":
        return Money(Decimal(whole) * MICROS, currencies=codes)
    known = _whole(places)
    if code is None and known is None:
        raise UnclearMoneyError("is in cents of an unknown currency; name the currency")
    decimals = known if known is not None else decimals_of(str(code))
    return Money(Decimal(whole).scaleb(-decimals), currencies=codes)


def _whole(count: Any) -> int | None:
    """Return a whole number, also one that became a float; None for anything else."""
    if isinstance(count, bool) or not isinstance(count, int | float | Decimal | str):
        return None
    found = _WHOLE.fullmatch(str(count))
    return None if found is None else int(found[1])
