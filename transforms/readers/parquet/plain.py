"""Batches as plain columns: no dictionaries, no views, nothing of other rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def plain_batch(batch: Any) -> Any:
    """Return the batch without dictionaries and views, whose one-row slices would drag whole
    buffers along.
    """
    return batch.cast(pa.schema([_plain_field(each) for each in batch.schema]))


def _plain_field(given: Any) -> Any:
    return given.with_type(plain_type(given.type)).remove_metadata()


def plain_type(given: Any) -> Any:
    """Return a type without dictionaries and views."""
    types = pa.types
    if types.is_dictionary(given):
        return plain_type(given.value_type)
    if types.is_string_view(given):
        return pa.string()
    if types.is_binary_view(given):
        return pa.binary()
    if types.is_list(given):
        return pa.list_(_plain_field(given.value_field))
    if types.is_large_list(given):
        return pa.large_list(_plain_field(given.value_field))
    if types.is_struct(given):
        return pa.struct([_plain_field(each) for each in given])
    if types.is_map(given):
        return pa.map_(plain_type(given.key_type), plain_type(given.item_type))
    return given


def part_of(batch: Any, begin: int, rows: int) -> Any:
    """Return some rows, with nothing of others that a cast would make plain, too."""
    if rows == batch.num_rows:
        return batch
    columns = [_alone(each) for each in batch.slice(begin, rows).columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _alone(array: Any) -> Any:
    """Return an array whose lists share no places in a dictionary with rows outside: a slice has
    those of all.

    What null rows hold stays as it is, as the bytes of a row say it.
    """
    given, types = array.type, pa.types
    if not has_dictionary(given):
        return array
    mask = array.is_null() if array.null_count else None
    if types.is_struct(given):
        inside = [_alone(array.field(number)) for number in range(given.num_fields)]
        return pa.StructArray.from_arrays(inside, fields=list(given), mask=mask)
    if not (types.is_list(given) or types.is_large_list(given) or types.is_map(given)):
        return array
    first, last = array.offsets[0], array.offsets[-1]
    begin, count = first.as_py(), last.as_py() - first.as_py()
    offsets = pc.subtract(array.offsets, first)
    if types.is_map(given):
        keys, items = (_alone(each.slice(begin, count)) for each in (array.keys, array.items))
        return pa.MapArray.from_arrays(offsets, keys, items, type=given, mask=mask)
    values = _alone(array.values.slice(begin, count))
    return type(array).from_arrays(offsets, values, type=given, mask=mask)


def has_dictionary(given: Any) -> bool:
    """Return whether a type is a dictionary, or has one inside."""
    if pa.types.is_dictionary(given):
        return True
    return any(has_dictionary(given.field(number).type) for number in range(given.num_fields))


def is_view(given: Any) -> bool:
    """Return whether a type is of texts that lie elsewhere."""
    return bool(pa.types.is_string_view(given) or pa.types.is_binary_view(given))
