"""SQL over the tables of a snapshot.

DuckDB is given rows and never paths. Files are read through Beam's file systems, so that object
stores work as disks do, one at a time while DuckDB asks for rows, and only if they still hold the
bytes that were written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.runtime.sealed import DamagedFileError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextmanager
def sandbox(**views: pa.Table | pa.RecordBatchReader) -> Iterator[DuckDBPyConnection]:
    """Give a connection to these views that can reach neither files, nor the network, nor Python's
    variables, whatever an operator's SQL asks for.

    A view of a RecordBatchReader can be read once.
    """
    import duckdb

    with duckdb.connect() as connection:
        for name, rows in views.items():
            connection.register(name, rows)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def quoted(name: str) -> str:
    """Return a column's name as SQL writes it.

    >>> print(quoted('a "b" c'))
    "a ""b"" c"
    """
    return '"' + name.replace('"', '""') + '"'


class Rows:
    """Columns of files of one table, read while a query runs."""

    def __init__(self, snapshot: Snapshot, files: Sequence[DataFile], schema: pa.Schema) -> None:
        self._snapshot, self._files, self._schema = snapshot, files, schema
        self.fault: DamagedFileError | None = None

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream that can be read once."""
        return pa.RecordBatchReader.from_batches(self._schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for file in self._files:
            if file.rows:
                try:
                    table = read_parquet(self._snapshot.path, file, self._schema.names)
                except DamagedFileError as error:
                    # DuckDB makes an error of its own of whatever a stream raises.
                    self.fault = error
                    raise
                yield from table.replace_schema_metadata(None).cast(self._schema).to_batches()


def query(sql: str, parameters: dict[str, Any], **views: Rows) -> list[dict[str, Any]]:
    """Return the rows that a query gives. Raises DamagedFileError."""
    import duckdb

    readers = {name: rows.reader() for name, rows in views.items()}
    with sandbox(**readers) as connection:
        try:
            found = connection.sql(sql, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            faults = [rows.fault for rows in views.values() if rows.fault is not None]
            if faults:
                raise faults[0] from error
            raise
    return list(found.to_pylist())
