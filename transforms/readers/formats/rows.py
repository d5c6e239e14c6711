"""Rows of a delimited file from its physical lines, each with exactly the lines that it took.

A row that breaks off inside quotes gives up its first physical line only, so that one forgotten
quote does not swallow the rows behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from transforms.readers.clues.table_rows import are_ids_alike
from transforms.readers.contract import (
    ReadLimits,
    RecordRefusedError,
    UnreadableError,
    check_size,
    utf8_problem,
)
from transforms.readers.dialect import Cells, Dialect
from transforms.readers.formats.lines import LONGEST_READY_BYTES, Line, Lines

# Bounds the look-ahead buffer: a line object costs far more than the one byte of an empty line.
MAX_RECORD_LINES = 100_000
# Of a file with fewer columns a line within a text may look like a row by chance: it is one if it
# begins as the row itself does, with an id.
_MIN_SWALLOWED_CELLS = 3
# How many lines Python's reader has taken.
_LINE_NUMBER = attrgetter("line_num")


class Row(NamedTuple):
    """line: the row's physical lines as one; lines: how many; refused: why there are no cells.

    is_literal: read with quotes as ordinary characters, although the file's dialect has them.
    """

    line: Line
    cells: list[str]
    refused: RecordRefusedError | None = None
    lines: int = 1
    is_literal: bool = False


# A row as `Row` has it, whose line is as `Line` has it: there are millions.
RowParts = tuple[tuple[int, bytes, int], list[str], RecordRefusedError | None, int, bool]


def as_row(parts: RowParts) -> Row:
    """Return a row whose parts have names."""
    return parts if isinstance(parts, Row) else Row(Line(*parts[0]), *parts[1:])


class LineSource(Protocol):
    """Gives physical lines one by one."""

    def read(self) -> Line | None: ...


class Rows:
    """Rows from physical lines.

    Is the iterator that csv.reader pulls lines from, and so knows what each row took.
    columns: cells of a row once the header is known.
    """

    def __init__(self, lines: LineSource, dialect: Dialect, limits: ReadLimits) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), limits.max_record_bytes + 1))
        self._dialect = dialect
        self._mend = Cells(dialect)
        self._reader = csv_reader(self, dialect, self._mend)
        self._lines = lines
        self._limits = limits
        self._ahead: deque[Line] = deque()
        self._taken: list[Line] = []
        self._taken_bytes = 0
        self._is_started = False
        self._is_utf8 = True
        self._open_until = 0
        self._literal_until = 0
        self._unreadable: UnreadableError | None = None
        self.columns = 0

    def read(self) -> Row | None:
        """Return the next row (no cells: an empty line), or None at the end; raises
        UnreadableError.
        """
        is_next = not self._ahead and self._unreadable is None
        first = self._lines.read() if is_next else self.next_line()
        if first is None:
            return None
        if first.number <= self._literal_until:
            return self._literal_row(first)
        self._taken, self._taken_bytes = [first], first.size_bytes
        self._is_started, self._is_utf8 = False, True
        try:
            if first.size_bytes > self._limits.max_record_bytes:
                check_size(first.size_bytes, self._limits)
            cells = next(self._reader)
        except RecordRefusedError as refused:
            return Row(first, [], refused)
        except csv.Error as error:
            return self._give_back(error)
        if len(self._taken) == 1:
            if self._is_utf8 and self._mend.is_plain:
                return tuple.__new__(Row, (first, cells, None, 1, False))  # as Line is made
            line = first
        elif self._swallows():
            return self._literal_row(self._give_back_lines())
        else:
            line = Line(
                first.number, b"".join(taken.data for taken in self._taken), self._taken_bytes
            )
        if not self._is_utf8:
            problem = RecordRefusedError("invalid-utf8", str(utf8_problem(line.data)))
            return Row(line, [], problem, len(self._taken))
        if not self._mend.is_plain:
            cells = self._mend.mended(cells)
        return Row(line, cells, None, len(self._taken))

    def following(self, lines: Lines) -> Iterator[RowParts]:
        """Yield the rows that follow, as `read` returns them; raises UnreadableError.

        lines: those that the rows are read from. Whatever lines are there at once are taken apart
        at once, up to a row that takes more than a look.
        """
        is_plain = self._mend.is_plain and self._limits.max_record_bytes >= LONGEST_READY_BYTES
        while True:
            is_between = not self._ahead and self._unreadable is None
            if is_plain and is_between and lines.number >= self._literal_until:
                yield from self._ready(lines)
            row = self.read()
            if row is None:
                return
            yield row

    def _ready(self, lines: Lines) -> Iterator[RowParts]:
        """Yield the rows of the lines that are there, up to one that `read` has to look at."""
        while ready := lines.ready():
            first = lines.number + 1
            place = 0
            reader: Any = csv_reader(map(bytes.decode, ready), self._dialect, self._mend)
            try:
                for cells, end in zip(reader, map(_LINE_NUMBER, repeat(reader)), strict=False):
                    if end - place > 1:
                        break
                    lines.skip(1)
                    data = ready[place]
                    yield (first + place, data, len(data)), cells, None, 1, False
                    place = end
            except (csv.Error, UnicodeDecodeError):
                return
            if place < len(ready):
                return

    def next_line(self) -> Line | None:
        """Return the next physical line, or None at the end; raises UnreadableError."""
        if self._ahead:
            return self._ahead.popleft()
        if self._unreadable is not None:
            raise self._unreadable
        return self._lines.read()

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> str:
        """One more line of the row; after the first, csv.reader asks for one only while a quote is
        open.
        """
        if not self._is_started:
            self._is_started = True
            return self._decoded(self._taken[0])
        if self._taken[-1].number < self._open_until:
            raise StopIteration
        line = self._further_line()
        if line is None:
            raise StopIteration
        return self._decoded(line)

    def _further_line(self) -> Line | None:
        """Take one more line into the row; None where there is none, or the row is too large."""
        try:
            line = self.next_line()
        except UnreadableError as error:
            self._unreadable = error
            return None
        if line is None:
            return None
        self._taken.append(line)
        self._taken_bytes += line.size_bytes
        if self._taken_bytes > self._limits.max_record_bytes or len(self._taken) > MAX_RECORD_LINES:
            return None
        return line

    def _decoded(self, line: Line) -> str:
        text = self._text(line)
        if self._mend.is_plain:
            return text
        while self._mend.continues(text) and (further := self._further_line()) is not None:
            text += self._text(further)
        return self._mend.prepared(text)

    def _text(self, line: Line) -> str:
        try:
            return line.data.decode("utf-8")
        except UnicodeDecodeError:
            self._is_utf8 = False
            return line.data.decode("utf-8", "surrogateescape")

    def _swallows(self) -> bool:
        """Return whether every line of the row is a record by itself once its quotes are taken for
        ordinary characters.

        That happens by a quote that opens a title and one that closes a later one (27"). No text of
        several lines is made of as many delimiters a line as the table has, in every line.
        """
        delimiter = self._dialect.delimiter.encode()
        are_rows = self.columns > 1 and all(
            line.data.count(delimiter) == self.columns - 1 for line in self._taken
        )
        if not are_rows or self.columns >= _MIN_SWALLOWED_CELLS:
            return are_rows
        first, *others = (
            line.data.partition(delimiter)[0].decode("utf-8", "replace").strip('"\ufeff ')
            for line in self._taken
        )
        return all(are_ids_alike(first, other) for other in others)

    def _give_back_lines(self) -> Line:
        first, *others = self._taken
        self._literal_until = self._taken[-1].number
        self._ahead.extendleft(reversed(others))
        return first

    def _literal_row(self, line: Line) -> Row:
        try:
            cells = parse_row([line.data], replace(self._dialect, quote=""))
        except RecordRefusedError as refused:
            return Row(line, [], refused, is_literal=True)
        return Row(line, cells, is_literal=True)

    def _give_back(self, error: csv.Error) -> Row:
        """Refuse the first line of a broken row; the others are read again as rows of their own.

        All ends of lines within the broken row lay inside quotes. A later row that is open at one
        of them is in the same state and breaks at the same place, so it need not look further:
        reading stays linear.
        """
        first, *others = self._taken
        self._open_until = max(self._open_until, self._taken[-1].number)
        self._ahead.extendleft(reversed(others))
        return Row(first, [], RecordRefusedError("malformed-csv", _explain(error, self._limits)))


def csv_reader(lines: Iterator[str], dialect: Dialect, cells: Cells) -> Iterator[list[str]]:
    """Return Python's reader of rows for a dialect, whose lines `cells` has prepared."""
    if not dialect.quote:
        return csv.reader(
            lines,
            delimiter=cells.delimiter,
            quoting=csv.QUOTE_NONE,
            skipinitialspace=dialect.spaces,
            strict=True,
        )
    return csv.reader(
        lines,
        delimiter=cells.delimiter,
        quotechar=dialect.quote,
        skipinitialspace=dialect.spaces,
        strict=True,
    )


def parse_row(lines: list[bytes], dialect: Dialect) -> list[str]:
    """Return the cells of one row; raises RecordRefusedError."""
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines)) + 1))
    try:
        texts = [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError as error:
        problem = str(utf8_problem(b"".join(lines)))
        raise RecordRefusedError("invalid-utf8", problem) from error
    mend = Cells(dialect)
    if not mend.is_plain:
        texts = list(joined(iter(texts), mend))
    try:
        (cells,) = csv_reader(iter(texts), dialect, mend)
    except (csv.Error, ValueError) as error:
        raise RecordRefusedError("malformed-csv", f"not one row: {error}") from error
    return mend.mended(cells)


def joined(lines: Iterator[str], cells: Cells) -> Iterator[str]:
    """Yield lines as csv.reader can read them, those whose end is escaped with the next."""
    for line in lines:
        whole = line
        while cells.continues(whole) and (more := next(lines, None)) is not None:
            whole += more
        yield cells.prepared(whole)


def _explain(error: csv.Error, limits: ReadLimits) -> str:
    problem = str(error)
    if "unexpected end of data" in problem:
        return (
            "a quote opens in this row and is not closed within the file, "
            f"{limits.max_record_bytes:,} bytes "
            f"(--max-record-bytes) or {MAX_RECORD_LINES:,} lines; close it, or double the quotes "
            "inside a cell; where quotes are ordinary characters write input: {quote: none}"
        )
    if "expected after" in problem:
        return (
            "a closing quote is followed by more text; double the quotes inside a quoted cell, or "
            "write input: {quote: none} where quotes are ordinary characters"
        )
    if "new-line character" in problem:
        return "a carriage return stands outside quotes; end lines with LF or CRLF"
    return problem
