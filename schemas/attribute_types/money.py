"""Amounts of money with their currency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from schemas.attribute_types.contract import UNKNOWN, Entry, TypeSpec, matching

_ANSWER = r"-?[0-9]{1,9}(\.[0-9]{1,4})?( [A-Z]{3})?"


class MoneySpec(TypeSpec):
    """A price with its currency beside it, `{amount, amount_to, currency}`.

    Amounts are float64: features are computed with, and a decimal column comes as objects into
    pandas and NumPy; up to 15 digits come back as they were written. amount_to is the highest of a
    range, else null. A currency is a code of ISO 4217, null where it is not known.
    """

    options = frozenset({"currency", "min", "max"})
    of_one_row = True

    def problems(self, entry: Entry) -> Iterator[str]:
        if entry.currency is not None:
            from schemas.currencies import is_code

            if not is_code(entry.currency):
                yield (
                    f"{entry.currency!r} is no currency; write a code of ISO 4217 in capitals, for "
                    "example EUR"
                )
        if entry.min is not None and entry.max is not None and entry.min > entry.max:
            yield f"min {entry.min:g} is above max {entry.max:g}; swap them"

    def arrow_type(self, _entry: Entry) -> pa.DataType:
        return pa.struct(
            [
                pa.field("amount", pa.float64()),
                pa.field("amount_to", pa.float64()),
                pa.field("currency", pa.string()),
            ]
        )

    def answer_schema(self, _entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return matching(_ANSWER)

    def answer_hint(self, entry: Entry, _offered: Sequence[str]) -> str:
        code = entry.currency or "EUR"
        return (
            f'An amount with the code of its currency, for example "12.90 {code}", or "{UNKNOWN}".'
        )
