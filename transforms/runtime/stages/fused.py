"""Stages that follow each other without a runner between them: several DoFns as one.

What passes from one step to the next stays an object in memory. A runner writes elements down
wherever it does not fuse two stages, for instance before each stage that has a side input; buckets
of megabytes must not pass there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import apache_beam as beam


class FusedStep(NamedTuple):
    """A DoFn, and the side inputs that its `process` takes after the element."""

    dofn: beam.DoFn
    sides: tuple[Any, ...] = ()


def in_one(*steps: FusedStep) -> beam.ParDo:
    """Return the ParDo that does all steps, each with what the one before it gave.

    Tagged outputs of any step are outputs of the whole. At the end of a bundle only the last step
    may give anything else.
    """
    sides = tuple(chain.from_iterable(step.sides for step in steps))
    return beam.ParDo(_InOne(steps), *sides)


def applied(function: Callable[[Any], Any]) -> FusedStep:
    """Return the step that calls a function, which can be pickled, with each element."""
    return FusedStep(_Apply(function))


class _Apply(beam.DoFn):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def process(self, element: object) -> Iterator[object]:
        yield self._function(element)


class _InOne(beam.DoFn):
    def __init__(self, steps: Sequence[FusedStep]) -> None:
        self._dofns = [step.dofn for step in steps]
        self._side_counts = [len(step.sides) for step in steps]

    def default_type_hints(self) -> None:
        """Return none: Beam would take those of `process` for the types of the side inputs."""

    def setup(self) -> None:
        for dofn in self._dofns:
            dofn.setup()

    def start_bundle(self) -> None:
        for dofn in self._dofns:
            dofn.start_bundle()

    def process(self, element: object, *sides: Any) -> Iterator[object]:
        remaining = iter(sides)
        by_step = [list(islice(remaining, count)) for count in self._side_counts]
        yield from self._through(0, element, by_step)

    def _through(self, number: int, element: Any, sides: Sequence[Sequence[Any]]) -> Iterator[Any]:
        is_last = number == len(self._dofns) - 1
        for made in self._dofns[number].process(element, *sides[number]) or ():
            if is_last or isinstance(made, beam.pvalue.TaggedOutput):
                yield made
            else:
                yield from self._through(number + 1, made, sides)

    def finish_bundle(self) -> Iterator[Any]:
        for dofn in self._dofns:
            for made in dofn.finish_bundle() or ():
                if dofn is not self._dofns[-1] and not isinstance(made, beam.pvalue.TaggedOutput):
                    name = type(dofn).__name__
                    raise TypeError(f"{name} gives an element after the last one has passed")
                yield made

    def teardown(self) -> None:
        for dofn in self._dofns:
            dofn.teardown()
