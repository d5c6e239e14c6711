"""The files of a cache by key range: how they are named, read, written and removed.

FOLDER/<first>-<last>-<id>.parquet   rows that were merged, sorted by their key; the id ends with
                                     what the bytes have to be, their SHA-256
FOLDER/<first>-<last>-<id>.journal   rows as they came, one line each, on local disks only

`first` and `last` bound the keys whose rows are in the file, as four hexadecimal digits each. To
replace a file is to write the new one first and to remove the old one after: a kill in between
leaves a row twice, but never loses one.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.runtime import storage
from transforms.runtime.listing import files_in
from transforms.runtime.parquet import parquet_table_as

Row = Mapping[str, Any]

_NAME = re.compile(r"([0-9a-f]{4})-([0-9a-f]{4})-[0-9a-f]+\.(parquet|journal)")
# A file may be replaced while it is being read, and its successor too; after so many listings a
# file that cannot be opened counts as damaged.
_LISTINGS = 5
# Of the part of an id that is random; the rest is the digest.
_ID_DIGITS = 32


class JsonColumn(NamedTuple):
    """How a column whose type JSON lacks is written into a journal, and read back."""

    write: Callable[[Any], object]
    read: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class RowLayout:
    """What the rows of one cache look like. A row is a dictionary with the columns of `schema`.

    key: columns that tell rows apart.
    newest_by: of two rows with one key the one with the greater value here counts; without it the
    one that is read last.
    json_columns: columns that JSON has no type for; rows of a layout with bytes are not journalled.
    later_columns: that earlier versions did not write; they are None in their rows.
    """

    schema: pa.Schema
    key: tuple[str, ...]
    newest_by: str | None = None
    json_columns: Mapping[str, JsonColumn] = field(default_factory=dict)
    later_columns: frozenset[str] = frozenset()

    def key_of(self, row: Row) -> tuple[object, ...]:
        return tuple(row[name] for name in self.key)

    def newest(self, rows: Iterable[Row]) -> list[Row]:
        """One row for each key: the latest.

        >>> layout = RowLayout(pa.schema([]), key=("f",), newest_by="ts")
        >>> layout.newest([{"f": "a", "ts": 2}, {"f": "a", "ts": 1}])
        [{'f': 'a', 'ts': 2}]
        """
        latest: dict[tuple[object, ...], Row] = {}
        for row in rows:
            key = self.key_of(row)
            known = latest.get(key)
            if (
                known is None
                or self.newest_by is None
                or row[self.newest_by] >= known[self.newest_by]
            ):
                latest[key] = row
        return list(latest.values())


class CacheFile(NamedTuple):
    """A file of rows. first, last: bounds of their keys."""

    path: str
    first: str
    last: str

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes; empty for journals, whose lines have checksums of their own, and
        for files of earlier versions, whose ids are shorter.
        """
        name = storage.name_of(self.path).removesuffix(".parquet")
        hexadecimal = name.rpartition("-")[2]
        return "" if self.is_journal else hexadecimal[_ID_DIGITS:]

    @property
    def is_journal(self) -> bool:
        return self.path.endswith(".journal")


@dataclass(frozen=True, slots=True)
class Contents:
    """The rows of a file.

    problem: why it could not be used, or not all of it; empty when all is well.
    """

    rows: Sequence[Row] = ()
    problem: str = ""


def list_files(folder: str, first: str = "0000", last: str = "ffff") -> list[CacheFile]:
    """Files that may hold keys between `first` and `last`, by name; none where there is no folder.

    Raises BeamIOError or OSError when the folder cannot be listed: to take it for empty could mean
    to pay again.
    """
    names = [(_NAME.fullmatch(storage.name_of(path)), path) for path in sorted(_paths_in(folder))]
    files = [CacheFile(path, name[1], name[2]) for name, path in names if name]
    return [file for file in files if file.first <= last and file.last >= first]


def _paths_in(folder: str) -> list[str]:
    return [found.path for found in files_in(folder)]


def read_files(
    folder: str, layout: RowLayout, first: str = "0000", last: str = "ffff"
) -> Iterator[tuple[CacheFile, Contents]]:
    """Each file with its contents.

    Of files that are replaced meanwhile, the new ones are read as well.
    """
    read: set[CacheFile] = set()
    for listing in range(_LISTINGS):
        vanished = False
        for file in list_files(folder, first, last):
            if file in read:
                continue
            contents = read_file(file, layout)
            if contents.problem and listing < _LISTINGS - 1 and not storage.exists(file.path):
                vanished = True
                continue
            read.add(file)
            yield file, contents
        if not vanished:
            return


def read_file(file: CacheFile, layout: RowLayout) -> Contents:
    """Return a file's rows; of a journal all that are whole. Never raises."""
    try:
        data = storage.read_bytes(file.path)
        if file.digest and hashlib.sha256(data).hexdigest() != file.digest:
            return Contents(problem="it holds other bytes than were written")
        if not file.is_journal:
            return Contents(parquet_table_as(data, layout.schema).to_pylist())
    # Each storage has errors of its own, and a file may hold anything.
    except Exception as error:
        return Contents(problem=str(error) or type(error).__name__)
    rows, damaged = decode_rows(data, layout)
    return Contents(rows, f"{damaged} lines are damaged" if damaged else "")


def damaged_files(folder: str, layout: RowLayout) -> list[str]:
    """Return which files cannot be used, or not wholly, and why. Every byte is read."""
    found = ((file, contents.problem) for file, contents in read_files(folder, layout))
    return [f"{file.path} is damaged: {problem}" for file, problem in found if problem]


def write_rows(folder: str, layout: RowLayout, first: str, last: str, rows: Iterable[Row]) -> str:
    """Write rows into a new Parquet file that is there as a whole or not at all.

    Returns its path. Raises what the storage raises.
    """
    table = pa.Table.from_pylist(list(rows), schema=layout.schema)
    sink = io.BytesIO()
    pq.write_table(
        table.sort_by([(name, "ascending") for name in layout.key]), sink, compression="zstd"
    )
    # Random as well: to replace a file by the same rows must not remove the new one.
    id_ = uuid.uuid4().hex + hashlib.sha256(sink.getbuffer()).hexdigest()
    path = storage.join(folder, f"{first}-{last}-{id_}.parquet")
    # As a whole: a reader must not take half a file for a damaged one.
    storage.write_whole(path, sink.getbuffer())
    return path


def remove(paths: Sequence[str]) -> None:
    """Remove files that others have replaced.

    Raises BeamIOError; rows that are there twice do no harm then.
    """
    if paths:
        storage.delete_files(paths)


def encode_row(row: Row, layout: RowLayout) -> bytes:
    """Return a row as a line of a journal.

    CRC-32 in eight hexadecimal digits, a space, JSON in ASCII.
    """
    columns = {name: column.write(row[name]) for name, column in layout.json_columns.items()}
    text = json.dumps({**row, **columns}, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode_rows(data: bytes, layout: RowLayout) -> tuple[list[Row], int]:
    """Return the whole rows of a journal and the number of damaged lines.

    A last line without its end is what a kill leaves in the middle of a write: it is no damage, and
    no row.
    """
    rows = [_decode_line(line, layout) for line in data.split(b"\n")[:-1]]
    return [row for row in rows if row is not None], rows.count(None)


def _decode_line(line: bytes, layout: RowLayout) -> Row | None:
    digits, _, text = line.partition(b" ")
    if digits != b"%08x" % zlib.crc32(text):
        return None
    # A right checksum over wrong content is the line of another program, or of another version.
    try:
        row = json.loads(text)
        for name, column in layout.json_columns.items():
            row[name] = column.read(row[name])
    except (ValueError, TypeError, KeyError):
        return None
    row = dict.fromkeys(layout.later_columns) | row
    return row if set(row) == set(layout.schema.names) else None


class Journal:
    """A new journal, locked by this process until it is closed or the process ends, even if killed.

    Raises OSError when the folder cannot be written to.
    """

    def __init__(self, folder: str, layout: RowLayout, first: str, last: str) -> None:
        self._layout = layout
        Path(folder).mkdir(parents=True, exist_ok=True)
        while True:
            self.path = str(Path(folder) / f"{first}-{last}-{uuid.uuid4().hex}.journal")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
            with suppress(OSError):  # some network disks have no locks
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if os.fstat(self._descriptor).st_nlink:
                return
            # Another process merged it as an abandoned one before it was locked.
            self.close()

    def append(self, row: Row) -> None:
        """Hand a row to the operating system, which keeps it even if this process is killed next.

        Raises OSError when the disk is full; the journal is then as it was before.
        """
        line = encode_row(row, self._layout)
        before = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, before)
            raise OSError(
                f"{self.path}: {written} of {len(line)} bytes could be written; is the disk full?"
            )

    def sync(self) -> None:
        """Wait until all rows are on the disk itself, where they survive a power cut as well."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def claim(file: CacheFile) -> Iterator[bool]:
    """Yield whether the file may be replaced: no process writes to it, now or within the block."""
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
    except OSError:  # another process holds it, or this disk has no locks: then assume that
        return False
    return True
