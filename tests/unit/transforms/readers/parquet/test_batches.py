"""Batches of Parquet files: the same rows whatever repeats them, none larger than is allowed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.readers.contract import ReadLimits
from transforms.readers.parquet import batches as module
from transforms.readers.parquet.batches import Batch, bytes_of, read_batches, sliced
from transforms.readers.parquet.pages import PagesError, pages_of
from transforms.readers.parquet.plain import part_of, plain_batch

TEXTS = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["", "long " * 50]))
COLUMNS = st.fixed_dictionaries(
    {
        "text": TEXTS,
        "tags": st.one_of(st.none(), st.lists(TEXTS, max_size=3)),
        "made": st.one_of(
            st.none(), st.fixed_dictionaries({"by": TEXTS, "year": st.integers(0, 9)})
        ),
        "said": st.one_of(st.none(), st.dictionaries(st.text(max_size=3), TEXTS, max_size=2)),
    }
)
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "tags": pa.list_(pa.string()),
        "made": pa.struct({"by": pa.string(), "year": pa.int64()}),
        "said": pa.map_(pa.string(), pa.string()),
    }
)

SMALL = ReadLimits(max_record_bytes=1 << 18, max_raw_bytes=1 << 20, max_block_bytes=4 << 20)


def stored(table: Any, **options: Any) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink


def batches_of(stream: io.BytesIO, limits: ReadLimits | None = None) -> list[Batch]:
    metadata = pq.ParquetFile(stream).metadata
    groups = range(metadata.num_row_groups)
    return list(read_batches(stream, metadata, groups, limits or ReadLimits()))


def repeating(count: int, size: int) -> Any:
    """One text in many rows, as a dictionary."""
    places = pa.array([0] * count, pa.int32())
    return pa.DictionaryArray.from_arrays(places, pa.array(["x" * size]))


@given(st.lists(COLUMNS, min_size=1, max_size=20), st.booleans(), st.integers(1, 7))
def test_pages_are_those_that_arrow_wrote(
    rows: list[dict[str, Any]], is_dictionary: bool, group: int
) -> None:
    """Headers are read to the byte: all pages together are what the metadata say of their column."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    for version in ("1.0", "2.0"):
        options = {"use_dictionary": is_dictionary, "row_group_size": group}
        stream = stored(table, data_page_version=version, compression="zstd", **options)
        metadata = pq.ParquetFile(stream).metadata
        for number in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(number).column(place)
                pages = list(pages_of(stream, column))
                unpacked = sum(page.size_bytes for page in pages)
                assert sum(page.values for page in pages) == column.num_values
                # The metadata count the headers too.
                assert 0 <= column.total_uncompressed_size - unpacked <= 2_000 * len(pages)


def test_what_is_no_page_is_told() -> None:
    """A place that leads elsewhere ends in an error, not in a number that was made up."""
    stream = stored(pa.table({"a": ["x"]}))
    column = pq.ParquetFile(stream).metadata.row_group(0).column(0)
    broken = io.BytesIO(b"\xff" * len(stream.getvalue()))
    with pytest.raises(PagesError):
        list(pages_of(broken, column))


@given(st.lists(COLUMNS, min_size=1, max_size=20))
def test_rows_are_the_same_whatever_repeats_them(rows: list[dict[str, Any]]) -> None:
    """Columns that are read as dictionaries, in structures, lists and maps too, give the rows byte
    for byte, since a record is known by its bytes.
    """
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    stream = stored(table)
    (plain,) = pq.ParquetFile(stream).iter_batches()
    leaves = [pq.ParquetFile(stream).schema.column(n) for n in range(6)]
    paths = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    file = pq.ParquetFile(stream, read_dictionary=paths)
    parts = [part.rows for each in file.iter_batches() for part in sliced(each, 1 << 20)]
    made = [part.slice(row, 1).serialize() for part in parts for row in range(part.num_rows)]
    wanted = [plain_batch(plain).slice(row, 1).serialize() for row in range(plain.num_rows)]
    assert [each.to_pybytes() for each in made] == [each.to_pybytes() for each in wanted]
    alone = [
        plain_batch(part_of(each, row, 1)).to_pylist()
        for each in file.iter_batches()
        for row in range(each.num_rows)
    ]
    assert alone == [[row] for row in plain.to_pylist()]


@given(st.lists(COLUMNS, max_size=20))
def test_the_size_of_a_row_is_that_of_its_texts(rows: list[dict[str, Any]]) -> None:
    """Sizes are counted where texts lie in dictionaries, lists, structures and maps as elsewhere."""

    def size(value: Any) -> int:
        if isinstance(value, str):
            return len(value.encode())
        if isinstance(value, dict):
            return sum(map(size, value.values()))
        if isinstance(value, list | tuple):
            return sum(map(size, value))
        return 0

    table = pa.Table.from_pylist(rows, schema=SCHEMA).combine_chunks()
    for name in ("text", "tags", "made", "said"):
        for column in table[name].chunks:
            counted = bytes_of(column)
            told = [size(value) for value in column.to_pylist()]
            assert len(counted) == len(told)
            # Beside the texts: numbers, and a few bytes for each list.
            assert all(own <= found <= own + 16 for own, found in zip(told, counted, strict=True))


def test_a_repeated_text_comes_in_small_batches() -> None:
    """A dictionary that unpacks to hundreds of times the file is unpacked a few rows at a time,
    in a column of its own and inside lists.
    """
    places = pa.array(range(0, 121, 2), pa.int32())
    tags = pa.ListArray.from_arrays(places, repeating(120, 1 << 14))
    table = pa.table({"id": range(60), "text": repeating(60, 1 << 20), "tags": tags})
    found = batches_of(stored(table, dictionary_pagesize_limit=1 << 30))
    assert sum(each.rows.num_rows for each in found) == 60
    assert max(each.rows.nbytes for each in found) <= 9 << 20
    assert not any(each.missing for each in found)
    assert found[-1].rows["tags"][0].as_py() == ["x" * (1 << 14)] * 2


def test_rows_unpack_no_entries_of_others() -> None:
    """While some rows of lists are made plain, the texts that only other rows repeat take no
    memory.
    """
    places = pa.array(range(0, 401, 2), pa.int32())
    tags = pa.ListArray.from_arrays(places, repeating(400, 1 << 20))
    batch = pa.record_batch({"id": range(200), "tags": tags})
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for part in sliced(batch, 16 << 20):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += part.rows.num_rows
    assert rows == 200
    assert most <= 32 << 20


def test_a_row_that_is_too_large_loses_what_makes_it_so() -> None:
    """A list that repeats a text a thousand times costs its own row that column; the rows around
    it, and its other columns, are read.
    """
    entries = repeating(1_004, 1 << 12)
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 1_002, 1_004], pa.int32()), entries)
    found = batches_of(stored(pa.table({"id": [1, 2, 3], "tags": lists})), SMALL)
    (missing,) = [each.missing for each in found if each.missing]
    assert missing == {"tags": pytest.approx(1_000 << 12, abs=99)}
    rows = [row for each in found for row in each.rows.to_pylist()]
    assert [(row["id"], row["tags"] is None) for row in rows] == [(1, False), (2, True), (3, False)]


def test_pages_that_are_too_large_are_not_opened() -> None:
    """A cell larger than may be unpacked at once costs the rows of its row group that column, and
    no other row group.
    """
    limits = ReadLimits(max_block_bytes=1 << 20)
    text = pa.array(["small", "x" * (4 << 20), "small", "fine"])
    table = pa.table({"id": [1, 2, 3, 4], "text": text})
    found = batches_of(stored(table, use_dictionary=False, row_group_size=3), limits)
    assert [each.missing.keys() for each in found] == [{"text"}, set()]
    assert [row for each in found for row in each.rows.to_pylist()] == [
        {"id": 1, "text": None},
        {"id": 2, "text": None},
        {"id": 3, "text": None},
        {"id": 4, "text": "fine"},
    ]
    alone = batches_of(stored(table.select(["text"]), use_dictionary=False), limits)
    assert [each.rows.num_rows for each in alone] == [4]


def test_equal_values_of_a_list_are_not_made_by_the_million() -> None:
    """Lists of one number, which take no room in the file, are set aside where there are more of
    them than fit.
    """
    values = pa.ListArray.from_arrays(
        pa.array([0, 3_000_000], pa.int32()), pa.array(np.zeros(3_000_000))
    )
    table = pa.table({"id": [1], "values": values})
    (found,) = batches_of(stored(table, compression="zstd"), ReadLimits(max_block_bytes=8 << 20))
    assert found.missing.keys() == {"values"}
    assert found.rows.to_pylist() == [{"id": 1, "values": None}]


def test_wide_tables_come_in_fewer_rows() -> None:
    """A batch has a bounded number of cells, not only of bytes: empty ones take none."""
    table = pa.table({f"c{number}": pa.nulls(2_000, pa.string()) for number in range(2_000)})
    assert max(each.rows.num_rows for each in batches_of(stored(table))) <= (1 << 20) // 2_000
    assert module.BATCH_ROWS == 1024
