"""The raw columns that a template reads, and what one record has in them.

A template's name is compiled once, found once among the columns of each kind of record, and then
looked up in every record of that kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.currencies import is_currency
from schemas.elements import Flag
from schemas.reasons import SPREADSHEET_ERROR
from schemas.template import ColumnFormat, Template, is_pattern, split_source
from schemas.units import convert
from transforms.attribute_types.reading import shorten
from transforms.attribute_types.spreadsheets import is_error
from transforms.extraction.cells import is_null, open_cell, split_list
from transforms.extraction.structures.paths import NotReachedError, Path, compile_path, folded
from transforms.normalise.column_currencies import ColumnCurrency
from transforms.normalise.column_groups import ColumnGroup, find_group, with_fields_of_name
from transforms.normalise.column_names import ColumnNames
from transforms.normalise.column_units import ColumnUnits

# What is found out about a column: the mark of its decimals, else the order of its dates.
DECIMAL_MARKS = frozenset({",", ".", "mixed", "thousands"})
OF_DATES = "-dates"
_PLACES = re.compile(r"\[[^\]]*\]")
Units = ColumnUnits | ColumnCurrency


@dataclass(frozen=True, slots=True)
class Source:
    """A raw column, or a key inside its cells.

    written: as it stands in the template, `column`, `column.key` or `column[].key`.
    column_format: also ignores what the template counts as null. group: the columns of the input
      that the column stands for, where it is not one of them.
    """

    written: str
    column: str
    path: Path | None
    column_format: ColumnFormat
    group: ColumnGroup | None = None

    @property
    def may_be_group(self) -> bool:
        """Whether the name may stand for several columns of the input."""
        form = self.column_format
        return is_pattern(self.written) or bool(form.all_of) or form.name_from is not None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A cell that should hold keys and does not."""

    cell: Any


class Row:
    """The cells of one record; a cell with keys is parsed once, however many attributes look into
    it.

    null_values: texts that hold nothing, the longest of `longest_null` characters.
    """

    __slots__ = ("_cells", "_longest_null", "_null_values", "_opened", "errors")

    def __init__(
        self, cells: Mapping[str, Any], null_values: frozenset[str], longest_null: int
    ) -> None:
        self._cells = cells
        self._null_values, self._longest_null = null_values, longest_null
        self._opened: dict[str, Any] = {}
        self.errors: list[tuple[str, str]] = []

    def cell(self, source: Source) -> Any:
        """Return what a source's cell holds; None for nothing, and for a spreadsheet's error."""
        if source.group is None:
            cell = self._cells.get(source.column)
        else:
            is_opened = source.path is not None
            cell = source.group.cell(self._cells, self._null_values, opened=is_opened)
        if source.path is not None:
            if is_null(cell, self._null_values):
                return None
            cell = self._under_path(source, source.path, cell)
        if not isinstance(cell, str):
            return None if cell is None or is_null(cell, self._null_values) else cell
        bare = cell.strip()
        # Folding never shortens, so a longer text is none of them.
        if len(bare) <= self._longest_null and bare.casefold() in self._null_values:
            return None
        if bare[:1] == "#" and is_error(bare):
            self.errors.append((source.written, cell))
            return None
        return cell

    def given(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Any]]:
        """Yield the sources whose cells hold something, with the cell."""
        for source in sources:
            cell = self.cell(source)
            if cell is not None:
                yield source, cell

    def flag_errors(self, field: str) -> list[Flag]:
        """Return flags of the spreadsheet's errors met so far, which are then reported."""
        flags = [
            Flag(SPREADSHEET_ERROR, field, f"{written} is {cell} and holds no value")
            for written, cell in self.errors
        ]
        self.errors.clear()
        return flags

    def with_unit(self, cell: Any, units: Units, source: Source) -> Any:
        """Return a number or amount with the unit that stands beside it; raises what `units` do."""
        path = source.path
        within = {} if path is None else path.siblings(self._opened.get(source.column))
        return units.with_unit(cell, self._cells, within)

    def _under_path(self, source: Source, path: Path, cell: Any) -> Any:
        if source.column not in self._opened:
            self._opened[source.column] = open_cell(cell, source.column_format)
        opened = self._opened[source.column]
        try:
            if opened is not None:
                return path.reach(opened)
        except NotReachedError:
            return Unreachable(cell)
        return None if not split_list(cell, source.column_format) else Unreachable(cell)


class Sources:
    """Compiles a template's names of columns, and finds them in an input.

    found: folded name of a column → its decimal mark or order of dates, where the template does not
    say it.
    """

    def __init__(self, template: Template, found: Mapping[str, str]) -> None:
        self._template, self._found = template, found
        self._null_texts = tuple(sorted(template.record.null_texts))

    def of(self, names: Sequence[str]) -> tuple[Source, ...]:
        """Return the sources that are called so in the template."""
        return tuple(map(self._of, names))

    def _of(self, name: str) -> Source:
        column, key = split_source(name, self._template.columns)
        column_format = with_fields_of_name(self._template.format_of(column), column)
        # Keys of objects in a list are reported as those of one.
        found = self._found.get(folded(_PLACES.sub("", name))) or self._found.get(folded(column))
        column_format = _with_found(column_format, found)
        ignore = (*column_format.ignore, *self._null_texts)
        return Source(
            name,
            column,
            None if key is None else compile_path(key),
            column_format.model_copy(update={"ignore": ignore}),
        )

    def there(self, sources: Sequence[Source], columns: ColumnNames) -> tuple[Source, ...]:
        """Return the sources that an input with these columns has, as it calls them."""
        resolved = (self._resolved(source, columns) for source in sources)
        return tuple(source for source in resolved if source is not None)

    def _resolved(self, source: Source, columns: ColumnNames) -> Source | None:
        if source.may_be_group:
            if source.path is not None and is_pattern(source.written):
                whole = find_group(source.written, self._template.format_of, columns)
                if whole is not None and whole.members:
                    return replace(source, column=source.written, path=None, group=whole)
            declared, usual = self._template.columns, source.column_format
            group = find_group(source.column, lambda name: declared.get(name, usual), columns)
            if group is not None:
                return replace(source, group=group) if group.members else None
        place = columns.locate(source.written)
        if place is None or place == (source.column, _written_path(source.path)):
            return None if place is None else source
        path = None if place[1] is None else compile_path(place[1])
        return replace(source, column=place[0], path=path)


def _with_found(column_format: ColumnFormat, found: str | None) -> ColumnFormat:
    """Return a format with what its column's cells tell, where the template does not say it."""
    if found is None:
        return column_format
    kind = "decimal" if found in DECIMAL_MARKS else "dates"
    if getattr(column_format, kind) is not None:
        return column_format
    return column_format.model_copy(update={kind: found.removesuffix(OF_DATES)})


def _written_path(path: Path | None) -> str | None:
    return None if path is None else path.written


def sibling_units(template: Template, attribute: Attribute) -> tuple[str, ...]:
    """Units of the attributes that share a raw column with this one and measure something else."""
    units = {
        other.unit
        for other in template.attributes
        if other.unit and set(other.from_) & set(attribute.from_) and attribute.unit
        if _is_other_kind(other.unit, attribute.unit)
    }
    return tuple(sorted(units))


def _is_other_kind(unit: str, other: str) -> bool:
    if is_currency(unit) or is_currency(other):
        return unit != other
    return convert(1.0, unit, other) is None


def is_amount(attribute: Attribute) -> bool:
    """Return whether an attribute holds amounts of money."""
    return attribute.type == AttributeType.MONEY or is_currency(attribute.unit or "")


def units_of(attribute: Attribute, source: Source) -> Units | None:
    """Return where the bare numbers of an attribute's column have their unit or currency."""
    key = None if source.path is None else source.path.last_key
    if is_amount(attribute):
        default = attribute.currency or attribute.unit
        return ColumnCurrency(source.written, source.column_format, key=key, default=default)
    if not attribute.unit:
        return None
    of_key = None if source.path is None else key or source.column
    return ColumnUnits(source.written, source.column_format, attribute.unit, key=of_key)


def columns_beside(template: Template, names: tuple[str, ...]) -> set[str]:
    """Return the columns that tell units and currencies of those that the template reads, although
    it does not name them.
    """
    sources = Sources(template, {})
    found: set[str] = set()
    for attribute in template.attributes:
        for source in sources.of(attribute.from_):
            units = units_of(attribute, source)
            found.update(() if units is None else units.beside(names))
    return found


def stands_alone(units: Units | None, source: Source, names: tuple[str, ...]) -> bool:
    """Return whether no unit can stand beside the numbers of a column, among columns of these
    names.
    """
    return units is not None and source.path is None and units.is_plain(names)


def without_keys(source: Source, cell: Any) -> str:
    """Return what is wrong with a cell that should hold keys and does not."""
    column, path = source.column_format, source.path
    key = (path and path.last_key) or "key"
    expected = (
        f"pairs such as {key}{column.key_separator}value, parted by {column.separator!r}"
        if column.format == "pairs"
        else f"an object such as {{'{key}': 'value'}}, or declare the column's format under "
        "columns:"
    )
    return (
        f"{source.column} is {shorten(cell)} and holds no {_written_path(path)}; write {expected}"
    )
