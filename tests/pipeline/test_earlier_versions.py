"""Snapshots, answers and image features that an earlier version wrote: today's code goes on from
them (`tests/data/README.md` says how they were made).
"""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from tests.support import FAKE_MODELS, ROOT, Run, read_rows, start

ARCHIVE = ROOT / "tests" / "data" / "written_by_25c0768.tar.xz"
# The options that the archive was written with. Paths are relative, as they were there: the folder of
# the images is one of the things that decide whether a snapshot can be continued.
OPTIONS = (
    *("--template", "template.yaml", "--input", "catalog.jsonl"),
    *("--images-root", "images", "--image-table", "photos.csv"),
    *(*FAKE_MODELS, "--fake-script", "script.yaml", "--max-labelled", "40"),
    *("--workers", "1", "--refresh-share", "1", "--keep-deleted"),
)
# Model calls and images that failed then and are tried again, of 59 calls and 7 images.
FAILED_THEN = (3, 1)
# One image under other titles, which is looked for by whole runs only.
SHARES_AN_IMAGE = {"p1", "p7"}
# Another record has its id, and was set aside then; today both are merged. The one that failed then
# asks with its new title.
MERGED = {"p0"}
# Its title states its colour, which its text then said once more.
SAID_TWICE = "p7"


@dataclass(frozen=True)
class Earlier:
    """An unpacked archive, and how commands are called on it."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def snapshots(self) -> list[Path]:
        """Oldest first."""
        return sorted((self.output / "snapshots").iterdir())

    def run(self, *options: str) -> Run:
        return start([*OPTIONS, *options], Path("output"))

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and messages of a command."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(list(arguments))
        return code, out.getvalue(), err.getvalue()

    def json(self, *arguments: str) -> Any:
        code, out, err = self.call(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Earlier:
    """The archive in the current folder, as if it had been written there."""
    shutil.unpack_archive(ARCHIVE, tmp_path)
    for manifest in tmp_path.glob("output/snapshots/*/manifest.json"):
        manifest.write_text(manifest.read_text().replace('"/shop/', f'"{tmp_path}/'))
    monkeypatch.chdir(tmp_path)
    return Earlier(tmp_path)


def by_id(folder: Path, table: str = "items") -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in read_rows(folder / table)}


def spent(run: Run) -> tuple[int, int]:
    """How often a run called the language model, and how many images it described."""
    prepared = run.manifest["stages"].get("prepare", {})
    described = prepared.get("pictures", 0) - prepared.get("reused", 0)
    return run.manifest["counts"]["described"]["calls"], described


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock.json.guard"
    }


def test_texts_are_made_anew_once(earlier: Earlier) -> None:
    """The texts that are embedded are composed otherwise than the earlier version did: the first
    run rebuilds them, and asks for nothing but what had failed; the next one makes nothing, and
    not a byte of the output is another one.
    """
    run = earlier.run()
    assert (run.code, run.err) == (0, "")
    assert run.manifest["made_anew_because"] == ["text changed"]
    assert spent(run) == FAILED_THEN
    before = contents(earlier.output)
    run = earlier.run()
    assert (run.code, run.err) == (0, "")
    assert "nothing" in run.out.lower()
    assert contents(earlier.output) == before


def test_a_small_change_costs_only_itself(earlier: Earlier) -> None:
    """One changed record is one call; every other row stays as it was, and the probes are not
    trained again.
    """
    assert earlier.run().code == 0  # composes texts again
    before = by_id(earlier.snapshots[-1])
    catalog = earlier.folder / "catalog.jsonl"
    catalog.write_text(catalog.read_text().replace("Picture mug 3", "Picture mug 3, new name"))
    run = earlier.run()
    assert run.code == 0, run.err
    assert run.manifest["based_on"] == earlier.snapshots[2].name
    assert run.manifest["made_anew_because"] == []
    assert run.manifest["records"] == {
        "new": 0,
        "changed": 1,
        "made_again": 0,
        "unchanged": 57,
        "deleted": 0,
    }
    assert spent(run) == (1, 0)
    after = by_id(run.snapshot)
    assert {item for item in after if after[item] != before[item]} == {"p3"}
    assert after["p3"]["pattern"] == before["p3"]["pattern"] == "Plain"
    assert after["gone"]["deleted_ts"] is not None
    assert {probe["reused"] for probe in run.manifest["probes"]} == {True}


def test_a_whole_run_pays_for_nothing_twice(earlier: Earlier) -> None:
    """With --full answers, image features and probes are taken over: exactly what the earlier
    version itself asked again is asked, and the rows are the same.
    """
    then = json.loads((earlier.folder / "full.json").read_text())
    run = earlier.run("--full")
    assert run.code == 0, run.err
    now = {
        # What later versions count beside is not in the account of the earlier one.
        "described": {
            name: count
            for name, count in run.manifest["counts"]["described"].items()
            if name in then["described"]
        },
        "images": run.manifest["stages"]["prepare"],
    }
    for part, times in (("described", "seconds"), ("images", "msecs")):
        same = [key for key in then[part] if key != times and not key.endswith("_tokens")]
        assert {key: now[part][key] for key in same} == {key: then[part][key] for key in same}
    assert spent(run) == FAILED_THEN
    assert {probe["reused"] for probe in run.manifest["probes"]} == {True}
    before, after = by_id(earlier.snapshots[1]), by_id(run.snapshot)
    assert {item for item in after if after[item] != before[item]} == SHARES_AN_IMAGE | MERGED
    for table in ("embeddings/text", "embeddings/image"):
        was, now = by_id(earlier.snapshots[1], table), by_id(run.snapshot, table)
        moved = {item for item in now if now[item] != was[item]}
        assert now.keys() == was.keys()
        assert moved == ({SAID_TWICE, *MERGED} if table == "embeddings/text" else set()), table


def test_differences_are_the_same_as_then(earlier: Earlier) -> None:
    """`diff --json` says of two snapshots what the earlier version said of them, and of no rows,
    which it did not keep.
    """
    then = json.loads((earlier.folder / "diff.json").read_text())
    now = earlier.json("diff", "previous", "current", "--output", "output")
    assert now == {**then, "rows": {}}


def test_snapshots_are_listed_and_rolled_back(earlier: Earlier) -> None:
    """Both are sound and published, with their counts; rollback makes the first current, and a run
    based on it gives the second one's rows again, with what only whole runs find and its own texts.
    """
    first, second = earlier.snapshots
    listed = earlier.json("snapshots", "output")
    assert [(each["run_id"], each["is_current"], each["problem"]) for each in listed] == [
        (first.name, False, None),
        (second.name, True, None),
    ]
    assert [(each["items"], each["records_quarantined"]) for each in listed] == [(58, 3), (58, 4)]
    assert earlier.call("rollback", "output")[0] == 0
    assert (earlier.output / "current").resolve() == first
    run = earlier.run()
    assert run.code == 0, run.err
    assert (run.manifest["based_on"], spent(run)) == (first.name, FAILED_THEN)
    moment = {"created_ts", "deleted_ts"}
    rows, expected = by_id(run.snapshot), by_id(second)
    assert rows.keys() == expected.keys()
    for item, row in expected.items():
        if item in SHARES_AN_IMAGE | MERGED:
            continue
        assert {k: v for k, v in rows[item].items() if k not in moment} == {
            k: v for k, v in row.items() if k not in moment
        }


def test_an_item_and_tables_are_shown(earlier: Earlier) -> None:
    """`inspect` tells an item's values, images and history over both snapshots; `tables` counts the
    rows of every table.
    """
    code, out, err = earlier.call("inspect", "p1", "--output", "output")
    assert code == 0, err
    for expected in (
        "title: Picture mug renamed",
        "pattern: Plain",
        "mllm:fake 1",
        "navy.png: 40 x 25 px; PNG",
        "title: Picture mug 1 -> Picture mug renamed (record)",
    ):
        assert expected in out
    tables = earlier.json("tables", "output")["tables"]
    assert {name: table["rows"] for name, table in tables.items()} == {
        "items": 59,
        "embeddings/image": 7,
        "embeddings/text": 59,
        "quarantine": 6,
        "records": 65,
    }


def test_a_report_is_drawn(earlier: Earlier) -> None:
    """`report` writes the page of a snapshot that has none, with its images."""
    code, _, err = earlier.call("report", "output", "--out", "page.html")
    assert code == 0, err
    page = (earlier.folder / "page.html").read_text()
    assert "data:image/" in page
    assert earlier.snapshots[1].name in page


def test_chosen_items_are_asked_for_again(earlier: Earlier) -> None:
    """`backfill` takes its options from the earlier manifest and rebuilds the chosen items alone."""
    before = by_id(earlier.snapshots[1])
    code, _, err = earlier.call("backfill", "output", "--reason", "answer-malformed")
    assert code == 0, err
    run = Run(0, earlier.output, "", "")
    assert run.manifest["records"]["made_again"] == 1
    after = by_id(run.snapshot)
    assert {item for item in after if after[item] != before[item]} <= {"prose"}
