"""Ids and groups that name nothing: strangers are never made one item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any

import pytest

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from schemas.template import Template
from transforms.normalise.combine import Combination, combine, inherit
from transforms.normalise.ids import has_lost_digits, is_stand_in
from transforms.normalise.records import Normaliser

ATTRIBUTES = """
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
  - {name: color, type: string, from: color, description: Colour.}
"""


def template(record: str) -> Template:
    return parse_template(f"name: shop\nversion: 1.0.0\nrecord: {record}\n{ATTRIBUTES}", "test")


def normalised(shop: Template, rows: list[Mapping[str, Any]]) -> Iterator[Record]:
    normaliser = Normaliser(shop)
    for number, cells in enumerate(rows, 1):
        raw = RawRecord(f"{number}".encode(), "jsonl", "shop.jsonl", number)
        record = normaliser.normalise(raw, cells)
        assert isinstance(record, Record)
        yield record


@pytest.mark.parametrize(
    "item_id", ["1.23457E+17", "4,00638E+12", "N/A", "-", "?", "null", "TBD", "nan", "<NA>"]
)
def test_an_id_that_names_nothing_joins_no_strangers(item_id: str) -> None:
    """Rows with such an id and other titles are set aside, each with the reason."""
    shop = template("{id: id}")
    rows = [
        {"id": item_id, "title": "Mug", "color": "Red"},
        {"id": item_id, "title": "Kettle"},
        {"id": item_id, "title": "Mug"},
    ]
    for some in permutations(normalised(shop, rows)):
        item, rejects = combine(some, Combination.of(shop))
        assert item is None
        assert [each.reason for each in rejects] == ["duplicate-id"] * 3


@pytest.mark.parametrize("item_id", ["1.23457E+17", "N/A"])
def test_rows_that_agree_are_one_item(item_id: str) -> None:
    """Rows of one title may be one item, whatever its id; one row always is."""
    shop = template("{id: id}")
    rows = [{"id": item_id, "title": "Mug", "color": "Red"}, {"id": item_id, "title": "Mug"}]
    records = list(normalised(shop, rows))
    item, rejects = combine(records, Combination.of(shop))
    assert item is not None
    assert item.values == {"title": "Mug", "color": "Red"}
    assert rejects == []
    assert combine(records[:1], Combination.of(shop)) == (records[0], [])


@pytest.mark.parametrize("item_id", ["A-1", "0", "12345", "1E5", "NA-1", "Ω"])
def test_other_ids_join_their_rows(item_id: str) -> None:
    """Any other id names one item, whose newest title counts."""
    assert not is_stand_in(item_id)
    assert not has_lost_digits(item_id)
    shop = template("{id: id}")
    rows = [{"id": item_id, "title": "Mug", "color": "Red"}, {"id": item_id, "title": "Kettle"}]
    item, _ = combine(list(normalised(shop, rows)), Combination.of(shop))
    assert item is not None
    assert item.values == {"title": "Kettle", "color": "Red"}


@pytest.mark.parametrize("group", ["0", 0, "N/A", "-", "null", "NaN", " n/a ", "#N/A"])
def test_a_group_that_is_none_shares_nothing(group: Any) -> None:
    """A variant has nothing of a stranger's whose group is written like a missing one."""
    shop = template("{id: id, group: group}")
    rows = [
        {"id": "a", "group": group, "title": "Mug", "color": "Red"},
        {"id": "b", "group": group},
    ]
    assert [each.group for each in normalised(shop, rows)] == ["", ""]


def test_a_group_gives_its_title() -> None:
    """What is called otherwise is a group; a stand-in gives way to the next column."""
    shop = template("{id: id, group: [parent, id]}")
    rows = [
        {"id": "p", "parent": "0", "title": "Mug"},
        {"id": "a", "parent": "p"},
    ]
    records = list(normalised(shop, rows))
    assert [each.group for each in records] == ["p", "p"]
    made, _ = inherit(records, Combination.of(shop))
    assert [each.values.get("title") for each in made] == ["Mug", "Mug"]


@pytest.mark.parametrize("cell", ["A1\u200b", "\ufeffA1", " \u2060A1\u200e ", "A1\u00ad"])
def test_what_nobody_sees_makes_no_other_id(cell: str) -> None:
    """Invisible characters around an id are no part of it; within it they stay."""
    shop = template("{id: id}")
    (record,) = normalised(shop, [{"id": cell, "title": "Mug"}])
    assert record.item_id == "A1"
    (record,) = normalised(shop, [{"id": f"B{cell.strip()}1", "title": "Mug"}])
    assert record.item_id != "BA11"
