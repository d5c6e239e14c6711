"""A shuffle whose payload lies on disk: KV[bucket, element] → KV[bucket, (file, batch, kind)].

The local Beam runner keeps every shuffled element in memory, so memory would grow with the catalog.
Here a bundle writes its elements to one Arrow file, a record batch per bucket, and only references
are shuffled; whoever reads a bucket holds one bucket. On a distributed runner it keeps large raw
records out of the service's shuffle in the same way. A retried bundle writes a new file and the old
one is never referred to.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import Spooled, decoder, encode
from transforms.runtime import storage

FLUSH_BYTES = 16 * 2**20
_SCHEMA = pa.schema([pa.field("element", pa.large_binary(), nullable=False)])
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")

# File, record batch, and the kind of the elements: the name of their type.
SpoolRef = tuple[str, int, str]
# Of references by bucket, for Beam, which looks for a fitting coder.
KEYED_REF = tuple[int, SpoolRef]
Element = TypeVar("Element", bound=Spooled)


def write_spool(
    directory: str, buffers: dict[int, list[bytes]], kind: str
) -> Iterator[tuple[int, SpoolRef]]:
    """Write one file with a record batch per bucket; yields where each bucket's batch lies."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, _SCHEMA, options=_OPTIONS) as writer:
        for payloads in buffers.values():
            writer.write_batch(
                pa.record_batch([pa.array(payloads, pa.large_binary())], schema=_SCHEMA)
            )
    path = storage.join(directory, f"{uuid.uuid4().hex}.arrow")
    storage.write_bytes(path, sink.getbuffer())
    for index, bucket in enumerate(buffers):
        yield bucket, (path, index, kind)


def read_spool(refs: Iterable[SpoolRef], element_type: type[Element]) -> Iterator[Element]:
    """Return the elements that `refs` point at, in the order of file and batch.

    In memory is one batch: FLUSH_BYTES at most, and the element that was one too many.
    """
    decode = decoder(element_type).decode
    for path, index, _ in sorted(refs):
        with storage.open_file(path) as file:
            batch = pa.ipc.open_file(pa.PythonFile(file, mode="r")).get_batch(index)
        for payload in batch.column(0):
            yield decode(payload.as_buffer())


class _SpoolBundle(beam.DoFn):
    """Buffers a bundle's elements by bucket and writes them when the buffer is full or the bundle
    ends.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._buffers: dict[int, list[bytes]] = {}
        self._size_bytes = 0
        self._kind = ""

    def start_bundle(self) -> None:
        self._buffers, self._size_bytes = {}, 0

    def process(self, keyed: tuple[int, Spooled]) -> Iterator[tuple[int, SpoolRef]]:
        bucket, element = keyed
        self._kind = type(element).__name__
        payload = encode(element)
        self._buffers.setdefault(bucket, []).append(payload)
        self._size_bytes += len(payload)
        if self._size_bytes >= FLUSH_BYTES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for ref in self._flush():
            yield WindowedValue(ref, GlobalWindow().max_timestamp(), [GlobalWindow()])

    def _flush(self) -> list[tuple[int, SpoolRef]]:
        refs = (
            list(write_spool(self._directory, self._buffers, self._kind)) if self._buffers else []
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
