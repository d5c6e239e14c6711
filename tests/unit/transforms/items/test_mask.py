"""transforms.items.mask."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Bucket, Flag, Item, RawRecord, Record
from transforms.items.mask import Mask, mask_bucket

RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)
NAMES = ("color", "tags", "weight")
HIDDEN = frozenset({"color", "tags"})  # of all, the weight stays


def item(item_id: str, invalid: bool = False) -> Item:
    """An item with all that a source may say of an attribute: a value or an invalid cell, its
    column, a flag.
    """
    values = {"color": "Red", "weight": 5.0} | ({} if invalid else {"tags": ["new"]})
    given_cells = dict.fromkeys(NAMES, "as given")
    flags = tuple(Flag("value-wrong-type", name, "x") for name in (*NAMES, "images"))
    origins = dict.fromkeys(NAMES, "column.key")
    return Item(
        Record(item_id, values, given_cells, ("a.png",), flags, RAW, 7, origins, ("color",))
    )


def bucket(count: int) -> Bucket:
    return Bucket(3, tuple(item(f"i{n}", n % 2 == 0) for n in range(count)), image_rows={"i1": 2})


units = st.sampled_from(["value", "item"])


@given(unit=units, folds=st.integers(2, 7), seed=st.integers(0, 9), count=st.integers(0, 30))
def test_over_all_folds_each_value_is_hidden_once(
    unit: str, folds: int, seed: int, count: int
) -> None:
    """Each value that may be hidden is lacking in exactly one fold, and no other value in any."""
    whole = bucket(count)
    masks = [Mask(HIDDEN, unit, folds, fold, seed) for fold in range(folds)]  # type: ignore[arg-type]
    masked = [mask_bucket(mask, whole) for mask in masks]
    for at, before in enumerate(whole.items):
        for name in NAMES:
            lacking = [
                fold for fold in range(folds) if name not in masked[fold].items[at].record.given
            ]
            assert lacking == [
                fold for fold in range(folds) if masks[fold].hides(before.item_id, name)
            ]
            assert len(lacking) == (name in HIDDEN)
    assert all(
        (each.number, each.image_rows, len(each.items)) == (3, {"i1": 2}, count) for each in masked
    )


@given(unit=units, fold=st.integers(0, 2), at=st.integers(0, 5))
def test_nothing_of_what_is_hidden_stays(unit: str, fold: int, at: int) -> None:
    """Value, cell, column, flags and the statement that there is none go; what is not hidden stays
    as it was.
    """
    before = item(f"i{at}", at % 2 == 0)
    mask = Mask(HIDDEN, unit, 3, fold)  # type: ignore[arg-type]
    (after,) = mask_bucket(mask, Bucket(0, (before,))).items
    hidden = {name for name in NAMES if mask.hides(before.item_id, name)}
    record = after.record
    assert set(record.given) == set(record.origins) == set(NAMES) - hidden
    assert record.values == {
        name: value for name, value in before.record.values.items() if name not in hidden
    }
    assert [flag.field for flag in record.flags] == [
        name for name in (*NAMES, "images") if name not in hidden
    ]
    assert record.absent == (() if "color" in hidden else ("color",))
    bare = {"values": {}, "given": {}, "origins": {}, "flags": (), "absent": ()}
    assert replace(record, **bare) == replace(before.record, **bare)
    assert (after is before) == (not hidden)


def test_the_seed_decides() -> None:
    """The same seed hides the same values in any run and order; another seed hides others."""

    def hidden(seed: int) -> list[str]:
        mask = Mask(HIDDEN, "value", 5, 0, seed)
        return [
            f"{n} {name}"
            for n in range(200)
            for name in sorted(HIDDEN)
            if mask.hides(f"i{n}", name)
        ]

    assert hidden(1) == hidden(1)
    assert hidden(1) != hidden(2)
    assert 50 < len(hidden(1)) < 110  # a fifth of 400
    assert [n for n in range(20) if Mask(HIDDEN).hides(f"i{n}", "color")] == [5, 7, 18], (
        "on any machine"
    )


def test_items_are_hidden_whole() -> None:
    """With the unit `item` a fold hides all of an item's values or none; with `value` it also hides
    some.
    """
    parts = {
        unit: {
            sum(Mask(HIDDEN, unit, 2, 0).hides(f"i{n}", name) for name in HIDDEN)  # type: ignore[arg-type]
            for n in range(40)
        }
        for unit in ("item", "value")
    }
    assert parts == {"item": {0, 2}, "value": {0, 1, 2}}
