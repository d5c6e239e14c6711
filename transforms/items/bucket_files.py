"""Buckets in spool files between the stages that work on them: Bucket ↔ spooled elements.

Items are written one by one, so that neither a stage nor a runner ever holds a bucket as one
element. What is known of a picture that several items have is written once, as it is held in memory
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import apache_beam as beam
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import (
    Bucket,
    Contradiction,
    Example,
    Finding,
    Flag,
    ImageFeatures,
    ImageResult,
    Item,
    ItemAnswer,
    JoinedRows,
    PreviousAnswer,
    Reject,
    Spooled,
)
from transforms.items.answers import attach_answer, merge_answers, unusable_answer
from transforms.runtime.spool import (
    BucketWriter,
    SpoolRef,
    SpoolRefs,
    at_end,
    by_kind,
    read_spool,
)

Found = TypeVar("Found", Contradiction, Finding)
# What comparing found of an item: all of it → the flags that count.
Judge = Callable[[Item, Sequence[Contradiction], Sequence[Finding]], Iterable[Flag]]


def elements_of(bucket: Bucket) -> Iterator[Spooled]:
    """Yield what a bucket is made of, as it is spooled."""
    yield from map(_Referring(), bucket.items)
    yield from bucket.rejects
    yield from (JoinedRows(item_id, keys) for item_id, keys in bucket.image_rows.items())
    yield from bucket.examples.values()
    yield from bucket.previous_answers.values()


def open_bucket(
    number: int,
    refs: Iterable[SpoolRef | SpoolRefs],
    judge: Judge | None = None,
    *,
    is_answered: bool = False,
) -> Bucket:
    """Return the bucket that was spooled, with what was found and made of its items since.

    judge: says which findings count, None where they are not wanted. is_answered: whether a
    language model was asked; where none was, the tags are the only description.
    """
    kinds = by_kind(refs)
    items = _with_features(read_spool(kinds["Item"], Item))
    previous = {each.item_id: each for each in read_spool(kinds["PreviousAnswer"], PreviousAnswer)}
    rejects = list(read_spool(kinds["Reject"], Reject))
    if judge is not None:
        contradictions = _by_item(read_spool(kinds["Contradiction"], Contradiction))
        findings = _by_item(read_spool(kinds["Finding"], Finding))
        items = [
            attach_flags(
                item,
                judge(item, contradictions.get(item.item_id, ()), findings.get(item.item_id, ())),
            )
            for item in items
        ]
    if is_answered or previous:
        answers = {each.item_id: each for each in read_spool(kinds["ItemAnswer"], ItemAnswer)}
        items = [
            attach_answer(
                item, merge_answers(previous.get(item.item_id), answers.get(item.item_id))
            )
            if is_answered or item.item_id in previous
            else item
            for item in items
        ]
        rejects += filter(None, map(unusable_answer, answers.values()))
    return Bucket(
        number,
        tuple(items),
        tuple(rejects),
        {each.item_id: each.keys for each in read_spool(kinds["JoinedRows"], JoinedRows)},
        {each.item_id: each for each in read_spool(kinds["Example"], Example)},
        previous,
    )


def attach_flags(item: Item, flags: Iterable[Flag]) -> Item:
    """Add flags that were found for an item, each once and in an order of their own, after those
    it has.
    """
    ordered = sorted(set(flags), key=lambda flag: (flag.reason, flag.field, flag.detail))
    new = [flag for flag in ordered if flag not in item.flags]
    return replace(item, flags=(*item.flags, *new)) if new else item


def _by_item(found: Iterable[Found]) -> dict[str, list[Found]]:
    by_item: dict[str, list[Found]] = {}
    for each in found:
        by_item.setdefault(each.item_id, []).append(each)
    return by_item


class _Referring:
    """Items → the same, with a reference in the place of features that an earlier one has."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    def __call__(self, item: Item) -> Item:
        if not item.images:
            return item
        return replace(item, images=tuple(map(self._referring, item.images)))

    def _referring(self, image: ImageResult) -> ImageResult:
        if image.features is None:
            return image
        digest = image.features.digest
        if digest in self._written:
            return replace(image, features=None, same_as=digest)
        self._written.add(digest)
        return image


def _with_features(items: Iterable[Item]) -> list[Item]:
    """Return items, sorted by id, with the features that they refer to."""
    found = sorted(items, key=lambda item: item.item_id)
    features = {
        image.features.digest: image.features
        for item in found
        for image in item.images
        if image.features is not None
    }
    return [_resolved_item(item, features) for item in found]


def _resolved_item(item: Item, features: dict[str, ImageFeatures]) -> Item:
    if all(image.same_as is None for image in item.images):
        return item
    return replace(item, images=tuple(_resolved(image, features) for image in item.images))


def _resolved(image: ImageResult, features: dict[str, ImageFeatures]) -> ImageResult:
    if image.same_as is None:
        return image
    return replace(image, features=features[image.same_as], same_as=None)


class KeepBucket(beam.DoFn):
    """Bucket → its number, and references to what `elements` yields of it."""

    def __init__(
        self, spool_dir: str, elements: Callable[[Bucket], Iterable[Spooled]] = elements_of
    ) -> None:
        self._writer, self._elements = BucketWriter(spool_dir), elements

    def start_bundle(self) -> None:
        self._writer.begin()

    def process(self, bucket: Bucket) -> Iterator[tuple[int, SpoolRefs]]:
        yield from self._writer.add(bucket.number, self._elements(bucket))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from map(at_end, self._writer.flush())
