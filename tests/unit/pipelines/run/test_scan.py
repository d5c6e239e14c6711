"""What a run that goes on reads again, by find_delta itself: damage, parts of items, deleted items."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.run import RUN, planned
from pipelines.run.scan import find_delta
from pipelines.run.selection import Selection
from pipelines.run.start import begin
from pipelines.run.work import Delta
from pipelines.snapshots.layout import Layout, new_run_id
from tests.support import Run, SharedRun, Shop

ON = ("--no-probes", "--refresh-share", "1", "--buckets", "2")
ROWS = "sku,photo\ns1,0.png\n"


def delta_of(shop: Shop, *options: str, selection: Selection | None = None) -> Delta:
    """What a run on `in.jsonl` and `rows.csv` finds before it makes anything."""
    arguments = [*shop.arguments([shop.folder / "in.jsonl"]), *ON, *with_rows(shop), *options]
    parsed, passed = RUN.parser().parse_known_args([*arguments, "--output", f"{shop.folder}/out"])
    parsed.beam_args = passed
    plan, flags = planned(parsed)
    now, chosen = dt.datetime.now(dt.UTC), selection or Selection()
    layout = Layout(plan.config.output, new_run_id(now))
    state = begin(plan, layout, now, chosen, [])
    assert state.earlier is not None
    assert state.rebuild_reasons == ()
    return find_delta(state.plan, state.earlier, layout.create(), flags, chosen)


def with_rows(shop: Shop) -> tuple[str, ...]:
    return ("--image-table", str(shop.folder / "rows.csv"))


def moved(delta: Delta) -> dict[str, int]:
    """How many items are new, changed, made again, unchanged, deleted, where there are any."""
    return {name: count for name, count in delta.counts.items() if count}


def records(shop: Shop) -> list[dict[str, Any]]:
    lines = (shop.folder / "in.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def published(shop: Shop, *options: str) -> Run:
    """Six items, of which s1 has a twin in quarantine and a row of an image table."""
    shop.file("rows.csv", ROWS)
    made = [
        {"sku": f"s{n}", "name": f"Thing {n}", "photos": [shop.picture(f"{n}.png")]}
        for n in range(6)
    ]
    path = shop.file("in.jsonl", [*made, {"sku": "s1", "name": "Twin"}])
    return shop.run(path, options=(*ON, *with_rows(shop), *options))


@pytest.fixture(scope="module")
def sound_once(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    shop = Shop(tmp_path_factory.mktemp("sound"))
    return SharedRun.of(shop, published(shop))


@pytest.fixture
def sound(sound_once: SharedRun) -> tuple[Shop, Run]:
    """A published catalog, to be changed or damaged."""
    return sound_once.restored()


def test_another_order_is_nothing_to_do(sound: tuple[Shop, Run]) -> None:
    """Where the items' records come in another order, no bucket is written and nothing is told."""
    shop, _ = sound
    *made, twin = records(shop)
    shop.file("in.jsonl", [*made[::-1], twin])
    delta = delta_of(shop)
    assert delta.is_empty
    assert (moved(delta), delta.untouched, delta.notes) == ({"unchanged": 6}, (0, 1), ())


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "items deleted": ("items", Path.unlink),
    "items flipped": ("items", flipped),
    "records flipped": ("records", flipped),
    "text vectors flipped": ("embeddings/text", flipped),
    "image vectors cut": ("embeddings/image", lambda path: path.write_bytes(b"PAR1")),
    "quarantine emptied": ("quarantine", lambda path: path.write_bytes(b"")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_has_its_bucket_read_again(sound: tuple[Shop, Run], damage: str) -> None:
    """A data file that is gone or changed is named; all of its bucket is made of the catalog, and
    nothing of the other.
    """
    shop, first = sound
    table, inflict = DAMAGE[damage]
    file = first.snapshot / table / "bucket-00000.parquet"
    held = {row["item_id"] for row in first.rows("items")}
    inflict(file)
    delta = delta_of(shop)
    (note,) = delta.notes
    assert f"{table}/{file.name}" in note
    assert "are rebuilt" in note
    assert (delta.numbers, delta.untouched) == ((0,), (1,))
    assert delta.base.files == {}, "no row of the damaged bucket stays"
    assert sum(delta.counts.values()) == len(held) == 6
    assert delta.gone.num_rows == 0


CHANGES = ["winner changed", "duplicate changed", "copied", "image row gone", "image row new"]


@pytest.mark.parametrize("change", CHANGES)
def test_an_item_of_which_a_part_changed_is_read_whole_or_not(
    sound: tuple[Shop, Run], change: str
) -> None:
    """A backfill leaves an item of which some records are not as they were, and says so; a run
    reads all of it.
    """
    shop, _ = sound
    *made, twin = records(shop)
    match change:
        case "winner changed":
            made[1]["name"] = "Another thing"
        case "duplicate changed":
            twin["name"] = "Another twin"
        case "copied":
            made.append(made[1])
        case "image row gone":
            shop.file("rows.csv", "sku,photo\n")
        case _:
            shop.file("rows.csv", f"{ROWS}s1,3.png\n")
    shop.file("in.jsonl", [*made, twin])
    part = delta_of(shop, selection=Selection(item_ids=frozenset(("s1", "s2"))))
    # Nothing that the snapshot has of it changed by a new row: it can be made again.
    is_left = change != "image row new"
    assert moved(part) == {"made_again": 1 if is_left else 2, "unchanged": 5 if is_left else 4}
    assert [note[:31] for note in part.notes] == ["3 records were not rebuilt: the"] * is_left
    assert {bucket for bucket, _ in part.refs["rows"]} == {0}
    read = delta_of(shop)
    has_changed = change in ("winner changed", "duplicate changed")
    assert moved(read) == {"changed" if has_changed else "made_again": 1, "unchanged": 5}
    copies = {"copied": 3}.get(change, 2)
    rows = {"image row gone": 0, "image row new": 2}.get(change, 1)
    assert [split.records for split in read.splits] == [copies, rows]


@pytest.fixture(scope="module")
def deleted_once(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """The same after s1 has left the catalog and stays as a deleted item."""
    shop = Shop(tmp_path_factory.mktemp("deleted"))
    published(shop, "--keep-deleted")
    path = shop.file("in.jsonl", [each for each in records(shop) if each["sku"] != "s1"])
    return SharedRun.of(shop, shop.run(path, options=(*ON, *with_rows(shop), "--keep-deleted")))


@pytest.mark.parametrize("rows", [ROWS, "sku,photo\ns1,2.png\n", "sku,photo\n"])
def test_rows_of_image_tables_move_no_deleted_item(deleted_once: SharedRun, rows: str) -> None:
    """A picture's row that stays, changes or goes after its item's record has left brings nothing
    back, and lets nothing go.
    """
    shop, _ = deleted_once.restored()
    shop.file("rows.csv", rows)
    delta = delta_of(shop, "--keep-deleted")
    assert (moved(delta), delta.notes, delta.gone.num_rows) == ({"unchanged": 5}, (), 0)
    assert delta.is_empty == (rows == ROWS)


def test_a_deleted_item_comes_back_with_its_record(deleted_once: SharedRun) -> None:
    """A record of a deleted item, whatever it says, is read and counts as new."""
    shop, _ = deleted_once.restored()
    shop.file("in.jsonl", [*records(shop), {"sku": "s1", "name": "Thing 1"}])
    assert moved(delta_of(shop, "--keep-deleted")) == {"new": 1, "unchanged": 5}
