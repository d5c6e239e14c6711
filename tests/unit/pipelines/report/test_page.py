"""The run report without a browser: its numbers, its bounds, and what must never be on it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipelines.report import render
from pipelines.report.groups import Groups, near
from pipelines.report.projection import HEIGHT, WIDTH, project
from pipelines.snapshots.manifest import read_manifest
from tests.support import Run, Shop
from transforms.describe.usage import Usage
from transforms.images.files import ImageLimits

RECORDS = [
    {
        "sku": f"s{n}",
        "name": f"Red mug {n}, a rather long title that says what it is",
        "photos": f"{n % 2}.png",
        "text": "Same text for all of these mugs, so that they look alike.",
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run and the folder of its pictures."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    for number in range(2):
        shop.picture(f"{number}.png", ("red", "blue")[number])
    run = shop.run(shop.file("in.jsonl", [*RECORDS, {"name": "<b>nobody</b>"}]))
    assert run.code == 0
    return run, shop.images


def page_of(run: Run, images: Path | None) -> str:
    root = None if images is None else str(images)
    return render(
        str(run.snapshot), read_manifest(f"{run.snapshot}/manifest.json"), root, ImageLimits()
    )


def at(manifest: object, path: str) -> object:
    value = manifest
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]  # type: ignore[index]
    return value


def test_numbers_are_the_manifests(made: tuple[Run, Path]) -> None:
    """Every number that says where it stems from is what the manifest has there."""
    found = re.findall(r'data-manifest="([^"]+)" data-value="([^"]+)"', page_of(*made))
    assert len(found) > 50
    for path, value in found:
        if ":" not in path:  # keys with dots or colons are looked at in the browser's test
            assert at(made[0].manifest, path) == json.loads(value), path


def test_what_a_server_said_most_is_quoted(made: tuple[Run, Path]) -> None:
    """Words of failures stand on the page with their items and what may help, as text and never as markup."""
    run, images = made
    manifest = read_manifest(f"{run.snapshot}/manifest.json")
    words = {'model-refused: HTTP 400: Unknown name "seed" <b>': 7}
    described = Usage(items=9, failed_words=words)
    counts = msgspec.structs.replace(manifest.counts, described=described)
    said = msgspec.structs.replace(manifest, counts=counts)
    page = render(str(run.snapshot), said, str(images), ImageLimits())
    assert "Unknown name &#34;seed&#34; &lt;b&gt;" in page
    assert "--server-takes seed_field=none" in page
    assert "What was said of items" not in page_of(*made)


def test_the_page_loads_nothing(made: tuple[Run, Path]) -> None:
    """Its content policy forbids every request, and nothing on it names one."""
    page = page_of(*made)
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#|data_docs/)""", page)
    assert "<b>nobody</b>" not in page
    assert "&lt;b&gt;nobody" in page


def test_pictures_are_on_it_once_and_only_below_their_root(made: tuple[Run, Path]) -> None:
    """Each picture is inlined once; without a root none is, and the page says so."""
    page = page_of(*made)
    pictures = re.findall(r'<img id="picture-\d+" src="(data:image/jpeg;base64,[^"]+)"', page)
    assert len(pictures) == len(set(pictures)) == 2
    assert "data:image/jpeg" not in page_of(made[0], None)


def test_pictures_that_are_kept_need_no_root(shop: Shop) -> None:
    """A picture that stood in its record is on the page, whether a root was given or not; one whose
    content is gone is not, and nothing of an address's signature is.
    """
    data = base64.b64encode((shop.images / shop.picture("in.png", "green")).read_bytes()).decode()
    record = {"sku": "s", "name": "Green mug", "photos": f"data:image/png;base64,{data}"}
    signed = {"sku": "t", "name": "Mug", "photos": "https://cdn.example/a.jpg?sig=s3cret"}
    run = shop.run(shop.file("in.jsonl", [record, signed]))
    assert run.code == 0
    for root in (shop.images, None):
        page = page_of(run, root)
        assert page.count("data:image/jpeg;base64,") == 1
        assert "s3cret" not in page
    shutil.rmtree(run.output / "kept-pictures")
    assert "data:image/jpeg" not in page_of(run, shop.images)


def test_the_same_snapshot_gives_the_same_page(made: tuple[Run, Path]) -> None:
    """Samples and the map are drawn with a fixed seed."""
    assert page_of(*made) == page_of(*made)


def test_items_without_a_record_are_in_no_example(shop: Shop) -> None:
    """What --keep-deleted keeps is neither counted nor shown as an item of today."""
    shop.picture("0.png")
    shop.picture("1.png", "blue")
    assert shop.run(shop.file("in.jsonl", RECORDS)).code == 0
    options = ("--keep-deleted", "--refresh-share", "1")
    run = shop.run(shop.file("in.jsonl", RECORDS[1:]), options=options)
    assert run.manifest["counts"]["items_deleted"] == 1
    page = page_of(run, shop.images)
    assert "Red mug 0," not in page
    assert "Red mug 1," in page


def test_groups_name_what_is_alike(made: tuple[Run, Path]) -> None:
    """Items that share a picture file or a text are a group, with how many they are."""
    page = page_of(*made)
    assert "the same picture file" in page
    assert "the same picture file" in str(Groups().counts())


def test_near_vectors_are_pairs_of_the_sample() -> None:
    """Two vectors that nearly coincide are a pair, unless a group has both already; others are not."""
    vectors = {
        "a": np.array([1, 0], np.float32),
        "b": np.array([1, 1e-4], np.float32),
        "c": np.array([0, 1], np.float32),
    }
    (pair,) = near(vectors, [])
    assert set(pair.ids) == {"a", "b"}
    assert near(vectors, [pair]) == []


@pytest.mark.parametrize("count", [0, 2, 3, 60])
def test_the_map_has_room_for_all(count: int) -> None:
    """Every vector lies within the drawing, at the same place each time; too few give no map."""
    draw = np.random.default_rng(1).standard_normal((count, 8)).astype(np.float32)
    vectors = {f"i{number}": row for number, row in enumerate(draw)}
    points, method = project(vectors, 7)
    assert len(points) == (0 if count < 3 else count)
    assert method == {0: "", 2: "", 3: "PCA", 60: "t-SNE"}[count]
    assert all(0 <= point.x <= WIDTH and 0 <= point.y <= HEIGHT for point in points)
    assert project(vectors, 7) == (points, method)


def test_equal_vectors_are_no_trouble() -> None:
    """A catalog in which all texts are the same still gets its page."""
    points, _ = project({f"i{n}": np.ones(4, np.float32) / 2 for n in range(50)}, 7)
    assert len(points) == 50
