"""Parquet files of a snapshot: written once, known by their digest, read back only if they still
have it.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.runtime import storage
from transforms.runtime.sealed import DamagedFileError, read_with_digest

ROW_GROUP_ROWS = 64 * 1024
_TABLE = re.compile(r"\w[\w-]*(/\w[\w-]*)?")
_NAME = re.compile(r"bucket-\d{5,}\.parquet")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a snapshot. path: below it, in the table's folder; digest: SHA-256."""

    table: str
    path: str
    rows: int
    bytes: int
    digest: str

    @property
    def is_in_place(self) -> bool:
        """Whether the path is one that `write_parquet` gives to a file of the table."""
        folder, _, name = self.path.rpartition("/")
        is_table = folder == self.table and bool(_TABLE.fullmatch(folder))
        return is_table and bool(_NAME.fullmatch(name)) and self.rows >= 0 and self.bytes >= 0

    @property
    def bucket(self) -> int:
        """Number of the bucket, by the file's name. Raises ValueError for another name."""
        return int(self.path.rpartition("-")[2].removesuffix(".parquet"))

    def place(self, snapshot: str) -> str:
        """Where the file lies."""
        return storage.join(snapshot, *self.path.split("/"))


def write_parquet(snapshot: str, table_name: str, bucket: int, table: pa.Table) -> DataFile:
    """Write one file: zstd, dictionary-encoded, with statistics, sorted by its first column.

    Numbers of vectors hardly ever repeat: they are split by bytes, which compresses better.
    """
    sink = io.BytesIO()
    vectors = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    others = [name for name in table.column_names if name not in vectors]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=others if vectors else True,
        use_byte_stream_split=[f"{name}.list.element" for name in vectors] or False,
        row_group_size=ROW_GROUP_ROWS,
        sorting_columns=[pq.SortingColumn(0, nulls_first=table.schema.field(0).nullable)],
        store_schema=True,
    )
    data = sink.getbuffer()
    path = f"{table_name}/bucket-{bucket:05d}.parquet"
    file = DataFile(table_name, path, table.num_rows, len(data), hashlib.sha256(data).hexdigest())
    storage.write_bytes(file.place(snapshot), data)
    return file


def read_bytes(snapshot: str, file: DataFile) -> bytes:
    """Return the file's bytes. Raises DamagedFileError if they are not those that were written."""
    return read_with_digest(file.place(snapshot), file.digest)


def read_parquet(snapshot: str, file: DataFile, columns: list[str] | None = None) -> pa.Table:
    """Return the file's table. Raises DamagedFileError, also where it lacks a column."""
    data = read_bytes(snapshot, file)
    try:
        return parquet_table(data, columns)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DamagedFileError(f"{file.place(snapshot)} cannot be read ({error})") from error


def parquet_table(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Return the table in the bytes of a Parquet file.

    `pyarrow.parquet.read_table` would read it on Arrow's threads, and one of them may let go of
    Python's bytes only
    when the interpreter has ended: the process is then aborted after all its work
    (apache/arrow#34314).
    """
    return pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)


def parquet_table_as(data: bytes, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema` in the bytes of a Parquet file; those that an older version
    did not write are null.
    """
    table = parquet_table(data)
    known = pa.schema([field for field in schema if field.name in table.column_names])
    return pa.concat_tables(
        [schema.empty_table(), table.select(known.names).cast(known)], promote_options="default"
    )
