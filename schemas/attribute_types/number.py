"""Numbers and amounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from schemas.attribute_types.contract import UNKNOWN, TypeSpec, matching

if TYPE_CHECKING:
    from schemas.attributes import Attribute

AMOUNT_PARTS = ("each", "total")
Part = Literal["pack_count", "each", "total", "width", "height", "depth", "length"]

# A grammar that allowed any number would let digits run on.
_NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,4})?"
_WHOLE = r"-?[0-9]{1,9}"


class NumberSpec(TypeSpec):
    """A number in the template's unit, which may be one part of a compound such as `6 x 330 ml`."""

    options = frozenset({"unit", "integer", "min", "max", "part"})
    is_number = True
    is_drafted_filled = True

    def problems(self, attribute: Attribute) -> Iterator[str]:
        yield from _part_problems(attribute)
        if (
            attribute.min is not None
            and attribute.max is not None
            and attribute.min > attribute.max
        ):
            yield f"min {attribute.min:g} is above max {attribute.max:g}; swap them"

    def arrow_type(self, attribute: Attribute) -> pa.DataType:
        return pa.int64() if attribute.integer else pa.float64()

    def answer_schema(self, attribute: Attribute, _offered: Sequence[str]) -> dict[str, Any]:
        return matching(_WHOLE if attribute.integer else _NUMBER)

    def answer_hint(self, attribute: Attribute, _offered: Sequence[str]) -> str:
        unit = f" in {attribute.unit}, without the unit" if attribute.unit else ""
        number = "A whole number" if attribute.integer else "A number"
        return f'{number} as a string{unit}, or "{UNKNOWN}".'


def _part_problems(attribute: Attribute) -> Iterator[str]:
    part, unit = attribute.part, attribute.unit
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
