"""A snapshot that was written whole: its manifest, what its buckets hold, and what is sound."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots.layout import MANIFEST, POINTER, read_pointer
from pipelines.snapshots.manifest import Manifest, read_manifest
from schemas.tables.arrow import records_schema
from transforms.runtime import storage
from transforms.runtime.parquet import DamagedFileError, DataFile, read_bytes, read_parquet
from transforms.runtime.reports import read_reports
from transforms.tables.write import BucketReport
from transforms.vectors.contract import (
    CONTRACTS,
    ContractError,
    VectorContract,
    parse_contracts,
)

BUCKETS = "buckets.json"
_HASHING_THREADS = 4


@dataclass(frozen=True)
class Snapshot:
    """A snapshot, published or refused by the gate.

    run_id: its folder's name below `snapshots/`; path: where it is read, which may be
    OUTPUT/current; is_current: readers are sent to it.
    """

    run_id: str
    path: str
    manifest: Manifest
    is_current: bool = False

    @cached_property
    def reports(self) -> tuple[BucketReport, ...]:
        """One report for each bucket, in the order of their numbers.

        Only a run that continues from the snapshot needs them. Raises what the file system and
        msgspec raise where BUCKETS is missing or damaged.
        """
        reports = read_reports(storage.join(self.path, BUCKETS), BucketReport)
        return tuple(sorted(reports, key=lambda report: report.bucket))

    @cached_property
    def contracts(self) -> dict[str, VectorContract]:
        """What the vectors of each table are; none where an earlier version wrote the snapshot.

        Raises ContractError where the file is missing, damaged or another one.
        """
        if not self.manifest.vectors_sha256:
            return {}
        fault = _contracts_fault(self)
        if fault:
            raise ContractError(fault)
        path = storage.join(self.path, *CONTRACTS.split("/"))
        return parse_contracts(storage.read_bytes(path), path)

    def files_of(self, table: str, buckets: Iterable[int] | None = None) -> list[DataFile]:
        """Return the files of a table: of these buckets, or of all."""
        if buckets is None:
            return [file for file in self.manifest.files if file.table == table]
        wanted = set(buckets)
        chosen = [report for report in self.reports if report.bucket in wanted]
        return [file for report in chosen for file in report.files if file.table == table]

    @property
    def tables(self) -> frozenset[str]:
        """Names of its tables; bucket 0 has a file of each, so none is missed."""
        return frozenset(file.table for file in self.manifest.files)

    @property
    def size_bytes(self) -> int:
        """Size of all data files, also of those that other snapshots share."""
        return sum(file.bytes for file in self.manifest.files)

    def faults(self) -> list[str]:
        """Return what is wrong with the data files, and with what describes their vectors; every
        byte is read.
        """
        faults = [_fault(self.path, file) for file in self.manifest.files]
        return [fault for fault in (*faults, _contracts_fault(self)) if fault]

    def damaged_buckets(self) -> dict[int, str]:
        """Return bucket → what is wrong with its files.

        On a local disk every byte is read; elsewhere, where reading costs money and time, the
        sizes are compared.
        """
        files = [(report.bucket, file) for report in self.reports for file in report.files]
        with ThreadPoolExecutor(_HASHING_THREADS) as threads:
            faults = threads.map(lambda each: _quick_fault(self.path, each[1]), files)
            return {
                bucket: fault for (bucket, _), fault in zip(files, faults, strict=True) if fault
            }

    def records(self, without: Iterable[int]) -> pa.Table:
        """Return the records table of all buckets but those of `without`, with the bucket's number
        as column `bucket`.
        """
        skipped = set(without)
        tables = [
            read_parquet(self.path, file).append_column(
                "bucket", pa.repeat(pa.scalar(r.bucket, pa.int32()), file.rows)
            )
            for r in self.reports
            for file in r.files
            if file.table == "records" and r.bucket not in skipped
        ]
        empty = records_schema().append(pa.field("bucket", pa.int32())).empty_table()
        return pa.concat_tables(
            [table.replace_schema_metadata(None).cast(empty.schema) for table in [empty, *tables]]
        )

    def pictures(self, without: Iterable[int]) -> pa.Table:
        """item_id, path and version of every picture reference of the items."""
        skipped = set(without)
        tables = []
        for report in self.reports:
            for file in report.files:
                if file.table == "items" and report.bucket not in skipped:
                    table = read_parquet(self.path, file, ["item_id", "images"])
                    lists = table["images"].combine_chunks()
                    flat = pc.list_flatten(lists)
                    owners = table["item_id"].combine_chunks().take(pc.list_parent_indices(lists))
                    fields = [pc.struct_field(flat, name) for name in ("path", "version")]
                    tables.append(pa.table([owners, *fields], names=["item_id", "path", "version"]))
        empty = pa.schema(
            [(name, pa.string()) for name in ("item_id", "path", "version")]
        ).empty_table()
        return pa.concat_tables([empty, *tables])


class UnusableSnapshotError(Exception):
    """There is a published snapshot and a run cannot continue from it; the message says why."""


def read_published(output: str) -> Snapshot | None:
    """Return the snapshot that `output` names as current, None where there is none.

    Raises UnusableSnapshotError.
    """
    pointer_path = storage.join(output, POINTER)
    try:
        pointer = read_pointer(output)
        if pointer is None:
            return None
        snapshot = read_snapshot(storage.join(output, *pointer.snapshot.split("/")))
        _check_probes(snapshot)
        _ = snapshot.contracts
    except UnusableSnapshotError:
        raise
    except Exception as error:  # whatever a file system, or half a file, brings
        raise UnusableSnapshotError(
            f"{pointer_path} cannot be used ({type(error).__name__}: {error})"
        ) from error
    return snapshot


def read_snapshot(path: str) -> Snapshot:
    """Return the snapshot in a folder, with the reports of its buckets.

    Raises UnusableSnapshotError.
    """
    try:
        manifest = read_manifest(storage.join(path, MANIFEST))
        snapshot = Snapshot(manifest.run_id, path, manifest)
        _ = snapshot.reports  # an older version wrote none, or somebody removed them
        if manifest.since_full is None or manifest.trusted_comparisons is None:
            raise ValueError("an older version wrote it, without what later runs need")
    except Exception as error:  # each object store has its own exceptions for what is missing
        raise UnusableSnapshotError(
            f"no run can continue from {path} ({type(error).__name__}: {error})"
        ) from error
    return snapshot


def _contracts_fault(snapshot: Snapshot) -> str:
    """Return what is wrong with the file of contracts, or the empty string."""
    expected = snapshot.manifest.vectors_sha256
    if not expected:  # of an earlier version, which wrote none
        return ""
    try:
        data = storage.read_bytes(storage.join(snapshot.path, *CONTRACTS.split("/")))
    except Exception as error:  # each object store has its own exceptions for what is missing
        return f"{CONTRACTS} cannot be read ({type(error).__name__})"
    if hashlib.sha256(data).hexdigest() != expected:
        return f"{CONTRACTS} holds other bytes than were written"
    return ""


def _check_probes(snapshot: Snapshot) -> None:
    """Raise UnusableSnapshotError for a damaged probe: without it new rows would be filled
    otherwise than old ones.
    """
    for probe in snapshot.manifest.probes:
        try:
            data = storage.read_bytes(storage.join(snapshot.path, *probe.path.split("/")))
        except Exception as error:  # each object store has its own exceptions for what is missing
            raise UnusableSnapshotError(
                f"{probe.path} cannot be read ({type(error).__name__})"
            ) from error
        if hashlib.sha256(data).hexdigest() != probe.digest:
            raise UnusableSnapshotError(f"{probe.path} holds other bytes than were written")


def _fault(snapshot: str, file: DataFile) -> str:
    """Return what is wrong with a file's bytes, or the empty string."""
    try:
        read_bytes(snapshot, file)
    except DamagedFileError as error:
        return str(error)
    except Exception as error:  # each object store has its own exceptions for what is missing
        return f"{file.path} cannot be read ({type(error).__name__})"
    return ""


def _quick_fault(snapshot: str, file: DataFile) -> str:
    """Return what is wrong with a file, as far as can be told without fetching it."""
    if storage.is_local(snapshot):
        return _fault(snapshot, file)
    try:
        size = storage.size_bytes(file.place(snapshot))
    except Exception as error:  # each object store has its own exceptions for what is missing
        return f"{file.path} cannot be read ({type(error).__name__})"
    if size == file.bytes:
        return ""
    return f"{file.path} has {size:,} bytes, {file.bytes:,} were written"
