"""A run from beginning to end: find what is new, make it, join it with the rest, gate, publish."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.configuration.config import Plan
from pipelines.configuration.runners import in_one_process, new_pipeline
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.metrics import stage_distributions, stage_metrics
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.artifacts import write_artifacts
from pipelines.run.carry_over import (
    earlier_probes,
    earlier_rows,
    reused_answers,
    take_over_pool,
    take_over_probes,
)
from pipelines.run.conclude import conclude
from pipelines.run.graph import (
    Build,
    Kept,
    Previous,
    build_delta_graph,
    build_graph,
    build_reading,
)
from pipelines.run.manifest import told_of_nothing_new
from pipelines.run.scan import Selection, find_delta
from pipelines.run.start import RunState, begin, outgrown
from pipelines.run.work import Delta, Made
from pipelines.snapshots.history import prune, remove_leftovers
from pipelines.snapshots.layout import MANIFEST, Layout, RunDirs, new_run_id
from pipelines.snapshots.locks import output_lock
from pipelines.snapshots.manifest import Manifest
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.contract import ModelGoneError
from transforms.runtime import storage

_GONE = re.compile(rf"\b{ModelGoneError.__name__}: (.+?)(?: \[while running .*)?$", re.MULTILINE)
# So few items are made, and so much is looked through, before a second process has loaded its
# libraries.
SMALL_DELTA, SMALL_INPUT_BYTES = 500, 32 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    manifest: as written beside the tables; warnings: for whoever started the run.
    unchanged: nothing had to be made, so that no snapshot was: the manifest is the published one's,
    but what a run does (calls, stages, records, seconds) is told of this run.
    """

    published: bool
    manifest: Manifest
    manifest_path: str
    warnings: tuple[str, ...] = ()
    unchanged: bool = False


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

    selection: what is rebuilt besides what changed. Raises whatever broke the run off; what was
    half written is removed and the previous snapshot stays.
    """
    chosen, started = selection or Selection(), dt.datetime.now(dt.UTC).replace(microsecond=0)
    layout = Layout(plan.config.output, new_run_id(started), plan.config.work_dir)
    storage.connect(options)
    with output_lock(layout.output, layout.run_id, chosen.command) as warnings:
        left = remove_leftovers(layout.output)
        if left:
            warnings.append(f"what runs that broke off had left was removed: {', '.join(left)}")
        state = begin(plan, layout, started, chosen, warnings)
        outcome = _run(state, options, progress, local=local, before_publishing=before_publishing)
        if outcome.published and plan.config.reuse.keep:
            # Old snapshots go next time; this one is published all the same.
            with suppress(Exception):
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
        dirs = layout.create()
        with (
            stderr_to(dirs.log if local else "") as stderr,
            live_view(progress, dirs.heartbeats, stderr),
        ):
            made = make(state, dirs, options)
        delta = made.delta
        if delta is not None and delta.is_empty and state.earlier is not None:
            layout.remove_snapshot()
            return _nothing_new(state, state.earlier, delta, made)
        manifest = conclude(state, dirs, made)
        before = None if state.earlier is None else state.earlier.path
        artifact_warnings = write_artifacts(layout.snapshot, manifest, state.plan, before)
        # Last of all: a folder without it is no snapshot.
        path = layout.write_manifest(manifest)
        before_publishing()
    except BaseException:
        layout.remove_snapshot()
        raise
    finally:
        layout.keep_work() if keep_work else layout.remove_work()
    notes = () if delta is None else delta.notes
    warnings = layout.publish() if manifest.published else []
    return Outcome(
        manifest.published,
        manifest,
        path,
        (*state.warnings, *notes, *artifact_warnings, *warnings),
    )


def make(state: RunState, dirs: RunDirs, options: PipelineOptions) -> Made:
    """Find out what is new and make it.

    ==================================================  ======================================
    the run cannot continue from a snapshot             everything is rebuilt
    more items have moved than --refresh-share allows   the same; what was read is dropped
    nothing has changed, or a dry run asks no model     nothing is made
    anything else                                       what changed is made
    ==================================================  ======================================
    """
    earlier = state.earlier
    if earlier is None or state.rebuild_reasons:
        return _rebuild(state, dirs, options, state.rebuild_reasons)
    delta = find_delta(
        state.plan, earlier, dirs, _scan_options(state.plan, options), state.selection
    )
    # A part that was chosen by hand is never a reason to rebuild the rest.
    moved = () if state.selection.is_partial else outgrown(state.plan, earlier, delta.counts)
    if moved:
        return _rebuild(state, dirs, options, moved)
    if delta.is_empty or _only_counts(state.plan):
        return Made(delta)
    return _make_delta(state, earlier, delta, dirs, options)


def _only_counts(plan: Plan) -> bool:
    """Tell whether nothing is to be made or asked: a dry run of a plan without a language model."""
    return plan.dry_run is not None and not plan.asks_model


def _scan_options(plan: Plan, options: PipelineOptions) -> PipelineOptions:
    small = sum(split.size_bytes for split in plan.splits) <= SMALL_INPUT_BYTES
    return in_one_process(options) if small else options


def _rebuild(
    state: RunState, dirs: RunDirs, options: PipelineOptions, reasons: Sequence[str]
) -> Made:
    """Make the whole catalog, with what still holds of an earlier snapshot."""
    plan, earlier, pipeline = state.plan, state.earlier, new_pipeline(options)
    build = Build(plan, state.info, dirs, contracts=state.encoders.contracts)
    if _only_counts(plan):
        build_reading(pipeline, build)
    else:
        previous = Previous()
        if earlier is not None:
            previous = Previous(
                earlier_probes(earlier),
                reused_answers(plan, earlier, None),
                earlier_rows(plan, earlier),
            )
        build_graph(pipeline, build, state.encoders, previous)
    return _run_to_end(pipeline, None, reasons)


def _make_delta(
    state: RunState,
    earlier: Snapshot,
    delta: Delta,
    dirs: RunDirs,
    options: PipelineOptions,
) -> Made:
    """Make the items that are new or changed; all others stay as they are."""
    plan, selection = state.plan, state.selection
    if sum(delta.counts[each] for each in ("new", "changed", "made_again")) <= SMALL_DELTA:
        options = in_one_process(options)
    answers = reused_answers(
        plan, earlier, delta.base.files, selection.attributes, whole=not selection.describe
    )
    probes = take_over_probes(earlier, dirs.snapshot) if plan.learns else []
    kept = Kept(probes, take_over_pool(earlier, dirs.snapshot), answers)
    pipeline = new_pipeline(options)
    build = Build(plan, state.info, dirs, contracts=state.encoders.contracts)
    build_delta_graph(pipeline, build, state.encoders, delta, kept)
    return _run_to_end(pipeline, delta)


def _run_to_end(
    pipeline: beam.Pipeline, delta: Delta | None, rebuild_reasons: Sequence[str] = ()
) -> Made:
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        # What a worker raises comes as the text of its traceback.
        told = _GONE.search(str(error))
        if told is None:
            raise
        raise ModelGoneError(told[1]) from None
    return Made(delta, tuple(rebuild_reasons), stage_metrics(result), stage_distributions(result))


def _nothing_new(state: RunState, earlier: Snapshot, delta: Delta, made: Made) -> Outcome:
    path = storage.join(earlier.path, MANIFEST)
    manifest = told_of_nothing_new(earlier.manifest, state.info.started, delta, made)
    return Outcome(True, manifest, path, (*state.warnings, *delta.notes), unchanged=True)
