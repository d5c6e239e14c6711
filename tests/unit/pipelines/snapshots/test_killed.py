"""Whatever moment a command is killed at, readers find a whole snapshot and the next one mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.snapshots.history import (
    held_output,
    list_snapshots,
    publish,
    published_run,
    roll_back,
)
from pipelines.snapshots.layout import Layout
from pipelines.snapshots.locks import break_lock
from pipelines.snapshots.manifest import write_manifest
from pipelines.snapshots.pruning import prune, remove_leftovers
from pipelines.snapshots.publication import mend_link, move_pointer
from pipelines.snapshots.snapshot import read_published
from tests.kill_points import kill_points
from tests.manifests import make_manifest
from transforms.runtime.json_files import write_json
from transforms.runtime.parquet import write_parquet
from transforms.tables.bucket_report import BucketReport

R1, R2, R3, R4, R5 = (f"20260101T12000{n}Z-00000{n}" for n in range(1, 6))


def snapshot(output: Path, run_id: str) -> None:
    """A whole snapshot with one data file, of which no pointer knows."""
    layout = Layout(str(output), run_id)
    layout.create()
    layout.remove_work()
    file = write_parquet(layout.snapshot, "items", 0, pa.table({"item_id": [run_id]}))
    write_json(f"{layout.snapshot}/buckets.json", [BucketReport(0, files=(file,))])
    write_manifest(f"{layout.snapshot}/manifest.json", make_manifest(run_id, files=[file]))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three published snapshots of which the last is current, the half of one and its work."""
    out = tmp_path_factory.mktemp("killed") / "out"
    for run_id in (R1, R2, R3):
        snapshot(out, run_id)
    move_pointer(str(out), R3, (R1, R2, R3))
    Layout(str(out), R5).create()
    (out / "snapshots" / R5 / "half.parquet").write_bytes(b"half")
    return out


def publish_another(output: str) -> None:
    snapshot(Path(output), R4)
    with held_output(output, R4, "run") as held:
        publish(Layout(output, R4), held)


def go_back(output: str) -> None:
    with held_output(output, R4, "rollback") as held:
        roll_back(held)


def remove_old(output: str) -> None:
    with held_output(output, R4, "prune") as held:
        prune(held, 2)
        remove_leftovers(output)


def unlock(output: str) -> None:
    break_lock(output)
    mend_link(output)


# Name → what is done, and the runs that readers may find: before it and after it.
WORK: dict[str, tuple[Callable[[str], None], set[str]]] = {
    "publish": (publish_another, {R3, R4}),
    "rollback": (go_back, {R3, R2}),
    "prune": (remove_old, {R3}),
    "unlock": (unlock, {R3}),
}


@pytest.mark.parametrize("name", WORK)
def test_readers_of_pointer_and_link_find_a_whole_snapshot(
    output: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before each call that changes a file: pointer and link name whole snapshots, of before
    or of after; the next command that writes lets both name the same one, what readers saw before
    can be gone back to, and nothing of the killed command is left.
    """
    work, expected = WORK[name]

    def begin(number: int) -> None:
        work(str(tmp_path / str(number)))

    for number in range(1, 1000):
        shutil.copytree(output, tmp_path / str(number), symlinks=True)
        if number == 1:
            points = kill_points(begin)
        if next(points, None) is None:
            break
        killed = tmp_path / str(number)
        pointed = read_published(str(killed))
        assert pointed is not None
        linked = (killed / "current").resolve().name
        assert {pointed.run_id, linked} <= expected
        whole = {each.run_id for each in list_snapshots(str(killed)) if not each.faults()}
        assert {pointed.run_id, linked, R2} <= whole
        with held_output(str(killed), "next", "prune"):
            remove_leftovers(str(killed))
        assert (killed / "current").resolve().name == pointed.run_id
        before = published_run(str(killed), "previous").run_id
        assert before == {R2: R1, R3: R2, R4: R3}[pointed.run_id]
        seen = {each.run_id for each in list_snapshots(str(killed)) if each.is_published}
        assert {R2, R3} <= seen <= {R1, R2, R3, pointed.run_id}
        with held_output(str(killed), "next", "prune") as held:
            prune(held, 2)
            remove_leftovers(str(killed))
        kept = {path.name for path in (killed / "snapshots").iterdir()}
        assert {pointed.run_id, before} - {R1} <= kept
        assert R5 not in kept
        shutil.rmtree(killed)
    with capsys.disabled():
        print(f"\n{name}: killed at {number - 1} points")
    assert number > (3 if name == "unlock" else 10)
