"""Rows of one item as exports of shops have them, from the file to the record."""

from __future__ import annotations

import csv
import io
import random
from itertools import groupby
from textwrap import dedent
from typing import Any

import pytest

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from transforms.normalise import combine as module
from transforms.normalise.combine import Combination, combine, inherit
from transforms.normalise.records import Normaliser

HEAD = "name: shop\nversion: 1.0.0\n"


def records_of(template: str, table: str, *, shuffled: bool = False) -> dict[str, Record]:
    """Read, inherit and combine the rows of a table as a run does; return records by id."""
    read = parse_template(HEAD + dedent(template), "t.yaml")
    normaliser, how = Normaliser(read), Combination.of(read)
    rows: list[Record] = []
    for position, cells in enumerate(csv.DictReader(io.StringIO(dedent(table).strip())), start=2):
        raw = RawRecord(repr(cells).encode(), "csv", "in.csv", position)
        row = normaliser.normalise(raw, cells)
        assert isinstance(row, Record), row
        rows.append(row)
    if shuffled:
        random.Random(1).shuffle(rows)
    variants = [row for row in rows if not row.group]
    for _, group in groupby(sorted(rows, key=lambda r: r.group), key=lambda r: r.group):
        in_group = list(group)
        if in_group[0].group:
            made, rejects = inherit(in_group, how)
            assert not rejects
            variants += made
    items: dict[str, Record] = {}
    for item_id, same in groupby(sorted(variants, key=lambda r: r.item_id), lambda r: r.item_id):
        made_of, rejects = combine(list(same), how)
        assert not rejects
        assert made_of is not None
        items[item_id] = made_of
    assert sum(1 + len(item.rows) for item in items.values()) == len(rows)
    return items


# Export → template, table, the right values by item.
EXPORTS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {
    "woocommerce": (
        """
        record: {id: SKU, group: [Parent, SKU], images: {columns: Images, separator: ","}}
        attributes:
          - {name: title, type: string, role: title, from: Name}
          - {name: about, type: string, role: text, from: Description}
          - {name: color, type: enum, values: [Red, Blue], from: Attribute 1 value(s)}
          - {name: price, type: number, from: Regular price}
        """,
        """
        ID,Type,SKU,Name,Description,Regular price,Parent,Images,Attribute 1 value(s)
        10,variable,TEE,Logo tee,Soft cotton,,,tee.jpg,
        11,variation,TEE-R,,,18,TEE,tee-red.jpg,Red
        12,variation,TEE-B,,,19,TEE,,Blue
        20,simple,MUG,Mug,Stoneware,9,,mug.jpg,
        """,
        {
            "TEE": {"title": "Logo tee", "about": "Soft cotton"},
            "TEE-R": {"title": "Logo tee", "about": "Soft cotton", "color": "Red", "price": 18},
            "TEE-B": {"title": "Logo tee", "about": "Soft cotton", "color": "Blue", "price": 19},
            "MUG": {"title": "Mug", "about": "Stoneware", "price": 9},
        },
    ),
    "woocommerce, parents by number": (
        """
        record: {id: ID, group: [Parent, ID]}
        attributes:
          - {name: title, type: string, role: title, from: Name}
          - {name: price, type: number, from: Regular price}
        """,
        """
        ID,Name,Regular price,Parent
        10,Logo tee,,
        11,,18,id:10
        """,
        {"10": {"title": "Logo tee"}, "11": {"title": "Logo tee", "price": 18}},
    ),
    "magento, a row a store view": (
        """
        record: {id: sku, group: sku, images: {columns: [base_image]}}
        attributes:
          - {name: title, type: string, role: title, from: name}
          - {name: price, type: number, from: price}
          - {name: stores, type: string, from: store_view_code, rows: all}
        """,
        """
        sku,store_view_code,name,price,base_image
        24-B,,Duffle Bag,34,/b.jpg
        24-B,de,Reisetasche,,
        24-B,fr,Sac,,/fr.jpg
        """,
        {"24-B": {"title": "Duffle Bag", "price": 34, "stores": "de, fr"}},
    ),
    "amazon, parent and children": (
        """
        record: {id: item_sku, group: [parent_sku, item_sku]}
        attributes:
          - {name: title, type: string, role: title, from: item_name}
          - {name: brand, type: string, from: brand_name}
          - {name: ean, type: identifier, scheme: gtin, from: external_product_id}
          - {name: size, type: string, from: size_name}
        """,
        """
        item_sku,parent_child,parent_sku,item_name,brand_name,external_product_id,size_name
        P1,Parent,,Wool hat,Nordhus,,
        P1-S,Child,P1,,,4006381333931,S
        P1-M,Child,P1,"Wool hat, M",,,M
        """,
        {
            "P1": {"title": "Wool hat", "brand": "Nordhus"},
            "P1-S": {"title": "Wool hat", "brand": "Nordhus", "size": "S", "ean": "4006381333931"},
            "P1-M": {"title": "Wool hat, M", "brand": "Nordhus", "size": "M"},
        },
    ),
    "amazon, children as one item": (
        """
        record: {id: [parent_sku, item_sku], group: [parent_sku, item_sku]}
        attributes:
          - {name: title, type: string, role: title, from: item_name}
          - {name: size, type: string, from: size_name, rows: all}
        """,
        """
        item_sku,parent_sku,item_name,size_name
        P1,,Wool hat,
        P1-S,P1,,S
        P1-M,P1,,M
        """,
        {"P1": {"title": "Wool hat", "size": "S, M"}},
    ),
    "translations by a column": (
        """
        record: {id: sku, group: sku, language: lang}
        attributes:
          - {name: title, type: localized, role: title, from: name}
          - {name: weight, type: number, unit: g, from: weight}
        """,
        """
        sku,lang,name,weight
        A1,en,Kettle,900 g
        A1,de,Wasserkocher,
        A1,fr,Bouilloire,
        """,
        {
            "A1": {
                "title": {"de": "Wasserkocher", "en": "Kettle", "fr": "Bouilloire"},
                "weight": 900,
            }
        },
    ),
    "translations without a group": (
        """
        record: {id: sku, language: lang}
        attributes:
          - {name: title, type: localized, role: title, from: name}
          - {name: weight, type: number, unit: g, from: weight}
        """,
        """
        sku,lang,name,weight
        A1,en,Kettle,900 g
        A1,de,Wasserkocher,
        """,
        {"A1": {"title": {"de": "Wasserkocher", "en": "Kettle"}, "weight": 900}},
    ),
    "prices by country": (
        """
        record: {id: sku, group: sku}
        attributes:
          - {name: title, type: string, role: title, from: name}
          - {name: price, type: number, from: price, rows: first}
          - {name: prices, type: string, from: price, rows: all}
          - {name: countries, type: string, from: country, rows: all}
        """,
        """
        sku,name,country,price
        A1,Kettle,DE,39
        A1,Kettle,FR,41
        A1,Kettle,US,45
        """,
        {"A1": {"title": "Kettle", "price": 39, "prices": "39, 41, 45", "countries": "DE, FR, US"}},
    ),
    "colours of a product": (
        """
        record: {id: product_code, group: product_code}
        attributes:
          - {name: title, type: string, role: title, from: prod_name}
          - {name: color, type: multi_enum, values: [Black, White, Red], from: colour_group_name}
        """,
        """
        article_id,product_code,prod_name,colour_group_name
        0108775015,0108775,Strap top,Black
        0108775044,0108775,Strap top,White
        0108775051,0108775,Strap top,Black
        """,
        {"0108775": {"title": "Strap top", "color": ["Black", "White"]}},
    ),
    "colours as items": (
        """
        record: {id: article_id, group: product_code}
        attributes:
          - {name: title, type: string, role: title, from: prod_name}
          - {name: color, type: enum, values: [Black, White, Red], from: colour_group_name}
        """,
        """
        article_id,product_code,prod_name,colour_group_name
        0108775015,0108775,Strap top,Black
        0108775044,0108775,,White
        0108775051,0108775,,
        """,
        {
            "0108775015": {"title": "Strap top", "color": "Black"},
            "0108775044": {"title": "Strap top", "color": "White"},
            "0108775051": {"title": "Strap top"},
        },
    ),
}


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("name", EXPORTS)
def test_rows_of_an_export(name: str, shuffled: bool) -> None:
    """The rows of each export make the items that its shop has, in whatever order they arrive."""
    template, table, expected = EXPORTS[name]
    items = records_of(template, table, shuffled=shuffled)
    assert {item_id: item.values for item_id, item in items.items()} == expected


def test_a_product_has_a_limit_of_rows_without_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more variants share them, the fewer pictures; what is more is set aside and told."""
    monkeypatch.setattr(module, "MAX_SHARED", 6)
    read = parse_template(
        HEAD
        + dedent(
            """
            record: {id: sku, group: handle, images: {columns: [image]}}
            attributes: [{name: title, type: string, role: title, from: name}]
            """
        ),
        "t.yaml",
    )
    normaliser, rows = Normaliser(read), []
    for number in range(7):
        cells = {
            "handle": "h",
            "sku": "abc"[number] if number < 3 else "",
            "image": f"{number}.jpg",
        }
        row = normaliser.normalise(RawRecord(b"%d" % number, "csv", "in.csv", number), cells)
        assert isinstance(row, Record)
        rows.append(row)
    made, rejects = inherit(rows, Combination.of(read))
    assert [item.image_refs for item in made][2] == ("2.jpg", "3.jpg", "4.jpg")
    assert [reject.reason for reject in rejects] == ["too-many-rows"] * 2
    assert "4 rows of the group 'h' have no id" in rejects[0].message


def test_picture_rows() -> None:
    """Rows that hold a picture each give their item all of them, by position."""
    template = """
        record: {id: sku, group: sku, images: {columns: [image], position: pos}}
        attributes: [{name: title, type: string, role: title, from: name}]
        """
    table = """
        sku,name,image,pos
        A1,Kettle,front.jpg,2
        A1,,top.jpg,1
        B2,Cup,cup.jpg,1
        A1,,back.jpg,
        """
    items = records_of(template, table)
    assert items["A1"].image_refs == ("top.jpg", "front.jpg", "back.jpg")
    assert items["B2"].image_refs == ("cup.jpg",)


def test_codes_and_numbers_are_not_inherited() -> None:
    """A variant without a code, price or weight has none, unless the template says `rows: first`."""
    template = """
        record: {id: sku, group: handle}
        attributes:
          - {name: title, type: string, role: title, from: name}
          - {name: ean, type: identifier, scheme: any, from: ean}
          - {name: weight, type: number, unit: g, from: weight}
          - {name: price, type: number, from: price, rows: first}
          - {name: note, type: string, from: note, rows: own}
        """
    table = """
        sku,handle,name,ean,weight,price,note
        a,h,Mug,123,200 g,9,first of all
        b,h,,,,,
        """
    second = records_of(template, table)["b"]
    assert second.values == {"title": "Mug", "price": 9}
    assert second.inherited
    assert second.origins["title"].startswith("name (row ")


def test_rows_without_an_id_belong_to_their_product() -> None:
    """A row with a picture only is a row of the first variant, and its picture is every variant's;
    a group without any id is set aside, row by row.
    """
    template = """
        record: {id: sku, group: handle, images: {columns: [image]}}
        attributes: [{name: title, type: string, role: title, from: name}]
        """
    table = """
        sku,handle,name,image
        a,h,Mug,a.jpg
        ,h,,more.jpg
        b,h,,
        """
    items = records_of(template, table)
    assert items["a"].image_refs == items["b"].image_refs == ("a.jpg", "more.jpg")
    assert [len(items[each].rows) for each in "ab"] == [1, 0]
    read = parse_template(HEAD + dedent(template), "t.yaml")
    cells = {"handle": "h", "name": "Mug"}
    row = Normaliser(read).normalise(RawRecord(b"x", "csv", "in.csv", 2), cells)
    assert isinstance(row, Record)
    made, rejects = inherit([row, row], Combination.of(read))
    assert (made, [reject.reason for reject in rejects]) == ([], ["missing-id"] * 2)
