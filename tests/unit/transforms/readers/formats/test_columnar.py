"""Parquet: values of all types, rows that can be rebuilt from their own bytes, files that are
broken.
"""

import datetime
import decimal
import hashlib
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Reject
from tests.support import least_cpu_secs
from transforms.readers import (
    InputRefusedError,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    plan_splits,
    read_split,
    rebuild,
)
from transforms.readers.contract import DEFAULT_LIMITS

DAY = datetime.datetime(2026, 1, 31, 12, 30, tzinfo=datetime.UTC)


def read(path: Path, limits: ReadLimits = DEFAULT_LIMITS, **plan):
    return [
        element
        for split in plan_splits([str(path)], **plan)
        for element in read_split(split, limits)
    ]


def records(elements) -> list[dict]:
    return [element.cells for element in elements if isinstance(element, ParsedRecord)]


def write(path: Path, columns, **options) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


COLUMNS = {
    "text": pa.array(["a", None, "é\0"]),
    "large": pa.array(["a", None, "b"], pa.large_string()),
    "view": pa.array(["a", None, "b" * 50], pa.string_view()),
    "category": pa.array(["x", None, "y"]).dictionary_encode(),
    "categories": pa.array(
        [["x"], None, ["y", "x"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))
    ),
    "number": pa.array([1, None, 2**62]),
    "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.25")]),
    "flag": pa.array([True, None, False]),
    "bytes": pa.array([b"\xff\x00", None, b""]),
    "nested": pa.array([{"k": [{"v": 1}]}, None, {"k": []}]),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "at": pa.array([DAY, None, DAY], pa.timestamp("us", "UTC")),
    "at_ns": pa.array([1_500, None, 2_000_000], pa.timestamp("ns")),
    "day": pa.array([datetime.date(2026, 1, 31), None, datetime.date(1, 1, 1)]),
    "far": pa.array([10**7, None, 0], pa.date32()),
    "far_in_list": pa.ListArray.from_arrays(
        pa.array([0, None, 1, 1]), pa.array([10**7], pa.date32())
    ),
    "took": pa.array([1_500, None, 0], pa.duration("ns")),
    "uuid": pa.array([uuid.UUID(int=1).bytes, None, uuid.UUID(int=2).bytes], pa.uuid()),
    "null": pa.nulls(3),
}


def test_types(tmp_path):
    """Every column type becomes a plain Python value, and a date beyond Python's becomes text."""
    first, second, third = records(read(write(tmp_path / "a.parquet", COLUMNS)))
    assert first == {
        "text": "a",
        "large": "a",
        "view": "a",
        "category": "x",
        "categories": ["x"],
        "number": 1,
        "price": decimal.Decimal("1.50"),
        "flag": True,
        "bytes": b"\xff\x00",
        "nested": {"k": [{"v": 1}]},
        "map": [("k", 1)],
        "at": DAY,
        "at_ns": datetime.datetime(1970, 1, 1, 0, 0, 0, 1),
        "day": datetime.date(2026, 1, 31),
        "far": "29349-01-26",
        "far_in_list": "[29349-01-26]",
        "took": datetime.timedelta(microseconds=1),
        "uuid": uuid.UUID(int=1),
        "null": None,
    }
    assert set(second.values()) == {None}
    assert third["categories"] == ["y", "x"]


def test_rows_are_rebuilt(tmp_path):
    """Each row comes back from its own bytes and the schema alone."""
    elements = read(write(tmp_path / "a.parquet", COLUMNS, row_group_size=2))
    parsed = [element for element in elements if isinstance(element, ParsedRecord)]
    assert [rebuild(record.raw) for record in parsed] == [record.cells for record in parsed]
    assert [record.raw.position for record in parsed] == [0, 1, 2]
    assert len({record.raw.header for record in parsed}) == 1


def test_raw_row_is_small(tmp_path):
    """A row's bytes hold that row only, also with dictionaries and string views."""
    texts = [f"{number} " + "x" * 1000 for number in range(1000)]
    columns = {
        "view": pa.array(texts, pa.string_view()),
        "category": pa.array(texts).dictionary_encode(),
    }
    elements = read(write(tmp_path / "a.parquet", columns))
    assert max(len(element.raw.data) for element in elements[:-1]) < 3000


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.text(max_size=5), max_size=40),
    row_group_size=st.integers(1, 10),
    split_bytes=st.integers(1, 2000),
)
def test_row_groups_partition_the_rows(tmp_path_factory, ids, row_group_size, split_bytes):
    """The rows come back in order for every size of row groups and splits; the digest is the
    file's, once.
    """
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    write(path, {"id": pa.array(ids, pa.string())}, row_group_size=row_group_size)
    elements = read(path, split_bytes=split_bytes)
    assert [cells["id"] for cells in records(elements)] == ids
    reports = [element for element in elements if not isinstance(element, ParsedRecord)]
    data = path.read_bytes()
    planned_bytes = sum(
        split.size_bytes for split in plan_splits([str(path)], split_bytes=split_bytes)
    )
    assert len(data) - len(reports) <= planned_bytes <= len(data) or not ids
    assert (reports[0].sha256, reports[0].size_bytes) == (
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    assert {(report.sha256, report.size_bytes) for report in reports[1:]} <= {("", 0)}
    assert sum(report.records for report in reports) == len(ids)
    assert [report.begin for report in reports[1:]] == [report.end for report in reports[:-1]]


def not_utf8(count: int) -> pa.Array:
    """That many texts, the second of which is Latin-1."""
    texts = [b"caf\xe9" if number == 1 else b"caf\xc3\xa9" for number in range(count)]
    return pa.Array.from_buffers(pa.string(), count, pa.array(texts, pa.binary()).buffers())


@pytest.mark.parametrize(
    "column",
    [
        not_utf8(3),
        pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), not_utf8(3)),
        pa.StructArray.from_arrays(
            [pa.array([10**7] * 3, pa.date32()), not_utf8(3)], ["far", "text"]
        ),
    ],
)
def test_text_that_is_not_utf8(tmp_path, column):
    """A row with text that is no UTF-8, also inside lists and structures, is a reject with its
    bytes; no text is made up.
    """
    path = write(tmp_path / "a.parquet", {"id": [1, 2, 3], "name": column})
    first, reject, third, report = read(path)
    assert (first.cells["id"], third.cells["id"], report.rejects) == (1, 3, 1)
    assert (reject.reason, reject.raw.position) == ("invalid-utf8", 1)
    assert reject.message.startswith("column 'name': ")
    assert b"caf\xe9" in reject.raw.data
    with pytest.raises(RecordRefusedError) as caught:
        rebuild(reject.raw)
    assert (caught.value.reason, str(caught.value)) == (reject.reason, reject.message)


def test_large_row(tmp_path):
    """A 10 MB cell is refused as too large with its whole row, which can be rebuilt, and its
    neighbours are read.
    """
    path = write(
        tmp_path / "a.parquet", {"id": ["1", "2", "3"], "text": ["a", "x" * 10_000_000, "c"]}
    )
    first, reject, third, report = read(path)
    assert (first.cells["id"], third.cells["id"]) == ("1", "3")
    assert (reject.reason, reject.raw.position) == ("record-too-large", 1)
    assert rebuild(reject.raw) == {"id": "2", "text": "x" * 10_000_000}
    assert (report.records, report.rejects) == (2, 1)
    _, reject, *_ = read(path, ReadLimits(1000, 2000))
    assert (len(reject.raw.data), reject.raw.true_size_bytes > 10_000_000) == (2000, True)
    with pytest.raises(RecordRefusedError, match="only the first 2,000 of"):
        rebuild(reject.raw)


def test_repeated_column(tmp_path):
    """A file that names a column twice is refused before anything is read."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]), path)
    with pytest.raises(
        InputRefusedError, match="the schema names 'id' twice; give each column its own name"
    ):
        plan_splits([str(path)])


def test_repeated_field_in_a_structure(tmp_path):
    """A structure with two fields of one name has no Python value, and is refused likewise."""
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    path = write(
        tmp_path / "a.parquet",
        {"id": [1], "list": pa.ListArray.from_arrays(pa.array([0, 1]), twice)},
    )
    with pytest.raises(InputRefusedError, match=r"the schema names 'list\.element\.a' twice"):
        plan_splits([str(path)])


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"no table, but a text", b"PAR1" + b"\0" * 100 + b"PAR1"]
)
def test_not_parquet(tmp_path, data):
    """A file that is no Parquet, also an empty one, ends in one reject and no exception."""
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    reject, report = read(path)
    assert (reject.reason, reject.raw.data, reject.raw.file) == ("file-unreadable", b"", str(path))
    assert (reject.raw.position, reject.raw.true_size_bytes) == (0, 0)
    assert (report.records, report.rejects, report.sha256) == (0, 1, "")


def test_corrupt_row_group(tmp_path):
    """Rows before a corrupt row group are read; then one reject tells where reading stopped."""
    path = write(
        tmp_path / "a.parquet",
        {"id": [f"item {number}" for number in range(4000)]},
        row_group_size=2000,
        use_dictionary=False,
        write_page_checksum=True,
    )
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place + 200 : place + 300] = b"\xff" * 100
    path.write_bytes(data)
    elements = read(path)
    (reject,) = [element for element in elements if isinstance(element, Reject)]
    assert [cells["id"] for cells in records(elements)] == [
        f"item {number}" for number in range(2000)
    ]
    assert (reject.reason, reject.raw.data, reject.raw.position) == ("file-unreadable", b"", 2000)
    assert elements[-1].sha256 == ""


def test_file_that_lost_row_groups(tmp_path):
    """A file that was rewritten with fewer row groups since the start is unreadable, not short."""
    path = write(tmp_path / "a.parquet", {"id": list(range(10))}, row_group_size=1)
    (split,) = plan_splits([str(path)])
    write(path, {"id": [1]})
    reject, _ = read_split(split)
    assert reject.reason == "file-unreadable"
    assert "row group 10 was there, now 1" in reject.message


def test_cost_of_raw_rows(tmp_path):
    """Ten times as many rows of 12 columns, each with its raw bytes, take about ten times as long
    to read, not a hundred times.
    """

    def secs_for(rows: int) -> float:
        columns = {
            f"column {number}": [f"value {row} of {number}" for row in range(rows)]
            for number in range(12)
        }
        path = write(tmp_path / f"{rows}.parquet", columns)
        assert len(read(path)) == rows + 1
        return least_cpu_secs(lambda: read(path))

    assert secs_for(10_000) < 40 * secs_for(1_000)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_numbers_of_few_bits_are_as_written(tmp_path, kind):
    """12.9 in a column of 32 bits is 12.9, also within structures; vectors stay as they are."""
    written = [12.9, 0.1]
    column = pa.array(np.array(written, dtype=kind.to_pandas_dtype()))
    offers = pa.StructArray.from_arrays([column], names=["price"])
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), offers)
    vectors = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), column)
    path = tmp_path / "a.parquet"
    table = {"price": column, "offer": offers, "variants": lists, "vector": vectors}
    pq.write_table(pa.table(table), path)
    rows = [element for element in read(path) if isinstance(element, ParsedRecord)]
    for row, price, value in zip(rows, written, column.to_pylist(), strict=True):
        offer = {"price": price}
        assert row.cells == {"price": price, "offer": offer, "variants": [offer], "vector": [value]}
        assert rebuild(row.raw) == row.cells
