"""Several columns of the input that are one for the template: `image_{n}`, `title_{lang}`, names
and values in pairs of columns, and columns that are taken together.

A group is found once for each set of columns, and gives one cell for each record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from schemas.template import (
    LANGUAGE_MARK,
    NUMBER_MARK,
    ColumnFormat,
    Template,
    is_pattern,
    split_source,
)
from transforms.extraction.cells import as_mapping, as_text, is_null, open_cell, split_list
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.structures.paths import NotReachedError, compile_path, folded
from transforms.normalise.column_names import ColumnNames

# Mark → name of its group, and what it stands for.
_MARKS = {
    NUMBER_MARK: ("n", r"\d{1,4}"),
    LANGUAGE_MARK: ("lang", r"[a-z]{2,3}(?:[-_][a-z0-9]{2,4}){0,2}"),
}
# `Feature (Name:Value:Position:Customized)`: what each entry of a cell is made of.
_FIELDS = re.compile(r"\(\s*([^():]+(?::[^():]+){2,})\s*\)")
_MAX_KEYS = 8
Formats = Callable[[str], ColumnFormat]


@dataclass(frozen=True, slots=True)
class Member:
    """A column of a group. label: its language. named_by: the column with the name of its value."""

    column: str
    column_format: ColumnFormat
    label: str | None = None
    named_by: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns that are read as one.

    members: in the order in which their values count.
    """

    members: tuple[Member, ...]

    def cell(self, cells: Mapping[str, Any], null_values: frozenset[str], *, opened: bool) -> Any:
        """Return the one cell: of languages and of pairs a mapping, else the list of what the
        columns hold, or the only one that holds something.

        opened: whether keys are looked for in it.
        """
        filled = [
            (member, cell)
            for member in self.members
            if not is_null(cell := cells.get(member.column), null_values)
        ]
        if not filled:
            return None
        if filled[0][0].label is not None:
            return {member.label: cell for member, cell in filled}
        if filled[0][0].named_by is not None:
            return _named(filled, cells, null_values)
        if opened:
            return [open_cell(cell, member.column_format) or cell for member, cell in filled]
        if len(filled) == 1:
            return filled[0][1]
        return [entry for member, cell in filled for entry in _entries(cell, member.column_format)]

    @property
    def columns(self) -> Iterator[str]:
        """All columns of the input that are read."""
        for member in self.members:
            yield member.column
            if member.named_by is not None:
                yield member.named_by


def _entries(cell: Any, column_format: ColumnFormat) -> list[Any]:
    return split_list(cell, column_format) if column_format.format == "list" else [cell]


def _named(
    filled: Sequence[tuple[Member, Any]], cells: Mapping[str, Any], null_values: frozenset[str]
) -> dict[str, Any]:
    """Return name → value; of a name that stands several times, also in another case, all its
    values as a list.
    """
    found: dict[str, tuple[str, list[tuple[Any, ColumnFormat]]]] = {}
    for member, cell in filled:
        given = cells.get(member.named_by or "")
        if is_null(given, null_values):
            continue
        for name, value in _pairs(given, cell, member.column_format):
            found.setdefault(folded(name), (name, []))[1].append((value, member.column_format))
    return {name: _one_or_all(values) for name, values in found.values()}


def _one_or_all(values: Sequence[tuple[Any, ColumnFormat]]) -> Any:
    if len(values) == 1:
        return values[0][0]
    return [entry for value, column_format in values for entry in _entries(value, column_format)]


def _pairs(given: Any, cell: Any, column_format: ColumnFormat) -> Iterator[tuple[str, Any]]:
    """Yield names and values; a list of names goes with a list of as many values."""
    names = split_list(given, column_format.model_copy(update={"format": "list"}))
    values = split_list(cell, column_format) if len(names) > 1 else [cell]
    if len(names) != len(values):
        names, values = [given], [cell]
    for name, value in zip(names, values, strict=True):
        text = as_text(name)
        if text is not None and (label := to_single_line(text)):
            yield label, value


def find_group(column: str, formats: Formats, names: ColumnNames) -> ColumnGroup | None:
    """Return the columns that a column of the template stands for; None if it stands for itself.

    formats: column of the template → how its cells are written. A column of the input that is
    called so, braces and all, is meant itself.
    """
    column_format = formats(column)
    if is_pattern(column) and names.find(column) is not None:
        return None
    if not (is_pattern(column) or column_format.all_of or column_format.name_from is not None):
        return None
    parts = column_format.all_of or (column,)
    members: dict[str, Member] = {}
    for part in parts:
        for member in _members(part, formats(part), names):
            members.setdefault(member.column, member)
    return ColumnGroup(tuple(members.values()))


def _members(part: str, column_format: ColumnFormat, names: ColumnNames) -> Iterator[Member]:
    whole = names.find(part)
    if whole is not None or not is_pattern(part):
        if whole is not None:
            named_by = names.find(column_format.name_from) if column_format.name_from else None
            yield Member(whole, column_format, named_by=named_by)
        return
    pattern = pattern_of(part)
    found = [(match, name) for name in names if (match := pattern.fullmatch(folded(name)))]
    for match, name in sorted(found, key=lambda pair: (_number(pair[0]), pair[1])):
        named_by = None
        if column_format.name_from is not None:
            named_by = names.find(column_format.name_from.replace(NUMBER_MARK, match["n"]))
            if named_by is None:
                continue
        label = match.groupdict().get("lang")
        yield Member(name, column_format, label, named_by)


def _number(match: re.Match[str]) -> int:
    return int(match.groupdict().get("n") or 0)


@lru_cache(maxsize=1024)
def pattern_of(part: str) -> re.Pattern[str]:
    """Return an expression for the folded names that a pattern means; a number that stands twice
    is the same twice.
    """
    written = re.escape(folded(part))
    for mark, (name, meant) in _MARKS.items():
        head, found, tail = written.partition(re.escape(mark))
        if found:
            tail = tail.replace(re.escape(mark), f"(?P={name})")
            written = f"{head}(?P<{name}>{meant}){tail}"
    return re.compile(written)


def keys_in_no_record(template: Template, records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield `column.key` of the template whose column holds something in these records, and whose
    key none of them has, with the keys that are there.
    """
    names = ColumnNames(dict.fromkeys(name for cells in records for name in cells))
    for source in sorted(template.sources):
        column, key = split_source(source, template.columns)
        group = find_group(column, template.format_of, names)
        place = names.locate(source) if group is None else (column, key)
        if place is None or place[1] is None:
            continue
        column_format = with_fields_of_name(template.format_of(column), column)
        path, met, is_reached = compile_path(place[1]), Counter[str](), False
        for cells in records:
            cell = (
                cells.get(place[0])
                if group is None
                else group.cell(cells, frozenset([""]), opened=True)
            )
            opened = open_cell(cell, column_format)
            with suppress(NotReachedError):
                is_reached = is_reached or (opened is not None and not is_null(path.reach(opened)))
            met.update(list(as_mapping(opened, column_format) or {}))
        if met and not is_reached:
            known = ", ".join(name for name, _ in met.most_common(_MAX_KEYS))
            yield f"{source} (there are {known})"


def with_fields_of_name(column_format: ColumnFormat, column: str) -> ColumnFormat:
    """Return the format of a column of pairs with the fields that the column's name has."""
    found = _FIELDS.search(column) if column_format.format == "pairs" else None
    if found is None or column_format.fields is not None:
        return column_format
    return column_format.model_copy(update={"fields": found[1]})


def columns_read(template: Template, names: ColumnNames) -> set[str]:
    """Return the columns of an input that the template reads, by whatever name."""
    found: set[str] = set()
    for source in template.sources:
        found.update(columns_of(template, source, names))
        beside = template.format_of(split_source(source, template.columns)[0]).unit_from
        if beside is not None:
            found.add(names.find(beside) or beside)
    return found


def columns_of(template: Template, source: str, names: ColumnNames) -> set[str]:
    """Return the columns of an input that a name of the template means; none if there is none."""
    column, _ = split_source(source, template.columns)
    group = find_group(source, template.format_of, names)
    if group is None or not group.members:
        group = find_group(column, template.format_of, names)
    if group is not None:
        return set(group.columns)
    place = names.locate(source)
    return set() if place is None else {place[0]}
