"""The begin of a run: the earlier snapshot it continues from, or why every record is rebuilt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.configuration.config import Plan
from pipelines.run.endpoints import ask_endpoints, refuse_moved
from pipelines.run.manifest import chosen_encoders, table_metadata
from pipelines.run.scan import Selection
from pipelines.run.vector_contracts import continued, refuse_changed
from pipelines.run.versions import snapshot_versions, vector_versions, vector_versions_before
from pipelines.snapshots.layout import Layout
from pipelines.snapshots.snapshot import Snapshot, UnusableSnapshotError, read_published
from schemas.tables.specs import tables_of
from transforms.models.spaces import VectorSpace
from transforms.tables.build import Encoders, RunInfo

# A catalog that has grown by more is divided into buckets again.
MAX_GROWTH = 4


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run before it has read the catalog.

    earlier: the published snapshot, None where there is none.
    rebuild_reasons: why the run cannot continue from it; empty where it can.
    warnings: for whoever started the run; the holder of the output's lock adds to them.
    encoders: of the vectors that are made, with the canaries of tables that go on as they were.
    """

    plan: Plan
    layout: Layout
    info: RunInfo
    earlier: Snapshot | None
    selection: Selection
    rebuild_reasons: tuple[str, ...]
    warnings: list[str]
    encoders: Encoders


def begin(
    plan: Plan, layout: Layout, started: dt.datetime, selection: Selection, warnings: list[str]
) -> RunState:
    """Find the snapshot that a run continues from, if it can; adds to `warnings`.

    Raises ConfigError where an encoder changed under its name, or its endpoint does not answer as
    it should.
    """
    earlier = None
    try:
        earlier = read_published(plan.config.output)
    except UnusableSnapshotError as error:
        warnings.append(f"{error}; everything is rebuilt")
    if earlier is not None and earlier.manifest.started > started:
        then = f"{earlier.manifest.started:%Y-%m-%dT%H:%M:%SZ}"
        warnings.append(
            f"this machine's clock says {started:%Y-%m-%dT%H:%M:%SZ}, the last run began at "
            f"{then}; set it"
        )
    plan = ask_endpoints(plan, earlier)
    encoders = chosen_encoders(plan)
    if earlier is not None:
        encoders = _continued(plan, encoders, earlier, selection)
        refuse_moved(plan, _made(plan, selection), encoders.contracts)
    reasons = ["there is no snapshot to continue from"]
    if earlier is not None:
        reasons = [] if selection.is_partial else find_rebuild_reasons(plan, earlier)
        if not _needs_other_buckets(plan, earlier):  # items stay in the buckets that they are in
            plan = replace(plan, buckets=earlier.manifest.buckets)
    return RunState(
        plan,
        layout,
        RunInfo(layout.run_id, started, table_metadata(plan)),
        earlier,
        selection,
        tuple(reasons),
        warnings,
        encoders,
    )


def _made(plan: Plan, selection: Selection) -> list[VectorSpace]:
    """Return the spaces that a run may make vectors of."""
    is_embedding = not selection.is_partial or selection.embed
    return [space for space in plan.spaces if is_embedding or space.modality == "image"]


def _continued(plan: Plan, encoders: Encoders, earlier: Snapshot, selection: Selection) -> Encoders:
    """Return the encoders with the canaries that are kept of their tables. Raises ConfigError."""
    now, before = encoders.contracts, earlier.contracts
    refuse_changed(now, before, accepted=plan.config.reuse.full)
    if selection.is_partial and not selection.embed:  # what is not made again stays what it is
        now = {**now, **{table: each for table, each in before.items() if each.of == "text"}}
    return replace(encoders, contracts=continued(now, before))


def find_rebuild_reasons(plan: Plan, earlier: Snapshot) -> list[str]:
    """Return why a run cannot continue from a snapshot and rebuilds everything; empty when it
    can.
    """
    if plan.config.reuse.full:
        return ["--full was given"]
    versions, before = snapshot_versions(plan), earlier.manifest.shape
    reasons = [f"{part} changed" for part in versions if before.get(part) != versions[part]]
    if _needs_other_buckets(plan, earlier):
        reasons.append(f"{plan.buckets} buckets instead of {earlier.manifest.buckets}")
    tables = tables_of(plan.template.spaces)
    reasons += [f"table {name} is new" for name in tables if name not in earlier.tables]
    reasons += [f"table {name} is gone" for name in sorted(earlier.tables - tables.keys())]
    same = same_spaces(plan, earlier)
    reasons += [
        f"vectors {space.name} changed"
        for space in plan.spaces
        if space.spec.table in earlier.tables and space.name not in same
    ]
    return reasons + outgrown(plan, earlier, {})


def same_spaces(plan: Plan, earlier: Snapshot) -> frozenset[str]:
    """Return the spaces whose vectors in a snapshot are what this plan's encoders would give."""
    before = vector_versions_before(earlier.manifest.shape)
    return frozenset(name for name, now in vector_versions(plan).items() if before.get(name) == now)


def _needs_other_buckets(plan: Plan, earlier: Snapshot) -> bool:
    had = earlier.manifest.buckets
    return (
        bool(plan.config.buckets and plan.config.buckets != had) or plan.buckets > MAX_GROWTH * had
    )


def outgrown(plan: Plan, earlier: Snapshot, counts: Mapping[str, int]) -> list[str]:
    """Return why what is learnt of all items has to be learnt again: too many items were added,
    removed or changed since the last full build. At most one reason.
    """
    moved = (earlier.manifest.since_full or 0) + sum(
        counts.get(each, 0) for each in ("new", "changed", "deleted")
    )
    items = max(1, earlier.manifest.counts.items)
    if moved <= plan.config.reuse.refresh_share * items:
        return []
    return [
        f"{moved:,} of {items:,} items were added, removed or changed since the last full build "
        "(--refresh-share)"
    ]
