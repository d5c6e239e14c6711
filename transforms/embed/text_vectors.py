"""Vectors of texts: one table for each space of the template that holds texts.

PCollection[Bucket] → PCollection[Bucket] with `vectors` and `chunks`. Equal texts within a bucket
are encoded once, and not again if the bucket had them in an earlier snapshot, made by the same
encoder. An item without any text gets no vector; one that the encoder fails on gets the flag
`embed-failed`, one that the budget left open `budget`, one whose text was cut `text-cut`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa

from schemas.elements import Bucket, Flag, Item, TextChunk
from schemas.reasons import BUDGET, EMBED_FAILED, TEXT_CUT
from schemas.sections.vectors import TEXT_FIELD
from schemas.template import Template
from transforms.embed.documents import Document, Embedded, embed_documents, unknown
from transforms.items.from_table import columns_of, items_of
from transforms.items.text import format_value, text_of_parts
from transforms.models.contract import Failure, ModelOptions, Vector
from transforms.models.encoders import TextEncoder, count_requests
from transforms.models.spaces import Shared, VectorSpace, shared_text_encoder
from transforms.runtime.metrics import Meter
from transforms.runtime.stages.fused import FusedStep, in_one
from transforms.tables.merge import EarlierRows
from transforms.vectors.stage import CanaryWatch, WatchedTables


def document_of(template: Template, item: Item, space: VectorSpace) -> Document:
    """Return what is encoded of an item; its context is its title, where chunks need one."""
    text = text_of_parts(template, item, space.parts)
    if space.options.long_texts == "cut":
        return Document(text)
    values = ((name, item.values.get(name)) for name in template.titles)
    titles = [
        format_value(template.by_name[name], known.value)
        for name, known in values
        if known is not None and known.value is not None
    ]
    return Document(text, titles[0] if titles else "")


def earlier_vectors(
    earlier: EarlierRows, bucket: int, space: VectorSpace, template: Template
) -> dict[Document, Embedded]:
    """Return what the bucket's earlier items were encoded to; empty where it cannot be used."""
    if space.name not in earlier.same_spaces:
        return {}
    # Chunks know the titles of their document, which need be none of its parts.
    read = [*space.parts, *(() if space.options.long_texts == "cut" else template.titles)]
    items = earlier.read(bucket, "items", [*columns_of(template, read), "flags"])
    vectors = earlier.read(bucket, space.spec.table)
    if items is None or vectors is None:
        return {}
    by_id = dict(zip(vectors["item_id"].to_pylist(), _rows(vectors), strict=True))
    chunks = None
    if space.spec.keeps_chunks:
        chunks = _earlier_chunks(earlier.read(bucket, space.spec.chunks_table))
    known = {}
    rows = items_of(template, items, read)
    for item, flags in zip(rows, items["flags"].to_pylist(), strict=True):
        vector = by_id.get(item.item_id)
        if vector is None or (chunks is not None and item.item_id not in chunks):
            continue
        cut = (
            flag["detail"]
            for flag in flags
            if flag["reason"] == TEXT_CUT and flag["field"] == space.spec.column
        )
        known[document_of(template, item, space)] = Embedded(
            vector, next(cut, ""), chunks[item.item_id] if chunks is not None else ()
        )
    return known


def _rows(table: pa.Table) -> Sequence[Vector]:
    """Return the vectors of a table that has them in its last column."""
    column = table.column(table.num_columns - 1).combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return list(flat.reshape(len(column), column.type.list_size))


def _earlier_chunks(table: pa.Table | None) -> dict[str, tuple[TextChunk, ...]]:
    """Return the chunks of each item, in order; empty where there is no table."""
    found: dict[str, list[TextChunk]] = {}
    if table is not None:
        names = ("item_id", "begin", "end", "tokens", "context", "text")
        columns = (table[name].to_pylist() for name in names)
        for item_id, begin, end, tokens, context, text, vector in zip(
            *columns, _rows(table), strict=True
        ):
            chunk = TextChunk(begin, end, tokens, context or "", text, vector)
            found.setdefault(item_id, []).append(chunk)
    return {item_id: tuple(chunks) for item_id, chunks in found.items()}


def with_vectors(
    items: Sequence[Item],
    space: VectorSpace,
    documents: Sequence[Document],
    embedded: Mapping[Document, Embedded | Failure],
) -> Iterator[Item]:
    """Yield the items with their vectors of a space; documents: of each item."""
    # As snapshots of earlier versions name it.
    field = TEXT_FIELD if space.name == "text" else space.spec.column
    for item, document in zip(items, documents, strict=True):
        found = embedded.get(document)
        if isinstance(found, Failure):
            reason = BUDGET if found.reason == BUDGET else EMBED_FAILED
            flag = Flag(reason, field, found.message)
            yield replace(item, flags=(*item.flags, flag))
        elif found is None:
            yield item
        else:
            cut = (Flag(TEXT_CUT, space.spec.column, found.cut),) if found.cut else ()
            chunks = {space.name: found.chunks} if found.chunks else {}
            yield replace(
                item,
                flags=(*item.flags, *cut),
                vectors={**item.vectors, space.name: found.vector},
                chunks={**item.chunks, **chunks},
            )


class _Embed(beam.DoFn):
    def __init__(self, transform: EmbedText) -> None:
        # Its fields, not the transform: that holds on to its pipeline.
        self._template, self._models = transform.template, transform.models
        self._spaces, self._heartbeat_dir = transform.text_spaces, transform.heartbeat_dir
        self._earlier, self._watch = transform.earlier, transform.watch
        self._encoders: dict[str, Shared[TextEncoder]] = {}
        self._watched: dict[str, WatchedTables] = {}

    def setup(self) -> None:
        self._meter = Meter("embed", self._heartbeat_dir)
        self._encoders = {
            space.name: shared_text_encoder(self._models, space.options) for space in self._spaces
        }
        self._watched = {
            space.name: WatchedTables(self._watch, (space.spec.table,)) for space in self._spaces
        }

    def process(self, bucket: Bucket) -> list[Bucket]:
        items: Sequence[Item] = bucket.items
        for space in self._spaces if items else ():
            items = self._embedded(bucket.number, items, space)
        failed = [f for item in items for f in item.flags if f.reason == EMBED_FAILED]
        self._meter.fail(EMBED_FAILED, len(failed))
        self._meter.beat()
        return [replace(bucket, items=tuple(items))]

    def _embedded(self, bucket: int, items: Sequence[Item], space: VectorSpace) -> list[Item]:
        template, earlier = self._template, self._earlier
        with self._meter.timed():
            documents = [document_of(template, item, space) for item in items]
            known = earlier_vectors(earlier, bucket, space, template) if earlier else {}
        shared, is_open = self._encoders[space.name], unknown(documents, known)
        self._meter.add("reused", sum(document in known for document in documents))
        self._meter.add("encoded", len(is_open))
        # Items are counted once, by the space that all catalogs have.
        count = self._count_items if space.name == "text" else None
        if not is_open:
            found = embed_documents(documents, shared.encoder, space.options, known, count)
            return list(with_vectors(items, space, documents, found))
        self._meter.beat()  # loading takes seconds, in which the stage already shows
        with shared.loaded() as encoder, self._meter.timed():
            self._watched[space.name].agree(encoder)
            found = embed_documents(documents, encoder, space.options, known, count)
        count_requests(encoder, self._meter.add)
        return list(with_vectors(items, space, documents, found))

    def _count_items(self, count: int) -> None:
        self._meter.add("items", count)


@dataclass(eq=False)
class EmbedText(beam.PTransform):
    """Adds the vectors of spaces that hold texts.

    spaces: those of pictures are left alone. earlier: where those of before are. watch: looks at
    the canaries wherever an encoder is loaded.
    """

    template: Template
    models: ModelOptions
    spaces: tuple[VectorSpace, ...]
    heartbeat_dir: str = ""
    earlier: EarlierRows | None = None
    watch: CanaryWatch | None = None

    @property
    def text_spaces(self) -> tuple[VectorSpace, ...]:
        return tuple(space for space in self.spaces if space.modality == "text")

    def step(self) -> FusedStep:
        """Return Bucket → Bucket."""
        return FusedStep(_Embed(self))

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | in_one(self.step()).with_output_types(Bucket)
