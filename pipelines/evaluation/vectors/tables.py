"""The vector tables of a snapshot as spaces, and what its items table says of the items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.vectors.neighbours import Space
from pipelines.snapshots.history import HistoryError, named_snapshot
from pipelines.snapshots.layout import MANIFEST
from pipelines.snapshots.snapshot import Snapshot
from schemas.tables.specs import table_spec
from transforms.runtime import storage
from transforms.runtime.parquet import read_parquet
from transforms.runtime.sealed import DamagedFileError
from transforms.vectors.contract import VectorContract

_FOLDER = "embeddings/"


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A vector table with one vector an item.

    space: its name; encoder: that made it, as its files name it; dimension: of its vectors.
    contract: what its vectors are; None where an earlier version wrote the snapshot.
    """

    space: str
    encoder: str
    dimension: int
    contract: VectorContract | None

    @property
    def compared_by(self) -> tuple[str, int]:
        """What tables have in common whose vectors may be compared."""
        if self.contract is not None:
            return self.contract.space, self.dimension
        return self.encoder, self.dimension


def snapshot_at(place: str, option: str) -> Snapshot:
    """Return the snapshot in this folder, or the current one of this output.

    Raises ConfigError that names the option, and DamagedFileError.
    """
    folder = place.rstrip("/") or place
    try:
        if storage.exists(storage.join(folder, MANIFEST)):
            return named_snapshot("", f"{folder}/")
        return named_snapshot(folder, "current")
    except DamagedFileError:
        raise
    except HistoryError as error:
        raise ConfigError([f"{option} {place}: {error}"]) from error


def vector_tables(snapshot: Snapshot) -> list[VectorTable]:
    """Return the snapshot's vector tables with one vector an item, by name.

    Raises DamagedFileError where what their vectors are cannot be read.
    """
    contracts, found = snapshot.contracts, []
    for name in sorted(snapshot.tables):
        if name.startswith(_FOLDER) and table_spec(name).one_row_per == "item":
            schema = read_parquet(snapshot.path, snapshot.files_of(name)[0]).schema
            metadata = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
            encoder, dimension = metadata.get("encoder", ""), schema.field(1).type.list_size
            contract = contracts.get(name)
            found.append(VectorTable(name[len(_FOLDER) :], encoder, dimension, contract))
    return found


def read_space(
    snapshot: Snapshot, name: str, groups: Mapping[str, str], items: frozenset[str]
) -> Space:
    """Return the vectors of these items, sorted by id."""
    tables = [read_parquet(snapshot.path, file) for file in snapshot.files_of(_FOLDER + name)]
    table = pa.concat_tables([each.replace_schema_metadata(None) for each in tables])
    column = table.column(1).combine_chunks()
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    vectors = numbers.reshape(len(column), column.type.list_size)
    ids = table["item_id"].to_pylist()
    rows = sorted((row for row in range(len(ids)) if ids[row] in items), key=lambda row: ids[row])
    return Space(name, tuple(ids[row] for row in rows), np.ascontiguousarray(vectors[rows]), groups)


def read_items(snapshot: Snapshot, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of items whose records are there, with item_id and these columns.

    Raises ConfigError where the table lacks one: another template made it.
    """
    wanted = list(dict.fromkeys(["item_id", "deleted_ts", *columns]))
    for file in snapshot.files_of("items"):
        table = read_parquet(snapshot.path, file)
        missing = sorted(set(wanted) - set(table.column_names))
        if missing:
            made_by = snapshot.manifest.versions.get("template", "another one")
            raise ConfigError(
                [
                    f"--template: {snapshot.path} has no column {missing[0]!r}; it was made with "
                    f"template {made_by}"
                ]
            )
        for row in table.select(wanted).to_pylist():
            if row["deleted_ts"] is None:
                yield row
