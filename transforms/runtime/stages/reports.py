"""Small results of a stage's bundles, gathered: into one element, or into a JSON file that the
launching process reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import apache_beam as beam

from transforms.runtime.json_files import write_json

_STARTS: WeakKeyDictionary[beam.Pipeline, beam.PCollection[bytes]] = WeakKeyDictionary()


def _start(pipeline: beam.Pipeline) -> beam.PCollection[bytes]:
    """Return a pipeline's collection of one element, from which all that is given comes.

    Each of its own would be a source, which an engine runs as a task. What waits for side inputs
    has to have a source of its own: Beam's local runner would have it wait for itself.
    """
    if pipeline not in _STARTS:
        _STARTS[pipeline] = pipeline | "Start" >> beam.Impulse()
    return _STARTS[pipeline]


@dataclass(eq=False)
class Given(beam.PTransform):
    """Elements that are known when the graph is built."""

    elements: Sequence[Any]

    def expand(self, pipeline: beam.Pipeline | beam.pvalue.PBegin) -> beam.PCollection[Any]:
        root = pipeline if isinstance(pipeline, beam.Pipeline) else pipeline.pipeline
        return _start(root) | "Elements" >> beam.FlatMap(_given, self.elements)


def _given(_: bytes, elements: Sequence[Any]) -> Sequence[Any]:
    return elements


def named(name: str, pairs: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """Yield what is called so among pairs of names and values."""
    return (value for known, value in pairs if known == name)


@dataclass(eq=False)
class Gather(beam.PTransform):
    """PCollections of few, small elements → one element, `function` of them all, in any order.

    Called also where there are none. Two steps of a graph, where a combiner with a default takes
    ten: what one worker can hold needs no tree of partial sums.
    """

    function: Callable[[Iterable[Any]], Any]

    def expand(
        self, elements: beam.PCollection[Any] | tuple[beam.PCollection[Any], ...]
    ) -> beam.PCollection[Any]:
        # Not flattened: Beam's Java runners cannot take some flattened collections as side inputs.
        several = elements if isinstance(elements, tuple) else (elements,)
        call = beam.Map(_call, self.function, *map(beam.pvalue.AsIter, several))
        return several[0].pipeline | "Once" >> beam.Impulse() | "All" >> call


def _call(_: bytes, function: Callable[[Iterable[Any]], Any], *elements: Iterable[Any]) -> Any:
    return function(chain.from_iterable(elements))


@dataclass(eq=False)
class WriteReports(beam.PTransform):
    """PCollections of small reports, by path → one JSON list at each path, in an order of its own.

    One stage writes them all, at the end: stages of their own would be tasks of an engine.
    """

    paths: Sequence[str]

    def expand(self, reports: tuple[beam.PCollection[Any], ...]) -> beam.PCollection[None]:
        """Write collections; each belongs to the path of the same place, which may come again."""
        call = beam.Map(_write_lists, self.paths, *map(beam.pvalue.AsIter, reports))
        return reports[0].pipeline | "Once" >> beam.Impulse() | "Write" >> call


def _write_lists(_: bytes, paths: Sequence[str], *reports: Iterable[Any]) -> None:
    by_path: dict[str, list[Any]] = {path: [] for path in paths}
    for path, of_path in zip(paths, reports, strict=True):
        by_path[path] += of_path
    for path, listed in by_path.items():
        write_json(path, sorted(listed, key=repr))
