"""Rows that stay of the last snapshot, joined with rows that are new."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.tables.specs import UnknownTableError
from transforms.runtime.parquet import write_parquet
from transforms.tables.merge import DROPS_SCHEMA, Base, joined, kept_tables, write_drops

ROWS = pa.table({"item_id": ["a", "b"]})


def test_rows_of_an_unknown_table_are_not_joined() -> None:
    """The order of a table that nobody specified is not guessed."""
    with pytest.raises(UnknownTableError, match="no table 'codes'"):
        joined("codes", ROWS, ROWS)


def test_rows_of_an_unknown_table_are_not_kept(tmp_path: Path) -> None:
    """What goes with an item or a record is known of specified tables only."""
    drops = str(tmp_path / "drops.arrow")
    write_drops(drops, DROPS_SCHEMA.empty_table())
    file = write_parquet(str(tmp_path), "codes", 0, ROWS)
    with pytest.raises(UnknownTableError, match="no table 'codes'"):
        kept_tables(Base(str(tmp_path), {0: (file,)}, drops), 0)
