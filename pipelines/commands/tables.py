"""`catalog-enrich tables`: the tables of a snapshot, their columns, and how to read them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import (
    add_output_argument,
    add_snapshot_option,
    snapshot_of,
)
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.summary import snapshot_folder
from pipelines.monitoring.terminal import print_json, printable
from pipelines.snapshots.snapshot import Snapshot
from schemas.tables.specs import ITEMS, in_order
from schemas.texts import shorten
from transforms.runtime.parquet import DataFile, read_bytes
from transforms.runtime.sealed import DamagedFileError
from transforms.vectors.contract import query_lines

MAX_CELL_CHARS = 60


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    add_snapshot_option(parser)
    parser.add_argument(
        "--table", metavar="NAME", help="only this one, with its columns, such as items"
    )
    parser.add_argument("--columns", action="store_true", help="list the columns of every table")
    parser.add_argument(
        "--head", type=int, default=0, metavar="N", help="print the first rows of each table"
    )


def _tables(options: argparse.Namespace) -> Exit:
    if options.head < 0:
        raise ConfigError([f"--head {options.head} is negative; write how many rows to print"])
    info = snapshot_of(options)
    there = in_order(info.tables)
    if options.table and options.table not in there:
        named = f"--table {options.table!r} is not a table of this snapshot"
        raise ConfigError([f"{named}; choose one of: {', '.join(there)}"])
    names = [options.table] if options.table else there
    for fault in info.faults_of_sizes(file for name in names for file in info.files_of(name)):
        raise DamagedFileError(fault)
    wants_columns = options.columns or bool(options.table) or options.json
    tables = {name: _describe(info, name, wants_columns, options.head) for name in names}
    folder = snapshot_folder(f"{info.path}/manifest.json", info.is_current)
    if options.json:
        print_json(
            {
                "run_id": info.run_id,
                "folder": folder,
                "tables": tables,
                "read": reading(folder, names),
                "query": _queries(info, names),
            }
        )
        return Exit.DONE
    _print(info, folder, tables)
    return Exit.DONE


def _describe(info: Snapshot, name: str, wants_columns: bool, head: int) -> dict[str, Any]:
    """Return rows, files and bytes of a table, its columns and first rows if they are wanted."""
    files = info.files_of(name)
    table: dict[str, Any] = {
        "rows": sum(file.rows for file in files),
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
    }
    if wants_columns and files:
        table["columns"] = _columns(info, files)
    if head:
        table["head"] = _head(info, files, head)
    return table


def _columns(info: Snapshot, files: Sequence[DataFile]) -> list[dict[str, Any]]:
    """Return name, type, share of nulls and description of the columns.

    Nulls are added up from the files' statistics: no column is read.
    """
    nulls: dict[str, int] | None = {}
    schema = pa.schema([])
    for file in files:
        parquet = pq.ParquetFile(pa.BufferReader(read_bytes(info.path, file)))
        schema = parquet.schema_arrow
        nulls = None if nulls is None else _added(nulls, parquet)
    rows = sum(file.rows for file in files)
    return [
        {
            "column": field.name,
            "type": _type_name(field.type),
            "null_share": None
            if nulls is None or field.name not in nulls or not rows
            else nulls[field.name] / rows,
            "description": (field.metadata or {})
            .get(b"description", b"")
            .decode("utf-8", "replace"),
        }
        for field in schema
    ]


def _added(nulls: dict[str, int], parquet: pq.ParquetFile) -> dict[str, int] | None:
    """Add the nulls of a file's flat columns, from its statistics; None where it has none."""
    for group in range(parquet.metadata.num_row_groups):
        of_group = parquet.metadata.row_group(group)
        for index in range(of_group.num_columns):
            column = of_group.column(index)
            # Leaves of nested columns: their nulls say nothing of the column's own.
            if "." in column.path_in_schema:
                continue
            if column.statistics is None or not column.statistics.has_null_count:
                return None
            nulls[column.path_in_schema] = (
                nulls.get(column.path_in_schema, 0) + column.statistics.null_count
            )
    return nulls


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"struct of {', '.join(field.name for field in kind)}"
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} x {kind.value_type}"
    return f"list of {_type_name(kind.value_type)}" if pa.types.is_list(kind) else str(kind)


def _head(info: Snapshot, files: Sequence[DataFile], count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for file in files:
        if len(rows) >= count:
            break
        parquet = pq.ParquetFile(pa.BufferReader(read_bytes(info.path, file)))
        for batch in parquet.iter_batches(batch_size=count - len(rows)):
            rows += batch.to_pylist()
            break
    return rows


def reading(folder: str, names: Sequence[str] = (ITEMS.name,)) -> dict[str, str]:
    """Return ready-made lines by reader, which read the first of the tables.

    folder: of the snapshot.
    """
    files = f"{folder}/{names[0]}/*.parquet"
    return {
        "DuckDB": (
            f"""python -c "import duckdb; duckdb.sql(\\"FROM '{files}'\\").show()" """.strip()
        ),
        "Polars": f"""polars.read_parquet("{files}")""",
        "pandas": f"""pandas.read_parquet("{folder}/{names[0]}")""",
    }


def _print(info: Snapshot, folder: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
    console = Console(highlight=False)
    console.print(printable(f"{info.run_id}, {_state(info)}"), markup=False)
    console.print(_overview(tables))
    for name, each in tables.items():
        if "columns" in each:
            console.print(_column_table(name, each["columns"]))
        for number, row in enumerate(each.get("head", ()), start=1):
            console.print(f"{name}, row {number}", style="bold", markup=False)
            for line in _cells(row):
                console.print(printable(line), markup=False, soft_wrap=True)
    for lines in _queries(info, list(tables)).values():
        for line in lines:
            console.print(printable(line), markup=False, soft_wrap=True)
    for reader, line in reading(folder, list(tables)).items():
        console.print(printable(f"{reader:<8} {line}"), markup=False, soft_wrap=True)


def _queries(info: Snapshot, names: Sequence[str]) -> dict[str, list[str]]:
    """Return how each vector table is queried; none of a snapshot that does not say what its
    vectors are.
    """
    contracts = info.contracts
    return {name: list(query_lines(contracts[name])) for name in names if name in contracts}


def _state(info: Snapshot) -> str:
    if info.is_current:
        return "readers see it"
    if info.is_published:
        return "published"
    return "never published" if info.manifest.published else "refused by the gate"


def _overview(tables: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("table")
    for name in ("rows", "files", "MiB"):
        table.add_column(name, justify="right")
    for name, each in tables.items():
        table.add_row(
            name, f"{each['rows']:,}", f"{each['files']:,}", f"{each['bytes'] / 2**20:,.1f}"
        )
    return table


def _column_table(name: str, columns: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"Columns of {name}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("column", overflow="fold")
    table.add_column("type", overflow="fold", max_width=20)
    table.add_column("null", justify="right")
    table.add_column("what it is", overflow="fold")
    for each in columns:
        null = "" if each["null_share"] is None else f"{each['null_share']:.0%}"
        cells = (each["column"], each["type"], null, each["description"])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the known values of a row, shortened."""
    for name, value in row.items():
        if value is None or value in ([], ""):
            continue
        if isinstance(value, dict):
            value = {key: part for key, part in value.items() if part is not None}
        text = value if isinstance(value, str) else repr(value)
        yield f"  {name}: {shorten(text, MAX_CELL_CHARS)}"


TABLES_COMMAND = Command(
    "tables",
    "Lists the tables of a snapshot with rows, files and size, their columns with type, share of "
    "nulls and "
    "description, first rows on request, and ready-made lines that read them with DuckDB, Polars "
    "and pandas.",
    ["features", "features --table items --head 2", "features --snapshot previous --json"],
    _add_options,
    _tables,
)
