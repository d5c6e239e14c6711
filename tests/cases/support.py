"""Inputs as people have them: small folders with a catalog, a template and the right values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from transforms.readers import ParsedRecord, plan_splits, read_split
from transforms.readers.contract import SplitReport

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def case(name: str) -> Path:
    """Return the folder of a case; skips the test where the cases are absent."""
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def read_all(path: Path, **plan: Any) -> tuple[list[dict[str, Any]], SplitReport]:
    """Return the cells of all records of a file, none of which may be refused, and the last report."""
    elements = [
        element for split in plan_splits([str(path)], **plan) for element in read_split(split)
    ]
    report = elements[-1]
    assert isinstance(report, SplitReport)
    assert not report.rejects
    return [each.cells for each in elements if isinstance(each, ParsedRecord)], report


def run_case(template: Path | str, inputs: Sequence[Path], output: Path, *options: str) -> Path:
    """Run the job with models that answer at once; return the published snapshot."""
    arguments = ["run", "--template", str(template), "--input", *map(str, inputs)]
    arguments += ["--output", str(output), "--text-encoder", "fake", "--image-encoder", "fake"]
    assert main([*arguments, "--no-report", "--no-probes", "--quiet", *options]) == 0
    current = json.loads((output / "current.json").read_text())
    return output / str(current["snapshot"])


def items_of(snapshot: Path) -> dict[str, dict[str, Any]]:
    """Return the items of a snapshot by id."""
    return {row["item_id"]: row for row in pq.read_table(snapshot / "items").to_pylist()}
