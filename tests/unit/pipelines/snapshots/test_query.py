"""SQL over a snapshot's tables: rows of all files, of whole files only, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.snapshots.query import Rows, query, sandbox
from pipelines.snapshots.snapshot import Snapshot
from tests.manifests import make_manifest
from transforms.runtime.parquet import write_parquet
from transforms.runtime.sealed import DamagedFileError

SCHEMA = pa.schema([("item_id", pa.string()), ("color", pa.string())])


def snapshot(folder: Path) -> Snapshot:
    """A snapshot of three files, one of them empty."""
    rows = [[("a", "red"), ("b", None)], [], [("c", "red")]]
    files = [
        write_parquet(
            str(folder),
            "items",
            bucket,
            pa.Table.from_pylist(
                [{"item_id": item_id, "color": color} for item_id, color in each], SCHEMA
            ),
        )
        for bucket, each in enumerate(rows)
    ]
    return Snapshot("r1", str(folder), make_manifest(files=files))


def rows_of(of: Snapshot) -> Rows:
    return Rows(of, of.files_of("items"), SCHEMA)


def test_a_query_sees_the_rows_of_all_files(tmp_path: Path) -> None:
    """Rows come from every file, in their order; parameters are values and never SQL."""
    (tmp_path / "items").mkdir()
    items = rows_of(snapshot(tmp_path))
    sql = "SELECT item_id FROM items WHERE color = $color"
    assert query(sql, {"color": "red"}, items=items) == [{"item_id": "a"}, {"item_id": "c"}]
    assert query(sql, {"color": "red' OR true --"}, items=rows_of(snapshot(tmp_path))) == []


def test_a_damaged_file_is_not_read(tmp_path: Path) -> None:
    """A file with other bytes than were written ends the query with the file's name."""
    (tmp_path / "items").mkdir()
    of = snapshot(tmp_path)
    path = tmp_path / "items" / "bucket-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="bucket-00002"):
        query("SELECT count(*) FROM items", {}, items=rows_of(of))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname.csv'",
        "COPY items TO '{folder}/leak.csv'",
        "SET enable_external_access = true",
        "SELECT * FROM secret",
    ],
)
def test_a_sandbox_reaches_nothing_but_its_views(tmp_path: Path, sql: str) -> None:
    """SQL in a sandbox cannot read or write files, change settings, or see Python's variables."""
    import duckdb

    secret = pa.table({"a": [1]})
    with (
        sandbox(items=pa.table({"a": [1]})) as connection,
        pytest.raises(duckdb.Error),
    ):
        connection.sql(sql.format(folder=tmp_path)).fetchall()
    assert secret.num_rows
    assert list(tmp_path.iterdir()) == []
