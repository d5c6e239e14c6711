"""The snapshots of an output: listed in order, gone back to if whole, removed when too many."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.snapshots.history import (
    HistoryError,
    RefusedError,
    current_run,
    leftovers,
    list_folders,
    list_snapshots,
    named_snapshot,
    pointed_to,
    prune,
    published_run,
    remove_leftovers,
    roll_back,
)
from pipelines.snapshots.layout import KEPT, point_to
from pipelines.snapshots.manifest import write_manifest
from tests.manifests import STARTED, make_manifest
from tests.memory_storage import MemoryStorage
from transforms.runtime.parquet import write_parquet


def snapshot(
    output: Path, run_id: str, *, published: bool = True, started: dt.datetime = STARTED
) -> Path:
    """A snapshot with one data file."""
    path = output / "snapshots" / run_id
    (path / "items").mkdir(parents=True)
    file = write_parquet(str(path), "items", 0, pa.table({"item_id": [run_id]}))
    manifest = make_manifest(run_id, published=published, started=started, files=[file])
    write_manifest(str(path / "manifest.json"), manifest)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Four published snapshots of which the last is current, a refused one and half of one."""
    out = tmp_path / "out"
    for run_id in ("r1", "r2", "r4", "r5"):
        snapshot(out, run_id)
    snapshot(out, "r3", published=False)
    (out / "snapshots" / "r6" / "items").mkdir(parents=True)
    point_to(str(out), "r5")
    return out


def test_all_are_listed_in_the_order_of_their_runs(output: Path) -> None:
    """Published, refused and half-written snapshots are told apart; the current one is known."""
    snapshots, broken = list_folders(str(output))
    assert [each.run_id for each in snapshots] == ["r1", "r2", "r3", "r4", "r5"]
    assert [each.run_id for each in snapshots if not each.manifest.published] == ["r3"]
    assert [(each.run_id, each.is_half) for each in broken] == [("r6", True)]
    assert [each.run_id for each in snapshots if each.is_current] == ["r5"]


@pytest.mark.parametrize("written", ["{half", "[]", '{"run_id": "r2"}', '{"files": 1}'])
def test_a_manifest_without_sense_is_listed_with_its_problem(output: Path, written: str) -> None:
    """A manifest that is no JSON, or lacks what is needed, is a problem of that snapshot and not
    the end of the list.
    """
    (output / "snapshots" / "r2" / "manifest.json").write_text(written)
    snapshots, (broken, half) = list_folders(str(output))
    assert (broken.run_id, half.run_id) == ("r2", "r6")
    assert "its manifest cannot be read" in broken.problem
    assert not broken.is_half
    assert "r2" not in [each.run_id for each in snapshots]
    with pytest.raises(HistoryError, match="no published snapshot 'r2'"):
        roll_back(str(output), "r2")


def test_a_manifest_that_cannot_be_read_now_is_not_taken_for_missing(output: Path) -> None:
    """Only a snapshot that surely has no manifest is half written; where reading fails nothing is
    removed.
    """
    manifest = output / "snapshots" / "r2" / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    assert {Path(path).name for path in remove_leftovers(str(output))} == {"r6"}
    assert list((output / "snapshots" / "r2" / "items").iterdir())


def test_what_is_looked_at_has_many_names(output: Path) -> None:
    """A snapshot is found by run id, also a refused one, by `current` and `previous`, and by its
    folder's path.
    """
    found = [named_snapshot(str(output), named).run_id for named in ("r3", "current", "previous")]
    assert found == ["r3", "r5", "r4"]
    paths = [output / "snapshots" / "r3", f"{output}/current/"]
    assert [named_snapshot("", str(path)).run_id for path in paths] == ["r3", "r5"]
    for named, told in (
        ("r3", "name its --output"),
        (str(output), "not a snapshot to look at"),
        ("./r9", "half written"),
    ):
        with pytest.raises(HistoryError, match=told):
            named_snapshot("", named)


def test_a_clock_that_went_backwards_shows(tmp_path: Path) -> None:
    """Runs are ordered by when they say they began, and the pointer says which is current, whatever
    their order.
    """
    snapshot(tmp_path, "r9", started=STARTED.replace(month=3))
    snapshot(tmp_path, "r1", started=STARTED.replace(month=2))
    point_to(str(tmp_path), "r1")
    assert [info.run_id for info in list_snapshots(str(tmp_path))] == ["r1", "r9"]
    assert published_run(str(tmp_path), "current").run_id == "r1"
    with pytest.raises(HistoryError, match="no snapshot before the current one"):
        published_run(str(tmp_path), "previous")


def test_going_back_moves_the_pointer_only(output: Path) -> None:
    """The one before becomes current, or the one that is named; files stay as they are."""
    before = {path: path.read_bytes() for path in (output / "snapshots").rglob("*.parquet")}
    info, warnings = roll_back(str(output))
    assert (info.run_id, warnings, current_run(str(output))) == ("r4", [], "r4")
    assert str((output / "current").readlink()) == "snapshots/r4"
    assert roll_back(str(output), "r1")[0].run_id == "r1"
    assert {path: path.read_bytes() for path in (output / "snapshots").rglob("*.parquet")} == before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_snapshot_is_not_gone_back_to(output: Path, damage: str) -> None:
    """One flipped byte, a file cut short or a missing one: the command names it, and readers keep
    what they have.
    """
    (file,) = (output / "snapshots" / "r4").rglob("*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()
    if damage != "remove":
        file.write_bytes(data if damage == "flip" else data[:-1])
    with pytest.raises(
        RefusedError,
        match=r"r4 is damaged, readers keep the current snapshot: items/bucket-00000\.parquet",
    ):
        roll_back(str(output))
    assert current_run(str(output)) == "r5"


@pytest.mark.parametrize("named", ["r3", "r6", "nobody"])
def test_what_no_reader_may_see_is_not_gone_back_to(output: Path, named: str) -> None:
    """Refused, half-written and unknown snapshots are refused, and the published ones are listed."""
    with pytest.raises(HistoryError, match="published are: r1, r2, r4, r5"):
        roll_back(str(output), named)


@pytest.mark.parametrize(
    ("keep", "left"), [(1, "r3 r5"), (2, "r3 r4 r5"), (4, "r1 r2 r3 r4 r5"), (9, "r1 r2 r3 r4 r5")]
)
def test_the_newest_are_kept(output: Path, keep: int, left: str) -> None:
    """Of published ones the newest and the current one stay, and the newest refused one."""
    prune(str(output), keep)
    assert [info.run_id for info in list_snapshots(str(output))] == left.split()


def test_the_current_one_stays_though_it_is_old(output: Path) -> None:
    """After going back the current snapshot is not the newest, and stays."""
    roll_back(str(output), "r1")
    prune(str(output), 2)
    assert [info.run_id for info in list_snapshots(str(output)) if info.manifest.published] == [
        "r1",
        "r5",
    ]


def test_shared_files_stay_with_the_others(output: Path) -> None:
    """Removing a snapshot leaves what another one has linked."""
    (file,) = (output / "snapshots" / "r1").rglob("*.parquet")
    shared = output / "snapshots" / "r5" / "shared.parquet"
    os.link(file, shared)
    data = shared.read_bytes()
    prune(str(output), 1)
    assert shared.read_bytes() == data


def test_leftovers_of_killed_runs_are_removed(output: Path) -> None:
    """Half snapshots and work folders go; what was kept on purpose, a damaged manifest and the
    current one stay.
    """
    for run_id in ("dead", "kept"):
        (output / "_work" / run_id).mkdir(parents=True)
    (output / "_work" / "kept" / KEPT).write_text("")
    (output / "snapshots" / "r2" / "manifest.json").write_text("{half")
    (output / "snapshots" / "r5" / "manifest.json").unlink()
    assert {Path(path).name for path in leftovers(str(output))} == {"r6", "dead"}
    remove_leftovers(str(output))
    assert leftovers(str(output)) == []
    assert {path.name for path in (output / "snapshots").iterdir()} == {
        "r1",
        "r2",
        "r3",
        "r4",
        "r5",
    }
    assert (output / "_work" / "kept").is_dir()


def test_nothing_is_removed_where_the_pointer_cannot_be_read(output: Path) -> None:
    """A pointer that makes no sense might name any snapshot, so all stay; going back to one by name
    mends it.
    """
    (output / "current.json").write_text('{"run_id": "r')
    assert prune(str(output), 1) == []
    assert len(list((output / "snapshots").iterdir())) == 6
    with pytest.raises(HistoryError, match=r"rollback .* --to RUN_ID"):
        pointed_to(str(output))
    roll_back(str(output), "r2")
    assert pointed_to(str(output)) == "r2"
    (output / "current.json").unlink()
    assert pointed_to(str(output)) == ""


def test_a_link_that_a_killed_run_left_is_in_nobodys_way(output: Path) -> None:
    """Going back to a snapshot sets the link, though a run was killed while it did just that."""
    (output / ".current.r4").symlink_to("nowhere")
    assert roll_back(str(output))[1] == []
    assert str((output / "current").readlink()) == "snapshots/r4"


def test_what_a_killed_prune_leaves_does_not_look_whole(output: Path) -> None:
    """The manifest goes first: a snapshot that is half removed is half written to everyone, and the
    next run ends it.
    """
    (output / "snapshots" / "r1" / "manifest.json").unlink()
    assert "r1" not in {
        info.run_id for info in list_snapshots(str(output)) if info.manifest.published
    }
    assert str(output / "snapshots" / "r1") in remove_leftovers(str(output))


@pytest.fixture
def store(output: Path) -> Iterator[type[MemoryStorage]]:
    """The same output in an object store."""
    MemoryStorage.files.clear()
    for path in output.rglob("*"):
        if path.is_file() and path.relative_to(output).parts[0] != "current":
            MemoryStorage.files[f"store://out/{path.relative_to(output)}"] = path.read_bytes()
    MemoryStorage.files["store://out/snapshots/r6/items/half.parquet"] = b"half"
    shutil.rmtree(output)
    yield MemoryStorage
    MemoryStorage.files.clear()


def test_an_object_store_has_the_same_history(store: type[MemoryStorage]) -> None:
    """Listing, going back, damage, pruning and leftovers are the same on an object store."""
    snapshots, (half,) = list_folders("store://out")
    assert [each.run_id for each in snapshots] == ["r1", "r2", "r3", "r4", "r5"]
    assert (half.run_id, half.is_half) == ("r6", True)
    assert roll_back("store://out")[0].run_id == "r4"
    (damaged,) = [name for name in store.files if "/r2/items/" in name]
    del store.files[damaged]
    with pytest.raises(RefusedError, match="items/bucket-00000"):
        roll_back("store://out", "r2")
    assert pointed_to("store://out") == "r4"
    assert [info.run_id for info in prune("store://out", 2)] == ["r1", "r2"]
    assert remove_leftovers("store://out") == ["store://out/snapshots/r6"]
    assert sorted(info.run_id for info in list_snapshots("store://out")) == ["r3", "r4", "r5"]
