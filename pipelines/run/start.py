"""How a run begins: the earlier snapshot it continues from, or why every record is rebuilt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.configuration.config import Plan
from pipelines.run.manifest import table_metadata
from pipelines.run.scan import Selection
from pipelines.run.versions import shape_of
from pipelines.snapshots.layout import Layout
from pipelines.snapshots.snapshot import Snapshot, UnusableSnapshotError, read_published
from schemas.table_specs import TABLES
from transforms.tables.build import RunInfo

# A catalog that has grown by more is divided anew.
MAX_GROWTH = 4


@dataclass
class RunState:
    """A run under way.

    earlier: the published snapshot; because: why everything is made anew, where it is.
    """

    plan: Plan
    layout: Layout
    info: RunInfo
    earlier: Snapshot | None
    selection: Selection
    because: list[str]
    warnings: list[str]


def begin(
    plan: Plan, layout: Layout, started: dt.datetime, selection: Selection, warnings: list[str]
) -> RunState:
    """Find out what there is to go on from; warnings are added to."""
    earlier = None
    try:
        earlier = read_published(plan.config.output)
    except UnusableSnapshotError as error:
        warnings.append(f"{error}; everything is made anew")
    if earlier is not None and earlier.manifest.started > started:
        then = f"{earlier.manifest.started:%Y-%m-%dT%H:%M:%SZ}"
        warnings.append(
            f"this machine's clock says {started:%Y-%m-%dT%H:%M:%SZ}, the last run began at "
            f"{then}; set it"
        )
    because = ["there is no snapshot to go on from"]
    if earlier is not None:
        because = [] if selection.is_partial else why_anew(plan, earlier)
        if not _needs_other_buckets(plan, earlier):  # items stay in the buckets that they are in
            plan = replace(plan, buckets=earlier.manifest.buckets)
    return RunState(
        plan,
        layout,
        RunInfo(layout.run_id, started, table_metadata(plan)),
        earlier,
        selection,
        because,
        warnings,
    )


def why_anew(plan: Plan, earlier: Snapshot) -> list[str]:
    """Why a run cannot go on from a snapshot and makes everything anew; empty when it can."""
    if plan.config.reuse.full:
        return ["--full was given"]
    shape, before = shape_of(plan), earlier.manifest.shape
    because = [f"{part} changed" for part in shape if before.get(part) != shape[part]]
    if _needs_other_buckets(plan, earlier):
        because.append(f"{plan.buckets} buckets instead of {earlier.manifest.buckets}")
    because += [f"table {name} is new" for name in TABLES if name not in earlier.tables]
    because += [f"table {name} is gone" for name in sorted(earlier.tables - TABLES.keys())]
    return because + outgrown(plan, earlier, {})


def _needs_other_buckets(plan: Plan, earlier: Snapshot) -> bool:
    had = earlier.manifest.buckets
    return (
        bool(plan.config.buckets and plan.config.buckets != had) or plan.buckets > MAX_GROWTH * had
    )


def outgrown(plan: Plan, earlier: Snapshot, counts: Mapping[str, int]) -> list[str]:
    """Why what is learnt of all items has to be learnt again: too many came, went or changed since
    it was.
    """
    moved = earlier.manifest.since_full + sum(
        counts.get(each, 0) for each in ("new", "changed", "deleted")
    )
    items = max(1, earlier.manifest.counts.items)
    if moved <= plan.config.reuse.refresh_share * items:
        return []
    return [
        f"{moved:,} of {items:,} items came, went or changed since everything was made "
        "(--refresh-share)"
    ]
