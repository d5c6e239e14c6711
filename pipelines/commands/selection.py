"""Which items a partial run is about: by id, by reason, by a condition in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.configuration.errors import ConfigError
from pipelines.snapshots.snapshot import Snapshot
from schemas.reasons import REASONS
from schemas.tables import PROVENANCE_SUFFIX
from transforms.runtime.parquet import read_parquet


def check_reasons(reasons: Collection[str]) -> None:
    unknown = sorted(set(reasons) - REASONS.keys())
    if unknown:
        raise ConfigError(
            [f"--reason {', '.join(unknown)}: no such reason id; docs/reasons.md lists them"]
        )


def chosen_ids(
    earlier: Snapshot, where: str | None, ids_file: str | None, reasons: Sequence[str]
) -> set[str]:
    """Ids of the items that all given conditions hold for. Raises ConfigError."""
    check_reasons(reasons)
    named = None if ids_file is None else _ids_in(ids_file)
    chosen: set[str] = set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        if reasons:
            table = table.filter(_has_reason(table, reasons))
        if named is not None:
            table = table.filter(pc.is_in(table["item_id"], value_set=named))
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


def _has_reason(table: pa.Table, reasons: Sequence[str]) -> pa.Array:
    wanted = pa.array(list(reasons), pa.string())
    flags = table["flags"].combine_chunks()
    flagged = pc.is_in(pc.struct_field(pc.list_flatten(flags), "reason"), value_set=wanted)
    rows = pc.unique(pc.filter(pc.list_parent_indices(flags), flagged))
    found = pc.is_in(
        pa.array(range(table.num_rows), pa.int64()), value_set=pc.cast(rows, pa.int64())
    )
    for name in table.column_names:
        if name.endswith(PROVENANCE_SUFFIX):
            reason = pc.struct_field(table[name].combine_chunks(), "reason")
            found = pc.or_(found, pc.fill_null(pc.is_in(reason, value_set=wanted), False))
    return found


def _where(table: pa.Table, where: str) -> pa.Table:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(
            ["--where needs duckdb; pip install 'catalog-enrich[backfill]'"]
        ) from error
    with duckdb.connect() as connection:
        connection.register("items", table)
        # The condition is about these rows; it has no business with files or the network.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            statements = connection.extract_statements(f"SELECT item_id FROM items WHERE ({where})")  # noqa: S608 the operator's own
            if len(statements) != 1:
                raise ConfigError(
                    [f"--where {where!r} is more than a condition; write what comes after WHERE"]
                )
            return connection.sql(statements[0].query).to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError([f"--where {where!r}: {error}"]) from error
