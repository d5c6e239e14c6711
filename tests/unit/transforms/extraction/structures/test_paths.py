"""Paths into cells."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.extraction.structures.paths import NotReachedError, compile_path

IMAGES = [{"hi_res": "a.jpg", "size": {"w": 1}}, {"hi_res": None}, {"hi_res": "c.jpg"}]
VARIANTS = [{"price": 9.5, "images": [{"src": "x"}, {"src": "y"}]}, {"price": 8}]
SPECS = [{"key": "Color", "value": "Brown"}, {"key": "Size", "value": "L"}, {"value": "loose"}]


@pytest.mark.parametrize(
    ("cell", "path", "found"),
    [
        (IMAGES, "[].hi_res", ["a.jpg", "c.jpg"]),
        (IMAGES, "[*].hi_res", ["a.jpg", "c.jpg"]),
        (IMAGES, "hi_res", ["a.jpg", "c.jpg"]),
        (IMAGES, "[0].hi_res", "a.jpg"),
        (IMAGES, "[-1].hi_res", "c.jpg"),
        (IMAGES, "[7].hi_res", None),
        (IMAGES, "[].size.w", [1]),
        ({"hi_res": ["a.jpg", None]}, "[].hi_res", ["a.jpg", None]),
        ({"hi_res": ["a.jpg", "b.jpg"]}, "[1].hi_res", "b.jpg"),
        ({"hi_res": "only.jpg"}, "[].hi_res", "only.jpg"),
        ({"hi_res": "only.jpg"}, "[0].hi_res", "only.jpg"),
        ({"1": {"src": "a"}, "3": {"src": "b"}}, "[].src", ["a", "b"]),
        (json.dumps(IMAGES), "[0].hi_res", "a.jpg"),
        (str(IMAGES), "[].hi_res", ["a.jpg", "c.jpg"]),
        ([json.dumps({"src": "a"})], "[].src", ["a"]),
        (VARIANTS, "[0].price", 9.5),
        (VARIANTS, "[].images[0].src", ["x"]),
        (VARIANTS, "[].images[].src", [["x", "y"]]),
        (VARIANTS, "[0].images[1].src", "y"),
        ([["a", "b"], ["c"]], "[0][1]", "b"),
        (["a", "b"], "[]", ["a", "b"]),
        (SPECS, "Color", "Brown"),
        (SPECS, "color", "Brown"),
        (SPECS, "Weight", None),
        (SPECS, "value", ["Brown", "L", "loose"]),
        ({"specs": SPECS}, "Size", "L"),
        ({"specs": SPECS}, "specs.Size", "L"),
        ([{"name": "Color", "values": ["Blue", "Red"]}], "color", ["Blue", "Red"]),
        ([{"attribute_code": "color", "value": "49"}], "color", "49"),
        ([{"@type": "PropertyValue", "name": "Color", "value": "Red"}], "Color", "Red"),
        ([("Color", "Blue"), ("Size", "M")], "Size", "M"),
        ([["Color", "Blue"], ["Color", "Red"]], "Color", ["Blue", "Red"]),
        ({"a": {"b": {"c": 1}}, "x.y": 2}, "a.b.c", 1),
        ({"a": {"b": {"c": 1}}, "x.y": 2}, "x.y", 2),
        ({"Item Weight": "3 oz"}, "item weight", "3 oz"),
        ({"energy-kcal_100g": 42}, "energy-kcal_100g", 42),
        ({"a": 1}, "a.b", None),
        ({"A": 1, "a ": 2}, " a", None),
        ([], "[].x", []),
    ],
)
def test_forms(cell, path, found):
    """Lists, columns, pairs, wrappers, numbered keys and texts are gone through."""
    assert compile_path(path).reach(cell) == found


@pytest.mark.parametrize(("cell", "path"), [("a.jpg", "[].src"), (["a.jpg"], "[].src"), (5, "[0]")])
def test_what_has_no_keys_is_told(cell, path):
    """A path into a text or a number is no missing value."""
    with pytest.raises(NotReachedError):
        compile_path(path).reach(cell)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2**40)), min_size=1))
def test_rows_and_columns_are_the_same(rows):
    """A list of objects and the same list by column give the same values, also as JSON and Arrow."""
    wanted = [row["a"] for row in rows if "a" in row]
    columns = {"a": [row.get("a") for row in rows]}
    path = compile_path("[].a")
    assert path.reach(rows) == path.reach(json.dumps(rows)) == path.reach(repr(rows)) == wanted
    assert [each for each in path.reach(columns) if each is not None] == wanted
    table = pa.table({"rows": [[{"a": row.get("a")} for row in rows]]})
    assert path.reach(table.to_pylist()[0]["rows"]) == wanted
