"""Which tables of vectors a run rebuilds, or drops, though their items stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipelines.configuration.plan import Plan
from pipelines.run.versions import vector_versions, vector_versions_before
from pipelines.snapshots.snapshot import Snapshot
from schemas.sections.vectors import vector_table
from schemas.tables.specs import holds_vectors, table_spec, tables_of
from transforms.vectors.contract import VectorContract


@dataclass(frozen=True, slots=True)
class VectorChanges:
    """How the tables of vectors differ from those of the snapshot that a run continues from.

    made: spaces whose tables are rebuilt; gone: spaces that are no more.
    reasons: why, in words; empty where every table is as it was.
    moves_texts: whether the enriched text of the items is composed otherwise, so that more changes
    than vectors.
    """

    made: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    moves_texts: bool = False


def find_vector_changes(
    plan: Plan, earlier: Snapshot, contracts: Mapping[str, VectorContract]
) -> VectorChanges:
    """Compare the spaces of a plan with those of a snapshot. contracts: of the plan, by table."""
    tables = tables_of(plan.template.spaces)
    new = [name for name in tables if holds_vectors(name) and name not in earlier.tables]
    gone = sorted(filter(holds_vectors, earlier.tables - tables.keys()))
    same = same_spaces(plan, earlier)
    added = {tables[name].space for name in new}
    lost = {table_spec(name).space for name in gone}
    described_anew = _described_anew(earlier, contracts)
    moved = [
        space.name
        for space in plan.spaces
        if vector_table(space.name) not in new
        and (space.name not in same or vector_table(space.name) in described_anew)
    ]
    # With its chunks a table is described otherwise: that is no further reason.
    changed = [name for name in moved if name not in same or name not in added | lost]
    return VectorChanges(
        made=frozenset([*moved, *added]),
        gone=frozenset(lost) - {space.name for space in plan.spaces},
        reasons=(
            *(f"table {name} is new" for name in new),
            *(f"table {name} is gone" for name in gone),
            *(f"vectors {name} changed" for name in changed),
        ),
        moves_texts="text" in moved and not _composes_alike(earlier, contracts),
    )


def _described_anew(earlier: Snapshot, contracts: Mapping[str, VectorContract]) -> Collection[str]:
    """Return the tables whose files say something else of their vectors than is true today."""
    return {
        table
        for table, before in earlier.contracts.items()
        if table in contracts and contracts[table].digest != before.digest
    }


def _composes_alike(earlier: Snapshot, contracts: Mapping[str, VectorContract]) -> bool:
    """Tell whether the enriched text, which the space `text` names the parts of, is the same."""
    before = earlier.contracts.get(vector_table("text"))
    return before is not None and before.parts == contracts[vector_table("text")].parts


def same_spaces(plan: Plan, earlier: Snapshot) -> frozenset[str]:
    """Return the spaces whose vectors in a snapshot are what this plan's encoders would give."""
    before = vector_versions_before(earlier.manifest.shape)
    return frozenset(name for name, now in vector_versions(plan).items() if before.get(name) == now)
