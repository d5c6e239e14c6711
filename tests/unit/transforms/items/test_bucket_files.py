"""transforms.items.bucket_files: what a stage spools of a bucket, the next one opens."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

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
    PreviousAnswer,
    RawRecord,
    Record,
    Reject,
    TextChunk,
)
from transforms.items.bucket_files import attach_flags, elements_of, open_bucket
from transforms.runtime.spool import BucketWriter, SpoolRef, SpoolWriter

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
    previous = {"1": PreviousAnswer("1", "f", ItemAnswer("1", values=FILLED))}
    examples = {"1": Example("1")}
    return Bucket(3, (item, item), (reject,), {"1": (b"key",)}, examples, previous)


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


def spooled(folder: Path, sent: Bucket) -> list[SpoolRef]:
    """References to the spooled bucket."""
    writer = BucketWriter(str(folder))
    written = [*writer.add(sent.number, elements_of(sent)), *writer.flush()]
    ((number, refs),) = written
    assert number == sent.number
    return list(refs)


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (ImageResult("a.jpg", FEATURES), ImageResult("b.jpg", reason="image-missing")),
        (ImageResult("a.jpg", FEATURES), ImageResult("b.jpg", FEATURES, note="another case")),
    ],
)
def test_a_bucket_comes_back_as_it_was(shown: tuple[ImageResult, ...], tmp_path: Path) -> None:
    """Values of all types, vectors of all widths, pictures with and without features."""
    sent = bucket(*shown)
    assert plain(open_bucket(3, spooled(tmp_path, sent))) == plain(sent)


def test_a_bucket_without_anything_is_there(tmp_path: Path) -> None:
    """An empty bucket is given on too, without references, so that its tables are written."""
    assert spooled(tmp_path, Bucket(7, ())) == []
    assert open_bucket(7, []) == Bucket(7, ())


def test_a_picture_of_many_items_is_one_object(tmp_path: Path) -> None:
    """Features that a thousand items share are written once and held once, before and after."""
    first = bucket(ImageResult("a.jpg", FEATURES)).items[0]
    many = [replace(first, record=replace(first.record, item_id=f"{n:04}")) for n in range(1_000)]
    arrived = open_bucket(0, spooled(tmp_path, Bucket(0, tuple(many))))
    assert len({id(each.images[0].features) for each in arrived.items}) == 1
    assert arrived.items[-1].images[0].features == FEATURES
    assert [each.item_id for each in arrived.items] == [each.item_id for each in many]


def test_a_long_header_is_written_once(tmp_path: Path) -> None:
    """The header of a wide file stands once in the file, however many items have it."""
    header = random.Random(7).randbytes(1 << 19)
    raw = replace(RAW, header=header)
    first = bucket().items[0]
    many = [
        replace(first, record=replace(first.record, item_id=str(n), raw=raw)) for n in range(99)
    ]
    refs = spooled(tmp_path, Bucket(0, tuple(many)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * len(header)
    assert len({id(each.record.raw.header) for each in open_bucket(0, refs).items}) == 1


def test_flags_reach_their_item() -> None:
    """An item gets each flag once, in the same order whatever the order of the findings, after the
    flags it had.
    """
    flags = [Flag("value-outlier", "weight", detail) for detail in "ba"]
    before = Item(Record("1", {}, {}, (), (), RAW), flags=(Flag("no-content", "", ""), flags[0]))
    after = attach_flags(before, [*flags, *flags])
    assert [flag.detail for flag in after.flags] == ["", "b", "a"]
    assert attach_flags(before, reversed(flags)) == after
    assert attach_flags(before, []) is before


def test_answers_reach_their_item(tmp_path: Path) -> None:
    """An answer is attached to its item, an unusable one is a reject, and an item that a language
    model said nothing of has no description of tags.
    """
    described = [
        replace(
            bucket().items[0],
            record=replace(bucket().items[0].record, item_id=item_id),
            image_description="tags",
            answer=None,
        )
        for item_id in "ab"
    ]
    refs = spooled(tmp_path, Bucket(0, tuple(described)))
    writer = SpoolWriter(str(tmp_path))
    writer.add(0, ItemAnswer("a", description="A mug."))
    writer.add(0, ItemAnswer("b", reason="answer-malformed", message="no JSON", raw="prose"))
    refs += [ref for _, ref in writer.flush()]
    opened = open_bucket(0, refs, is_answered=True)
    assert [item.image_description for item in opened.items] == ["A mug.", None]
    assert [reject.reason for reject in opened.rejects] == ["answer-malformed"]
    assert [item.image_description for item in open_bucket(0, refs).items] == ["tags", "tags"]
