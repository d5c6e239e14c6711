"""What all readers share: the part of a file to read, the limits, what a part yields, and a
format's entry.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, ParamSpec, TypeVar

from schemas.elements import RawRecord, Reject
from schemas.reasons import TOO_LONG
from schemas.sections.inputs import InputDescription
from schemas.texts import first_names
from transforms.extraction.identifiers import WHOLE
from transforms.readers.added.fill_down import FillDown
from transforms.readers.added.partitions import Partitions, with_partitions
from transforms.readers.dialect import DELIMITERS, Dialect, usual_dialect, with_decimals
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, TookTooLongError, within
from transforms.runtime.options import check_ranges, option

P = ParamSpec("P")
T = TypeVar("T")
STAGE = "read"
_FORMAT_NAMES = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "xml": "XML",
    "xlsx": "Excel workbook",
}
# What the cells of a column tell → in words.
_TOLD_OF_COLUMNS = (
    (",", "decimal comma"),
    ("mixed", "decimal commas and points"),
    ("day-first", "day first"),
    ("month-first", "month first"),
    ("mixed-dates", "both day and month first"),
    (WHOLE, "whole numbers end in .0"),
)
_USUAL = (".", "thousands")
# What lines of a text file are that are no plain records, in words behind "is" and "are".
LINE_KINDS = {
    "leading": "before the header",
    "repeated-header": "the header again, no record",
    "other-header": "a header of other columns, which the rows below it have",
    "heading": "a heading over several columns, no record",
    "comment": "a comment, no record",
    "footer": "a footer, no record",
    "literal-quotes": "a record by itself although a quote spans it, so quotes were read as text",
}
# What a document holds around its records, not counted in lines.
AROUND = "around"
# Of a line that is no record, kept to show what it was.
EXCERPT_BYTES = 200
TO_THE_END = -1


@dataclass(frozen=True, slots=True)
class Records:
    """Where the records of a document are that is not one record a line.

    begin: bytes before the first one; words: what is said of it. is_list: whether a bracket ends
    them; depth: of the brackets around that list.
    """

    begin: int
    words: str
    is_list: bool = True
    depth: int = 0


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How a file is read: what was found out about it, or said by the template.

    dialect: None where the format has none. encoding: as Python names it. carriage_returns: whether
    these alone end lines. header_line: 1-based number of the physical line that the header begins
    in, 0 without a header; names: of the columns then. comment: what lines begin with that are no
    records.
    decimals: column → the decimal mark that its numbers tell, `mixed` where they differ,
    `thousands` where they have such marks if they are whole; or of dates `day-first`,
    `month-first` or `mixed-dates`; or WHOLE where whole numbers are written as 12345.0.
    records: where they are in a document, None for one record a line. place: of the records in
    what has several: the names of the elements that lead to one in XML, or the sheet of a workbook.
    notes: what a reader of the catalog should know, as sentences without an end.
    """

    dialect: Dialect | None = None
    encoding: str = "utf-8"
    carriage_returns: bool = False
    header_line: int = 1
    names: tuple[str, ...] = ()
    comment: str = ""
    decimals: tuple[tuple[str, str], ...] = ()
    records: Records | None = None
    place: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def noting(self, notes: Sequence[str]) -> ReadAs:
        """Return the same with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def described(self, format_name: str) -> str:
        """Return in words how a file of that format is read.

        >>> ReadAs(Dialect(";"), "cp1252", header_line=3).described("csv")
        'CSV, semicolons, cp1252, header in line 3'
        """
        parts = [_FORMAT_NAMES.get(format_name, format_name)]
        if self.records is not None:
            parts = ["JSON", self.records.words]
        elif format_name == "xml":
            parts.append(f"each {'.'.join(self.place)} is a record")
        elif self.place:
            parts.append(f"sheet {self.place[0]!r}")
        if self.dialect is not None:
            parts.append(str(self.dialect))
        if self.encoding != "utf-8":
            parts.append(self.encoding)
        if self.carriage_returns:
            parts.append("lines end in carriage returns")
        has_header = self.dialect is not None or format_name == "xlsx"
        if has_header and self.header_line != 1:
            parts.append(f"header in line {self.header_line}" if self.header_line else "no header")
        for mark, name in _TOLD_OF_COLUMNS:
            columns = [column for column, told in self.decimals if told == mark]
            if columns:
                parts.append(f"{name} in {first_names(columns, conjunction=' and ')}")
        return ", ".join([*parts, *self.notes])


@dataclass(frozen=True, slots=True)
class InputSplit:
    """A part of one file, the unit of reading.

    path: as it is told; of a member of an archive `export.zip/products.csv`. stored: of the stored
      file, empty where it is `path`.
    layers: what the file is packed in, from outside: `gzip`, `bz2`, `xz`, `zstd`, and members as
      `zip:NAME` or `tar:NAME`.
    begin, end: bytes for a plain text file, which owns the lines that begin in [begin, end); row
    groups for
      Parquet; 0 and the stored size for a packed file. `end` is TO_THE_END where the footer could
      not be read.
    size_bytes: of the part as stored, when the run was planned; for Parquet an estimate. The parts
    of a file
      add up to no more than the file.
    kind: `catalog` or `image-table`.
    read_as: how the file is written, None where it is as its format usually is.
    partitions: columns that all its records have from the path, unless they have their own.
    fill_down: columns that rows have from those above them; the file is then read as a whole.
    """

    path: str
    format: str
    layers: tuple[str, ...]
    begin: int
    end: int
    size_bytes: int
    kind: str = "catalog"
    read_as: ReadAs | None = None
    stored: str = ""
    partitions: Partitions = ()
    fill_down: FillDown | None = None

    @property
    def record_format(self) -> str:
        """What its records name as their format, so that they can be read again."""
        return self.spelled(self.format)

    def spelled(self, kept_as: str) -> str:
        """Return the format in which its records are kept, with all that is needed to read them."""
        decimals = () if self.read_as is None else self.read_as.decimals
        return with_partitions(with_decimals(kept_as, decimals), self.partitions)

    @property
    def file(self) -> str:
        """The path of the stored file."""
        return self.stored or self.path

    @property
    def described(self) -> str:
        """How the file is read, in words; empty where as its format usually is."""
        if self.read_as is None:
            return ""
        # What is usual is not told.
        decimals = tuple(each for each in self.read_as.decimals if each[1] not in _USUAL)
        shown = replace(self.read_as, decimals=decimals)
        dialect = usual_dialect(self.format) if self.format in DELIMITERS else None
        return "" if shown == ReadAs(dialect) else shown.described(self.format)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What is read at most, unpacked; docs/operations.md says what memory follows from it.

    max_element_secs: what takes longer is set aside, in whatever stage.
    Raises ValueError that names the option of a value outside its range.
    """

    max_record_bytes: int = option(
        8 << 20, "largest record, as it is unpacked", minimum=1, rebuilds=True
    )
    max_raw_bytes: int = option(
        16 << 20,
        "of a record above --max-record-bytes, so many of its first bytes are kept in the "
        "quarantine; one that is kept whole can be replayed",
        minimum=1,
        rebuilds=True,
    )
    max_block_bytes: int = option(
        256 << 20,
        "of a row group of Parquet, the largest pages that are open at once, all columns together; "
        "the largest columns are left out above it",
        minimum=1,
        rebuilds=True,
    )
    max_bucket_bytes: int = option(
        64 << 20,
        "largest bucket in memory, about three times the bytes of its records; those that do not "
        "fit are set aside, the largest first. Four times what is expected by the size of the "
        "input, if that is more",
        minimum=1,
        rebuilds=True,
    )
    max_element_secs: float = option(
        DEFAULT_ELEMENT_SECS,
        "processor time that a worker spends on one record, picture or answer",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def kept_bytes(self) -> int:
        """How many bytes of a record are kept at most: one that is read is kept whole."""
        return max(self.max_record_bytes, self.max_raw_bytes)


DEFAULT_LIMITS = ReadLimits()
# A record that is no longer is not watched, which would cost as much as reading it: parsers take a
# time that grows with the text, some microseconds a character at worst.
SHORT_BYTES = 32 << 10


class ParsedRecord(NamedTuple):
    """A record as read.

    cells: column to text (CSV, TSV), JSON value (JSON lines) or Python value (Parquet).
    mended: what was not as its format wants it and was read as it is meant, in words.
    """

    raw: RawRecord
    cells: dict[str, Any]
    mended: str = ""


class Unread(NamedTuple):
    """A record as it lies in its file.

    data: the bytes of it that are held. key_of: see `key_maker`; look: makes a record of `given`;
    both are shared by records that are read alike, as there are millions.
    """

    data: bytes
    key_of: Callable[[bytes], bytes]
    look: Callable[[Any], ParsedRecord | Reject]
    given: Any

    @property
    def key(self) -> bytes:
        """What a later run knows the record by."""
        return self.key_of(self.data)

    @property
    def size_bytes(self) -> int:
        """Of what is held."""
        return len(self.data)

    def read(self) -> ParsedRecord | Reject:
        """Look into it."""
        return self.look(self.given)


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What became of a split; the last element that reading it yields.

    size_bytes, sha256: length and SHA-256 of the stored bytes that the split stands for: its own
    lines, the whole
      file for CSV, TSV and gzip, and for Parquet the whole file on its first split and nothing on
      the others. `sha256` is empty where the split stands for no bytes, or was not read to its end.
    known: records that were not re-read, because an earlier run did.
    lines: what the physical lines of a text file were → how many: `record`, `header`, `blank` and
    LINE_KINDS; together all of them. left_out: of LINE_KINDS → how the first such line begins;
    AROUND → how that begins which a document holds around its records.
    read_as: how the file was read, in words; empty where as its format usually is.
    """

    path: str
    kind: str
    begin: int
    end: int
    size_bytes: int
    sha256: str
    records: int
    rejects: int
    known: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    read_as: str = ""


class UnreadableError(Exception):
    """Reading a file cannot go on.

    position: the line or row where it stopped, counted from the split's begin.
    """

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class RecordRefusedError(ValueError):
    """The bytes of one record give no cells. reason: a registered reason id."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class FileRefusedError(ValueError):
    """A file cannot be read with any sense; its problems, all at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class SplitDigest:
    """SHA-256 and length of the stored bytes that a reader went through, and what its lines were.

    lines, left_out: as in SplitReport.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0
        self.lines: Counter[str] = Counter()
        self.left_out: dict[str, str] = {}

    def count_lines(self, **kinds: int) -> None:
        """Note how many lines there were of each kind; one that has none is not named."""
        self.lines.update({kind: count for kind, count in kinds.items() if count})

    def leave_out(self, kind: str, line: bytes, count: int = 1) -> None:
        """Note lines of LINE_KINDS, and how the first of their kind begins."""
        self.lines[kind] += count
        self.left_out.setdefault(kind, line[:EXCERPT_BYTES].decode("utf-8", "replace").strip())

    def leave_out_around(self, excerpt: bytes) -> None:
        """Note how that begins which a document holds around its records, if anything does."""
        if excerpt:
            text = excerpt[:EXCERPT_BYTES].decode("utf-8", "replace").strip()
            self.left_out.setdefault(AROUND, text)

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self.size_bytes += len(data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


@dataclass(frozen=True, slots=True)
class Format:
    """An input format.

    extensions: of file names, lower case, with the dot.
    scan: yields the records of a split, unread, and digests its bytes; raises UnreadableError.
    rebuild: the cells of a raw record; raises RecordRefusedError with the reason that `read` gives.
    plan: a whole file, a part's wanted size in bytes and what is said of the input, to its splits;
      raises FileRefusedError.
    plan_has_columns: whether `plan` itself finds out what the columns tell of their numbers.
    """

    extensions: tuple[str, ...]
    scan: Callable[[InputSplit, ReadLimits, SplitDigest], Iterator[Unread]]
    rebuild: Callable[[RawRecord], dict[str, Any]]
    plan: Callable[[InputSplit, int, InputDescription], list[InputSplit]]
    plan_has_columns: bool = False


def parsed_in_time(
    limits: ReadLimits, size_bytes: int, parse: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Return what a parser makes of a record; raises RecordRefusedError where it takes too long.

    size_bytes: of the record; see SHORT_BYTES.
    """
    if size_bytes <= SHORT_BYTES:
        return parse(*given, **named)
    try:
        return within(limits.max_element_secs, parse, *given, **named)
    except TookTooLongError as error:
        raise RecordRefusedError(TOO_LONG, str(error)) from None


def check_size(size_bytes: int, limits: ReadLimits) -> None:
    """Raise RecordRefusedError for a record above the limit."""
    if size_bytes > limits.max_record_bytes:
        raise RecordRefusedError(
            "record-too-large",
            f"the record has {size_bytes:,} bytes, allowed are {limits.max_record_bytes:,}; "
            f"raise --max-record-bytes or drop the oversized cell",
        )


def check_uncut(raw: RawRecord) -> None:
    """Raise RecordRefusedError when only the first bytes of a record were kept."""
    if raw.true_size_bytes > len(raw.data):
        raise RecordRefusedError(
            "record-too-large",
            f"only the first {len(raw.data):,} of {raw.true_size_bytes:,} bytes were kept; read "
            f"{raw.file} again",
        )


def utf8_problem(data: bytes) -> str | None:
    """Return what is wrong with bytes that should be UTF-8 text, in words; None for good ones."""
    looks_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff")) or data.count(0) * 4 >= max(
        1, len(data)
    )
    hint = "; this looks like UTF-16" if looks_utf16 else ""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return (
            f"byte 0x{data[error.start]:02X} at offset {error.start} is not UTF-8{hint}; export "
            "as UTF-8"
        )
    return f"zero bytes between the characters{hint}; export as UTF-8" if looks_utf16 else None
