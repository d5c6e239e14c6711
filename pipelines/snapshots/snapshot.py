"""A snapshot that was written whole: its manifest, what its buckets hold, and what is sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.snapshots.layout import MANIFEST
from pipelines.snapshots.manifest import Manifest, NewerVersionError, read_manifest
from pipelines.snapshots.publication import PointerError, read_pointer
from schemas.tables.arrow import records_schema
from transforms.probes.report import ProbeReport
from transforms.runtime import storage
from transforms.runtime.listing import files_below
from transforms.runtime.parquet import DataFile, read_bytes, read_parquet
from transforms.runtime.sealed import DamagedFileError, decode_json, read_with_digest
from transforms.tables.bucket_report import BucketReport
from transforms.vectors.contract import CONTRACTS, VectorContract, parse_contracts

BUCKETS = "buckets.json"
# What the next snapshot is compared with.
STATISTICS = "statistics.json"
# Whom demonstrations are chosen from: kept in the snapshot, for runs that continue from it.
POOL = "pool"
# Without it a run goes on all the same, and says so.
NOT_RESTED_ON = frozenset({STATISTICS})
_HASHING_THREADS = 4


@dataclass(frozen=True)
class Snapshot:
    """A snapshot, published or refused by the gate.

    run_id: its folder's name below `snapshots/`; path: where it is read, which may be
    OUTPUT/current; is_current: readers are sent to it; is_published: they are, or were.
    """

    run_id: str
    path: str
    manifest: Manifest
    is_current: bool = False
    is_published: bool = False

    @cached_property
    def reports(self) -> tuple[BucketReport, ...]:
        """One report for each bucket, in the order of their numbers.

        Only a run that continues from the snapshot needs them. Where BUCKETS is damaged they say
        which files there are, and nothing was counted: `doubts` has it then.
        """
        try:
            reports = self._read_reports()
        except DamagedFileError:
            by_bucket: dict[int, list[DataFile]] = defaultdict(list)
            for file in self.manifest.files:
                by_bucket[file.bucket].append(file)
            reports = [BucketReport(n, files=tuple(files)) for n, files in by_bucket.items()]
        return tuple(sorted(reports, key=lambda report: report.bucket))

    def _read_reports(self) -> list[BucketReport]:
        """Return the reports in the file. Raises DamagedFileError."""
        path = storage.join(self.path, BUCKETS)
        reports = decode_json(self.read_beside(BUCKETS), list[BucketReport], path)
        files = sorted((each for report in reports for each in report.files), key=lambda f: f.path)
        if files != list(self.manifest.files):
            raise DamagedFileError(f"{path} names other files than the manifest")
        return reports

    def read_beside(self, name: str) -> bytes:
        """Return the bytes of a file beside the tables, as they were written.

        Raises DamagedFileError.
        """
        digest = self.manifest.beside.get(name, "")
        return read_with_digest(storage.join(self.path, *name.split("/")), digest)

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """What is wrong with files beside the tables that a run rests on: it rebuilds whatever
        follows from them. Tables are looked at by `damaged_buckets`.
        """
        return tuple(filter(None, map(_told, self._beside_read())))

    def _beside_read(self) -> Iterator[Callable[[], object]]:
        """Yield what reads each file beside the tables."""
        yield self._read_reports
        yield lambda: self.contracts
        for probe in self.manifest.probes:
            yield partial(read_with_digest, self._place(probe.path), probe.digest)
        for name in {*self.manifest.beside, *(f"{POOL}/{each}" for each in self.manifest.pool)}:
            if name not in NOT_RESTED_ON:
                yield partial(self.read_beside, name)

    def sound_probes(self) -> list[ProbeReport]:
        """Return the reports of probes whose files are as they were written."""
        reading = {
            probe.path: partial(read_with_digest, self._place(probe.path), probe.digest)
            for probe in self.manifest.probes
        }
        return [probe for probe in self.manifest.probes if not _told(reading[probe.path])]

    def _place(self, path: str) -> str:
        return storage.join(self.path, *path.split("/"))

    @cached_property
    def contracts(self) -> dict[str, VectorContract]:
        """What the vectors of each table are; none where an earlier version wrote the snapshot.

        Raises DamagedFileError where the file is missing, damaged or another one.
        """
        if not self.manifest.vectors_sha256:
            return {}
        path = self._place(CONTRACTS)
        return parse_contracts(read_with_digest(path, self.manifest.vectors_sha256), path)

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
        """Return what is wrong with the files that readers and later runs rest on; every byte is
        read. Not looked at is what people and monitors read, which is made of the others.
        """
        faults = [_fault(self.path, file) for file in self.manifest.files]
        return [*filter(None, faults), *self._faults_beside(), *self.lost_statistics]

    @property
    def lost_statistics(self) -> list[str]:
        """What is wrong with the file that the next snapshot is compared by."""
        path = self._place(STATISTICS)
        if STATISTICS not in self.manifest.beside and storage.is_missing(path):
            return []  # an earlier version wrote none
        read = partial(self.read_beside, STATISTICS)
        return [*filter(None, [_told(lambda: decode_json(read(), dict[str, Any], path))])]

    def quick_faults(self) -> list[str]:
        """Return what is wrong with the data files as far as their names and sizes tell, and with
        what lies beside them: the folder is listed, and no table is read.
        """
        return [*self.faults_of_sizes(self.manifest.files), *self._faults_beside()]

    def _faults_beside(self) -> list[str]:
        """Return the doubts that are damage: an earlier version may have written no BUCKETS."""
        path = self._place(BUCKETS)
        is_old = BUCKETS not in self.manifest.beside and storage.is_missing(path)
        return [doubt for doubt in self.doubts if not (is_old and doubt.startswith(path))]

    def faults_of_sizes(self, files: Iterable[DataFile]) -> list[str]:
        """Return what is wrong with data files as far as their names and sizes tell."""
        sizes = {each.path: each.size_bytes for each in files_below(self.path)}
        faults = [_size_fault(self.path, file, sizes.get(file.place(self.path))) for file in files]
        return [fault for fault in faults if fault]

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
        as column `bucket`; `group` is null where the template has none.
        """
        skipped = set(without)
        tables = [
            _with_group(read_parquet(self.path, file)).append_column(
                "bucket", pa.repeat(pa.scalar(r.bucket, pa.int32()), file.rows)
            )
            for r in self.reports
            for file in r.files
            if file.table == "records" and r.bucket not in skipped
        ]
        schema = records_schema(has_groups=True)
        empty = schema.append(pa.field("bucket", pa.int32())).empty_table()
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


def _with_group(records: pa.Table) -> pa.Table:
    if "group" in records.column_names:
        return records
    return records.append_column("group", pa.nulls(records.num_rows, pa.string()))


class UnusableSnapshotError(DamagedFileError):
    """There is a published snapshot and a run cannot continue from it; the message says why."""


class OutdatedSnapshotError(UnusableSnapshotError):
    """The snapshot is as it was written, by a version that did not write all that runs need."""


def read_published(output: str) -> Snapshot | None:
    """Return the snapshot that `output` names as current, None where there is none.

    What is wrong with files beside its tables is in its `doubts`. Raises UnusableSnapshotError,
    and NewerVersionError where a later version of this program wrote it.
    """
    try:
        pointer = read_pointer(output)
        if pointer is None:
            return None
        path = storage.join(output, *pointer.snapshot.split("/"))
        snapshot = read_snapshot(path, pointer.run_id)
    except PointerError as error:
        raise UnusableSnapshotError(str(error)) from error
    except (UnusableSnapshotError, NewerVersionError):
        raise
    except Exception as error:  # whatever a file system, or half a file, brings
        raise UnusableSnapshotError(
            f"the published snapshot of {output} cannot be used ({type(error).__name__}: {error})"
        ) from error
    return replace(snapshot, is_current=True, is_published=True)


def read_snapshot(path: str, run_id: str = "") -> Snapshot:
    """Return the snapshot in a folder, for a run that continues from it.

    run_id: of the run whose it has to be; empty for any. Raises UnusableSnapshotError and
    NewerVersionError.
    """
    try:
        manifest = read_manifest(storage.join(path, MANIFEST))
        if run_id and manifest.run_id != run_id:
            raise ValueError(f"its {MANIFEST} is that of run {manifest.run_id}")
        snapshot = Snapshot(manifest.run_id, path, manifest)
        if manifest.since_full is None or manifest.trusted_comparisons is None:
            raise OutdatedSnapshotError(
                f"no run can continue from {path}: an older version wrote it, without what later "
                "runs need"
            )
    except (NewerVersionError, OutdatedSnapshotError):
        raise
    except Exception as error:  # each object store has its own exceptions for what is missing
        raise UnusableSnapshotError(
            f"no run can continue from {path} ({type(error).__name__}: {error})"
        ) from error
    return snapshot


def _told(read: Callable[[], object]) -> str:
    """Return what is wrong with a file that is read, or the empty string."""
    try:
        read()
    except DamagedFileError as error:
        return str(error)
    return ""


def _fault(snapshot: str, file: DataFile) -> str:
    """Return what is wrong with a file's bytes, or the empty string."""
    return _told(lambda: read_bytes(snapshot, file))


def _quick_fault(snapshot: str, file: DataFile) -> str:
    """Return what is wrong with a file, as far as can be seen without fetching it."""
    if storage.is_local(snapshot):
        return _fault(snapshot, file)
    place = file.place(snapshot)
    try:
        return _size_fault(snapshot, file, storage.size_bytes(place))
    except Exception as error:  # each object store has its own exceptions for what is missing
        return f"{place} cannot be read ({type(error).__name__})"


def _size_fault(snapshot: str, file: DataFile, size: int | None) -> str:
    """Return what is wrong with a file of this size, None for one that is not there."""
    place = file.place(snapshot)
    if size is None:
        return f"{place} is missing"
    if size == file.bytes:
        return ""
    return f"{place} has {size:,} bytes, {file.bytes:,} were written"
