"""Vectors of the enriched texts.

PCollection[Bucket] → PCollection[Bucket] with `text_vector`. Equal texts within a bucket are encoded once.
An item without any text gets no vector; one that the encoder fails on gets the flag `embed-failed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam

from schemas.elements import Bucket, Flag, Item
from transforms.meter import Meter
from transforms.models import build_text_encoder
from transforms.models.contract import Failure, ModelOptions, TextEncoder, Vector, call_each, checked_vector

# As many as the embedded encoder computes at once: small enough that a live view moves every few seconds on one core.
BATCH_TEXTS = 32


def embed_items(
    items: Sequence[Item], encoder: TextEncoder, count_items: Callable[[int], None] | None = None
) -> list[Item]:
    """The items with their text vectors, in order.

    count_items: told after each batch of texts how many more items have their vector, or need none.
    """
    holders = Counter(item.text_enriched for item in items)
    # By length, so that a batch is padded little; the longest first, so that time left is not guessed too low.
    texts = sorted(filter(None, holders), key=lambda text: (-len(text), text))
    vectors: dict[str, Vector | Failure] = {}
    for begin in range(0, len(texts), BATCH_TEXTS):
        batch = texts[begin : begin + BATCH_TEXTS]
        for text, answer in zip(batch, call_each(encoder.encode_texts, batch, "embed-failed"), strict=True):
            vectors[text] = checked_vector(answer, encoder.dimension, "embed-failed")
        if count_items:
            count_items(sum(holders[text] for text in batch))
    if count_items:
        count_items(len(items) - sum(holders[text] for text in texts))
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
            self._meter.beat()  # loading takes seconds, in which the stage already shows
            self._encoder = build_text_encoder(self._options)
            self._encoder.load()
        with self._meter.timed():
            items = tuple(embed_items(bucket.items, self._encoder, self._count_items)) if self._encoder else ()
        self._meter.beat()
        return [replace(bucket, items=items)]

    def _count_items(self, count: int) -> None:
        self._meter.add("items", count)


@dataclass(eq=False)
class EmbedText(beam.PTransform):
    """Adds text vectors with the chosen text encoder."""

    options: ModelOptions
    heartbeat_dir: str = ""

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        return buckets | beam.ParDo(_Embed(self.options, self.heartbeat_dir)).with_output_types(Bucket)
