"""Which sheets of a workbook hold records, where their header is, what is to be told of them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

from schemas.sections.inputs import InputDescription
from transforms.readers.clues.table_rows import (
    MAX_LEADING_ROWS,
    header_place,
    is_second_header,
    no_header_problem,
    record_for_header,
    two_headers_problem,
)
from transforms.readers.containers import open_seekable
from transforms.readers.contract import FileRefusedError, InputSplit
from transforms.readers.formats.delimited import column_names
from transforms.readers.formats.shown_cells import cell_value

_SAMPLE_ROWS = 200
_SAMPLE_BYTES, _CELL_BYTES = 32 << 20, 64
_BLOCK_BYTES = 1 << 20
# Of a sheet so much is looked at for rows that are hidden and formulas without a value.
_LOOKED_AT_BYTES = 32 << 20
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_HIDDEN = re.compile(rb'<(?:\w+:)?row\s[^>]*?\bhidden="(?:1|true)"')
# A text that a formula came to may be empty: then its type is `str`.
_NOT_COMPUTED = re.compile(
    rb'<(?:\w+:)?c\s+r="([A-Z]+)\d+"(?![^>]*\bt="str")[^>]*><(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)'
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?</(?:\w+:)?c>"
)
# The longest formula that Excel takes has 8,192 characters.
_MOST_CUT_BYTES = 10_000
_MANY = 0.5
# Of merged cells so many are looked at.
_MAX_MERGED = 1_000_000
# What is said of the sheet where all with the same columns are to be read.
_ALL = "*"


@dataclass(frozen=True)
class Sheet:
    """A sheet with records. line: of the header, 0 without one; rows: texts of the first ones below
    it.
    """

    sheet: Any
    line: int
    names: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    @property
    def filled(self) -> int:
        """Return how many cells of the first rows hold something."""
        return sum(sum(map(bool, row)) for row in self.rows)

    @property
    def keys(self) -> frozenset[str]:
        """Return what tells the rows apart: the first column in which none is twice, or all."""
        for column in zip(*self.rows, strict=False):
            if all(column) and len(set(column)) == len(column):
                return frozenset(column)
        return frozenset("\t".join(row) for row in self.rows)

    @property
    def title(self) -> str:
        return str(self.sheet.title)


def find_sheets(book: Any, description: InputDescription) -> tuple[list[Sheet], list[Sheet]]:
    """Return the sheets whose rows are the records, and those that hold rows of something else.

    Sheets with the same columns and other rows are parts of one catalog; of others it is the first
    that holds about as much as the largest. Raises FileRefusedError.
    """
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if description.sheet not in (None, _ALL):
        wanted = str(description.sheet).strip().casefold()
        sheets = [each for each in book.worksheets if each.title.strip().casefold() == wanted]
        if not sheets:
            there = ", ".join(repr(each.title) for each in book.worksheets)
            raise FileRefusedError(
                [f"there is no sheet {description.sheet!r}; the workbook has {there or 'none'}"]
            )
    found = [each for sheet in sheets if (each := _look_at(sheet, description)) is not None]
    if not found:
        looked_at = ", ".join(repr(each.title) for each in sheets)
        raise FileRefusedError(
            [f"no sheet has a header and rows below it; looked at {looked_at or 'none'}"]
        )
    largest = max(each.filled for each in found)
    main = next(each for each in found if each.filled >= _MANY * largest)
    of_it = [main]
    for each in found:
        is_new = description.sheet == _ALL or all(
            map(each.keys.isdisjoint, (s.keys for s in of_it))
        )
        if each is not main and set(each.names) == set(main.names) and is_new:
            of_it.append(each)
    for each in of_it:
        _check_header(each, description)
    return of_it, [each for each in found if each not in of_it]


def _look_at(sheet: Any, description: InputDescription) -> Sheet | None:
    """Return where a sheet has its header, and what is below; None for one without records."""
    texts, size_bytes = [], 0
    for row in islice(rows_of(sheet), MAX_LEADING_ROWS + _SAMPLE_ROWS):
        texts.append(_texts(row))
        size_bytes += sum(map(len, texts[-1])) + _CELL_BYTES * len(row)
        if size_bytes > _SAMPLE_BYTES:
            break
    if description.columns and not isinstance(description.header, int):
        filled = [row for row in texts if any(row)]
        return Sheet(sheet, 0, description.columns, filled) if filled else None
    place = _header_place(texts, description)
    if place is None or place >= len(texts) or not any(texts[place]):
        return None
    names = list(texts[place])
    while not names[-1]:
        names.pop()
    below = [row for row in texts[place + 1 :] if any(row)]
    return Sheet(sheet, place + 1, column_names(names), below) if below else None


def _header_place(texts: Sequence[Sequence[str]], description: InputDescription) -> int | None:
    if isinstance(description.header, int):
        return description.header - 1
    return header_place(texts[:MAX_LEADING_ROWS], texts)


def _check_header(found: Sheet, description: InputDescription) -> None:
    """Raise FileRefusedError if the header looks like a record."""
    if not found.line or description.header is not None:
        return
    cell = record_for_header(found.names, found.rows)
    if cell is not None:
        raise FileRefusedError([f"sheet {found.title!r}: {no_header_problem(found.names, cell)}"])
    if is_second_header(found.rows):
        problem = two_headers_problem(found.names, found.rows[0], found.line)
        raise FileRefusedError([f"sheet {found.title!r}: {problem}"])


def _texts(row: Sequence[Any]) -> list[str]:
    return ["" if (value := cell_value(cell)) is None else str(value).strip() for cell in row]


def rows_of(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a sheet; some programs write a size that is wrong."""
    sheet.reset_dimensions()
    yield from sheet.iter_rows()


def sheet_notes(split: InputSplit, found: Sheet) -> Iterator[str]:
    """Yield what the records of a sheet do not show: rows that are hidden, formulas that no program
    has computed.
    """
    from openpyxl.utils import column_index_from_string

    hidden = sum(1 for _ in _found_in(split, found.sheet, _HIDDEN, _LOOKED_AT_BYTES))
    if hidden:
        yield f"{hidden:,} hidden row{'s' * (hidden > 1)} read too"
    formulas: dict[str, int] = {}
    for (column,) in _found_in(split, found.sheet, _NOT_COMPUTED, _LOOKED_AT_BYTES):
        place = column_index_from_string(column.decode()) - 1
        name = found.names[place] if place < len(found.names) else f"column_{place + 1}"
        formulas[name] = formulas.get(name, 0) + 1
    if formulas:
        shown = " and ".join(f"{name} ({count:,})" for name, count in formulas.items())
        yield (
            f"formulas that were never computed have no value, in {shown}: open the workbook in a "
            "spreadsheet and save it"
        )


@dataclass(frozen=True)
class Merged:
    """Merged cells below a header.

    down: first row → (column from 0, last row) of those over several rows of one column; headings:
    rows with a cell over several columns.
    """

    down: Mapping[int, Sequence[tuple[int, int]]]
    headings: frozenset[int]


def merged_cells(split: InputSplit, sheet: Any, header_line: int) -> Merged:
    """Return the merged cells of a sheet's records.

    They stand behind its rows, so they are looked for before the rows are read.
    """
    from openpyxl.utils import column_index_from_string

    down: dict[int, list[tuple[int, int]]] = {}
    headings: set[int] = set()
    found = _found_in(split, sheet, _MERGED)
    for column, first, last_column, last in islice(found, _MAX_MERGED):
        if int(first) <= header_line:
            continue
        if column != last_column and first == last:
            headings.add(int(first))
        elif column == last_column and first != last:
            place = column_index_from_string(column.decode()) - 1
            down.setdefault(int(first), []).append((place, int(last)))
    return Merged(down, frozenset(headings))


def _found_in(
    split: InputSplit, sheet: Any, pattern: re.Pattern[bytes], most_bytes: int = 1 << 62
) -> Iterator[tuple[bytes, ...]]:
    # Damage is told where the rows are read, after those before it.
    with (
        suppress(zlib.error, zipfile.BadZipFile, EOFError),
        open_seekable(split) as stream,
        zipfile.ZipFile(stream) as archive,
        archive.open(sheet._worksheet_path) as part,
    ):
        yield from _matches(cast(BinaryIO, part), pattern, most_bytes)


def _matches(
    part: BinaryIO, pattern: re.Pattern[bytes], most_bytes: int
) -> Iterator[tuple[bytes, ...]]:
    kept = b""
    while most_bytes > 0 and (data := part.read(_BLOCK_BYTES)):
        most_bytes -= len(data)
        block = kept + data
        end = 0
        for match in pattern.finditer(block):
            end = match.end()
            yield match.groups()
        kept = block[max(end, len(block) - _MOST_CUT_BYTES) :]
