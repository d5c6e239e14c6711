"""A parsed record in the template's terms: identity, event time, typed values beside what the
source gave, pictures.

(RawRecord, cells) → Record | Reject. A cell that does not fit is flagged and kept as given; only a
record without a usable id is quarantined.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import Flag, ImageRow, RawRecord, Record, Reject, Value
from schemas.template import ColumnFormat, RecordMap, Template, split_source
from schemas.units import convert
from transforms.attribute_types.contract import CellReader
from transforms.attribute_types.reading import shorten
from transforms.attribute_types.registry import operations_of
from transforms.extraction.cells import as_mapping, as_text, given_text, is_null, reach, split_list
from transforms.normalise.column_names import resolve
from transforms.normalise.column_units import ColumnUnits, UnitMissingError
from transforms.normalise.timestamps import parse_event_ts

STAGE = "normalise"
MAX_ID_CHARS = 512
# Sets of columns whose spelling is known; JSON records may all have their own.
_KEPT_SPELLINGS = 1_000

_NO_ID_CHARS = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class _Source:
    """A raw column, or a key inside its cells.

    written: as it stands in the template, `column` or `column.key`.
    column_format: also ignores what the template counts as null.
    """

    written: str
    column: str
    key: str | None
    column_format: ColumnFormat


@dataclass(frozen=True, slots=True)
class _Unreachable:
    """A cell that should hold keys and does not."""

    cell: Any


@dataclass(frozen=True, slots=True)
class _IdProblem:
    reason: str
    message: str
    column: str


class _Row:
    """The cells of one record; a cell with keys is parsed once, however many attributes look into
    it.
    """

    def __init__(
        self, cells: Mapping[str, Any], null_values: frozenset[str], spelled: Mapping[str, str]
    ) -> None:
        self._cells = cells
        self._null_values = null_values
        self._spelled = spelled
        self._mappings: dict[str, Mapping[str, Any] | None] = {}

    def given(self, sources: Sequence[_Source]) -> Iterator[tuple[_Source, Any]]:
        """Yield the sources whose cells hold something, with the cell."""
        for source in sources:
            if source.key is not None and (whole := self._spelled.get(source.written)):
                # A column of that very name, whatever dots it has.
                source = replace(source, column=whole, key=None)
                cell = self._cells.get(whole)
            else:
                cell = self._cells.get(self._spelled.get(source.column, source.column))
            if is_null(cell, self._null_values):
                continue
            if source.key is not None:
                cell = self._under_key(source, source.key, cell)
                if is_null(cell, self._null_values):
                    continue
            yield source, cell

    def _under_key(self, source: _Source, key: str, cell: Any) -> Any:
        if source.column not in self._mappings:
            self._mappings[source.column] = as_mapping(cell, source.column_format)
        mapping = self._mappings[source.column]
        if mapping is not None:
            return reach(mapping, key)
        return None if not split_list(cell, source.column_format) else _Unreachable(cell)


class Normaliser:
    """A template, compiled: build one for each worker, and for each way that files are written.

    decimals: column → decimal mark, of columns of which the template does not say it.
    """

    def __init__(self, template: Template, decimals: Mapping[str, str] | None = None) -> None:
        self._decimals = decimals or {}
        self._record = template.record
        self._null_values = _null_values(template.record)
        self._all_sources: list[_Source] = []
        self._spellings: dict[tuple[str, ...], Mapping[str, str]] = {}
        self._ids = self._sources(template, template.record.id)
        self._event_ts = self._sources(template, template.record.event_ts)
        self._images = self._image_sources(template)
        self._readers = [
            (
                attribute.name,
                self._sources(template, attribute.from_),
                _units(attribute, self._sources(template, attribute.from_)),
                operations_of(attribute).reader(attribute, _sibling_units(template, attribute)),
                _folded(attribute.absent),
            )
            for attribute in template.attributes
            if attribute.from_
        ]

    def normalise(self, raw: RawRecord, cells: Mapping[str, Any]) -> Record | Reject:
        """Return the record in the template's terms, or why it has no usable id.

        Never raises, whatever the cells hold.
        """
        row = _Row(cells, self._null_values, self._spelled_in(tuple(cells)))
        item_id = self._item_id(row)
        if isinstance(item_id, _IdProblem):
            return Reject(raw, item_id.reason, STAGE, item_id.message, field=item_id.column)
        values: dict[str, Value] = {}
        given: dict[str, str] = {}
        origins: dict[str, str] = {}
        flags: list[Flag] = []
        absent: list[str] = []
        for name, sources, units, read, absent_texts in self._readers:
            # The first column that says anything decides, right or wrong: to go on behind a cell
            # that does not fit would replace what the source gave.
            for source, cell in row.given(sources):
                if absent_texts and is_null(cell, absent_texts):
                    given[name], origins[name] = given_text(cell), source.written
                    absent.append(name)
                    break
                value, problems = _read(name, read, source, cell, units.get(source.written), cells)
                if value is None and not problems:
                    continue
                given[name] = given_text(cell.cell if isinstance(cell, _Unreachable) else cell)
                origins[name] = source.written
                if value is not None:
                    values[name] = value
                flags += problems
                break
        event_ts_us = self._event_time(row, flags)
        image_refs = self._image_refs(row, flags)
        if not given and not image_refs:
            flags.append(
                Flag(
                    "no-content", "", "the columns that the template reads hold nothing but the id"
                )
            )
        return Record(
            item_id,
            values,
            given,
            image_refs,
            tuple(flags),
            raw,
            event_ts_us,
            origins,
            tuple(absent),
        )

    def _spelled_in(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """Return the template's names of columns → those that records with these columns have."""
        if names not in self._spellings:
            if len(self._spellings) >= _KEPT_SPELLINGS:
                self._spellings.clear()
            wanted = [source.column for source in self._all_sources]
            found = dict(resolve(wanted, names))
            dotted = [source.written for source in self._all_sources if source.key is not None]
            found |= {written: written for written in dotted if written in names}
            found |= resolve([each for each in dotted if each not in names], names)
            self._spellings[names] = found
        return self._spellings[names]

    def _sources(self, template: Template, names: Sequence[str]) -> tuple[_Source, ...]:
        sources = []
        for name in names:
            column, key = split_source(name, template.columns)
            column_format = template.format_of(column)
            if column_format.decimal is None and column in self._decimals:
                mark = self._decimals[column]
                column_format = column_format.model_copy(update={"decimal": mark})
            ignore = (*column_format.ignore, *sorted(self._null_values))
            sources.append(
                _Source(name, column, key, column_format.model_copy(update={"ignore": ignore}))
            )
        self._all_sources += sources
        return tuple(sources)

    def _image_sources(self, template: Template) -> tuple[_Source, ...]:
        sources, separator = (
            self._sources(template, template.record.images.columns),
            template.record.images.separator,
        )
        if separator is None:
            return sources
        as_list = {"format": "list", "separator": separator, "list_separator": separator}
        return tuple(
            replace(s, column_format=s.column_format.model_copy(update=as_list)) for s in sources
        )

    def _item_id(self, row: _Row) -> str | _IdProblem:
        for source, cell in row.given(self._ids):
            return _check_id(source.column, cell)
        columns = " or ".join(self._record.id)
        return _IdProblem(
            "missing-id",
            f"no id in {columns}; fill it, or name the id column under record.id",
            columns,
        )

    def _event_time(self, row: _Row, flags: list[Flag]) -> int | None:
        for _, cell in row.given(self._event_ts):
            micros = parse_event_ts(cell)
            if micros is None:
                expected = "write ISO 8601 such as 2026-01-31T12:00:00Z, or seconds since 1970"
                flags.append(
                    Flag(
                        "event-ts-invalid", "event_ts", f"{shorten(cell)} is not a time; {expected}"
                    )
                )
            return micros
        return None

    def _image_refs(self, row: _Row, flags: list[Flag]) -> tuple[str, ...]:
        refs: dict[str, None] = {}
        for source, cell in row.given(self._images):
            for entry in split_list(cell, source.column_format, keyed=source.key is not None):
                if not isinstance(entry, str):
                    expected = "is not an image reference; write a path below the images root"
                    # A raw column may be called as an attribute is; `images` may not.
                    flags.append(
                        Flag(
                            "value-wrong-type",
                            "images",
                            f"{source.written}: {shorten(entry)} {expected}",
                        )
                    )
                elif path := _image_path(self._record, entry):
                    refs[path] = None
        return tuple(refs)


def _sibling_units(template: Template, attribute: Attribute) -> tuple[str, ...]:
    """Units of the attributes that share a raw column with this one and measure something else."""
    units = {
        other.unit
        for other in template.attributes
        if other.unit and set(other.from_) & set(attribute.from_) and attribute.unit
        if convert(1.0, other.unit, attribute.unit) is None
    }
    return tuple(sorted(units))


def _units(attribute: Attribute, sources: Sequence[_Source]) -> dict[str, ColumnUnits]:
    """Return where the bare numbers of an attribute's columns have their unit; none without one."""
    if not attribute.unit:
        return {}
    return {
        source.written: ColumnUnits(source.column, source.column_format, attribute.unit)
        for source in sources
        if source.key is None
    }


def _read(
    name: str,
    read: CellReader,
    source: _Source,
    cell: Any,
    units: ColumnUnits | None,
    cells: Mapping[str, Any],
) -> tuple[Value | None, tuple[Flag, ...]]:
    if isinstance(cell, _Unreachable):
        return None, (Flag("value-wrong-type", name, _without_keys(source, cell.cell)),)
    if units is not None:
        try:
            cell = units.with_unit(cell, cells)
        except UnitMissingError as problem:
            message = f"{source.written}: {shorten(cell)} {problem}"
            return None, (Flag("value-wrong-type", name, message),)
    return read(cell, source.column_format, source.key is not None)


def _without_keys(source: _Source, cell: Any) -> str:
    column = source.column_format
    expected = (
        f"pairs such as {source.key}{column.key_separator}value, parted by {column.separator!r}"
        if column.format == "pairs"
        else f"an object such as {{'{source.key}': 'value'}}, or declare the column's format under "
        "columns:"
    )
    return f"{source.column} is {shorten(cell)} and holds no {source.key}; write {expected}"


def normalise_image_row(
    template: Template, raw: RawRecord, cells: Mapping[str, Any]
) -> ImageRow | Reject:
    """Return a row of the table that the template names under record.images.table; ValueError when
    it names none.
    """
    table = template.record.images.table
    if table is None:
        raise ValueError(
            f"template {template.name} has no image table; add record.images.table with id and "
            "image"
        )
    null_values = _null_values(template.record)
    given_id, cell = cells.get(table.id), cells.get(table.image)
    if is_null(given_id, null_values):
        return Reject(
            raw,
            "image-table-row-invalid",
            STAGE,
            f"no item id in {table.id}; fill it",
            field=table.id,
        )
    item_id = _check_id(table.id, given_id)
    if isinstance(item_id, _IdProblem):
        return Reject(raw, "image-table-row-invalid", STAGE, item_id.message, field=table.id)
    path = (
        ""
        if is_null(cell, null_values) or not isinstance(cell, str)
        else _image_path(template.record, cell)
    )
    if not path:
        message = (
            f"{table.image} holds {shorten(cell)}; write the path of an image below the images root"
        )
        return Reject(raw, "image-table-row-invalid", STAGE, message, item_id, table.image)
    return ImageRow(item_id, path, raw)


def _check_id(column: str, cell: Any) -> str | _IdProblem:
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        kind = type(cell.cell if isinstance(cell, _Unreachable) else cell).__name__
        return _IdProblem(
            "id-wrong-type",
            f"{column} holds {shorten(cell)}, a {kind}; write text or a whole number",
            column,
        )
    text = as_text(cell)
    item_id = "" if text is None else text.strip()
    if not 0 < len(item_id) <= MAX_ID_CHARS:
        return _IdProblem(
            "id-invalid",
            f"{column} is {len(item_id):,} characters long; allowed: {MAX_ID_CHARS}",
            column,
        )
    if not item_id.isprintable() and any(
        unicodedata.category(char) in _NO_ID_CHARS for char in item_id
    ):
        return _IdProblem(
            "id-invalid", f"{column} holds {item_id!a}; control characters are not allowed", column
        )
    return item_id


def _image_path(record: RecordMap, text: str) -> str:
    return text.strip().removeprefix(record.images.strip_prefix)


def _null_values(record: RecordMap) -> frozenset[str]:
    return _folded(["", *record.null_values])


def _folded(texts: Iterable[str]) -> frozenset[str]:
    """Return texts as `is_null` compares them."""
    return frozenset(text.strip().casefold() for text in texts)
