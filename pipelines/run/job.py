"""A run from beginning to end: what is new is found, made, joined with what stays, gated, and
published.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.configuration.config import Plan
from pipelines.configuration.runners import in_one_process, new_pipeline
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.metrics import stage_distributions, stage_metrics
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.artifacts import write_beside
from pipelines.run.carry_over import (
    earlier_probes,
    earlier_rows,
    reused_answers,
    take_over_pool,
    take_over_probes,
)
from pipelines.run.conclude import conclude
from pipelines.run.graph import build_delta_graph, build_graph, build_reading
from pipelines.run.manifest import chosen_encoders
from pipelines.run.scan import Selection, find_delta
from pipelines.run.start import RunState, begin, outgrown
from pipelines.run.work import Delta
from pipelines.snapshots.history import prune, remove_leftovers
from pipelines.snapshots.layout import MANIFEST, Layout, RunDirs, new_run_id
from pipelines.snapshots.locks import output_lock
from pipelines.snapshots.manifest import Manifest
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage

# So few items are made, and so much is looked through, before a second process has loaded its
# libraries.
SMALL_DELTA, SMALL_INPUT_BYTES = 500, 32 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. manifest: as written beside the tables; warnings: for whoever started it.

    unchanged: nothing had to be made, so that no snapshot was: the manifest is the published one's.
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

    selection: what is made anew besides what changed. Raises whatever broke the run off; what was
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
            with suppress(
                Exception
            ):  # old snapshots go next time; this one is published all the same
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
            return _nothing_new(state, state.earlier, delta)
        manifest = conclude(state, dirs, delta, made.stages, made.distributions)
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
    warnings = layout.publish() if manifest.published else []
    return Outcome(
        manifest.published, manifest, path, (*state.warnings, *notes, *beside, *warnings)
    )


@dataclass(frozen=True)
class Made:
    """What was made.

    delta: what was new, None where everything was made anew; stages, distributions: as metrics.
    """

    delta: Delta | None
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    distributions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)


def make(state: RunState, dirs: RunDirs, options: PipelineOptions) -> Made:
    """Find out what is new and make it."""
    plan, earlier, encoders = state.plan, state.earlier, chosen_encoders(state.plan)

    def run_scan(pipeline: beam.Pipeline) -> None:
        pipeline.run().wait_until_finish()

    delta = None
    if earlier is not None and not state.because:
        small = sum(split.size_bytes for split in plan.splits) <= SMALL_INPUT_BYTES
        scan_options = in_one_process(options) if small else options
        delta = find_delta(plan, earlier, dirs, run_scan, scan_options, state.selection)
        state.because = (
            outgrown(plan, earlier, delta.counts) if not state.selection.is_partial else []
        )
        delta = None if state.because else delta
    if (
        delta is not None
        and sum(delta.counts[each] for each in ("new", "changed", "made_again")) <= SMALL_DELTA
    ):
        options = in_one_process(options)
    pipeline = new_pipeline(options)
    if delta is None:
        carry = reused_answers(plan, earlier, None) if earlier is not None else None
        probes = earlier_probes(earlier) if earlier is not None else {}
        rows = earlier_rows(plan, earlier) if earlier is not None else None
        if plan.rehearsal is not None and not plan.asks_model:
            build_reading(pipeline, plan, dirs)
        else:
            build_graph(pipeline, plan, state.info, encoders, dirs, probes, carry, rows)
    elif delta.is_empty or earlier is None or (plan.rehearsal is not None and not plan.asks_model):
        return Made(delta)
    else:
        chosen = state.selection
        carry = reused_answers(
            plan, earlier, delta.base.files, chosen.attributes, whole=not chosen.describe
        )
        learnt = take_over_probes(earlier, dirs.snapshot) if plan.learns else []
        pool = take_over_pool(earlier, dirs.snapshot)
        build_delta_graph(pipeline, plan, state.info, encoders, dirs, delta, learnt, pool, carry)
    result = pipeline.run()
    result.wait_until_finish()
    return Made(delta, stage_metrics(result), stage_distributions(result))


def _nothing_new(state: RunState, earlier: Snapshot, delta: Delta) -> Outcome:
    path = storage.join(earlier.path, MANIFEST)
    return Outcome(True, earlier.manifest, path, (*state.warnings, *delta.notes), unchanged=True)
