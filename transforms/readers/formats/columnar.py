"""Parquet by runs of row groups; each row is kept as an Arrow IPC message.

InputSplit → ParsedRecord | Reject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.elements import RawRecord, Reject, key_maker
from schemas.sections.inputs import InputDescription
from transforms.readers.containers import open_seekable, open_stored
from transforms.readers.contract import (
    STAGE,
    TO_THE_END,
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
)
from transforms.readers.parquet.batches import Batch, read_batches
from transforms.readers.parquet.messages import row_messages
from transforms.runtime.storage import is_local

_DIGEST_BYTES = 1 << 20


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    position = 0
    record_format, kept_bytes = split.record_format, limits.kept_bytes
    for read in _batches(split, limits):
        rows = _Rows(read, split, position, limits)
        batch, look = read.rows, rows.look
        key_of = key_maker(split.kind, record_format, rows.header)
        for row, message in enumerate(row_messages(batch)):
            size_bytes = message.size
            is_whole = size_bytes <= kept_bytes
            data = (message if is_whole else message.slice(0, kept_bytes)).to_pybytes()
            yield tuple.__new__(Unread, (data, key_of, look, (row, data, size_bytes)))
        position += batch.num_rows
    if split.begin == 0:
        _digest_file(split, digest, position)


class _Rows:
    """A record batch, whose cells are looked at when one of its rows is.

    position: of its first row in the split.
    """

    def __init__(self, read: Batch, split: InputSplit, position: int, limits: ReadLimits) -> None:
        self._batch, self._missing = read.rows, read.missing
        self._missing_bytes = sum(read.missing.values())
        self._split, self._format = split, split.record_format
        self._position, self._limits = position, limits
        self.header: bytes = read.rows.schema.serialize().to_pybytes()

    @cached_property
    def _cells(self) -> _Cells:
        return _cells(self._batch)

    def look(self, given: tuple[int, bytes, int]) -> ParsedRecord | Reject:
        """Return what a row holds. given: its number, the message that is kept of it, and how long
        that is as a whole.
        """
        row, data, size_bytes = given
        split, limits = self._split, self._limits
        size_bytes += self._missing_bytes
        raw = RawRecord(
            data,
            self._format,
            split.path,
            self._position + row,
            split.begin,
            self.header,
            size_bytes,
            split.kind,
        )
        try:
            if self._missing:
                _check_missing(self._missing, limits)
            if size_bytes > limits.max_record_bytes:
                check_size(size_bytes, limits)
            cells = self._cells.rows[row]
            if self._cells.may_be_damaged:
                _check_cells(cells)
            return tuple.__new__(ParsedRecord, (raw, cells, ""))
        except RecordRefusedError as refused:
            return Reject(raw, refused.reason, STAGE, str(refused))


def _check_missing(missing: Mapping[str, int], limits: ReadLimits) -> None:
    """Raise RecordRefusedError where a row lacks columns that were too large to be unpacked."""
    if missing:
        name, size_bytes = max(missing.items(), key=lambda each: each[1])
        raise RecordRefusedError(
            "record-too-large",
            f"column {name!r} unpacks to {size_bytes:,} bytes at once, in this row or in the pages "
            f"of its row group; allowed are {limits.kept_bytes:,} a row (--max-record-bytes, "
            f"--max-raw-bytes) and {limits.max_block_bytes:,} for pages (--max-block-bytes): "
            "write smaller pages, or raise the limit",
        )


def _batches(split: InputSplit, limits: ReadLimits) -> Iterator[Batch]:
    """Yield the rows of the split; raises UnreadableError."""
    position = 0
    try:
        with open_seekable(split) as stream:
            metadata = pq.ParquetFile(stream).metadata
            row_groups = _row_groups(split, metadata)
            is_near = bool(split.layers) or is_local(split.file)
            for batch in read_batches(stream, metadata, row_groups, limits, is_near=is_near):
                yield batch
                position += batch.rows.num_rows
    except UnreadableError:
        raise
    except Exception as error:  # Arrow and object stores raise many kinds
        message = (
            f"{split.path} cannot be read beyond row {position}: {type(error).__name__}: {error}"
        )
        raise UnreadableError(position, message) from error


def _row_groups(split: InputSplit, metadata: Any) -> range:
    end = metadata.num_row_groups if split.end == TO_THE_END else split.end
    if end > metadata.num_row_groups:
        message = (
            f"{split.path} has changed since the start: row group {end} was there, now "
            f"{metadata.num_row_groups}"
        )
        raise UnreadableError(0, message)
    return range(split.begin, end)


@dataclass(frozen=True, slots=True)
class _NotUtf8:
    """In place of a cell whose text, or one inside it, is not UTF-8."""

    problem: str


def _check_cells(cells: dict[str, Any]) -> dict[str, Any]:
    for name, cell in cells.items():
        if isinstance(cell, _NotUtf8):
            raise RecordRefusedError(
                "invalid-utf8", f"column {name!r}: {cell.problem}; export text columns as UTF-8"
            )
    return cells


class _Cells(NamedTuple):
    """The cells of each row. may_be_damaged: whether one may be no value, see _NotUtf8."""

    rows: list[dict[str, Any]]
    may_be_damaged: bool


def _cells(batch: Any) -> _Cells:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    cells = zip(*(values for values, _ in columns), strict=True)
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    return _Cells(rows, any(may_be_damaged for _, may_be_damaged in columns))


def _values(column: Any) -> tuple[list[Any], bool]:
    """Python values of a column, and whether one may be damaged; a date or time that Python cannot
    hold becomes text.

    Numbers of fewer bits are what they were written as: 12.9, and not 12.899999618530273.
    """
    if pa.types.is_float32(column.type):
        column = column.cast(pa.string()).cast(pa.float64())
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    elif pa.types.is_time64(column.type) and column.type.unit == "ns":
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_duration(column.type) and column.type.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    short = _short_floats(column.type)
    try:
        values = column.to_pylist()
        return (values if short is None else list(map(short, values))), False
    except (ValueError, OverflowError, KeyError):
        return [_value(column.slice(row, 1)) for row in range(len(column))], True


def _short_floats(given: Any) -> Callable[[Any], Any] | None:
    """Return what makes numbers of few bits, in structures, what they were written as; None where
    there are none. Lists of such numbers are vectors, and stay as they are.
    """
    types = pa.types
    if types.is_float32(given) or types.is_float16(given):
        narrow = np.float16 if types.is_float16(given) else np.float32
        return lambda value: value if value is None else float(str(narrow(value)))
    if types.is_list(given) or types.is_large_list(given):
        entry = _short_floats(given.value_type) if types.is_struct(given.value_type) else None
        return None if entry is None else lambda value: value and list(map(entry, value))
    if not types.is_struct(given):
        return None
    found = ((field.name, _short_floats(field.type)) for field in given)
    short = {name: function for name, function in found if function is not None}
    if not short:
        return None
    return lambda value: value and value | {n: make(value[n]) for n, make in short.items()}


def _value(cell: Any) -> Any:
    """Return the Python value of a column of one row."""
    try:
        return cell[0].as_py()
    except UnicodeDecodeError as error:
        return _NotUtf8(
            f"byte 0x{error.object[error.start]:02X} at offset {error.start} is not UTF-8"
        )
    except (ValueError, OverflowError, KeyError):
        try:
            cell.take([0]).validate(full=True)  # of a slice, all rows would be looked at
        except pa.ArrowInvalid as error:  # a text beside a date that Python cannot hold
            return _NotUtf8(str(error))
        return cell.to_string(skip_new_lines=True)[1:-1]


def _digest_file(split: InputSplit, digest: SplitDigest, position: int) -> None:
    try:
        with open_stored(split, digest) as stream:
            while data := stream.read(_DIGEST_BYTES):
                if not split.layers:
                    digest.update(data)
    except Exception as error:  # whatever an object store's client raises
        raise UnreadableError(
            position, f"{split.path} cannot be digested: {type(error).__name__}: {error}"
        ) from error


def _rebuild(raw: RawRecord) -> dict[str, Any]:
    check_uncut(raw)
    schema = pa.ipc.read_schema(pa.py_buffer(raw.header))
    (cells,) = _cells(pa.ipc.read_record_batch(pa.py_buffer(raw.data), schema)).rows
    return _check_cells(cells)


def _plan(whole: InputSplit, split_bytes: int, _description: InputDescription) -> list[InputSplit]:
    try:
        with open_seekable(whole) as stream:
            file = pq.ParquetFile(stream)
            metadata, schema = file.metadata, file.schema_arrow
    except Exception:  # reading the split reports it, with whatever Arrow or an object store says
        return [replace(whole, end=TO_THE_END)]
    if repeated := sorted(_repeated_names(schema)):
        raise FileRefusedError(
            [f"the schema names {name!r} twice; give each column its own name" for name in repeated]
        )
    if whole.layers:  # each part would be unpacked again
        return [replace(whole, end=metadata.num_row_groups)]
    # Planned by the bytes inside: reading costs what they are, not what they were compressed to.
    sizes = [
        metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)
    ]
    ends, size_bytes = [], 0
    for number, row_group_bytes in enumerate(sizes, 1):
        size_bytes += row_group_bytes
        if size_bytes >= split_bytes:
            ends.append(number)
            size_bytes = 0
    if not ends or size_bytes:
        ends.append(len(sizes))
    stored_share = whole.size_bytes / max(1, sum(sizes))
    return [
        replace(whole, begin=begin, end=end, size_bytes=int(stored_share * sum(sizes[begin:end])))
        for begin, end in pairwise([0, *ends])
    ]


def _repeated_names(fields: Iterable[Any], parent: str = "") -> Iterator[str]:
    """Yield columns, and fields inside structures (`column.field`), whose name another one beside
    them has.
    """
    beside = list(fields)
    counts = Counter(field.name for field in beside)
    yield from (f"{parent}{name}" for name, count in counts.items() if count > 1)
    for field in beside:
        children = (field.type.field(number) for number in range(field.type.num_fields))
        yield from _repeated_names(children, f"{parent}{field.name}.")


PARQUET = Format((".parquet", ".pq"), _scan, _rebuild, _plan)
