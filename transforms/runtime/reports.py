"""Small reports of a stage's bundles, collected into one JSON file that the launching process
reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam
import msgspec

from transforms.runtime import storage

Report = TypeVar("Report")


def write_json(path: str, content: Any) -> None:
    """Write dataclasses and plain values as JSON."""
    storage.write_bytes(path, msgspec.json.format(msgspec.json.encode(content), indent=1))


def read_json(path: str) -> Any:
    """Return what a JSON file holds, as plain values."""
    return msgspec.json.decode(storage.read_bytes(path))


def read_reports(path: str, kind: type[Report]) -> list[Report]:
    """Return the reports in a file written by CollectReports."""
    reports: list[Report] = msgspec.json.decode(
        storage.read_bytes(path),
        type=list[kind],  # type: ignore[valid-type]
    )
    return reports


def _write_sorted(reports: Iterable[Any], path: str) -> None:
    write_json(path, sorted(reports, key=repr))


@dataclass(eq=False)
class CollectReports(beam.PTransform):
    """PCollection of small report dataclasses → one JSON list at `path`."""

    path: str

    def expand(self, reports: beam.PCollection[Any]) -> beam.PCollection[None]:
        return reports | beam.combiners.ToList() | beam.Map(_write_sorted, self.path)
