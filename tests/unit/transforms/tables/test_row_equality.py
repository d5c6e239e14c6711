"""Rows compared without a loop, against a loop."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.tables.row_equality import equal_rows

texts = st.none() | st.sampled_from(["", "a", "b"])
structs = st.none() | st.fixed_dictionaries({"x": texts, "y": st.none() | st.integers(0, 1)})
_STRUCT = pa.struct([("x", pa.string()), ("y", pa.int64())])
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), texts),
    "struct": (_STRUCT, structs),
    "list": (pa.list_(pa.string()), st.none() | st.lists(texts, max_size=2)),
    "list of structs": (pa.list_(_STRUCT), st.none() | st.lists(structs, max_size=2)),
    "map": (
        pa.map_(pa.string(), pa.string()),
        st.none()
        | st.dictionaries(st.sampled_from("ab"), texts, max_size=2).map(
            lambda d: sorted(d.items())
        ),
    ),
    "struct of lists": (
        pa.struct([("tags", pa.list_(pa.string()))]),
        st.none() | st.fixed_dictionaries({"tags": st.none() | st.lists(texts, max_size=2)}),
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
@given(st.data())
def test_equal_is_what_python_calls_equal(kind: str, data: st.DataObject) -> None:
    """Nested values are equal if their Python values are, also in the middle of an array."""
    arrow, values = KINDS[kind]
    pairs = data.draw(
        st.lists(st.tuples(values, values) | values.map(lambda value: (value, value)), max_size=6)
    )
    left, right = (pa.array([pair[side] for pair in pairs], arrow) for side in (0, 1))
    expected = [a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)]
    assert equal_rows(left, right).tolist() == expected
    assert equal_rows(left[1:], right[1:]).tolist() == expected[1:]
