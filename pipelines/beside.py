"""What is written beside the tables for people and monitors. It never costs a snapshot: what fails is a warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.config import Plan
from pipelines.openmetrics import METRICS, exposition

Manifest = Mapping[str, Any]


def write_beside(snapshot: str, manifest: Manifest, plan: Plan, earlier: str | None) -> list[str]:
    """Write metrics and the report; returns warnings. earlier: folder of the snapshot that was current before."""
    warnings: list[str] = []
    _try("metrics", lambda: write_metrics(snapshot, manifest), warnings)
    return warnings


def write_metrics(snapshot: str, manifest: Manifest) -> None:
    """Write the manifest as OpenMetrics text."""
    path = FileSystems.join(snapshot, METRICS)
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(exposition(manifest).encode())


def _try(what: str, write: Callable[[], object], warnings: list[str]) -> None:
    try:
        write()
    except Exception as error:  # whatever a disk, a library or a strange row brings
        warnings.append(f"the {what} could not be written ({type(error).__name__}: {error}); the tables are whole")
