"""Records, their images and rejects come together, one bucket at a time.

KV[bucket, SpoolRefs] of records, images, image rows, rejects and previous answers → Bucket. Every
record that was read ends in the bucket exactly once: as an item, or among the rejects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import apache_beam as beam
import numpy as np

from schemas.elements import (
    Bucket,
    Flag,
    ImageFeatures,
    ImageResult,
    ImageRow,
    Item,
    PreviousAnswer,
    Record,
    Reject,
)
from schemas.reasons import BUDGET, EMBED_FAILED
from schemas.sections.vectors import vector_column
from transforms.items.identity import item_fingerprint
from transforms.models.contract import Vector
from transforms.normalise.combine import Combination, combine, not_combined
from transforms.runtime.bounds.admission import UNBOUNDED, Source, admit
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, within
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import (
    KEYED_REF,
    Element,
    SpoolRef,
    Together,
    by_kind,
    read_spool,
)
from transforms.runtime.stages.fused import FusedStep, in_one
from transforms.runtime.stages.reports import Given

# A reference to nothing, so that a bucket without elements is there too.
_NOTHING: SpoolRef = ("", 0, "")


def combine_vectors(vectors: Iterable[tuple[str, bytes]]) -> Vector | None:
    """Return the unit mean of the unit vectors of distinct images; None without any.

    vectors: digest and float32 little-endian bytes, empty where there is none.
    """
    by_digest = {digest: np.frombuffer(vector, "<f4") for digest, vector in vectors if vector}
    if len(by_digest) < 2:
        return next(iter(by_digest.values()), None)
    mean = np.mean(np.stack(list(by_digest.values())), axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    if norm == 0:
        return None
    unit: Vector = np.asarray(mean / norm, np.float32)
    return unit


def describe_item(images: Sequence[ImageResult]) -> str | None:
    """Join the descriptions of an item's distinct images, numbered when there are several."""
    texts = list(
        dict.fromkeys(
            i.features.description for i in images if i.features and i.features.description
        )
    )
    if len(texts) < 2:
        return texts[0] if texts else None
    return " ".join(f"Picture {number}: {text}" for number, text in enumerate(texts, start=1))


def attach_images(
    record: Record, rows: Iterable[ImageRow], results: dict[str, ImageResult]
) -> Item:
    """Join a record with its images: its own in their order, then those of the image table's rows
    in path order.

    Rows have no order of their own, or a shuffled table would give another snapshot.
    """
    paths, repeated = dict.fromkeys(record.image_refs), 0
    # A table may say the same millions of times.
    for of_row, count in sorted(Counter(row.paths for row in rows).items()):
        repeated += count - any(path not in paths for path in of_row)
        paths.update(dict.fromkeys(of_row))
    images = tuple(results[path] for path in paths)
    features = [image.features for image in images if image.features is not None]
    flags = []
    for image in images:
        if image.reason is not None:
            flags.append(Flag(image.reason, image.path, image.message))
        elif image.features is not None and image.features.failure is not None:
            flags.append(Flag(image.features.failure, image.path, image.features.failure_message))
        if image.note:
            flags.append(Flag("image-reference-mended", image.path, image.note))
    vectors, failures = picture_vectors(features)
    return Item(
        record,
        images,
        flags=(*record.flags, *flags, *failures),
        image_description=describe_item(images),
        image_vector=combine_vectors((each.digest, each.vector) for each in features),
        vectors=vectors,
        repeated_image_rows=repeated,
    )


def picture_vectors(features: Sequence[ImageFeatures]) -> tuple[dict[str, Vector], list[Flag]]:
    """Return space → vector of an item's pictures, and flags that say why there is none or not one
    of all of them.
    """
    vectors, flags = {}, []
    for space in dict.fromkeys(name for each in features for name in each.vectors):
        vector = combine_vectors((each.digest, _vector_in(space, each)) for each in features)
        left_open = sum(space in each.left_open for each in features)
        if vector is not None:
            vectors[space] = vector
        if left_open:
            said = f"before {left_open} of {len(features)} pictures were encoded"
            flags.append(Flag(BUDGET, vector_column(space), f"the run's budget was spent {said}"))
        elif vector is None:
            said = f"the encoder of the space {space} gave no vector of any picture"
            flags.append(Flag(EMBED_FAILED, vector_column(space), said))
    return vectors, flags


def _vector_in(space: str, features: ImageFeatures) -> bytes:
    vector = features.vectors.get(space, b"")
    return features.vector if vector is None else vector


@dataclass(frozen=True, slots=True)
class BucketParts:
    """The parts that one bucket is put together from, each in any order.

    previous_answers: of a language model; kept for items that are still the same.
    """

    records: Iterable[Record]
    images: Iterable[ImageResult] = ()
    image_rows: Iterable[ImageRow] = ()
    rejects: Iterable[Reject] = ()
    previous_answers: Iterable[PreviousAnswer] = ()


def assemble_bucket(
    number: int,
    parts: BucketParts,
    combination: Combination | None = None,
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> Bucket:
    """Put a bucket together, items sorted by id; what is set aside of rows with one id, and rows
    without an item, join the rejects.
    """
    combination = combination or Combination()
    results = by_path(parts.images)
    earlier = {each.item_id: each for each in parts.previous_answers}
    rows: dict[str, list[ImageRow]] = {}
    for row in parts.image_rows:
        rows.setdefault(row.item_id, []).append(row)
    items, quarantined, joined = [], list(parts.rejects), {}
    by_id = sorted(parts.records, key=lambda record: record.item_id)
    for item_id, same_id in groupby(by_id, key=lambda record: record.item_id):
        rows_of_id = list(same_id)
        try:
            chosen, refused = within(element_secs, combine, rows_of_id, combination)
        except Exception as error:
            chosen, refused = None, not_combined(rows_of_id, error)
        quarantined += refused
        own_rows = rows.pop(item_id, [])
        if own_rows:
            joined[item_id] = _keys_of(own_rows)
        if chosen is not None:
            items.append(attach_images(chosen, own_rows, results))
    # What is left names an item that the catalog has no record of.
    for orphans in rows.values():
        quarantined += [_orphan(row) for row in orphans]
    # An answer on other texts or images would be an answer on another item.
    previous = {
        item.item_id: earlier[item.item_id]
        for item in (items if earlier else ())
        if item.item_id in earlier and earlier[item.item_id].fingerprint == item_fingerprint(item)
    }
    return Bucket(number, tuple(items), tuple(quarantined), joined, previous_answers=previous)


def _keys_of(rows: Sequence[ImageRow]) -> tuple[bytes, ...]:
    """Return the key of each row; of rows that are one object it is one, too."""
    known: dict[int, bytes] = {}
    for row in rows:
        if id(row) not in known:
            known[id(row)] = row.raw.key
    return tuple(known[id(row)] for row in rows)


def by_path(images: Iterable[ImageResult]) -> dict[str, ImageResult]:
    """Results by path; results that refer to another path's features share that one object."""
    resolved = list(images)
    features = {
        image.features.digest: image.features for image in resolved if image.features is not None
    }
    return {
        image.path: replace(image, features=features[image.same_as], same_as=None)
        if image.same_as
        else image
        for image in resolved
    }


def _orphan(row: ImageRow) -> Reject:
    message = f"no record with id {row.item_id!r} in the catalog; remove the row or add the item"
    return Reject(row.raw, "image-table-orphan", "validate", message, row.item_id)


class _Assemble(beam.DoFn):
    def __init__(self, transform: AssembleBuckets) -> None:
        self._combination = transform.combination
        self._element_secs, self._max_bytes = transform.element_secs, transform.max_bytes

    def setup(self) -> None:
        self._meter = Meter("assemble")

    def process(self, grouped: tuple[int, Iterable[SpoolRef]]) -> Iterator[Bucket]:
        number, refs = grouped
        with self._meter.timed():
            parts = _Spooled(refs).parts(self._max_bytes)
            bucket = assemble_bucket(number, parts, self._combination, self._element_secs)
        yield bucket


class _Spooled:
    """The spooled elements of a bucket, of all kinds."""

    def __init__(self, refs: Iterable[SpoolRef]) -> None:
        self._refs = by_kind(refs)

    def read(self, kind: type[Element]) -> Iterator[Element]:
        return read_spool(self._refs[kind.__name__], kind)

    def parts(self, max_bytes: int) -> BucketParts:
        """Return what a bucket is put together from, `max_bytes` of it at most."""
        kinds = (Record, ImageRow, Reject)
        source = Source(
            partial(self.read, Record),
            partial(self.read, ImageRow),
            partial(self.read, Reject),
            key=tuple(tuple(sorted(self._refs[kind.__name__])) for kind in kinds),
        )
        admitted = admit(source, max_bytes)
        parts = BucketParts(
            admitted.records,
            self.read(ImageResult),
            admitted.image_rows,
            admitted.rejects,
            self.read(PreviousAnswer),
        )
        return parts if admitted.is_whole else _of_items(parts)


def _of_items(parts: BucketParts) -> BucketParts:
    """Return the parts without what concerns items that are set aside."""
    ids = {record.item_id for record in parts.records}
    paths = {path for record in parts.records for path in record.image_refs}
    paths |= {path for row in parts.image_rows for path in row.paths}
    return replace(
        parts,
        # What other results refer to is kept, whoever it is of.
        images=(each for each in parts.images if each.path in paths or each.features is not None),
        previous_answers=(each for each in parts.previous_answers if each.item_id in ids),
    )


def bucket_numbers(
    pipeline: beam.Pipeline, numbers: Sequence[int], label: str = ""
) -> beam.PCollection[tuple[int, SpoolRef]]:
    """Return a reference to nothing for each bucket."""
    given = Given([(number, _NOTHING) for number in numbers])
    return pipeline | f"{label}Bucket numbers" >> given.with_output_types(KEYED_REF)


@dataclass(eq=False)
class AssembleBuckets(beam.PTransform):
    """PCollections of KV[bucket, SpoolRef] → buckets.

    With `bucket_numbers` among them every bucket is there, also an empty one, so that a snapshot
    always has all its tables. max_bytes: of a bucket, see `admit`.
    """

    combination: Combination = field(default_factory=Combination)
    element_secs: float = DEFAULT_ELEMENT_SECS
    max_bytes: int = UNBOUNDED

    def step(self) -> FusedStep:
        """Return KV[bucket, SpoolRefs] → Bucket, for stages that go on with buckets at once."""
        return FusedStep(_Assemble(self))

    def expand(
        self, spooled: Sequence[beam.PCollection[tuple[int, SpoolRef]]]
    ) -> beam.PCollection[Bucket]:
        assembling = in_one(self.step()).with_output_types(Bucket)
        return tuple(spooled) | Together() | "Assemble" >> assembling
