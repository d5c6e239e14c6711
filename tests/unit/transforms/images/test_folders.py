"""Whose picture a file is that has only its name in common with a reference."""

import pytest

from transforms.images.folders import are_of_other_things


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("green/front.jpg", "red/front.jpg"),
        ("p/red-mug/front.jpg", "front.jpg"),
        ("front.jpg", "red-mug/front.jpg"),
        ("red-mug/large/main_2.jpg", "blue-mug/large/main_2.jpg"),
        ("mug/red.jpg", "cup/red.jpg"),
        ("4711/1.jpg", "1.jpg"),
        ("p/123/mug-4711.jpg", "124/mug-4711.jpg"),
    ],
)
def test_pictures_of_other_things(reference, path):
    """Views, colours and numbers say nothing of the thing, so that other folders are other things;
    numbered folders are, whatever the name.
    """
    assert are_of_other_things(reference.split("/"), path)


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("green/teapot.jpg", "red/teapot.jpg"),
        ("uploads/2024/05/front.jpg", "front.jpg"),
        ("images/front.jpg", "pictures/large/front.jpg"),
        ("m/u/front.jpg", "front.jpg"),
        ("red-mug/500x500/front.jpg", "red-mug/full/front.jpg"),
        ("p/red/4006381333931.jpg", "4006381333931.jpg"),
    ],
)
def test_pictures_that_may_be_the_same(reference, path):
    """A name of its own says whose picture it is, and folders that all share say nothing."""
    assert not are_of_other_things(reference.split("/"), path)
