"""Which columns hold prices, and in what currency. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.drafting.names import has_word, words_of
from pipelines.drafting.profile import Column
from schemas.currencies import is_code
from transforms.extraction.money.amounts import UnclearMoneyError, read_money
from transforms.extraction.money.objects import read_money_object
from transforms.normalise.column_currencies import currency_of_name

# Of the texts with a digit: the others are flagged when the draft runs.
MIN_PRICES = 0.5
MIN_WITH_CURRENCY = 0.5
_CURRENCY_WORDS = frozenset(
    ["currency", "ccy", "waehrung", "währung", "devise", "valuta", "moneda", "moeda"]
)


def columns_of_currencies(columns: Mapping[str, Column]) -> dict[str, str]:
    """Return column of prices → the column that holds their currencies."""
    holders = [name for name, column in columns.items() if _holds_currencies(column)]
    found: dict[str, str] = {}
    for name in columns:
        if not has_word(name, "price") or name in holders:
            continue
        own = [each for each in holders if words_of(each)[: len(words_of(name))] == words_of(name)]
        nearest = own or holders
        if len(nearest) == 1 and currency_of_name(name) is None:
            found[name] = nearest[0]
    return found


def _holds_currencies(column: Column) -> bool:
    is_named = bool(_CURRENCY_WORDS & set(words_of(column.name)))
    codes = sum(n for text, n in column.texts.items() if is_code(text.upper()))
    return is_named and bool(codes) and codes >= 0.9 * column.texts.total()


def price_type(
    source: str, some: Sequence[str], currency_column: str | None
) -> tuple[dict[str, Any], str] | None:
    """Return how prices are drafted: as money where a currency stands with them, else as numbers;
    None where these are no prices.
    """
    if not has_word(source, "price"):
        return None
    asked = [text for text in some if re.search(r"\d", text)]
    codes = [_currencies(text) for text in asked]
    known = [each for each in codes if each is not None]
    if not asked or len(known) < MIN_PRICES * len(asked):
        return None
    beside = currency_of_name(source)
    if currency_column is not None:
        return {"type": "money"}, f"prices, their currency in {currency_column}"
    if beside is not None:
        return {"type": "money"}, f"prices in {beside} by the column's name"
    if sum(bool(each) for each in known) >= MIN_WITH_CURRENCY * len(known):
        several = any(len(each) > 1 for each in known)
        return {"type": "money"}, "prices" + (
            "; say which by currency:, their sign is that of several" if several else ""
        )
    return {"type": "number"}, "prices; no column tells the currency"


def _currencies(text: str) -> frozenset[str] | None:
    """Return which currencies a price may be in, empty where it names none; None for no price."""
    try:
        money = read_money(text)
    except UnclearMoneyError:
        return frozenset()
    return None if money is None else money.currencies


def are_price_objects(source: str, cells: Sequence[Any]) -> bool:
    """Return whether these are objects such as `{"value": 12.9, "currency": "EUR"}`."""
    objects = [cell for cell in cells if isinstance(cell, Mapping)]
    return (
        bool(objects)
        and has_word(source, "price")
        and sum(map(_is_price, objects)) >= (0.8 * len(objects))
    )


def _is_price(cell: Mapping[str, Any]) -> bool:
    try:
        return read_money_object(cell) is not None
    except UnclearMoneyError:
        return True
