"""The items of a partial run, selected by id, by reason, and by a condition in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.configuration.errors import ConfigError
from pipelines.snapshots.query import quoted, sandbox
from pipelines.snapshots.snapshot import Snapshot
from schemas.reasons import REASONS
from schemas.tables.arrow import PROVENANCE_SUFFIX
from transforms.runtime.parquet import read_parquet


def check_reasons(reasons: Collection[str]) -> None:
    """Raise ConfigError for reason ids that are not registered."""
    unknown = sorted(set(reasons) - REASONS.keys())
    if unknown:
        raise ConfigError(
            [f"--reason {', '.join(unknown)}: no such reason id; docs/reasons.md lists them"]
        )


def chosen_ids(
    earlier: Snapshot, where: str | None, ids_file: str | None, reasons: Sequence[str]
) -> set[str]:
    """Return the ids of the items that all given conditions hold for. Raises ConfigError."""
    check_reasons(reasons)
    named = None if ids_file is None else _ids_in(ids_file)
    chosen: set[str] = set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        if named is not None:
            table = table.filter(pc.is_in(table["item_id"], value_set=named))
        if reasons:
            table = _with_reason(table, reasons)
        if where:
            table = _where(table, where)
        chosen.update(table["item_id"].to_pylist())
    return chosen


def _ids_in(path: str) -> pa.Array:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"--ids {path}: {error}"]) from error
    return pa.array([line.strip() for line in lines if line.strip()], pa.string())


def _with_reason(table: pa.Table, reasons: Sequence[str]) -> pa.Table:
    """Return rows with a flag of these reasons, or a value that is unknown for one of them."""
    provenances = [name for name in table.column_names if name.endswith(PROVENANCE_SUFFIX)]
    of_values = ", ".join(f"{quoted(name)}.reason" for name in provenances)
    sql = f"""
        SELECT * FROM items
        WHERE list_has_any($reasons, list_concat([flag.reason for flag in flags], [{of_values}]))
    """  # noqa: S608 - names of columns, quoted
    with sandbox(items=table) as connection:
        return connection.sql(sql, params={"reasons": list(reasons)}).to_arrow_table()


def _where(table: pa.Table, where: str) -> pa.Table:
    """Return rows that the operator's condition holds for, which is about these rows only."""
    import duckdb

    with sandbox(items=table) as connection:
        try:
            statements = connection.extract_statements(f"SELECT item_id FROM items WHERE ({where})")  # noqa: S608 the operator's own
            if len(statements) != 1:
                raise ConfigError(
                    [f"--where {where!r} is more than a condition; write what comes after WHERE"]
                )
            return connection.sql(statements[0].query).to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError([f"--where {where!r}: {error}"]) from error
