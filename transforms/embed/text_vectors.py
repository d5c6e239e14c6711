"""Vectors of texts: one table for each space of the template that holds texts.

PCollection[Bucket] → PCollection[Bucket] with `vectors`. Equal texts within a bucket are encoded
once, and not again if the bucket had them in an earlier snapshot, made by the same encoder. An item
without any text gets no vector; one that the encoder fails on gets the flag `embed-failed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import apache_beam as beam
import pyarrow.compute as pc

from schemas.elements import Bucket, Flag, Item
from schemas.template import Template
from transforms.items.from_table import columns_of, items_of
from transforms.items.text import text_of_parts
from transforms.models.contract import Failure, ModelOptions, Vector, call_each, checked_vector
from transforms.models.encoders import TextEncoder
from transforms.models.spaces import Shared, VectorSpace, shared_text_encoder
from transforms.runtime.metrics import Meter
from transforms.tables.merge import EarlierRows

# As many as the embedded encoder computes at once: small enough that a live view moves every few
# seconds on one core.
BATCH_TEXTS = 32


def earlier_vectors(
    earlier: EarlierRows, bucket: int, space: VectorSpace, template: Template
) -> dict[str, Vector]:
    """Text → vector, float32 (dimension,), of the bucket's earlier items; empty where they cannot
    be used.
    """
    if space.name not in earlier.same_spaces:
        return {}
    read = [template.by_name[part] for part in space.parts if part in template.by_name]
    items = earlier.read(bucket, "items", columns_of(read))
    vectors = earlier.read(bucket, space.spec.table)
    if items is None or vectors is None:
        return {}
    column = vectors.column(1).combine_chunks()
    rows = (
        column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    )
    places = pc.index_in(
        items["item_id"], value_set=vectors["item_id"].combine_chunks()
    ).to_pylist()
    texts = (text_of_parts(template, item, space.parts) for item in items_of(template, items))
    return {
        text: rows[place] for text, place in zip(texts, places, strict=True) if place is not None
    }


def embed_texts(
    texts: Sequence[str],
    encoder: TextEncoder,
    known: Mapping[str, Vector] = MappingProxyType({}),
    count: Callable[[int], None] | None = None,
) -> dict[str, Vector | Failure]:
    """Return the vector of each distinct text that is not empty, or why there is none.

    known: vectors of texts that need not be encoded.
    count: told after each batch how many more of `texts` have their vector, or need none.
    """
    holders = Counter(texts)
    # By length, so that a batch is padded little; the longest first, so that time left is not
    # guessed too low.
    open_ = sorted(unknown(texts, known), key=lambda text: (-len(text), text))
    vectors: dict[str, Vector | Failure] = {text: known[text] for text in holders if text in known}
    for begin in range(0, len(open_), BATCH_TEXTS):
        batch = open_[begin : begin + BATCH_TEXTS]
        for text, answer in zip(
            batch, call_each(encoder.encode_texts, batch, "embed-failed"), strict=True
        ):
            vectors[text] = checked_vector(answer, encoder.dimension, "embed-failed")
        if count:
            count(sum(holders[text] for text in batch))
    if count:
        count(len(texts) - sum(holders[text] for text in open_))
    return vectors


def unknown(texts: Sequence[str], known: Mapping[str, Vector]) -> set[str]:
    """Return the texts that have to be encoded."""
    return {*texts} - {""} - known.keys()


def with_vectors(
    items: Sequence[Item],
    space: VectorSpace,
    texts: Sequence[str],
    vectors: Mapping[str, Vector | Failure],
) -> list[Item]:
    """Return the items with their vectors of a space; texts: of each item."""
    embedded = []
    # As snapshots of earlier versions name it.
    field = "text_enriched" if space.name == "text" else space.spec.column
    for item, text in zip(items, texts, strict=True):
        vector = vectors.get(text)
        if isinstance(vector, Failure):
            flag = Flag("embed-failed", field, vector.message)
            item = replace(item, flags=(*item.flags, flag))
        elif vector is not None:
            item = replace(item, vectors={**item.vectors, space.name: vector})
        embedded.append(item)
    return embedded


class _Embed(beam.DoFn):
    def __init__(self, transform: EmbedText) -> None:
        # Its fields, not the transform: that holds on to its pipeline.
        self._template, self._models = transform.template, transform.models
        self._spaces, self._heartbeat_dir = transform.text_spaces, transform.heartbeat_dir
        self._earlier = transform.earlier
        self._encoders: dict[str, Shared[TextEncoder]] = {}

    def setup(self) -> None:
        self._meter = Meter("embed", self._heartbeat_dir)
        self._encoders = {
            space.name: shared_text_encoder(self._models, space.options) for space in self._spaces
        }

    def process(self, bucket: Bucket) -> list[Bucket]:
        items: Sequence[Item] = bucket.items
        for space in self._spaces if items else ():
            items = self._embedded(bucket.number, items, space)
        failed = [f for item in items for f in item.flags if f.reason == "embed-failed"]
        self._meter.fail("embed-failed", len(failed))
        self._meter.beat()
        return [replace(bucket, items=tuple(items))]

    def _embedded(self, bucket: int, items: Sequence[Item], space: VectorSpace) -> list[Item]:
        template, earlier = self._template, self._earlier
        with self._meter.timed():
            texts = [text_of_parts(template, item, space.parts) for item in items]
            known = earlier_vectors(earlier, bucket, space, template) if earlier else {}
        shared, is_open = self._encoders[space.name], unknown(texts, known)
        self._meter.add("reused", sum(text in known for text in texts))
        self._meter.add("encoded", len(is_open))
        # Items are counted once, by the space that all catalogs have.
        count = self._count_items if space.name == "text" else None
        if is_open:
            self._meter.beat()  # loading takes seconds, in which the stage already shows
            with shared.loaded() as encoder, self._meter.timed():
                vectors = embed_texts(texts, encoder, known, count)
        else:
            vectors = embed_texts(texts, shared.encoder, known, count)
        return with_vectors(items, space, texts, vectors)

    def _count_items(self, count: int) -> None:
        self._meter.add("items", count)


@dataclass(eq=False)
class EmbedText(beam.PTransform):
    """Adds the vectors of spaces that hold texts.

    spaces: those of pictures are left alone. earlier: where those of before are.
    """

    template: Template
    models: ModelOptions
    spaces: tuple[VectorSpace, ...]
    heartbeat_dir: str = ""
    earlier: EarlierRows | None = None

    @property
    def text_spaces(self) -> tuple[VectorSpace, ...]:
        return tuple(space for space in self.spaces if space.modality == "text")

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | beam.ParDo(_Embed(self)).with_output_types(Bucket)
