"""Lists of objects, and structures of other languages in text cells."""

from pathlib import Path

import pytest

from tests.cases.support import case, items_of, run_case


def pictures_of(snapshot: Path) -> dict[str, list[str]]:
    """Return the names of the pictures of each item, in their order."""
    return {
        item_id: [Path(image["path"]).stem for image in item["images"]]
        for item_id, item in items_of(snapshot).items()
        if item["images"]
    }


@pytest.mark.parametrize("name", ["meta_Sample.jsonl", "meta_hf.jsonl"])
@pytest.mark.parametrize("written", ["images.", "images[].", "images[*]."])
def test_images_as_a_list_of_objects(name, written, tmp_path):
    """The pictures in a list of objects are found, by rows and by columns (06)."""
    folder = case("06-amazon2023-images-list-of-dicts")
    template = tmp_path / "my.yaml"
    columns = f'["{written}hi_res", "{written}large"]'
    text = (folder / "my.yaml").read_text().replace("[images.hi_res, images.large]", columns)
    template.write_text(text)
    options = ("--images-root", str(folder / "pics"))
    snapshot = run_case(template, [folder / name], tmp_path / "out", *options)
    assert pictures_of(snapshot) == {
        "B0AAAA0001": ["a1_h", "a1_l", "a2_l"],
        "B0AAAA0002": ["b1_l"],
        "B0AAAA0004": ["d1_h", "d1_l"],
        "B0AAAA0005": ["e1_h", "e1_l"],
    }
    items = items_of(snapshot)
    assert [items[f"B0AAAA000{n}"]["brand"] for n in range(1, 6)] == [
        *("Bartholm", None, "Hem & Co", "Trehus", "Hem & Co")
    ]


def test_ruby_hashes(tmp_path):
    """Ruby's hashes with a list of keys and values are looked into by key (11)."""
    folder = case("11-flipkart-ruby-hash")
    options = ("--images-root", str(folder / "pics"))
    items = items_of(
        run_case(folder / "my.yaml", [folder / "flipkart.csv"], tmp_path / "out", *options)
    )
    assert {item_id: item["weight"] for item_id, item in items.items()} == {
        **dict.fromkeys(["u1", "u3", "u4", "u5"]),
        "u2": 45,
    }
    assert [items[f"u{n}"]["color"] for n in range(1, 6)] == [
        *(None, ["Brown"], ["Red"], None, ["Blue", "White"])
    ]


def test_python_repr(tmp_path):
    """Lists and dictionaries in Python's repr are lists and dictionaries (13)."""
    folder = case("13-python-repr-cells")
    options = ("--images-root", str(folder / "pics"))
    snapshot = run_case(folder / "my.yaml", [folder / "meta.csv"], tmp_path / "out", *options)
    items = items_of(snapshot)
    ids = ("A1", "A2", "A3", "A4", "A5")
    assert [items[each]["brand"] for each in ids] == ["Bartholm", "Ridge's", None, "Trehus", None]
    assert [items[each]["categories"] for each in ids] == [
        *("Beauty, Men", "Tools", None, "Home, Kitchen", "Home")
    ]
    assert sum(map(len, pictures_of(snapshot).values())) == 5
