"""Rows as messages: bit by bit what Arrow makes of each row alone."""

import datetime
import decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.readers.parquet.messages import row_messages
from transforms.readers.parquet.plain import plain_batch

DAY = datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC)
TYPES = [
    (pa.string(), st.text(max_size=20)),
    (pa.large_string(), st.text(max_size=20)),
    (pa.binary(), st.binary(max_size=70)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float16(), st.floats(width=16)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.null(), st.none()),
    (pa.decimal128(9, 2), st.just(decimal.Decimal("1.25"))),
    (pa.timestamp("ns", "UTC"), st.just(DAY)),
    (pa.date32(), st.just(DAY.date())),
    (pa.list_(pa.string()), st.lists(st.text(max_size=3), max_size=3)),
    (pa.large_list(pa.int32()), st.lists(st.integers(0, 9), max_size=3)),
    (pa.list_(pa.float32(), 2), st.just([1.0, 2.0])),
    (pa.map_(pa.string(), pa.int8()), st.just([("a", 1)])),
    (
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.bool_()))]),
        st.fixed_dictionaries({"a": st.none() | st.text(), "b": st.none() | st.just([True, None])}),
    ),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_messages_are_those_of_rows_alone(data):
    """Of rows of any columns, nulls among them, and of any part of a batch, each message has the
    bytes that Arrow gives for that row alone, and is read again as it.
    """
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
    count = data.draw(st.sampled_from([1, 2, 7, 300]))
    few = [data.draw(st.lists(st.none() | values, min_size=1, max_size=6)) for _, values in kinds]
    columns = [
        pa.array([cells[row % len(cells)] for row in range(count)], kind)
        for (kind, _), cells in zip(kinds, few, strict=True)
    ]
    names = [f"c{place}" for place in range(len(columns))]
    whole = plain_batch(pa.record_batch(columns, names=names))
    batch = whole.slice(data.draw(st.integers(0, count - 1)))
    alone = [batch.slice(row, 1) for row in range(batch.num_rows)]
    found = [message.to_pybytes() for message in row_messages(batch)]
    assert found == [row.serialize().to_pybytes() for row in alone]
    again = pa.ipc.read_record_batch(pa.py_buffer(found[-1]), batch.schema)
    assert again.columns[0].to_string() == alone[-1].columns[0].to_string()


@pytest.mark.parametrize("size_bytes", [0, 10, 5_000, 700_000])
def test_rows_of_any_size(size_bytes):
    """Rows of nothing and of much are the same messages, too."""
    batch = pa.record_batch({"a": ["x" * size_bytes, None, "é"] * 5})
    found = [message.to_pybytes() for message in row_messages(batch)]
    assert found == [batch.slice(row, 1).serialize().to_pybytes() for row in range(15)]


def test_no_rows():
    """A batch without rows has no messages."""
    assert list(row_messages(pa.record_batch({"a": pa.array([], pa.string())}))) == []
