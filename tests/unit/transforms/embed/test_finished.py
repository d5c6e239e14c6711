"""Vectors of items that are finished, as far as pictures are concerned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemas.elements import ImageFeatures, ImageResult
from tests.items import item
from transforms.embed.finished import with_picture_vectors

ONE = np.array([1, 0], "<f4").tobytes()
OTHER = np.array([0, 1], "<f4").tobytes()


def result(digest: str, vector: bytes) -> ImageResult:
    features = ImageFeatures(digest, "", 9, 9, "PNG", 1, vectors={"looks": vector})
    return ImageResult(f"{digest}.png", features)


ROWS = [
    {"path": "x.png", "digest": "x"},
    {"path": "y.png", "digest": "y"},
    {"path": "gone.png", "digest": None},
]
FOUND = {"x.png": result("x", ONE), "y.png": result("y", OTHER)}


def test_usable_pictures_give_the_vector_that_a_first_run_gives() -> None:
    """The mean of what could be used when the item was made, of length one."""
    made = with_picture_vectors(item({}), ROWS, FOUND, ["looks"])
    assert made.vectors["looks"] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert made.flags == ()
    alone = with_picture_vectors(item({}), ROWS[2:], FOUND, ["looks"])
    assert (alone.vectors, alone.flags) == ({}, ())


@pytest.mark.parametrize(
    "lost",
    [
        {},
        {"y.png": ImageResult("y.png", reason="image-unreadable")},
        {"y.png": replace(result("z", OTHER), path="y.png")},
    ],
    ids=["not looked at", "unreadable", "other content"],
)
def test_an_item_of_which_a_picture_is_lost_has_no_vector(lost: dict[str, ImageResult]) -> None:
    """Not one of the pictures that are left: a flag says how many are lost, so that the next run
    looks at the whole item again.
    """
    found = {"x.png": FOUND["x.png"], **lost}
    made = with_picture_vectors(item({}), ROWS, found, ["looks", "style"])
    assert made.vectors == {}
    assert [(each.reason, each.field) for each in made.flags] == [
        ("embed-failed", "looks_vector"),
        ("embed-failed", "style_vector"),
    ]
    assert {each.detail for each in made.flags} == {"1 of 2 pictures could not be read again"}
