"""`catalog-enrich template init` on inputs as people have them: the draft has the right id, title,
pictures and prices, or says that it does not know; a run with it is published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.cli import main
from schemas.loading import load_template
from schemas.template import Template
from tests.cases.support import case, run_case


@dataclass(frozen=True)
class Draft:
    """What is right for a file: names of columns, and for pictures and prices none where there are
    none.

    options: of the command; runs: whether a run is tried, once for each kind of file.
    """

    file: str
    id: str
    title: str | None
    pictures: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    runs: bool = True


PRESTA = ("Image URLs (x,y,z...)",)
DRAFTS = [
    Draft(
        "01-shopify-variant-rows/products_export.csv",
        "Handle",
        "Title",
        ("Image Src",),
        ("Variant Price",),
    ),
    Draft(
        "02-woocommerce-attribute-pairs/wc-product-export.csv",
        "ID",
        "Name",
        ("Images",),
        ("Regular price",),
    ),
    Draft(
        "03-merchant-tsv/feed.tsv",
        "id",
        "title",
        ("image_link", "additional_image_link"),
        ("price", "sale_price"),
    ),
    Draft("03-merchant-tsv/swallow.tsv", "id", "title", (), ("price",), runs=False),
    Draft("04-excel-csv/semicolon.csv", "Artikelnr", "Bezeichnung", (), ("Preis",)),
    Draft("04-excel-csv/sep.csv", "Artikelnr", "Bezeichnung", (), ("Preis",)),
    Draft("04-excel-csv/cp1252.csv", "Artikelnr", "Bezeichnung", (), ("Preis",), runs=False),
    Draft("04-excel-csv/unicode.csv", "Artikelnr", "Bezeichnung", (), ("Preis",)),
    Draft(
        "05-akeneo-unit-column/akeneo.csv",
        "sku",
        "name-en_US",
        ("picture",),
        ("price-EUR", "price-USD"),
    ),
    Draft(
        "05-akeneo-unit-column/akeneo_semicolon.csv",
        "sku",
        "name-en_US",
        ("picture",),
        ("price-EUR", "price-USD"),
        runs=False,
    ),
    Draft(
        "06-amazon2023-images-list-of-dicts/meta_Sample.jsonl",
        "parent_asin",
        "title",
        ("images[].hi_res", "images[].large"),
        ("price",),
    ),
    Draft(
        "06-amazon2023-images-list-of-dicts/meta_hf.jsonl",
        "parent_asin",
        "title",
        ("images.hi_res", "images.large"),
        ("price",),
    ),
    Draft(
        "07-styles-csv-picture-by-id/styles.csv", "id", "productDisplayName", ("images/{id}.jpg",)
    ),
    Draft("08-json-array/wrapped.json", "sku", "name", (), ("salePrice",)),
    Draft("08-json-array/pretty.json", "sku", "name", (), ("salePrice",), runs=False),
    Draft("08-json-array/concatenated.json", "sku", "name", (), ("salePrice",), runs=False),
    Draft("10-json-nan/export.jsonl", "id", "title", (), ("price",)),
    Draft(
        "11-flipkart-ruby-hash/flipkart.csv",
        "uniq_id",
        "product_name",
        ("image",),
        ("retail_price", "discounted_price"),
    ),
    Draft(
        "12-hf-parquet-image-bytes/train-00000-of-00001.parquet",
        "item_ID",
        "title",
        ("image.path", "images[].path"),
        ("price",),
    ),
    Draft(
        "12-hf-parquet-image-bytes/raw_bytes.parquet",
        "item_ID",
        "title",
        ("image_bytes",),
        ("price",),
    ),
    Draft("13-python-repr-cells/meta.csv", "id", "title", ("images",), ("price",)),
    Draft("14-hive-partitions/catalog/*/*/*", "sku", "title", (), ("price",)),
    Draft("16-containers/UPPER.JSONL.GZ", "id", "title", (), ("price",)),
    Draft("16-containers/c.csv.zip", "id", "title", (), ("price",)),
    Draft("16-containers/c.jsonl.zst", "id", "title", (), ("price",), runs=False),
    Draft("16-containers/feed.xml", "g:id", "g:title", runs=False),
    Draft("17-picture-references/catalog.csv", "id", "title", ("image",)),
    Draft("18-quantity-words/groceries.csv", "code", "product_name"),
    Draft("18-quantity-words/truth.csv", "code", None, runs=False),
    Draft("21-mysql-backslash-csv/dump.csv", "id", "title", (), ("price",)),
    Draft("21-mysql-backslash-csv/dump_tab.tsv", "id", "title", (), ("price",)),
    Draft("23-header-quirks/spaces.csv", "SKU", "Title", (), ("Price",)),
    Draft(
        "23-header-quirks/duplicate.csv",
        "sku",
        "title",
        ("image", "image_2"),
        ("price",),
        runs=False,
    ),
    Draft("23-header-quirks/index.csv", "sku", "title", (), ("price",), runs=False),
    Draft("23-header-quirks/bom_twice.csv", "sku", "title", (), ("price",), runs=False),
    Draft("24-llm-wrapped-answers/items.csv", "id", "name"),
    Draft(
        "25-headerless-dump/noheader.csv",
        "id",
        "title",
        options=("--input-as", "header=none", "columns=id,title,genres"),
    ),
    Draft(
        "26-off-jsonl/openfoodfacts-products.jsonl",
        "code",
        "product_name",
        ("image_url",),
        runs=False,
    ),
    Draft("28-text-junk/items.csv", "id", "name"),
    Draft("30-prestashop-features/products.csv", "ID", "Name*", PRESTA, ("Price tax excluded",)),
    Draft(
        "30-prestashop-features/products_semicolon.csv",
        "ID",
        "Name*",
        PRESTA,
        ("Price tax excluded",),
        runs=False,
    ),
]


def prices_of(template: Template, text: str) -> set[str]:
    """The columns of the attributes of numbers or money whose column is called as a price is."""
    told = next(line for line in text.splitlines() if line.startswith("# price: "))
    listed = [each.partition(" (")[0] for each in told.removeprefix("# price: ").split(", ")]
    kinds = {each.from_[0]: str(each.type) for each in template.attributes}
    return {column for column in listed if kinds.get(column) in ("number", "money")}


@pytest.mark.parametrize("right", DRAFTS, ids=lambda draft: draft.file)
def test_a_draft_is_right_and_runs(right: Draft, tmp_path: Path) -> None:
    """Id, title, pictures and prices are the right columns, what is none is said to be unknown, and
    a run with the draft accounts for every record.
    """
    folder, _, name = right.file.partition("/")
    root = next(
        (case(folder) / each for each in ("pics", "src") if (case(folder) / each).is_dir()), None
    )
    source, template_path = case(folder) / name, tmp_path / "draft.yaml"
    pictures = [] if root is None else ["--images-root", str(root)]
    command = ["template", "init", str(source), "--out", str(template_path), *pictures]
    assert main([*command, *right.options]) == 0
    template, text = load_template(str(template_path)), template_path.read_text()
    titles = [template.by_name[title].from_[0] for title in template.titles]
    assert template.record.id == (right.id,)
    assert titles == ([] if right.title is None else [right.title])
    assert (*template.record.images.columns, *template.record.images.pattern) == right.pictures
    assert prices_of(template, text) == set(right.prices)
    unknown = {"title": right.title, "pictures": right.pictures, "price": right.prices}
    for what, known in unknown.items():
        assert (f"# {what}: not known" in text) is not bool(known)
    if right.runs:
        snapshot = run_case(template_path, [source], tmp_path / "out", *pictures, "--no-ocr")
        counts = json.loads((snapshot / "manifest.json").read_text())["counts"]
        made = counts["items"] + counts["rows_merged"]
        assert counts["records_in"] == made + counts["records_quarantined"]
        assert counts["flags"].get("value-not-in-list", 0) == 0


@pytest.mark.parametrize("name", ["noheader.csv", "movies.dat", "ol_dump_works.txt"])
def test_a_file_without_a_header_is_asked_about(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No draft is made of a first record taken for a header: the command says what decides."""
    source = case("25-headerless-dump") / name
    assert main(["template", "init", str(source), "--out", str(tmp_path / "draft.yaml")]) == 2
    assert "header" in capsys.readouterr().err
