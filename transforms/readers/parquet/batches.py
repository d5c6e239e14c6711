"""Row groups as batches of bounded size, each column plain.

What a file unpacks to is known before: pages by their headers, texts that a dictionary repeats by
the dictionary. Columns of which that is too much for a whole row group are left out, and rows that
are too large by themselves lose what makes them so; both are told with their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.readers.contract import ReadLimits
from transforms.readers.parquet.pages import Page, pages_of
from transforms.readers.parquet.plain import (
    has_dictionary,
    is_view,
    part_of,
    plain_batch,
    plain_type,
)

BATCH_ROWS = 1024
BATCH_BYTES = 8 << 20
# Cells in a batch: each becomes an object.
_BATCH_CELLS = 1 << 20
# Entries of a dictionary that are repeated in a batch may come to so much.
_REPEATED_BYTES = 32 << 20
# Large entries make batches of fewer rows, down to so many.
_LEAST_ROWS = 64
# A nested value has its place and its level besides itself.
_VALUE_BYTES = 12
# What unpacks to less than so many times what is stored of it is no bomb.
_PLAIN_RATIO = 20
_LOOK_BYTES = 64 << 10
_BYTE_ARRAY = "BYTE_ARRAY"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as one record batch of plain columns.

    missing: columns that are too large to be unpacked, null here → bytes that they have, of the row
    or, where all rows of a row group lack them, that are open at once.
    """

    rows: Any
    missing: dict[str, int] = field(default_factory=dict)


@dataclass
class _Leaf:
    """A column as it is stored; those of a structure are several.

    path: as Parquet writes it; size_bytes: of its largest page; a_value: bytes of a value on its
    densest page; dictionary_bytes: of all entries.
    """

    path: str
    is_nested: bool
    is_text: bool
    values: int
    stored_bytes: int
    size_bytes: int = 0
    a_value: float = 0.0
    dictionary_bytes: int = 0

    @property
    def column(self) -> str:
        return self.path.partition(".")[0]

    @property
    def is_bomb(self) -> bool:
        """Whether its values take far more than what is stored of them: a run of equal ones in
        nested rows has no bytes of its own on any page.
        """
        return self.is_nested and _VALUE_BYTES * self.values > _PLAIN_RATIO * self.stored_bytes


@dataclass
class _Plan:
    """How a row group is read. rows: of a batch; left_out: column → bytes that it would open;
    careful: paths of leaves whose dictionaries have large entries.
    """

    rows: int
    left_out: dict[str, int]
    careful: list[str]


def read_batches(
    stream: BinaryIO,
    metadata: Any,
    row_groups: Sequence[int],
    limits: ReadLimits,
    *,
    is_near: bool = True,
) -> Iterator[Batch]:
    """Yield the rows of row groups in order, a row group after the other.

    A batch that reached into a corrupt row group would lose rows of the one before.

    is_near: whether seeking costs nothing; elsewhere a row group that is small by what the file
    says is believed to be.
    """
    plain = pq.ParquetFile(stream, metadata=metadata, page_checksum_verification=True)
    for number in row_groups:
        if not metadata.row_group(number).num_rows:
            continue
        size_bytes = metadata.row_group(number).total_byte_size
        is_looked_at = is_near or size_bytes > limits.max_block_bytes
        leaves = list(_leaves(stream if is_looked_at else None, plain, number))
        plan = _plan(stream, plain, number, leaves, limits)
        file = plain
        if plan.careful:
            file = pq.ParquetFile(
                stream,
                metadata=metadata,
                page_checksum_verification=True,
                read_dictionary=plan.careful,
            )
        for batch in _batches(file, number, plan):
            for part in sliced(batch, limits.kept_bytes):
                yield replace(part, missing={**plan.left_out, **part.missing})


def _batches(file: Any, number: int, plan: _Plan) -> Iterator[Any]:
    """Yield a row group's batches; columns that are left out are null."""
    if not plan.left_out:
        yield from file.iter_batches(plan.rows, [number])
        return
    schema = file.schema_arrow
    columns = [name for name in schema.names if name not in plan.left_out]
    left = file.metadata.row_group(number).num_rows
    batches = file.iter_batches(plan.rows, [number], columns=columns) if columns else ()
    for batch in batches:
        left -= batch.num_rows
        yield _with_nulls(schema, batch, batch.num_rows)
    while not columns and left:
        rows = min(left, BATCH_ROWS)
        left -= rows
        yield _with_nulls(schema, None, rows)


def _with_nulls(schema: Any, batch: Any, rows: int) -> Any:
    arrays = [
        batch.column(name)
        if batch is not None and name in batch.schema.names
        else pa.nulls(rows, plain_type(schema.field(name).type))
        for name in schema.names
    ]
    return pa.record_batch(arrays, names=schema.names)


def _plan(
    stream: BinaryIO, file: Any, number: int, leaves: Sequence[_Leaf], limits: ReadLimits
) -> _Plan:
    group = file.metadata.row_group(number)
    rows = _usual_rows(group, len(leaves))
    left_out = _left_out(leaves, limits.max_block_bytes)
    leaves = [leaf for leaf in leaves if leaf.column not in left_out]
    a_row = sum(leaf.a_value for leaf in leaves if not leaf.is_nested)
    rows = max(1, min(rows, int(limits.max_block_bytes / 4 / max(1.0, a_row))))
    repeated = [leaf for leaf in leaves if leaf.is_text and leaf.dictionary_bytes]
    worst = sum(leaf.dictionary_bytes for leaf in repeated) * min(rows, group.num_rows)
    if worst <= _REPEATED_BYTES:
        return _Plan(rows, left_out, [])
    entries = _largest_entries(stream, file.metadata, number, repeated)
    careful = [leaf for leaf in repeated if _is_careful(leaf, entries[leaf.path], limits)]
    an_entry = sum(entries[leaf.path] for leaf in repeated if leaf not in careful)
    rows = max(1, min(rows, int(_REPEATED_BYTES / max(1, an_entry))))
    return _Plan(rows, left_out, [leaf.path for leaf in careful])


def _leaves(stream: BinaryIO | None, file: Any, number: int) -> Iterator[_Leaf]:
    group = file.metadata.row_group(number)
    for place in range(group.num_columns):
        column, described = group.column(place), file.schema.column(place)
        leaf = _Leaf(
            column.path_in_schema,
            described.max_repetition_level > 0,
            described.physical_type == _BYTE_ARRAY,
            column.num_values,
            column.total_compressed_size,
        )
        for page in _told(column) if stream is None else pages_of(stream, column):
            leaf.size_bytes = max(leaf.size_bytes, page.size_bytes)
            if page.values:
                leaf.a_value = max(leaf.a_value, page.size_bytes / page.values)
            else:
                leaf.dictionary_bytes = page.size_bytes
        # A page of a dictionary's places says nothing of the values there.
        leaf.a_value = max(leaf.a_value, described.length)
        yield leaf


def _told(column: Any) -> Iterator[Page]:
    """Yield the pages of a column that can be, at the largest, by what its metadata say."""
    size_bytes = column.total_uncompressed_size
    if column.has_dictionary_page:
        yield Page(size_bytes, 0)
    yield Page(size_bytes, size_bytes)


def _usual_rows(group: Any, leaves: int) -> int:
    """Rows in a batch of bounded size, from the mean size of the rows."""
    rows = BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
    return max(1, min(BATCH_ROWS, rows, _BATCH_CELLS // max(1, leaves)))


def _left_out(leaves: Sequence[_Leaf], most_bytes: int) -> dict[str, int]:
    """Return the columns that cannot be read within `most_bytes`, the largest, with theirs."""
    sizes: dict[str, int] = {}
    for leaf in leaves:
        opened = leaf.size_bytes
        if leaf.is_bomb:
            opened = max(opened, _VALUE_BYTES * leaf.values)
        sizes[leaf.column] = sizes.get(leaf.column, 0) + opened
    left_out = {}
    total = sum(sizes.values())
    for name, size_bytes in sorted(sizes.items(), key=lambda each: -each[1]):
        if total <= most_bytes:
            break
        left_out[name] = size_bytes
        total -= size_bytes
    return left_out


def _largest_entries(
    stream: BinaryIO, metadata: Any, number: int, leaves: Sequence[_Leaf]
) -> dict[str, int]:
    """Return path → bytes of the largest entry of its dictionary."""
    paths = [leaf.path for leaf in leaves]
    file = pq.ParquetFile(stream, metadata=metadata, read_dictionary=paths, buffer_size=_LOOK_BYTES)
    first = next(file.iter_batches(1, [number], columns=paths), None)
    found: list[int] = []
    if first is not None:
        for column in first.columns:
            found += _entries_of(column)
    if len(found) != len(paths):  # an odd nesting: what is not known may be all of it
        return {leaf.path: leaf.dictionary_bytes for leaf in leaves}
    # In the order of the schema, as the leaves are.
    return dict(zip(paths, found, strict=True))


def _entries_of(array: Any) -> Iterator[int]:
    """Yield the largest entry of each dictionary in an array, also of those that are nested."""
    given = array.type
    if pa.types.is_dictionary(given):
        lengths = pc.binary_length(array.dictionary)
        yield pc.max(lengths).as_py() or 0
    elif pa.types.is_struct(given):
        for number in range(given.num_fields):
            yield from _entries_of(array.field(number))
    elif pa.types.is_map(given):
        yield from _entries_of(array.keys)
        yield from _entries_of(array.items)
    elif _is_list(given):
        yield from _entries_of(array.values)


def _is_careful(leaf: _Leaf, entry: int, limits: ReadLimits) -> bool:
    """Return whether entries may only be repeated as often as their sizes allow."""
    if leaf.is_nested:
        return entry * leaf.values > limits.max_block_bytes
    return entry > _REPEATED_BYTES // _LEAST_ROWS


def sliced(batch: Any, most_row_bytes: int) -> Iterator[Batch]:
    """Yield the rows of a batch in plain columns, BATCH_BYTES at a time or a single row; a row of
    more than `most_row_bytes` without the columns that make it so large.
    """
    has_dictionaries = any(has_dictionary(each) for each in batch.schema.types)
    if not has_dictionaries and batch.nbytes <= 2 * BATCH_BYTES:
        yield Batch(plain_batch(batch))
        return
    by_column = [bytes_of(column) for column in batch.columns]
    sizes = _added_up(by_column, batch.num_rows)
    begin = 0
    while begin < batch.num_rows:
        if sizes[begin] > most_row_bytes:
            yield _without_large(batch, begin, [each[begin] for each in by_column], most_row_bytes)
            begin += 1
            continue
        total = np.cumsum(sizes[begin : begin + BATCH_ROWS])
        fitting = int(np.searchsorted(total, BATCH_BYTES, side="right"))
        large = np.flatnonzero(sizes[begin : begin + max(1, fitting)] > most_row_bytes)
        rows = max(1, int(large[0]) if len(large) else fitting)
        yield Batch(plain_batch(part_of(batch, begin, rows)))
        begin += rows


def _without_large(batch: Any, row: int, sizes: Sequence[int], most_bytes: int) -> Batch:
    names, total = batch.schema.names, int(sum(sizes))
    missing: dict[str, int] = {}
    for place in sorted(range(len(names)), key=lambda each: -sizes[each]):
        if total <= most_bytes:
            break
        missing[names[place]] = int(sizes[place])
        total -= int(sizes[place])
    one = part_of(batch, row, 1)
    arrays = [
        pa.nulls(1, plain_type(each.type)) if name in missing else each
        for name, each in zip(names, one.columns, strict=True)
    ]
    return Batch(plain_batch(pa.record_batch(arrays, names=names)), missing)


def bytes_of(array: Any) -> Any:
    """Return about how many bytes each value of an array takes once it is plain, int64."""
    given, count = array.type, len(array)
    if pa.types.is_dictionary(given):
        entries = bytes_of(array.dictionary)
        places = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return np.append(entries, 0)[places]
    if is_view(given):
        # Each view is 16 bytes, the first four of which are its length.
        views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
        lengths = views[array.offset : array.offset + count, 0].astype(np.int64)
        return np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
    if _is_text(given):
        lengths = pc.fill_null(pc.binary_length(array), 0)
        return lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_struct(given):
        return _added_up([bytes_of(each) for each in array.flatten()], count)
    if pa.types.is_map(given):
        array = _as_list(array)
    if _is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        entries = bytes_of(array.flatten())
        ends = np.cumsum(lengths)
        sums = np.concatenate([[0], np.cumsum(entries)])
        return sums[ends] - sums[ends - lengths] + 8
    width = given.byte_width if pa.types.is_fixed_size_binary(given) else 8
    return np.full(count, width, np.int64)


def _added_up(columns: Sequence[Any], rows: int) -> Any:
    """Return the bytes of each row, by those of its columns."""
    total = np.zeros(rows, np.int64)
    for column in columns:
        total += column
    return total


def _as_list(maps: Any) -> Any:
    """Return maps as lists of their entries."""
    entry = pa.struct([("key", maps.type.key_type), ("value", maps.type.item_type)])
    return maps.cast(pa.list_(entry))


def _is_text(given: Any) -> bool:
    types = pa.types
    return bool(
        types.is_string(given)
        or types.is_binary(given)
        or types.is_large_string(given)
        or types.is_large_binary(given)
    )


def _is_list(given: Any) -> bool:
    types = pa.types
    return bool(
        types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given)
    )
