"""CSV and TSV with a header line, rows kept byte for byte. InputSplit → ParsedRecord | Reject.

Quoting follows RFC 4180, for tabs as for commas. A row that breaks off inside quotes gives up its
first physical line only, so that one forgotten quote does not swallow the rows behind it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from schemas.elements import RawRecord, Reject, key_maker
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    STAGE,
    FileRefusedError,
    Format,
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitDigest,
    Unread,
    UnreadableError,
    check_size,
    check_uncut,
    utf8_problem,
)
from transforms.readers.formats.lines import Line, Lines, open_lines

# Bounds the look-ahead buffer: a line object costs far more than the one byte of an empty line.
MAX_RECORD_LINES = 100_000
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


class _Row(NamedTuple):
    """line: the row's physical lines as one; refused: why there are no cells."""

    line: Line
    cells: list[str]
    refused: RecordRefusedError | None = None


class _Rows:
    """Rows from physical lines.

    Is the iterator that csv.reader pulls lines from, and so knows what each row took.
    """

    def __init__(self, lines: Lines, delimiter: str, limits: ReadLimits) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), limits.max_record_bytes + 1))
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)
        self._lines = lines
        self._limits = limits
        self._ahead: deque[Line] = deque()
        self._taken: list[Line] = []
        self._taken_bytes = 0
        self._is_started = False
        self._is_utf8 = True
        self._open_until = 0
        self._unreadable: UnreadableError | None = None

    def read(self) -> _Row | None:
        """Return the next row (no cells: an empty line), or None at the end; raises
        UnreadableError.
        """
        first = self._next_line()
        if first is None:
            return None
        self._taken, self._taken_bytes = [first], first.size_bytes
        self._is_started, self._is_utf8 = False, True
        try:
            check_size(first.size_bytes, self._limits)
            cells = next(self._reader)
        except RecordRefusedError as refused:
            return _Row(first, [], refused)
        except csv.Error as error:
            return self._give_back(error)
        line = first
        if len(self._taken) > 1:
            line = Line(
                first.number, b"".join(taken.data for taken in self._taken), self._taken_bytes
            )
        if not self._is_utf8:
            return _Row(line, [], RecordRefusedError("invalid-utf8", str(utf8_problem(line.data))))
        return _Row(line, cells)

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> str:
        """One more line of the row; after the first, csv.reader asks for one only while a quote is
        open.
        """
        if not self._is_started:
            self._is_started = True
            return self._decode(self._taken[0])
        if self._taken[-1].number < self._open_until:
            raise StopIteration
        try:
            line = self._next_line()
        except UnreadableError as error:
            self._unreadable = error
            raise StopIteration from error
        if line is None:
            raise StopIteration
        self._taken.append(line)
        self._taken_bytes += line.size_bytes
        if self._taken_bytes > self._limits.max_record_bytes or len(self._taken) > MAX_RECORD_LINES:
            raise StopIteration
        return self._decode(line)

    def _next_line(self) -> Line | None:
        if self._ahead:
            return self._ahead.popleft()
        if self._unreadable is not None:
            raise self._unreadable
        return self._lines.read()

    def _decode(self, line: Line) -> str:
        try:
            return line.data.decode("utf-8")
        except UnicodeDecodeError:
            self._is_utf8 = False
            return line.data.decode("utf-8", "surrogateescape")

    def _give_back(self, error: csv.Error) -> _Row:
        """Refuse the first line of a broken row; the others are read again as rows of their own.

        All ends of lines within the broken row lay inside quotes. A later row that is open at one
        of them is in the same state and breaks at the same place, so it need not look further:
        reading stays linear.
        """
        first, *others = self._taken
        self._open_until = max(self._open_until, self._taken[-1].number)
        self._ahead.extendleft(reversed(others))
        return _Row(first, [], RecordRefusedError("malformed-csv", _explain(error, self._limits)))


def _explain(error: csv.Error, limits: ReadLimits) -> str:
    problem = str(error)
    if "unexpected end of data" in problem:
        return (
            "a quote opens in this row and is not closed within the file, "
            f"{limits.max_record_bytes:,} bytes "
            f"(--max-record-bytes) or {MAX_RECORD_LINES:,} lines; close it, or double the quotes "
            "inside a cell"
        )
    if "expected after" in problem:
        return "a closing quote is followed by more text; double the quotes inside a quoted cell"
    if "new-line character" in problem:
        return "a carriage return stands outside quotes; end lines with LF or CRLF"
    return problem


@dataclass(frozen=True, slots=True)
class _Header:
    names: tuple[str, ...]
    data: bytes


def _read_header(rows: _Rows, delimiter: str) -> _Header | None:
    """Return the header, None in an empty file; raises FileRefusedError."""
    row = rows.read()
    if row is None:
        return None
    if row.refused is not None:
        raise FileRefusedError([f"the header cannot be read: {row.refused}"])
    if problems := list(_header_problems(row.cells, delimiter)):
        raise FileRefusedError(problems)
    return _Header(tuple(row.cells), row.line.data)


def _header_problems(names: list[str], delimiter: str) -> Iterator[str]:
    if not any(names):
        yield "the header is empty; write the column names into line 1"
        return
    for name, count in Counter(names).items():
        if count > 1:
            places = ", ".join(str(place) for place, other in enumerate(names, 1) if other == name)
            what = (
                f"the header names {name!r} {count} times"
                if name
                else f"{count} columns have no name"
            )
            yield f"{what} (columns {places}); give each column its own name"
    if any("\0" in name for name in names):
        yield "the header holds zero bytes, which looks like UTF-16; export as UTF-8"
    if len(names) == 1:
        for other, other_name in _DELIMITER_NAMES.items():
            if other in names[0]:
                yield (
                    f"the header is one column, {names[0]!r}: cells seem to be separated by "
                    f"{other_name}, "
                    f"not {_DELIMITER_NAMES[delimiter]}; set --input-format (csv: commas, tsv: "
                    "tabs) or export again"
                )


def _check_cells(cells: list[str], header: _Header) -> dict[str, Any]:
    if len(cells) != len(header.names):
        counts = f"expected {len(header.names)} cells as in the header, found {len(cells)}"
        fix = "quote cells that hold the delimiter or a line break"
        raise RecordRefusedError("csv-column-count", f"{counts}; {fix}")
    return dict(zip(header.names, cells, strict=True))


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    delimiter = _DELIMITERS[split.format]
    with open_lines(split, limits, digest) as lines:
        rows = _Rows(lines, delimiter, limits)
        try:
            header = _read_header(rows, delimiter)
        except FileRefusedError as refused:
            raise UnreadableError(1, f"{split.path} cannot be read: {refused}") from refused
        key_of = key_maker(split.kind, split.format, header.data if header else b"")
        while header is not None and (row := rows.read()) is not None:
            if row.refused is not None or row.cells:
                yield Unread(
                    key_of(row.line.data), len(row.line.data), partial(_read, split, header, row)
                )


def _read(split: InputSplit, header: _Header, row: _Row) -> ParsedRecord | Reject:
    line = row.line
    raw = RawRecord(
        line.data,
        split.format,
        split.path,
        line.number,
        split.begin,
        header.data,
        line.size_bytes,
        split.kind,
    )
    try:
        if row.refused is not None:
            raise row.refused
        return ParsedRecord(raw, _check_cells(row.cells, header))
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))


def _rebuild(raw: RawRecord) -> dict[str, Any]:
    check_uncut(raw)
    names, cells = (_parse_row(data, raw.format) for data in (raw.header, raw.data))
    return _check_cells(cells, _Header(tuple(names), raw.header))


def _parse_row(data: bytes, input_format: str) -> list[str]:
    csv.field_size_limit(max(csv.field_size_limit(), len(data) + 1))
    try:
        lines = [line.decode("utf-8") for line in io.BytesIO(data)]
    except UnicodeDecodeError as error:
        raise RecordRefusedError("invalid-utf8", str(utf8_problem(data))) from error
    try:
        (cells,) = csv.reader(lines, delimiter=_DELIMITERS[input_format], strict=True)
    except (csv.Error, ValueError) as error:
        raise RecordRefusedError("malformed-csv", f"not one row: {error}") from error
    return cells


def _plan(whole: InputSplit, _split_bytes: int) -> list[InputSplit]:
    delimiter = _DELIMITERS[whole.format]
    try:
        with open_lines(whole, DEFAULT_LIMITS, SplitDigest()) as lines:
            _read_header(_Rows(lines, delimiter, DEFAULT_LIMITS), delimiter)
    except UnreadableError:
        pass  # reading the split reports it
    return [whole]


CSV = Format((".csv",), _scan, _rebuild, _plan)
TSV = Format((".tsv",), _scan, _rebuild, _plan)
