"""A shuffle whose payload lies on disk: KV[bucket, element] → KV[bucket, (file, batch, kind)].

The local Beam runner keeps every shuffled element in memory, so memory would grow with the catalog.
Here a bundle writes its elements to one Arrow file, a record batch per bucket, and only references
are shuffled; whoever reads a bucket holds one bucket. On a distributed runner it keeps large raw
records out of the service's shuffle in the same way. A retried bundle writes a new file and the old
one is never referred to.

A file may have a header that is far larger than its rows. Each batch has such a header once, and
the records read from it share one object.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import (
    LONG_HEADER_BYTES,
    RawRecord,
    Spooled,
    decoder,
    encode,
    with_raws,
)
from transforms.runtime import storage

FLUSH_BYTES = 16 * 2**20
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
# Of references by bucket, for Beam, which looks for a fitting coder.
KEYED_REF = tuple[int, SpoolRef]
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
        payload, new = encode(with_raws(element, self._numbered)), self._new
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
    directory: str, batches: Mapping[int, Batch], kind: str
) -> Iterator[tuple[int, SpoolRef]]:
    """Write one file with a record batch per bucket; yields where each bucket's batch lies."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, _SCHEMA, options=_OPTIONS) as writer:
        for batch in batches.values():
            columns = zip((batch.payloads, batch.headers), _SCHEMA.types, strict=True)
            arrays = [pa.array(values, kind_of_values) for values, kind_of_values in columns]
            writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    path = storage.join(directory, f"{uuid.uuid4().hex}.arrow")
    storage.write_bytes(path, sink.getbuffer())
    for index, bucket in enumerate(batches):
        yield bucket, (path, index, kind)


def read_spool(refs: Iterable[SpoolRef], element_type: type[Element]) -> Iterator[Element]:
    """Return the elements that `refs` point at, in the order of file and batch.

    In memory is one batch: FLUSH_BYTES at most, and the element that was one too many.
    """
    decode = decoder(element_type).decode
    for path, index, _ in sorted(refs):
        with storage.open_file(path) as file:
            batch = pa.ipc.open_file(pa.PythonFile(file, mode="r")).get_batch(index)
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
            yield with_raws(decode(payload.as_buffer()), whole)


def _whole(headers: Sequence[bytes], raw: RawRecord) -> RawRecord:
    """Return a record with its header in the place of its number."""
    if not raw.header.startswith(_NUMBERED):
        return raw
    return replace(raw, header=headers[int(raw.header.removeprefix(_NUMBERED))])


class _SpoolBundle(beam.DoFn):
    """Buffers a bundle's elements by bucket and writes them when the buffer is full or the bundle
    ends.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._batches: dict[int, Batch] = {}
        self._size_bytes = 0
        self._kind = ""

    def start_bundle(self) -> None:
        self._batches, self._size_bytes = {}, 0

    def process(self, keyed: tuple[int, Spooled]) -> Iterator[tuple[int, SpoolRef]]:
        bucket, element = keyed
        self._kind = type(element).__name__
        self._size_bytes += self._batches.setdefault(bucket, Batch()).add(element)
        if self._size_bytes >= FLUSH_BYTES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for ref in self._flush():
            yield WindowedValue(ref, GlobalWindow().max_timestamp(), [GlobalWindow()])

    def _flush(self) -> list[tuple[int, SpoolRef]]:
        refs = (
            list(write_spool(self._directory, self._batches, self._kind)) if self._batches else []
        )
        self.start_bundle()
        return refs


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
