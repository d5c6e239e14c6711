"""The currency of an amount, where it stands beside the amount: in another column or the header.

Feeds have `price` and `currency`, `Price (USD)` or `price-EUR`; "12 kr" is Danish or Swedish by
what stands there. Names also say that an amount is in cents (`price_cents`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from schemas.currencies import currencies_of, is_code, is_usual
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.extraction.cells import is_null
from transforms.extraction.money.minor_units import part_of_name
from transforms.extraction.money.objects import scale_beside

# What a column's name has behind that of the amounts' column, or whole, letters only.
_OWN_SUFFIXES = (
    *("currency", "currencycode", "currencyiso", "currencysymbol", "currencyid", "currencyname"),
    *("curr", "waehrung", "währung", "devise", "valuta"),
)
_SHARED_NAMES = frozenset(
    {*_OWN_SUFFIXES, "pricecurrency", "isocurrencycode", "moneda", "moeda", "waluta", "ccy"}
)
# Of names that hold a currency, though not which column's.
_CURRENCY_WORD = re.compile(
    r"currency|curr(?![a-z])|w(?:ä|ae)hrung|devise|valuta|moneda|moeda|waluta|ccy"
)
# Usual names of amounts, whose key then says nothing of its own.
_AMOUNT_NAMES = frozenset({"amount", "value", "val", "price"})
# `price.centAmount` and `sale_amount`, whose currency is `price.currency` and `sale_currency`.
_AMOUNT_WORD = re.compile(r"(?<=.)\.[^.]+$|(?<=.)[_\s-](?:amount|value)$", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_]+|[^\w\s()\[\]/.,:;|%-]")
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CODE_CHARS = 3
# Sets of columns whose columns of currencies are known; JSON records may all have their own.
_KEPT_NAMES = 1_000
_NAMES = frozenset({"euro", "euros"})
_IN_BRACKETS = re.compile(r"[(\[]\s*(?:in\s+)?([^()\[\]\d]{1,12}?)\s*[)\]]")


def may_name_currencies(column: str) -> bool:
    """Return whether a column may hold the currencies of others, by its name.

    >>> may_name_currencies("price_curr"), may_name_currencies("price")
    (True, False)
    """
    return _CURRENCY_WORD.search(_letters(column)) is not None


class CurrencyUnclearError(ValueError):
    """Columns name different currencies, and none says that it is the amount's."""


class ColumnCurrency:
    """Gives amounts of one column the currency that stands beside them, and the key that says that
    they are in cents.

    written: the column's name, with the key behind its dot; key: the last key of its path.
    column_format: `unit` and `unit_from` say where the currency is; otherwise the names tell.
    default: the currency of amounts that nothing stands beside.
    """

    def __init__(
        self,
        written: str,
        column_format: ColumnFormat,
        *,
        key: str | None = None,
        default: str | None = None,
    ) -> None:
        self._written, self._default = written, default
        self._said_column, self._said = column_format.unit_from, column_format.unit
        self._header = self._said or currency_of_name(written)
        own = key or written
        part = part_of_name(own) or (
            part_of_name(written) if key is not None and key.casefold() in _AMOUNT_NAMES else None
        )
        self._key = {"cents": "amount_cents", "micros": "amount_micros"}.get(part or "")
        self._columns: dict[tuple[str, ...], _Columns] = {}

    def is_plain(self, names: tuple[str, ...]) -> bool:
        """Return whether nothing can stand beside the amounts of records with these columns."""
        is_said = self._said_column is not None or self._header is not None
        return not is_said and self._key is None and self._columns_of(names) == _NO_COLUMNS

    def beside(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of these columns tell the currency of the amounts without being named."""
        if self._said is not None or self._said_column is not None:
            return ()
        columns = self._columns_of(names)
        if columns.own is not None:
            return (columns.own,)
        return () if self._header is not None else columns.shared

    def with_unit(self, cell: Any, cells: Mapping[str, Any], within: Mapping[str, Any]) -> Any:
        """Return an amount with what stands beside it, everything else as it is.

        within: the keys among which the amount stands, of one behind a path. Raises
        CurrencyUnclearError.
        """
        if isinstance(cell, list):
            return [self.with_unit(entry, cells, within) for entry in cell]
        if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal | Mapping):
            return cell
        currency = self._currency(cells, within)
        if isinstance(cell, Mapping):
            if currency is None or any("currency" in str(key).casefold() for key in cell):
                return cell
            return {**cell, "currency": currency}
        if isinstance(cell, str) and cell.lstrip()[:1] in ("{", "["):
            return cell
        scale = scale_beside(within)
        if self._key is None and not scale:
            return cell if currency is None else _with_currency(cell, currency)
        named = {} if currency is None else {"currency": currency}
        return {self._key or "amount": cell, **scale, **named}

    def _currency(self, cells: Mapping[str, Any], within: Mapping[str, Any]) -> str | None:
        if self._said_column is not None:
            stated = within.get(self._said_column, cells.get(self._said_column))
        elif self._said is not None:
            return self._said
        else:
            nearest = next((within[name] for name in within if _tells(name, within[name])), None)
            stated = self._beside(cells) if is_null(nearest) else nearest
        return self._header if is_null(stated) else str(stated).strip()

    def _columns_of(self, names: tuple[str, ...]) -> _Columns:
        if names not in self._columns:
            if len(self._columns) >= _KEPT_NAMES:
                self._columns.clear()
            self._columns[names] = _Columns.of(self._written, names)
        return self._columns[names]

    def _beside(self, cells: Mapping[str, Any]) -> Any:
        columns = self._columns_of(tuple(cells))
        if columns.own is not None:
            return cells[columns.own]
        # A currency in the amounts' own name is nearer than a column for the whole record.
        if self._header is not None:
            return None
        stated = _stated(cells, columns.shared)
        if stated and all(codes & stated[0][0] for codes, _ in stated[1:]):
            return cells[stated[0][1]]
        unclear = [
            (codes, name)
            for codes, name in stated or _stated(cells, columns.others)
            if codes and self._default is not None and codes != {self._default}
        ]
        if unclear:
            named = " and ".join(f"{cells[name]} in {name}" for _, name in unclear)
            raise CurrencyUnclearError(
                f"stands beside {named}, which may be its currency or another's; say unit_from: or "
                "unit: under columns:"
            )
        return None


def is_nothing_to_pay(value: Value | None) -> bool:
    """Return whether a price is 0, as money or as a number."""
    if isinstance(value, dict):
        return value.get("amount") == "0" and "amount_to" not in value
    return value == 0


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of currencies beside a column of amounts: its own, those of all amounts, and
    those of which no name says whose they are.
    """

    own: str | None
    shared: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def of(cls, written: str, names: Sequence[str]) -> _Columns:
        own = _letters(written)
        stems = {own, _letters(_AMOUNT_WORD.sub("", written))}
        suffixed = [
            name
            for name in names
            for stem in stems
            if _letters(name).startswith(stem) and _letters(name)[len(stem) :] in _OWN_SUFFIXES
        ]
        shared = [name for name in names if _letters(name) in _SHARED_NAMES]
        taken = {_letters(name) for name in names} - {own}
        others = [
            name
            for name in names
            if (word := _CURRENCY_WORD.search(bare := _letters(name)))
            and name not in shared
            # `cost_currency` is that of `cost`, if there is such a column.
            and bare[: word.start()] not in taken
        ]
        return cls(next(iter(suffixed), None), tuple(shared), tuple(others))


_NO_COLUMNS = _Columns(None, (), ())


def _tells(key: str, value: Any) -> bool:
    """Return whether a key beside an amount holds its currency."""
    named = _letters(key)
    if named != "unit":
        return named in _SHARED_NAMES
    # A pound is a weight, too.
    unit = str(value).strip()
    return is_usual(unit) or (not unit.isalpha() and bool(currencies_of(unit)))


def _stated(cells: Mapping[str, Any], names: Sequence[str]) -> list[tuple[frozenset[str], str]]:
    """Return the currencies that some columns name, with the column, the most exact first."""
    texts = [(str(cells[name]).strip(), name) for name in names if not is_null(cells[name])]
    stated = [(currencies_of(text.upper()) or currencies_of(text), name) for text, name in texts]
    return sorted(stated, key=lambda each: (not each[0], len(each[0])))


def _with_currency(cell: Any, currency: str) -> Any:
    return f"{cell} {currency}" if isinstance(cell, str) else {"amount": cell, "currency": currency}


@lru_cache(maxsize=4096)
def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


@lru_cache(maxsize=4096)
def currency_of_name(column: str) -> str | None:
    """Return the one currency that a column's name names.

    In lower case a code is one only at the end or the beginning, and only of a currency that many
    use: `price_all` and `price_top` are no prices in lek or pa'anga.

    >>> names = ("Price (USD) excl. VAT", "price-EUR", "usd_price", "Preis [€]", "USD", "price_all")
    >>> [currency_of_name(name) for name in names]
    ['USD', 'EUR', 'USD', '€', 'USD', None]
    """
    found = {text.upper() for text in _IN_BRACKETS.findall(column) if _is_named(text)}
    outside = _IN_BRACKETS.sub(" ", column)
    tells_case = not outside.isupper()
    tokens = _TOKEN.findall(_NEW_WORD.sub(" ", outside).replace("_", " "))
    for place, token in enumerate(tokens):
        is_outer = place in (0, len(tokens) - 1)
        if len(token) == 1 and not token.isalpha():
            is_code_here = bool(currencies_of(token))
        elif len(tokens) == 1 or (token.isupper() and tells_case):
            is_code_here = len(token) == _CODE_CHARS and is_code(token)
        else:
            is_code_here = is_outer and _is_usual_word(token, is_last=place > 0)
        if is_code_here:
            found.add(token.upper())
    return next(iter(found)) if len(found) == 1 else None


def _is_named(text: str) -> bool:
    return is_code(text.upper()) or bool(currencies_of(text))


def _is_usual_word(token: str, *, is_last: bool) -> bool:
    if len(token) != _CODE_CHARS:
        return token.casefold() in _NAMES
    return is_usual(token.upper()) or (is_last and bool(currencies_of(token.casefold())))
