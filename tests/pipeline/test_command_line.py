"""The command line: exit codes, all problems at once, help that suffices, what a run leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli
from tests.support import FAKE_MODELS, ROOT, TEMPLATE, Shop

GOOD = [{"sku": f"g{n}", "name": f"Red thing {n}"} for n in range(4)]


def test_a_published_run_says_where_to_look(shop: Shop) -> None:
    """A good run ends with 0, prints counts that close, fills and paths, and leaves no work files."""
    run = shop.run(shop.file("in.jsonl", GOOD))
    assert run.code == 0
    for expected in ("records in", "unaccounted", "color", "published", "manifest.json"):
        assert expected in run.out
    assert json.loads((run.output / "current.json").read_text())["run_id"] == run.manifest["run_id"]
    assert (run.output / "current").resolve() == run.snapshot
    assert not (run.output / "_work").exists()
    assert run.err == ""


def test_every_file_is_in_the_manifest_with_its_digest(shop: Shop) -> None:
    """The manifest names each data file with rows, bytes and SHA-256, and each input with its
    digest.
    """
    import hashlib

    source = shop.file("in.jsonl", GOOD)
    run = shop.run(source)
    listed = {file["path"]: file for file in run.manifest["files"]}
    found = {str(path.relative_to(run.snapshot)): path for path in run.snapshot.rglob("*.parquet")}
    assert listed.keys() == found.keys()
    for name, path in found.items():
        assert listed[name]["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert listed[name]["bytes"] == path.stat().st_size
    assert run.manifest["inputs"][0]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_refused_snapshot_never_becomes_current(shop: Shop) -> None:
    """Exit code 1 keeps the previous snapshot current and the refused one for inspection."""
    first = shop.run(shop.file("in.jsonl", GOOD))
    bad = shop.file(
        "bad.jsonl",
        [{"sku": None, "name": "x"}, {"sku": "a", "name": "y"}, {"sku": "", "name": "z"}],
    )
    second = shop.run(bad)
    assert second.code == 1
    assert "REFUSED" in second.out
    assert second.manifest["published"] is False
    assert (first.output / "current").resolve() != second.snapshot
    assert (
        json.loads((first.output / "current.json").read_text())["run_id"]
        != second.manifest["run_id"]
    )


def test_all_bad_arguments_are_named_at_once(shop: Shop) -> None:
    """Exit code 2 lists every problem, each with what to write instead."""
    options = ("--workers", "-3", "--buckets", "99999", "--describe-backend", "fake")
    run = shop.run(shop.folder / "none-*.jsonl", shop.folder, options=options)
    assert run.code == 2
    for expected in ("--workers is -3", "--buckets is 99999", "none-*.jsonl", "director"):
        assert expected in run.err


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("--worker", "--workers"), ("--direct_num_worker=3", "--direct_num_workers")],
)
def test_a_mistyped_option_is_refused_with_the_right_one(shop: Shop, typo: str, meant: str) -> None:
    """An option that neither this program nor Beam knows is an error, not a silent default."""
    run = shop.run(shop.file("in.jsonl", GOOD), options=(typo,))
    assert run.code == 2
    assert f"did you mean {meant}?" in run.err


def test_a_wrong_template_is_refused_with_lines(shop: Shop) -> None:
    """A template with errors ends with 2 and names each with its line."""
    shop.template = TEMPLATE.replace("type: number", "type: numbr").replace(
        "id: sku\n", "idd: sku\n"
    )
    run = shop.run(shop.file("in.jsonl", GOOD))
    assert run.code == 2
    assert "line 5" in run.err
    assert "line 12" in run.err


def test_a_limit_that_makes_no_sense_is_refused(shop: Shop) -> None:
    """Limits are checked before work begins."""
    run = shop.run(shop.file("in.jsonl", GOOD), options=("--max-image-pixels", "0"))
    assert run.code == 2
    assert "--max-image-pixels" in run.err


def test_an_output_that_cannot_be_written_is_refused(shop: Shop) -> None:
    """An output folder that cannot be made ends with 2 before any work, and says why."""
    shop.file("taken", "a file where a folder should be")
    run = shop.run(shop.file("in.jsonl", GOOD), output="taken/below")
    assert run.code == 2
    assert "taken is a file" in run.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_keeps_the_previous_snapshot(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A write that fails for lack of space ends with 3, removes what was half written, and changes
    nothing for readers.
    """
    path = shop.file(
        "in.jsonl", [{"sku": f"s{n}", "name": os.urandom(4_000).hex()} for n in range(500)]
    )
    first = shop.run(shop.file("small.jsonl", GOOD))
    current = (first.output / "current.json").read_text()
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(shop.folder / "template.yaml"),
        "--workers",
        "1",
    ]
    command += [
        "--images-root",
        str(shop.images),
        *FAKE_MODELS,
        "--input",
        str(path),
        "--output",
        str(first.output),
    ]
    # A file size limit stands for a full disk: the same OSError, at a place that no test can choose otherwise.
    limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 1000; exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr[-2000:]
    assert "the run broke off" in done.stderr
    assert (first.output / "current.json").read_text() == current
    assert len(list((first.output / "snapshots").iterdir())) == 1
    assert not (first.output / "_work").exists()


def test_help_names_every_option_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`run --help` suffices: every option with its meaning, examples, exit codes."""
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    out = capsys.readouterr().out
    for expected in (
        "--template",
        "--images-root",
        "--describe-backend",
        "exit codes",
        "examples",
        "(default: ",
    ):
        assert expected in out


def test_template_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """list names the packaged templates, show prints one that check accepts."""
    assert cli.main(["template", "list"]) == 0
    assert "grocery" in capsys.readouterr().out
    assert cli.main(["template", "show", "product"]) == 0
    copy = tmp_path / "mine.yaml"
    copy.write_text(capsys.readouterr().out)
    assert cli.main(["template", "check", str(copy)]) == 0
    assert "is sound" in capsys.readouterr().out
    assert cli.main(["template", "check", "grocer"]) == 2
    assert "did you mean 'grocery'?" in capsys.readouterr().err


def test_both_front_ends_take_the_same_options(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """`catalog-enrich run` and `python -m pipelines.enrich` are one job."""
    (shop.folder / "template.yaml").write_text(TEMPLATE)
    arguments = [
        "--template",
        str(shop.folder / "template.yaml"),
        "--images-root",
        str(shop.images),
        *FAKE_MODELS,
    ]
    arguments += [
        "--workers",
        "1",
        "--input",
        str(shop.file("in.jsonl", GOOD)),
        "--output",
        str(shop.folder / "out"),
    ]
    assert cli.main(["run", *arguments]) == 0
    assert "published" in capsys.readouterr().out


def test_a_run_in_a_log_is_quiet(shop: Shop) -> None:
    """Without a terminal a good run writes nothing to stderr, also from its worker processes, but
    a line every half minute where the machine is so slow.
    """
    (shop.folder / "template.yaml").write_text(TEMPLATE)
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(shop.folder / "template.yaml"),
        "--workers",
        "2",
    ]
    command += [
        "--images-root",
        str(shop.images),
        *FAKE_MODELS,
        "--input",
        str(shop.file("in.jsonl", GOOD)),
    ]
    done = subprocess.run(
        [*command, "--output", str(shop.folder / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    unexpected = [line for line in done.stderr.splitlines() if "records read" not in line]
    assert unexpected == []


def test_a_run_that_finds_nothing_new_loads_nothing_heavy(shop: Shop) -> None:
    """Neither models nor Beam nor what learns and checks is imported, and no pass of the collector
    looks at what was.
    """
    catalog = shop.file("in.jsonl", GOOD)
    embedded = (
        "--describe-backend",
        "embedded",
        *(f"--{each}-encoder=embedded" for each in ("text", "image")),
    )
    assert shop.run(catalog, options=embedded).code == 0
    program = (
        "import gc, sys\n"
        "from pipelines.__main__ import main\n"
        "assert main() == 0 and gc.isenabled()\n"
        "heavy = {'apache_beam', 'great_expectations', 'inflect', 'onnxruntime', 'pint', 'rapidocr', 'sklearn'}\n"
        "heavy |= {'tokenizers', 'torch'}\n"
        "print(gc.get_freeze_count() > len(gc.get_objects()), heavy & set(sys.modules))\n"
    )
    arguments = [*shop.arguments([catalog]), *embedded, "--output", str(shop.folder / "out")]
    done = subprocess.run(
        [sys.executable, "-c", program, "run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "nothing has changed" in done.stdout
    assert done.stdout.splitlines()[-1] == "True set()"


def test_an_unknown_runner_is_refused(shop: Shop) -> None:
    """A runner that Beam does not have, or that loses records, ends with exit code 2."""
    path = shop.file("in.jsonl", GOOD)
    assert "NopeRunner" in shop.run(path, options=("--runner", "NopeRunner")).err
    dask = shop.run(path, options=("--runner", "DaskRunner"))
    assert dask.code == 2
    assert "loses records" in dask.err


def test_every_command_that_looks_prints_json(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json each command prints one JSON document on stdout and nothing else there."""
    output = str(shop.run(shop.file("in.jsonl", GOOD)).output)
    template = str(shop.folder / "template.yaml")
    for command, expected in (
        (["snapshots", output], "run_id"),
        (["diff", "current", "current", "--output", output], "items"),
        (["prune", output, "--keep", "3", "--dry-run"], "removed"),
        (["unlock", output], "removed"),
        (["template", "list"], "grocery"),
        (["template", "check", template], "hash"),
        (["template", "show", "product"], "attributes"),
        (["completion", "bash"], "script"),
        (["backfill", output, "--where", "color IS NULL", "--dry-run"], "messages"),
    ):
        capsys.readouterr()
        assert cli.main([*command, "--json"]) == 0, command
        assert expected in json.dumps(json.loads(capsys.readouterr().out)), command


def test_a_run_prints_its_manifest_as_json(shop: Shop) -> None:
    """`run --json` prints the manifest and nothing else on stdout."""
    run = shop.run(shop.file("in.jsonl", GOOD), options=("--json",))
    told = json.loads(run.out)
    assert told["run_id"] == run.manifest["run_id"]
    assert told["unchanged"] is False


def test_a_run_that_does_nothing_tells_what_it_did(shop: Shop) -> None:
    """The JSON of a run that finds nothing new names the published snapshot, and of calls, stages
    and records only this run's own: none made, all unchanged.
    """
    run = shop.run(shop.file("in.jsonl", GOOD), options=("--json",))
    told = json.loads(run.out)
    again = json.loads(shop.run(shop.folder / "in.jsonl", options=("--json",)).out)
    assert again["unchanged"] is True
    assert (again["run_id"], again["files"]) == (told["run_id"], told["files"])
    assert told["counts"]["described"]["calls"] > 0
    assert not any(again["counts"]["described"].values())
    assert again["records"] == {
        "new": 0,
        "changed": 0,
        "made_again": 0,
        "unchanged": told["counts"]["items"],
        "deleted": 0,
    }
    assert told["buckets_written"] > 0
    assert again["buckets_written"] == 0
    assert "embed" in told["stages"]
    assert "embed" not in again["stages"]


def test_a_quiet_run_says_nothing_unless_it_goes_wrong(shop: Shop) -> None:
    """With --quiet a published run prints nothing; a refused one says on stderr which checks failed
    and what to do.
    """
    published = shop.run(shop.file("in.jsonl", GOOD), options=("--quiet",))
    assert (published.code, published.out, published.err) == (0, "", "")
    bad = shop.file(
        "bad.jsonl",
        [{"sku": None, "name": "x"}, {"sku": "a", "name": "y"}, {"sku": "", "name": "z"}],
    )
    refused = shop.run(bad, options=("--quiet",))
    assert (refused.code, refused.out) == (1, "")
    assert "of the records are in quarantine" in refused.err
    assert "REFUSED" in refused.err


def test_errors_of_a_template_are_json_too(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """`template check --json` lists each error with line, place and problem, and ends with 2."""
    path = shop.file("wrong.yaml", TEMPLATE.replace("type: enum", "type: enumm"))
    assert cli.main(["template", "check", str(path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["sound"] is False
    assert told["errors"][0]["line"]
    assert "enumm" in told["errors"][0]["problem"]
