"""A shuffle whose payload lies on disk: KV[bucket, element] → KV[bucket, (file, batch, kind)].

The local Beam runner keeps every shuffled element in memory, so memory would grow with the catalog.
Here a bundle writes its elements to one Arrow file, a record batch per bucket and kind, and only
references are shuffled; whoever reads a bucket holds one bucket. On a distributed runner it keeps
large raw records out of the service's shuffle in the same way. A retried bundle writes a new file
and the old one is never referred to.

A stage that has a `SpoolWriter` of its own writes its elements itself, so that nothing but
references leaves it, whatever the runner fuses.

A file may have a header that is far larger than its rows. Each batch has such a header once, and
the records read from it share one object.
"""

from __future__ import annotations

import io
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import Any, TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import (
    LONG_HEADER_BYTES,
    Item,
    RawRecord,
    Spooled,
    decoder,
    encode,
    with_item_raws,
    with_raws,
)
from transforms.runtime import storage

FLUSH_BYTES = 16 * 2**20
# Of spool files on object stores, in a worker process.
MAX_DOWNLOADED_BYTES = 64 * 2**20
# `headers`: those that an element is the first of its batch to have, in the order of their numbers.
_SCHEMA = pa.schema(
    [
        pa.field("element", pa.large_binary(), nullable=False),
        pa.field("headers", pa.large_list(pa.large_binary())),
    ]
)
# Begins what stands in an element for a header: its number in the batch follows.
_NUMBERED = b"\xff header "
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")

# File, record batch, and the kind of the elements: the name of their type.
SpoolRef = tuple[str, int, str]
# Several together.
SpoolRefs = tuple[SpoolRef, ...]
# Of references by bucket, for Beam, which looks for a fitting coder.
KEYED_REF = tuple[int, SpoolRef]
KEYED_REFS = tuple[int, SpoolRefs]
Element = TypeVar("Element", bound=Spooled)


@dataclass
class Batch:
    """Elements of one bucket, encoded, and the long headers that they have, each once.

    headers: a list or None for each of `payloads`, as the schema has them.
    """

    payloads: list[bytes] = field(default_factory=list)
    headers: list[list[bytes] | None] = field(default_factory=list)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _new: list[bytes] = field(default_factory=list)

    def add(self, element: Spooled) -> int:
        """Add an element; returns the bytes by which the batch has grown."""
        payload, new = encode(_with_raws(element, self._numbered)), self._new
        self.payloads.append(payload)
        self.headers.append(new or None)
        if new:
            self._new = []
        return len(payload) + sum(map(len, new))

    def _numbered(self, raw: RawRecord) -> RawRecord:
        header = raw.header
        if len(header) < LONG_HEADER_BYTES and not header.startswith(_NUMBERED):
            return raw
        number = self._numbers.get(header)
        if number is None:
            number = self._numbers[header] = len(self._numbers)
            self._new.append(header)
        return replace(raw, header=_NUMBERED + str(number).encode())


def write_spool(
    directory: str, batches: Mapping[tuple[int, str], Batch]
) -> Iterator[tuple[int, SpoolRef]]:
    """Write one file with a record batch for each bucket and kind; yields where each one lies."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, _SCHEMA, options=_OPTIONS) as writer:
        for batch in batches.values():
            columns = zip((batch.payloads, batch.headers), _SCHEMA.types, strict=True)
            arrays = [pa.array(values, kind_of_values) for values, kind_of_values in columns]
            writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    path = storage.join(directory, f"{uuid.uuid4().hex}.arrow")
    storage.write_bytes(path, sink.getbuffer())
    for index, (bucket, kind) in enumerate(batches):
        yield bucket, (path, index, kind)


def read_spool(refs: Iterable[SpoolRef], element_type: type[Element]) -> Iterator[Element]:
    """Return the elements that `refs` point at, in the order of file and batch.

    In memory is one batch: FLUSH_BYTES at most, and the element that was one too many.
    """
    decode = decoder(element_type).decode
    for batch in _batches(refs):
        # Snapshots of 0.1.0 keep a pool whose elements have all that they are.
        payloads, headers = batch.columns if batch.num_columns > 1 else (batch.column(0), None)
        if headers is None or headers.null_count == len(headers):
            for payload in payloads:
                yield decode(payload.as_buffer())
            continue
        known: list[bytes] = []
        whole = partial(_whole, known)
        for payload, new in zip(payloads, headers, strict=True):
            known += new.as_py() or ()
            yield _with_raws(decode(payload.as_buffer()), whole)


def _batches(refs: Iterable[SpoolRef]) -> Iterator[pa.RecordBatch]:
    """Yield what is referred to, in the order of file and batch; a file is opened once."""
    for path, of_file in groupby(sorted(refs), key=itemgetter(0)):
        if not storage.is_local(path):
            reader = pa.ipc.open_file(pa.BufferReader(_DOWNLOADED.read(path)))
            yield from (reader.get_batch(index) for _, index, _ in of_file)
            continue
        with storage.open_file(path) as file:
            reader = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
            for _, index, _ in of_file:
                yield reader.get_batch(index)


class _Downloaded:
    """Spool files of object stores, the last ones read, as far as MAX_DOWNLOADED_BYTES allow.

    A file has batches of many buckets, and an object store reads ahead: each bucket would download
    most of it again. The files never change.
    """

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lock = Lock()

    def read(self, path: str) -> bytes:
        with self._lock:
            data = self._files.pop(path, None)
        if data is None:
            data = storage.read_bytes(path)
        with self._lock:
            self._files[path] = data
            left = MAX_DOWNLOADED_BYTES - sum(map(len, self._files.values()))
            for oldest in list(self._files):
                if left >= 0:
                    break
                left += len(self._files.pop(oldest))
        return data


_DOWNLOADED = _Downloaded()


def _with_raws(element: Any, change: Callable[[RawRecord], RawRecord]) -> Any:
    if isinstance(element, Item):
        return with_item_raws(element, change)
    return with_raws(element, change)


def _whole(headers: Sequence[bytes], raw: RawRecord) -> RawRecord:
    """Return a record with its header in the place of its number."""
    if not raw.header.startswith(_NUMBERED):
        return raw
    return replace(raw, header=headers[int(raw.header.removeprefix(_NUMBERED))])


class SpoolWriter:
    """Holds what a bundle has made, by bucket and kind, and writes it when that is much.

    Begin it with each bundle, and take the last references from `flush` at the bundle's end.
    size_bytes: of what is held.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.begin()

    def begin(self) -> None:
        """Forget what an earlier bundle may have left."""
        self._batches: dict[tuple[int, str], Batch] = {}
        self.size_bytes = 0

    def add(self, bucket: int, element: Spooled) -> Iterable[tuple[int, SpoolRef]]:
        """Hold an element; returns where what was held lies, if it has been written now."""
        batch = self._batches.setdefault((bucket, type(element).__name__), Batch())
        self.size_bytes += batch.add(element)
        return self.flush() if self.size_bytes >= FLUSH_BYTES else ()

    def flush(self) -> list[tuple[int, SpoolRef]]:
        """Write what is held; returns where it lies."""
        refs = list(write_spool(self._directory, self._batches)) if self._batches else []
        self.begin()
        return refs


class BucketWriter:
    """Spools all elements of one bucket after the other; gives each bucket's references together,
    so that what a stage spools of its buckets needs no shuffle to be whole.
    """

    def __init__(self, directory: str) -> None:
        self._writer = SpoolWriter(directory)
        self.begin()

    def begin(self) -> None:
        """Forget what an earlier bundle may have left."""
        self._writer.begin()
        self._refs: dict[int, list[SpoolRef]] = {}

    def add(self, bucket: int, elements: Iterable[Spooled]) -> Iterable[tuple[int, SpoolRefs]]:
        """Hold all elements of a bucket; returns the buckets that have been written now."""
        self._refs.setdefault(bucket, [])
        for element in elements:
            self._note(self._writer.add(bucket, element))
        return self.flush() if self._writer.size_bytes >= FLUSH_BYTES // 2 else ()

    def flush(self) -> list[tuple[int, SpoolRefs]]:
        """Write what is held; returns the buckets that were, those without elements too."""
        self._note(self._writer.flush())
        found = [(bucket, tuple(refs)) for bucket, refs in self._refs.items()]
        self._refs = {}
        return found

    def _note(self, written: Iterable[tuple[int, SpoolRef]]) -> None:
        for bucket, ref in written:
            self._refs[bucket].append(ref)


def at_end(element: Any) -> WindowedValue:
    """Return an element as Beam wants it where a bundle ends: no other gives it a window."""
    return WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])


class _SpoolBundle(beam.DoFn):
    def __init__(self, directory: str) -> None:
        self._writer = SpoolWriter(directory)

    def start_bundle(self) -> None:
        self._writer.begin()

    def process(self, keyed: tuple[int, Spooled]) -> Iterable[tuple[int, SpoolRef]]:
        return self._writer.add(*keyed)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from map(at_end, self._writer.flush())


@dataclass(eq=False)
class Spool(beam.PTransform):
    """PCollection[KV[bucket, element]] → PCollection[KV[bucket, SpoolRef]], payload in
    `directory`.
    """

    directory: str

    def expand(
        self, keyed: beam.PCollection[tuple[int, Spooled]]
    ) -> beam.PCollection[tuple[int, SpoolRef]]:
        spool = beam.ParDo(_SpoolBundle(self.directory)).with_output_types(KEYED_REF)
        return keyed | "WriteSpool" >> spool


@dataclass(eq=False)
class Together(beam.PTransform):
    """PCollections of KV[bucket, SpoolRef] → PCollection[KV[bucket, SpoolRefs]] of all of them.

    References say what they refer to, so that they need no names on their way.
    """

    def expand(
        self, spooled: tuple[beam.PCollection[tuple[int, SpoolRef]], ...]
    ) -> beam.PCollection[tuple[int, Iterable[SpoolRef]]]:
        one = spooled[0] if len(spooled) == 1 else spooled | "All" >> beam.Flatten()
        return one | "ByBucket" >> beam.GroupByKey()


def by_kind(refs: Iterable[SpoolRef | tuple[SpoolRef, ...]]) -> dict[str, list[SpoolRef]]:
    """Return references by the kind of what they refer to; none of a kind that is not there.

    refs: also several together, as `BucketWriter` gives them.
    """
    found: dict[str, list[SpoolRef]] = defaultdict(list)
    for each in refs:
        if each and isinstance(each[0], str):
            found[each[2]].append(each)
        else:
            for ref in each:
                found[ref[2]].append(ref)
    return found
