"""Pictures as people have them: paths made from ids, references of shops, bytes inside records."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cases.support import case, items_of, run_case


def digests(item: dict[str, Any]) -> list[str | None]:
    return [image["digest"] for image in item["images"]]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flags(item: dict[str, Any]) -> dict[str, str]:
    return {flag["reason"]: flag["detail"] for flag in item["flags"]}


def test_07_a_pattern_names_the_picture_of_each_row(tmp_path: Path) -> None:
    """Every row has the picture that its id names, by one line of the template."""
    folder = case("07-styles-csv-picture-by-id")
    written = (folder / "my.yaml").read_text()
    template = tmp_path / "my.yaml"
    template.write_text(
        re.sub(r"images: \{.*?\}.*", 'images: {pattern: "images/{id}.jpg"}', written)
    )
    found = items_of(
        run_case(
            template,
            [folder / "styles.csv"],
            tmp_path / "out",
            "--images-root",
            str(folder / "pics"),
        )
    )
    assert len(found) >= 5
    for item_id, item in found.items():
        assert digests(item) == [digest(folder / "pics" / "images" / f"{item_id}.jpg")]


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("train-00000-of-00001.parquet", "image"),
        ("train-00000-of-00001.parquet", "images"),
        ("raw_bytes.parquet", "image_bytes"),
    ],
)
def test_12_pictures_inside_records(tmp_path: Path, file: str, column: str) -> None:
    """The bytes inside a record are its picture, and no message shows them."""
    folder = case("12-hf-parquet-image-bytes")
    template = tmp_path / "my.yaml"
    written = (folder / "my.yaml").read_text()
    template.write_text(written.replace("columns: [image]", f"columns: [{column}]"))
    snapshot = run_case(template, [folder / file], tmp_path / "out", "--images-root", str(tmp_path))
    found = items_of(snapshot)
    sources = {digest(path) for path in (folder / "src").iterdir()}
    seen = [each for item in found.values() for each in digests(item) if each]
    assert set(seen) <= sources
    assert len(set(seen)) == 5  # of six records, one holds no bytes
    for item in found.values():
        assert "\\x" not in "".join(flag["detail"] or "" for flag in item["flags"])


def test_17_references_of_shops_and_file_systems(tmp_path: Path) -> None:
    """Each reference finds the file that it means; what was read otherwise is flagged with it."""
    folder = case("17-picture-references")
    catalog = tmp_path / "catalog.csv"
    catalog.write_text((folder / "catalog.csv").read_text().replace("@HERE@", str(folder)))
    pictures = folder / "pics" / "images"
    found = items_of(
        run_case(
            folder / "my.yaml",
            [catalog],
            tmp_path / "out",
            "--images-root",
            str(folder / "pics"),
        )
    )
    by_name = {each.name: digest(each) for each in pictures.rglob("*") if each.is_file()}
    by_form = {item_id.partition("-")[0]: item for item_id, item in found.items()}
    accents = {name: value for name, value in by_name.items() if not name.isascii()}
    assert digests(by_form["01"])[0] in accents.values()
    assert digests(by_form["02"])[0] in accents.values()
    assert digests(by_form["01"]) != digests(by_form["02"])
    right = {
        "03": ["IMG_0001.JPG"],
        "04": ["red mug.jpg"],
        "05": ["blue.jpg"],
        "06": ["green.jpg"],
        "07": ["parka.jpg"],
        "08": ["lamp.jpg"],
        "09": ["a&b.jpg"],
        "10": ["noext"],
        "11": ["plain.jpg"],
        "12": ["plain.jpg"],
        "13": ["plain.jpg"],
        "15": ["plain.jpg"],
        "17": ["plain.jpg"],
        "18": ["plain.jpg", "blue.jpg"],
        "19": ["plain.jpg", "blue.jpg"],
    }
    for form, names_of in right.items():
        assert digests(by_form[form]) == [by_name[name] for name in names_of], form
    mended = {form for form, item in by_form.items() if "image-reference-mended" in flags(item)}
    assert {"01", "02", "03", "04", "05", "07", "09", "11", "12", "13", "15", "17", "19"} <= mended
    assert not mended & {"06", "08", "10", "18"}
    assert by_form["16"]["images"][0]["width_px"] == 1
