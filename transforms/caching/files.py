"""The files that answers of language models are kept in, and how they are read, written and
removed.

FOLDER/<first>-<last>-<id>.parquet   answers that were put together, sorted by fingerprint
FOLDER/<first>-<last>-<id>.journal   answers as they came, one line each, on local disks only

`first` and `last` bound the keys of the jobs whose answers are in the file, as four hexadecimal
digits each. A row is a dictionary with the columns of ANSWERS. Whoever replaces a file writes the
new one first and removes the old one
after: a kill in between leaves an answer twice, and never not at all.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import json
import os
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.columns import ANSWERS
from transforms.runtime.parquet import parquet_table_as

Row = Mapping[str, Any]

_NAME = re.compile(r"([0-9a-f]{4})-([0-9a-f]{4})-[0-9a-f]+\.(parquet|journal)")
_SCHEMA = pa.schema(ANSWERS)
_COLUMNS = frozenset(_SCHEMA.names)
_LISTINGS = 5


class AnswerFile(NamedTuple):
    """A file of answers. first, last: bounds of its jobs' keys."""

    path: str
    first: str
    last: str

    @property
    def is_journal(self) -> bool:
        return self.path.endswith(".journal")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    problem: why it could not be used, or not all of it; empty when all is well.
    """

    rows: Sequence[Row] = ()
    problem: str = ""


def is_local(folder: str) -> bool:
    return "://" not in folder


def list_files(folder: str, first: str = "0000", last: str = "ffff") -> list[AnswerFile]:
    """The files with answers to jobs between `first` and `last`, by name; none where there is no
    folder.

    Raises BeamIOError or OSError when the folder cannot be listed: to take it for empty would be to
    pay again.
    """
    names = [
        (_NAME.fullmatch(FileSystems.split(path)[1]), path) for path in sorted(_paths_in(folder))
    ]
    files = [AnswerFile(path, name[1], name[2]) for name, path in names if name]
    return [file for file in files if file.first <= last and file.last >= first]


def _paths_in(folder: str) -> list[str]:
    if is_local(folder):
        # Not by a pattern: the folder's own name may hold brackets.
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            return [entry.path for entry in entries]
        return []
    try:
        return [
            metadata.path
            for metadata in FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
        ]
    except BeamIOError:
        if FileSystems.get_filesystem(folder).has_dirs() and not FileSystems.exists(folder):
            return []
        raise


def read_files(
    folder: str, first: str = "0000", last: str = "ffff"
) -> Iterator[tuple[AnswerFile, Contents]]:
    """Each file with its contents.

    Of files that are replaced meanwhile, the new ones are read as well.
    """
    read: set[AnswerFile] = set()
    for listing in range(_LISTINGS):
        vanished = False
        for file in list_files(folder, first, last):
            if file in read:
                continue
            contents = read_file(file)
            if contents.problem and listing < _LISTINGS - 1 and not FileSystems.exists(file.path):
                vanished = True
                continue
            read.add(file)
            yield file, contents
        if not vanished:
            return


def read_file(file: AnswerFile) -> Contents:
    """A file's rows; of a journal all that are whole."""
    try:
        with FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as opened:
            data = opened.read()
        if not file.is_journal:
            return Contents(parquet_table_as(data, _SCHEMA).to_pylist())
    except Exception as error:  # each storage has errors of its own
        return Contents(problem=str(error) or type(error).__name__)
    rows, damaged = decode_rows(data)
    return Contents(rows, f"{damaged} lines are damaged" if damaged else "")


def write_rows(folder: str, first: str, last: str, rows: Iterable[Row]) -> str:
    """Write rows into a new Parquet file; returns its path. Raises what the storage raises."""
    table = pa.Table.from_pylist(list(rows), schema=_SCHEMA)
    return write_table(folder, first, last, table.sort_by("fingerprint"))


def write_table(folder: str, first: str, last: str, table: pa.Table) -> str:
    """Write a table into a new Parquet file that is there as a whole or not at all; returns its
    path.
    """
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    path: str = FileSystems.join(folder, f"{first}-{last}-{uuid.uuid4().hex}.parquet")
    # Under another name first: a reader must not take half a file for a damaged one. Object stores,
    # which have no folders, show an object as a whole.
    written = f"{path}.part" if FileSystems.get_filesystem(path).has_dirs() else path
    with FileSystems.create(written, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(sink.getbuffer())
    if is_local(folder):
        _sync(written)
    if written != path:
        FileSystems.rename([written], [path])
    if is_local(folder):
        _sync(folder)
    return path


def remove(paths: Sequence[str]) -> None:
    """Remove files that others have replaced.

    Raises BeamIOError; answers that are there twice do no harm then.
    """
    if paths:
        FileSystems.delete(list(paths))


def newest(rows: Iterable[Row]) -> dict[str, Row]:
    """One row a fingerprint, the one that was answered last.

    >>> rows = [{"fingerprint": "f", "answered_ts": ts} for ts in (2, 1)]
    >>> newest(rows)["f"]["answered_ts"]
    2
    """
    latest: dict[str, Row] = {}
    for row in rows:
        known = latest.get(row["fingerprint"])
        if known is None or row["answered_ts"] >= known["answered_ts"]:
            latest[row["fingerprint"]] = row
    return latest


def encode_row(row: Row) -> bytes:
    """A row as a line of a journal: CRC-32 in eight hexadecimal digits, a space, JSON in ASCII."""
    text = json.dumps(
        {**row, "answered_ts": row["answered_ts"].isoformat()}, separators=(",", ":")
    ).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode_rows(data: bytes) -> tuple[list[Row], int]:
    """The whole rows of a journal and the number of damaged lines.

    A last line without its end is what a kill leaves in the middle of a write: it is no damage, and
    no answer.
    """
    rows = [_decode_line(line) for line in data.split(b"\n")[:-1]]
    return [row for row in rows if row is not None], rows.count(None)


def _decode_line(line: bytes) -> Row | None:
    digits, _, text = line.partition(b" ")
    if digits != b"%08x" % zlib.crc32(text):
        return None
    try:
        row = json.loads(text)
        row["answered_ts"] = dt.datetime.fromisoformat(row["answered_ts"])
        row["probabilities"] = [tuple(pair) for pair in row["probabilities"]]
    except (ValueError, TypeError, KeyError):
        return None
    return row if row.keys() == _COLUMNS else None


class Journal:
    """A new journal, held by this process until it is closed or the process ends, however that
    comes about.
    """

    def __init__(self, folder: str, first: str, last: str) -> None:
        """Raises OSError when the folder cannot be written to."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        while True:
            self.path = str(Path(folder) / f"{first}-{last}-{uuid.uuid4().hex}.journal")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
            with suppress(OSError):  # some network disks have no locks
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if os.fstat(self._descriptor).st_nlink:
                return
            # Merging took it for an abandoned one before it was locked.
            self.close()

    def append(self, row: Row) -> None:
        """Hand a row to the operating system, which keeps it also when this process is killed the
        moment after.

        Raises OSError when the disk is full; the journal is as it was before then.
        """
        line = encode_row(row)
        before = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, before)
            raise OSError(
                f"{self.path}: {written} of {len(line)} bytes could be written; is the disk full?"
            )

    def sync(self) -> None:
        """Wait until all rows are on the platter, where they survive the machine as well."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def claim(file: AnswerFile) -> Iterator[bool]:
    """Whether the file may be replaced: nobody writes to it, and nobody will within the block."""
    if not file.is_journal:
        yield True
        return
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is held, or this disk has no locks and nobody can tell
        return False
    return True


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
