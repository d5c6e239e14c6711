"""The unit of a bare number, where it stands beside the number: in another column or the header.

A shop's export has `weight` and `weight-unit`, `Weight (kg)` or `weight_kg`; to take 1.2 for grams
because the attribute is in grams would be wrong by a thousand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from schemas.template import ColumnFormat
from schemas.units import convert_stated
from transforms.extraction.cells import is_null
from transforms.extraction.quantities import DecimalMark, parse_number

# What a column's name has behind that of the numbers' column, without marks and in lower case.
_UNIT_SUFFIXES = frozenset(
    {
        "unit",
        "units",
        "uom",
        "unitcode",
        "unitofmeasure",
        "unitofmeasurement",
        "unitname",
        "einheit",
    }
)
_IN_BRACKETS = re.compile(r"[(\[]\s*(?:in\s+)?([^()\[\]\d]{1,20}?)\s*[)\]]\s*$")
_LAST_WORD = re.compile(r"(?:[_\s.-]|(?<=[a-z])(?=[A-Z]))([^\W\d_]{1,12})$")


class UnitMissingError(ValueError):
    """A bare number whose unit is not told where it should be."""


class ColumnUnits:
    """Gives bare numbers of one column the unit that stands beside them.

    column_format: says where the unit is; otherwise the column's name and the names of the others
    tell. unit: of the attribute.
    """

    def __init__(self, column: str, column_format: ColumnFormat, unit: str) -> None:
        self._column, self._unit = column, unit
        self._said, self._said_column = column_format.unit, column_format.unit_from
        mark = column_format.decimal
        self._mark: DecimalMark | None = None if mark == "mixed" else mark
        self._header_unit = self._said or unit_of_name(column, unit)
        self._unit_columns: dict[tuple[str, ...], str | None] = {}

    def with_unit(self, cell: Any, cells: Mapping[str, Any]) -> Any:
        """Return a bare number as a text with its unit, everything else as it is.

        Raises UnitMissingError where the column of units holds none that the number can have.
        """
        if not self._is_bare(cell):
            return cell
        beside = self._unit_column(cells)
        if beside is None:
            return cell if self._header_unit is None else f"{cell} {self._header_unit}"
        stated = cells.get(beside)
        if is_null(stated):
            if self._header_unit is not None:
                return f"{cell} {self._header_unit}"
            raise UnitMissingError(
                f"has no unit in {beside}; write one, or say unit: under columns:"
            )
        unit = str(stated).strip()
        if convert_stated(1.0, unit, self._unit) is None:
            raise UnitMissingError(
                f"is in {unit!r} by {beside}, which does not convert to {self._unit}; write a "
                "unit that does"
            )
        return f"{cell} {unit}"

    def _is_bare(self, cell: Any) -> bool:
        if isinstance(cell, str):
            return parse_number(cell, self._mark) is not None
        return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)

    def _unit_column(self, cells: Mapping[str, Any]) -> str | None:
        if self._said_column is not None or self._said is not None:
            return self._said_column
        names = tuple(cells)
        if names not in self._unit_columns:
            self._unit_columns[names] = self._found(names)
        return self._unit_columns[names]

    def _found(self, names: tuple[str, ...]) -> str | None:
        own = _bare_name(self._column)
        for name in names:
            bare = _bare_name(name)
            if bare.startswith(own) and bare[len(own) :] in _UNIT_SUFFIXES:
                return name
        return None


@lru_cache(maxsize=4096)
def _bare_name(name: str) -> str:
    """Return a column's name in lower case, letters and digits only."""
    return "".join(char for char in name.casefold() if char.isalnum())


def unit_of_name(column: str, unit: str) -> str | None:
    """Return the unit that a column's name ends with, if it measures what `unit` does.

    >>> names = ("Weight (kg)", "weight_kg", "Variant Grams", "weight")
    >>> [unit_of_name(name, "g") for name in names]
    ['kg', 'kg', 'Grams', None]
    >>> unit_of_name("Height [cm]", "g"), unit_of_name("weightKg", "g")
    (None, 'Kg')
    """
    for pattern in (_IN_BRACKETS, _LAST_WORD):
        found = pattern.search(column)
        if found and convert_stated(1.0, found[1], unit) is not None:
            return found[1]
    return None
