"""Rows of the sheets of an Excel workbook (.xlsx), with the values that a person sees in its cells.

InputSplit → ParsedRecord | Reject. Formulas are read as what they came to when the file was saved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

from schemas.sections.inputs import InputDescription
from transforms.readers.clues.table_rows import (
    MAX_FOOTER_ROWS,
    Ids,
    is_footer,
    is_other_header,
    is_total,
)
from transforms.readers.containers import UnpackError, members_of, open_seekable, open_stored
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    FileRefusedError,
    Format,
    InputSplit,
    ReadAs,
    ReadLimits,
    SplitDigest,
    Unread,
    UnreadableError,
)
from transforms.readers.formats.delimited import column_names
from transforms.readers.formats.jsonl import JSONL
from transforms.readers.formats.objects import Object, unread_objects
from transforms.readers.formats.sheets import (
    Sheet,
    find_sheets,
    merged_cells,
    rows_of,
    sheet_notes,
)
from transforms.readers.formats.shown_cells import cell_value

_DIGEST_BYTES = 1 << 20
# What the column is called that says of which sheet a record is, where several are read.
_SHEET_COLUMN = "sheet"


def _plan(whole: InputSplit, _split_bytes: int, description: InputDescription) -> list[InputSplit]:
    try:
        with _opened(whole) as book:
            found, others = find_sheets(book, description)
            return [
                replace(
                    whole,
                    # As a part of a file: the first one stands for its bytes.
                    begin=place,
                    end=place + 1 if len(found) > 1 else whole.end,
                    size_bytes=0 if place else whole.size_bytes,
                    read_as=_read_as(whole, each, others),
                    partitions=(
                        *whole.partitions,
                        *([(_SHEET_COLUMN, each.title)] if len(found) > 1 else []),
                    ),
                )
                for place, each in enumerate(found)
            ]
    except FileRefusedError:
        raise
    except UnpackError as error:
        raise FileRefusedError([str(error)]) from error
    except Exception as error:  # openpyxl and zipfile raise whatever a damaged file leads to
        raise FileRefusedError(
            [
                f"the workbook cannot be read ({type(error).__name__}: {error}); open it in a "
                "spreadsheet and save it again as .xlsx"
            ]
        ) from error


def _read_as(whole: InputSplit, found: Sheet, others: Sequence[Sheet]) -> ReadAs:
    notes = list(sheet_notes(whole, found))
    if others:
        titles = ", ".join(repr(each.title) for each in others)
        notes.insert(0, f"not {titles}, which input: {{sheet: ...}} chooses")
    return ReadAs(
        header_line=found.line, names=found.names, place=(found.title,), notes=tuple(notes)
    )


@contextmanager
def _opened(split: InputSplit, limits: ReadLimits = DEFAULT_LIMITS) -> Iterator[Any]:
    # Seconds of imports that only workbooks need.
    from transforms.readers.markup.workbooks import open_workbook

    with open_seekable(split) as stream:
        members_of(stream, "zip")
        with catch_warnings():
            # Of what a table of records has no use for: validations, conditional formats.
            simplefilter("ignore")
            book = open_workbook(stream, limits.kept_bytes)
            with closing(book):
                yield book


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    yield from unread_objects(split, limits, _records(split, limits, digest))
    if split.begin:
        return
    with open_stored(split, digest) as stream:
        while data := stream.read(_DIGEST_BYTES):
            if not split.layers:
                digest.update(data)


class _Row(NamedTuple):
    """number: 1-based, in its sheet; values: of its cells, None for empty ones; texts: the same."""

    number: int
    values: list[Any]
    texts: list[str]

    @property
    def shown(self) -> bytes:
        return " ".join(filter(None, self.texts)).encode()


def _records(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Object]:
    read_as = split.read_as or ReadAs()
    table = _Table(read_as.names, digest)
    number = 0
    try:
        with _opened(split, limits) as book:
            sheet = book[read_as.place[0]]
            found = merged_cells(split, sheet, read_as.header_line)
            merged = _MergedCells(found.down)
            for number, cells in enumerate(rows_of(sheet), 1):
                values = merged.filled(number, [cell_value(cell) for cell in cells])
                texts = ["" if value is None else str(value).strip() for value in values]
                row = _Row(number, values, texts)
                if not any(texts):
                    digest.count_lines(blank=1)
                elif number < read_as.header_line:
                    digest.leave_out("leading", row.shown)
                elif number == read_as.header_line:
                    digest.count_lines(header=1)
                elif number in found.headings and sum(map(bool, texts)) == 1:
                    digest.leave_out("heading", row.shown)
                else:
                    yield from table.take(row)
            table.end()
    except UnreadableError:
        raise
    except Exception as error:  # openpyxl and zipfile raise whatever a damaged file leads to
        yield from table.released()
        raise UnreadableError(
            number, f"{split.path} breaks off after row {number}: {type(error).__name__}: {error}"
        ) from error


class _Table:
    """The rows below a header: records, the header again, and what stands at the end.

    Rows that could be a footer wait until the sheet goes on or ends.
    """

    def __init__(self, names: tuple[str, ...], digest: SplitDigest) -> None:
        self._names = names
        self._digest = digest
        self._waiting: deque[_Row] = deque()
        self._has_total = False
        self._ids = Ids()

    def take(self, row: _Row) -> Iterator[Object]:
        """Yield the records that are certain by now."""
        has_totals = self._has_total or self._ids.are_totals
        if not has_totals and is_footer(row.texts, len(self._names), self._ids):
            self._waiting.append(row)
            if len(self._waiting) > MAX_FOOTER_ROWS:
                yield from self.released()
            return
        yield from self.released()
        filled = [text for text in row.texts if text]
        if filled == [name for name in self._names if name] and len(filled) > 1:
            self._digest.leave_out("repeated-header", row.shown)
        elif is_other_header(row.texts, self._names):
            self._digest.leave_out("other-header", row.shown)
            self._names = column_names(row.texts)
        else:
            self._ids.add(row.texts[0])
            self._digest.count_lines(record=1)
            yield Object(row.number, _cells(row.values, self._names))

    def released(self) -> Iterator[Object]:
        """Yield the rows that waited: what is named as a total in the midst is a record."""
        while self._waiting:
            row = self._waiting.popleft()
            self._has_total = self._has_total or is_total(row.texts, len(self._names))
            self._ids.add(row.texts[0])
            self._digest.count_lines(record=1)
            yield Object(row.number, _cells(row.values, self._names))

    def end(self) -> None:
        """Leave the rows that wait out as a footer."""
        while self._waiting:
            self._digest.leave_out("footer", self._waiting.popleft().shown)


def _cells(values: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    cells = dict(zip(names, [*values, *[None] * (len(names) - len(values))], strict=False))
    beyond = [value for value in values[len(names) :] if value is not None]
    if beyond:
        # A cell without a name above it is kept as a column of its own.
        for place, value in enumerate(values[len(names) :], len(names) + 1):
            if value is not None:
                cells[f"column_{place}"] = value
    return cells


@dataclass
class _MergedCells:
    """Cells that one cell is drawn over: what it holds is that of the rows below it, too.

    ranges: first row → its (column from 0, last row).
    """

    ranges: Mapping[int, Sequence[tuple[int, int]]]

    def __post_init__(self) -> None:
        # Column → (last row, value) of those that the row at hand may be in.
        self._open: dict[int, tuple[int, Any]] = {}

    def filled(self, number: int, values: list[Any]) -> list[Any]:
        """Return the values of a row, with those of cells that reach into it; an empty one stays
        empty.
        """
        if self._open and any(value is not None for value in values):
            for column, (last, value) in list(self._open.items()):
                if number > last:
                    del self._open[column]
                elif column < len(values) and values[column] is None:
                    values[column] = value
        for column, last in self.ranges.get(number, ()):
            if column < len(values):
                self._open[column] = last, values[column]
        return values


XLSX = Format((".xlsx", ".xlsm"), _scan, JSONL.rebuild, _plan)
