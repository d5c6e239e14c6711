"""Columns under the names that exports give them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from transforms.normalise.records import Normaliser

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku, images: {columns: ["Image URLs (x,y,z...)"]}}
attributes:
  - {name: title, type: string, role: title, from: [product.title, name], description: Name.}
  - {name: number, type: string, from: "Art.-Nr.", description: Number.}
"""


def read(cells: dict) -> Record:
    normaliser = Normaliser(parse_template(TEMPLATE, "test"))
    record = normaliser.normalise(RawRecord(b"", "jsonl", "x", 1, 0), cells)
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize(
    "cells",
    [
        {"sku": "a", "product": {"title": "Mug"}},
        {"SKU": "a", "product.title": "Mug"},
        {" Sku ": "a", "NAME": "Mug"},
        {"sku\u00a0": "a", "Name ": "Mug"},
        {"sku": "a", "Product.Title": "Mug", "name": "other"},
        {"@sku": "a", "@name": "Mug"},
        {"g:sku": "a", "G:Name": "Mug"},
        {"sku": "a", "product.title": r"\N", "name": "Mug"},
    ],
)
def test_names_apart_from_case_and_spaces(cells):
    """A column is found by its whole name, by its name apart from case and spaces, and as a path."""
    record = read(cells)
    assert (record.item_id, record.values["title"]) == ("a", "Mug")


def test_dots_that_are_no_path():
    """A dot in a column's name, as exporters write it, is no path."""
    record = read({"sku": "a", "Art.-Nr.": "12-3", "Image URLs (x,y,z...)": "img/a.jpg"})
    assert record.values["number"] == "12-3"
    assert record.image_refs == ("img/a.jpg",)


def test_two_columns_of_one_name():
    """Where two columns differ by case alone, only the one that is written so is meant."""
    record = read({"sku": "a", "Name": "x", "NAME": "y"})
    assert "title" not in record.values


NAMES = st.text(st.sampled_from(list("Nr.[]0*:,()-_ aé")), min_size=1, max_size=8).filter(str.strip)


@given(NAMES, NAMES)
def test_any_name_is_a_columns_name(name, other):
    """Whatever dots, brackets and blanks a column's name has, the template reads it under that
    very name.
    """
    template = f"""
name: shop
version: 1.0.0
record: {{id: {json.dumps("id of " + name)}}}
attributes:
  - {{name: title, type: string, from: {json.dumps("title of " + other)}, description: Name.}}
"""
    normaliser = Normaliser(parse_template(template, "test"))
    cells = {"id of " + name: "a", "title of " + other: "Mug"}
    record = normaliser.normalise(RawRecord(b"", "jsonl", "x", 1, 0), cells)
    assert isinstance(record, Record)
    assert (record.item_id, record.values["title"]) == ("a", "Mug")
