"""Names and values in pairs of columns and of cells."""

import pytest

from tests.cases.support import case, items_of, run_case


@pytest.mark.parametrize("name", ["products.csv", "products_semicolon.csv"])
def test_features_with_positions(name, tmp_path):
    """`Name:Value:Position:Customized` gives values, also several of one name (30)."""
    folder = case("30-prestashop-features")
    options = ("--images-root", str(folder / "pics"))
    items = items_of(run_case(folder / "my.yaml", [folder / name], tmp_path / "out", *options))
    assert [items[each]["color"] for each in "1234"] == ["Blue", "White", None, None]
    assert [items[each]["material"] for each in "1234"] == [
        *(["Cotton"], ["Ceramic"], ["Wool", "Nylon"], None)
    ]
    assert items["1"]["property"] == "Short sleeves, crew neck"
    assert sum(item["image_count"] for item in items.values()) == 4


def test_woocommerce_attributes(tmp_path):
    """Attributes are found by name in whatever position, escapes are undone (02)."""
    folder = case("02-woocommerce-attribute-pairs")
    text = (folder / "my.yaml").read_text()
    begin, end = text.index('  "Attribute 1 value(s)": {'), text.index("attributes:")
    values = "Attribute {n} value(s)"
    form = f'  "{values}": {{format: list, name_from: "Attribute {{n}} name"}}\n'
    text = text[:begin] + form + text[end:]
    both = '["Attribute 1 value(s)", "Attribute 2 value(s)"]'
    text = text.replace(both, f'"{values}.color"', 1).replace(both, f'"{values}.Material"')
    text = text.replace('"Attribute 1 value(s)"', f'"{values}.Map title"')
    template = tmp_path / "my.yaml"
    template.write_text(text)
    options = ("--images-root", str(folder / "pics"))
    inputs = [folder / "wc-product-export.csv"]
    items = items_of(run_case(template, inputs, tmp_path / "out", *options))
    assert {name: items[name]["color"] for name in ("TEE-1", "MUG-2", "PERF-7")} == {
        "TEE-1": ["Blue", "Green"],
        "MUG-2": ["White"],
        "PERF-7": None,
    }
    assert [items[name]["material"] for name in ("MUG-2", "MAP-268")] == ["Ceramic", "Paper"]
    category = "Body Care > Perfume, Cologne & Fragrance > Unisex"
    assert items["PERF-7"]["category"] == category
    assert items["MAP-268"]["category"] == "Books & Maps > Maps"
    assert items["MAP-268"]["map_title"] == "268 - Wilm, Mac and Cong"
    assert items["TEE-1"]["body"] == "Soft cotton tee.\nWash at 30 degrees."
    assert items["PERF-7"]["body"] == "A fresh scent.\nWith cedar."
    assert items["MUG-2"]["weight"] == 0.4
    assert not [
        flag
        for item in items.values()
        for flag in item["flags"]
        if flag["reason"] == "value-not-in-list"
    ]


def test_text_junk(tmp_path):
    """CDATA, escapes, double entities and mojibake do not hide what a text says (28)."""
    folder = case("28-text-junk")
    items = items_of(run_case(folder / "my.yaml", [folder / "items.csv"], tmp_path / "out"))
    blue = {item_id for item_id, item in items.items() if item["color"] == "Blue"}
    assert blue == {"1", "2", "3", "4", "5", "6", "8"}
    assert items["1"]["body"] == "Outer shell: Blue"
    assert items["2"]["body"] == "Warm.\nBlue shell\nWash cold."
    assert items["3"]["body"] == "Warm – Blue shell"
    assert (items["4"]["title"], items["4"]["body"]) == ("Café crème parka", "Größe M. Blue shell")
    assert [flag["reason"] for flag in items["4"]["flags"]] == ["text-mojibake"] * 2
    assert items["5"]["title"] == "Parka & hood"
    assert items["7"]["title"] is None


def test_e_mark(tmp_path):
    """`150 g e` is 150 g, and what was right in the case stays right (26)."""
    folder = case("26-off-jsonl")
    inputs = [folder / "openfoodfacts-products.jsonl"]
    items = items_of(run_case(folder / "my.yaml", inputs, tmp_path / "out"))
    assert {item["title"]: (item["weight"], item["volume"]) for item in items.values()} == {
        "Pâte à tartiner": (120, None),
        "Haferdrink": (None, 1000),
        "Eggs": (None, None),
        "Crisps": (150, None),
        "Tea": (None, 330),
    }
