"""Publishing: one atomic step, nothing stale, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pipelines.monitoring.interrupts import Interrupts
from pipelines.snapshots.history import Held, publish
from pipelines.snapshots.layout import Layout, kept_pictures
from pipelines.snapshots.publication import pointer_version
from tests.manifests import make_manifest

R1, R2 = "20260101T120001Z-000001", "20260101T120002Z-000002"


def hold(output: str) -> Held:
    """The output as if its lock were held."""
    return Held(output, pointer_version(output), [])


def written(output: Path, run_id: str) -> Layout:
    layout = Layout(str(output), run_id)
    layout.create()
    layout.write_manifest(make_manifest(run_id))
    return layout


def test_publishing_moves_pointer_and_link(tmp_path: Path) -> None:
    """current.json and current name the snapshot that was published last."""
    for run_id in (R1, R2):
        assert publish(written(tmp_path, run_id), hold(str(tmp_path))) == []
        assert json.loads((tmp_path / "current.json").read_text())["run_id"] == run_id
        assert (tmp_path / "current").resolve().name == run_id
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_link_that_cannot_be_set_is_a_warning(tmp_path: Path) -> None:
    """A folder in the link's place is left alone and named; the pointer is set all the same."""
    (tmp_path / "current").mkdir()
    (warning,) = publish(written(tmp_path, R1), hold(str(tmp_path)))
    assert "current could not be set" in warning
    assert "current.json names the published snapshot" in warning
    assert json.loads((tmp_path / "current.json").read_text())["run_id"] == R1


def test_work_of_other_runs_is_left_alone(tmp_path: Path) -> None:
    """Cleaning up removes a run's own work only, and the folder above it with the last one."""
    first, second = written(tmp_path, R1), written(tmp_path, R2)
    first.remove_work()
    assert [path.name for path in (tmp_path / "_work").iterdir()] == [R2]
    second.remove_work()
    assert not (tmp_path / "_work").exists()


def test_cleaning_up_hides_no_error(tmp_path: Path) -> None:
    """Removing what is not there raises nothing."""
    Layout(str(tmp_path / "nowhere"), R1).remove_snapshot()
    Layout(str(tmp_path / "nowhere"), R1).remove_work()


def test_a_prefix_of_an_object_store_is_removed_whole() -> None:
    """On an object store the run's prefix is deleted as a folder, and nothing beside it."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    from tests.memory_storage import MemoryStorage

    for name in (
        f"snapshots/{R1}/items/a",
        f"snapshots/{R1}/manifest.json",
        f"snapshots/{R1}0/manifest.json",
    ):
        with FileSystems.create(
            f"store://out/{name}", compression_type=CompressionTypes.UNCOMPRESSED
        ) as file:
            file.write(b"x")
    Layout("store://out", R1).remove_snapshot()
    assert list(MemoryStorage.files) == [f"store://out/snapshots/{R1}0/manifest.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_until_publishing_begins(number: signal.Signals) -> None:
    """A signal raises KeyboardInterrupt and is remembered; after `hold` it is only remembered; then
    all is as before.
    """
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        os.kill(os.getpid(), number)
    assert interrupts.happened
    with Interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), number)
    assert not interrupts.happened
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "snapshot",
    [
        "a/out/snapshots/20260101T120000Z-000000",
        "a/out/snapshots/20260101T120000Z-000000/",
        "a/out/current",
    ],
)
def test_kept_pictures_lie_beside_the_snapshots(snapshot: str) -> None:
    """Whether a snapshot is read by its folder or by the link to it."""
    assert kept_pictures(snapshot) == "a/out/kept-pictures"
