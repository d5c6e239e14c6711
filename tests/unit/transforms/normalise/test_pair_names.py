"""Values whose names only the first row of their group has, from the rows of a file to the item."""

from __future__ import annotations

import csv
import io
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Record
from schemas.loading import parse_template
from schemas.template import Template
from transforms.normalise.combine import combine, inherit
from transforms.readers import ParsedRecord, plan_splits, read_split
from transforms.readers.read import RecordReader, combination_of

SHOP = """
name: shop
version: 1.0.0
record: {{id: {id}, group: handle}}
columns:
  "option{{n}} value": {{name_from: "option{{n}} name"}}
attributes:
  - {{name: title, type: string, role: title, from: title}}
  - {{name: color, type: multi_enum, values: [Red, Blue, Green], from: "option{{n}} value.Color"}}
  - {{name: size, type: string, rows: {size}, from: "option{{n}} value.Size"}}
"""
ONE_ITEM = parse_template(SHOP.format(id="handle", size="all"), "t.yaml")
VARIANTS = parse_template(SHOP.format(id="sku", size="own"), "t.yaml")
HEAD = "handle,sku,title,option1 name,option1 value,option2 name,option2 value\n"
MUG = "mug,m1,Mug,Color,Red,Size,S\nmug,m2,,,Blue,,M\nmug,m3,,,,,L\n"
# Another order of the same names, and a row that names them itself.
JUG = "jug,j1,Jug,Size,S,Color,Green\njug,j2,,,M,,Red\njug,j3,,Color,Blue,Size,L\n"


def rows_of(template: Template, path: Path, table: str) -> list[Record]:
    path.write_text(table, "utf-8")
    read = RecordReader(template)
    elements = [each for split in plan_splits([str(path)]) for each in read_split(split)]
    rows = [read(each) for each in elements if isinstance(each, ParsedRecord)]
    assert all(isinstance(row, Record) for row in rows)
    return [row for row in rows if isinstance(row, Record)]


def test_rows_of_one_item_have_the_names_of_its_first(tmp_path: Path) -> None:
    """Values of later rows are named as in the first row of the item, whatever other items call
    theirs, and in whatever order the rows arrive.
    """
    rows = rows_of(ONE_ITEM, tmp_path / "in.csv", HEAD + MUG + JUG)
    random.Random(3).shuffle(rows)
    made = {}
    for handle in ("mug", "jug"):
        item, rejects = combine(
            [row for row in rows if row.item_id == handle],
            pickle.loads(pickle.dumps(combination_of(ONE_ITEM))),
        )
        assert item is not None
        assert (rejects, len(item.rows)) == ([], 2)
        made[handle] = item.values
    assert made["mug"] == {"title": "Mug", "color": ["Red", "Blue"], "size": "S, M, L"}
    assert made["jug"] == {"title": "Jug", "color": ["Green", "Red", "Blue"], "size": "S, M, L"}


def test_variants_have_the_names_of_their_product(tmp_path: Path) -> None:
    """A variant's own value has the name that its product's first row gives, and the evidence says
    which row that is; a change of that row rebuilds the variant.
    """
    rows = rows_of(VARIANTS, tmp_path / "in.csv", HEAD + MUG)
    made, rejects = inherit(rows, combination_of(VARIANTS))
    assert rejects == []
    first = made[0]
    assert [each.values.get("color") for each in made] == [["Red"], ["Blue"], None]
    assert [each.values.get("size") for each in made] == ["S", "M", "L"]
    named = f"option{{n}} value.Size (named in row {first.raw.short_key})"
    assert [each.origins["size"] for each in made[1:]] == [named, named]
    assert [first.raw.key in each.inherited for each in made] == [False, True, True]


def test_values_without_any_name_stay_unread(tmp_path: Path) -> None:
    """Where no row of a group names a value, or rows are no group, nothing is made up."""
    table = HEAD + "mug,m1,Mug,,Red,,S\nmug,m2,,,Blue,,M\n"
    item, _ = combine(rows_of(ONE_ITEM, tmp_path / "in.csv", table), combination_of(ONE_ITEM))
    assert item is not None
    assert item.values == {"title": "Mug"}
    alone = parse_template(
        SHOP.format(id="sku", size="own").replace(", group: handle", ""), "t.yaml"
    )
    assert combination_of(alone).read_again is None
    assert [row.pair_names for row in rows_of(alone, tmp_path / "in.csv", HEAD + MUG)] == [{}] * 3


@given(
    st.lists(st.sampled_from(["Red", "Blue", "Green", ""]), min_size=1, max_size=6),
    st.permutations(["Color", "Size", "Shape"]),
    st.randoms(use_true_random=False),
)
def test_naming_the_first_row_is_as_good_as_naming_all(
    tmp_path_factory: pytest.TempPathFactory,
    colors: list[str],
    names: list[str],
    chance: random.Random,
) -> None:
    """LAW: an export that names its pairs in the first row only gives the item of one that names
    them in every row.
    """
    places = range(1, len(names) + 1)
    head = [
        "handle",
        "sku",
        "title",
        *(f"option{n} {w}" for n in places for w in ("name", "value")),
    ]
    tables = []
    for is_named in (True, False):
        rows = [head]
        for number, color in enumerate(colors):
            cells = {"Color": color, "Size": "SML"[number % 3], "Shape": "round"}
            pairs = [(name if is_named or not number else "", cells[name]) for name in names]
            rows.append(["mug", f"m{number}", "", *(cell for pair in pairs for cell in pair)])
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        tables.append(text.getvalue())
    path = tmp_path_factory.mktemp("pairs") / "in.csv"
    found = []
    for table in tables:
        rows_read = rows_of(ONE_ITEM, path, table)
        chance.shuffle(rows_read)
        item, _ = combine(rows_read, combination_of(ONE_ITEM))
        assert item is not None
        found.append((item.values, item.given))
    assert found[0] == found[1]
