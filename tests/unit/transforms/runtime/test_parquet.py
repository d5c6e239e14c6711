"""Data files: read back only as they were written; damage is named."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.runtime.parquet import (
    DataFile,
    parquet_table_as,
    read_bytes,
    read_parquet,
    write_parquet,
)
from transforms.runtime.sealed import DamagedFileError

TABLE = pa.table({"item_id": ["a", "b", None], "n": [1, 2, 3]})


def written(tmp_path: Path, table: pa.Table = TABLE) -> DataFile:
    return write_parquet(str(tmp_path), "records", 3, table)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Rows, types, size, place and single columns are those that were written."""
    file = written(tmp_path)
    assert (file.path, file.rows) == ("records/bucket-00003.parquet", 3)
    assert Path(file.place(str(tmp_path))).stat().st_size == file.bytes
    assert read_parquet(str(tmp_path), file).equals(TABLE)
    assert read_parquet(str(tmp_path), file, ["n"]).column_names == ["n"]
    order = pq.ParquetFile(file.place(str(tmp_path))).metadata.row_group(0).sorting_columns[0]
    assert order.nulls_first


def test_an_empty_table_has_a_file_too(tmp_path: Path) -> None:
    """A table without rows comes back with its columns."""
    file = written(tmp_path, TABLE.slice(0, 0))
    assert read_parquet(str(tmp_path), file).schema.equals(TABLE.schema)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_damage(tmp_path: Path, at: int, by: int) -> None:
    """Whichever byte changed, the file is refused with its name, never read as something else."""
    file = written(tmp_path)
    path = Path(file.place(str(tmp_path)))
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= by
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"records/bucket-00003\.parquet holds other bytes"):
        read_parquet(str(tmp_path), file)


@pytest.mark.parametrize("kept", [0, 1, -1])
def test_a_file_that_was_cut_is_damage(tmp_path: Path, kept: int) -> None:
    """A file that was emptied or cut is refused."""
    file = written(tmp_path)
    path = Path(file.place(str(tmp_path)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedFileError, match="other bytes"):
        read_bytes(str(tmp_path), file)


def test_a_file_that_is_not_there_is_damage(tmp_path: Path) -> None:
    """A missing file, or a folder in its place, is refused with its name."""
    file = written(tmp_path)
    path = Path(file.place(str(tmp_path)))
    path.unlink()
    for fault in ("is missing", "cannot be read"):
        with pytest.raises(DamagedFileError, match=rf"records/bucket-00003\.parquet {fault}"):
            read_bytes(str(tmp_path), file)
        path.mkdir(exist_ok=True)


def test_a_process_that_read_a_table_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    """Reading leaves no thread of Arrow behind, which would abort the process at its end (with
    `read_table` 6 in 10).
    """
    path = tmp_path / "wide.parquet"
    pq.write_table(pa.table({f"column{number}": range(100) for number in range(60)}), path)
    program = f"from transforms.runtime.parquet import parquet_table as read; read(open({str(path)!r}, 'rb').read())"
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(8)]
    assert [process.wait(120) for process in processes] == [0] * 8


def test_columns_that_an_older_version_did_not_write_are_null() -> None:
    """A file is read with today's schema: columns it lacks are null, those of yesterday are left
    out.
    """
    sink = io.BytesIO()
    pq.write_table(pa.table({"b": pa.array([1], pa.int32()), "gone": ["x"]}), sink)
    schema = pa.schema([("a", pa.string()), ("b", pa.int64())])
    assert parquet_table_as(sink.getvalue(), schema).to_pylist() == [{"a": None, "b": 1}]
