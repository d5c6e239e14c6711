"""Columns as exporters call them."""

import pytest

from tests.cases.support import case, items_of, run_case


@pytest.mark.parametrize("name", ["case.csv", "spaces.csv", "nbsp.csv", "index.csv", "short.csv"])
def test_case_and_spaces(name, tmp_path):
    """Names that differ from the template's in case and spaces are its columns (23)."""
    folder = case("23-header-quirks")
    items = items_of(run_case(folder / "my.yaml", [folder / name], tmp_path / "out"))
    assert {item_id: item["title"] for item_id, item in items.items()} == {
        "1": "Kettle",
        "2": "Toaster",
        "3": "Scale",
    }


def test_dots_in_names(tmp_path):
    """`Image URLs (x,y,z...)` is a column, and its pictures are found (30)."""
    folder = case("30-prestashop-features")
    options = ("--images-root", str(folder / "pics"))
    items = items_of(
        run_case(folder / "my.yaml", [folder / "products.csv"], tmp_path / "o", *options)
    )
    assert sum(item["image_count"] for item in items.values()) == 4
