"""The templates of docs/exporters, each on a small input in that exporter's form."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cases.support import items_of, run_case
from tests.support import ROOT

PAGES = ROOT / "docs" / "exporters"


def money(amount: float, currency: str, amount_to: float | None = None) -> dict[str, Any]:
    return {"amount": amount, "amount_to": amount_to, "currency": currency}


def delimited(rows: list[list[str]], delimiter: str, lines: tuple[str, ...] = ()) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return ("".join(line + "\r\n" for line in lines) + text.getvalue()).encode()


@dataclass(frozen=True)
class Export:
    """A small export. pictures: below the images root. items: id → what the tables have to say;
    flags: id → reasons of its flags.
    """

    name: str
    data: bytes
    pictures: tuple[str, ...]
    items: Mapping[str, Mapping[str, Any]]
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def woocommerce() -> Export:
    names = ["ID", "Type", "SKU", "Name", "Short description", "Description", "Weight (kg)"]
    names += ["Regular price", "Categories", "Tags", "Images", "Parent"]
    names += [f"Attribute {n} {what}" for n in (1, 2) for what in ("name", "value(s)")]
    uploads = "https://shop.example/wp-content/uploads"
    rows = [
        ["7", "variable", "CUP", "Dune Cup", "A cup.", "Holds 250 ml.\\n\\nHand wash.", "0.35", ""],
        ["8", "variation", "", "Dune Cup - Red", "", "", "0.36", "12.50"],
        ["9", "simple", "OIL", "Olive oil", "", "For salads.", "1.1", "8"],
    ]
    rows[0] += ["Kitchen > Cups &amp; Mugs, Sale", "clay, gift"]
    rows[0] += [f"{uploads}/2026/cup.jpg, {uploads}/2026/back.jpg", "", "Material", "Clay"]
    rows[0] += ["Color", "Red, Blue"]
    rows[1] += ["", "", f"{uploads}/2026/cup.jpg", "CUP", "Color", "Red", "", ""]
    rows[2] += ["Food > Oils\\, vinegars", "", "", "", "Color", "Green", "Size", "500 ml"]
    return Export(
        "wc-product-export.csv",
        b"\xef\xbb\xbf" + delimited([names, *rows], ","),
        ("2026/cup.jpg", "2026/back.jpg"),
        {
            "CUP": {
                "description": "Holds 250 ml.\nHand wash.",
                "category": "Kitchen > Cups & Mugs, Sale",
                "color": ["Red", "Blue"],
                "weight": 0.35,
                "image_count": 2,
                "tags": "clay, gift",
            },
            "8": {"parent": "CUP", "color": ["Red"], "price": money(12.5, "EUR"), "image_count": 1},
            "OIL": {"category": "Food > Oils, vinegars", "color": ["Green"], "size": "500 ml"},
        },
    )


def magento() -> Export:
    names = ["sku", "categories", "name", "description", "weight", "price", "base_image"]
    names += ["additional_images", "additional_attributes", "updated_at"]
    rows = [
        ["TEE-S", "Default Category/Men/Tees,Default Category", "Tee", "<p>Soft.</p>", "0.5", "19"],
        ["BAG", "Default Category/Gear/Bags", "Bag, large", "", "2", "1299.9"],
    ]
    rows[0] += ["/t/e/tee.jpg", "/t/e/back.jpg,/t/e/tee.jpg"]
    rows[0] += ["color=Blue,material=Cotton|Polyester,size=S,care=Wash cold, dry flat,sale=Yes"]
    rows[1] += ["no_selection", "", "color=Black,sale=No"]
    for row in rows:
        row.append("2026-08-02 10:15:00")
    return Export(
        "catalog_product.csv",
        delimited([names, *rows], ","),
        ("t/e/tee.jpg", "t/e/back.jpg"),
        {
            "TEE-S": {
                "description": "Soft.",
                "category": "Men > Tees",
                "color": ["Blue"],
                "material": ["Cotton", "Polyester"],
                "size": "S",
                "weight": pytest.approx(226.796, abs=0.01),
                "price": money(19.0, "USD"),
                "on_sale": True,
                "image_count": 2,
            },
            "BAG": {"title": "Bag, large", "price": money(1299.9, "USD"), "image_count": 0},
        },
    )


def google_merchant() -> Export:
    names = ["id", "title", "description", "image_link", "additional_image_link", "price"]
    names += ["sale_price", "brand", "gtin", "product_type", "color", "material"]
    names += ["shipping_weight", "availability"]
    cdn = "https://cdn.shop.example"
    rows = [
        ["m1", '"Fjord" parka', "Warm.", f"{cdn}/p/1.jpg", f"{cdn}/p/2.jpg,{cdn}/p/3.jpg"],
        ["m2", '24" monitor', "Bright.", f"{cdn}/p/4.jpg", ""],
    ]
    rows[0] += ["219.00 USD", "189.00 USD", "Nordhus", "4006381333931", "Clothes > Coats"]
    rows[0] += ["Blue/White", "Cotton/Nylon", "1.2 kg", "in_stock"]
    rows[1] += ["1299 SEK", "", "", "", "Screens", "Black", "", "900 g", "out of stock"]
    lines = ["\t".join(row) for row in [names, *rows]]
    return Export(
        "feed.tsv",
        ("\n".join(lines) + "\n").encode(),
        tuple(f"p/{n}.jpg" for n in range(1, 5)),
        {
            "m1": {
                "title": '"Fjord" parka',
                "gtin": "4006381333931",
                "category": "Clothes > Coats",
                "price": money(219.0, "USD"),
                "sale_price": money(189.0, "USD"),
                "color": ["White", "Blue"],
                "material": "Cotton, Nylon",
                "weight": 1200.0,
                "availability": "in stock",
                "image_count": 3,
            },
            "m2": {"title": '24" monitor', "price": money(1299.0, "SEK"), "weight": 900.0},
        },
    )


def amazon_flat_file() -> Export:
    labels = ["Seller SKU", "Product Name", "Brand", "Product ID", "Type", "Main", "Image 1"]
    labels += ["Image 2", "Bullet 1", "Bullet 2", "Text", "Weight", "Unit", "Colour", "Price"]
    names = ["item_sku", "item_name", "brand_name", "external_product_id"]
    names += ["external_product_id_type", "main_image_url", "other_image_url1", "other_image_url2"]
    names += ["bullet_point1", "bullet_point2", "product_description", "item_weight"]
    names += ["item_weight_unit_of_measure", "color_name", "standard_price"]
    first = ["TemplateType=fptcustom", "Version=2026.0101", "TemplateSignature=abc"]
    shop = "https://images.shop.example"
    rows = [
        ["K-1", "Steel kettle", "Kern", "4006381333931", "EAN", f"{shop}/k1.jpg", f"{shop}/k2.jpg"],
        ["K-2", "Scale", "Kern", "3012345678900", "EAN", f"{shop}/s.jpg", ""],
    ]
    rows[0] += ["", "Boils fast", "Stays cool", "A kettle.", "1.2", "KG", "Silver", "49.90"]
    rows[1] += ["", "To the gram", "", "", "16", "ounces", "white", "19"]
    return Export(
        "listings.txt",
        ("\n".join("\t".join(row) for row in [first, labels, names, *rows]) + "\n").encode(),
        ("k1.jpg", "k2.jpg", "s.jpg"),
        {
            "K-1": {
                "description": "Boils fast\nStays cool\nA kettle.",
                "gtin": "4006381333931",
                "weight": 1200.0,
                "price": money(49.9, "EUR"),
                "image_count": 2,
            },
            "K-2": {"weight": pytest.approx(453.59, abs=0.01), "color": ["White"]},
        },
    )


def akeneo() -> Export:
    names = ["sku", "categories", "family", "name-en_US", "name-de_DE"]
    names += ["description-en_US-ecommerce", "weight", "weight-unit", "power", "power-unit"]
    names += ["price-EUR", "color", "picture"]
    rows = [
        ["KT-1", "kitchen,kettles", "appliance", "Steel kettle", "Stahlkessel", "<p>Fast.</p>"],
        ["KT-2", "kitchen", "appliance", "", "Glaskessel", "", "1350", "GRAM", "1800", ""],
    ]
    rows[0] += ["1.2", "KILOGRAM", "2.2", "KILOWATT", "49.90", "silver", "files/KT-1/kettle.jpg"]
    rows[1] += ["59.90", "white", ""]
    return Export(
        "products.csv",
        delimited([names, *rows], ";"),
        ("files/KT-1/kettle.jpg",),
        {
            "KT-1": {
                "title": "Steel kettle",
                "names": [("de-DE", "Stahlkessel"), ("en-US", "Steel kettle")],
                "description": "Fast.",
                "categories": "kitchen, kettles",
                "weight": 1200.0,
                "power": 2200.0,
                "price": money(49.9, "EUR"),
                "image_count": 1,
            },
            "KT-2": {"title": "Glaskessel", "weight": 1350.0, "power": None},
        },
        {"KT-2": ("value-wrong-type",)},
    )


def prestashop() -> Export:
    names = ["ID", "Name*", "Categories (x,y,z...)", "Price tax excluded", "Reference #", "EAN13"]
    names += ["Weight", "Description", "Tags (x,y,z...)", "Image URLs (x,y,z...)"]
    names += ["Feature (Name:Value:Position:Customized)"]
    shop = "https://shop.example"
    rows = [
        ["1", "Harbour tee", "Home,Clothes", "16.58", "T1", "4006381333931", "0.2", "<p>Soft.</p>"],
        ["2", "Ridge sock", "Home", "4.13", "S1", "", "0.05", "", "", "", "Composition:Wool:1:0,"],
    ]
    rows[0] += ["summer,cotton", f"{shop}/img/t1.jpg,{shop}/img/t2.jpg"]
    rows[0] += ["Composition:Cotton:1:0,Color:Blue:2:0,Property:Short sleeves, crew neck:3:1"]
    rows[1][-1] += "Composition:Nylon:2:0"
    return Export(
        "products.csv",
        delimited([names, *rows], ";"),
        ("img/t1.jpg", "img/t2.jpg"),
        {
            "1": {
                "category": "Home, Clothes",
                "color": ["Blue"],
                "material": "Cotton",
                "ean": "4006381333931",
                "weight": 200.0,
                "price": money(16.58, "EUR"),
                "tags": "summer, cotton",
                "image_count": 2,
            },
            "2": {"material": "Wool, Nylon", "weight": 50.0},
        },
    )


def open_food_facts() -> Export:
    url = "https://images.openfoodfacts.org/images/products"
    records = [
        {
            "code": "3017620000001",
            "product_name": "Pâte",
            "product_name_en": "Spread",
            "product_name_fr": "Pâte",
            "brands": "Noisel, Gourm",
            "quantity": "2 x 60 g",
            "categories_tags": ["en:spreads", "en:sweet-spreads"],
            "nutriments": {"energy-kcal_100g": 539, "sugars_100g": "56.3", "salt_100g": "0,107"},
            "image_front_url": f"{url}/301/front.jpg",
            "last_modified_t": 1700000000,
        },
        {
            "code": "20000002",
            "product_name": "Water",
            "quantity": ".33 l",
            "nutriments": {"sugars_100g": "<0.5"},
        },
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return Export(
        "openfoodfacts-products.jsonl.gz",
        gzip.compress(lines.encode()),
        ("301/front.jpg",),
        {
            "3017620000001": {
                "title": "Spread",
                "names": [("en", "Spread"), ("fr", "Pâte")],
                "brand": "Noisel, Gourm",
                "net_weight": 120.0,
                "energy_kcal": 539.0,
                "sugars_g": 56.3,
                "salt_g": 0.107,
                "image_count": 1,
            },
            "20000002": {"net_volume": 330.0, "sugars_g": None},
        },
    )


def amazon_reviews_2023() -> Export:
    url = "https://m.media-amazon.com/images/I"
    records = [
        {
            "parent_asin": "B01",
            "main_category": "All Beauty",
            "title": "Cedar oil",
            "features": ["Cold pressed", "With cedar"],
            "description": ["A light oil."],
            "price": 14.99,
            "images": [
                {"thumb": "x", "large": f"{url}/l1.jpg", "hi_res": f"{url}/h1.jpg"},
                {"thumb": "y", "large": f"{url}/l2.jpg", "hi_res": None},
            ],
            "categories": ["Beauty", "Oils"],
            "details": {"Brand": "Fell", "Item Weight": "12 ounces", "UPC": "036000291452"},
            "average_rating": 4.4,
        },
        {
            "parent_asin": "B02",
            "main_category": "Tools",
            "title": "Hex keys",
            "features": [],
            "description": [],
            "price": "None",
            "images": {"hi_res": [f"{url}/h2.jpg"], "large": [f"{url}/l3.jpg"]},
            "categories": [],
            "details": '{"Brand": "Torq", "Color": "Black"}',
            "average_rating": 5,
        },
    ]
    return Export(
        "meta_All_Beauty.jsonl",
        "".join(json.dumps(record) + "\n" for record in records).encode(),
        ("h1.jpg", "l1.jpg", "l2.jpg", "h2.jpg", "l3.jpg"),
        {
            "B01": {
                "description": "Cold pressed\nWith cedar\nA light oil.",
                "category": "Beauty > Oils",
                "brand": "Fell",
                "upc": "036000291452",
                "weight": pytest.approx(340.19, abs=0.01),
                "price": money(14.99, "USD"),
                "image_count": 3,
            },
            "B02": {
                "category": "Tools",
                "brand": "Torq",
                "color": ["Black"],
                "price": None,
                "image_count": 2,
            },
        },
    )


def shopify() -> Export:
    names = ["Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Option1 Name"]
    names += ["Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU", "Variant Grams"]
    names += ["Variant Price", "Image Src", "Image Position", "Variant Weight Unit"]
    cdn = "https://cdn.shopify.com/s/files/1/0001"
    parka = ["parka", "Fjord Parka", "<p>Warm.</p>", "Nordhus", "Jackets", "winter, outdoor"]
    more = ["parka", "", "", "", "", ""]
    rows = [
        [
            *parka,
            "Color",
            "Blue",
            "Size",
            "S",
            "P1",
            "1200",
            "189.00",
            f"{cdn}/blue.jpg",
            "1",
            "kg",
        ],
        [*more, "", "Green", "", "M", "P2", "1200", "189.00", f"{cdn}/back.jpg", "3", "kg"],
        [*more, "", "", "", "", "", "", "", f"{cdn}/green.jpg", "2", ""],
        ["mug", "Oak Mug", "", "Dune", "Mugs", "", "Title", "Default Title", "", "", "M1", "350"],
        # Another product has its options the other way round.
        ["cap", "Cap", "", "Nordhus", "Hats", "", "Size", "One", "Color", "Red", "C1", "90", "19"],
        ["cap", "", "", "", "", "", "", "Two", "", "Black", "C2", "95", "19"],
    ]
    rows[3] += ["24.50", f"{cdn}/mug.jpg", "1", "g"]
    return Export(
        "products_export.csv",
        delimited([names, *rows], ","),
        ("blue.jpg", "back.jpg", "green.jpg", "mug.jpg"),
        {
            "parka": {
                "title": "Fjord Parka",
                "description": "Warm.",
                "brand": "Nordhus",
                "color": ["Blue", "Green"],
                "size": "S, M",
                "weight": 1200.0,
                "price": money(189.0, "EUR"),
                "tags": "winter, outdoor",
                "image_count": 3,
            },
            "mug": {"color": None, "weight": 350.0, "price": money(24.5, "EUR")},
            "cap": {"color": ["Red", "Black"], "size": "One, Two", "weight": 90.0},
        },
    )


def hugging_face() -> Export:
    def picture(shade: int) -> dict[str, Any]:
        stream = io.BytesIO()
        Image.new("RGB", (32, 24), (shade, 80, 80)).save(stream, "JPEG")
        return {"bytes": stream.getvalue(), "path": None}

    records = [
        {"id": 0, "title": "Red bag", "label": 0, "meta": {"brand": "Fell", "colors": ["red"]}},
        {"id": 1, "title": "Shoe", "label": 1, "meta": {"brand": None, "colors": []}},
    ]
    for record in records:
        record |= {"image": picture(record["id"] * 90), "more_images": [picture(200)]}
    records[1]["more_images"] = []
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), stream)
    return Export(
        "train-00000-of-00001.parquet",
        stream.getvalue(),
        (),
        {
            "0": {"kind": "bag", "brand": "Fell", "color": ["Red"], "image_count": 2},
            "1": {"title": "Shoe", "kind": "shoe", "brand": None, "image_count": 1},
        },
    )


EXPORTS: dict[str, Callable[[], Export]] = {
    made.__name__.replace("_", "-"): made
    for made in (
        shopify,
        woocommerce,
        magento,
        google_merchant,
        amazon_flat_file,
        akeneo,
        prestashop,
        open_food_facts,
        amazon_reviews_2023,
        hugging_face,
    )
}


@pytest.mark.parametrize("page", EXPORTS)
def test_the_template_of_a_page_fits_its_exporter(page: str, tmp_path: Path) -> None:
    """The template that a page shows reads an export of that kind: values, units, money, pictures."""
    (template,) = re.findall(
        r"```yaml\n(.*?)```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL
    )
    export = EXPORTS[page]()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "template.yaml").write_text(template, "utf-8")
    (tmp_path / export.name).write_bytes(export.data)
    for picture in export.pictures:
        path = tmp_path / "pictures" / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each its own, so that none is counted as another one's repetition.
        Image.new("RGB", (32, 24), (zlib.crc32(picture.encode()) % 256, len(picture), 90)).save(
            path
        )
    options = ("--images-root", str(tmp_path / "pictures"))
    snapshot = run_case(
        tmp_path / "template.yaml", [tmp_path / export.name], tmp_path / "out", *options
    )
    items = items_of(snapshot)
    assert sorted(items) == sorted(export.items)
    for item_id, wanted in export.items.items():
        item = items[item_id]
        assert {name: item[name] for name in wanted} == wanted
    for item_id, item in items.items():
        found = tuple(flag["reason"] for flag in item["flags"])
        assert [reason for reason in found if reason in export.flags.get(item_id, ())] == list(
            export.flags.get(item_id, ())
        )


def test_every_page_has_its_test_and_its_links() -> None:
    """No page is without a test, and each is linked from the index and from the page of inputs."""
    pages = sorted(page.stem for page in PAGES.glob("*.md"))
    assert pages == sorted(EXPORTS)
    for name in ("index.md", "inputs.md"):
        text = (ROOT / "docs" / name).read_text("utf-8")
        assert [page for page in pages if f"(exporters/{page}.md)" not in text] == []
