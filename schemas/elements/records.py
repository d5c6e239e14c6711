"""Records: as they came, normalised, rejected, with flags."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import is_
from typing import Any

from schemas.elements.values import Value
from schemas.reasons import Effect, check_registered
from schemas.secrets import masked

# Outcome of a record that has left the catalog while its item is kept (`--keep-deleted`).
DELETED = "deleted"
# Outcome of a row that is a part of an item which another row stands for.
MERGED = "merged"
KEY_BYTES = 16
# A header of so many bytes is kept once for all records that share it.
LONG_HEADER_BYTES = 1 << 10
_HASHED_HEADERS = 8
_SHOWN_KEY_DIGITS = 8
# The kind of a quarantined "record" that is an answer of a language model that nothing could use.
MODEL_ANSWER = "model-answer"


# Names the part of a record's format with the columns whose decimals stand behind points.
POINTS = "points"
_POINTS = re.compile(rf";{POINTS}=[^;]*")


def key_maker(kind: str, record_format: str, header: bytes = b"") -> Callable[[bytes], bytes]:
    """Return a function from a record's bytes to its key, for records that are read alike; the key
    has KEY_BYTES bytes.

    Equal keys: the same bytes, to be read in the same way, wherever they stood. That a column has
    points is what is usual: a record stays the one that it was when other rows begin to show it.
    """
    record_format = _POINTS.sub("", record_format)
    start = hashlib.blake2b(
        f"{kind}\n{record_format}\n{len(header)}\n".encode() + header, digest_size=KEY_BYTES
    )

    def key_of(data: bytes) -> bytes:
        hasher = start.copy()
        hasher.update(data)
        return hasher.digest()

    return key_of


# Records come in their thousands of one kind, and a long header takes longer to hash than all its
# rows.
_kept_key_maker = lru_cache(_HASHED_HEADERS)(key_maker)


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as it came.

    data: the record's own bytes (a JSON line or CSV row with its line end; for Parquet an Arrow IPC
      record batch of one row, whose schema message is `header`).
    header: what is needed to read `data` alone: the CSV header line, the Arrow schema, or nothing.
    position: 1-based line of the record's first byte, counted from `begin`; 0-based row for
    Parquet.
    begin: byte offset (JSON lines) or row group (Parquet) at which the part of the file starts.
    size_bytes: length of the whole record, also when `data` was cut.
    kind: `catalog` or `image-table`, the input that the record belongs to, or `model-answer`.
    known_by: the key of what was read, where less of it is kept; else empty.
    """

    data: bytes
    format: str
    file: str
    position: int
    begin: int = 0
    header: bytes = b""
    size_bytes: int = -1
    kind: str = "catalog"
    known_by: bytes = b""

    @property
    def true_size_bytes(self) -> int:
        return len(self.data) if self.size_bytes < 0 else self.size_bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the kept bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def key(self) -> bytes:
        """What a later run knows the record by; see `key_maker`."""
        if self.known_by:
            return self.known_by
        return _kept_key_maker(self.kind, self.format, self.header)(self.data)

    def cut(self, most_bytes: int) -> RawRecord:
        """Return the record with its first bytes only, still known by its key."""
        if len(self.data) <= most_bytes:
            return self
        return replace(
            self,
            data=self.data[:most_bytes],
            size_bytes=self.true_size_bytes,
            known_by=self.key,
        )

    def without_header(self) -> RawRecord:
        """Return the record as one of which not all is kept: without its header nothing reads it.

        Its last byte goes too, by which all can tell.
        """
        data = self.data[: max(0, self.true_size_bytes - 1)]
        size_bytes = self.true_size_bytes
        return replace(self, data=data, header=b"", size_bytes=size_bytes, known_by=self.key)

    @property
    def short_key(self) -> str:
        """What a row of an item is called: the beginning of its key in the records table."""
        return self.key.hex()[:_SHOWN_KEY_DIGITS]


@dataclass(frozen=True, slots=True)
class Reject:
    """A quarantined record: the raw record with a registered reason.

    rows: further rows that the record was made of, which are set aside with it; group: as of the
    record.
    """

    raw: RawRecord
    reason: str
    stage: str
    message: str
    item_id: str | None = None
    field: str | None = None
    rows: tuple[RawRecord, ...] = ()
    group: str = ""

    def __post_init__(self) -> None:
        check_registered(self.reason, Effect.QUARANTINE)
        object.__setattr__(self, "message", masked(self.message))

    @property
    def each(self) -> Iterator[Reject]:
        """One reject for each row that the record was made of."""
        yield self if not self.rows else replace(self, rows=())
        for raw in self.rows:
            yield replace(self, raw=raw, rows=())


@dataclass(frozen=True, slots=True)
class Flag:
    """Something a reader of the row should know; the item itself goes on."""

    reason: str
    field: str
    detail: str

    def __post_init__(self) -> None:
        check_registered(self.reason, Effect.FLAG)
        object.__setattr__(self, "detail", masked(self.detail))


@dataclass(frozen=True, slots=True)
class Record:
    """A normalised record.

    values: attribute name to the source's value in normalised form; absent when missing or invalid.
    given: attribute name to the cell as the source wrote it; present whenever the source gave
    anything.
    event_ts_us: when the source changed, microseconds since the epoch in UTC.
    origins: attribute name to the source that gave its cell, `column` or `column.key` as the
    template writes it.
    absent: attributes of which the source says that the item has none, in the words of the
    template's `absent`.
    rows: further rows that were combined into it; image_position: where the source says that the
    row's pictures stand among those of its item.
    group: the product whose variant it is; inherited: keys of other rows that it has something of.
    pair_names: of a row of a group, column of names → the name that it has for the value beside
    it, empty where the value has none.
    """

    item_id: str
    values: dict[str, Value]
    given: dict[str, str]
    image_refs: tuple[str, ...]
    flags: tuple[Flag, ...]
    raw: RawRecord
    event_ts_us: int | None = None
    origins: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    rows: tuple[RawRecord, ...] = ()
    image_position: float | None = None
    group: str = ""
    inherited: tuple[bytes, ...] = ()
    pair_names: dict[str, str] = field(default_factory=dict)

    def rejected(self, reason: str, stage: str, message: str, field: str | None = None) -> Reject:
        """Return the reject that takes this record with all its rows out of the items."""
        return Reject(
            self.raw, reason, stage, message, self.item_id or None, field, self.rows, self.group
        )


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One row of an image table: a further picture of an item. more: where the row has several."""

    item_id: str
    path: str
    raw: RawRecord
    more: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, *self.more)


def with_raws(element: Any, change: Callable[[RawRecord], RawRecord]) -> Any:
    """Return an element with other raw records, if it has any; itself where none changes."""
    if not isinstance(element, Record | Reject | ImageRow):
        return element
    raw = change(element.raw)
    if isinstance(element, ImageRow) or not element.rows:
        return element if raw is element.raw else replace(element, raw=raw)
    rows = tuple(map(change, element.rows))
    is_same = raw is element.raw and all(map(is_, rows, element.rows))
    return element if is_same else replace(element, raw=raw, rows=rows)
