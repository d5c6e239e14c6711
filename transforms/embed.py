"""Vectors of the enriched texts.

PCollection[Bucket] → PCollection[Bucket] with `text_vector`. Equal texts within a bucket are encoded once.
An item without any text gets no vector; one that the encoder fails on gets the flag `embed-failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apache_beam as beam

from schemas.elements import Bucket, Flag, Item
from transforms.meter import Meter
from transforms.models import build_text_encoder
from transforms.models.contract import Failure, ModelOptions, TextEncoder, Vector, call_each

BATCH_TEXTS = 256


def embed_items(items: Sequence[Item], encoder: TextEncoder) -> list[Item]:
    """The items with their text vectors, in order."""
    texts = sorted({item.text_enriched for item in items if item.text_enriched})
    vectors: dict[str, Vector | Failure] = {}
    for begin in range(0, len(texts), BATCH_TEXTS):
        batch = texts[begin : begin + BATCH_TEXTS]
        vectors.update(zip(batch, call_each(encoder.encode_texts, batch, "embed-failed"), strict=True))
    embedded = []
    for item in items:
        vector = vectors.get(item.text_enriched)
        if isinstance(vector, Failure):
            flag = Flag("embed-failed", "text_enriched", vector.message)
            embedded.append(replace(item, flags=(*item.flags, flag)))
        else:
            embedded.append(replace(item, text_vector=vector))
    return embedded


class _Embed(beam.DoFn):
    def __init__(self, options: ModelOptions, heartbeat_dir: str) -> None:
        self._options, self._heartbeat_dir = options, heartbeat_dir
        self._encoder: TextEncoder | None = None

    def setup(self) -> None:
        self._meter = Meter("embed", self._heartbeat_dir)

    def process(self, bucket: Bucket) -> list[Bucket]:
        if self._encoder is None and bucket.items:
            self._encoder = build_text_encoder(self._options)
            self._encoder.load()
        with self._meter.timed():
            items = tuple(embed_items(bucket.items, self._encoder)) if self._encoder else ()
        self._meter.add("items", len(items))
        self._meter.beat()
        return [replace(bucket, items=items)]


@dataclass(eq=False)
class EmbedText(beam.PTransform):
    """Adds text vectors with the chosen text encoder."""

    options: ModelOptions
    heartbeat_dir: str = ""

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        return buckets | beam.ParDo(_Embed(self.options, self.heartbeat_dir)).with_output_types(Bucket)
