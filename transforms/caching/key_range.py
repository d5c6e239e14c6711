"""A cache of rows by key range, kept next to the snapshots and shared by all runs of an output.

A worker on a range of keys reads the files that may hold them and adds each new row as it comes: as
a line of a journal where the disk is local and the codec wants it, so that a kill loses no whole
row; else in small files, since nothing can be added to an object. When the range is done they are
merged into one file, together with what killed runs have left and, where these are many, with the
files of earlier runs.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from transforms.caching.files import (
    CacheFile,
    Journal,
    Row,
    RowLayout,
    claim,
    read_file,
    read_files,
    remove,
    write_rows,
)
from transforms.runtime.storage import is_local

# Counter of files that could not be used, or not wholly.
DAMAGED = "damaged_files"
# Files of earlier runs that a range may have before they are merged.
MANY_FILES = 8

_log = logging.getLogger(__name__)

Value = TypeVar("Value")


class Codec(Protocol[Value]):
    """How values become rows, and how eagerly they are written.

    journalled: on a local disk each row is written at once, as a line.
    flush_rows, flush_secs: where there is no journal, rows are written after so many, or with the
    first after so long.
    required: a folder that cannot be listed ends the run, since its rows cost money; else it is
    taken for empty.
    """

    layout: ClassVar[RowLayout]
    journalled: ClassVar[bool]
    flush_rows: ClassVar[float]
    flush_secs: ClassVar[float]
    required: ClassVar[bool]

    def row_of(self, key: str, value: Value) -> Row | None:
        """Return the row that keeps the value, None for a value that must not be kept."""
        ...

    def key_of(self, row: Row) -> str | None:
        """Return the key under which a row is looked up, None for one that answers no lookup."""
        ...

    def value_of(self, row: Row) -> Value | None:
        """Return the value of a row, None when the row is broken."""
        ...


@dataclass
class KeyRangeCache(Generic[Value]):
    """The rows with keys between `first` and `last` of `folder`, in memory, and those that come.

    read_only: new rows are known until the range is done, and nothing on the storage changes.
    unreadable: files that `load` could not use, or not wholly.
    """

    folder: str
    first: str
    last: str
    codec: Codec[Value]
    read_only: bool = False
    unreadable: list[str] = field(default_factory=list)
    _known: dict[str, Row] = field(default_factory=dict)
    _earlier: list[CacheFile] = field(default_factory=list)
    _fresh: list[Row] = field(default_factory=list)
    _flushed: list[Row] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _journal: Journal | None = None
    _flushed_at: float = field(default_factory=time.monotonic)

    @property
    def layout(self) -> RowLayout:
        return self.codec.layout

    def load(self) -> None:
        """Read what earlier runs, or an earlier try of this one, have left.

        What cannot be read is made again, and its file named in `unreadable`. Raises what the
        storage raises when its files cannot be listed and the codec requires that.
        """
        rows: list[Row] = []
        try:
            for file, contents in read_files(self.folder, self.layout, self.first, self.last):
                rows += contents.rows
                if contents.problem:
                    self.unreadable.append(file.path)
                    _log.warning("%s: %s; what it lacks is made again", file.path, contents.problem)
                else:
                    self._earlier.append(file)
        # Each storage has errors of its own; without a listing there is nothing to use.
        except Exception as error:
            if self.codec.required:
                raise
            _log.warning("%s cannot be listed (%s); its rows are made again", self.folder, error)
        for row in self.layout.newest(rows):
            key = self.codec.key_of(row)
            if key is not None:
                self._known[key] = row

    def get(self, key: str) -> Value | None:
        row = self._known.get(key)
        return None if row is None else self.codec.value_of(row)

    def put(self, key: str, value: Value) -> None:
        """Keep a value: on a local disk with a journal at once, else as the codec says.

        Raises what the storage raises, for example OSError when the disk is full.
        """
        row = self.codec.row_of(key, value)
        if row is None:
            return
        self._known[key] = row
        if self.read_only:
            return
        self._fresh.append(row)
        if self._has_journal or len(self._fresh) >= self.codec.flush_rows or self._flush_is_due():
            self.flush()

    def flush(self) -> None:
        """Write what came since the last time."""
        if not self._fresh:
            return
        if self._has_journal:
            self._append_to_journal()
        else:
            piece = write_rows(self.folder, self.layout, self.first, self.last, self._fresh)
            self._pieces.append(piece)
            self._flushed_at = time.monotonic()
        self._flushed += self._fresh
        self._fresh = []

    def close(self) -> None:
        """Write the rest, and merge what lies in pieces into one file.

        Raises what `flush` raises.
        """
        if self.read_only:
            return
        self.flush()
        try:
            self._merge()
        # Each storage has errors of its own; nothing is lost, the pieces hold all rows.
        except Exception as error:
            _log.warning("%s: rows stay in small files: %s", self.folder, error)
        finally:
            if self._journal is not None:
                self._journal.close()
            self._journal, self._pieces, self._flushed, self._earlier = None, [], [], []

    @property
    def _has_journal(self) -> bool:
        return self.codec.journalled and is_local(self.folder)

    def _append_to_journal(self) -> None:
        if self._journal is None:
            self._journal = Journal(self.folder, self.layout, self.first, self.last)
        for row in self._fresh:
            self._journal.append(row)
        # A kill loses nothing without it; to wait for the disk at each row would slow runs down.
        if self._flush_is_due():
            self._journal.sync()
            self._flushed_at = time.monotonic()

    def _flush_is_due(self) -> bool:
        return time.monotonic() - self._flushed_at >= self.codec.flush_secs

    def _merge(self) -> None:
        with ExitStack() as claims:
            contents = {
                file.path: read_file(file, self.layout)
                for file in self._to_merge()
                if claims.enter_context(claim(file))
            }
            # What has become unreadable stays as it is, for when it can be read again.
            readable = {path: each.rows for path, each in contents.items() if not each.problem}
            journal = [] if self._journal is None else [self._journal.path]
            if not readable and not journal and len(self._pieces) < 2:
                return
            rows = [row for rows in readable.values() for row in rows]
            newest = self.layout.newest([*rows, *self._flushed])
            if newest:
                write_rows(self.folder, self.layout, self.first, self.last, newest)
            remove([*readable, *journal, *self._pieces])

    def _to_merge(self) -> list[CacheFile]:
        """Return journals that killed runs have left, and all files where they are many.

        Only those within this range: others read what reaches beyond it.
        """
        own = [
            file for file in self._earlier if self.first <= file.first and file.last <= self.last
        ]
        return own if len(own) > MANY_FILES else [file for file in own if file.is_journal]
