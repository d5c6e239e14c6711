"""Currencies: their codes (ISO 4217), decimals, and the signs and words by which prices name them.

Codes, decimals and whole names are those of the Unicode CLDR; signs and abbreviations, which people
write otherwise than the CLDR does, stand in `currencies.yaml`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources

from schemas.lexicons import INTERNATIONAL, lexicons
from schemas.strict_yaml import decode
from schemas.units import is_unit

# Spaces, dots, and marks of direction that nobody sees.
_NO_SIGN = re.compile(r"[\s.\u200b-\u200f\u202a-\u202e\u2060-\u2069\u061c\ufeff\u00ad]")
_CODE = re.compile(r"[A-Z]{3}")
_USUAL_DECIMALS = 2
# CLDR names differ by count: "1 złoty", "2 złote", "5 złotych", "1,5 złotego".
_COUNTS = (1, 2, 5, 1.5)


def folded(mark: str) -> str:
    """Return a sign or word without case, spaces, dots and forms of width.

    >>> folded("US $"), folded("Rs."), folded("￥")
    ('us$', 'rs', '¥')
    """
    return _NO_SIGN.sub("", unicodedata.normalize("NFKC", mark)).casefold()


@cache
def _written() -> Mapping[str, tuple[str, ...]]:
    text = resources.files("schemas.currencies").joinpath("currencies.yaml").read_text("utf-8")
    return decode(text, "schemas/currencies/currencies.yaml", dict[str, tuple[str, ...]])


@cache
def _marks() -> Mapping[str, frozenset[str]]:
    """Return folded sign, abbreviation or code → currencies that it may mean."""
    return _grouped((mark, code) for code, marks in _written().items() for mark in (code, *marks))


@cache
def _names() -> Mapping[str, frozenset[str]]:
    """Return folded whole name → currencies, in the languages that have a lexicon."""
    from babel.numbers import get_currency_name

    locales = [code for code in lexicons() if code != INTERNATIONAL]
    return _grouped(
        (get_currency_name(code, count, locale), code)
        for code in _written()
        for locale in locales
        for count in _COUNTS
    )


def _grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for mark, code in pairs:
        found.setdefault(folded(mark), set()).add(code)
    return {mark: frozenset(codes) for mark, codes in found.items()}


@cache
def _codes() -> frozenset[str]:
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


@lru_cache(maxsize=4096)
def currencies_of(mark: str) -> frozenset[str]:
    """Return the currencies that a sign, code or word may mean; none for anything else.

    >>> sorted(currencies_of("kr.")), sorted(currencies_of("US$")), sorted(currencies_of("kg"))
    (['DKK', 'ISK', 'NOK', 'SEK'], ['USD'], [])
    """
    key = folded(mark)
    if key in _marks():
        return _marks()[key]
    # In lower case a code of a rare currency is mostly another word: "all", "top".
    if _CODE.fullmatch(mark.strip()) and mark.strip() in _codes():
        return frozenset({mark.strip()})
    return _names().get(key, frozenset())


def is_currency(code: str) -> bool:
    """Return whether a unit is a currency's code, in capitals.

    Of the rare ones only those that are no unit of measure: "CUP" is a cup.
    """
    return code in _written() or (
        _CODE.fullmatch(code) is not None and code in _codes() and not is_unit(code)
    )


def is_usual(code: str) -> bool:
    """Return whether a code is one of the currencies whose signs and words are known.

    >>> is_usual("USD"), is_usual("ALL")
    (True, False)
    """
    return code in _written()


def is_code(code: str) -> bool:
    """Return whether a text is a code of ISO 4217."""
    return code in _codes()


@lru_cache(maxsize=512)
def decimals_of(code: str) -> int:
    """Return how many decimals amounts of a currency have.

    >>> decimals_of("JPY"), decimals_of("EUR"), decimals_of("KWD")
    (0, 2, 3)
    """
    from babel.numbers import get_currency_precision

    return int(get_currency_precision(code)) if is_code(code) else _USUAL_DECIMALS


@cache
def written_marks() -> tuple[str, ...]:
    """Return all signs, abbreviations and codes of `currencies.yaml`, the longest first."""
    marks = {mark for code, marks in _written().items() for mark in (code, *marks)}
    return tuple(sorted(marks, key=lambda mark: (-len(mark), mark)))
