"""From a reference as people write it to the one file that it means."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures, Place

FILES = (
    "images/Löffel.jpg",
    "images/IMG_1.JPG",
    "images/red mug.jpg",
    "images/a&b.jpg",
    "images/50%.jpg",
    "images/photo.jpeg",
    "images/noext",
    "2024/main.jpg",
    "same/Twin.jpg",
    "same/twin.JPG",
    "left/hero.jpg",
    "right/hero.jpg",
    "124/front.jpg",
    "red/back.jpg",
    "side.jpg",
    "red/teapot-17.jpg",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("found") / "root"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (root.parent / "secret.jpg").write_bytes(b"secret")
    (root / "out").symlink_to(root.parent)
    return root


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        (unicodedata.normalize("NFD", "images/Löffel.jpg"), "images/Löffel.jpg"),
        ("IMAGES/löffel.JPG", "images/Löffel.jpg"),
        ("images/L%C3%B6ffel.jpg", "images/Löffel.jpg"),
        ("images/L%25C3%25B6ffel.jpg", None),
        ("images/img_1.jpg", "images/IMG_1.JPG"),
        ("images/IMG_1", "images/IMG_1.JPG"),
        ("images/IMG_1.png", "images/IMG_1.JPG"),
        ("images/red%20mug.jpg?v=3#top", "images/red mug.jpg"),
        ("images\\red mug.jpg", "images/red mug.jpg"),
        ("images\\RED%20MUG.jpg", "images/red mug.jpg"),
        ("images/a&amp;b.jpg", "images/a&b.jpg"),
        ("images/a&#38;b.jpg", "images/a&b.jpg"),
        ("images/50%.jpg", "images/50%.jpg"),
        ("images/photo.jpg", "images/photo.jpeg"),
        ("images/noext.jpg", "images/noext"),
        ('"images/photo.jpeg"', "images/photo.jpeg"),
        ("/images/photo.jpeg", "images/photo.jpeg"),
        ("D:\\shop\\export\\images\\photo.jpeg", "images/photo.jpeg"),
        ("\\\\nas\\share\\images\\photo.jpeg", "images/photo.jpeg"),
        ("https://cdn.example/files/photo.jpeg?width=100", "images/photo.jpeg"),
        ("https://cdn.example/green/teapot-17.jpg", "red/teapot-17.jpg"),
        ("https://cdn.example/get?file=photo.jpeg", "images/photo.jpeg"),
        ("https://cdn.example/left/hero.jpg", "left/hero.jpg"),
        ("//cdn.example/images/PHOTO.jpeg", "images/photo.jpeg"),
        ("https://cdn.example/images/a%26b.jpg", "images/a&b.jpg"),
        ("https://cdn.example/get?thumb=photo.jpeg&file=teapot-17.jpg", None),
        ("https://cdn.example/100/main.jpg", None),
        ("https://cdn.example/p/125/front.jpg", None),
        ("images/other.jpg", None),
        ("photo.jpeg", None),
        ("left/front.jpg", None),
        ("file:///somewhere/else/nothing.jpg", None),
    ],
)
def test_finds_the_one_that_fits(root: Path, reference: str, file: str | None) -> None:
    """A reference finds the file that it differs from in its writing only, and says what differs;
    a file of the same name in another folder is another picture.
    """
    pictures = Pictures(str(root))
    place = pictures.place(reference)
    if file is None:
        assert not isinstance(pictures.read(reference, ImageLimits()), bytes)
        return
    assert isinstance(place, Place), place
    assert place.path == file
    assert bool(place.note) == (reference != file)
    assert pictures.read(reference, ImageLimits()) == file.encode()


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("same/TWIN.jpg", "same/Twin.jpg"),
        ("same/twin.webp", "same/Twin.jpg"),
        ("https://cdn.example/x/hero.jpg", "left/hero.jpg"),
        ("https://cdn.example/HERO.JPG", "right/hero.jpg"),
        ("/srv/shop/hero.jpg", "left/hero.jpg"),
        ("C:\\hero.jpg", "right/hero.jpg"),
        ("//cdn.example/hero.webp", "left/hero.jpg"),
        ("https://cdn.example/x?f=hero.jpg", "left/hero.jpg"),
        ("https://cdn.example/p/125/front.jpg", "124/front.jpg"),
        ("https://cdn.example/green/back.jpg", "red/back.jpg"),
        ("https://cdn.example/back.jpg", "red/back.jpg"),
        ("/srv/shop/green-mug/BACK.JPG", "red/back.jpg"),
        ("https://cdn.example/p/red-mug/side.jpg", "side.jpg"),
        ("https://cdn.example/p/4711/side.webp", "side.jpg"),
    ],
)
def test_several_that_fit_are_told(root: Path, reference: str, named: str) -> None:
    """Of several files that fit none is taken; the message names them."""
    place = Pictures(str(root)).place(reference)
    assert isinstance(place, PictureProblem)
    assert place.reason == "image-ambiguous"
    assert named in place.message


@pytest.mark.parametrize(
    "reference",
    [
        "%2e%2e/secret.jpg",
        "images/..%2f..%2fsecret.jpg",
        "images%5C..%5C..%5Csecret.jpg",
        "https://cdn.example/../secret.jpg",
        "file:///{top}/secret.jpg",
        "{top}/secret.jpg",
        "/{top}/root/../secret.jpg",
        "out/SECRET.jpg",
        "OUT/secret.jpg",
        "https://cdn.example/out/secret.jpg",
        "&#46;&#46;/secret.jpg",
    ],
)
def test_nothing_outside_is_found(root: Path, reference: str) -> None:
    """However a path is encoded, it leads to nothing outside the root."""
    found = Pictures(str(root)).read(reference.replace("{top}", str(root.parent)), ImageLimits())
    assert isinstance(found, PictureProblem)


_PIECES = st.sampled_from(
    ["a", "b", ".", "/", "\\", "%2e", "%2f", "é", "&amp;", "?", "https://", "["]
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_never_raises(reference: str) -> None:
    """Whatever a reference holds, the answer is a place or a reason."""
    assert isinstance(Pictures("/nonexistent").place(reference), Place | PictureProblem)


@given(st.text("abÄéß 0-_", min_size=1, max_size=8).filter(lambda t: t.strip() == t))
def test_encoded_is_found_as_written(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """A percent-encoded reference in either form of Unicode finds the file of that name."""
    root = tmp_path_factory.mktemp("one")
    (root / f"{name}.jpg").write_bytes(b"x")
    for form in ("NFC", "NFD"):
        encoded = quote(unicodedata.normalize(form, f"{name}.jpg"))
        assert Pictures(str(root)).read(encoded, ImageLimits()) == b"x"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("https://cdn.example/x/red%20mug.jpg?v=3", "end of the address"),
        ("images/img_1.jpg", "upper and lower case"),
        ("images\\red mug.jpg", "backslash"),
        ("https://cdn.example/x/photo.jpeg", "end of the address"),
    ],
)
def test_only_what_differs_is_told(root: Path, reference: str, told: str) -> None:
    """What is said of a file that was found names the differences that there are, and no others."""
    found = Pictures(str(root)).place(reference)
    assert isinstance(found, Place)
    assert found.note.rpartition(": ")[2] == told


def test_secrets_stay_out_of_messages(root: Path) -> None:
    """A password or a signature in an address is in no message."""
    found = Pictures(str(root)).place("https://me:s3cret@cdn.example/images/photo.jpeg?sig=t0ken")
    assert isinstance(found, Place)
    assert "s3cret" not in found.note
    assert "t0ken" not in found.note


def test_pictures_out_of_records_are_kept_by_content(tmp_path: Path) -> None:
    """What is kept is found by its content, and kept once."""
    pictures = Pictures(str(tmp_path), str(tmp_path / "kept"))
    reference = pictures.keep(b"bytes")
    assert pictures.keep(b"bytes") == reference
    assert pictures.read(reference, ImageLimits()) == b"bytes"
    assert len([each for each in (tmp_path / "kept").rglob("*") if each.is_file()]) == 1
