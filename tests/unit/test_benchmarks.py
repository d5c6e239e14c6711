"""Benchmarks are run by hand, so that nothing else says when one no longer begins."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_finds_what_it_measures(name: str) -> None:
    """Whatever it imports of the program and of the tests is still there."""
    assert importlib.import_module(f"benchmarks.{name}").__doc__
