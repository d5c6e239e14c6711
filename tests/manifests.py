"""Manifests for tests that need no run."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pipelines.snapshots.manifest import CheckEntry, Counts, Manifest

STARTED = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def make_manifest(run_id: str = "r1", counts: Counts | None = None, **changes: Any) -> Manifest:
    """A published manifest of nothing, but for what is changed."""
    fields: dict[str, Any] = {
        "published": True,
        "started": STARTED,
        "finished": STARTED + dt.timedelta(seconds=74),
        "seconds": 74.0,
        "workers": 2,
        "buckets": 1,
        "inputs": [],
        "checks": [],
        "files": [],
        "since_full": 0,
        "trusted_comparisons": [],
    }
    return Manifest(run_id=run_id, counts=counts or make_counts(), **(fields | changes))


def make_counts(**changes: Any) -> Counts:
    """Counts of nothing, but for what is changed."""
    fields: dict[str, Any] = {"items": 0, "records_quarantined": 0, "values": {}}
    return Counts(**(fields | changes))


def make_check(**changes: Any) -> CheckEntry:
    """A failed check of the number of items, but for what is changed."""
    fields: dict[str, Any] = {
        "check": "the snapshot holds items",
        "column": "run.items",
        "severity": "critical",
        "expected": {"min_value": 100},
        "passed": False,
        "values": 1,
        "unexpected": 1,
        "examples": ["6"],
    }
    return CheckEntry(**(fields | changes))
