"""Snapshots, diff, rollback, prune and unlock after real runs; two runs on one output at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pipelines import cli
from pipelines.snapshots.lock_backends import LOCK, Lock
from pipelines.snapshots.locks import output_lock
from tests.support import FAKE_MODELS, TEMPLATE, Shop

AT_WORK = "20260101T120000Z-0a7304"
RECORDS = [
    {"sku": f"s{n}", "name": f"Mug {n}", "color": "Red", "weight": f"{n} g"} for n in range(1, 9)
]


def published(output: Path) -> str:
    run_id: str = json.loads((output / "current.json").read_text())["run_id"]
    return run_id


def test_an_operator_looks_back_and_goes_back(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What changed is listed by attribute and source, the earlier snapshot becomes current, and the
    next run goes on.
    """
    output = shop.folder / "out"
    first = shop.run(shop.file("in.jsonl", RECORDS))
    assert first.code == 0
    before = published(output)
    changed = [*RECORDS[1:], {"sku": "s9", "name": "Mug 9"}, {"name": "nobody"}]
    changed[0] = changed[0] | {"color": "navy"}
    assert shop.run(shop.file("in.jsonl", changed), options=["--refresh-share", "1"]).code == 0
    after = published(output)

    assert cli.main(["diff", "previous", "current", "--output", str(output)]) == 0
    told = capsys.readouterr().out
    for line in (
        f"from {before} to {after}",
        "items added: 1 (s9",
        "items changed: 1 (s2",
        "items removed: 1 (s1",
        "quarantine added: 1 missing-id",
        "color of s2: 'Red' -> 'Blue' (given",
    ):
        assert line in told
    assert cli.main(["diff", before, after, "--output", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == {"added": 1, "removed": 1, "changed": 1}

    assert cli.main(["rollback", str(output)]) == 0
    assert published(output) == before
    assert cli.main(["snapshots", str(output)]) == 0
    listed = capsys.readouterr().out
    assert f"*   {before}" in listed
    assert after in listed

    again = shop.run(
        shop.file("in.jsonl", changed), options=["--refresh-share", "1", "--keep", "1"]
    )
    assert again.code == 0
    assert [path.name for path in (output / "snapshots").iterdir()] == [published(output)]


def test_commands_refuse_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An output without snapshots, an unknown run and a useless --keep are bad arguments, each with
    what to do.
    """
    for arguments, told in (
        (["snapshots", str(tmp_path)], "has no snapshots; `catalog-enrich run"),
        (["rollback", str(tmp_path)], "no current snapshot"),
        (
            ["rollback", str(tmp_path), "--to", "x"],
            "no published snapshot 'x'; published are: none",
        ),
        (["diff", "current", "previous", "--output", str(tmp_path)], "no current snapshot"),
        (["prune", str(tmp_path), "--keep", "0"], "at least 1"),
        (["rollback", str(tmp_path / "typo")], "is not a folder"),
        (["prune", str(tmp_path / "typo"), "--keep", "2"], "is not a folder"),
        (["unlock", str(tmp_path / "typo")], "is not a folder"),
        (["diff", "current", "previous"], "name its --output"),
        (["diff", str(tmp_path), str(tmp_path)], "not a snapshot to look at"),
        (["backfill", str(tmp_path), "--reason", "budget"], "has no published snapshot"),
        (["snapshots", str(tmp_path), "--nonsense"], "unknown option --nonsense"),
    ):
        assert cli.main(arguments) == 2
        assert told in capsys.readouterr().err
    assert list(tmp_path.glob("typo")) == []


@pytest.mark.parametrize("command", ["snapshots", "diff", "rollback", "prune", "unlock"])
def test_help_suffices(
    command: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--help of each command has its arguments, examples that parse, and exit codes."""
    (tmp_path / "features").mkdir()  # the output of the examples
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    examples = re.findall(r"^  catalog-enrich (.*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        assert cli.build_parser().parse_args(example.split()).command == command
    for code in ("0  done", "1  refused", "2  bad arguments", "3  it broke off"):
        assert code in out


def test_a_damaged_snapshot_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """rollback is refused, diff ends with 3, and both name the damaged file; readers keep what they
    have, and the list goes on.
    """
    first = shop.run(shop.file("in.jsonl", RECORDS))
    written, snapshot = first.manifest["files"], first.snapshot
    current = shop.run(shop.file("in.jsonl", RECORDS[1:]), options=["--refresh-share", "1"])
    assert (first.code, current.code) == (0, 0)
    changed = {file["path"]: file["digest"] for file in current.manifest["files"]}
    (damaged, *_) = (
        file["path"]
        for file in written
        if file["table"] == "items" and changed.get(file["path"]) != file["digest"]
    )
    path = snapshot / damaged
    data = path.read_bytes()
    path.unlink()  # what other snapshots have linked stays as it is
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for code, *command in ((1, "rollback"), (3, "diff", "previous", "current", "--output")):
        assert cli.main([*command, str(first.output)]) == code
        assert damaged in capsys.readouterr().err
    assert published(first.output) == current.manifest["run_id"]
    assert not (first.output / LOCK).exists()


def test_what_the_gate_refused_can_be_looked_at(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused snapshot, and snapshots of other outputs by path, divided otherwise, are compared
    like any.
    """
    good = shop.run(shop.file("in.jsonl", RECORDS))
    nobody = [{"name": f"nobody {n}"} for n in range(9)]
    refused = shop.run(shop.file("in.jsonl", [*RECORDS, *nobody]))
    assert (good.code, refused.code) == (0, 1)
    assert (
        cli.main(["diff", "current", refused.manifest["run_id"], "--output", str(good.output)]) == 0
    )
    assert "quarantine added: 9 missing-id" in capsys.readouterr().out
    assert cli.main(["rollback", str(good.output), "--to", refused.manifest["run_id"]]) == 2
    assert "no published snapshot" in capsys.readouterr().err
    other = shop.run(shop.file("in.jsonl", RECORDS), options=["--buckets", "6"], output="other")
    assert cli.main(["diff", str(good.output / "current"), str(other.snapshot)]) == 0
    assert "nothing differs" in capsys.readouterr().out


def test_hostile_names_are_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders whose names are terminal commands or markup are listed as what they are."""
    for name in ("[red]x", "y\x1b[2J", "[bold"):
        (tmp_path / "snapshots" / name).mkdir(parents=True)
    assert cli.main(["snapshots", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert r"y\x1b[2J" in out
    assert "\x1b[2J" not in out


def test_a_run_at_work_is_left_alone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """What a run is writing is nothing that prune would remove, prune is refused, and its lock is
    not broken.
    """
    output = shop.run(shop.file("in.jsonl", RECORDS)).output
    before = published(output)
    with output_lock(str(output), AT_WORK, "run"):
        (output / "snapshots" / AT_WORK).mkdir()
        (output / "_work" / AT_WORK).mkdir(parents=True)
        assert cli.main(["prune", str(output), "--keep", "1", "--dry-run"]) == 0
        assert "nothing to remove" in capsys.readouterr().out
        for command in (
            ["prune", str(output), "--keep", "1"],
            ["unlock", str(output)],
            ["rollback", str(output)],
        ):
            assert cli.main(command) == 1
            assert AT_WORK in capsys.readouterr().err
    assert cli.main(["prune", str(output), "--keep", "1", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("would be removed") == 2
    assert cli.main(["prune", str(output), "--keep", "1"]) == 0
    assert [path.name for path in (output / "snapshots").iterdir()] == [before]


def test_a_lock_that_nobody_can_judge_is_removed_by_hand(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """unlock removes a lock that the kernel does not hold and says whose it was, unless its
    process is seen to be alive; without a lock it says so.
    """
    here = Lock.own("far", "run")
    (tmp_path / LOCK).write_bytes(msgspec.json.encode(here))
    assert cli.main(["unlock", str(tmp_path)]) == 1
    assert "run far is alive" in capsys.readouterr().err
    (tmp_path / LOCK).write_bytes(msgspec.json.encode(replace(here, host="far-away")))
    for told in ("removed the lock of run far", "has no lock"):
        assert cli.main(["unlock", str(tmp_path)]) == 0
        assert told in capsys.readouterr().out
    assert not (tmp_path / LOCK).exists()
    # What a full disk leaves of a lock, and what no run makes.
    (tmp_path / LOCK).write_bytes(b"")
    assert cli.main(["unlock", str(tmp_path)]) == 0
    assert f"{tmp_path / LOCK} could not be read and was removed" in capsys.readouterr().err
    (tmp_path / LOCK).mkdir()
    assert cli.main(["unlock", str(tmp_path)]) != 0
    assert f"{tmp_path / LOCK} is a folder" in capsys.readouterr().err


def test_the_next_run_takes_over_from_a_killed_one(shop: Shop) -> None:
    """A run that is killed in the middle keeps nobody waiting: the next one says so, cleans up and
    publishes.
    """
    output, template = shop.folder / "out", shop.folder / "template.yaml"
    catalog = shop.file("in.jsonl", RECORDS)
    template.write_text(TEMPLATE)
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(template),
        "--input",
        str(catalog),
    ]
    command += [
        *FAKE_MODELS,
        "--images-root",
        str(shop.images),
        "--workers",
        "1",
        "--output",
        str(output),
    ]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(output.glob("_work/*/*")):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    holder = json.loads((output / LOCK).read_text())["run_id"]
    run = shop.run(catalog)
    assert run.code == 0
    assert f"the lock of run {holder}, which is dead, was taken over" in run.err
    assert [path.name for path in (output / "snapshots").iterdir()] == [published(output)]
    assert not (output / "_work").exists()
    assert not (output / LOCK).exists()


def test_the_second_of_two_runs_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """While a run is at work, another on the same output ends with 1 and names the first; rollback
    waits as well.
    """
    output, template = shop.folder / "out", shop.folder / "template.yaml"
    catalog = shop.file("in.jsonl", RECORDS)
    assert shop.run(catalog).code == 0
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(template),
        "--input",
        str(catalog),
    ]
    command += [
        *FAKE_MODELS,
        "--images-root",
        str(shop.images),
        "--workers",
        "1",
        "--full",
        "--output",
        str(output),
    ]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not (output / LOCK).exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        holder = json.loads((output / LOCK).read_text())["run_id"]
        snapshot = published(output)
        second = shop.run(catalog)
        assert second.code == 1
        assert f"is locked by run {holder} (run, process {first.pid}" in second.err
        assert cli.main(["rollback", str(output)]) == 1
        assert holder in capsys.readouterr().err
        assert published(output) == snapshot
    finally:
        _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert published(output) == holder
    assert not (output / LOCK).exists()
