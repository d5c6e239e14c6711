"""Several columns that are one for the template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import RawRecord, Record
from schemas.loading import TemplateRefusedError, parse_template
from schemas.template import ColumnFormat
from transforms.extraction.cells import open_cell, split_list
from transforms.normalise.column_groups import columns_read, keys_in_no_record
from transforms.normalise.column_names import ColumnNames
from transforms.normalise.records import Normaliser

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: id, images: {{columns: [main_image, "image_{{n}}"], separator: ","}}}}
columns:
  {columns}
attributes:
  {attributes}
"""


def template(columns: str, *attributes: str):
    """Return a template with these entries."""
    text = TEMPLATE.format(columns=columns, attributes="\n  ".join(f"- {a}" for a in attributes))
    return parse_template(text, "test")


def read(parsed, **cells) -> Record:
    """Read one record."""
    record = Normaliser(parsed).normalise(RawRecord(b"", "jsonl", "x", 1, 0), {"id": "a", **cells})
    assert isinstance(record, Record)
    assert not record.flags, record.flags
    return record


COLOR = "{name: color, type: multi_enum, from: %s, values: [Blue, Green, White], description: C.}"
TEXT = "{name: about, type: string, role: text, from: %s, description: T.}"


@pytest.mark.parametrize(
    ("value", "name", "cells"),
    [
        (
            "Attribute {n} value(s)",
            "Attribute {n} name",
            {
                "Attribute 1 name": "Size",
                "Attribute 1 value(s)": "S",
                "Attribute 2 name": "Color",
                "Attribute 2 value(s)": "Blue, Green",
            },
        ),
        (
            "Option{n} Value",
            "Option{n} Name",
            {"Option1 Name": "COLOR", "Option1 Value": "Blue, Green"},
        ),
        (
            "attribute_value_{n}",
            "attribute_name_{n}",
            {
                "attribute_name_9": "color",
                "attribute_value_9": "Blue",
                "attribute_name_10": "Color ",
                "attribute_value_10": "Green",
            },
        ),
        ("meta:value", "meta:key", {"meta:key": "color", "meta:value": "Blue,Green"}),
        (
            "Feature {n}: value",
            "Feature {n}",
            {"Feature 1": "Color", "Feature 1: value": "Blue,Green"},
        ),
        ("{n}. Wert", "{n}. Merkmal", {"1. Merkmal": "Color", "1. Wert": ["Blue", "Green"]}),
        (
            "spec{n}_v{n}",
            "spec{n}_k",
            {"spec3_k": "Color", "spec3_v3": "Blue,Green", "spec3_v4": "White"},
        ),
        ("values", "names", {"names": "Size, Color", "values": ["M", "Blue, Green"]}),
        (
            "ATTRIBUTE {n} VALUE",
            "ATTRIBUTE {n} NAME",
            {"Attribute 1 name": "Color", "attribute 1 value": "Blue,Green"},
        ),
    ],
)
def test_pairs_of_columns(value, name, cells):
    """A value is found by the name beside it, apart from case, in whatever place it stands."""
    parsed = template(
        f'"{value}": {{format: list, name_from: "{name}"}}', COLOR % f'"{value}.Color"'
    )
    assert read(parsed, **cells).values == {"color": ["Blue", "Green"]}
    read_columns = columns_read(parsed, ColumnNames({"id": 1, "other": 1, **cells}))
    assert read_columns == {"id", *(each for each in cells if each != "spec3_v4")}


@given(st.permutations(["Color", "Size", "Material"]), st.integers(1, 7))
def test_places_do_not_matter(names, first):
    """Pairs in any order and at any number give the same values."""
    values = {"Color": "Blue", "Size": "Green", "Material": "x"}
    cells = {}
    for number, name in enumerate(names, first):
        cells |= {f"n{number}": name, f"v{number}": values[name]}
    parsed = template('"v{n}": {name_from: "n{n}"}', COLOR % '["v{n}.color"]')
    assert read(parsed, **cells).values == {"color": ["Blue"]}


def test_columns_as_one_text_and_as_pictures():
    """Numbered columns are one list in the order of their numbers, without those that are empty."""
    parsed = template("{}", TEXT % '"bullet_point{n}"')
    cells = {f"bullet_point{n}": f"Point {n}." for n in (10, 2, 1)} | {"bullet_point3": ""}
    record = read(parsed, **cells, image_2="c.jpg", image_1="a.jpg,b.jpg", main_image="m.jpg")
    assert record.values["about"] == "Point 1.\nPoint 2.\nPoint 10."
    assert record.image_refs == ("m.jpg", "a.jpg", "b.jpg", "c.jpg")


@pytest.mark.parametrize(
    ("columns", "source", "cells", "about"),
    [
        ("about: {all_of: [short, long]}", "about", {"short": "A.", "long": "B."}, "A.\nB."),
        ("about: {all_of: [short, long]}", "about", {"short": "", "long": "B."}, "B."),
        ('about: {all_of: [short, "p{n}"]}', "about", {"p2": "C.", "short": "A."}, "A.\nC."),
        ("both: {all_of: [a, b]}", "both.t", {"a": {"t": "A."}, "b": "{'t': 'B.'}"}, "A.\nB."),
        ("long: {all_of: [short, long]}", "long", {"short": "A.", "long": "B."}, "A.\nB."),
        ("{}", '"text_{n}"', {"text_{n}": "itself", "text_1": "no"}, "itself"),
        ("{}", '"point#{n}.value"', {"point#1.value": "A.", "point#2.value": "B."}, "A.\nB."),
        ("{}", '"block{n}.text"', {"block1": {"text": "A."}, "block2": '{"text": "B."}'}, "A.\nB."),
        ("{}", '["none{n}", "text {n}"]', {"TEXT 1": "A."}, "A."),
    ],
)
def test_columns_together(columns, source, cells, about):
    """Columns of all_of are read together, patterns among them."""
    assert read(template(columns, TEXT % source), **cells).values == {"about": about}


@pytest.mark.parametrize(
    ("source", "cells"),
    [
        ("name-{lang}", {"name-en_US": "Mug", "name-de_DE": "Becher"}),
        ("name-{lang}", {"NAME-en_us": "Mug", "name-de_de": "Becher", "name-fr_FR": ""}),
        (
            "name-{lang}-shop",
            {"name-en_US-shop": "Mug", "name-de_DE-shop": "Becher", "name-x": "no"},
        ),
        ("{lang}: title", {"en-US: title": "Mug", "de-DE: title": "Becher"}),
    ],
)
def test_languages(source, cells):
    """A pattern with {lang} gives one localized value."""
    parsed = template("{}", f'{{name: t, type: localized, from: "{source}", description: T.}}')
    assert read(parsed, **cells).values == {"t": {"de-DE": "Becher", "en-US": "Mug"}}


@pytest.mark.parametrize(
    ("columns", "attribute", "message"),
    [
        ("{}", TEXT % '"name_{lang}"', "type localized"),
        ('"v{n}": {name_from: name}', COLOR % '"v{n}.Color"', "write {n} in both or in none"),
        ("v: {name_from: n, all_of: [a]}", COLOR % '"v.Color"', "exclude each other"),
        ("v: {format: pairs, fields: Name}", COLOR % '"v.Color"', "Name:Value:Position"),
    ],
)
def test_templates_that_cannot_be_meant(columns, attribute, message):
    """What cannot be read so is refused with the way to write it."""
    with pytest.raises(TemplateRefusedError, match=message.replace("{", r"\{")):
        template(columns, attribute)


FEATURES = ColumnFormat(format="pairs", key_separator=":", fields="Name:Value:Position:Customized")


@pytest.mark.parametrize(
    ("cell", "column", "found"),
    [
        ("Color:Blue:2:0", FEATURES, {"Color": "Blue"}),
        ("A:x:1,A:y:2,A:x:3", FEATURES, {"A": ["x", "y"]}),
        ("P:Short, crew neck:3:1,R:3:1:3", FEATURES, {"P": "Short, crew neck", "R": "3:1"}),
        ("Neck type:V:1:0, Time:12:30:2:", FEATURES, {"Neck type": "V", "Time": "12:30"}),
        ("Color:Blue,Size:M", FEATURES, {"Color": "Blue", "Size": "M"}),
        (
            "Ideal For: Women | Neck Type: V | Note: a, b",
            ColumnFormat(format="pairs", separator="|", key_separator=":"),
            {"Ideal For": " Women ", "Neck Type": " V ", "Note": " a, b"},
        ),
        (
            "Outer Material=Wool, silk,Size=M",
            ColumnFormat(format="pairs"),
            {"Outer Material": "Wool, silk", "Size": "M"},
        ),
        ("a=1\\,b=2,c=3", ColumnFormat(format="pairs"), {"a": "1,b=2", "c": "3"}),
        ("a=1;a=2", ColumnFormat(format="pairs", separator=";"), {"a": ["1", "2"]}),
    ],
)
def test_cells_of_pairs(cell, column, found):
    """Fields behind a value, keys of several words, repeated keys and escaped separators."""
    assert open_cell(cell, column) == found


NAME = st.text("abc XYZé", min_size=1, max_size=8).filter(str.strip)
VALUE = st.text("abc, XYZé", min_size=1, max_size=8).filter(str.strip)


@given(st.dictionaries(NAME.map(str.strip), VALUE, min_size=1, max_size=5))
def test_features_round_trip(features):
    """What PrestaShop writes as Name:Value:Position:Customized is read back, commas and all."""
    cell = ",".join(f"{name}:{value}:{n}:0" for n, (name, value) in enumerate(features.items()))
    assert open_cell(cell, FEATURES) == features


@given(st.lists(st.text("ab ,|n", min_size=1).filter(str.strip), min_size=1), st.sampled_from(",|"))
def test_lists_with_escapes_round_trip(entries, separator):
    """A list whose separators are escaped within entries is read back."""
    cell = separator.join(entry.replace(separator, f"\\{separator}") for entry in entries)
    assert split_list(cell, ColumnFormat(format="list", separator=separator)) == entries


def test_postgres_arrays():
    """PostgreSQL's arrays of texts are lists."""
    cell = '{Blue,"Dark, green",NULL,"a \\"b\\""}'
    assert split_list(cell, ColumnFormat(format="list")) == ["Blue", "Dark, green", 'a "b"']


def test_keys_that_no_record_has_are_named():
    """A key that is in no record is named with those that are there, one that is in some is not."""
    parsed = template(
        '"v{n}": {name_from: "n{n}"}',
        COLOR % '["specs.Colour", "v{n}.Colour", "empty.Color", "specs.Size"]',
    )
    records = [
        {"id": "a", "specs": '[{"key": "Color", "value": "Red"}]', "n1": "Color", "v1": "Red"},
        {"id": "b", "specs": "{'Size': 'M'}", "n1": "", "v1": "", "empty": ""},
    ]
    assert list(keys_in_no_record(parsed, records)) == [
        "specs.Colour (there are Color, Size)",
        "v{n}.Colour (there are Color)",
    ]
