"""Units that stand beside a number: in another column, in the header, or in the template."""

import pytest

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from transforms.normalise.records import Normaliser

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: sku}}
columns: {columns}
attributes:
  - {{name: title, type: string, role: title, from: title, description: Name.}}
  - {{name: weight, type: number, unit: g, from: {column}, description: Weight.}}
"""


def read(column: str, cells: dict, columns: str = "{}") -> Record:
    template = parse_template(TEMPLATE.format(column=f'"{column}"', columns=columns), "test")
    record = Normaliser(template).normalise(
        RawRecord(b"", "jsonl", "x", 1, 0), {"sku": "a", **cells}
    )
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("weight", {"weight": "1.2", "weight-unit": "KILOGRAM"}, 1200),
        ("weight", {"weight": 1.2, "weight_unit": "kg"}, 1200),
        ("weight", {"weight": 3, "weightUnit": "lb"}, 1360.77711),
        ("Item Weight", {"Item Weight": "16", "Item Weight Unit Of Measure": "OZ"}, 453.592370),
        ("weight", {"weight": "500 g", "weight_unit": "kg"}, 500),
        ("Weight (kg)", {"Weight (kg)": "0.5"}, 500),
        ("weight_kg", {"weight_kg": 0.5}, 500),
        ("Gewicht [kg]", {"Gewicht [kg]": "0,5"}, 500),
        ("Variant Grams", {"Variant Grams": "500", "Variant Weight Unit": "kg"}, 500),
        ("weight", {"weight": "500"}, 500),
        ("weight", {"weight": "500", "weight_class": "kg"}, 500),
    ],
)
def test_bare_numbers(column, cells, expected):
    """A bare number is in the unit that stands beside it, else in the attribute's; an amount that
    has its own keeps it.
    """
    record = read(column, cells)
    assert record.values["weight"] == pytest.approx(expected)
    assert not record.flags


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"weight": "1.2", "weight_unit": ""}, "has no unit in weight_unit"),
        ({"weight": "1.2", "weight_unit": "pieces"}, "is in 'pieces' by weight_unit"),
        ({"weight": "1.2", "weight_unit": "cm"}, "does not convert to g"),
    ],
)
def test_units_that_are_none(cells, message):
    """Without a unit that fits, the number may be wrong by a factor: it is flagged and unknown."""
    record = read("weight", cells)
    assert "weight" not in record.values
    assert record.given["weight"] == "1.2"
    assert message in record.flags[0].detail


def test_the_template_decides():
    """What the template says of a column goes over what names tell."""
    cells = {"weight": "2", "weight_unit": "g", "w": "kg"}
    assert read("weight", cells, "{weight: {unit: kg}}").values["weight"] == 2000
    assert read("weight", cells, "{weight: {unit_from: w}}").values["weight"] == 2000
