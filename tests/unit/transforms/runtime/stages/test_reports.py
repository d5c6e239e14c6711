"""Small results of a stage, gathered into one element or one file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms.runtime.json_files import read_json
from transforms.runtime.stages.reports import Gather, WriteReports


def in_order(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers))


@pytest.mark.parametrize("numbers", [[3, 1, 2], []])
def test_all_are_gathered_into_one(numbers: Sequence[int]) -> None:
    """The function is called once with all elements, also where there are none."""
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = pipeline | beam.Create(list(numbers)).with_output_types(int) | Gather(in_order)
        assert_that(made, equal_to([in_order(numbers)]))


@pytest.mark.parametrize("numbers", [[3, 1, 2], []])
def test_reports_lie_in_a_file(tmp_path: Path, numbers: Sequence[int]) -> None:
    """Reports are written as one sorted list for each path; of none it is empty, and the file is
    there.
    """
    paths = [str(tmp_path / name) for name in ("a.json", "b.json", "a.json")]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = tuple(
            pipeline | f"{n}" >> beam.Create(each).with_output_types(int)
            for n, each in enumerate((list(numbers), [], [0]))
        )
        _ = made | WriteReports(paths)
    assert read_json(paths[0]) == [0, *in_order(numbers)]
    assert read_json(paths[1]) == []
