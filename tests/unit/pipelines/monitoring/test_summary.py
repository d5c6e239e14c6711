"""The summary of a run: what it says, within 80 columns, and never as a command to the terminal."""

from __future__ import annotations

import fnmatch
import io
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.monitoring.check_lines import check_line
from pipelines.monitoring.summary import print_refusal, snapshot_folder, write_summary
from pipelines.snapshots.manifest import Manifest
from schemas.tables.specs import TABLES, files_by_label
from tests.manifests import make_check, make_counts, make_manifest
from transforms.describe.usage import Usage
from transforms.probes.report import ProbeReport

COUNTS: dict[str, Any] = {
    "records_in": 400,
    "items": 399,
    "missing": {"values": 400, "values_settled": 100, "items": 200, "items_settled": 20},
    "images": {"usable": 575},
    "values": {
        "brand": {
            "record": 16,
            "text": 75,
            "unknown:ambiguous": 1,
            "unknown:below-threshold": 33,
            "unknown:not-stated": 274,
        },
        "ingredients": {"unknown:not-fillable": 399},
    },
}
STAGES = {"embed": {"msecs": 16_177, "items": 399}, "validate": {}}


def manifest(fields: dict[str, Any] | None = None, **counts: Any) -> Manifest:
    """The manifest of a run. fields: changes of its own fields; counts: of its counts'."""
    return make_manifest(
        counts=make_counts(**(COUNTS | counts)), **({"stages": STAGES} | (fields or {}))
    )


def summary(of: Manifest, folder: str = "out/current") -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    write_summary(console, of, folder)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_where_to_look() -> None:
    """A published snapshot is named by its short folder, without quarantine when there is none."""
    lines = [line for line in summary(manifest()).splitlines() if "out/current" in line]
    expected = [
        "published  out/current",
        "tables     out/current/items/*.parquet",
        "vectors    out/current/embeddings/*/*.parquet",
        "records    out/current/records/*.parquet",
        "report     out/current/report.html",
        "manifest   out/current/manifest.json",
    ]
    assert [line for line in lines if line in expected] == expected
    assert (lines[0], lines[-1]) == (expected[0], expected[-1])
    assert not any(line.startswith("quarantine") for line in lines)


def test_quarantine_is_named_when_there_is_any() -> None:
    """The quarantine's files are named when records or rows of image tables lie there."""
    line = "quarantine out/current/quarantine/*.parquet"
    assert line in summary(manifest(quarantined={"missing-id": 2})).splitlines()
    assert line in summary(manifest(image_rows_quarantined={"image-table-orphan": 1})).splitlines()


def test_every_table_is_among_the_files_named() -> None:
    """The patterns that the summary prints reach every table of a snapshot."""
    for table in TABLES:
        assert any(
            fnmatch.fnmatch(f"{table}/bucket-00000.parquet", files)
            for files in files_by_label().values()
        )


def test_refused_snapshot_is_kept_in_its_own_folder() -> None:
    """A refused snapshot is said to be refused, and its own folder is named."""
    lines = summary(manifest({"published": False}), "out/snapshots/run").splitlines()
    assert "REFUSED    by the gate; readers keep the previous snapshot" in lines
    assert "kept       out/snapshots/run" in lines
    assert not any(line.startswith("published") for line in lines)


def test_folder_is_current_only_where_that_link_exists(tmp_path: Path) -> None:
    """A published snapshot is read at OUTPUT/current; without that link, or refused, at its own
    folder.
    """
    own = f"{tmp_path}/snapshots/run"
    assert snapshot_folder(f"{own}/manifest.json", published=True) == own
    (tmp_path / "current").symlink_to("snapshots/run")
    assert snapshot_folder(f"{own}/manifest.json", published=True) == f"{tmp_path}/current"
    assert snapshot_folder(f"{own}/manifest.json", published=False) == own
    assert (
        snapshot_folder("gs://b/out/snapshots/run/manifest.json", published=True)
        == "gs://b/out/snapshots/run"
    )


def test_unsure_is_not_unknown() -> None:
    """Values that were seen but not surely enough are counted apart from those that nothing was
    said of.
    """
    text = summary(manifest())
    brand = next(line for line in text.splitlines() if "brand" in line)
    assert [cell.strip() for cell in brand.strip("│").split("│")] == [
        "brand",
        "16",
        "75",
        "34",
        "274",
    ]
    assert "unsure: there was evidence" in text
    assert "never known: ingredients" in text


def test_stage_seconds_are_explained() -> None:
    """The seconds by stage say that they are summed over workers and what the whole run includes."""
    text = summary(manifest())
    assert "summed over workers (2); the whole run includes start-up" in text
    assert "16.2" in text


@pytest.mark.parametrize(
    ("column", "expected", "example", "line"),
    [
        ("run.items", {"min_value": 100}, "6", "critical: items is 6, expected at least 100"),
        (
            "run.quarantine_rate",
            {"max_value": 0.5},
            "0.6666666666666666",
            "critical: quarantine rate is 0.6667, expected at most 0.5",
        ),
        (
            "run.unaccounted_records",
            {"min_value": 0, "max_value": 0},
            "12000.0",
            "critical: unaccounted records is 12,000, expected 0",
        ),
    ],
)
def test_failed_check_of_the_run(
    column: str, expected: dict[str, float], example: str, line: str
) -> None:
    """A failed check of the run says what was counted and what was expected."""
    check = make_check(column=column, expected=expected, examples=[example])
    assert check_line(check) == line.replace(": ", f": {check.check}: ", 1)


def test_failed_check_that_names_what_it_found() -> None:
    """A failed check of the run that reading the files found names some of it."""
    found = ["text vector of s1", "text vector of s2"]
    line = check_line(make_check(column="run.items_without_their_vector", examples=found))
    assert line.endswith(
        ": items without their vector, for example text vector of s1, text vector of s2"
    )


def test_failed_check_of_items() -> None:
    """A failed check of a table says how many values do not fit and shows some."""
    check = make_check(
        check="ids are unique",
        column="items.item_id",
        values=1200,
        unexpected=2,
        examples=["a", "b"],
    )
    line = (
        "critical: ids are unique (items.item_id: 2 of 1,200 values do not fit, for example a, b)"
    )
    assert check_line(check) == line


def test_only_failed_checks_are_printed() -> None:
    """A check that passed is not mentioned."""
    failed = manifest({"checks": [make_check()]})
    passed = manifest({"checks": [make_check(passed=True)]})
    assert "items is 6, expected at least 100" in summary(failed)
    assert "expected" not in summary(passed)


def test_faults_of_the_program_are_told() -> None:
    """Records that a fault of the program set aside are counted in a line of their own."""
    text = summary(manifest(quarantined={"internal-error": 3}))
    assert "3 in quarantine as internal-error, a fault of this program" in text
    assert "fault of this program" not in summary(manifest(quarantined={"missing-id": 3}))


def test_wrong_pictures_folder_is_guessed() -> None:
    """When no reference was found the folder is put in question; when some could not be used, it is
    not.
    """
    missing = summary(manifest(images={"image-missing": 575}))
    assert (
        "0 of 575 picture references found below --images-root; is it the right folder?" in missing
    )
    damaged = summary(manifest(images={"image-truncated": 5, "image-missing": 570}))
    assert "0 of 575 picture references could be used" in damaged
    assert "--images-root" not in summary(manifest(images={"usable": 1, "image-missing": 574}))
    assert "picture references" not in summary(manifest(images={}))


def test_a_large_run_fits_80_columns() -> None:
    """Counts in the millions, long names and many flags stay within 80 columns, uncut."""
    sources = ("record", "text", "image", "unknown:ambiguous", "unknown:not-stated")
    values = {"a_rather_long_attribute_name_in_full": dict.fromkeys(sources, 12_345_678)}
    flags = {"value-pattern-mismatch": 12_345_678}
    unmapped = [f"column number {n}" for n in range(40)]
    large = manifest(
        {"unmapped_columns": unmapped}, values=values, flags=flags, records_in=12_345_678
    )
    text = summary(large, "/data/shop/enriched/current")
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("12,345,678") == 7
    assert "…" not in text


def test_catalogs_do_not_steer_the_terminal() -> None:
    """Column names and values of a catalog are shown with their control characters escaped and
    markup as it is.
    """
    checks = [make_check(column="items.item_id", examples=["x\x1b]0;t\x07", "[/]"])]
    hostile = manifest({"unmapped_columns": ["a\x1b[2Jb", "[red]c[/red]"], "checks": checks})
    text = summary(hostile)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]c[/red]" in text
    assert "[/]" in text


@pytest.mark.parametrize("part", ["described", "encoded"])
def test_what_no_server_stated_is_told(part: str) -> None:
    """The tokens that are estimates are said of language models and of encoders, with the requests
    that may cost for nothing; nothing is said where every server counts.
    """
    used = Usage(calls=12, prompt_tokens=9_000)
    asked = {"versions": {"describe_model": "tiny"}}
    assert "estimated" not in summary(manifest(asked, **{part: used}))
    lies = replace(used, estimated_tokens=4_321, lost_attempts=3, lost_tokens=1_234)
    text = summary(manifest(asked, **{part: lies}))
    for number in ("4,321", "1,234"):
        assert number in text
    assert "of all tokens estimated" in text
    assert "requests lost, which may cost" in text


def test_what_a_server_said_most_is_quoted() -> None:
    """The commonest words of failures stand in the summary and in a refusal, with how many items met them and what may
    help; the terminal is not steered by them.
    """
    words = {'model-refused: HTTP 400: Unknown name "seed"': 7, "model-error: a\x1b[2Jb": 1}
    failed = make_check(id="describe-failure-rate", column="run.describe_failure_rate")
    refused = manifest({"checks": [failed]}, described=Usage(items=9, failed_words=words))
    text = " ".join(summary(refused).split())
    assert '7 of 9 items: model-refused: HTTP 400: Unknown name "seed"' in text
    assert "give --server-takes seed_field=none" in text
    assert "1 of 9 items: model-error" in text
    assert "\x1b" not in text
    shown = io.StringIO()
    with redirect_stderr(shown):
        print_refusal(refused, "out/snapshots/r/manifest.json")
    assert "give --server-takes seed_field=none" in shown.getvalue()


def probe(attribute: str, **changes: Any) -> ProbeReport:
    """The report of a probe that answers, but for what is changed."""
    fields: dict[str, Any] = {
        "path": f"probes/{attribute}.safetensors",
        "digest": "",
        "key": "",
        "kind": "classes",
        "view": "both",
        "labelled": 181,
        "absent": 0,
        "classes": 4,
        "right_when_forced": 0.9,
        "target_precision": 0.95,
        "threshold": 0.84,
        "expected_precision": 0.98,
        "expected_coverage": 0.74,
        "calibration": "isotonic",
        "note": "",
        "reused": False,
        "disagreements": 0,
        "labels": {},
        "rules": {},
    }
    return ProbeReport(attribute, **(fields | changes))


def test_what_needs_no_model_is_told() -> None:
    """How many missing values rules and probes settled, and how many items need no call, is said
    with the shares.
    """
    text = " ".join(summary(manifest()).split())
    assert "filled without a language model: 100 of 400 (25%) missing values" in text
    assert "20 of 200 (10%) items with missing values need no call" in " ".join(text.split())
    nothing = manifest(missing={"values": 0, "values_settled": 0, "items": 0, "items_settled": 0})
    assert "settled without" not in summary(nothing)


def test_probes_say_how_sure_they_are_or_that_they_abstain() -> None:
    """A probe's line has what held-back rows say of it; those that abstain are named, and those
    that other catalogs'
    rows were held back for."""
    probes = [
        probe("category"),
        probe("model_name", kind="spans", reused=True),
        probe("brand", threshold=None, note="3 rows have a value, 10 are needed to learn from"),
        probe("weight", kind="none", threshold=None),
        probe("color", note="0 of 60 rows with a value are this catalog's own"),
    ]
    text = summary(manifest({"probes": probes}))
    assert all(part in text for part in ("181", "both", "74%", "98%", "spans", "181 (earlier run)"))
    assert "abstain, see the report for why: brand\n" in text
    assert (
        "measured on other catalogs' rows more than on this one's, see the report: color\n" in text
    )
