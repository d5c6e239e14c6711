"""Structures of other languages in text cells."""

import datetime
import decimal
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.extraction.structures.parse import MAX_DEPTH, parse_structure

JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
STRUCTURES = JSON_VALUES.filter(lambda value: isinstance(value, list | dict))


@given(STRUCTURES)
def test_python_repr_reads_as_what_it_is(value):
    """repr(x) of any JSON-able list or dictionary reads as x."""
    assert parse_structure(repr(value)) == value


@given(STRUCTURES)
def test_json_reads_as_what_it_is(value):
    """json.dumps(x), and that dumped once more, read as x."""
    assert parse_structure(json.dumps(value)) == value
    assert parse_structure(json.dumps(json.dumps(value))) == value


def as_ruby(value):
    """Write a value as Ruby's inspect does."""
    if isinstance(value, dict):
        pairs = (f"{as_ruby(key)}=>{as_ruby(entry)}" for key, entry in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_ruby, value)) + "]"
    if value is None:
        return "nil"
    return json.dumps(value).replace("#{", "\\#{")


@given(STRUCTURES)
def test_ruby_inspect_reads_as_what_it_is(value):
    """Ruby's inspect of any JSON-able x reads as x."""
    assert parse_structure(as_ruby(value)) == value


def as_php(value):
    """Write a value as PHP's serialize does."""
    if isinstance(value, dict | list):
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        inner = "".join(as_php(key) + as_php(entry) for key, entry in entries)
        return f"a:{len(entries)}:{{{inner}}}"
    if value is None:
        return "N;"
    if isinstance(value, bool):
        return f"b:{int(value)};"
    if isinstance(value, str):
        return f's:{len(value.encode())}:"{value}";'
    return f"{'i' if isinstance(value, int) else 'd'}:{value!r};"


@given(STRUCTURES.filter(lambda value: "{}" not in repr(value)))
def test_php_serialize_reads_as_what_it_is(value):
    """PHP's serialize of any JSON-able x reads as x; an empty array is a list."""
    assert parse_structure(as_php(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'Brand': None, 'New': True, 'w': 1.5}", {"Brand": None, "New": True, "w": 1.5}),
        ("""{'a': "Ridge's", "b": 'say "x"'}""", {"a": "Ridge's", "b": 'say "x"'}),
        (repr(np.array(["a", "b"], dtype=object)), ["a", "b"]),
        (str(np.array(["a", "b c"])), ["a", "b c"]),
        (repr(np.array([[1, 2], [3, 4]])), [[1, 2], [3, 4]]),
        ("[np.float64(1.5), np.str_('x'), np.True_]", [1.5, "x", True]),
        ("OrderedDict([('a', 1), ('b', [2])])", {"a": 1, "b": [2]}),
        ("defaultdict(<class 'list'>, {'a': [1]})", {"a": [1]}),
        ("('a', 'b')", ["a", "b"]),
        ("{'x', 'y'}", ["x", "y"]),
        (
            repr({"d": datetime.datetime(2024, 1, 2, 3), "n": decimal.Decimal("1.50")}),
            {"d": datetime.datetime(2024, 1, 2, 3), "n": decimal.Decimal("1.50")},
        ),
        (
            "{'t': Timestamp('2024-01-01 00:00:00'), 'n': nan}",
            {"t": "2024-01-01 00:00:00", "n": None},
        ),
        ("{'v': b'caf\\xc3\\xa9', 'e': '\\u2013'}", {"v": "café", "e": "–"}),
        ('{:color=>:red, "Size (cm)"=>nil}', {"color": "red", "Size (cm)": None}),
        ('{name: "Mug", "a b": 1}', {"name": "Mug", "a b": 1}),
        ('{"at"=>2024-01-01 00:00:00 UTC}', {"at": "2024-01-01 00:00:00 UTC"}),
        (
            "{color: 'Blue', sizes: ['S', \"M\"], x: undefined}",
            {"color": "Blue", "sizes": ["S", "M"], "x": None},
        ),
        ("array ( 0 => 'x', 1 => 'y', )", ["x", "y"]),
        ("['a' => 'b', 'c' => ['d']]", {"a": "b", "c": ["d"]}),
        ('"Color"=>"Blue", "Size"=>NULL', {"Color": "Blue", "Size": None}),
    ],
)
def test_further_forms(text, value):
    """What pandas, numpy, Ruby, JavaScript, PHP and PostgreSQL print reads as what it is."""
    assert parse_structure(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("[NEW] Kettle", "[Red, Blue]", "{{description}}", "(like new)", "{'a': 1", "['a',, 'b']"),
        *("array([1, 2, ..., 3])", "{'a': <object at 0x1>}", "[__import__('os').getcwd()]"),
        *("[open('x')]", 'a:1:{s:99:"x";i:1;}', 'O:3:"Foo":0:{}', "['a' 1 +]", "{'a': 'b'} x", ""),
    ],
)
def test_other_texts_are_none(text):
    """What is not wholly a structure is none, and nothing is called."""
    assert parse_structure(text) is None


@pytest.mark.parametrize("opening", ["[", "{'a':", "(", "array(", "a:1:{i:0;"])
def test_bounded(opening):
    """Depth is bounded, and long texts that never close cost time in proportion to their length."""
    assert parse_structure(opening * (MAX_DEPTH * 4)) is None
    began = time.perf_counter()
    assert parse_structure("['" + "a" * 500_000) is None
    assert parse_structure("[" + "('a',), " * 100_000) is None
    assert time.perf_counter() - began < 10


@given(st.text(alphabet="[]{}()'\",:=>abNone1. \\u#;<", max_size=40))
def test_never_raises(text):
    """Whatever the text, it is a list, a dictionary, or none of both."""
    assert parse_structure(text) is None or isinstance(parse_structure(text), list | dict)
