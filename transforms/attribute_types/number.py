"""Numbers and amounts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.attribute_types.number import AMOUNT_PARTS
from schemas.attributes import Attribute
from schemas.currencies import is_currency
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import NOTHING, CellReader, Reading, TypeOperations
from transforms.attribute_types.reading import flagged, is_struck_out, shorten, single_entry
from transforms.extraction.cells import as_text
from transforms.extraction.compounds import find_parts, states_a_pack, states_sides
from transforms.extraction.decimal_marks import DecimalMark, mark_of_whole, reads_two_ways
from transforms.extraction.money.amounts import Money, UnclearMoneyError, read_money
from transforms.extraction.money.objects import read_amount, read_money_object
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.quantities import parse_number, parse_quantity
from transforms.extraction.statements import Finder, Statement, amount_finder, price_finder

# Bins are equally wide on a logarithmic scale, so that they need not be chosen for each snapshot.
BINS_PER_DOUBLING = 4
# Relative: "500 ml / 16.9 fl oz" is one amount, rounded twice.
SAME_AMOUNT = 0.02
_INTEGER_LIMIT = 2.0**53


class NumberOperations(TypeOperations):
    """Numbers as floats, also where the column holds integers."""

    rule_method = "rule:quantity"
    is_checked_against_texts = True
    is_compared_across_items = True
    is_held_by_gate = True

    def reader(self, attribute: Attribute, sibling_units: tuple[str, ...]) -> CellReader:
        if is_currency(attribute.unit or ""):
            return partial(_read_price, attribute, sibling_units)
        return partial(_read, attribute, sibling_units)

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:
        if is_currency(attribute.unit or ""):
            return price_finder(attribute, partial(_amount_in, attribute.unit))
        return amount_finder(attribute, alone=alone)

    def decide(self, _attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
        amounts = [float(str(statement.value)) for statement in statements]
        is_one = max(amounts) - min(amounts) <= SAME_AMOUNT * abs(amounts[0])
        return statements[0] if is_one else None

    def parse_answer(self, attribute: Attribute, said: Any) -> Value | None:
        number = float(said)
        low, high = attribute.min, attribute.max
        is_allowed = (low is None or number >= low) and (high is None or number <= high)
        return number if is_allowed else None

    def format(self, attribute: Attribute, value: Value) -> str:
        number = f"{value:.10g}" if isinstance(value, float) else str(value)
        return f"{number} {attribute.unit}" if attribute.unit else number

    def to_arrow(self, attribute: Attribute, value: Value) -> Any:
        return int(value) if attribute.integer and isinstance(value, float) else value

    def from_arrow(self, value: Any) -> Value:
        return float(value)

    def candidate_text(self, value: Value) -> str:
        # Candidates of an earlier run come back as the text that they were written as.
        return f"{value:g}" if isinstance(value, float) else str(value)

    def agree(self, given: Value, stated: Value) -> bool:
        one, other = float(str(given)), float(str(stated))
        return abs(one - other) <= SAME_AMOUNT * abs(one)

    def texts(self, value: Value) -> tuple[str, ...]:
        return (f"{value:.10g}" if isinstance(value, int | float) else str(value),)

    def candidate_texts(self, candidate: str) -> tuple[str, ...]:
        number = _finite(candidate)
        return (candidate,) if number is None else self.texts(number)

    def comparison_key(self, text: str) -> str:
        """Return the number to six digits."""
        number = _finite(text)
        return super().comparison_key(text) if number is None else f"{number:.6g}"

    def count(self, values: pa.Array) -> dict[str, int] | None:
        return binned(values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64))


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def binned(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, int]:
    """Return how many numbers lie in each bin, by its name."""
    with np.errstate(divide="ignore"):
        places = np.floor(np.log2(np.abs(numbers)) * BINS_PER_DOUBLING)
    names = Counter(zip(np.sign(numbers).tolist(), places.tolist(), strict=True))
    return {
        "0" if sign == 0 else f"{'-' if sign < 0 else ''}2^{place / BINS_PER_DOUBLING:g}": count
        for (sign, place), count in names.items()
        if math.isfinite(place) or sign == 0
    }


def _read(
    attribute: Attribute,
    sibling_units: tuple[str, ...],
    cell: Any,
    column: ColumnFormat,
    keyed: bool,
) -> Reading:
    """Read a number; an amount of a sibling's unit is neither this attribute's nor a mistake."""
    entry, problem = single_entry(attribute, cell, column, keyed)
    if entry is None:
        return problem
    text = to_single_line(entry) if isinstance(entry, str) else as_text(entry) or ""
    if is_struck_out(entry):
        detail = f"{shorten(entry)} has a part that is crossed out; write the number alone"
        return flagged(attribute, "value-wrong-type", detail)
    unit = f" {attribute.unit}" if attribute.unit else ""
    if sibling_units and parse_number(text) is not None:
        others = " or ".join(sibling_units)
        return flagged(
            attribute,
            "value-wrong-type",
            f"{shorten(entry)} may mean{unit} or {others}; write the unit",
        )
    mark = column.decimal_mark
    if mark is None and isinstance(entry, str) and reads_two_ways(text):
        groups = column.decimal == "thousands"
        mark = mark_of_whole(text, groups=groups) if attribute.integer else None
        if mark is None:
            return flagged(
                attribute,
                "value-wrong-type",
                f"{shorten(entry)} may have decimals or thousands behind its mark, and the column "
                'does not tell; name the mark: decimal: "," or "." under columns:',
            )
    number = _number(attribute, entry, mark)
    if number is None and (
        any(parse_quantity(text, sibling) is not None for sibling in sibling_units)
        or _states_other_parts(attribute, text)
    ):
        return NOTHING
    if number is None and attribute.unit is None and attribute.part is None:
        # A price without a unit in the template: in the currency of its shop.
        try:
            price = read_money(text, mark)
        except UnclearMoneyError as problem:
            return flagged(attribute, "value-wrong-type", f"{shorten(entry)} {problem}")
        if price is not None and price.currencies and _is_one(price):
            number = float(price.amount)
    if number is None or not math.isfinite(number):
        example = f"a number, or an amount that converts to{unit}" if unit else "a number"
        return flagged(
            attribute, "value-wrong-type", f"{shorten(entry)} is not a number; write {example}"
        )
    return _in_range(attribute, entry, number)


def _read_price(
    attribute: Attribute,
    sibling_units: tuple[str, ...],
    cell: Any,
    column: ColumnFormat,
    keyed: bool,
) -> Reading:
    """Read an amount of the attribute's currency; of another it is not this attribute's."""
    unit = str(attribute.unit)
    entry, problem = single_entry(attribute, cell, column, keyed)
    if entry is None:
        return problem
    if isinstance(entry, str) and column.decimal == "mixed" and reads_two_ways(entry):
        detail = f'{shorten(entry)} reads two ways; name the mark: decimal: "," under columns:'
        return flagged(attribute, "value-wrong-type", detail)
    try:
        if is_struck_out(entry):
            raise UnclearMoneyError("has a part that is crossed out; write the price alone")
        price = _price_of(entry, column.decimal_mark, unit)
    except UnclearMoneyError as unclear:
        return flagged(attribute, "value-wrong-type", f"{shorten(entry)} {unclear}")
    if price is None or not _is_one(price):
        if isinstance(entry, str) and not to_single_line(entry):
            return NOTHING
        detail = f"{shorten(entry)} is not one amount; write for example 12.90 {unit}"
        return flagged(attribute, "value-wrong-type", detail)
    amount = _amount_in(unit, price)
    if amount is not None and (price.currencies or not sibling_units):
        return _in_range(attribute, entry, amount)
    if price.currencies & set(sibling_units):
        return NOTHING
    named = ", ".join(sorted(price.currencies or {unit, *sibling_units}))
    detail = f"{shorten(entry)} may be in {named}, not {unit} alone; type money keeps currencies"
    return flagged(attribute, "value-wrong-type", detail)


def _price_of(entry: Any, mark: DecimalMark | None, unit: str) -> Money | None:
    if isinstance(entry, Mapping):
        return read_money_object(entry, mark, unit)
    if isinstance(entry, str):
        return read_money(to_single_line(entry), mark, unit)
    return read_amount(entry)


def _is_one(price: Money) -> bool:
    return price.highest is None and not price.is_open


def _amount_in(unit: str | None, price: Money) -> float | None:
    """Return the amount of a price in a currency; None in another, or of a range."""
    return float(price.amount) if price.currency(unit) == unit and _is_one(price) else None


def _in_range(attribute: Attribute, entry: Any, number: float) -> Reading:
    unit = f" {attribute.unit}" if attribute.unit else ""
    if attribute.integer and not number.is_integer():
        return flagged(attribute, "value-wrong-type", f"{shorten(entry)} is not a whole number")
    # An integer column is 64 bits wide, and a float counts in ones only up to 2**53.
    low, high = (
        bound if bound is not None or not attribute.integer else limit
        for bound, limit in ((attribute.min, -_INTEGER_LIMIT), (attribute.max, _INTEGER_LIMIT))
    )
    if (low is not None and number < low) or (high is not None and number > high):
        limits = (("at least", low), ("at most", high))
        bounds = " and ".join(
            f"{side} {bound:.10g}{unit}" for side, bound in limits if bound is not None
        )
        return flagged(
            attribute,
            "value-out-of-range",
            f"{shorten(entry)} is {number:.10g}{unit}; allowed: {bounds}",
        )
    return number + 0.0, ()  # "-0" is 0


def _number(attribute: Attribute, entry: Any, mark: DecimalMark | None) -> float | None:
    if isinstance(entry, str):
        text = to_single_line(entry)
        if attribute.part is not None:
            amounts = {
                quantity.amount
                for quantity in find_parts(text, attribute.part, attribute.unit, mark)
            }
            if amounts:
                return amounts.pop() if len(amounts) == 1 else None
        if attribute.unit:
            return parse_quantity(text, attribute.unit, mark)
        return parse_number(text, mark)
    if isinstance(entry, int | float | Decimal) and not isinstance(entry, bool):
        try:
            return float(entry)
        except (OverflowError, ValueError):
            return None
    return None


def _states_other_parts(attribute: Attribute, text: str) -> bool:
    """Return whether the cell holds a part of a compound that is not this attribute's.

    Columns of such cells are shared by attributes.
    """
    if attribute.part is None or find_parts(text, attribute.part, attribute.unit):
        return False
    if attribute.part == "pack_count":
        return any(parse_quantity(text, unit) is not None for unit in ("g", "ml"))
    return states_a_pack(text) if attribute.part in AMOUNT_PARTS else states_sides(text)
