"""Artifacts beside the tables: pages for people, metrics for monitors.

None of them costs a snapshot: one that cannot be written is a warning.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.configuration.plan import Plan
from pipelines.monitoring.openmetrics import METRICS, exposition
from pipelines.report import write_run_report
from pipelines.report.data_docs import DATA_DOCS, data_docs_page
from pipelines.snapshots.manifest import Manifest
from schemas.secrets import hidden
from transforms.runtime import storage


def write_artifacts(
    snapshot: str, manifest: Manifest, plan: Plan, earlier: str | None
) -> list[str]:
    """Write metrics, Data Docs and the report; returns warnings.

    earlier: folder of the snapshot that was current before.
    """
    warnings: list[str] = []
    _try("metrics", lambda: write_text(snapshot, METRICS, exposition(manifest)), warnings)
    if plan.config.report:
        root, limits = plan.config.images_root or None, plan.config.image_limits
        # The report links to the Data Docs if there are any.
        _try(
            "Data Docs", lambda: write_text(snapshot, DATA_DOCS, data_docs_page(manifest)), warnings
        )
        _try(
            "report", lambda: write_run_report(snapshot, manifest, root, limits, earlier), warnings
        )
    return warnings


def write_text(snapshot: str, name: str, text: str) -> str:
    """Write a text file without secrets beside the tables; returns its path."""
    path = storage.join(snapshot, *name.split("/"))
    storage.write_bytes(path, hidden(text).encode("utf-8", "backslashreplace"))
    return path


def _try(what: str, write: Callable[[], object], warnings: list[str]) -> None:
    try:
        write()
    except Exception as error:  # whatever a disk, a library or a strange row brings
        warnings.append(
            f"the {what} could not be written ({type(error).__name__}: {error}); the tables are "
            "whole"
        )
