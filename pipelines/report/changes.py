"""What changed since the last snapshot: counts and coverage by both manifests, values where both
are small.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.snapshots.diff import Difference, diff
from pipelines.snapshots.history import HistoryError, named_snapshot
from pipelines.snapshots.manifest import Manifest
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime.sealed import DamagedFileError

MAX_DIFFED_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Moved:
    """A number before and after."""

    name: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Changes:
    """counts: records and pictures; coverage: shares of items with a value; difference: None if it
    is too large.
    """

    run_id: str
    counts: list[Moved]
    coverage: list[Moved]
    difference: Difference | None
    note: str


def changes(snapshot: str, manifest: Manifest, earlier: str | None) -> Changes | None:
    """Compare with an earlier snapshot's folder; None where there is none that can be read."""
    if earlier is None:
        return None
    try:
        before = named_snapshot("", earlier)
    except HistoryError:
        return None
    old, new = before.manifest.counts, manifest.counts
    counts = [
        Moved("records in", old.records_in, new.records_in),
        Moved("items", old.items, new.items),
        Moved("records quarantined", old.records_quarantined, new.records_quarantined),
        Moved("items deleted", old.items_deleted, new.items_deleted),
    ]
    shares = [
        Moved(name, old.known(name) / max(1, old.items), new.known(name) / max(1, new.items))
        for name in new.values
    ]
    difference, note = _difference(before, Snapshot(manifest.run_id, snapshot, manifest))
    return Changes(before.run_id, counts, shares, difference, note)


def _difference(before: Snapshot, after: Snapshot) -> tuple[Difference | None, str]:
    if max(info.manifest.counts.items for info in (before, after)) > MAX_DIFFED_ITEMS:
        return (
            None,
            f"Single values are compared up to {MAX_DIFFED_ITEMS:,} items; `catalog-enrich diff` "
            "compares all.",
        )
    try:
        return diff(before, after), ""
    except DamagedFileError as error:
        return None, f"Single values could not be compared: {error}"
