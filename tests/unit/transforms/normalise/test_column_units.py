"""Units that stand beside a number: in another column, in the header, or in the template."""

import pytest

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from transforms.normalise.column_units import units_of_name
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
        ("weight", {"weight": "0.5", "weight_class": "kg"}, 500),
        ("weight.value", {"weight": {"value": 1.2, "unit": "kg"}}, 1200),
        ("weight.amount", {"weight": '{"amount": "1.2", "uom": "kg"}'}, 1200),
        ("d.weight", {"d": {"weight": 1.2, "weight_unit": "kg"}}, 1200),
        ("d.weight", {"d": {"weight": 1.2, "unit": "kg"}, "unit": "g"}, 1200),
        ("d.weight_kg", {"d": {"weight_kg": 1.2}}, 1200),
        ("d.pack.weight", {"d": {"pack": {"weight": 1.2, "unit": "kg"}, "unit": "g"}}, 1200),
        ("v[0].weight", {"v": [{"weight": 1.2, "unit": "kg"}, {"weight": 5, "unit": "g"}]}, 1200),
        ("v[].weight", {"v": [{"weight": 1.2, "unit": "kg"}, {"weight": 1.2, "unit": "kg"}]}, 1200),
        ("d.weight", {"d": {"weight": 500}}, 500),
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


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("v[].weight", {"v": [{"weight": 1.2, "unit": "kg"}, {"weight": 1.2, "unit": "g"}]}),
        ("weight.value", {"weight": {"value": 1.2, "unit": ""}}),
        ("d.weight", {"d": {"weight": 1.2, "length": 3, "unit": "cm"}}),
    ],
)
def test_units_of_keys_that_are_none(column, cells):
    """A number in an object whose unit is missing, another's or another measure's is unknown."""
    record = read(column, cells)
    assert "weight" not in record.values
    assert [flag.reason for flag in record.flags] == ["value-wrong-type"]


def test_the_template_decides():
    """What the template says of a column goes over what names tell."""
    cells = {"weight": "2", "weight_unit": "g", "w": "kg"}
    assert read("weight", cells, "{weight: {unit: kg}}").values["weight"] == 2000
    assert read("weight", cells, "{weight: {unit_from: w}}").values["weight"] == 2000


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("weight.value", {"weight.value": "1.2", "weight.unit": "kg"}, 1200),
        ("weight_value", {"weight_value": "1.2", "weight_unit": "kg"}, 1200),
        ("net_weight", {"net_weight": "1.2", "weight_unit": "kg"}, 1200),
        ("Gewicht", {"Gewicht": "1,2", "Gewichtseinheit": "kg"}, 1200),
        ("peso", {"peso": "1.2", "unidad_peso": "kg"}, 1200),
        ("weight", {"weight": "1.2", "weight_uom": "KGM"}, 1200),
        ("weight.kg", {"weight": {"kg": 1.2}}, 1200),
        ("kg", {"kg": "1.2"}, 1200),
        ("Weight kg (packed)", {"Weight kg (packed)": "1.2"}, 1200),
        ("weight", {"weight": 1.125, "weight_unit": "kg"}, 1125),
        ("weight", {"weight": 1.2e-05, "weight_unit": "kg"}, 0.012),
        ("weight", {"weight": "500", "unit": "piece"}, 500),
        ("weight", {"weight": "500", "unit": "g"}, 500),
        ("net", {"net": "500", "gross": "1", "gross_unit": "kg"}, 500),
        ("weight", {"weight": {"value": 1.2, "unit": "kg"}}, 1200),
        ("weight", {"weight": {"Amount": "1,2", "UOM": "kg"}, "weight_unit": "lb"}, 1200),
        ("weight", {"weight": {"value": 1.2}, "weight_unit": "kg"}, 1200),
        ("weight", {"weight": {"value": "500 g", "unit": "kg"}}, 500),
    ],
)
def test_units_of_columns_that_are_called_otherwise(column, cells, expected):
    """A column of units is found by a word that it shares with the numbers' column; one of other
    numbers, or without a unit that fits, says nothing.
    """
    record = read(column, cells)
    assert record.values["weight"] == pytest.approx(expected)
    assert not record.flags


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("weight", {"weight": "1.2", "unit": "kg"}, "'kg' in unit"),
        ("Gewicht", {"Gewicht": "1.2", "Einheit": "kg"}, "'kg' in Einheit"),
        (
            "net_weight",
            {"net_weight": "1.2", "weight": "1.3", "weight_unit": "kg"},
            "'kg' in weight_unit",
        ),
        ("Weight (kg/lb)", {"Weight (kg/lb)": "1.2"}, "may be in kg or lb"),
        ("Rolling stone", {"Rolling stone": "1.2"}, "may be in stone or g"),
        ("weight", {"weight": {"value": 1.2, "unit": ""}}, "no unit"),
        ("weight", {"weight": {"value": 1, "amount": 2, "unit": "kg"}}, "not a number"),
        ("weight", {"weight": "$5"}, "not a number"),
        ("weight", {"weight": "5 €"}, "not a number"),
    ],
)
def test_numbers_of_unclear_units(column, cells, told):
    """A bare number beside a unit that may be its own, and an amount of money, are unknown."""
    record = read(column, cells)
    assert "weight" not in record.values
    assert told in record.flags[0].detail


@pytest.mark.parametrize("holder", ["dimension_unit", "dimensions_uom", "size_unit"])
def test_units_of_all_lengths(holder):
    """A unit of the dimensions is that of each length beside it."""
    template = parse_template(
        TEMPLATE.format(column="weight", columns="{}").replace("unit: g", "unit: cm"), "test"
    )
    cells = {"sku": "a", "title": "Box", "weight": "12", holder: "in"}
    record = Normaliser(template).normalise(RawRecord(b"", "jsonl", "x", 1, 0), cells)
    assert isinstance(record, Record)
    assert record.values["weight"] == pytest.approx(30.48)


@pytest.mark.parametrize(
    ("name", "unit", "found"),
    [
        ("foot_width", "cm", ()),
        ("chain_length", "cm", ()),
        ("Gold chain", "cm", ("chain", "cm")),
        ("Left foot", "cm", ("foot", "cm")),
        ("height_feet", "cm", ("feet",)),
        ("Height (hand)", "cm", ("hand", "cm")),
        ("size in stock", "cm", ()),
        ("made_in", "cm", ("in",)),
        ("kg_weight", "g", ("kg",)),
        ("Weight in kg or lb", "g", ("lb", "kg")),
        ("g", "kg", ("g",)),
        ("page_count", "cm", ()),
    ],
)
def test_units_in_names(name, unit, found):
    """A name that ends with a unit names it; one of a thing that is a unit too leaves both."""
    assert units_of_name(name, unit) == found


def test_units_of_what_has_a_column_of_its_own():
    """The unit of another measure, which has a column, says nothing of this one."""
    template = parse_template(
        TEMPLATE.format(column="length", columns="{}").replace("unit: g", "unit: cm"), "test"
    )
    cells = {"sku": "a", "title": "TV", "length": "12", "size": "55", "size_unit": "in"}
    record = Normaliser(template).normalise(RawRecord(b"", "jsonl", "x", 1, 0), cells)
    assert isinstance(record, Record)
    assert record.values["weight"] == 12
    assert not record.flags
