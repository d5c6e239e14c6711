"""Snapshots, diff, rollback, prune and unlock after real runs; two runs on one output at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.locks import LOCK
from tests.support import FAKE_MODELS, Shop

RECORDS = [{"sku": f"s{n}", "name": f"Mug {n}", "color": "Red", "weight": f"{n} g"} for n in range(1, 9)]


def published(output: Path) -> str:
    run_id: str = json.loads((output / "current.json").read_text())["run_id"]
    return run_id


def test_an_operator_looks_back_and_goes_back(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """What changed is told by attribute and source, the earlier snapshot becomes current, and the next run goes on."""
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

    again = shop.run(shop.file("in.jsonl", changed), options=["--refresh-share", "1", "--keep", "1"])
    assert again.code == 0
    assert [path.name for path in (output / "snapshots").iterdir()] == [published(output)]


def test_commands_refuse_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An output without snapshots, an unknown run and a useless --keep are bad arguments, each with what to do."""
    for arguments, told in (
        (["snapshots", str(tmp_path)], "has no snapshots; `catalog-enrich run"),
        (["rollback", str(tmp_path)], "no current snapshot"),
        (["rollback", str(tmp_path), "--to", "x"], "no published snapshot 'x'; published are: none"),
        (["diff", "current", "previous", "--output", str(tmp_path)], "no current snapshot"),
        (["prune", str(tmp_path), "--keep", "0"], "at least 1"),
        (["backfill", str(tmp_path), "--reason", "budget"], "has no published snapshot"),
        (["snapshots", str(tmp_path), "--nonsense"], "unknown argument --nonsense"),
    ):
        assert cli.main(arguments) == 2
        assert told in capsys.readouterr().err


def test_the_second_of_two_runs_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """While a run is at work, another on the same output ends with 1 and names the first; rollback waits as well."""
    output, template = shop.folder / "out", shop.folder / "template.yaml"
    catalog = shop.file("in.jsonl", RECORDS)
    assert shop.run(catalog).code == 0
    command = [sys.executable, "-m", "pipelines.enrich", "--template", str(template), "--input", str(catalog)]
    command += [*FAKE_MODELS, "--images-root", str(shop.images), "--workers", "1", "--full", "--output", str(output)]
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
