"""The begin of a run: the earlier snapshot it continues from, or why every record is rebuilt."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.configuration.plan import Plan
from pipelines.run.manifest import chosen_encoders, table_metadata
from pipelines.run.selection import Selection
from pipelines.run.vectors.changes import VectorChanges, find_vector_changes
from pipelines.run.vectors.contracts import continued, refuse_changed
from pipelines.run.vectors.endpoints import ask_endpoints, refuse_moved
from pipelines.run.versions import snapshot_versions
from pipelines.snapshots.history import snapshots_without_pointer
from pipelines.snapshots.layout import POINTER, Layout
from pipelines.snapshots.snapshot import (
    OutdatedSnapshotError,
    Snapshot,
    UnusableSnapshotError,
    read_published,
)
from schemas.tables.specs import holds_vectors, tables_of
from transforms.models.spaces import VectorSpace
from transforms.runtime import storage
from transforms.runtime.sealed import DamagedFileError
from transforms.tables.build import Encoders, RunInfo

# A catalog that has grown by more is divided into buckets again.
MAX_GROWTH = 4


class LostItemsError(DamagedFileError):
    """Items that are kept though their records are gone would be lost with a damaged snapshot."""

    remedy = (
        "items whose records have left the catalog are in it alone, so nothing was made "
        "(--keep-deleted): `catalog-enrich rollback OUTPUT --to RUN_ID` publishes a snapshot that "
        "is whole, and a run without --keep-deleted goes on without these items"
    )


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run before it has read the catalog.

    earlier: the published snapshot, None where there is none.
    rebuild_reasons: why the run cannot continue from it; empty where it can.
    warnings: for whoever started the run; the holder of the output's lock adds to them.
    encoders: of the vectors that are made, with the canaries of tables that go on as they were.
    vectors: tables of them that are rebuilt from all items, where the run continues.
    """

    plan: Plan
    layout: Layout
    info: RunInfo
    earlier: Snapshot | None
    selection: Selection
    rebuild_reasons: tuple[str, ...]
    warnings: list[str]
    encoders: Encoders
    vectors: VectorChanges


def begin(
    plan: Plan, layout: Layout, started: dt.datetime, selection: Selection, warnings: list[str]
) -> RunState:
    """Find the snapshot that a run continues from, if it can; adds to `warnings`.

    Raises ConfigError where an encoder changed under its name, or its endpoint does not answer as
    it should; DamagedFileError where items whose records have left the catalog would be lost with
    the snapshot that keeps them, or a part of a damaged one was to be made.
    """
    earlier = _published(plan, selection, warnings)
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
    reasons, vectors = ["there is no snapshot to continue from"], VectorChanges()
    if earlier is not None:
        if not selection.is_partial and not earlier.doubts:
            vectors = find_vector_changes(plan, earlier, encoders.contracts)
        reasons = [] if selection.is_partial else find_rebuild_reasons(plan, earlier, vectors)
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
        vectors,
    )


def _published(plan: Plan, selection: Selection, warnings: list[str]) -> Snapshot | None:
    """Return the published snapshot, and say why where everything is rebuilt though there is one.

    Raises DamagedFileError as `begin` does.
    """
    try:
        earlier = read_published(plan.config.output)
    except UnusableSnapshotError as error:
        if selection.is_partial:
            raise
        if plan.config.reuse.keep_deleted and not isinstance(error, OutdatedSnapshotError):
            raise LostItemsError(str(error)) from error
        warnings.append(f"{error}; everything is rebuilt")
        return None
    if earlier is None:
        _tell_of_lost_pointer(plan, warnings)
    elif earlier.doubts and selection.is_partial:
        raise DamagedFileError(earlier.doubts[0])
    else:
        warnings += [f"{doubt}; everything is rebuilt" for doubt in earlier.doubts]
        warnings += [
            f"{fault}; what is made now is not compared with {earlier.run_id}"
            for fault in earlier.lost_statistics
        ]
    return earlier


def _tell_of_lost_pointer(plan: Plan, warnings: list[str]) -> None:
    """Say that snapshots lie there which no pointer names. Raises LostItemsError."""
    left = snapshots_without_pointer(plan.config.output)
    if not left:
        return
    fault = f"{storage.join(plan.config.output, POINTER)} is missing, and snapshots lie there"
    if plan.config.reuse.keep_deleted and any(info.manifest.counts.items_deleted for info in left):
        raise LostItemsError(fault)
    warnings.append(f"{fault}; everything is rebuilt")


def _made(plan: Plan, selection: Selection) -> list[VectorSpace]:
    """Return the spaces that a run may make vectors of."""
    is_embedding = not selection.is_partial or selection.embed
    return [space for space in plan.spaces if is_embedding or space.modality == "image"]


def _continued(plan: Plan, encoders: Encoders, earlier: Snapshot, selection: Selection) -> Encoders:
    """Return the encoders with the canaries that are kept of their tables. Raises ConfigError."""
    now, before = encoders.contracts, {} if earlier.doubts else earlier.contracts
    refuse_changed(now, before, accepted=plan.config.reuse.full)
    if selection.is_partial and not selection.embed:  # what is not made again stays what it is
        now = {**now, **{table: each for table, each in before.items() if each.of == "text"}}
    return replace(encoders, contracts=continued(now, before))


def find_rebuild_reasons(plan: Plan, earlier: Snapshot, vectors: VectorChanges) -> list[str]:
    """Return why a run cannot continue from a snapshot and rebuilds everything; empty when it
    can.

    vectors: that change; alone they are no reason, unless the items' texts change with them.
    """
    if plan.config.reuse.full:
        return ["--full was given"]
    if earlier.doubts:
        return [*earlier.doubts]
    versions, before = snapshot_versions(plan), earlier.manifest.shape
    reasons = [f"{part} changed" for part in versions if before.get(part) != versions[part]]
    if _needs_other_buckets(plan, earlier):
        reasons.append(f"{plan.buckets} buckets instead of {earlier.manifest.buckets}")
    tables = [name for name in tables_of(plan.template.spaces) if not holds_vectors(name)]
    had = sorted(name for name in earlier.tables if not holds_vectors(name))
    reasons += [f"table {name} is new" for name in tables if name not in had]
    reasons += [f"table {name} is gone" for name in had if name not in tables]
    reasons += outgrown(plan, earlier, {})
    return [*reasons, *vectors.reasons] if reasons or vectors.moves_texts else []


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
