"""The snapshots of an output: listed in order, gone back to if whole, removed when too many."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.snapshots.history import (
    DamagedSnapshotError,
    Held,
    HistoryError,
    RefusedError,
    current_run,
    foreign_folders,
    list_folders,
    list_snapshots,
    named_snapshot,
    pointed_to,
    publish,
    published_run,
    roll_back,
)
from pipelines.snapshots.layout import KEPT, Layout
from pipelines.snapshots.locks import break_lock
from pipelines.snapshots.manifest import write_manifest
from pipelines.snapshots.pruning import leftovers, prune, remove_leftovers, to_prune
from pipelines.snapshots.publication import move_pointer, pointer_version, read_pointer
from pipelines.snapshots.snapshot import UnusableSnapshotError, read_published
from tests.manifests import STARTED, make_manifest
from tests.memory_storage import MemoryStorage
from transforms.runtime.parquet import write_parquet

R1, R2, R3, R4, R5, R6, R7, R8, R9 = (f"20260101T12000{n}Z-00000{n}" for n in range(1, 10))


def hold(output: str) -> Held:
    """The output as if its lock were held."""
    return Held(output, pointer_version(output), [])


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
    for run_id in (R1, R2, R4, R5):
        snapshot(out, run_id)
    snapshot(out, R3, published=False)
    (out / "snapshots" / R6 / "items").mkdir(parents=True)
    move_pointer(str(out), R5, (R1, R2, R4, R5))
    return out


def test_all_are_listed_in_the_order_of_their_runs(output: Path) -> None:
    """Published, refused and half-written snapshots are told apart; the current one is known."""
    snapshots, broken = list_folders(str(output))
    assert [each.run_id for each in snapshots] == [R1, R2, R3, R4, R5]
    assert [each.run_id for each in snapshots if not each.manifest.published] == [R3]
    assert [(each.run_id, each.is_half) for each in broken] == [(R6, True)]
    assert [each.run_id for each in snapshots if each.is_current] == [R5]


@pytest.mark.parametrize("written", ["{half", "[]", '{"run_id": R2}', '{"files": 1}'])
def test_a_manifest_without_sense_is_listed_with_its_problem(output: Path, written: str) -> None:
    """A manifest that is no JSON, or lacks what is needed, is a problem of that snapshot and not
    the end of the list.
    """
    (output / "snapshots" / R2 / "manifest.json").write_text(written)
    snapshots, (broken, half) = list_folders(str(output))
    assert (broken.run_id, half.run_id) == (R2, R6)
    assert "its manifest.json cannot be read" in broken.problem
    assert not broken.is_half
    assert R2 not in [each.run_id for each in snapshots]
    with pytest.raises(
        DamagedSnapshotError, match=rf"{R2} cannot be looked at: its manifest\.json"
    ):
        roll_back(hold(str(output)), R2)


def test_a_manifest_that_cannot_be_read_now_is_not_taken_for_missing(output: Path) -> None:
    """Only a snapshot that surely has no manifest is half written; where reading fails nothing is
    removed.
    """
    manifest = output / "snapshots" / R2 / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    assert {Path(path).name for path in remove_leftovers(str(output))} == {R6}
    assert list((output / "snapshots" / R2 / "items").iterdir())


def test_what_is_looked_at_has_many_names(output: Path) -> None:
    """A snapshot is found by run id, also a refused one, by `current` and `previous`, and by its
    folder's path.
    """
    found = [named_snapshot(str(output), named).run_id for named in (R3, "current", "previous")]
    assert found == [R3, R5, R4]
    paths = [output / "snapshots" / R3, f"{output}/current/"]
    assert [named_snapshot("", str(path)).run_id for path in paths] == [R3, R5]
    for named, told in (
        (R3, "name its --output"),
        (str(output), "not a snapshot to look at"),
        (f"./{R9}", "half written"),
    ):
        with pytest.raises(HistoryError, match=told):
            named_snapshot("", named)


def test_a_clock_that_went_backwards_shows(tmp_path: Path) -> None:
    """Runs are ordered by when they say they began, and the pointer says which is current, whatever
    their order.
    """
    snapshot(tmp_path, R9, started=STARTED.replace(month=3))
    snapshot(tmp_path, R1, started=STARTED.replace(month=2))
    move_pointer(str(tmp_path), R1, (R1, R9))
    assert [info.run_id for info in list_snapshots(str(tmp_path))] == [R1, R9]
    assert published_run(str(tmp_path), "current").run_id == R1
    with pytest.raises(HistoryError, match="no snapshot before the current one"):
        published_run(str(tmp_path), "previous")


def test_runs_of_one_second_are_ordered_by_when_they_began(tmp_path: Path) -> None:
    """Snapshots made within one second keep their order, whatever the chance in their names."""
    snapshot(tmp_path, R9, started=STARTED.replace(microsecond=100))
    snapshot(tmp_path, R1, started=STARTED.replace(microsecond=200))
    assert [info.run_id for info in list_snapshots(str(tmp_path))] == [R9, R1]


def test_going_back_moves_the_pointer_only(output: Path) -> None:
    """The one before becomes current, or the one that is named; files stay as they are."""
    before = {path: path.read_bytes() for path in (output / "snapshots").rglob("*.parquet")}
    info, warnings = roll_back(hold(str(output)))
    assert (info.run_id, warnings, current_run(str(output))) == (R4, [], R4)
    assert str((output / "current").readlink()) == f"snapshots/{R4}"
    assert roll_back(hold(str(output)), R1)[0].run_id == R1
    assert {path: path.read_bytes() for path in (output / "snapshots").rglob("*.parquet")} == before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_snapshot_is_not_gone_back_to(output: Path, damage: str) -> None:
    """One flipped byte, a file cut short or a missing one: the command names it, and readers keep
    what they have.
    """
    (file,) = (output / "snapshots" / R4).rglob("*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()
    if damage != "remove":
        file.write_bytes(data if damage == "flip" else data[:-1])
    with pytest.raises(
        RefusedError,
        match=rf"{R4} is damaged, readers keep the current snapshot: .*items/bucket-00000\.parquet",
    ):
        roll_back(hold(str(output)))
    assert current_run(str(output)) == R5


@pytest.mark.parametrize("named", [R3, R6, "nobody"])
def test_what_no_reader_may_see_is_not_gone_back_to(output: Path, named: str) -> None:
    """Refused, half-written and unknown snapshots are refused, and the published ones are listed."""
    with pytest.raises(HistoryError, match=f"published are: {R1}, {R2}, {R4}, {R5}"):
        roll_back(hold(str(output)), named)


@pytest.mark.parametrize(
    ("keep", "left"),
    [(1, (R3, R5)), (2, (R3, R4, R5)), (4, (R1, R2, R3, R4, R5)), (9, (R1, R2, R3, R4, R5))],
)
def test_the_newest_are_kept(output: Path, keep: int, left: tuple[str, ...]) -> None:
    """Of published ones the newest and the current one stay, and the newest refused one."""
    prune(hold(str(output)), keep)
    assert [info.run_id for info in list_snapshots(str(output))] == list(left)


def test_the_current_one_stays_though_it_is_old(output: Path) -> None:
    """After going back the current snapshot is not the newest, and stays."""
    roll_back(hold(str(output)), R1)
    prune(hold(str(output)), 2)
    assert [info.run_id for info in list_snapshots(str(output)) if info.manifest.published] == [
        R1,
        R5,
    ]


def test_a_pointer_that_somebody_else_has_moved_stays(output: Path) -> None:
    """Who held the lock and lost it publishes nothing over what another command has published."""
    held = hold(str(output))
    assert roll_back(hold(str(output)), R2)[0].run_id == R2
    with pytest.raises(RefusedError, match=r"another command has changed .*current\.json"):
        roll_back(held, R1)
    assert current_run(str(output)) == R2
    assert (output / "current").resolve().name == R2


def test_shared_files_stay_with_the_others(output: Path) -> None:
    """Removing a snapshot leaves what another one has linked."""
    (file,) = (output / "snapshots" / R1).rglob("*.parquet")
    shared = output / "snapshots" / R5 / "shared.parquet"
    os.link(file, shared)
    data = shared.read_bytes()
    prune(hold(str(output)), 1)
    assert shared.read_bytes() == data


def test_leftovers_of_killed_runs_are_removed(output: Path) -> None:
    """Half snapshots and work folders go; what was kept on purpose, a damaged manifest and the
    current one stay.
    """
    for run_id in (R7, R8):
        (output / "_work" / run_id).mkdir(parents=True)
    (output / "_work" / R8 / KEPT).write_text("")
    (output / "snapshots" / R2 / "manifest.json").write_text("{half")
    (output / "snapshots" / R5 / "manifest.json").unlink()
    assert {Path(path).name for path in leftovers(str(output))} == {R6, R7}
    remove_leftovers(str(output))
    assert leftovers(str(output)) == []
    assert {path.name for path in (output / "snapshots").iterdir()} == {
        R1,
        R2,
        R3,
        R4,
        R5,
    }
    assert (output / "_work" / R8).is_dir()


def test_nothing_is_removed_where_the_pointer_cannot_be_read(output: Path) -> None:
    """A pointer that makes no sense might name any snapshot, so all stay; going back to one by name
    mends it.
    """
    (output / "current.json").write_text('{"run_id": "r')
    with pytest.raises(HistoryError, match=r"current\.json cannot be used"):
        prune(hold(str(output)), 1)
    assert len(list((output / "snapshots").iterdir())) == 6
    with pytest.raises(HistoryError, match=r"rollback .* --to RUN_ID"):
        pointed_to(str(output))
    roll_back(hold(str(output)), R2)
    assert pointed_to(str(output)) == R2
    (output / "current.json").unlink()
    assert pointed_to(str(output)) == ""


def test_a_link_that_a_killed_run_left_is_in_nobodys_way(output: Path) -> None:
    """Going back to a snapshot sets the link, though a run was killed while it did just that."""
    (output / f".current.{R4}").symlink_to("nowhere")
    assert roll_back(hold(str(output)))[1] == []
    assert str((output / "current").readlink()) == f"snapshots/{R4}"


def test_a_published_snapshot_without_its_manifest_is_damaged_and_no_leftover(
    output: Path,
) -> None:
    """What readers have seen is never taken for half written, whoever removed its manifest."""
    (output / "snapshots" / R1 / "manifest.json").unlink()
    assert R1 in {each.run_id for each in list_folders(str(output))[1]}
    assert [Path(path).name for path in remove_leftovers(str(output))] == [R6]


def test_what_readers_never_saw_is_not_published(output: Path) -> None:
    """A run that was killed between its manifest and the pointer has published nothing: nobody goes
    back to its snapshot, and it takes no place among those that are kept.
    """
    snapshot(output, R9)
    (unseen,) = [info for info in list_snapshots(str(output)) if info.run_id == R9]
    assert (unseen.manifest.published, unseen.is_published) == (True, False)
    assert published_run(str(output), "previous").run_id == R4
    with pytest.raises(HistoryError, match=f"no published snapshot {R9!r}"):
        roll_back(hold(str(output)), R9)
    assert {info.run_id for info in prune(hold(str(output)), 2)} == {R1, R2}
    assert R9 in [info.run_id for info in list_snapshots(str(output))]


def test_a_pointer_of_an_earlier_version_has_published_what_passed_its_gate(output: Path) -> None:
    """Without a list in the pointer the manifests say which snapshots readers have seen; the next
    that is published is listed with them.
    """
    (output / "current.json").write_text(f'{{"run_id": "{R5}", "snapshot": "snapshots/{R5}"}}')
    seen = [R1, R2, R4, R5]
    assert [info.run_id for info in list_snapshots(str(output)) if info.is_published] == seen
    snapshot(output, R9)
    assert publish(Layout(str(output), R9), hold(str(output))) == []
    pointer = read_pointer(str(output))
    assert pointer is not None
    assert pointer.published == (*seen, R9)


@pytest.mark.parametrize(
    "written",
    [
        f'{{"run_id": "{R4}", "snapshot": "snapshots/{R5}"}}',
        f'{{"run_id": "{R5}", "snapshot": "elsewhere/{R5}"}}',
        '{"run_id": "../../etc", "snapshot": "snapshots/../../etc"}',
        f'{{"run_id": "{R5}", "snapshot": "snapshots/{R5}", "published": ["*"]}}',
        "[]",
        "",
    ],
)
def test_a_pointer_that_says_two_things_is_not_believed(output: Path, written: str) -> None:
    """All commands refuse such a pointer with what mends it, and nothing is removed."""
    (output / "current.json").write_text(written)
    for ask in (pointed_to, lambda out: to_prune(out, 1), lambda out: prune(hold(out), 1)):
        with pytest.raises(HistoryError, match=r"current\.json cannot be used .* rollback"):
            ask(str(output))
    with pytest.raises(UnusableSnapshotError, match=r"current\.json cannot be used .* rollback"):
        read_published(str(output))
    assert R6 not in {Path(path).name for path in remove_leftovers(str(output))}


def test_nothing_is_removed_while_the_published_snapshot_is_damaged(output: Path) -> None:
    """With the current snapshot gone, cut short or without its manifest all others stay."""
    current = output / "snapshots" / R5
    (file,) = current.rglob("*.parquet")
    for damage in (lambda: file.write_bytes(b""), file.unlink, lambda: shutil.rmtree(current)):
        damage()
        with pytest.raises(RefusedError, match=f"{R5} is damaged .* rollback"):
            prune(hold(str(output)), 1)
        assert {R1, R2, R3, R4} <= {path.name for path in (output / "snapshots").iterdir()}


def test_nothing_is_removed_while_the_pointer_is_missing(output: Path) -> None:
    """Without a pointer nobody knows what readers have seen: all snapshots stay, and one of them can
    be published again by its name.
    """
    (output / "current.json").unlink()
    with pytest.raises(RefusedError, match=r"current\.json is missing, .* rollback"):
        prune(hold(str(output)), 1)
    assert len(list_snapshots(str(output))) == 5
    assert roll_back(hold(str(output)), R5)[0].run_id == R5


def test_only_folders_of_runs_are_removed(output: Path, tmp_path: Path) -> None:
    """Folders with other names, and links whatever they are called, are left as they are."""
    (output / "snapshots" / "vm-2024").mkdir()
    (output / "_work" / "notes").mkdir(parents=True)
    archive = tmp_path / "archive"
    archive.mkdir()
    (output / "snapshots" / R1).rename(archive / R1)
    (output / "snapshots" / R1).symlink_to(archive / R1)
    (output / "snapshots" / R7).symlink_to(archive)
    (output / "_work" / R8).symlink_to(archive)
    assert [Path(path).name for path in remove_leftovers(str(output))] == [R6]
    assert {info.run_id for info in prune(hold(str(output)), 1)} == {R2, R4}
    assert (archive / R1 / "manifest.json").exists()
    assert (output / "_work" / "notes").is_dir()
    assert foreign_folders(str(output)) == ["vm-2024"]


@pytest.mark.parametrize("linked", ["_work", "snapshots"])
def test_a_linked_room_is_not_emptied(output: Path, tmp_path: Path, linked: str) -> None:
    """What lies behind a link of the output is another place's, and nothing is removed there."""
    (output / "_work" / R8).mkdir(parents=True)
    (output / linked).rename(tmp_path / "elsewhere")
    (output / linked).symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    remove_leftovers(str(output))
    prune(hold(str(output)), 1)
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before


def test_a_manifest_of_another_run_is_not_believed(output: Path) -> None:
    """A manifest that was copied into another run's folder makes no snapshot of it."""
    shutil.copy(output / "snapshots" / R1 / "manifest.json", output / "snapshots" / R4)
    broken = {each.run_id: each.problem for each in list_folders(str(output))[1]}
    assert broken[R4] == f"its manifest.json is that of run {R1}"
    shutil.copy(output / "snapshots" / R1 / "manifest.json", output / "snapshots" / R5)
    with pytest.raises(UnusableSnapshotError, match=f"that of run {R1}"):
        read_published(str(output))


NAMES = st.text("prod1[]*?{}~$#%", min_size=1, max_size=6).filter(lambda name: name[0] != "~")


@given(NAMES, NAMES)
@settings(max_examples=25)
def test_a_neighbour_is_never_touched(own: str, other: str) -> None:
    """Whatever two outputs are called, what is removed from one leaves the other as it is."""
    if own == other:
        return
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in (own, other)]
        for each in outputs:
            for run_id in (R1, R2, R3):
                snapshot(each, run_id)
            (each / "snapshots" / R6 / "items").mkdir(parents=True)
            (each / "_work" / R7).mkdir(parents=True)
            move_pointer(str(each), R3, (R1, R2, R3))
        before = contents(outputs[1])
        remove_leftovers(str(outputs[0]))
        assert {info.run_id for info in prune(hold(str(outputs[0])), 1)} == {R1, R2}
        assert roll_back(hold(str(outputs[0])), R3)[0].run_id == R3
        assert break_lock(str(outputs[0])) == (None, False)
        assert contents(outputs[1]) == before
        left = {path.name for path in (outputs[0] / "snapshots").iterdir()}
        assert left == {R3}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder: path → bytes, None for a folder or a link."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def store(output: Path) -> Iterator[type[MemoryStorage]]:
    """The same output in an object store."""
    MemoryStorage.files.clear()
    for path in output.rglob("*"):
        if path.is_file() and path.relative_to(output).parts[0] != "current":
            MemoryStorage.files[f"store://out/{path.relative_to(output)}"] = path.read_bytes()
    MemoryStorage.files[f"store://out/snapshots/{R6}/items/half.parquet"] = b"half"
    shutil.rmtree(output)
    yield MemoryStorage
    MemoryStorage.files.clear()


def test_an_object_store_has_the_same_history(store: type[MemoryStorage]) -> None:
    """Listing, going back, damage, pruning and leftovers are the same on an object store."""
    snapshots, (half,) = list_folders("store://out")
    assert [each.run_id for each in snapshots] == [R1, R2, R3, R4, R5]
    assert (half.run_id, half.is_half) == (R6, True)
    assert roll_back(hold("store://out"))[0].run_id == R4
    (damaged,) = [name for name in store.files if f"/{R2}/items/" in name]
    del store.files[damaged]
    with pytest.raises(RefusedError, match="items/bucket-00000"):
        roll_back(hold("store://out"), R2)
    assert pointed_to("store://out") == R4
    assert [info.run_id for info in prune(hold("store://out"), 2)] == [R1, R2]
    assert remove_leftovers("store://out") == [f"store://out/snapshots/{R6}"]
    assert sorted(info.run_id for info in list_snapshots("store://out")) == [R3, R4, R5]
