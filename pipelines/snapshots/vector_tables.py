"""The vector tables of an output, of one snapshot, or one table alone, and what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.snapshots.history import HistoryError, list_snapshots, named_snapshot
from pipelines.snapshots.layout import MANIFEST, POINTER
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage
from transforms.runtime.listing import files_in
from transforms.runtime.sealed import DamagedFileError
from transforms.vectors.contract import (
    METADATA_KEY,
    ContractError,
    VectorContract,
    of_text,
)


@dataclass(frozen=True, slots=True)
class VectorTable:
    """One vector table and what it says of itself.

    path: of its folder; rows: that it has.
    """

    path: str
    rows: int
    contract: VectorContract


def find_vector_tables(place: str) -> list[VectorTable]:
    """Return the vector tables of an output, a snapshot, or a folder of Parquet files.

    Raises HistoryError where there are none, or where they do not say what they are, and
    DamagedFileError.
    """
    place = place.rstrip("/") or place
    if storage.exists(storage.join(place, POINTER)) or list_snapshots(place):
        return _of_snapshot(named_snapshot(place, "current"))
    if storage.exists(storage.join(place, MANIFEST)):
        return _of_snapshot(named_snapshot("", f"{place}/"))
    files = files_in(place, ".parquet")
    if not files:
        raise HistoryError(
            f"{place!r} is no output, no snapshot and no folder of Parquet files; name the --output"
            " of a run, or a table such as OUTPUT/current/embeddings/text"
        )
    return [_of_files(place, [file.path for file in files])]


def _of_snapshot(snapshot: Snapshot) -> list[VectorTable]:
    contracts = snapshot.contracts
    files = [file for file in snapshot.manifest.files if file.table in contracts]
    for fault in snapshot.faults_of_sizes(files):
        raise DamagedFileError(fault)
    if not contracts:
        raise HistoryError(
            f"{snapshot.run_id} does not say what its vectors are: an earlier version wrote it; the"
            " next run that changes anything does"
        )
    rows = Counter[str]()
    for file in snapshot.manifest.files:
        rows[file.table] += file.rows
    return [
        VectorTable(storage.join(snapshot.path, *name.split("/")), rows[name], contract)
        for name, contract in contracts.items()
    ]


def _of_files(folder: str, paths: list[str]) -> VectorTable:
    rows, kept = 0, b""
    for path in sorted(paths):
        try:
            parquet = pq.ParquetFile(pa.BufferReader(storage.read_bytes(path)))
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"{path} cannot be read ({error})") from error
        rows += parquet.metadata.num_rows
        kept = (parquet.schema_arrow.metadata or {}).get(METADATA_KEY.encode(), kept)
    if not kept:
        raise HistoryError(
            f"{folder!r} does not say what its vectors are: it is no vector table, or an earlier "
            "version wrote it"
        )
    try:
        return VectorTable(folder, rows, of_text(kept, folder))
    except ContractError as error:
        raise HistoryError(str(error)) from error
