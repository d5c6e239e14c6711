"""How a run ends: entries of the manifest, drift, gate, publication."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import msgspec
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.configuration.config import Plan
from pipelines.run.accounting import Account, add_up
from pipelines.run.carry_over import (
    STATISTICS,
    checked_before,
    compared_of,
    keep_deleted,
    keep_pool,
    take_over_files,
)
from pipelines.run.manifest import build_manifest, chosen_encoders
from pipelines.run.start import RunState
from pipelines.run.versions import asked_of, shape_of
from pipelines.run.work import POOL, Delta
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.published import BUCKETS, PublishedSnapshot
from transforms.describe.budget import Usage
from transforms.probes.report import ProbeReport, as_row
from transforms.readers import SplitReport
from transforms.runtime.reports import read_reports, write_json
from transforms.tables.write import BucketReport
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


def conclude(
    state: RunState, dirs: RunDirs, delta: Delta | None, stages: dict[str, dict[str, int]]
) -> dict[str, Any]:
    """Close the account of a run whose stages are done, gate what it wrote, and say so in a
    manifest.
    """
    plan, earlier = state.plan, state.earlier
    splits = read_reports(f"{dirs.reports}/splits.json", SplitReport)
    buckets = read_reports(f"{dirs.reports}/buckets.json", BucketReport)
    usages = read_reports(f"{dirs.reports}/usage.json", Usage) if plan.asks_model else []
    probes = read_reports(f"{dirs.reports}/probes.json", ProbeReport) if plan.learns else []
    reference = read_reports(f"{dirs.reports}/reference.json", SplitReport) if delta is None else []
    if plan.config.reuse.keep_deleted and earlier is not None and not state.selection.is_partial:
        buckets = keep_deleted(plan, state.info, earlier, delta, buckets, dirs)
    gate_began = time.monotonic()
    if delta is None or earlier is None:
        table_checks, found = check_tables(dirs.snapshot, plan.template, buckets, plan.buckets)
    else:
        buckets = sorted(
            [*buckets, *take_over_files(earlier, delta.untouched, dirs.snapshot)], key=_number
        )
        table_checks, found = _check_what_changed(plan, earlier, delta, dirs, buckets)
        if state.selection.is_partial:  # the rest is what it was, whatever the catalog holds by now
            splits = [
                msgspec.convert(row, SplitReport, strict=False)
                for row in earlier.manifest["inputs"]
            ]
    account = add_up(splits, buckets, found, usages)
    drifted, compared_with = _drift(state, dirs, account, found)
    checks = [*check_run(plan.template, account.as_row(), found), *drifted, *table_checks]
    stages = stages | {"gate": {"msecs": round((time.monotonic() - gate_began) * 1000)}}
    published = not any(check.refuses for check in checks)
    write_json(f"{dirs.snapshot}/{BUCKETS}", buckets)
    learnt = {
        "probes": [as_row(report) for report in probes],
        "reference": [asdict(split) for split in reference],
    }
    manifest = build_manifest(plan, state.info, account, splits, buckets, checks, stages, published)
    return manifest | learnt | _reuse(state, dirs, delta) | {"compared_with": compared_with}


def _drift(
    state: RunState, dirs: RunDirs, account: Account, found: Found
) -> tuple[list[CheckResult], str | None]:
    """How far the snapshot is from the last one, and which that is; None where there is none to
    compare with.
    """
    plan, earlier = state.plan, state.earlier
    now = Compared(
        found.distributions,
        account.records_quarantined / max(1, account.records_in),
        _entries(plan),
        chosen_encoders(plan).models,
    )
    write_json(f"{dirs.snapshot}/{STATISTICS}", now.as_row())
    if earlier is None or earlier.manifest["versions"].get("template") != plan.template.name:
        return [], None
    try:
        before = compared_of(earlier)
    except (KeyError, ValueError):  # of an earlier version, or damaged
        return [], None
    drifts = shifts(plan.template.gate, before, now, accepted=plan.config.reuse.accept_drift)
    return check_drift(drifts), earlier.run_id


def _entries(plan: Plan) -> dict[str, str]:
    """Attribute → digest of what decides on its values; what fills them is a part of it where they
    are filled.
    """
    shape = shape_of(plan)
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
        names: list[str] = state.earlier.manifest.get(POOL, [])
        return names
    return keep_pool(dirs) if state.plan.asks_model else []


def _trusted(dirs: RunDirs) -> Any:
    with FileSystems.open(
        f"{dirs.reports}/trusted.json", compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        return msgspec.json.decode(file.read())


def _number(report: BucketReport) -> int:
    return report.bucket


def _check_what_changed(
    plan: Plan, earlier: PublishedSnapshot, delta: Delta, dirs: RunDirs, buckets: list[BucketReport]
) -> Checked:
    """The gate's checks over the buckets that were written; of the others it is known how they
    went.
    """
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
        except KeyError:  # checks have changed since
            pass
    return check_tables(dirs.snapshot, plan.template, buckets, plan.buckets)


def _reuse(state: RunState, dirs: RunDirs, delta: Delta | None) -> dict[str, Any]:
    """What the manifest says of how the snapshot rests on an earlier one."""
    earlier, plan = state.earlier, state.plan
    partly = delta is not None and earlier is not None and state.selection.is_partial
    if partly and earlier is not None:  # most rows are what another configuration made
        shape, asked = earlier.manifest["shape"], earlier.manifest["asked"]
    else:
        shape, asked = shape_of(plan), asked_of(plan)
    moved = 0
    if delta is not None and earlier is not None:
        moved = earlier.manifest["since_full"] + sum(
            delta.counts[each] for each in ("new", "changed", "deleted")
        )
    return {
        "command": state.selection.command,
        "based_on": None if earlier is None else earlier.run_id,
        "made_anew_because": state.because,
        "records": None if delta is None else delta.counts,
        "buckets_written": plan.buckets if delta is None else len(delta.numbers),
        "since_full": moved,
        POOL: _pool(state, dirs, delta),
        "trusted_comparisons": _trusted(dirs) if delta is None else sorted(delta.trusted),
        "shape": shape,
        "asked": asked,
    }
