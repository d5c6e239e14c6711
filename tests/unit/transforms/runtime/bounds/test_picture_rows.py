"""Rows of tables of pictures: how many an item takes, and what becomes of the others."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import pytest

from schemas.elements import ImageResult, ImageRow, RawRecord, Record
from transforms.items.assemble import BucketParts, assemble_bucket
from transforms.runtime.bounds.admission import Source, admit
from transforms.runtime.bounds.picture_rows import MAX_IMAGE_ROWS
from transforms.tables.build import RunInfo, records_table


def record(item_id: str, size: int = 10) -> Record:
    raw = RawRecord(item_id.encode() * size, "jsonl", "in.jsonl", 1)
    return Record(item_id, {}, {}, (), (), raw)


def row(item_id: str, number: int, position: int) -> ImageRow:
    """A row of a table of pictures, by what it says and where it stands."""
    raw = RawRecord(f"{item_id},{number}.png\n".encode(), "csv", "t.csv", position)
    return ImageRow(item_id, f"{number}.png", raw)


def test_rows_that_say_the_same_take_as_little_as_one() -> None:
    """A bucket takes a hundred thousand rows that repeat three in less than a row in a hundred would
    need, the item has each picture once, and the table of records has each row.
    """

    def rows() -> Iterator[ImageRow]:
        return (row("a", position % 3, position) for position in range(100_000))

    admitted = admit(Source(lambda: [record("a")], rows), 20_000)
    assert admitted.is_whole
    assert len(admitted.image_rows) == 100_000
    assert len(set(map(id, admitted.image_rows))) == 3
    images = [ImageResult(f"{number}.png", reason="image-missing") for number in range(3)]
    bucket = assemble_bucket(0, BucketParts([record("a")], images, admitted.image_rows))
    (item,) = bucket.items
    assert [image.path for image in item.images] == ["0.png", "1.png", "2.png"]
    fates = records_table(bucket, RunInfo("r1", dt.datetime.now(dt.UTC), {}))["fate"].to_pylist()
    assert Counter(fates) == {"item": 1, "attached": 3, "repeated": 99_997}


@pytest.mark.parametrize("most", [1 << 30, 9_000_000])
def test_an_item_goes_on_without_too_many_rows(most: int) -> None:
    """Where an item has more different rows than it may have all of them are set aside, each with
    its own place, and it stays, as do the others with theirs; whether or not all fit.
    """
    count = MAX_IMAGE_ROWS + 1
    # Twice each: what says the same counts once, and is set aside as often as it is there.
    crowd = [row("a", position // 2, position) for position in range(2 * count)]
    few = [row("b", position // 2, position) for position in range(20)]
    records = [record("a"), record("b"), record("c")]
    admitted = admit(Source(lambda: records, lambda: crowd + few), most)
    assert not admitted.is_whole
    assert [each.item_id for each in admitted.records] == ["a", "b", "c"]
    assert Counter(each.item_id for each in admitted.image_rows) == {"b": 20}
    assert {(each.reason, each.item_id) for each in admitted.rejects} == {
        ("too-many-image-rows", "a")
    }
    assert [each.raw.position for each in admitted.rejects] == list(range(2 * count))


def test_as_many_rows_as_allowed_are_taken() -> None:
    """At the limit nothing is set aside."""
    rows = [row("a", number, number) for number in range(MAX_IMAGE_ROWS)]
    admitted = admit(Source(lambda: [record("a")], lambda: rows), 1 << 30)
    assert admitted.is_whole
    assert admitted.image_rows == rows
