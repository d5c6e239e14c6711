"""Vectors of items that are finished: taken up from their files, encoded, and written beside them.

KV[bucket, SpoolRef] → PCollection[Bucket] with the items as far as their vectors need them →
(EmbedText) → PCollection[Revised]. Nothing is read of the catalog but the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from schemas.elements import Bucket, Flag, ImageRef, ImageResult, Item
from schemas.reasons import EMBED_FAILED
from schemas.sections.vectors import vector_column
from schemas.tables.specs import ITEMS
from schemas.template import Template
from transforms.items.assemble import by_path, picture_vectors
from transforms.items.from_table import columns_of, items_of
from transforms.models.spaces import VectorSpace
from transforms.runtime.buckets import bucket_of
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import SpoolRef, by_kind, read_spool
from transforms.runtime.stages.fused import FusedStep
from transforms.tables.build import TableContext
from transforms.tables.finished import FinishedBucket, Revised, revise
from transforms.vectors.canaries import Canary


@dataclass(frozen=True, slots=True)
class FinishedItems:
    """Where finished items lie, and the spaces that their vectors are made in.

    buckets: by number; gone: spaces that are no more.
    """

    template: Template
    buckets: Mapping[int, FinishedBucket]
    spaces: tuple[VectorSpace, ...]
    gone: frozenset[str] = frozenset()

    @property
    def of_pictures(self) -> tuple[str, ...]:
        """Names of the spaces that hold pictures."""
        return tuple(space.name for space in self.spaces if space.modality == "image")

    def references(self, number: int) -> Iterator[tuple[int, ImageRef]]:
        """Yield the pictures that a bucket's items have, each with the bucket of its path."""
        table = self.buckets[number].read(ITEMS.name, ["deleted_ts", "images"])
        if table is None:
            return
        of_items = map(_usable, _live(table)["images"].to_pylist())
        for path in dict.fromkeys(chain.from_iterable(of_items)):
            yield bucket_of(path, len(self.buckets)), ImageRef(path, number)

    def taken_up(self, number: int, pictures: Mapping[str, ImageResult]) -> Bucket:
        """Return a bucket's items with a record: what their texts are made of, and the vectors of
        their pictures. pictures: by path.
        """
        texts = [space for space in self.spaces if space.modality == "text"]
        parts = [part for space in texts for part in space.parts]
        if any(space.options.long_texts != "cut" for space in texts):
            parts += self.template.titles
        columns = [*columns_of(self.template, parts), "deleted_ts"]
        table = self.buckets[number].read(
            ITEMS.name, [*columns, "images"] if self.of_pictures else columns
        )
        if table is None:
            return Bucket(number, ())
        live = _live(table)
        items: Iterable[Item] = items_of(self.template, live, parts)
        if self.of_pictures:
            shown = live["images"].to_pylist()
            items = (
                with_picture_vectors(item, images, pictures, self.of_pictures)
                for item, images in zip(items, shown, strict=True)
            )
        return Bucket(number, tuple(items))


def _live(items: pa.Table) -> pa.Table:
    """Return items with a record: the others have no vector of an encoder that came after them."""
    return items.filter(pc.is_null(items["deleted_ts"]))


def _usable(images: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return path → digest of the pictures that could be used."""
    return {image["path"]: image["digest"] for image in images if image["digest"]}


def with_picture_vectors(
    item: Item,
    images: Sequence[Mapping[str, Any]],
    found: Mapping[str, ImageResult],
    spaces: Sequence[str],
) -> Item:
    """Return the item with the vectors of its pictures, or flags that say why there are none.

    images: of its row; found: what became of their paths, with the vectors of these spaces.
    """
    usable = _usable(images)
    features = (found[path].features for path in usable if path in found)
    same = [each for each in features if each is not None and each.digest in usable.values()]
    if len(same) < len(usable):  # it is looked at again, as a whole, by the next run
        lost = f"{len(usable) - len(same)} of {len(usable)} pictures could not be read again"
        flags = [Flag(EMBED_FAILED, vector_column(space), lost) for space in spaces]
        return replace(item, flags=(*item.flags, *flags))
    vectors, failures = picture_vectors(same)
    return replace(item, vectors={**item.vectors, **vectors}, flags=(*item.flags, *failures))


@dataclass(eq=False)
class ReferredPictures(beam.PTransform):
    """KV[bucket, _] → KV[path bucket, ImageRef] of the pictures of its items."""

    finished: FinishedItems

    def expand(
        self, buckets: beam.PCollection[tuple[int, SpoolRef]]
    ) -> beam.PCollection[tuple[int, ImageRef]]:
        finished = self.finished
        return buckets | beam.FlatMap(
            lambda keyed: finished.references(keyed[0])
        ).with_output_types(tuple[int, ImageRef])


class TakeUpItems(beam.DoFn):
    """KV[bucket, SpoolRefs] of ImageResults → Bucket of its finished items."""

    def __init__(self, finished: FinishedItems) -> None:
        self._finished = finished

    def process(self, grouped: tuple[int, Iterable[SpoolRef]]) -> Iterator[Bucket]:
        number, refs = grouped
        pictures = read_spool(by_kind(refs)["ImageResult"], ImageResult)
        yield self._finished.taken_up(number, by_path(pictures))


class _WriteVectors(beam.DoFn):
    def __init__(self, transform: WriteVectors) -> None:
        self._context, self._finished = transform.context, transform.finished
        self._heartbeat_dir = transform.heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("write", self._heartbeat_dir)

    def process(
        self, bucket: Bucket, canaries: Mapping[str, Sequence[Canary]] = MappingProxyType({})
    ) -> Iterator[Revised]:
        finished, made = self._finished, {space.name for space in self._finished.spaces}
        with self._meter.timed():
            context = replace(self._context, encoders=self._context.encoders.proven(canaries))
            yield revise(context, finished.buckets[bucket.number], bucket, made, finished.gone)
        self._meter.beat()


@dataclass(frozen=True, slots=True)
class WriteVectors:
    """How the tables of vectors of each bucket are written. canaries: as of WriteTables."""

    context: TableContext
    finished: FinishedItems
    heartbeat_dir: str = ""
    canaries: beam.pvalue.AsDict | None = None

    def step(self) -> FusedStep:
        """Return Bucket → Revised."""
        return FusedStep(_WriteVectors(self), () if self.canaries is None else (self.canaries,))
