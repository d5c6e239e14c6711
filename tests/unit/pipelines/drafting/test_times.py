"""Times of a draft: when a record changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.drafting.profile import profile
from pipelines.drafting.times import find_times
from transforms.readers import plan_splits


@pytest.mark.parametrize("day", ["0{n}/04/2024", "2024-04-0{n}", "0{n}.04.2024 10:00"])
def test_times_of_two_days_are_times(tmp_path: Path, day: str) -> None:
    """A column of days is found, also where nobody says whether day or month comes first."""
    path = tmp_path / "catalog.csv"
    rows = [f"{n},{day.format(n=n)}" for n in range(1, 9)]
    path.write_text("\n".join(["id,changed", *rows]) + "\n")
    assert find_times(profile(plan_splits([str(path)]), 100)) == ["changed"]
