"""Small reports of a stage's bundles, collected into one JSON file that the launching process
reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam
import msgspec
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

Report = TypeVar("Report")


def write_json(path: str, content: Any) -> None:
    """Write dataclasses and plain values as JSON."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1))


def read_reports(path: str, kind: type[Report]) -> list[Report]:
    """The reports in a file written by CollectReports."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        reports: list[Report] = msgspec.json.decode(file.read(), type=list[kind])  # type: ignore[valid-type]
    return reports


def _write_sorted(reports: Iterable[Any], path: str) -> None:
    write_json(path, sorted(reports, key=repr))


@dataclass(eq=False)
class CollectReports(beam.PTransform):
    """PCollection of small report dataclasses → one JSON list at `path`."""

    path: str

    def expand(self, reports: beam.PCollection) -> beam.PCollection:
        return reports | beam.combiners.ToList() | beam.Map(_write_sorted, self.path)
