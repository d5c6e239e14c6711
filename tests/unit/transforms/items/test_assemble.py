"""Assembling a bucket: every record ends in it once, pictures find their items."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import RowsMode
from schemas.elements import ImageFeatures, ImageResult, ImageRow, RawRecord, Record
from transforms.items.assemble import BucketParts, assemble_bucket, combine_vectors, describe_item
from transforms.normalise.combine import Combination


def record(item_id: str, name: str = "x", paths: tuple[str, ...] = ()) -> Record:
    raw = RawRecord(f"{item_id}{name}".encode(), "jsonl", "in.jsonl", 1)
    return Record(item_id, {"title": name}, {"title": name}, paths, (), raw)


def features(
    digest: str, vector: list[float] | None = None, description: str = ""
) -> ImageFeatures:
    data = np.array(vector, "<f4").tobytes() if vector else b""
    return ImageFeatures(digest, "0" * 16, 1, 1, "PNG", 1, vector=data, description=description)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "yy", "zzz"])), max_size=12),
    st.randoms(),
)
def test_every_record_is_an_item_or_a_reject(keys: list[tuple[str, str]], chance: object) -> None:
    """Rows of items plus rejects equal the records, and their order does not matter."""
    records = [record(item_id, name) for item_id, name in keys]
    bucket = assemble_bucket(0, BucketParts(records))
    rows = sum(1 + len(item.record.rows) for item in bucket.items)
    assert rows + len(bucket.rejects) == len(records)
    assert [item.item_id for item in bucket.items] == sorted({item_id for item_id, _ in keys})
    chance.shuffle(records)  # type: ignore[attr-defined]
    assert assemble_bucket(0, BucketParts(records)).items == bucket.items


class Broken(Combination):
    """A way of combining on which the program fails."""

    def mode_of(self, name: str) -> RowsMode | None:
        raise RuntimeError(f"no mode of {name}")


def test_rows_that_cannot_be_combined_are_set_aside() -> None:
    """Where the program fails on the rows of one item, these are rejects with the fault, and the
    other items are made.
    """
    records = [record("a"), record("a", "y"), record("b")]
    bucket = assemble_bucket(0, BucketParts(records), Broken())
    assert [item.item_id for item in bucket.items] == ["b"]
    assert [reject.reason for reject in bucket.rejects] == ["internal-error"] * 2
    assert "no mode of title" in bucket.rejects[0].message


def test_rows_of_an_image_table_follow_the_records_own_pictures() -> None:
    """An item's pictures are the record's, then the table's in path order, each once."""
    rows = [
        ImageRow("a", path, RawRecord(b"", "csv", "t.csv", 2))
        for path in ("z.png", "own.png", "b.png")
    ]
    images = [ImageResult(path, features(path)) for path in ("own.png", "b.png", "z.png")]
    (item,) = assemble_bucket(0, BucketParts([record("a", paths=("own.png",))], images, rows)).items
    assert [image.path for image in item.images] == ["own.png", "b.png", "z.png"]


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3), max_size=5))
def test_rows_that_add_no_picture_are_repeated(rows: list[list[str]]) -> None:
    """Whatever the order of the rows, each adds a picture or is repeated, and an item has each
    picture once.
    """
    images = [ImageResult(path, features(path)) for path in "abcd"]
    made = []
    for order in (rows, rows[::-1]):
        of_table = [
            ImageRow("a", first, RawRecord(b"", "csv", "t.csv", number), tuple(more))
            for number, (first, *more) in enumerate(order)
        ]
        parts = BucketParts([record("a", paths=("a",))], images, of_table)
        made += assemble_bucket(0, parts).items
    there, back = ([image.path for image in item.images] for item in made)
    assert there == back
    assert sorted(there) == sorted({"a", *chain(*rows)})
    assert made[0].repeated_image_rows == made[1].repeated_image_rows
    assert len(there) - 1 >= len(rows) - made[0].repeated_image_rows >= (len(there) > 1)


def test_a_row_without_its_item_is_quarantined() -> None:
    """A row of an image table whose item is missing is a reject that names the id."""
    row = ImageRow("ghost", "a.png", RawRecord(b"", "csv", "t.csv", 2))
    bucket = assemble_bucket(0, BucketParts((), image_rows=[row]))
    assert [(reject.reason, reject.item_id) for reject in bucket.rejects] == [
        ("image-table-orphan", "ghost")
    ]


def test_an_image_vector_is_the_unit_mean_of_distinct_pictures() -> None:
    """The same picture twice weighs once, and the mean has length one."""
    right, up = (features("", each).vector for each in ([1, 0], [0, 1]))
    vector = combine_vectors([("r", right), ("r", right), ("u", up)])
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector == pytest.approx([2**-0.5, 2**-0.5])


def test_no_picture_gives_no_vector() -> None:
    """Without vectors, or when they cancel out, there is none rather than zeros or NaN."""
    assert combine_vectors([]) is None
    assert combine_vectors([("a", b"")]) is None
    right, left = (features("", each).vector for each in ([1, 0], [-1, 0]))
    assert combine_vectors([("a", right), ("b", left)]) is None


def test_several_pictures_are_numbered() -> None:
    """One description stands alone, several are numbered, equal ones are said once."""
    cat, dog = (
        ImageResult("c", features("c", description="A cat.")),
        ImageResult("d", features("d", description="A dog.")),
    )
    assert describe_item([cat, cat]) == "A cat."
    assert describe_item([cat, dog]) == "Picture 1: A cat. Picture 2: A dog."
    assert describe_item([ImageResult("x", reason="image-missing")]) is None
