"""Buckets on their way between stages: everything arrives, and is held as often as before."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from schemas.elements import (
    AttributeValue,
    Bucket,
    Evidence,
    Example,
    Flag,
    ImageFeatures,
    ImageResult,
    Item,
    ItemAnswer,
    RawRecord,
    Record,
    Reject,
    TextChunk,
)
from transforms.items.assemble import AssembleBuckets
from transforms.items.bucket_coder import BucketCoder

RAW = RawRecord(b'{"id": "1"}', "jsonl", "in.jsonl", 1)
VECTOR = np.arange(4, dtype=np.float32)
FEATURES = ImageFeatures("d", "0" * 16, 1, 1, "PNG", 1, vectors={"look": b"1234", "same": None})
VALUES = {"price": 12.5, "tags": ["new", "eco"], "title": {"de": "Becher", "en": "mug"}, "on": True}
FILLED = {
    "color": AttributeValue("Red", "text", "rules", 0.9, Evidence("title", 0, 3, "red")),
    "size": AttributeValue(None, reason="below-threshold", candidate=["S"]),
}


def bucket(*shown: ImageResult) -> Bucket:
    record = Record("1", VALUES, {"price": "12.50"}, ("a.jpg",), (Flag("no-content", "", ""),), RAW)
    item = Item(
        record,
        shown,
        FILLED,
        text_vector=VECTOR,
        vectors={"text": VECTOR, "half": VECTOR.astype(np.float16)},
        chunks={"text": (TextChunk(0, 3, 1, "", "mug", VECTOR),)},
        answer=ItemAnswer("1", values=FILLED),
    )
    reject = Reject(RAW, "missing-id", "normalise", "no id")
    return Bucket(3, (item, item), (reject,), {"1": (b"key",)}, {"1": Example("1")})


def plain(value: Any) -> Any:
    """The value as what can be compared; equal arrays are not equal to Python."""
    if is_dataclass(value):
        return type(value).__name__, [plain(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value), list(map(plain, value))
    return type(value), value


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (ImageResult("a.jpg", FEATURES), ImageResult("b.jpg", reason="image-missing")),
        (ImageResult("a.jpg", FEATURES), ImageResult("b.jpg", FEATURES, note="another case")),
    ],
)
def test_a_bucket_arrives_as_it_was(shown: tuple[ImageResult, ...]) -> None:
    """Values of all types, vectors of all widths, pictures with and without features."""
    coder = BucketCoder()
    sent = bucket(*shown)
    assert plain(coder.decode(coder.encode(sent))) == plain(sent)


def test_a_picture_of_many_items_is_one_object() -> None:
    """Features that a thousand items share are written once and held once, before and after."""
    coder = BucketCoder()
    (item, _) = bucket(ImageResult("a.jpg", FEATURES)).items
    sent = Bucket(0, (item,) * 1_000)
    arrived = coder.decode(coder.encode(sent))
    assert {id(each.images[0].features) for each in arrived.items} == {
        id(arrived.items[0].images[0].features)
    }
    alone = len(coder.encode(Bucket(0, (bucket().items[0],) * 1_000)))
    assert len(coder.encode(sent)) - alone < 200_000


def test_the_stages_use_it() -> None:
    """Beam has this coder for buckets wherever the stage that makes them is imported."""
    assert AssembleBuckets.__module__
    assert isinstance(beam.coders.registry.get_coder(Bucket), BucketCoder)
