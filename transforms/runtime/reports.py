"""Small results of a stage's bundles, gathered: into one element, or into a JSON file that the
launching process reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from transforms.runtime.json_files import write_json


@dataclass(eq=False)
class Gather(beam.PTransform):
    """PCollection of few, small elements → one element, `function` of them all, in any order.

    Called also where there are none. Two steps of a graph, where a combiner with a default takes
    ten: what one worker can hold needs no tree of partial sums.
    """

    function: Callable[[Iterable[Any]], Any]

    def expand(self, elements: beam.PCollection[Any]) -> beam.PCollection[Any]:
        call = beam.Map(_call, self.function, beam.pvalue.AsIter(elements))
        return elements.pipeline | "Once" >> beam.Impulse() | "All" >> call


def _call(_: bytes, function: Callable[[Iterable[Any]], Any], elements: Iterable[Any]) -> Any:
    return function(elements)


@dataclass(frozen=True)
class WriteSorted:
    """Writes elements as one JSON list, in an order of their own. key: None for natural order."""

    path: str
    key: Callable[[Any], Any] | None = None

    def __call__(self, elements: Iterable[Any]) -> None:
        """Write the list."""
        write_json(self.path, sorted(elements, key=self.key))


@dataclass(eq=False)
class CollectReports(beam.PTransform):
    """PCollection of small report dataclasses → one JSON list at `path`."""

    path: str

    def expand(self, reports: beam.PCollection[Any]) -> beam.PCollection[None]:
        return reports | Gather(WriteSorted(self.path, key=repr))
