"""A parsed record in the template's terms: identity, event time, typed values beside what the
source gave, pictures.

(RawRecord, cells) → Record | Reject. A cell that does not fit is flagged and kept as given; only a
record without a usable id is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from schemas.elements import Flag, RawRecord, Record, Reject, Value
from schemas.sections.pictures import ID, fill_pattern
from schemas.template import Template
from transforms.attribute_types.reading import shorten
from transforms.extraction.cells import as_mapping, as_text, given_text, is_null
from transforms.extraction.identifiers import WHOLE
from transforms.extraction.structures.paths import folded
from transforms.extraction.text_repair import is_unharmed, repair
from transforms.normalise.column_currencies import CurrencyUnclearError, is_nothing_to_pay
from transforms.normalise.column_units import UnitMissingError
from transforms.normalise.ids import (
    STAGE,
    IdProblem,
    check_id,
    is_stand_in,
    lost_digits,
    wrong_type,
)
from transforms.normalise.pictures import PictureAccess, references_of
from transforms.normalise.sources import (
    Row,
    Source,
    Units,
    Unreachable,
    without_keys,
)
from transforms.normalise.template_columns import KEPT_CHARS, Columns, Reader, TemplateColumns
from transforms.normalise.timestamps import UnclearMomentError, parse_event_ts

# Sets of columns whose spelling is known; JSON records may all have their own.
_KEPT_SPELLINGS = 1_000
_NO_PARENT = "0"


class Normaliser:
    """A template, compiled: build one for each worker, and for each way that files are written.

    decimals: column → decimal mark or order of dates, of columns of which the template does not
    say it, or WHOLE of those whose whole numbers are written as 12345.0.
    pictures: what reading their references needs of the worker.
    """

    def __init__(
        self,
        template: Template,
        decimals: Mapping[str, str] | None = None,
        pictures: PictureAccess | None = None,
    ) -> None:
        self.pictures = pictures or PictureAccess()
        marks = dict(decimals or {})
        self._whole_columns = {column for column, mark in marks.items() if mark == WHOLE}
        # Whole numbers that end in .0 have points.
        found = {folded(c): "." if mark == WHOLE else mark for c, mark in marks.items()}
        self._columns = TemplateColumns(template, found)
        self._record = template.record
        self._null_values = template.record.null_texts
        self._longest_null = max(map(len, self._null_values))

    def normalise(self, raw: RawRecord, cells: Mapping[str, Any]) -> Record | Reject:
        """Return the record in the template's terms, or why it has no usable id.

        Never raises, whatever the cells hold.
        """
        columns = self._columns.among(tuple(cells))
        row = Row(cells, self._null_values, self._longest_null)
        group = self._group(row, columns) if columns.groups else ""
        item_id = self._item_id(row, columns)
        if isinstance(item_id, IdProblem) and item_id.reason == "missing-id" and group:
            item_id = ""  # a part of its group, see transforms.normalise.combine
        if isinstance(item_id, IdProblem):
            return Reject(raw, item_id.reason, STAGE, item_id.message, field=item_id.column)
        read = _Read(lost_digits(item_id))
        _read_values(row, columns, read)
        flags, given = read.flags, read.given
        event_ts_us = self._event_time(row, columns, flags) if columns.event_ts else None
        if row.errors:
            flags += row.flag_errors("event_ts")
        image_refs = self._image_refs(row, columns, item_id, flags)
        if row.errors:
            flags += row.flag_errors("images")
        if not given and not image_refs:
            flags.append(
                Flag(
                    "no-content", "", "the columns that the template reads hold nothing but the id"
                )
            )
        return Record(
            item_id,
            read.values,
            given,
            image_refs,
            tuple(flags),
            raw,
            event_ts_us,
            read.origins,
            tuple(read.absent),
            image_position=_position(row, columns) if columns.position else None,
            group=group,
            pair_names={} if columns.pairs is None else columns.pairs.given(cells),
        )

    def _item_id(self, row: Row, columns: Columns) -> str | IdProblem:
        for source, cell in row.given(columns.ids):
            if source.column in self._whole_columns and isinstance(cell, str):
                cell = cell.strip().removesuffix(WHOLE)
            if isinstance(cell, Unreachable):
                return wrong_type(source.column, cell.cell)
            return check_id(source.column, cell)
        named = " or ".join(self._record.id)
        return IdProblem(
            "missing-id",
            f"no id in {named}; fill it, or name the id column under record.id",
            named,
        )

    def _event_time(self, row: Row, columns: Columns, flags: list[Flag]) -> int | None:
        formats = self._record.event_ts_format
        for source, cell in row.given(columns.event_ts):
            expected = "write ISO 8601 such as 2026-01-31T12:00:00Z, or seconds since 1970"
            if formats:
                expected = f"write it as record.event_ts_format says: {' or '.join(formats)}"
            micros = None
            try:
                micros = parse_event_ts(cell, formats, source.column_format.dates)
            except UnclearMomentError as unclear:
                expected = (
                    f"it may be {unclear}; say dates: day-first or month-first under columns:"
                )
            if micros is None:
                flags.append(
                    Flag(
                        "event-ts-invalid", "event_ts", f"{shorten(cell)} is not a time; {expected}"
                    )
                )
            return micros
        return None

    def _group(self, row: Row, columns: Columns) -> str:
        """Return the product that the row belongs to; empty where its rows are one item, or none
        is named.
        """
        if not self._record.inherits:
            return ""
        for source, cell in row.given(columns.groups):
            if isinstance(cell, Unreachable):
                continue
            group = check_id(source.column, cell)
            # "N/A", or the 0 of shops, is no product that strangers would share.
            if isinstance(group, str) and not is_stand_in(group) and group != _NO_PARENT:
                # WooCommerce refers to a product that has no SKU by its number.
                return group.removeprefix("id:")
        return ""

    def _image_refs(
        self, row: Row, columns: Columns, item_id: str, flags: list[Flag]
    ) -> tuple[str, ...]:
        images, refs = self._record.images, dict[str, None]()
        for source, cell in row.given(columns.images):
            keyed = source.path is not None
            for found in references_of(
                images, source.column_format, cell, self.pictures, keyed=keyed
            ):
                if isinstance(found, Flag):
                    flags.append(replace(found, detail=f"{source.written}: {found.detail}"))
                else:
                    refs[found] = None
        if not refs and images.pattern and item_id:
            texts = {ID: item_id} | {
                name: as_text(cell) or ""
                for name, sources in columns.of_patterns
                for _, cell in row.given(sources)
            }
            paths = (fill_pattern(pattern, texts) for pattern in images.pattern)
            refs = dict.fromkeys(path for path in paths if path)
        return tuple(refs)


@dataclass(slots=True)
class _Read:
    """What the attributes of a record were read as, see Record."""

    flags: list[Flag]
    values: dict[str, Value] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


def _read_values(row: Row, columns: Columns, read: _Read) -> None:
    language = None
    if columns.language:
        language = next((as_text(cell) for _, cell in row.given(columns.language)), None)
    row.errors.clear()
    for reader in columns.readers:
        name = reader.name
        # The first column that says anything decides, right or wrong: to go on behind a cell that
        # does not fit would replace what the source gave.
        for source, units, is_alone in reader.sources:
            cell = row.cell(source)
            if cell is None:
                continue
            if reader.absent and is_null(cell, reader.absent):
                read.given[name], read.origins[name] = given_text(cell), source.written
                read.absent.append(name)
                break
            if language and reader.is_localized:
                cell = _in_language(cell, language, source)
            if is_alone and not isinstance(cell, Mapping):
                units = None
            value, problems = _read_cell(reader, source, cell, units, row)
            if value is None and not problems:
                continue
            if (
                reader.is_price
                and is_nothing_to_pay(value)
                and (doubt := _doubt_of_nothing(reader, source, row))
            ):
                value, problems = None, (doubt,)
            read.given[name] = cell if isinstance(cell, str) else _given(cell)
            read.origins[name] = source.written
            if value is not None:
                read.values[name] = value
            read.flags += problems
            break
        if row.errors:
            read.flags += row.flag_errors(name)


def _doubt_of_nothing(reader: Reader, free: Source, row: Row) -> Flag | None:
    """Return a flag of a price of 0 in a column before one that has another price: shops write 0
    where there is no sale.
    """
    written = [source.written for source, *_ in reader.sources]
    for source, units, _ in reader.sources[written.index(free.written) + 1 :]:
        cell = row.cell(source)
        if cell is not None:
            value, _ = _read_cell(reader, source, cell, units, row)
            if value is not None and not is_nothing_to_pay(value):
                message = (
                    f"{free.written} is 0 and {source.written} is not; if 0 stands for no price "
                    'there, say ignore: ["0", "0.00"] under columns:'
                )
                return Flag("value-wrong-type", reader.name, message)
    return None


def _position(row: Row, columns: Columns) -> float | None:
    for _, cell in row.given(columns.position):
        with suppress(ValueError):
            position = float(str(cell))
            return position if isfinite(position) else None
    return None


def _in_language(cell: Any, language: str, source: Source) -> Any:
    """Return a plain text as a text of the row's language, what holds languages as it is."""
    is_plain = isinstance(cell, str) and as_mapping(cell, source.column_format) is None
    return {language: cell} if is_plain else cell


def _given(cell: Any) -> str:
    return given_text(cell.cell if isinstance(cell, Unreachable) else cell)


def _read_cell(
    reader: Reader, source: Source, cell: Any, units: Units | None, row: Row
) -> tuple[Value | None, tuple[Flag, ...]]:
    if units is not None:
        try:
            cell = cell if isinstance(cell, Unreachable) else row.with_unit(cell, units, source)
        except (UnitMissingError, CurrencyUnclearError) as problem:
            message = f"{source.written}: {shorten(cell)} {problem}"
            return None, (Flag("value-wrong-type", reader.name, message),)
    if isinstance(cell, str):
        is_short = len(cell) <= KEPT_CHARS
        if is_short and (known := reader.known.get(cell)) is not None and known[0] is source:
            return known[1]
        if is_unharmed(cell):
            reading = reader.read(cell, source.column_format, source.path is not None)
            if is_short:
                reader.keep(source, cell, reading)
            return reading
    if isinstance(cell, Unreachable):
        return None, (Flag("value-wrong-type", reader.name, without_keys(source, cell.cell)),)
    repaired, outcome = repair(cell, escapes=source.column_format.escapes)
    value, problems = reader.read(repaired, source.column_format, source.path is not None)
    if not outcome:
        return value, problems
    said = (
        f"was decoded with the wrong encoding; read as {shorten(repaired)}"
        if outcome == "repaired"
        else "looks as if it was decoded with the wrong encoding, which cannot be undone exactly; "
        "export it as UTF-8"
    )
    return value, (Flag("text-mojibake", reader.name, f"{shorten(cell)} {said}"), *problems)
