"""Which files lie below a root: folders of a disk, and object stores, which are listed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory_storage import MemoryStorage
from transforms.images.finding import Pictures
from transforms.images.listing import beginnings
from transforms.runtime.listing import list_files
from transforms.runtime.storage import find_file

ROOT = "store://shop/root"


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    clear()
    yield
    clear()


def clear() -> None:
    MemoryStorage.files.clear()
    MemoryStorage.requests.clear()
    MemoryStorage.forbids_listing = False


def put(*paths: str) -> None:
    MemoryStorage.files.update({f"{ROOT}/{path}": path.encode() for path in paths})


def requests() -> int:
    return MemoryStorage.requests.total()


def versions(references: list[str], *, at_once: bool) -> dict[str, str]:
    pictures = Pictures(ROOT)
    if at_once:
        pictures.get_ready(references)
    return {each: pictures.version(each) for each in references}


FOLDERS = ("", "a/", "A/", "a/b/", "b/12/", "b/13/")
NAMES = (
    "1.jpg",
    "1.JPG",
    "1.png",
    "2.jpg",
    "é.jpg",
    "É.jpg",
    "main.jpg",
    "one",
    "%2e.jpg",
    "[1].jpg",
)
REFERENCES = ("{}", "/x/{}", "https://cdn.example/{}?v=1", "./{}", "{}.bak", "\\{}", "..{}")


@given(
    st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=12),
    st.lists(
        st.tuples(st.sampled_from(REFERENCES), st.sampled_from(FOLDERS), st.sampled_from(NAMES)),
        max_size=12,
    ),
    st.sampled_from(("NFC", "NFD")),
)
def test_listing_finds_what_asking_finds(
    tmp_path_factory: pytest.TempPathFactory,
    files: set[tuple[str, str]],
    asked: list[tuple[str, str, str]],
    form: str,
) -> None:
    """However many references are asked for at once, each means the file that it means alone, with
    the same version, and the file of that path on a disk.
    """
    clear()
    put(*map("".join, files))
    folder = tmp_path_factory.mktemp("root")
    for name in map("".join, files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    references = [
        unicodedata.normalize(form, written.format(below + name)) for written, below, name in asked
    ]
    at_once, alone, on_disk = Pictures(ROOT), Pictures(ROOT), Pictures(str(folder))
    at_once.get_ready(references)
    for reference in references:
        place = alone.place(reference)
        assert at_once.place(reference) == place
        assert at_once.version(reference) == alone.version(reference)
        assert _path(place) == _path(on_disk.place(reference))


def _path(place: object) -> str:
    return str(getattr(place, "path", None) or getattr(place, "reason", ""))


def test_an_unchanged_night_takes_a_listing() -> None:
    """The versions of 2,500 pictures take three pages of a listing, and no question for a single
    one; so do pictures that are named by addresses, or by paths of other case.
    """
    paths = [f"images/{n % 7}/mug{n}.jpg" for n in range(2500)]
    put(*paths)
    addresses = [f"https://cdn.example/x/mug{n}.jpg?v=1" for n in range(2500)]
    expected = {path: find_file(f"{ROOT}/{path}") for path in paths}
    for references, most in ((paths, 3 + 7), (addresses, 3), ([p.upper() for p in paths], 3 + 7)):
        MemoryStorage.requests.clear()
        found = versions(references, at_once=True)
        assert MemoryStorage.requests["metadata"] == 0
        assert MemoryStorage.requests["list"] <= most
        for path, version in zip(paths, found.values(), strict=True):
            file = expected[path]
            assert version.startswith(f"{file.size_bytes}:{file.modified_secs}")


@pytest.mark.parametrize("wanted", [1, 2, 3, 10])
def test_few_pictures_of_a_large_store(wanted: int) -> None:
    """A listing is left when asking for each would have been cheaper: never more than twice as many
    requests are made.
    """
    put(*(f"{n:06}.jpg" for n in range(30_000)))
    references = [f"{29_999 - n * 3:06}.jpg" for n in range(wanted)]
    assert all(versions(references, at_once=True).values())
    assert requests() <= 2 * wanted


def test_other_folders_are_not_listed() -> None:
    """Of a bucket with millions of other objects only the folders of the pictures are listed."""
    put(*(f"logs/{n}" for n in range(5000)))
    pictures = [*(f"images/{n}.jpg" for n in range(50)), *(f"photos/{n}.jpg" for n in range(50))]
    put(*pictures)
    assert all(versions(pictures, at_once=True).values())
    assert requests() == 2


def test_a_store_that_may_not_be_listed() -> None:
    """Where listing is forbidden, exact paths are asked for one by one, and nothing is guessed."""
    put(*(f"{n}.jpg" for n in range(5)))
    MemoryStorage.forbids_listing = True
    found = versions([*(f"{n}.jpg" for n in range(5)), "9.JPG", "4.JPG"], at_once=True)
    assert [bool(each) for each in found.values()] == [True] * 5 + [False] * 2


def test_objects_that_are_no_files() -> None:
    """Keys that end as folders do, or have empty parts, are taken for no picture."""
    put("images/", "images//1.jpg", "images/2.jpg")
    assert list(versions(["images/1.jpg", "https://x.example/1.jpg"], at_once=True).values()) == [
        "",
        "",
    ]


@given(
    st.sets(
        st.lists(st.sampled_from(["a", "b", "ab", "c1"]), min_size=1, max_size=4).map("/".join),
        max_size=60,
    )
)
def test_what_is_listed_holds_every_path(paths: set[str]) -> None:
    """Each path begins as one listing does, and is looked for in that one alone."""
    parted = beginnings(paths)
    assert sorted(chain(*parted.values())) == sorted(paths)
    assert all(path.startswith(begin) for begin, group in parted.items() for path in group)
    assert len(parted) <= 16


def test_a_listing_says_what_each_file_says() -> None:
    """A file is listed as it is described when it is asked for, whatever its name."""
    put("a[1]*.jpg", "é?.jpg", "b/c.jpg")
    listed = list(list_files(f"{ROOT}/"))
    assert listed == [find_file(each.path) for each in listed]
    assert len(listed) == 3
    assert [each.path for each in list_files(f"{ROOT}/a[1]*")] == [f"{ROOT}/a[1]*.jpg"]
