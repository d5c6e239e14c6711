"""transforms.runtime.stages.fused: several DoFns as one stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms.runtime.spool import at_end
from transforms.runtime.stages.fused import FusedStep, in_one


class Twice(beam.DoFn):
    """Gives a number and what a side input adds to it, and tags it too."""

    def process(self, number: int, added: int) -> Iterator[Any]:
        yield beam.pvalue.TaggedOutput("seen", number)
        yield number
        yield number + added


class Sum(beam.DoFn):
    """Scales what comes and gives its sum at the bundle's end."""

    def setup(self) -> None:
        self._scale = 10

    def start_bundle(self) -> None:
        self._total = 0

    def process(self, number: int, factors: list[int]) -> Iterator[int]:
        self._total += self._scale * number * sum(factors)
        yield from ()

    def finish_bundle(self) -> Iterator[Any]:
        yield at_end(self._total)


def test_steps_follow_each_other() -> None:
    """Each step has its own side inputs and life cycle, and tags of any step are outputs."""
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        added = beam.pvalue.AsSingleton(pipeline | "Added" >> beam.Create([100]))
        factors = beam.pvalue.AsList(pipeline | "Factors" >> beam.Create([1, 2]))
        steps = in_one(FusedStep(Twice(), (added,)), FusedStep(Sum(), (factors,)))
        made = pipeline | beam.Create([1, 2]) | steps.with_outputs("seen", main="sum")
        total = made.sum | beam.CombineGlobally(sum)
        assert_that(total, equal_to([10 * 3 * (1 + 101 + 2 + 102)]), label="sum")
        assert_that(made.seen, equal_to([1, 2]), label="seen")


def test_only_the_last_step_may_end_a_bundle_with_elements() -> None:
    """An element that no later step would see is an error, not lost."""
    run = in_one(FusedStep(Sum()), FusedStep(Twice())).fn
    run.setup()
    run.start_bundle()
    with pytest.raises(TypeError, match="Sum gives an element after the last one has passed"):
        list(run.finish_bundle())
