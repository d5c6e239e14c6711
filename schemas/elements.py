"""The frozen elements that travel between stages, and their compact serial form.

Image bytes never travel with a record, nor do vectors before its bucket is put together:
references, digests and the results of each image do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import is_
from typing import Any, Literal

import msgspec
import numpy as np

from schemas.reasons import Effect, check_registered
from schemas.secrets import masked

# A normalised value, by the type of its attribute (transforms.attribute_types): a number is always
# a float, a closed list with several answers a list, a localized text a mapping from language to
# text, a date its ISO form.
Value = str | float | bool | list[str] | dict[str, str]


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


# A long header takes longer to hash than all its rows.
_key_of_long = lru_cache(_HASHED_HEADERS)(key_maker)


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
        maker = key_maker if len(self.header) < LONG_HEADER_BYTES else _key_of_long
        return maker(self.kind, self.format, self.header)(self.data)

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


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture reference and the bucket of an item that holds it."""

    path: str
    item_bucket: int


@dataclass(frozen=True, slots=True)
class LocatedImage:
    """A picture file that may be decoded: how it was referred to, the SHA-256 of its bytes, and its
    version.

    note: what of the reference was read otherwise than written.
    root, file: where it was found, so that nobody has to look for it again.
    """

    path: str
    digest: str
    item_buckets: tuple[int, ...]
    version: str = ""
    note: str = ""
    root: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What is known of one image, computed once for each distinct content.

    phash: 64-bit perceptual hash, 16 hexadecimal digits.
    labels: (label, probability) from the image encoder, best first.
    colors: (colour name, share of the foreground), largest first.
    text: text read off the picture.
    vector: float32 little-endian bytes, empty when the image encoder failed.
    style: float16 little-endian bytes, how the picture is drawn; empty where the image encoder does
    not say.
    fingerprint: content address of the description, empty without one.
    vectors: space → as `vector`, None where it is that one; not kept with the features, as each
    encoder keeps its own.
    left_open: spaces whose vector was not made because the run's budget was spent.
    """

    digest: str
    phash: str
    width_px: int
    height_px: int
    format: str
    frames: int
    labels: tuple[tuple[str, float], ...] = ()
    colors: tuple[tuple[str, float], ...] = ()
    text: str = ""
    description: str = ""
    method: str = ""
    model: str = ""
    prompt_hash: str = ""
    fingerprint: str = ""
    vector: bytes = b""
    style: bytes = b""
    failure: str | None = None
    failure_message: str = ""
    vectors: dict[str, bytes | None] = field(default_factory=dict)
    left_open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image reference, resolved: features, or the reason why there are none.

    same_as: digest of an image whose features another result of the same bucket carries; only
    while spooled, as a stock photo would otherwise be written once for each of its items.
    version: of the file before it was read, see transforms.images.finding.Pictures.version.
    note: as of LocatedImage.
    """

    path: str
    features: ImageFeatures | None = None
    reason: str | None = None
    message: str = ""
    same_as: str | None = None
    version: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.reason is not None:
            check_registered(self.reason, Effect.FLAG)
        elif self.features is None and self.same_as is None:
            raise ValueError(f"image {self.path!r} has neither features nor a reason")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a value was seen.

    field: the attribute whose text holds the span, `image_text` for text read off a picture,
      or `column:<name>` for a value that the source gave.
    begin, end: code point offsets into that text, end exclusive; None where there is no span.
    """

    field: str
    begin: int | None = None
    end: int | None = None
    text: str = ""
    image: str | None = None


@dataclass(frozen=True, slots=True)
class EvidenceText:
    """A text that may state values.

    field: attribute name, `name.language` for a localized one, `image_text` for text read off a
    picture.
    image: digest of that picture.
    """

    field: str
    text: str
    source: Literal["text", "image"]
    image: str | None = None

    @property
    def attribute(self) -> str:
        """Name of the attribute, without its language; `image_text` names none."""
        return self.field.partition(".")[0]


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """A value with its provenance; `value` is None exactly when `reason` says why it is unknown.

    An unknown has no source; its method, confidence, evidence and candidate say what was seen and
    did not suffice.

    source: record | text | image | neighbour | model.
    confidence: 0 to 1.
    candidate: of an unknown, the value that was considered.
    """

    value: Value | None
    source: str | None = None
    method: str | None = None
    confidence: float | None = None
    evidence: Evidence | None = None
    model: str | None = None
    prompt_hash: str | None = None
    fingerprint: str | None = None
    reason: str | None = None
    candidate: Value | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(f"a value needs a source, an unknown a reason: {self!r}")
        if self.value is not None and self.candidate is not None:
            raise ValueError(f"only an unknown has a candidate: {self!r}")
        if self.reason is not None:
            check_registered(self.reason, Effect.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Example:
    """What a probe sees of an item, to learn from its known values or to answer for the missing
    ones.

    texts: that may state values, titles first; known: attribute name → the source's values as
    labels.
    absent: attributes of which the source says that there is none.
    text_vector, image_vector: float32 little-endian bytes, empty without one; pictures: digests.
    picture_tokens: (token, weight) such as (`color=Red`, share) and (`label=mug`, probability).
    """

    item_id: str
    texts: tuple[EvidenceText, ...] = ()
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    text_vector: bytes = b""
    image_vector: bytes = b""
    pictures: tuple[str, ...] = ()
    picture_tokens: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A part of an item's text that has a vector of its own: text[begin:end] of the whole.

    context: what was put before `text` when it was encoded; empty where the encoder read it among
    its neighbours, or it names its document itself.
    """

    begin: int
    end: int
    tokens: int
    context: str
    text: str
    vector: np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An item whose values are known, as a language model is shown it; values: of attributes that
    are asked for.
    """

    title: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DescribeJob:
    """What a language model is to be asked about one item; equal content is asked once, whatever
    the item.

    fields: (field name, text) that may state values, titles first, cut to what a prompt may hold.
    known: (attribute name, value as a reader would say it) of what needs no asking.
    pictures: digests of distinct usable pictures, in the item's order; attributes: names of those
    still open.
    describe: whether the pictures are to be described too.
    demonstrations: of other items, shown with the question; no part of the content, which is this
    item's alone.
    """

    item_id: str
    item_bucket: int
    fields: tuple[tuple[str, str], ...] = ()
    known: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    describe: bool = True
    demonstrations: tuple[Demonstration, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What a language model said of one item, checked.

    values: attribute name → value, or unknown with the reason, for each attribute that was asked
    for.
    reason, message: why there is no answer, or not all of it; raw: the model's last answer, when it
    was unusable.
    repairs: of each answer that was read all the same, what was in the way.
    fingerprint: of the request whose answer holds the description; described: digests of the
    pictures it is of.
    """

    item_id: str
    description: str = ""
    alt_text: str = ""
    values: dict[str, AttributeValue] = field(default_factory=dict)
    method: str = ""
    model: str = ""
    prompt_hash: str = ""
    fingerprint: str = ""
    described: tuple[str, ...] = ()
    reason: str | None = None
    message: str = ""
    raw: str = ""
    repairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.reason is not None:
            check_registered(self.reason, Effect.FLAG)


@dataclass(frozen=True, slots=True)
class PreviousAnswer:
    """What a language model said of an item in an earlier run, to be used again if the item is
    still the same.

    fingerprint: of the item then; current: what was asked as it would be asked now; stale: what
    another model, prompt or template entry gave, to stand until there is something better.
    """

    item_id: str
    fingerprint: str
    current: ItemAnswer
    stale: ItemAnswer | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A record on its way through the enrichment stages.

    text_vector, image_vector: of the run's own encoders, for probes and comparisons: float32 arrays
    of shape (dimension,), or None. vectors: space → float32 array, for the tables; chunks: space →
    the chunks of its text, where they are kept.
    repeated_image_rows: rows of image tables that name a picture which the item had already.
    answer: a language model's, when one was asked.
    """

    record: Record
    images: tuple[ImageResult, ...] = ()
    values: dict[str, AttributeValue] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    image_description: str | None = None
    text_source: str = ""
    text_enriched: str = ""
    text_vector: np.ndarray[Any, np.dtype[np.float32]] | None = None
    image_vector: np.ndarray[Any, np.dtype[np.float32]] | None = None
    vectors: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = field(default_factory=dict)
    chunks: dict[str, tuple[TextChunk, ...]] = field(default_factory=dict)
    repeated_image_rows: int = 0
    answer: ItemAnswer | None = None

    @property
    def item_id(self) -> str:
        return self.record.item_id


@dataclass(frozen=True, slots=True)
class Bucket:
    """All items whose id hashes to one bucket, sorted by id: the unit of state, memory and files.

    image_rows: item id → keys of the rows of image tables that came with it, also where the item is
    among the rejects.
    examples: item id → what probes and demonstrations see of the item, where they are wanted.
    """

    number: int
    items: tuple[Item, ...]
    rejects: tuple[Reject, ...] = ()
    image_rows: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    examples: dict[str, Example] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemDigest:
    """What other items with the same content are shown of an item; one for each content that it
    holds.

    content: key of the picture or text that may be shared; field: where the item holds it.
    titles: the item's own, cut; words: of each title, sorted, without what tells variants of one
    product apart.
    values: (attribute name, source value as a reader would say it) of attributes with a single
    value.
    stated: (attribute name, value) that the content itself states, of attributes with a closed
    list; of texts only.
    """

    content: str
    item_id: str
    item_bucket: int
    field: str
    titles: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, str], ...] = ()
    stated: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A flag on its way back to its item, raised where several items are compared."""

    item_id: str
    flag: Flag


@dataclass(frozen=True, slots=True)
class AskedAhead:
    """A request that was sent while pictures were still being prepared.

    fingerprint: empty where what follows holds for every further request too. reason, message: why
    there is no answer; None: it is kept. repairs: of the answer, which are not kept with it.
    """

    fingerprint: str
    reason: str | None = None
    message: str = ""
    repairs: tuple[str, ...] = ()


Spooled = (
    Record
    | Reject
    | ImageRow
    | ImageRef
    | ImageFeatures
    | ImageResult
    | LocatedImage
    | DescribeJob
    | ItemAnswer
    | Example
    | ItemDigest
    | Finding
    | PreviousAnswer
    | AskedAhead
)


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


_encoder = msgspec.msgpack.Encoder()


def encode(element: Spooled) -> bytes:
    """Serialise an element for a spool file."""
    return _encoder.encode(element)


def decoder(element_type: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    """Return a reusable decoder that checks types while it reads."""
    return msgspec.msgpack.Decoder(element_type)
