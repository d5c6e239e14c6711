"""The published snapshot as a run goes on from it: its manifest, what its buckets hold, and what of
it is sound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.tables import records_schema
from transforms.runtime.parquet import DamagedFileError, DataFile, read_bytes, read_parquet
from transforms.tables.write import BucketReport

POINTER = "current.json"
MANIFEST = "manifest.json"
BUCKETS = "buckets.json"
_HASHING_THREADS = 4
# What of a manifest a run cannot go on without.
_TOLD = frozenset(
    [
        "run_id",
        "started",
        "buckets",
        "counts",
        "checks",
        "inputs",
        "since_full",
        "trusted_comparisons",
    ]
)


@dataclass(frozen=True)
class PublishedSnapshot:
    """path: its folder; manifest: as written; reports: one for each bucket, in the order of their
    numbers.
    """

    path: str
    manifest: Mapping[str, Any]
    reports: tuple[BucketReport, ...]

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def tables(self) -> frozenset[str]:
        """Names of its tables; bucket 0 has a file of each, so none is missed."""
        return frozenset(file.table for report in self.reports for file in report.files)

    def damaged_buckets(self) -> dict[int, str]:
        """Bucket → what is wrong with its files.

        On a local disk every byte is looked at, elsewhere the sizes are.
        """
        files = [(report.bucket, file) for report in self.reports for file in report.files]
        with ThreadPoolExecutor(_HASHING_THREADS) as threads:
            faults = threads.map(lambda each: _fault(self.path, each[1]), files)
            return {
                bucket: fault for (bucket, _), fault in zip(files, faults, strict=True) if fault
            }

    def records(self, without: Iterable[int]) -> pa.Table:
        """The records table of all buckets but those of `without`, with the bucket's number as
        column `bucket`.
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

    def files_of(self, table: str, buckets: Iterable[int] | None = None) -> list[DataFile]:
        """The files of a table of these buckets, or of all."""
        wanted = None if buckets is None else set(buckets)
        return [
            file
            for report in self.reports
            for file in report.files
            if file.table == table and (wanted is None or report.bucket in wanted)
        ]


class UnusableSnapshotError(Exception):
    """There is a published snapshot and a run cannot go on from it; the message says why."""


def read_published(output: str) -> PublishedSnapshot | None:
    """The snapshot that `output` names as current, None where there is none.

    Raises UnusableSnapshotError.
    """
    pointer_path = FileSystems.join(output, POINTER)
    try:
        if not FileSystems.exists(pointer_path):
            return None
        pointer = msgspec.json.decode(_read(pointer_path))
        return _with_sound_probes(
            read_snapshot(FileSystems.join(output, *str(pointer["snapshot"]).split("/")))
        )
    except UnusableSnapshotError:
        raise
    except Exception as error:  # whatever a file system, or half a file, brings
        raise UnusableSnapshotError(
            f"{pointer_path} cannot be used ({type(error).__name__}: {error})"
        ) from error


def read_snapshot(path: str) -> PublishedSnapshot:
    """The snapshot in a folder. Raises UnusableSnapshotError."""
    try:
        manifest = msgspec.json.decode(_read(FileSystems.join(path, MANIFEST)))
        reports = msgspec.json.decode(
            _read(FileSystems.join(path, BUCKETS)), type=list[BucketReport]
        )
        missing = _TOLD - dict(manifest).keys()
        if missing:
            raise ValueError(f"{MANIFEST} does not say {', '.join(sorted(missing))}")
    except Exception as error:  # an older version wrote no BUCKETS, or somebody removed it
        raise UnusableSnapshotError(
            f"{path} cannot be gone on from ({type(error).__name__}: {error})"
        ) from error
    return PublishedSnapshot(
        path, manifest, tuple(sorted(reports, key=lambda report: report.bucket))
    )


def _with_sound_probes(snapshot: PublishedSnapshot) -> PublishedSnapshot:
    """The snapshot; UnusableSnapshotError for a damaged probe, without which new rows are filled
    otherwise than old.
    """
    for row in snapshot.manifest.get("probes", ()):
        try:
            data = _read(FileSystems.join(snapshot.path, *str(row["path"]).split("/")))
        except Exception as error:  # each object store has its own exceptions for what is missing
            raise UnusableSnapshotError(
                f"{row['path']} cannot be read ({type(error).__name__})"
            ) from error
        if hashlib.sha256(data).hexdigest() != row["digest"]:
            raise UnusableSnapshotError(f"{row['path']} holds other bytes than were written")
    return snapshot


def _fault(snapshot: str, file: DataFile) -> str:
    try:
        if "://" not in snapshot:
            read_bytes(snapshot, file)
            return ""
        size = FileSystems.get_filesystem(snapshot).size(file.place(snapshot))
    except DamagedFileError as error:
        return str(error)
    except Exception as error:  # each object store has its own exceptions for what is missing
        return f"{file.path} cannot be read ({type(error).__name__})"
    return (
        "" if size == file.bytes else f"{file.path} has {size:,} bytes, {file.bytes:,} were written"
    )


def _read(path: str) -> bytes:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        data: bytes = file.read()
    return data
