"""The templates that ship: they load, explain themselves, do not contradict themselves, and fit
real catalogs.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.attribute_types.registry import AttributeType
from schemas.elements import ImageRow, RawRecord, Record
from schemas.loading import load_template, packaged_templates, parse_template
from schemas.template import Template
from tests.support import DATA, ROOT, needs_data
from transforms.extraction.gazetteer import Gazetteer
from transforms.normalise.picture_rows import normalise_image_row
from transforms.normalise.records import Normaliser

TEST_TEMPLATES = ROOT / "tests" / "templates"
SHIPPED = ("apparel", "films", "grocery", "multilingual", "product")
ALL = [*SHIPPED, *(str(path) for path in sorted(TEST_TEMPLATES.glob("*.yaml")))]
RAW = RawRecord(b"", "jsonl", "catalog", 1)


def test_these_templates_ship() -> None:
    """A general product, grocery, apparel, films and a multilingual one are packaged."""
    assert tuple(packaged_templates()) == SHIPPED


@pytest.mark.parametrize("name", ALL)
def test_every_attribute_explains_itself(name: str) -> None:
    """Each template and attribute says what it is, and each attribute can get a value from
    somewhere.
    """
    template = load_template(name)
    assert template.description
    for attribute in template.attributes:
        assert attribute.description.endswith("."), attribute.name
        assert attribute.from_ or attribute.fill, attribute.name
        if name in SHIPPED:
            assert attribute.label, attribute.name


@pytest.mark.parametrize("name", ALL)
def test_closed_lists_do_not_contradict_themselves(name: str) -> None:
    """Every value and synonym stands for one value only, also when case, plural and hyphens are set
    aside.
    """
    for attribute in load_template(name).attributes:
        if attribute.spec.has_closed_list:
            is_tree = attribute.type is AttributeType.CATEGORY
            gazetteer = Gazetteer.build(attribute.values, leaf_only=is_tree)
            for choice in attribute.values:
                for term in (choice.value, *choice.synonyms):
                    assert gazetteer.exact(term) == choice.value, (attribute.name, term)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_hash_is_about_meaning_only(name: str) -> None:
    """Comments, layout and the order of keys leave a template's hash alone; any word changes it."""
    text = packaged_templates()[name]
    template = load_template(name)
    plain = YAML(typ="safe").load(text)
    rewritten = io.StringIO()
    YAML(typ="safe").dump({key: plain[key] for key in reversed(plain)}, rewritten)
    assert parse_template(rewritten.getvalue(), name).hash == template.hash
    changed = parse_template(
        text.replace(template.description, template.description + " Changed."), name
    )
    assert changed.hash != template.hash


def test_every_option_stands_in_the_general_template() -> None:
    """product.yaml shows a newcomer every key that a template can have."""
    text = packaged_templates()["product"]
    schema = Template.model_json_schema(by_alias=True)
    keys = {
        key for part in [schema, *schema["$defs"].values()] for key in part.get("properties", {})
    }
    assert [key for key in sorted(keys) if f"{key}:" not in text] == []


def jsonl(name: str) -> list[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def table(name: str) -> list[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# Measured on the catalogs: every given value is accepted, none is flagged. The floor leaves room for a catalog's update.
CATALOGS = [
    (
        "grocery",
        "grocery/catalog.jsonl",
        0.99,
        ("title", "category", "brand", "country", "net_weight", "net_volume"),
    ),
    (
        "apparel",
        "magento/catalog.csv",
        0.99,
        ("title", "category", "color", "size", "material", "pattern", "climate"),
    ),
    (
        "apparel",
        "magento/catalog_gear.csv",
        0.99,
        ("category", "gender", "activity", "bag_features", "price"),
    ),
    (
        "films",
        "interactions/items.jsonl",
        0.99,
        ("title", "year", "genres", "overview", "original_language"),
    ),
    ("multilingual", "stamps/catalog.jsonl", 0.99, ("title", "titles", "category")),
    (
        str(TEST_TEMPLATES / "implicitave.yaml"),
        "implicitave/catalog.jsonl",
        0.99,
        ("title", "department", "category"),
    ),
    (
        str(TEST_TEMPLATES / "wdc_pave.yaml"),
        "wdc_pave/catalog.jsonl",
        0.99,
        ("title", "description", "category"),
    ),
    ("product", "implicitave/catalog.jsonl", 0.99, ("title", "category")),
    ("product", "wdc_pave/catalog.jsonl", 0.99, ("title", "description", "category")),
]


@needs_data
@pytest.mark.parametrize(("template", "catalog", "floor", "read"), CATALOGS)
def test_real_catalogs_fit(
    template: str, catalog: str, floor: float, read: tuple[str, ...]
) -> None:
    """No record is set aside, the named attributes are read, and nearly every given value fits the
    template.
    """
    normaliser = Normaliser(load_template(template))
    rows = table(catalog) if catalog.endswith(".csv") else jsonl(catalog)
    records = [normaliser.normalise(RAW, row) for row in rows]
    accepted = [record for record in records if isinstance(record, Record)]
    assert len(accepted) == len(rows)
    given = [(record, name) for record in accepted for name in record.given]
    fitting = [
        name for record, name in given if name in record.values and not flagged(record, name)
    ]
    assert len(fitting) / len(given) >= floor
    assert set(read) <= set(fitting)


def flagged(record: Record, name: str) -> bool:
    return any(flag.field == name for flag in record.flags)


@needs_data
def test_values_of_real_records() -> None:
    """A few records in full: two countries' names, a variant's pairs, a plain title from another
    language.
    """
    grocery = Normaliser(load_template("grocery"))
    milk = grocery.normalise(
        RAW, next(r for r in jsonl("grocery/catalog.jsonl") if r["id"] == "gro-00137")
    )
    assert isinstance(milk, Record)
    expected = {
        "brand": "Garant",
        "country": "Sweden",
        "category": "Dairy > Milk",
        "net_volume": 1000.0,
    }
    assert {name: milk.values[name] for name in expected} == expected
    assert (milk.given["brand"], milk.given["country"]) == ("GARANT EKO", "Sverige")
    apparel = Normaliser(load_template("apparel"))
    hoodie = apparel.normalise(
        RAW, next(r for r in table("magento/catalog.csv") if r["sku"] == "LM1679")
    )
    assert isinstance(hoodie, Record)
    assert hoodie.values["category"] == "Clothing > Tops > Hoodies & Sweatshirts"
    assert hoodie.values["climate"] == ["All-weather", "Cool", "Indoor", "Spring", "Windy"]
    assert hoodie.given["climate"] == "All-weather|Cool|Indoor|Spring|Windy"
    assert hoodie.image_refs == ("c/a/ca084e5f52e9.jpg",)
    stamps = Normaliser(load_template("multilingual"))
    titles = [stamps.normalise(RAW, row) for row in jsonl("stamps/catalog.jsonl")]
    assert all(
        ("title" in r.values) == ("titles" in r.values) for r in titles if isinstance(r, Record)
    )


@needs_data
def test_the_picture_table_of_the_sports_shop() -> None:
    """Every row of the image table names an item and a picture below the root."""
    template = load_template("apparel")
    rows = [normalise_image_row(template, RAW, row) for row in table("magento/images_gear.csv")]
    assert all(isinstance(row, ImageRow) and not row.path.startswith("/") for row in rows)
