"""Amounts of money with their currency."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.attributes import Attribute
from schemas.currencies import decimals_of
from schemas.elements import Flag, Value
from schemas.reasons import CURRENCY_UNKNOWN, PRICE_RANGE
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import NOTHING, CellReader, Reading, TypeOperations
from transforms.attribute_types.number import binned
from transforms.attribute_types.reading import flagged, is_struck_out, shorten
from transforms.extraction.cells import as_mapping, as_text, split_list
from transforms.extraction.decimal_marks import DecimalMark
from transforms.extraction.money.amounts import Money, UnclearMoneyError, read_money
from transforms.extraction.money.objects import read_amount, read_money_object
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, price_finder

_EXAMPLES = "write for example 12.90 EUR"
_MIXED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}[.,]\d{3}(?![.,]?\d)")


class MoneyOperations(TypeOperations):
    """Mappings of `amount`, `amount_to` where it is a range, and `currency` where it is known.

    As elements hold them all are text, an amount with the digits that it has; the column holds
    numbers. Nothing is learnt from prices, and texts of old ones contradict nothing.
    """

    rule_method = "rule:money"
    is_label = False
    is_held_by_gate = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute)

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        return price_finder(attribute, lambda money: _value_of(money, attribute.currency))

    def parse_answer(self, attribute: Attribute, said: Any) -> Value | None:
        try:
            # An answer has no thousands.
            money = read_money(said, ".", attribute.currency)
        except UnclearMoneyError:
            return None
        if money is None or not _fits(attribute, money):
            return None
        return _value_of(money, attribute.currency)

    def format(self, _attribute: Attribute, value: Value) -> str:
        if not isinstance(value, dict):
            return str(value)
        code = value.get("currency")
        shown = " to ".join(_with_decimals(each, code) for each in _amounts(value))
        return f"{shown} {code}" if code else shown

    def to_arrow(self, _attribute: Attribute, value: Value) -> Any:
        if not isinstance(value, dict):
            return value
        highest = value.get("amount_to")
        return {
            "amount": float(value["amount"]),
            "amount_to": None if highest is None else float(highest),
            "currency": value.get("currency"),
        }

    def from_arrow(self, value: Any) -> Value:
        amounts = dict(zip(("amount", "amount_to"), _amounts(value), strict=False))
        return amounts | ({"currency": value["currency"]} if value["currency"] else {})

    def gate_values(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the amounts, which have to lie between the attribute's min and max."""
        return pa.chunked_array([pc.struct_field(values.combine_chunks(), "amount")])

    def candidate_text(self, value: Value) -> str:
        return self.texts(value)[0]

    def texts(self, value: Value) -> tuple[str, ...]:
        if not isinstance(value, dict):
            return (str(value),)
        return (f"{'-'.join(_amounts(value))} {value.get('currency') or ''}".strip(),)

    def agree(self, given: Value, stated: Value) -> bool:
        if not isinstance(given, dict) or not isinstance(stated, dict):
            return given == stated
        codes = {each["currency"] for each in (given, stated) if each.get("currency")}
        return len(codes) < 2 and _amounts(given)[0] == _amounts(stated)[0]

    def count(self, values: pa.Array) -> dict[str, int] | None:
        """Return how often amounts of each size occur, whatever their currency."""
        amounts = pc.struct_field(values.drop_null(), "amount")
        return binned(amounts.to_numpy(zero_copy_only=False).astype(np.float64))


def _read(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    mark = column.decimal_mark
    try:
        money, entry = _of_cell(attribute, cell, column, mark, keyed)
    except UnclearMoneyError as problem:
        return flagged(attribute, "value-wrong-type", f"{shorten(cell)} {problem}")
    if entry is None:
        return NOTHING
    if money is None:
        return flagged(
            attribute, "value-wrong-type", f"{shorten(entry)} is not one price; {_EXAMPLES}"
        )
    if not _fits(attribute, money):
        return flagged(attribute, "value-out-of-range", _out_of_range(attribute, entry, money))
    return _value_of(money, attribute.currency), tuple(_remarks(attribute, entry, money))


def _of_cell(
    attribute: Attribute, cell: Any, column: ColumnFormat, mark: DecimalMark | None, keyed: bool
) -> tuple[Money | None, Any]:
    """Return the price of a cell, and the entry that it stands in; None for an empty cell."""
    entries = split_list(cell, column, keyed=keyed)
    if not entries:
        return None, None
    read = [_of_entry(attribute, entry, column, mark) for entry in entries]
    if len(read) > 1 and any(each != read[0] for each in read):
        own = [
            place
            for place, each in enumerate(read)
            if each is not None and each.currencies == {attribute.currency}
        ]
        if len(own) != 1:
            raise UnclearMoneyError("gives several prices; write one, or name its currency:")
        return read[own[0]], entries[own[0]]
    empty = isinstance(entries[0], str) and not to_single_line(entries[0])
    return read[0], None if empty else entries[0]


def _of_entry(
    attribute: Attribute, entry: Any, column: ColumnFormat, mark: DecimalMark | None
) -> Money | None:
    default = attribute.currency
    is_object = isinstance(entry, dict) or (isinstance(entry, str) and entry[:1] == "{")
    given = as_mapping(entry, column) if is_object else None
    if given is not None:
        return read_money_object(given, mark, default)
    if isinstance(entry, str):
        if is_struck_out(entry):
            raise UnclearMoneyError("has a part that is crossed out; write the price alone")
        line = to_single_line(entry)
        if column.decimal == "mixed":
            _check_mixed(line)
        return read_money(line, mark, default)
    return read_amount(entry) if as_text(entry) is not None else None


def _check_mixed(line: str) -> None:
    if _MIXED.search(line):
        raise UnclearMoneyError(
            "may have decimals or thousands behind its mark, as other cells of the column have "
            'both; name the mark: decimal: "," under columns:'
        )


def _fits(attribute: Attribute, money: Money) -> bool:
    amounts = (money.amount, money.amount if money.highest is None else money.highest)
    low, high = attribute.min, attribute.max
    return (low is None or amounts[0] >= low) and (high is None or amounts[1] <= high)


def _out_of_range(attribute: Attribute, entry: Any, money: Money) -> str:
    limits = (("at least", attribute.min), ("at most", attribute.max))
    bounds = " and ".join(f"{side} {bound:.10g}" for side, bound in limits if bound is not None)
    return f"{shorten(entry)} is {_digits(money.amount)}; allowed: {bounds}"


def _value_of(money: Money, default: str | None) -> Value:
    value = {"amount": _digits(money.amount)}
    if money.highest is not None:
        value["amount_to"] = _digits(money.highest)
    code = money.currency(default)
    return value | ({"currency": code} if code else {})


def _remarks(attribute: Attribute, entry: Any, money: Money) -> Sequence[Flag]:
    flags = []
    if money.highest is not None or money.is_open:
        to = "no highest one is given" if money.highest is None else f"to {_digits(money.highest)}"
        detail = f"{shorten(entry)} is a range: from {_digits(money.amount)}, {to}"
        flags.append(Flag(PRICE_RANGE, attribute.name, detail))
    if money.currency(attribute.currency) is None and money.amount:
        may = f"may be {', '.join(sorted(money.currencies))}" if money.currencies else "names none"
        detail = f"{shorten(entry)} {may}; say it: currency: EUR at the attribute"
        flags.append(Flag(CURRENCY_UNKNOWN, attribute.name, detail))
    return flags


def _digits(amount: Decimal) -> str:
    """Return an amount without zeros at its end, the same from a cell and from a column."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _amounts(value: Mapping[str, Any]) -> list[str]:
    """Return the digits of the amount and of the end of a range, of elements as of columns."""
    amounts = (value["amount"], value.get("amount_to"))
    return [_digits(Decimal(str(each))) for each in amounts if each is not None]


def _with_decimals(digits: str, code: str | None) -> str:
    amount = Decimal(digits)
    places = decimals_of(code) if code else 0
    exponent = amount.as_tuple().exponent
    is_exact = isinstance(exponent, int) and -exponent <= places
    return f"{amount:.{places}f}" if is_exact else digits
