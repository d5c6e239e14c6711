"""Parquet by runs of row groups; each row is kept as an Arrow IPC message.

InputSplit → ParsedRecord | Reject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.elements import RawRecord, Reject, key_maker
from schemas.sections.inputs import InputDescription
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
from transforms.runtime.storage import open_file

_BATCH_ROWS = 1024
_BATCH_BYTES = 8 << 20
_DIGEST_BYTES = 1 << 20


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    position = 0
    for rows in map(_Rows, _batches(split)):
        key_of = key_maker(split.kind, split.format, rows.header)
        for row in range(rows.batch.num_rows):
            data = rows.batch.slice(row, 1).serialize()
            kept = data.slice(0, min(data.size, limits.max_raw_bytes)).to_pybytes()
            raw = partial(
                RawRecord,
                kept,
                split.format,
                split.path,
                position + row,
                split.begin,
                rows.header,
                data.size,
                split.kind,
            )
            yield Unread(key_of(kept), len(kept), partial(_read, limits, rows, row, raw))
        position += rows.batch.num_rows
    if split.begin == 0:
        _digest_file(split, digest, position)


@dataclass
class _Rows:
    """A record batch, whose cells are looked at when one of its rows is."""

    batch: Any

    @cached_property
    def header(self) -> bytes:
        schema: bytes = self.batch.schema.serialize().to_pybytes()
        return schema

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        return _cells(self.batch)


def _read(
    limits: ReadLimits, rows: _Rows, row: int, make_raw: Callable[[], RawRecord]
) -> ParsedRecord | Reject:
    raw = make_raw()
    try:
        check_size(raw.true_size_bytes, limits)
        return ParsedRecord(raw, _check_cells(rows.cells[row]))
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))


def _batches(split: InputSplit) -> Iterator[Any]:
    """Record batches of the split with self-contained types; raises UnreadableError."""
    position = 0
    try:
        with open_file(split.path) as stream:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
            batch_rows = _batch_rows(file.metadata)
            # One by one: a batch that reached into a corrupt row group would lose rows of the one
            # before.
            for row_group in _row_groups(split, file.metadata):
                for batch in file.iter_batches(batch_rows, [row_group]):
                    yield _self_contained(batch)
                    position += batch.num_rows
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


def _batch_rows(metadata: Any) -> int:
    """Rows in a batch of bounded size, from the mean size of the file's rows."""
    size_bytes = sum(
        metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)
    )
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(1, size_bytes)))


def _self_contained(batch: Any) -> Any:
    """Return the batch without dictionaries and views, whose one-row slices would drag whole
    buffers along.
    """
    return batch.cast(pa.schema([_plain_field(field) for field in batch.schema]))


def _plain_field(field: Any) -> Any:
    return field.with_type(_plain_type(field.type)).remove_metadata()


def _plain_type(given: Any) -> Any:
    types = pa.types
    if types.is_dictionary(given):
        return _plain_type(given.value_type)
    if types.is_string_view(given):
        return pa.string()
    if types.is_binary_view(given):
        return pa.binary()
    if types.is_list(given):
        return pa.list_(_plain_field(given.value_field))
    if types.is_large_list(given):
        return pa.large_list(_plain_field(given.value_field))
    if types.is_struct(given):
        return pa.struct([_plain_field(field) for field in given])
    if types.is_map(given):
        return pa.map_(_plain_type(given.key_type), _plain_type(given.item_type))
    return given


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


def _cells(batch: Any) -> list[dict[str, Any]]:
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    """Python values of a column; a date or time that Python cannot hold becomes text."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    elif pa.types.is_time64(column.type) and column.type.unit == "ns":
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_duration(column.type) and column.type.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, KeyError):
        return [_value(column.slice(row, 1)) for row in range(len(column))]


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
        with open_file(split.path) as stream:
            while data := stream.read(_DIGEST_BYTES):
                digest.update(data)
    except Exception as error:  # whatever an object store's client raises
        raise UnreadableError(
            position, f"{split.path} cannot be digested: {type(error).__name__}: {error}"
        ) from error


def _rebuild(raw: RawRecord) -> dict[str, Any]:
    check_uncut(raw)
    schema = pa.ipc.read_schema(pa.py_buffer(raw.header))
    (cells,) = _cells(pa.ipc.read_record_batch(pa.py_buffer(raw.data), schema))
    return _check_cells(cells)


def _plan(whole: InputSplit, split_bytes: int, _description: InputDescription) -> list[InputSplit]:
    try:
        with open_file(whole.path) as stream:
            file = pq.ParquetFile(stream)
            metadata, schema = file.metadata, file.schema_arrow
    except Exception:  # reading the split reports it, with whatever Arrow or an object store says
        return [replace(whole, end=TO_THE_END)]
    if repeated := sorted(_repeated_names(schema)):
        raise FileRefusedError(
            [f"the schema names {name!r} twice; give each column its own name" for name in repeated]
        )
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


PARQUET = Format((".parquet", ".pq"), _scan, _rebuild, _plan, may_be_gzipped=False)
