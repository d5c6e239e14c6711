"""How a run ends: what it wrote is counted, compared with the snapshot before, and gated."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import msgspec

from pipelines.configuration.plan import Plan
from pipelines.run.accounting import add_up, encoded_by_endpoints, run_row
from pipelines.run.carry_over import (
    checked_before,
    compared_of,
    digests_beside,
    keep_deleted,
    keep_pool,
    take_over_files,
)
from pipelines.run.graph.context import canary_folder
from pipelines.run.manifest import Ancestry, Results, build_manifest, chosen_encoders
from pipelines.run.start import RunState
from pipelines.run.vectors.contracts import disagreements, misdescribed, proven
from pipelines.run.vectors.revision import revised_buckets, revised_file
from pipelines.run.versions import asked_of, snapshot_versions, vector_shape
from pipelines.run.work import Delta, Made
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.manifest import Counts, Manifest
from pipelines.snapshots.snapshot import BUCKETS, POOL, STATISTICS, Snapshot
from transforms.describe.usage import Usage
from transforms.items import text
from transforms.probes.report import ProbeReport, below_snapshot
from transforms.readers import SplitReport
from transforms.runtime import storage
from transforms.runtime.json_files import read_reports, write_json
from transforms.runtime.sealed import DamagedFileError
from transforms.tables.bucket_report import BucketReport
from transforms.tables.finished import Revised
from transforms.validation.distributions import entry_digest
from transforms.validation.drift import Compared, shifts
from transforms.validation.frames import Found
from transforms.validation.gate import (
    Checked,
    CheckResult,
    check_drift,
    check_run,
    check_tables,
    replaced,
)
from transforms.vectors.contract import write_contracts
from transforms.vectors.stage import read_canary_reports


def conclude(state: RunState, dirs: RunDirs, made: Made) -> Manifest:
    """Count what a run has written, gate it, and return the manifest that says how both went."""
    plan, earlier, delta = state.plan, state.earlier, made.delta
    splits = read_reports(f"{dirs.reports}/splits.json", SplitReport)
    buckets = read_reports(f"{dirs.reports}/buckets.json", BucketReport)
    usages = read_reports(f"{dirs.reports}/usage.json", Usage) if plan.asks_model else []
    probes = read_reports(f"{dirs.reports}/probes.json", ProbeReport) if plan.learns else []
    reads_reference = delta is None and plan.reference_splits
    reference = (
        read_reports(f"{dirs.reports}/reference.json", SplitReport) if reads_reference else []
    )
    # Tables of vectors that a run which continues has made of all items.
    is_revised = delta is not None and bool(state.vectors.reasons)
    if is_revised:
        buckets = [each.report for each in revised_buckets(plan, buckets, dirs)]
    canaries = read_canary_reports(canary_folder(dirs))
    contracts = proven(state.encoders.contracts, canaries)
    encoders = replace(state.encoders, contracts=contracts)
    if plan.config.reuse.keep_deleted and earlier is not None and not state.selection.is_partial:
        buckets = keep_deleted(replace(state, encoders=encoders), earlier, delta, buckets, dirs)
    gate_began = time.monotonic()
    if delta is None or earlier is None:
        table_checks, found = check_tables(dirs.snapshot, plan.template, buckets, plan.buckets)
    else:
        left = [report for report in earlier.reports if report.bucket in set(delta.untouched)]
        taken = list(revised_buckets(plan, left, dirs)) if is_revised else [*map(Revised, left)]
        take_over_files(earlier, taken, dirs.snapshot)
        buckets = sorted([*buckets, *(each.report for each in taken)], key=_number)
        if is_revised:  # every bucket has a table that is new to the gate, or lacks one
            table_checks, found = check_tables(dirs.snapshot, plan.template, buckets, plan.buckets)
        else:
            table_checks, found = _check_what_changed(plan, earlier, delta, dirs, buckets)
        if state.selection.is_partial:  # the rest is what it was, whatever the catalog holds by now
            splits = earlier.manifest.inputs
    for problem in disagreements(contracts, canaries):
        found.faults["canaries-agree"].add(problem)
    for problem in misdescribed(contracts, found.described):
        found.faults["vectors-described"].add(problem)
    counts = msgspec.structs.replace(
        add_up(splits, buckets, found, usages),
        encoded=encoded_by_endpoints(made.stages, plan.config.budget.prices),
    )
    drift_checks, compared_with = _drift(state, dirs, counts, found)
    checks = [*check_run(plan.template, run_row(counts), found), *drift_checks, *table_checks]
    stages = made.stages | {"gate": {"msecs": round((time.monotonic() - gate_began) * 1000)}}
    write_json(f"{dirs.snapshot}/{BUCKETS}", buckets)
    described = write_contracts(dirs.snapshot, contracts)
    results = Results(
        counts,
        splits,
        reference,
        buckets,
        checks,
        [below_snapshot(report) for report in probes],
        stages,
        made.distributions,
        hashlib.sha256(described).hexdigest(),
    )
    ancestry = _ancestry(state, dirs, made, compared_with)
    beside = [BUCKETS, STATISTICS, *(f"{POOL}/{name}" for name in ancestry["pool"])]
    manifest = build_manifest(plan, state.info, results, ancestry)
    return msgspec.structs.replace(manifest, beside=digests_beside(dirs.snapshot, beside))


def _drift(
    state: RunState, dirs: RunDirs, counts: Counts, found: Found
) -> tuple[list[CheckResult], str | None]:
    """Return how far the snapshot is from the last one, and which that is; None where there is none
    to compare with.
    """
    plan, earlier = state.plan, state.earlier
    now = Compared(
        found.distributions,
        counts.records_quarantined / max(1, counts.records_in),
        _entries(plan),
        _vectors_by(plan),
    )
    write_json(f"{dirs.snapshot}/{STATISTICS}", now.as_row())
    if earlier is None or earlier.manifest.versions.get("template") != plan.template.name:
        return [], None
    try:
        before = compared_of(earlier)
    except KeyError:  # of an earlier version
        return [], None
    except DamagedFileError:  # which the run said when it began
        return [], None
    drifts = shifts(plan.template.gate, before, now, accepted=plan.config.reuse.accept_drift)
    return check_drift(drifts), earlier.run_id


def _vectors_by(plan: Plan) -> dict[str, str]:
    """Space → what makes its vectors: the encoder and, of texts, how they are composed.

    Only vectors that were made alike are compared.
    """
    models = chosen_encoders(plan).models
    composed = {space.name for space in plan.spaces if space.modality == "text"}
    return {
        name: f"{model}, texts {text.VERSION}" if name in composed else model
        for name, model in models.items()
    }


def _entries(plan: Plan) -> dict[str, str]:
    """Attribute → digest of what decides on its values; what fills them is a part of it where they
    are filled.
    """
    shape = snapshot_versions(plan)
    filled_by = [
        shape[part]
        for part in ("language model", "tagger", "image encoder", "filling", "reference")
    ]
    return {
        attribute.name: entry_digest(attribute, filled_by if attribute.fill else ())
        for attribute in plan.template.attributes
    }


def _pool(state: RunState, dirs: RunDirs, delta: Delta | None) -> list[str]:
    if delta is not None and state.earlier is not None:
        return state.earlier.manifest.pool
    return keep_pool(dirs) if state.plan.asks_model else []


def _trusted(dirs: RunDirs) -> list[tuple[str, str]]:
    data = storage.read_bytes(f"{dirs.reports}/trusted.json")
    return msgspec.json.decode(data, type=list[tuple[str, str]])


def _number(report: BucketReport) -> int:
    return report.bucket


def _check_what_changed(
    plan: Plan, earlier: Snapshot, delta: Delta, dirs: RunDirs, buckets: list[BucketReport]
) -> Checked:
    """Check the buckets that were written; of the others it is known how they went."""
    if set(delta.base.files) == set(delta.numbers):  # none was damaged
        try:
            before = checked_before(earlier, plan.template)
            taken_out = check_tables(
                earlier.path, plan.template, earlier.reports, plan.buckets, delta.numbers
            )
            put_in = check_tables(
                dirs.snapshot, plan.template, buckets, plan.buckets, delta.numbers
            )
            return replaced(before, taken_out, put_in)
        except (KeyError, DamagedFileError):  # checks have changed since, or nobody knows
            pass
    return check_tables(dirs.snapshot, plan.template, buckets, plan.buckets)


def _written(state: RunState, delta: Delta, dirs: RunDirs) -> set[int]:
    """Return the buckets of which a run that continued has written a file."""
    revised = read_reports(revised_file(dirs), Revised) if state.vectors.reasons else []
    return {*delta.numbers, *(each.report.bucket for each in revised if each.written)}


def _ancestry(state: RunState, dirs: RunDirs, made: Made, compared_with: str | None) -> Ancestry:
    """Return how the snapshot rests on the earlier one."""
    earlier, plan, delta = state.earlier, state.plan, made.delta
    shape, asked, since_full = snapshot_versions(plan) | vector_shape(plan), asked_of(plan), 0
    if delta is not None and earlier is not None:
        if state.selection.is_partial:  # most rows are what another configuration made
            shape, asked = earlier.manifest.shape, earlier.manifest.asked
        since_full = (earlier.manifest.since_full or 0) + sum(
            delta.counts[each] for each in ("new", "changed", "deleted")
        )
    return Ancestry(
        command=state.selection.command,
        based_on=None if earlier is None else earlier.run_id,
        made_anew_because=list(made.rebuild_reasons),
        vectors_anew_because=[] if delta is None else list(state.vectors.reasons),
        records=None if delta is None else delta.counts,
        buckets_written=plan.buckets if delta is None else len(_written(state, delta, dirs)),
        since_full=since_full,
        pool=_pool(state, dirs, delta),
        trusted_comparisons=_trusted(dirs) if delta is None else sorted(delta.trusted),
        shape=shape,
        asked=asked,
        compared_with=compared_with,
    )
