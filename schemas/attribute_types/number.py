"""Numbers and amounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from schemas.attribute_types.contract import UNKNOWN, Entry, TypeSpec, matching

AMOUNT_PARTS = ("each", "total")
Part = Literal["pack_count", "each", "total", "width", "height", "depth", "length"]

# A grammar that allowed any number would let digits run on.
_NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,4})?"
_WHOLE = r"-?[0-9]{1,9}"


class NumberSpec(TypeSpec):
    """A number in the template's unit, which may be one part of a compound such as `6 x 330 ml`."""

    of_one_row = True
    options = frozenset({"unit", "integer", "min", "max", "part"})
    is_number = True
    is_drafted_filled = True

    def problems(self, entry: Entry) -> Iterator[str]:
        yield from _part_problems(entry)
        if entry.min is not None and entry.max is not None and entry.min > entry.max:
            yield f"min {entry.min:g} is above max {entry.max:g}; swap them"

    def arrow_type(self, entry: Entry) -> pa.DataType:
        return pa.int64() if entry.integer else pa.float64()

    def answer_schema(self, entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return matching(_WHOLE if entry.integer else _NUMBER)

    def answer_hint(self, entry: Entry, _offered: Sequence[str]) -> str:
        unit = f" in {entry.unit}, without the unit" if entry.unit else ""
        number = "A whole number" if entry.integer else "A number"
        return f'{number} as a string{unit}, or "{UNKNOWN}".'


def _part_problems(entry: Entry) -> Iterator[str]:
    part, unit = entry.part, entry.unit
    if part is None:
        return
    if part == "pack_count":
        if unit is not None:
            yield "part pack_count is a number of pieces; remove the unit"
    elif unit is None:
        example = "ml" if part in AMOUNT_PARTS else "cm"
        yield f"part {part} is an amount; add a unit, for example {example}"
    elif part not in AMOUNT_PARTS:
        from schemas.units import same_kind

        if not same_kind(unit, "cm"):
            yield f"part {part} is a length; {unit!r} is not one, write for example cm"
