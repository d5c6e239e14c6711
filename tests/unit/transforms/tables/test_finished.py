"""Flags of vectors that are made after the items: which rows change, and in which order."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Flag
from schemas.loading import parse_template
from tests.support import TEMPLATE
from transforms.tables.finished import changed_flags, with_flags, with_retries

SHOP = parse_template(
    f"{TEMPLATE}\nvectors: [{{name: titles, of: text}}, {{name: looks, of: image}}]\n", "shop"
)
THEN, NOW = (dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2))
FLAG = pa.struct([(name, pa.string()) for name in ("reason", "field", "detail")])
SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("deleted_ts", pa.timestamp("us", "UTC")),
        ("created_ts", pa.timestamp("us", "UTC")),
        ("flags", pa.list_(FLAG)),
    ]
)
SPACES = ("text", "titles", "looks")
COLUMN = {"text": "text_enriched", "titles": "titles_vector", "looks": "looks_vector"}


def failed(space: str, why: str = "no") -> Flag:
    return Flag("embed-failed", COLUMN[space], why)


def row(flag: Flag) -> dict[str, str]:
    return {"reason": flag.reason, "field": flag.field, "detail": flag.detail}


def table(*flags: list[Flag], deleted: bool = False) -> pa.Table:
    rows = [
        {
            "item_id": f"i{number}",
            "deleted_ts": THEN if deleted else None,
            "created_ts": THEN,
            "flags": [*map(row, each)],
        }
        for number, each in enumerate(flags)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


# Of the source, and of an attribute that the budget left open though a space is called so.
OTHERS = (Flag("image-missing", "1.png", "gone"), Flag("budget", "titles", "not asked"))
lists = st.lists(st.sampled_from(SPACES), unique=True)


@given(before=lists, after=lists, revised=lists, mixed=st.permutations(OTHERS))
def test_flags_of_revised_spaces_are_those_of_today(
    before: list[str], after: list[str], revised: list[str], mixed: list[Flag]
) -> None:
    """Flags of other spaces, of attributes and of pictures stay; a row whose flags say the same is
    not touched, and texts come last in the order of the spaces.
    """
    ordered = [space for space in ("looks", "text", "titles") if space in before]
    had = [*mixed, *map(failed, ordered)]
    now = [failed(space) for space in after if space in revised]
    changed = changed_flags(SHOP, table(had), {"i0": now}, revised)
    kept = {space for space in before if space not in revised}
    expected = kept | {space for space in after if space in revised}
    if expected == set(before):
        assert changed == {}
    else:
        found = changed[0]
        assert {each["field"] for each in found[2:]} == {COLUMN[space] for space in expected}
        assert found[:2] == [*map(row, mixed)]
        texts = [each["field"] for each in found if each["field"] != "looks_vector"][2:]
        assert texts == sorted(texts)  # text_enriched, titles_vector


def test_items_without_a_record_keep_their_flags() -> None:
    """A deleted item was flagged by the run that had its record."""
    gone = table([failed("titles")], deleted=True)
    assert changed_flags(SHOP, gone, {}, ["titles"]) == {}


def test_rows_with_other_flags_are_new_to_readers() -> None:
    """Only they get today's time, and the table keeps its schema."""
    before = table([], [failed("titles")])
    after = with_flags(before, {1: []}, NOW)
    assert after.schema == before.schema
    assert after["created_ts"].to_pylist() == [THEN, NOW]
    assert after["flags"].to_pylist() == [[], []]
    assert with_flags(before, {}, NOW).equals(before)


def test_records_are_tried_again_by_what_their_item_says_now() -> None:
    """Rows of image tables and rows in quarantine say what they said."""
    rows: list[dict[str, Any]] = [
        {"item_id": "a", "fate": "item", "retry": False},
        {"item_id": "a", "fate": "attached", "retry": False},
        {"item_id": "b", "fate": "item", "retry": True},
        {"item_id": None, "fate": "quarantine", "retry": True},
    ]
    after = with_retries(pa.Table.from_pylist(rows), {"a": True, "b": False})
    assert after["retry"].to_pylist() == [True, False, False, True]
