"""Equality of the rows of two columnar tables, nested values included; no Python loop over rows.

(array, array) of one type and length → bool (length,). Nulls equal nulls, and nothing else. Arrow
itself compares no nested values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def equal_rows(left: pa.Array, right: pa.Array) -> Mask:
    """Compare two arrays element by element; bool of shape (length,)."""
    if pa.types.is_struct(left.type):
        same = _valid(left) == _valid(right)
        for index in range(left.type.num_fields):
            same &= equal_rows(pc.struct_field(left, [index]), pc.struct_field(right, [index]))
        return same
    if pa.types.is_map(left.type):
        entries = pa.list_(pa.struct([("key", left.type.key_type), ("value", left.type.item_type)]))
        return equal_rows(left.cast(entries), right.cast(entries))
    if pa.types.is_list(left.type):
        return _equal_lists(left, right)
    both = _valid(left) & _valid(right)
    same = (
        pc.fill_null(pc.equal(left, right), False).to_numpy(zero_copy_only=False).astype(np.bool_)
    )
    return (both & same) | ~(_valid(left) | _valid(right))


def _equal_lists(left: pa.Array, right: pa.Array) -> Mask:
    same = equal_rows(pc.list_value_length(left), pc.list_value_length(right))
    # Only entries of lists of equal length can be compared pairwise.
    chosen = np.flatnonzero(same & _valid(left))
    left, right = left.take(pa.array(chosen)), right.take(pa.array(chosen))
    differs = ~equal_rows(pc.list_flatten(left), pc.list_flatten(right))
    owners = pc.list_parent_indices(left).to_numpy(zero_copy_only=False)[differs]
    same[chosen[np.unique(owners)]] = False
    return same


def _valid(array: pa.Array) -> Mask:
    mask: Mask = pc.is_valid(array).to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask
