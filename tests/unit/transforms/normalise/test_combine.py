"""Rows of one item: which values, pictures and flags it has of them, and what is set aside."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import RawRecord, Record, Reject
from schemas.loading import parse_template
from transforms.normalise import combine as module
from transforms.normalise.combine import Combination, combine
from transforms.normalise.records import Normaliser

TEMPLATE = """
name: shop
version: 1.0.0
record:
  id: handle
  event_ts: changed
  images: {columns: image, position: at}
  EXTRA: x
attributes:
  - {name: title, type: string, role: title, from: title}
  - {name: size, type: string, from: size, rows: all}
  - {name: color, type: multi_enum, from: color, values: [Red, Blue, Green], absent: [Default Title]}
  - {name: price, type: number, from: price}
  - {name: stock, type: number, from: stock, rows: last}
  - {name: names, type: localized, from: names}
"""


def template_of(extra: str = "group: handle"):
    return parse_template(TEMPLATE.replace("EXTRA: x", extra or "duplicates: merge"), "t.yaml")


def rows_of(*cells: dict[str, Any], extra: str = "group: handle") -> list[Record]:
    """Rows of one file, normalised."""
    normaliser = Normaliser(template_of(extra))
    made = []
    for position, each in enumerate(cells, start=1):
        full = {"handle": "h", **each}
        raw = RawRecord(json.dumps(full).encode(), "jsonl", "in.jsonl", position)
        record = normaliser.normalise(raw, full)
        assert isinstance(record, Record)
        made.append(record)
    return made


def combined(*cells: dict[str, Any], extra: str = "group: handle") -> Record:
    made, rejects = combine(rows_of(*cells, extra=extra), Combination.of(template_of(extra)))
    assert not rejects
    assert made is not None
    return made


def test_a_group_takes_the_first_value_and_all_entries_of_lists() -> None:
    """Of rows that belong together the first that says anything counts, lists and what the
    template says hold all, and every other row is named.
    """
    rows = (
        {"title": "Parka", "size": "S", "color": "Blue", "price": "189", "stock": 1},
        {"size": "M", "color": "Blue", "stock": 2},
        {"size": "S", "color": "Green", "title": "Other"},
        {"image": "back.jpg"},
    )
    made = combined(*rows)
    assert made.values == {
        "title": "Parka",
        "size": "S, M",
        "color": ["Blue", "Green"],
        "price": 189,
        "stock": 2,
    }
    assert len(made.rows) == 3
    assert made.image_refs == ("back.jpg",)
    assert made.origins["price"] == f"price (row {made.raw.short_key})"
    assert made.origins["color"].startswith("color (rows ")
    (flag,) = made.flags
    assert (flag.reason, flag.field) == ("rows-differ", "title")
    assert "'Other'" in flag.detail


def test_pictures_stand_by_their_position() -> None:
    """A column with positions orders the pictures of all rows; those without one come last."""
    made = combined(
        {"image": "c.jpg", "at": 3}, {"image": "a.jpg", "at": "1"}, {"image": "z.jpg"},
        {"image": "b.jpg", "at": 2.0}, {"image": "a.jpg", "at": 9},
    )  # fmt: skip
    assert made.image_refs == ("a.jpg", "b.jpg", "c.jpg", "z.jpg")


def test_what_fits_goes_before_what_does_not() -> None:
    """A cell that cannot be read is the item's only if no row gives a value; it is told."""
    made = combined({"price": "ask us"}, {"price": "12"})
    assert made.values["price"] == 12
    assert [flag.reason for flag in made.flags] == ["value-wrong-type"]
    made = combined({"price": "ask us"}, {"title": "Mug"})
    assert ("price" in made.values, made.given["price"]) == (False, "ask us")


def test_a_word_for_none_counts_unless_a_row_says_more() -> None:
    """`absent` of one row does not hide the values of others."""
    assert combined({"color": "Default Title"}, {"title": "Mug"}).absent == ("color",)
    made = combined({"color": "Default Title"}, {"color": "Red"})
    assert (made.values["color"], made.absent) == (["Red"], ())


def test_texts_by_language_are_joined() -> None:
    """Rows of translations give one text by language; the row that counts first wins."""
    rows = {"names": {"en": "Mug"}}, {"names": {"de": "Becher", "en": "Cup"}}
    assert combined(*rows).values["names"] == {"de": "Becher", "en": "Mug"}
    assert combined(*rows, extra="").values["names"] == {"de": "Becher", "en": "Cup"}


def test_duplicates_are_merged_and_told() -> None:
    """Without a group the newest value of each attribute counts, and a sparse row takes nothing
    away.
    """
    full = {
        "title": "Mug",
        "price": "10",
        "color": "Red",
        "image": "a.jpg",
        "changed": "2026-01-01",
    }
    sparse = {"price": "12", "changed": "2026-01-02"}
    for rows in ((full, sparse), (sparse, full)):
        made = combined(*rows, extra="")
        assert made.values == {"title": "Mug", "price": 12, "color": ["Red"]}
        assert made.image_refs == ("a.jpg",)
        assert json.loads(made.raw.data)["price"] == "12"
        (flag,) = made.flags
        assert flag.reason == "rows-merged"
        assert f"title from {made.rows[0].short_key}" in flag.detail
        assert "record.group" in flag.detail


def test_without_times_the_last_row_counts() -> None:
    """Rows without an event time count in the order of the file, lists and pictures together."""
    made = combined(
        {"price": "10", "color": "Red", "image": "a.jpg"},
        {"price": "12", "color": "Blue", "image": "b.jpg"},
        {"title": "Mug"},
        extra="",
    )
    assert made.values == {"price": 12, "color": ["Red", "Blue"], "title": "Mug"}
    assert made.image_refs == ("a.jpg", "b.jpg")
    assert [flag.reason for flag in made.flags] == ["rows-differ", "rows-merged"]


@pytest.mark.parametrize(
    ("choice", "kept"), [("keep-latest", "new"), ("keep-fullest", "full"), ("quarantine", None)]
)
def test_duplicates_as_the_template_says(choice: str, kept: str | None) -> None:
    """One record is kept whole, or none; the others are set aside with the reason."""
    extra = f"duplicates: {choice}"
    rows = rows_of(
        {"title": "old", "changed": "2026-01-01"},
        {"title": "full", "price": "1", "changed": "2026-01-01"},
        {"title": "new", "changed": "2026-01-03"},
        extra=extra,
    )
    made, rejects = combine(rows, Combination.of(template_of(extra)))
    assert (made and made.values["title"]) == kept
    assert [reject.reason for reject in rejects] == ["duplicate-id"] * (2 if kept else 3)
    assert all(choice in reject.message for reject in rejects)


def test_a_single_row_is_left_as_it_is() -> None:
    """A record that shares its id with none is not touched."""
    (row,) = rows_of({"title": "Mug"})
    assert combine([row], Combination()) == (row, [])


@pytest.mark.parametrize(
    ("grouped", "limit"), [(True, "MAX_GROUP_ROWS"), (False, "MAX_SAME_ID_ROWS")]
)
def test_an_item_has_a_limit_of_rows(
    monkeypatch: pytest.MonkeyPatch, grouped: bool, limit: str
) -> None:
    """What is more than an item may have is set aside and told, row by row."""
    monkeypatch.setattr(module, limit, 3)
    rows = rows_of(*({"price": str(n)} for n in range(5)))
    made, rejects = combine(rows, Combination(is_grouped=grouped))
    assert made is not None
    assert len(made.rows) == 2
    assert [reject.reason for reject in rejects] == ["too-many-rows"] * 2
    assert "5 rows belong to 'h'" in rejects[0].message


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from("ab"),
                "size": st.sampled_from("SML"),
                "color": st.sampled_from(["Red", "Blue", "Pink", "Default Title"]),
                "price": st.sampled_from(["1", "2", "?"]),
                "image": st.sampled_from(["a.jpg", "b.jpg"]),
                "changed": st.sampled_from(["2026-01-01", "2026-01-02"]),
            },
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["group: handle", "", "duplicates: keep-latest", "duplicates: keep-fullest"]),
    st.randoms(),
)
def test_rows_in_any_order_make_the_same_item(
    cells: list[dict[str, Any]], extra: str, random: Any
) -> None:
    """LAW: each row is in the item or among the rejects, once; the order in which rows arrive does
    not matter; and no attribute is unknown that a row gave, if rows are combined.
    """
    rows, how = rows_of(*cells, extra=extra), Combination.of(template_of(extra))
    made, rejects = combine(rows, how)
    assert made is not None
    raws = [made.raw, *made.rows, *(reject.raw for reject in rejects)]
    assert sorted(raw.position for raw in raws) == list(range(1, len(rows) + 1))
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert combine(shuffled, how) == (made, rejects)
    if not rejects:
        assert set(made.values) == {name for row in rows for name in row.values} - set(made.absent)
        assert set(made.given) == {name for row in rows for name in row.given}
        assert set(made.image_refs) <= {path for row in rows for path in row.image_refs}


def test_rejects_of_an_item_are_its_rows() -> None:
    """An item that is set aside takes all its rows along."""
    made = combined({"title": "a"}, {"title": "b"})
    reject = Reject(made.raw, "image-required", "validate", "", "h", rows=made.rows)
    assert [each.raw.position for each in reject.each] == [1, 2]
    assert all(not each.rows for each in reject.each)
    assert list(replace(reject, rows=()).each) == [replace(reject, rows=())]
