"""A run from beginning to end: what is new is found, made, joined with what stays, gated, and published."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.configuration.config import Plan
from pipelines.configuration.runners import in_one_process, new_pipeline
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.metrics import stage_distributions, stage_metrics
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.accounting import Account, add_up
from pipelines.run.artifacts import write_beside
from pipelines.run.carry_over import (
    STATISTICS,
    carry_of,
    checked_before,
    compared_of,
    earlier_probes,
    earlier_rows,
    keep_deleted,
    keep_pool,
    take_over_files,
    take_over_pool,
    take_over_probes,
)
from pipelines.run.graph import build_delta_graph, build_graph, build_reading
from pipelines.run.manifest import build_manifest, chosen_encoders, table_metadata
from pipelines.run.scan import Selection, find_delta
from pipelines.run.versions import asked_of, shape_of
from pipelines.run.work import POOL, Delta, Places
from pipelines.snapshots.history import prune, remove_leftovers
from pipelines.snapshots.layout import Layout, new_run_id
from pipelines.snapshots.locks import output_lock
from pipelines.snapshots.published import BUCKETS, EarlierSnapshot, UnusableSnapshotError, read_published
from transforms.describe.budget import Usage
from transforms.probes.learn import ProbeReport, as_row
from transforms.readers import SplitReport
from transforms.runtime.reports import read_reports, write_json
from transforms.tables.build import RunInfo
from transforms.tables.write import BucketReport
from transforms.validation.distributions import entry_digest
from transforms.validation.drift import Compared, shifts
from transforms.validation.frames import Found
from transforms.validation.gate import Checked, CheckResult, check_drift, check_run, check_tables, replaced

# A catalog that has grown by more is divided anew.
MAX_GROWTH = 4
# So few items are made, and so much is looked through, before a second process has loaded its libraries.
SMALL_DELTA, SMALL_INPUT_BYTES = 500, 32 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. manifest: as written beside the tables; warnings: for whoever started it.

    unchanged: nothing had to be made, so that no snapshot was: the manifest is the published one's.
    """

    published: bool
    manifest: Mapping[str, Any]
    manifest_path: str
    warnings: tuple[str, ...] = ()
    unchanged: bool = False


@dataclass
class RunState:
    """A run under way. earlier: the published snapshot; because: why everything is made anew, where it is."""

    plan: Plan
    layout: Layout
    info: RunInfo
    earlier: EarlierSnapshot | None
    selection: Selection
    because: list[str]
    warnings: list[str]


def run(
    plan: Plan,
    options: PipelineOptions,
    progress: str = "never",
    *,
    local: bool = True,
    before_publishing: Callable[[], None] = lambda: None,
    selection: Selection | None = None,
) -> Outcome:
    """Run a plan to its end: written, gated and, if the gate lets it through, published.

    selection: what is made anew besides what changed. Raises whatever broke the run off; what was half written is
    removed and the previous snapshot stays.
    """
    chosen, started = selection or Selection(), dt.datetime.now(dt.UTC).replace(microsecond=0)
    layout = Layout(plan.config.output, new_run_id(started), plan.config.work_dir)
    FileSystems.set_options(options)
    with output_lock(layout.output, layout.run_id, chosen.command) as warnings:
        left = remove_leftovers(layout.output)
        if left:
            warnings.append(f"what runs that broke off had left was removed: {', '.join(left)}")
        state = begin(plan, layout, started, chosen, warnings)
        outcome = _run(state, options, progress, local=local, before_publishing=before_publishing)
        if outcome.published and plan.config.reuse.keep:
            with suppress(Exception):  # old snapshots go next time; this one is published all the same
                prune(layout.output, plan.config.reuse.keep)
        return outcome


def _run(
    state: RunState,
    options: PipelineOptions,
    progress: str,
    *,
    local: bool,
    before_publishing: Callable[[], None],
) -> Outcome:
    layout, keep_work = state.layout, state.plan.config.keep_work
    try:
        places = layout.create()
        with stderr_to(places.log if local else "") as stderr, live_view(progress, places.heartbeats, stderr):
            made = make(state, places, options)
        delta = made.delta
        if delta is not None and delta.is_empty and state.earlier is not None:
            layout.remove_snapshot()
            return _nothing_new(state, state.earlier, delta)
        manifest = conclude(state, places, delta, made.stages) | {"distributions": made.distributions}
        before = None if state.earlier is None else state.earlier.path
        beside = write_beside(layout.snapshot, manifest, state.plan, before)
        # Last of all: a folder without it is no snapshot.
        path = layout.write_manifest(manifest)
        before_publishing()
    except BaseException:
        layout.remove_snapshot()
        raise
    finally:
        layout.keep_work() if keep_work else layout.remove_work()
    notes = () if delta is None else delta.notes
    warnings = layout.publish() if manifest["published"] else []
    return Outcome(manifest["published"], manifest, path, (*state.warnings, *notes, *beside, *warnings))


def begin(plan: Plan, layout: Layout, started: dt.datetime, selection: Selection, warnings: list[str]) -> RunState:
    """Find out what there is to go on from; warnings are added to."""
    earlier = None
    try:
        earlier = read_published(plan.config.output)
    except UnusableSnapshotError as error:
        warnings.append(f"{error}; everything is made anew")
    if earlier is not None and dt.datetime.fromisoformat(earlier.manifest["started"]) > started:
        then = earlier.manifest["started"]
        warnings.append(f"this machine's clock says {started:%Y-%m-%dT%H:%M:%SZ}, the last run began at {then}; set it")
    because = ["there is no snapshot to go on from"]
    if earlier is not None:
        because = [] if selection.is_partial else why_anew(plan, earlier)
        if not _needs_other_buckets(plan, earlier):  # items stay in the buckets that they are in
            plan = replace(plan, buckets=earlier.manifest["buckets"])
    return RunState(
        plan, layout, RunInfo(layout.run_id, started, table_metadata(plan)), earlier, selection, because, warnings
    )


def why_anew(plan: Plan, earlier: EarlierSnapshot) -> list[str]:
    """Why a run cannot go on from a snapshot and makes everything anew; empty when it can."""
    if plan.config.reuse.full:
        return ["--full was given"]
    shape, before = shape_of(plan), earlier.manifest.get("shape", {})
    because = [f"{part} changed" for part in shape if before.get(part) != shape[part]]
    if _needs_other_buckets(plan, earlier):
        because.append(f"{plan.buckets} buckets instead of {earlier.manifest['buckets']}")
    return because + _outgrown(plan, earlier, {})


def _needs_other_buckets(plan: Plan, earlier: EarlierSnapshot) -> bool:
    had = earlier.manifest["buckets"]
    return bool(plan.config.buckets and plan.config.buckets != had) or plan.buckets > MAX_GROWTH * had


def _outgrown(plan: Plan, earlier: EarlierSnapshot, counts: Mapping[str, int]) -> list[str]:
    """Why what is learnt of all items has to be learnt again: too many came, went or changed since it was."""
    moved = earlier.manifest["since_full"] + sum(counts.get(each, 0) for each in ("new", "changed", "deleted"))
    items = max(1, earlier.manifest["counts"]["items"])
    if moved <= plan.config.reuse.refresh_share * items:
        return []
    return [f"{moved:,} of {items:,} items came, went or changed since everything was made (--refresh-share)"]


@dataclass(frozen=True)
class Made:
    """What was made. delta: what was new, None where everything was made anew; stages, distributions: as metrics."""

    delta: Delta | None
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    distributions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)


def make(state: RunState, places: Places, options: PipelineOptions) -> Made:
    """Find out what is new and make it."""
    plan, earlier, encoders = state.plan, state.earlier, chosen_encoders(state.plan)

    def run_scan(pipeline: beam.Pipeline) -> None:
        pipeline.run().wait_until_finish()

    delta = None
    if earlier is not None and not state.because:
        small = sum(split.size_bytes for split in plan.splits) <= SMALL_INPUT_BYTES
        scan_options = in_one_process(options) if small else options
        delta = find_delta(plan, earlier, places, run_scan, scan_options, state.selection)
        state.because = _outgrown(plan, earlier, delta.counts) if not state.selection.is_partial else []
        delta = None if state.because else delta
    if delta is not None and sum(delta.counts[each] for each in ("new", "changed", "made_again")) <= SMALL_DELTA:
        options = in_one_process(options)
    pipeline = new_pipeline(options)
    if delta is None:
        carry = carry_of(plan, earlier, None) if earlier is not None else None
        probes = earlier_probes(earlier) if earlier is not None else {}
        rows = earlier_rows(plan, earlier) if earlier is not None else None
        if plan.rehearsal is not None and not plan.asks_model:
            build_reading(pipeline, plan, places)
        else:
            build_graph(pipeline, plan, state.info, encoders, places, probes, carry, rows)
    elif delta.is_empty or earlier is None or (plan.rehearsal is not None and not plan.asks_model):
        return Made(delta)
    else:
        chosen = state.selection
        carry = carry_of(plan, earlier, delta.base.files, chosen.attributes, whole=not chosen.describe)
        learnt = take_over_probes(earlier, places.snapshot) if plan.learns else []
        pool = take_over_pool(earlier, places.snapshot)
        build_delta_graph(pipeline, plan, state.info, encoders, places, delta, learnt, pool, carry)
    result = pipeline.run()
    result.wait_until_finish()
    return Made(delta, stage_metrics(result), stage_distributions(result))


def _nothing_new(state: RunState, earlier: EarlierSnapshot, delta: Delta) -> Outcome:
    path = f"{earlier.path}/manifest.json"
    return Outcome(True, earlier.manifest, path, (*state.warnings, *delta.notes), unchanged=True)


def conclude(state: RunState, places: Places, delta: Delta | None, stages: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Close the account of a run whose stages are done, gate what it wrote, and say so in a manifest."""
    plan, earlier = state.plan, state.earlier
    splits = read_reports(f"{places.reports}/splits.json", SplitReport)
    buckets = read_reports(f"{places.reports}/buckets.json", BucketReport)
    usages = read_reports(f"{places.reports}/usage.json", Usage) if plan.asks_model else []
    probes = read_reports(f"{places.reports}/probes.json", ProbeReport) if plan.learns else []
    reference = read_reports(f"{places.reports}/reference.json", SplitReport) if delta is None else []
    if plan.config.reuse.keep_deleted and earlier is not None and not state.selection.is_partial:
        buckets = keep_deleted(plan, state.info, earlier, delta, buckets, places)
    gate_began = time.monotonic()
    if delta is None or earlier is None:
        table_checks, found = check_tables(places.snapshot, plan.template, buckets, plan.buckets)
    else:
        buckets = sorted([*buckets, *take_over_files(earlier, delta.untouched, places.snapshot)], key=_number)
        table_checks, found = _check_what_changed(plan, earlier, delta, places, buckets)
        if state.selection.is_partial:  # the rest is what it was, whatever the catalog holds by now
            splits = [msgspec.convert(row, SplitReport, strict=False) for row in earlier.manifest["inputs"]]
    account = add_up(splits, buckets, found, usages)
    drifted, compared_with = _drift(state, places, account, found)
    checks = [*check_run(plan.template, account.as_row(), found), *drifted, *table_checks]
    stages = stages | {"gate": {"msecs": round((time.monotonic() - gate_began) * 1000)}}
    published = not any(check.refuses for check in checks)
    write_json(f"{places.snapshot}/{BUCKETS}", buckets)
    learnt = {"probes": [as_row(report) for report in probes], "reference": [asdict(split) for split in reference]}
    manifest = build_manifest(plan, state.info, account, splits, buckets, checks, stages, published)
    return manifest | learnt | _reuse(state, places, delta) | {"compared_with": compared_with}


def _drift(state: RunState, places: Places, account: Account, found: Found) -> tuple[list[CheckResult], str | None]:
    """How far the snapshot is from the last one, and which that is; None where there is none to compare with."""
    plan, earlier = state.plan, state.earlier
    now = Compared(
        found.distributions,
        account.records_quarantined / max(1, account.records_in),
        _entries(plan),
        chosen_encoders(plan).models,
    )
    write_json(f"{places.snapshot}/{STATISTICS}", now.as_row())
    if earlier is None or earlier.manifest["versions"].get("template") != plan.template.name:
        return [], None
    try:
        before = compared_of(earlier)
    except (KeyError, ValueError):  # of an earlier version, or damaged
        return [], None
    drifts = shifts(plan.template.gate, before, now, accepted=plan.config.reuse.accept_drift)
    return check_drift(drifts), earlier.run_id


def _entries(plan: Plan) -> dict[str, str]:
    """Attribute → digest of what decides on its values; what fills them is a part of it where they are filled."""
    shape = shape_of(plan)
    filled_by = [shape[part] for part in ("language model", "tagger", "image encoder", "filling", "reference")]
    return {
        attribute.name: entry_digest(attribute, filled_by if attribute.fill else ())
        for attribute in plan.template.attributes
    }


def _pool(state: RunState, places: Places, delta: Delta | None) -> list[str]:
    if delta is not None and state.earlier is not None:
        names: list[str] = state.earlier.manifest.get(POOL, [])
        return names
    return keep_pool(places) if state.plan.asks_model else []


def _trusted(places: Places) -> Any:
    with FileSystems.open(f"{places.reports}/trusted.json", compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return msgspec.json.decode(file.read())


def _number(report: BucketReport) -> int:
    return report.bucket


def _check_what_changed(
    plan: Plan, earlier: EarlierSnapshot, delta: Delta, places: Places, buckets: list[BucketReport]
) -> Checked:
    """The gate's checks over the buckets that were written; of the others it is known how they went."""
    if set(delta.base.files) == set(delta.numbers):  # none was damaged
        try:
            before = checked_before(earlier, plan.template)
            taken_out = check_tables(earlier.path, plan.template, earlier.reports, plan.buckets, delta.numbers)
            put_in = check_tables(places.snapshot, plan.template, buckets, plan.buckets, delta.numbers)
            return replaced(before, taken_out, put_in)
        except KeyError:  # checks have changed since
            pass
    return check_tables(places.snapshot, plan.template, buckets, plan.buckets)


def _reuse(state: RunState, places: Places, delta: Delta | None) -> dict[str, Any]:
    """What the manifest says of how the snapshot rests on an earlier one."""
    earlier, plan = state.earlier, state.plan
    partly = delta is not None and earlier is not None and state.selection.is_partial
    if partly and earlier is not None:  # most rows are what another configuration made
        shape, asked = earlier.manifest["shape"], earlier.manifest["asked"]
    else:
        shape, asked = shape_of(plan), asked_of(plan)
    moved = 0
    if delta is not None and earlier is not None:
        moved = earlier.manifest["since_full"] + sum(delta.counts[each] for each in ("new", "changed", "deleted"))
    return {
        "command": state.selection.command,
        "based_on": None if earlier is None else earlier.run_id,
        "made_anew_because": state.because,
        "records": None if delta is None else delta.counts,
        "buckets_written": plan.buckets if delta is None else len(delta.numbers),
        "since_full": moved,
        POOL: _pool(state, places, delta),
        "trusted_comparisons": _trusted(places) if delta is None else sorted(delta.trusted),
        "shape": shape,
        "asked": asked,
    }
