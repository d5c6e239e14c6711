"""How a delimited file is written, found out from its beginning.

A file that RFC 4180 explains is read by it. Only where it does not are other dialects tried: those
that clevercsv proposes (van den Burg et al. 2019, doi:10.1007/s10618-019-00646-y) and those that
programs are known to write; the one under which most rows have as many cells as the header wins.
Where two readings differ and nothing decides, the file is refused with both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice, takewhile

from schemas.sections.inputs import NONE, InputDescription
from transforms.extraction.money.amounts import UnclearMoneyError, read_money
from transforms.readers.clues.encodings import find_encoding
from transforms.readers.clues.table_rows import (
    MAX_FOOTER_ROWS,
    MAX_LEADING_ROWS,
    header_place,
    is_other_header,
    is_second_header,
    is_total,
    kind_of,
    no_header_problem,
    record_for_header,
    two_headers_problem,
)
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    FileRefusedError,
    InputSplit,
    ReadAs,
    RecordRefusedError,
    SplitDigest,
    UnreadableError,
)
from transforms.readers.dialect import Dialect, usual_dialect
from transforms.readers.formats.lines import UTF8, Line, open_lines
from transforms.readers.formats.rows import Rows, parse_row

# Enough rows to tell a dialect; of a file of long texts fewer.
SAMPLE_BYTES = 256 << 10
SAMPLE_ROWS = 1_000
# An encoding shows in single characters that may stand anywhere: so much of a file is looked at.
ENCODING_BYTES = 32 << 20
_BLOCK_BYTES = 64 << 10
_CLEVER_CHARS = 16_000
# A dialect that explains so many rows is not doubted.
_GOOD_SHARE = 0.9
# Another one has to explain clearly more.
_CLEARLY = 0.05
_OTHER_DELIMITERS = (";", "\t", "|", ",", "::", "||", "^", "~", "\x01")
_SEP_LINE = re.compile(r'"?sep=(.|\\t)"?\s*', re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
# Not brackets and marks of sentences, which stand beside delimiters.
_RUN = re.compile(r"[|~^#:;=<>!@$*§¦-]{2,5}")
_ONE_WORD = re.compile(r"\s*#*[\w.-]+\s*")
# So many rows show what a column holds.
_LOOKED_AT_ROWS = 50
# So many cells tell which currencies a column has.
_PRICES = 200
# After an escape character of MySQL and PostgreSQL.
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset("Nntrb0Z\"'\\\n\r,;|\t")


@dataclass(frozen=True)
class _Trial:
    """What becomes of a sample under a dialect.

    rows: cells, without those of broken rows; broken: rows that break the dialect's rules.
    """

    dialect: Dialect
    rows: Sequence[Sequence[str]]
    broken: int

    @cached_property
    def width(self) -> int:
        """Cells of most rows; of the wider ones where two are as frequent."""
        counts = Counter(len(row) for row in self.rows if any(row))
        return max(counts, key=lambda width: (counts[width], width), default=0)

    @cached_property
    def share(self) -> float:
        """Share of the rows that have `width` cells, empty ones at their end left out or added, of
        those from the first one that is as wide and without a footer.
        """
        filled = [row for row in self.rows[self.leading :] if any(row)]
        footer = takewhile(partial(is_total, columns=self.width), reversed(filled))
        filled = filled[: len(filled) - len(list(islice(footer, MAX_FOOTER_ROWS)))]
        fitting = sum(
            len(row) == self.width or (len(row) > self.width and not any(row[self.width :]))
            for row in filled
        )
        return fitting / max(1, len(filled) + self.broken)

    @cached_property
    def leading(self) -> int:
        """Rows before the first one that is as wide as most; with the delimiter of the cells the
        header is that row, with one that happens to stand once in every row it is not.
        """
        return next((n for n, row in enumerate(self.rows) if len(row) >= self.width), 0)

    @property
    def explains(self) -> bool:
        return self.width > 1 and not self.broken and self.share >= _GOOD_SHARE


def find_read_as(whole: InputSplit, description: InputDescription) -> ReadAs:
    """Return how a delimited file is written.

    Raises FileRefusedError where that cannot be told, with what decides it, and UnreadableError.
    """
    encoding = description.encoding or _encoding_of(whole)
    read_as = ReadAs(usual_dialect(whole.format), encoding)
    lines = _sample(replace(whole, read_as=read_as))
    if len(lines) <= 1 and "\r" in "".join(lines).strip("\r\n"):
        read_as = replace(read_as, carriage_returns=True)
        lines = _sample(replace(whole, read_as=read_as))
    comment = description.comment or ""
    sep = _SEP_LINE.fullmatch(lines[0]) if lines else None
    # Excel reads this line and never shows it.
    delimiter = sep[1].replace("\\t", "\t") if sep else None
    text = lines[1:] if sep else lines
    dialect = _dialect(text, usual_dialect(whole.format), description, delimiter, comment)
    read_as = replace(read_as, dialect=dialect, comment=comment)
    if description.columns and _has_no_header(description, text, dialect):
        return replace(read_as, header_line=0, names=description.columns)
    if isinstance(description.header, int):
        return replace(read_as, header_line=description.header)
    header_line, row = _header(text, dialect, comment)
    line = header_line + (1 if sep else 0)
    if row is not None:
        _check_header(row, line, text, dialect, comment)
    return replace(read_as, header_line=line)


def sample_columns(
    whole: InputSplit, read_as: ReadAs, names: Sequence[str]
) -> dict[str, list[str]]:
    """Return column → its filled cells in the beginning of a file."""
    dialect = read_as.dialect or usual_dialect(whole.format)
    rows = _try(_sample(replace(whole, read_as=read_as)), dialect, read_as.comment).rows
    columns: dict[str, list[str]] = {name: [] for name in names}
    for row in rows[1:]:
        if [cell.strip() for cell in row] == list(names):
            continue
        if is_other_header(row, names):
            break
        for name, cell in zip(names, row, strict=False):
            if cell.strip():
                columns[name].append(cell)
    return columns


def find_currencies(columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return notes of columns with amounts in several currencies, which a number does not tell."""
    notes = []
    for name, cells in columns.items():
        codes = Counter(filter(None, map(_currency_of, cells[:_PRICES])))
        if len(codes) > 1 and codes.total() * 2 > len(cells[:_PRICES]):
            notes.append(f"amounts in {' and '.join(sorted(codes))} in {name}")
    return tuple(notes)


def _currency_of(cell: str) -> str | None:
    """Return the code of the currency that a cell's amount has, None without one."""
    if cell.strip().replace(".", "").isdigit():
        return None
    try:
        money = read_money(cell.strip(), ",")
    except UnclearMoneyError:
        return None
    return None if money is None else money.currency(None)


def _encoding_of(whole: InputSplit) -> str:
    encoding = find_encoding(_bytes_of(whole))
    if encoding.rival:
        raise FileRefusedError([encoding.problem()])
    return encoding.name


def _bytes_of(whole: InputSplit) -> bytes:
    """Return the beginning of a file as it is, unpacked."""
    parts: list[bytes] = []
    size_bytes = 0
    stored = replace(whole, read_as=None)
    # What breaks off is read up to there, so it is looked at up to there.
    with open_lines(stored, DEFAULT_LIMITS, SplitDigest()) as lines, suppress(UnreadableError):
        while size_bytes < ENCODING_BYTES and (data := lines.take(_BLOCK_BYTES)):
            parts.append(data)
            size_bytes += len(data)
    return b"".join(parts)


def _sample(split: InputSplit) -> list[str]:
    """Return the first lines of a file with their ends; a character that is not of its encoding is
    replaced.
    """
    sample: list[str] = []
    size_bytes = 0
    with open_lines(split, DEFAULT_LIMITS, SplitDigest()) as lines, suppress(UnreadableError):
        while size_bytes < SAMPLE_BYTES and (line := lines.read()) is not None:
            sample.append(line.data.decode(UTF8, "replace"))
            size_bytes += line.size_bytes
    return sample


def _dialect(
    lines: Sequence[str],
    usual: Dialect,
    description: InputDescription,
    delimiter: str | None,
    comment: str,
) -> Dialect:
    """Return the dialect that explains the lines best among those that the description allows."""
    given = {
        name: value
        for name in ("delimiter", "quote", "escape")
        if (value := getattr(description, name)) is not None
    }
    if delimiter is not None:
        given.setdefault("delimiter", delimiter)
    first = _try(lines, replace(usual, **given), comment)
    if _is_settled(first, lines):
        return first.dialect
    best = first
    for candidate, has_reason in _candidates(lines, first):
        trial = _try(lines, replace(candidate, **given), comment)
        if _is_better(trial, best, has_reason=has_reason):
            best = trial
    return best.dialect


def _is_settled(trial: _Trial, lines: Sequence[str]) -> bool:
    if not lines:
        return True
    if not trial.explains or trial.leading:
        return False
    # Both can explain a file and mean other things by its quotes or backslashes.
    return (
        not _quotes_may_be_text(trial, lines)
        and not _is_escaped(trial, lines)
        and not _has_open_quotes(trial)
        and not _has_single_quotes(trial, lines)
    )


def _candidates(lines: Sequence[str], first: _Trial) -> Iterator[tuple[Dialect, bool]]:
    """Yield dialects to try, with whether something in the lines speaks for them."""
    usual, is_escaped = first.dialect, _is_escaped(first, lines)
    literal = replace(usual, quote="")
    if is_escaped:
        yield replace(usual, escape="\\"), True
        if usual.delimiter == "\t":
            yield replace(literal, escape="\\"), True
    elif _quotes_may_be_text(first, lines):
        yield literal, True
    if _has_open_quotes(first):
        yield replace(usual, spaces=True), True
    if _has_single_quotes(first, lines):
        yield replace(usual, quote="'"), True
    clever = _clever(lines)
    doubled = [each for each in _OTHER_DELIMITERS if len(each) > 1 and _is_doubled(each, lines)]
    for delimiter in dict.fromkeys(
        (*_runs(lines), *doubled, *([clever] if clever else []), *_OTHER_DELIMITERS)
    ):
        if any(delimiter in line for line in lines[:MAX_LEADING_ROWS]):
            other = replace(usual, delimiter=delimiter)
            trial = _try(lines, other, "")
            # Escapes before the same without them: both may explain the rows, and then backslashes
            # would stay in the cells.
            if _is_escaped(trial, lines):
                yield replace(other, escape="\\"), False
            yield other, False
            if _quotes_may_be_text(trial, lines):
                yield replace(other, quote=""), False


def _is_doubled(delimiter: str, lines: Sequence[str]) -> bool:
    """Return whether the first line has the doubled character only: names hold none of it, texts
    below may.
    """
    return delimiter in lines[0] and delimiter[0] not in lines[0].replace(delimiter, "")


def _runs(lines: Sequence[str]) -> Iterator[str]:
    """Yield signs that stand together in the first line and as often in all others, such as ~|~:
    a delimiter of several characters.
    """
    for run, count in Counter(_RUN.findall(lines[0])).items():
        if all(line.count(run) == count for line in lines if line.strip()):
            yield run


def _clever(lines: Sequence[str]) -> str:
    """Return the delimiter that clevercsv finds; empty without one."""
    import clevercsv

    text = "".join(lines)[:_CLEVER_CHARS]
    try:
        found = clevercsv.Sniffer().sniff(text[: text.rfind("\n") + 1] or text)
    except Exception:  # it raises many kinds, none of which says that the file is unreadable
        return ""
    delimiter = str(found.delimiter) if found else ""
    # It takes any frequent character, letters too, and knows none of two characters.
    if delimiter.isalnum() or delimiter in " \"'":
        return ""
    return 2 * delimiter if delimiter not in text.replace(2 * delimiter, "") else delimiter


def _is_better(trial: _Trial, best: _Trial, *, has_reason: bool) -> bool:
    if trial.width < 2:
        return False
    if best.width < 2:
        return trial.share >= _GOOD_SHARE and not trial.broken
    if has_reason:
        return trial.share >= best.share and trial.broken <= best.broken
    if trial.explains and trial.leading < best.leading:
        return True
    return trial.share >= best.share + _CLEARLY


def _has_open_quotes(trial: _Trial) -> bool:
    """Return whether cells begin with a space and a quote, which is then none to a reader."""
    quote = trial.dialect.quote
    return bool(quote) and any(cell[:2] == f" {quote}" for row in trial.rows for cell in row)


def _has_single_quotes(trial: _Trial, lines: Sequence[str]) -> bool:
    """Return whether cells begin with an apostrophe where no other quotes are; then they are read
    as quoted by it if that explains the rows as well.
    """
    return (
        trial.dialect.quote == '"'
        and not any('"' in line for line in lines)
        and any(cell[:1] == "'" for row in trial.rows for cell in row)
    )


def _quotes_may_be_text(trial: _Trial, lines: Sequence[str]) -> bool:
    """Return whether quotes seem to be ordinary characters: they begin cells without need, swallow
    lines that are records by themselves, or are not closed.

    A writer that quotes does so where a cell holds a quote, a delimiter or a line break, or it
    quotes all cells of a kind. IANA's text/tab-separated-values has no quoting at all.
    """
    if trial.dialect.quote == "" or not any(trial.dialect.quote in line for line in lines):
        return False
    literal = _try(lines, replace(trial.dialect, quote=""), "")
    if trial.dialect.delimiter != "\t":
        # Commas stand in texts, so their writers quote: a cell that is quoted whole proves it.
        return literal.explains and not trial.explains and not _is_quoted(literal)
    if not literal.explains:
        return False
    if not trial.explains or len(trial.rows) < len(literal.rows):
        return True
    return _quotes_without_need(trial, lines)


def _is_quoted(literal: _Trial) -> bool:
    header = literal.rows[0] if literal.rows else []
    return any('"' in name for name in header) or any(
        len(cell) > 1 and cell[0] == '"' == cell[-1] for row in literal.rows for cell in row
    )


def _quotes_without_need(trial: _Trial, lines: Sequence[str]) -> bool:
    needed = needless = bare = 0
    quote, delimiter = trial.dialect.quote, trial.dialect.delimiter
    for line in lines:
        for cell in line.rstrip("\r\n").split(delimiter):
            if len(cell) > 1 and cell[0] == quote == cell[-1]:
                inner = cell[1:-1]
                needed += quote in inner
                needless += quote not in inner
            elif cell and not _NUMBER.fullmatch(cell):
                bare += 1
    return bool(needless) and not needed and bare > needless


def _is_escaped(trial: _Trial, lines: Sequence[str]) -> bool:
    r"""Return whether backslashes take away the meaning of what follows, as MySQL, PostgreSQL and
    Spark write them.

    A backslash inside quotes alone proves nothing: Windows' paths have them. A quote behind one
    that is no end of a cell does, and so does a cell of `\N`; but in JSON they are JSON's own.
    """
    text = "".join(lines)
    if "\\" not in text:
        return False
    if any("\\" in cell and kind_of(cell) == "json" for row in trial.rows for cell in row):
        return False
    followers = {match[1] for match in _ESCAPED.finditer(text)}
    if not followers <= _KNOWN_ESCAPES and '"' not in followers:
        return False
    if re.search(r"(^|[,;\t|])\\N([,;\t|\r\n]|$)", text, re.MULTILINE):
        return True
    return re.search(r'[^,;\t|"\n\\](\\\\)*\\"[^,;\t|\r\n"]', text) is not None


def _try(lines: Sequence[str], dialect: Dialect, comment: str) -> _Trial:
    """Read lines under a dialect, as the reader itself does."""
    rows = Rows(_InMemory(lines, comment), dialect, DEFAULT_LIMITS)
    read: list[list[str]] = []
    broken = 0
    while len(read) + broken < SAMPLE_ROWS and (row := rows.read()) is not None:
        if row.refused is not None:
            broken += 1
        else:
            read.append(row.cells)
    return _Trial(dialect, read, broken)


class _InMemory:
    """Lines of a sample, as `Lines` gives those of a file."""

    def __init__(self, lines: Sequence[str], comment: str) -> None:
        self._lines = (line for line in lines if not comment or not line.startswith(comment))
        self._number = 0

    def read(self) -> Line | None:
        text = next(self._lines, None)
        if text is None:
            return None
        self._number += 1
        data = text.encode(UTF8)
        return Line(self._number, data, len(data))


def _has_no_header(description: InputDescription, lines: Sequence[str], dialect: Dialect) -> bool:
    """Return whether named columns stand instead of a header, not for one that is there."""
    if description.header == NONE:
        return True
    if description.header is not None:
        return False
    first = next(iter(_try(lines, dialect, description.comment or "").rows), [])
    names = [name.strip().casefold() for name in first]
    return names != [name.strip().casefold() for name in description.columns]


def _header(
    lines: Sequence[str], dialect: Dialect, comment: str
) -> tuple[int, Sequence[str] | None]:
    """Return the number of the line that holds the column names, and the names.

    What stands before it: the name of a report in one cell, comments, empty lines.
    """
    sample = _try(lines, dialect, comment).rows
    rows: list[Sequence[str]] = []
    for line in islice(lines, MAX_LEADING_ROWS):
        try:
            row = [] if comment and line.startswith(comment) else _row(line, dialect)
        except RecordRefusedError:
            place = header_place(rows, sample)
            return (len(rows) + 1, None) if place is None else (place + 1, rows[place])
        rows.append([] if line.startswith("#") and not _is_name_list(row) else row)
    place = header_place(rows, sample)
    return (1, None) if place is None else (place + 1, rows[place])


def _row(line: str, dialect: Dialect) -> list[str]:
    return parse_row([line.encode(UTF8)], dialect)


def _is_name_list(row: Sequence[str]) -> bool:
    """Return whether a line behind # rather names columns than comments: `#sku,title,price`."""
    return len(row) > 1 and all(map(_ONE_WORD.fullmatch, row))


def _check_header(
    names: Sequence[str], line: int, lines: Sequence[str], dialect: Dialect, comment: str
) -> None:
    """Raise FileRefusedError if what should be a header looks like a record, or the row below it
    like the names that programs use.
    """
    rows = [row for row in _try(lines, dialect, comment).rows if list(row) != list(names)]
    cell = record_for_header(names, rows[:_LOOKED_AT_ROWS])
    if cell is not None:
        raise FileRefusedError([no_header_problem(names, cell)])
    if is_second_header(rows[:_LOOKED_AT_ROWS]):
        raise FileRefusedError([two_headers_problem(names, rows[0], line)])
