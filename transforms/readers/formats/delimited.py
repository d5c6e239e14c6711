"""CSV and TSV in any dialect, rows kept byte for byte as UTF-8. InputSplit → ParsedRecord | Reject.

Every physical line is a record's, the header's, or has a name that the split's report counts.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from schemas.elements import RawRecord, Reject, key_maker
from schemas.sections.inputs import InputDescription
from transforms.readers.added.partitions import with_partitions
from transforms.readers.clues.table_rows import (
    MAX_FOOTER_ROWS,
    Ids,
    are_ids_alike,
    is_footer,
    is_other_header,
    is_total,
)
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    STAGE,
    FileRefusedError,
    Format,
    InputSplit,
    ParsedRecord,
    ReadAs,
    ReadLimits,
    RecordRefusedError,
    SplitDigest,
    Unread,
    UnreadableError,
    check_uncut,
)
from transforms.readers.dialect import Dialect, parse_spelled, usual_dialect, with_decimals
from transforms.readers.evidence import marks_of_columns
from transforms.readers.formats.lines import open_lines
from transforms.readers.formats.rows import Row, RowParts, Rows, as_row, parse_row
from transforms.readers.sniffing import find_currencies, find_read_as, sample_columns

# Of the ids above a footer, to see whether they may hold spaces.
_LOOKED_AT_IDS = 1_000


@dataclass(frozen=True, slots=True)
class _Header:
    """names: of the columns, each once. data: the bytes that they are read from again. written: the
    cells as they are written.
    """

    names: tuple[str, ...]
    data: bytes
    written: tuple[str, ...]


def column_names(cells: list[str]) -> tuple[str, ...]:
    """Return the names of columns as a header gives them, without spaces around them, each once.

    >>> column_names([" SKU ", "image", "image", "", ""])
    ('SKU', 'image', 'image_2', 'column_4', 'column_5')
    """
    stripped = [cell.strip().strip("\ufeff\u200b").strip() for cell in cells]
    if stripped.count("") > 1:
        stripped = [name or f"column_{place}" for place, name in enumerate(stripped, 1)]
    names: list[str] = []
    taken = set(stripped)
    seen: Counter[str] = Counter()
    for name in stripped:
        seen[name] += 1
        unique, number = name, seen[name]
        while number > 1 and (unique in taken or unique in names):
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return tuple(names)


def _read_header(rows: Rows, read_as: ReadAs, digest: SplitDigest) -> _Header | None:
    """Return the header, None in an empty file; raises FileRefusedError."""
    dialect = read_as.dialect or Dialect()
    if not read_as.header_line:
        rows.columns = len(read_as.names)
        return _Header(read_as.names, _written(read_as.names, dialect), read_as.names)
    blank = f"{dialect.delimiter}{dialect.quote} \t\r\n".encode()
    for _ in range(1, read_as.header_line):
        if (line := rows.next_line()) is None:
            return None
        if not line.data.strip(blank):
            digest.lines["blank"] += 1
        else:
            digest.leave_out("leading", line.data)
    row = rows.read()
    if row is None:
        return None
    digest.lines["header"] += row.lines
    if row.refused is not None:
        raise FileRefusedError([f"the header cannot be read: {row.refused}"])
    if problems := list(_header_problems(row.cells)):
        raise FileRefusedError(problems)
    return _header_of(row, rows)


def _header_of(row: Row, rows: Rows) -> _Header:
    names = column_names(row.cells)
    rows.columns = len(names)
    return _Header(names, row.line.data, tuple(row.cells))


def _written(names: tuple[str, ...], dialect: Dialect) -> bytes:
    """Return names as a header of that dialect, so that records are read again like those of a file
    that has one.
    """
    if not dialect.quote or len(dialect.delimiter) > 1:
        return (dialect.delimiter.join(names) + "\n").encode()
    text = io.StringIO(newline="")
    csv.writer(
        text, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\n"
    ).writerow(names)
    return text.getvalue().encode()


def _header_problems(names: list[str]) -> Iterator[str]:
    if not any(name.strip() for name in names):
        yield "the header is empty; write the column names into line 1"
    elif any("\0" in name for name in names):
        yield "the header holds zero bytes, so this is no text; export as UTF-8"


def _named(cells: list[str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the cells under their names; raises RecordRefusedError.

    Empty cells beyond the last column are none, and a row may leave out empty cells at its end, as
    spreadsheets do; but a row of a single cell is rather a broken line than a record.
    """
    columns = len(names)
    if any(cells[columns:]) or (len(cells) < columns and len(cells) < 2):
        counts = f"expected {columns} cells as in the header, found {len(cells)}"
        fix = "quote cells that hold the delimiter or a line break"
        raise RecordRefusedError("csv-column-count", f"{counts}; {fix}")
    filled = [*cells[:columns], *[""] * (columns - len(cells))]
    return dict(zip(names, filled, strict=True))


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    read_as = split.read_as or ReadAs(usual_dialect(split.format))
    dialect = read_as.dialect or usual_dialect(split.format)
    with open_lines(split, limits, digest) as lines:
        rows = Rows(lines, dialect, limits)
        try:
            header = _read_header(rows, read_as, digest)
        except FileRefusedError as refused:
            raise UnreadableError(1, f"{split.path} cannot be read: {refused}") from refused
        if header is None:
            return
        below = rows.following(lines)
        following: _Header | None = header
        while following is not None:
            table = _Table(split, following, read_as)
            yield from _scan_table(_records(below, rows, table, digest), table, digest)
            following = table.following


def _scan_table(
    records: Iterator[RowParts], table: _Table, digest: SplitDigest
) -> Iterator[Unread]:
    """Yield the records below one header."""
    record_lines, keys, look = 0, table.keys, partial(_read, table)
    try:
        for row in records:
            line, _, _, lines, is_literal = row
            if is_literal:
                digest.leave_out("literal-quotes", line[1])
            else:
                record_lines += lines
            yield tuple.__new__(Unread, (line[1], keys[is_literal], look, row))
    finally:
        digest.count_lines(record=record_lines)


class _Table:
    """What all rows below a header share.

    formats, keys: by whether a row's quotes are text: the format of its record, as `_rebuild`
    understands it, and the function from its bytes to its key. knows_ids: whether enough rows were
    looked at to know what ids look like. has_total: whether a record is named as totals are.
    following: the header of other columns that the table ends at.
    """

    def __init__(self, split: InputSplit, header: _Header, read_as: ReadAs) -> None:
        self.split, self.header, self.comment = split, header, read_as.comment
        dialect, decimals = read_as.dialect or usual_dialect(split.format), read_as.decimals
        self.formats = {
            is_literal: with_partitions(
                with_decimals(each.spelled(split.format), decimals), split.partitions
            )
            for is_literal, each in ((False, dialect), (True, replace(dialect, quote="")))
        }
        self.keys = {
            is_literal: key_maker(split.kind, spelled, header.data)
            for is_literal, spelled in self.formats.items()
        }
        self.ids = Ids()
        self.knows_ids = False
        self.has_total = False
        self.names = frozenset((*header.names, *header.written))
        self.following: _Header | None = None

    def released(self, waiting: deque[Row], but: int = 0) -> Iterator[Row]:
        """Yield the rows that waited but the last ones, and refuse pairs that are one row, cut in
        two by a line break.
        """
        columns = len(self.header.names)
        while len(waiting) > but:
            row = waiting.popleft()
            self.has_total = self.has_total or is_total(row.cells, columns)
            if waiting and self._are_one(row.cells, waiting[0].cells):
                yield _cut(row, columns)
                yield _cut(waiting.popleft(), columns)
            else:
                yield row

    def _are_one(self, cells: list[str], following: list[str]) -> bool:
        """Return whether two short rows have the cells of one, the second of them no id."""
        columns = len(self.header.names)
        # A row that has its key from the one above begins with nothing; no rest of a text does.
        begins_row = self.split.fill_down is not None and not any(following[:1])
        return (
            0 < len(cells) < columns > len(following)
            and len(cells) + len(following) - 1 == columns
            and not begins_row
            and not (self.ids.are_digits and following[0].strip().isdigit())
            and not are_ids_alike(cells[0], following[0])
        )

    def kind_of(self, row: Row) -> str:
        """Return what a row is: `record`, `blank`, of LINE_KINDS, or `waiting` for what follows."""
        names, cells = self.header.names, row.cells
        if row.refused is not None:
            return "record"
        if not any(cells):
            return "blank"
        if self.comment and row.line.data.startswith(self.comment.encode()):
            return "comment"
        if len(names) == 1 or not self.names.isdisjoint(map(str.strip, cells)):
            if column_names(cells) == names:
                return "repeated-header"
            if is_other_header(cells, self.names):
                return "other-header"
        if len(names) > 1 and (
            len(cells) != len(names) or not any(cells[1:]) or is_total(cells, len(names))
        ):
            return "waiting"
        return "record"

    def look_at_id(self, first_cell: str) -> None:
        """Note what the first cell of a record is like."""
        self.ids.add(first_cell)
        self.knows_ids = self.ids.seen >= _LOOKED_AT_IDS


def _records(
    below: Iterator[RowParts], rows: Rows, table: _Table, digest: SplitDigest
) -> Iterator[RowParts]:
    """Yield the rows below a header that are records; what the others are is noted.

    Rows that could be a footer wait until the file goes on or ends; rows that are too short wait
    for the next, because two of them may be one that a line break has cut in two.
    """
    columns, names = len(table.header.names), table.names
    # Only a table of several columns and no comments has rows that one look tells to be records.
    is_plain = columns > 1 and not table.comment
    # With so many empty cells a row may be a footer.
    sparse = max(1, columns - max(2, columns // 2))
    waiting: deque[Row] = deque()
    try:
        for parts in below:
            cells = parts[1]
            if (
                is_plain
                and not waiting
                and len(cells) == columns
                and cells[1] > " "
                and (cells[0] not in names if table.knows_ids else names.isdisjoint(cells))
                and cells.count("") < sparse
            ):
                if not table.knows_ids:
                    table.look_at_id(cells[0])
                yield parts
                continue
            row = as_row(parts)
            kind = table.kind_of(row)
            if kind == "waiting":
                waiting.append(row)
                if len(waiting) > 2 * MAX_FOOTER_ROWS:
                    yield from table.released(waiting, MAX_FOOTER_ROWS)
            elif kind == "record":
                yield from table.released(waiting)
                if cells and not table.knows_ids:
                    table.look_at_id(cells[0])
                yield row
            else:
                _leave_out(kind, row, digest)
                if kind == "other-header":
                    table.following = _header_of(row, rows)
                    break
    except UnreadableError:
        yield from table.released(waiting)
        raise
    footer = _footer(waiting, table)
    yield from table.released(waiting)
    for row in footer:
        _leave_out("footer", row, digest)


def _leave_out(kind: str, row: Row, digest: SplitDigest) -> None:
    """Note a row that is no record; of a blank one there is nothing to show."""
    if kind == "blank":
        digest.lines[kind] += row.lines
    else:
        digest.leave_out(kind, row.line.data, row.lines)


def _footer(waiting: deque[Row], table: _Table) -> list[Row]:
    """Take the rows of a footer off the end of those that wait.

    Where a record before has such a name too ("row-1", "3 mugs"), they are records all.
    """
    columns = len(table.header.names)
    footers = [is_footer(row.cells, columns, table.ids) for row in waiting]
    totals = [is_total(row.cells, columns) for row in waiting]
    count = next((n for n, is_one in enumerate(reversed(footers)) if not is_one), len(footers))
    if count > MAX_FOOTER_ROWS or any(totals[: len(totals) - count]) or table.has_total:
        return []
    if table.ids.are_totals and any(row.cells[0].strip() for row in list(waiting)[-count:]):
        return []
    return [waiting.pop() for _ in range(count)][::-1]


def _cut(row: Row, columns: int) -> Row:
    message = (
        f"expected {columns} cells as in the header, found {len(row.cells)}, and the line beside "
        "it has the rest; quote cells that hold a line break"
    )
    return row._replace(cells=[], refused=RecordRefusedError("csv-column-count", message))


def _read(table: _Table, row: RowParts) -> ParsedRecord | Reject:
    (number, data, size_bytes), cells, refusal, _, is_literal = row
    split, header = table.split, table.header
    raw = RawRecord(
        data,
        table.formats[is_literal],
        split.path,
        number,
        split.begin,
        header.data,
        size_bytes,
        split.kind,
    )
    try:
        if refusal is not None:
            raise refusal
        names = header.names
        is_full = len(cells) == len(names)
        named = dict(zip(names, cells, strict=True)) if is_full else _named(cells, names)
        return tuple.__new__(ParsedRecord, (raw, named, ""))
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))


def _rebuild(raw: RawRecord) -> dict[str, str]:
    check_uncut(raw)
    _, dialect = parse_spelled(raw.format)
    cells = parse_row(list(io.BytesIO(raw.data)), dialect)
    return _named(cells, _names_of(raw.header, dialect))


@lru_cache(maxsize=64)
def _names_of(header: bytes, dialect: Dialect) -> tuple[str, ...]:
    return column_names(parse_row(list(io.BytesIO(header)), dialect))


def _plan(whole: InputSplit, _split_bytes: int, description: InputDescription) -> list[InputSplit]:
    try:
        read_as = find_read_as(whole, description)
        planned = replace(whole, read_as=read_as)
        with open_lines(planned, DEFAULT_LIMITS, SplitDigest()) as lines:
            rows = Rows(lines, read_as.dialect or Dialect(), DEFAULT_LIMITS)
            header = _read_header(rows, read_as, SplitDigest())
        if header is not None:
            columns = sample_columns(whole, read_as, header.names)
            read_as = replace(read_as, decimals=marks_of_columns(columns))
            read_as = read_as.noting(find_currencies(columns))
    except UnreadableError:
        return [whole]  # reading the split reports it
    if read_as == ReadAs(usual_dialect(whole.format)):
        return [whole]
    return [replace(whole, read_as=read_as)]


CSV = Format((".csv",), _scan, _rebuild, _plan, plan_has_columns=True)
TSV = Format((".tsv", ".tab"), _scan, _rebuild, _plan, plan_has_columns=True)
