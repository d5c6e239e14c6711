"""Several rows that make one item: exports of shops with a row a variant, picture or translation."""

from pathlib import Path

from tests.cases.support import case, items_of, run_case

NAME = "01-shopify-variant-rows"
OPTIONS = {
    "values: [Blue, Green, Red],": "values: [Blue, Green, Red], absent: [Default Title],",
    "{columns: [Image Src]}": "{columns: [Image Src], position: Image Position}",
}


def run(template: str, changes: dict[str, str], folder: Path) -> dict[str, dict]:
    """Run a template of the case with further words in it; return the items by id."""
    source = case(NAME)
    text = (source / template).read_text()
    for old, new in {**OPTIONS, **changes}.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "my.yaml"
    path.write_text(text)
    options = ("--images-root", str(source / "pics"))
    return items_of(run_case(path, [source / "products_export.csv"], folder / "out", *options))


def names(item: dict) -> list[str]:
    return [Path(image["path"]).stem for image in item["images"]]


def test_one_item_a_product(tmp_path):
    """The rows of a handle are one item with all colours, sizes and pictures in order (01)."""
    changes = {
        "id: Handle": "id: Handle\n  group: Handle",
        "from: Option2 Value,": (
            "from: [Option2 Value, Option1 Value], absent: [Default Title], rows: all,"
        ),
    }
    items = run("product.yaml", changes, tmp_path)
    wanted = ("title", "color", "size", "price")
    assert {key: tuple(row[name] for name in wanted) for key, row in items.items()} == {
        "fjord-parka": ("Fjord Parka", ["Blue", "Green"], "S, M", 189),
        "oak-mug": ("Oak Mug", None, None, 24.5),
        "ridge-sock": ("Ridge Sock", None, "36-39, 40-43, 44-47", 12),
        "bay-lamp": ("Bay Lamp", None, None, 79),
    }
    assert {key: names(row) for key, row in items.items()} == {
        "fjord-parka": ["fjord-blue", "fjord-green", "fjord-back"],
        "oak-mug": ["oak-mug"],
        "ridge-sock": ["ridge-1", "ridge-2"],
        "bay-lamp": ["bay-lamp"],
    }


def test_one_item_a_variant(tmp_path):
    """Each variant has its product's texts, and its own price, weight and pictures (01)."""
    changes = {
        "id: Variant SKU": "id: Variant SKU\n  group: Handle",
        "from: Option2 Value,": "from: Option2 Value, absent: [Default Title],",
    }
    items = run("variant.yaml", changes, tmp_path)
    assert {key: (row["title"], row["vendor"], row["weight"]) for key, row in items.items()} == {
        "FJ-BL-S": ("Fjord Parka", "Nordhus", 1200),
        "FJ-BL-M": ("Fjord Parka", "Nordhus", 1250),
        "FJ-GR-S": ("Fjord Parka", "Nordhus", 1200),
        "OAK-1": ("Oak Mug", "Trehus", 180),
        "RS-36": ("Ridge Sock", "Nordhus", 60),
        "RS-40": ("Ridge Sock", "Nordhus", 65),
        "RS-44": ("Ridge Sock", "Nordhus", 70),
        "BL-1": ("Bay Lamp", "Lyshus", 900),
    }
    assert all(row["body"] and row["size"] != "Default Title" for row in items.values())
    assert items["FJ-GR-S"]["tags"] == "winter, outdoor"
    assert names(items["FJ-GR-S"]) == ["fjord-green", "fjord-back"]
    assert items["RS-44"]["price"] == 13


def test_a_template_of_before_is_published(tmp_path):
    """Without a group nothing of a handle's rows is lost, and the gate lets them pass (01)."""
    items = run("product.yaml", {}, tmp_path)
    assert items.keys() == {"fjord-parka", "oak-mug", "ridge-sock", "bay-lamp"}
    parka = items["fjord-parka"]
    assert (parka["title"], parka["color"]) == ("Fjord Parka", ["Blue", "Green"])
    assert names(parka) == ["fjord-blue", "fjord-green", "fjord-back"]
    assert "rows-merged" in {flag["reason"] for flag in parka["flags"]}
