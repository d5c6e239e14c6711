"""Vectors of the enriched texts.

PCollection[Bucket] → PCollection[Bucket] with `text_vector`. Equal texts within a bucket are
encoded once, and not again if the bucket had them in an earlier snapshot. An item without any text
gets no vector; one that the encoder fails on gets the flag `embed-failed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import apache_beam as beam
import pyarrow.compute as pc

from schemas.elements import Bucket, Flag, Item
from schemas.tables.specs import VECTORS
from transforms.models import build_text_encoder
from transforms.models.contract import (
    Failure,
    ModelOptions,
    Vector,
    call_each,
    checked_vector,
)
from transforms.models.encoders import TextEncoder
from transforms.runtime.metrics import Meter
from transforms.tables.merge import EarlierRows

# As many as the embedded encoder computes at once: small enough that a live view moves every few
# seconds on one core.
BATCH_TEXTS = 32


def earlier_vectors(earlier: EarlierRows, bucket: int) -> dict[str, Vector]:
    """Text → vector, float32 (dimension,), of the bucket's earlier items; empty where they cannot
    be used.
    """
    items = earlier.read(bucket, "items", ["item_id", "text_enriched"])
    vectors = earlier.read(bucket, VECTORS["text"].name) if earlier.same_encoder else None
    if items is None or vectors is None:
        return {}
    column = vectors.column(1).combine_chunks()
    rows = (
        column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    )
    places = pc.index_in(
        items["item_id"], value_set=vectors["item_id"].combine_chunks()
    ).to_pylist()
    texts = items["text_enriched"].to_pylist()
    return {
        text: rows[place] for text, place in zip(texts, places, strict=True) if place is not None
    }


def embed_items(
    items: Sequence[Item],
    encoder: TextEncoder,
    count_items: Callable[[int], None] | None = None,
    known: Mapping[str, Vector] = MappingProxyType({}),
) -> list[Item]:
    """Return the items with their text vectors, in order.

    known: vectors of texts that need not be encoded.
    count_items: told after each batch of texts how many more items have their vector, or need none.
    """
    holders = Counter(item.text_enriched for item in items)
    # By length, so that a batch is padded little; the longest first, so that time left is not
    # guessed too low.
    texts = sorted(_unknown(items, known), key=lambda text: (-len(text), text))
    vectors: dict[str, Vector | Failure] = {text: known[text] for text in holders if text in known}
    for begin in range(0, len(texts), BATCH_TEXTS):
        batch = texts[begin : begin + BATCH_TEXTS]
        for text, answer in zip(
            batch, call_each(encoder.encode_texts, batch, "embed-failed"), strict=True
        ):
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


def _unknown(items: Sequence[Item], known: Mapping[str, Vector]) -> set[str]:
    return {item.text_enriched for item in items} - {""} - known.keys()


class _Embed(beam.DoFn):
    def __init__(self, transform: EmbedText) -> None:
        self._options, self._heartbeat_dir = transform.options, transform.heartbeat_dir
        self._earlier = transform.earlier
        self._encoder: TextEncoder | None = None
        self._is_loaded = False

    def setup(self) -> None:
        self._meter = Meter("embed", self._heartbeat_dir)

    def process(self, bucket: Bucket) -> list[Bucket]:
        with self._meter.timed():
            known = (
                earlier_vectors(self._earlier, bucket.number)
                if self._earlier is not None and bucket.items
                else {}
            )
        if self._encoder is None:
            self._encoder = build_text_encoder(self._options)
        if not self._is_loaded and _unknown(bucket.items, known):
            self._meter.beat()  # loading takes seconds, in which the stage already shows
            self._encoder.load()
            self._is_loaded = True
        with self._meter.timed():
            items = tuple(embed_items(bucket.items, self._encoder, self._count_items, known))
        self._meter.add("reused", sum(item.text_enriched in known for item in items))
        self._meter.fail(
            "embed-failed",
            sum(flag.reason == "embed-failed" for item in items for flag in item.flags),
        )
        self._meter.beat()
        return [replace(bucket, items=items)]

    def _count_items(self, count: int) -> None:
        self._meter.add("items", count)


@dataclass(eq=False)
class EmbedText(beam.PTransform):
    """Adds text vectors with the chosen text encoder. earlier: where those of before are."""

    options: ModelOptions
    heartbeat_dir: str = ""
    earlier: EarlierRows | None = None

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | beam.ParDo(_Embed(self)).with_output_types(Bucket)
