"""Files as readers find them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq

from schemas.elements import RawRecord, Reject
from transforms.tables.build import RunInfo, quarantine_table
from transforms.tables.write import write_parquet

RUN = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})


def test_quarantine_is_sorted_as_its_file_declares(tmp_path: Path) -> None:
    """Records without an id come first, and the file's metadata says so: a reader may rely on the
    order.
    """
    raw = RawRecord(b"{}", "jsonl", "f", 1)
    rejects = [
        Reject(raw, "missing-id", "normalise", "", item_id) for item_id in ("b", None, "a", "")
    ]
    file = write_parquet(str(tmp_path), "quarantine", 0, quarantine_table(rejects, RUN))
    parquet = pq.ParquetFile(tmp_path / file.path)
    assert parquet.metadata.row_group(0).sorting_columns == (pq.SortingColumn(0, nulls_first=True),)
    assert parquet.read()["item_id"].to_pylist() == [None, "", "a", "b"]
