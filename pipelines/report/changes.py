"""What changed since the last snapshot: counts and coverage by both manifests, values where both
are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.snapshots.diff import Difference, diff
from pipelines.snapshots.history import HistoryError, SnapshotInfo, named_snapshot
from transforms.runtime.parquet import DamagedFileError

MAX_DIFFED_ITEMS = 20_000
UNKNOWN = "unknown:"


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


def known(values: Mapping[str, int]) -> int:
    """Items with a value, of a manifest's counts of one attribute."""
    return sum(number for source, number in values.items() if not source.startswith(UNKNOWN))


def changes(snapshot: str, manifest: Mapping[str, Any], earlier: str | None) -> Changes | None:
    """Compare with an earlier snapshot's folder; None where there is none that can be read."""
    if earlier is None:
        return None
    try:
        before = named_snapshot("", earlier)
    except HistoryError:
        return None
    old, new = before.manifest["counts"], manifest["counts"]
    names = [
        name
        for name in ("records_in", "items", "records_quarantined", "items_deleted")
        if name in old
    ]
    counts = [Moved(name.replace("_", " "), old[name], new.get(name, 0)) for name in names]
    shares = [
        Moved(
            name,
            known(old["values"].get(name, {})) / max(1, old["items"]),
            known(values) / max(1, new["items"]),
        )
        for name, values in new["values"].items()
    ]
    difference, note = _difference(
        before, SnapshotInfo(manifest["run_id"], snapshot, False, manifest)
    )
    return Changes(before.run_id, counts, shares, difference, note)


def _difference(before: SnapshotInfo, after: SnapshotInfo) -> tuple[Difference | None, str]:
    if max(info.manifest["counts"]["items"] for info in (before, after)) > MAX_DIFFED_ITEMS:
        return (
            None,
            f"Single values are compared up to {MAX_DIFFED_ITEMS:,} items; `catalog-enrich diff` "
            "compares all.",
        )
    try:
        return diff(before, after), ""
    except DamagedFileError as error:
        return None, f"Single values could not be compared: {error}"
