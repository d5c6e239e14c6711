"""The unit of a bare number, where it stands beside the number: in another column or the header.

A shop's export has `weight` and `weight-unit`, `Weight (kg)` or `weight_kg`; to take 1.2 for grams
because the attribute is in grams would be wrong by a thousand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from schemas.template import ColumnFormat
from schemas.units import convert_stated, text_spellings
from transforms.extraction.cells import is_null
from transforms.extraction.quantities import parse_number, plain_text

# What a column's name has behind that of the numbers' column, without marks and in lower case.
_UNIT_SUFFIXES = frozenset(
    {
        *("unit", "units", "uom", "unitcode", "unitofmeasure", "unitofmeasurement", "unitname"),
        *("einheit", "masseinheit", "maßeinheit", "enhet", "eenheid", "unité", "unite", "unidad"),
        *("unidade", "unità", "unita", "jednostka"),
    }
)
# Of names that hold a unit, though not which column's.
_UNIT_WORD = re.compile(r"units?|uom|einheit|enhet|eenheid|unité|unidade?|unità|jednostka|_class")
# Of an object that is a number with its unit: `{"value": 1.2, "unit": "kg"}`.
_AMOUNTS = frozenset({"value", "amount", "quantity", "number", "magnitude"})
# Units called so are those of all lengths of a record.
_OF_LENGTHS = frozenset({"dimension", "dimensions", "dim", "dims", "size", "measure", "masse"})
_LENGTH = "cm"
# Of a name that shares a word with another's; what says nothing by itself is none.
_WORD = re.compile(r"[^\W\d_]{3,}")
_NEW_WORD = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])")
_IN_BRACKETS = re.compile(r"[(\[]\s*(?:in\s+)?([^()\[\]\d]{1,20}?)\s*[)\]]")
_LAST_WORD = re.compile(r"(?:^|[_\s.-]|(?<=[a-z])(?=[A-Z]))([^\W\d_]{1,12})\s*$")
_LETTERS = re.compile(r"[^\W\d_]+")
# What is nothing but a unit, also in the midst of a name.
_SYMBOLS = frozenset(
    {
        *("kg", "kgs", "mg", "lb", "lbs", "oz", "cm", "mm", "km", "ml", "cl", "dl", "mah", "wh"),
        *("kwh", "kw", "ghz", "mhz", "khz", "gb", "mb", "tb", "kb"),
    }
)
_THINGS = frozenset({"foot", "yard", "hand", "cup", "bar", "pint"})
_MAX_UNIT_CHARS, _MIN_WORD_CHARS = 20, 4
# Sets of columns whose columns of units are known; JSON records may all have their own.
_KEPT_NAMES = 1_000


def may_name_units(column: str) -> bool:
    """Return whether a column may hold the units of others, by its name.

    >>> may_name_units("Weight-U.O.M."), may_name_units("weight")
    (True, False)
    """
    return any(map(_UNIT_WORD.search, (column.casefold(), bare_name(column))))


class UnitMissingError(ValueError):
    """A bare number whose unit is not given where it should be."""


class ColumnUnits:
    """Gives bare numbers of one column the unit that stands beside them.

    written: the column's name; key: the last key of its path, behind which the other keys tell, and
    one called `unit` is for all of them. column_format: says where the unit is; otherwise the
    column's name and the names of the others tell. unit: of the attribute.
    """

    def __init__(
        self, written: str, column_format: ColumnFormat, unit: str, *, key: str | None = None
    ) -> None:
        self._written, self._unit, self._key = written, unit, key
        self._said, self._said_column = column_format.unit, column_format.unit_from
        self._mark = column_format.decimal_mark
        own = units_of_name(key or written, unit)
        self._header = (self._said,) if self._said else own
        self._unit_columns: dict[tuple[str, ...], _UnitColumns] = {}

    def is_plain(self, names: tuple[str, ...]) -> bool:
        """Return whether nothing can stand beside the numbers of records with these columns."""
        is_said = self._said_column is not None or bool(self._header)
        return not is_said and self._columns(self._written, names, is_key=False) == _NO_COLUMNS

    def beside(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return which of these columns tell the unit of the numbers without being named."""
        if self._said is not None or self._said_column is not None:
            return ()
        columns = self._columns(self._written, names, is_key=False)
        return (columns.own,) if columns.own is not None else columns.alike

    def with_unit(self, cell: Any, cells: Mapping[str, Any], within: Mapping[str, Any]) -> Any:
        """Return a bare number as a text with its unit, everything else as it is.

        within: the keys among which the number stands, of one behind a path. Raises
        UnitMissingError where what stands beside it is no unit that the number can have, or may be
        another's.
        """
        if isinstance(cell, list):
            return [self.with_unit(entry, cells, within) for entry in cell]
        if isinstance(cell, Mapping):
            return self._of_object(cell, cells)
        if not self._is_bare(cell):
            return cell
        unit = self._stated(cells, within)
        return cell if unit is None else f"{plain_text(cell)} {unit}"

    def _of_object(self, cell: Mapping[str, Any], cells: Mapping[str, Any]) -> Any:
        """Return the number of an object such as `{"value": 1.2, "unit": "kg"}` with its unit."""
        amounts = [value for key, value in cell.items() if bare_name(str(key)) in _AMOUNTS]
        if len(amounts) != 1 or not isinstance(amounts[0], str | int | float | Decimal):
            return cell
        names = tuple(map(str, cell))
        column = unit_column_of("value", names) if len(names) == len(cell) else None
        if column is None:
            return self.with_unit(amounts[0], cells, {})
        unit = self._in_column(column, cell)
        return f"{plain_text(amounts[0])} {unit}" if self._is_bare(amounts[0]) else amounts[0]

    def _stated(self, cells: Mapping[str, Any], within: Mapping[str, Any]) -> str | None:
        """Return the unit that stands beside a bare number; None without one."""
        if self._said_column is not None:
            return self._in_column(self._said_column, {**cells, **within})
        if self._said is not None:
            return self._said
        key = self._key if within and self._key is not None else None
        beside = within if key is not None else cells
        columns = self._columns(key or self._written, tuple(beside), is_key=key is not None)
        if columns.own is not None:
            return self._in_column(columns.own, beside)
        if len(self._header) > 1:
            raise UnitMissingError(
                f"may be in {' or '.join(self._header)} by the column's name; say unit: under "
                "columns:"
            )
        return self._header[0] if self._header else self._nearby(beside, columns)

    def _in_column(self, column: str, cells: Mapping[str, Any]) -> str:
        stated = cells.get(column)
        if is_null(stated):
            if self._header:
                return self._header[0]
            raise UnitMissingError(
                f"has no unit in {column}; write one, or say unit: under columns:"
            )
        unit = str(stated).strip()
        if convert_stated(1.0, unit, self._unit) is None:
            raise UnitMissingError(
                f"is in {unit!r} by {column}, which does not convert to {self._unit}; write a "
                "unit that does"
            )
        return unit

    def _nearby(self, cells: Mapping[str, Any], columns: _UnitColumns) -> str | None:
        """Return the unit in a column that may be of units, as its name and what it holds say."""
        for name in columns.alike:
            if (unit := self._unit_in(cells.get(name))) is not None:
                return unit
        for name in columns.others:
            unit = self._unit_in(cells.get(name))
            if unit is not None and convert_stated(1.0, unit, self._unit) != 1.0:
                raise UnitMissingError(
                    f"stands beside {unit!r} in {name}, which may be its unit or another's; say "
                    "unit_from: or unit: under columns:"
                )
        return None

    def _unit_in(self, cell: Any) -> str | None:
        unit = cell.strip() if isinstance(cell, str) else ""
        is_unit = 0 < len(unit) <= _MAX_UNIT_CHARS and convert_stated(1.0, unit, self._unit)
        return unit if is_unit else None

    def _is_bare(self, cell: Any) -> bool:
        if isinstance(cell, str):
            return parse_number(cell, self._mark) is not None
        return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)

    def _columns(self, own: str, names: tuple[str, ...], *, is_key: bool) -> _UnitColumns:
        if names not in self._unit_columns:
            if len(self._unit_columns) >= _KEPT_NAMES:
                self._unit_columns.clear()
            found = unit_column_of(own, names)
            if found is None and is_key:
                found = unit_column_of("value", names)
            is_length = convert_stated(1.0, self._unit, _LENGTH) is not None
            self._unit_columns[names] = _UnitColumns.of(own, found, names, is_length=is_length)
        return self._unit_columns[names]


@dataclass(frozen=True, slots=True)
class _UnitColumns:
    """The columns of units beside one of numbers: its own, those that are called alike, and those
    that may be of any.
    """

    own: str | None
    alike: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, column: str, own: str | None, names: Sequence[str], *, is_length: bool
    ) -> _UnitColumns:
        holders = [name for name in names if name != column and _UNIT_WORD.search(name.casefold())]
        if own is not None or not holders:
            return cls(own)
        taken = {bare_name(name) for name in names} - {bare_name(column)}
        words = {*_words(column), *(_OF_LENGTHS if is_length else ())}
        alike, others = [], []
        for name in holders:
            of_what = [word for word in _words(name) if not _UNIT_WORD.fullmatch(word)]
            bare = bare_name(_UNIT_WORD.sub("", name.casefold()))
            # `weight_unit` is that of `weight`, if there is such a column.
            if bare and bare in taken:
                others += [name] if set(_words(column)) & set(of_what) else []
            elif words & set(of_what) or _is_within(bare_name(column), bare_name(name)):
                alike.append(name)
            else:
                others += [] if of_what else [name]
        return cls(None, tuple(alike), tuple(others))


_NO_COLUMNS = _UnitColumns(None)


def _is_within(column: str, holder: str) -> bool:
    """Return whether a name is the beginning of a longer word: Gewicht, Gewichtseinheit."""
    return len(column) >= _MIN_WORD_CHARS and column in holder


def _words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(_NEW_WORD.sub(" ", name).replace("_", " ").casefold()))


def unit_column_of(column: str, names: Sequence[str]) -> str | None:
    """Return the column among `names` that holds the units of another, by its name.

    >>> unit_column_of("weight", ("sku", "weight", "Weight-Unit"))
    'Weight-Unit'
    >>> unit_column_of("value", ("value", "unit")), unit_column_of("a.value", ("a.value", "a.unit"))
    ('unit', 'a.unit')
    """
    stems = {"" if bare_name(column) in _AMOUNTS else bare_name(column)}
    before, mark, last = _stem(column)
    if mark and last in _AMOUNTS:
        stems.add(bare_name(before))
    for name in names:
        bare = bare_name(name)
        for stem in stems:
            if bare.startswith(stem) and bare[len(stem) :] in _UNIT_SUFFIXES:
                return name
    return None


@lru_cache(maxsize=4096)
def _stem(name: str) -> tuple[str, str, str]:
    """Return a name without its last word, what stands before that word, and the word."""
    *_, last = _LETTERS.findall(_NEW_WORD.sub(" ", name).replace("_", " ")) or [""]
    before = name[: len(name) - len(last)] if name.endswith(last) else ""
    return before, before[-1:], last.casefold()


@lru_cache(maxsize=4096)
def bare_name(name: str) -> str:
    """Return a column's name in lower case, letters and digits only."""
    return "".join(char for char in name.casefold() if char.isalnum())


def unit_of_name(column: str, unit: str) -> str | None:
    """Return the one unit that a column's name names, if it measures what `unit` does.

    >>> names = ("Weight (kg)", "weight_kg", "Variant Grams", "weight", "kg", "Weight (kg/lb)")
    >>> [unit_of_name(name, "g") for name in names]
    ['kg', 'kg', 'Grams', None, 'kg', None]
    >>> unit_of_name("Height [cm]", "g"), unit_of_name("weightKg", "g")
    (None, 'Kg')
    """
    found = units_of_name(column, unit)
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=4096)
def units_of_name(column: str, unit: str) -> tuple[str, ...]:
    """Return the units of a kind that a column's name names: in brackets, at its end or within.

    A word that may be a thing is doubtful, so that the unit itself is given, too.

    >>> units_of_name("Net weight kg (packed)", "g"), units_of_name("Weight (kg/lb)", "g")
    (('kg',), ('kg', 'lb'))
    >>> units_of_name("Gold chain", "cm"), units_of_name("foot_width", "cm")
    (('chain', 'cm'), ())
    """
    bracketed = _IN_BRACKETS.findall(column)
    last = _LAST_WORD.search(column)
    within = _LETTERS.findall(_NEW_WORD.sub(" ", column).replace("_", " "))
    symbols = [word for word in within if word.casefold() in _SYMBOLS]
    places = (
        [*bracketed, *([last[1]] if last else []), *symbols],
        [word for each in bracketed for word in _LETTERS.findall(each)],
    )
    for words in places:
        found: dict[float, str] = {}
        for word in words:
            factor = convert_stated(1.0, word, unit)
            if factor is not None:
                found.setdefault(factor, word)
        if found:
            is_sure = len(found) > 1 or 1.0 in found or any(map(_is_stated, found.values()))
            return (*found.values(), *(() if is_sure else (unit,)))
    return ()


def _is_stated(word: str) -> bool:
    """Return whether a word at the end of a name is a unit, and not what is measured: a chain, a
    foot, a cup.
    """
    any_case, same_case = text_spellings(None)
    is_known = word.casefold() in any_case or word in same_case
    return is_known and word.casefold() not in _THINGS
