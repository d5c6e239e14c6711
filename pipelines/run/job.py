"""A run from beginning to end: find what is new, make it, join it with the rest, gate, publish."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.configuration.errors import WorkerDiedError
from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import in_one_process, is_local, new_pipeline, works_here
from pipelines.configuration.worker_processes import DEATHS
from pipelines.monitoring.interrupts import Interrupts
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.metrics import stage_distributions, stage_metrics
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.artifacts import write_artifacts
from pipelines.run.carry_over import (
    earlier_probes,
    earlier_rows,
    forget,
    keep_reports,
    reused_answers,
    take_over_learnt,
)
from pipelines.run.conclude import conclude
from pipelines.run.graph.context import Build, Previous
from pipelines.run.graph.jobs import build_delta_graph, build_graph, build_reading
from pipelines.run.manifest import manifest_of_unchanged
from pipelines.run.scan import find_delta
from pipelines.run.selection import Selection
from pipelines.run.start import RunState, begin, outgrown
from pipelines.run.vectors.graph import build_vector_graph
from pipelines.run.vectors.revision import finished_items, revised_file
from pipelines.run.work import Delta, Kept, Made, damaged_caches
from pipelines.snapshots.history import Held, held_output, publish
from pipelines.snapshots.kept_pictures import remove_unneeded, unneeded_pictures
from pipelines.snapshots.layout import ANSWERS, MANIFEST, Layout, RunDirs, new_run_id
from pipelines.snapshots.manifest import Manifest
from pipelines.snapshots.pruning import prune, remove_leftovers
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.contract import ModelGoneError
from transforms.runtime import storage
from transforms.runtime.json_files import write_json
from transforms.validation.gate import prepare

_GONE = re.compile(rf"\b{ModelGoneError.__name__}: (.+?)(?: \[while running .*)?$", re.MULTILINE)
# So few items are made, and so much is looked through, before a second process has loaded its
# libraries.
SMALL_DELTA, SMALL_INPUT_BYTES = 500, 32 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    manifest: as written beside the tables; warnings: for whoever started the run.
    unchanged: nothing had to be made, so that no snapshot was: the manifest is the published one's,
    but what a run does (calls, stages, records, seconds) are this run's.
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
    interrupts: Interrupts | None = None,
    selection: Selection | None = None,
) -> Outcome:
    """Run a plan to its end: written, gated and, if the gate lets it through, published.

    interrupts: by which somebody may end it; selection: what is rebuilt besides what changed.
    Raises whatever broke the run off; what was half written is removed and the previous snapshot
    stays.
    """
    chosen, started = selection or Selection(), dt.datetime.now(dt.UTC)
    layout = Layout(plan.config.output, new_run_id(started), plan.config.work_dir)
    storage.connect(lambda: options)
    with held_output(layout.output, layout.run_id, chosen.command) as held:
        left = remove_leftovers(layout.output)
        if left:
            held.warnings.append(
                f"what runs that broke off had left was removed: {', '.join(left)}"
            )
        state = begin(plan, layout, started, chosen, held.warnings)
        _forget_answers(state)
        listening = interrupts or Interrupts()
        outcome = _run(state, options, held, progress, local=local, interrupts=listening)
        if outcome.published and plan.config.reuse.keep:
            listening.optionally(lambda: _prune(held, plan.config.reuse.keep))
        return outcome


def _prune(held: Held, keep: int) -> None:
    # Old snapshots go next time; this one is published all the same.
    with suppress(Exception):
        prune(held, keep)
        remove_unneeded(unneeded_pictures(held.output))


def _forget_answers(state: RunState) -> None:
    """Discard what is to be asked again: under the lock, and after all that may refuse the run."""
    chosen, earlier = state.selection, state.earlier
    if not chosen.ask_again or earlier is None:
        return
    answers = storage.join(state.layout.output, ANSWERS)
    forgotten = forget(earlier, answers, chosen.item_ids or (), chosen.attributes or ())
    state.warnings.append(f"cached answers discarded: {forgotten:,}")


def _run(
    state: RunState,
    options: PipelineOptions,
    held: Held,
    progress: str,
    *,
    local: bool,
    interrupts: Interrupts,
) -> Outcome:
    layout, keep_work = state.layout, state.plan.config.keep_work
    try:
        try:
            dirs = layout.create()
            with (
                stderr_to(dirs.log if local else "") as stderr,
                live_view(progress, dirs.heartbeats, stderr),
            ):
                made = make(state, dirs, options)
            state.warnings.extend(damaged_caches(dirs, made.stages))
            delta = made.delta
            if _is_as_it_was(state, delta) and delta is not None and state.earlier is not None:
                layout.remove_snapshot()
                return _nothing_new(state, state.earlier, delta, made)
            manifest = conclude(state, dirs, made)
            before = None if state.earlier is None else state.earlier.path
            artifact_warnings = write_artifacts(layout.snapshot, manifest, state.plan, before)
            # Last of all: a folder without it is no snapshot.
            path = layout.write_manifest(manifest)
        finally:
            layout.keep_work() if keep_work else layout.remove_work()
        if manifest.published:
            layout.sync()
        # What takes long is done: from here to the pointer's move nothing may be torn apart.
        interrupts.hold()
    except BaseException:
        layout.remove_snapshot()
        if not keep_work:  # a signal may have come while it was removed
            layout.remove_work()
        raise
    notes = () if delta is None else delta.notes
    warnings = publish(layout, held) if manifest.published else []
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

    Tables of vectors that are made otherwise are then made of all items, and nothing else is.
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
        # Why so much moved: a damaged bucket has all its records read again.
        state.warnings.extend(delta.notes)
        return _rebuild(state, dirs, options, (*moved, *state.vectors.reasons))
    if _is_as_it_was(state, delta) or _only_counts(state.plan):
        return Made(delta)
    kept = take_over_learnt(state.plan, earlier, dirs)
    if delta.is_empty:
        keep_reports(dirs, kept)
        made = Made(delta)
    else:
        made = _make_delta(state, earlier, delta, dirs, options, kept)
    if not state.vectors.reasons or state.plan.dry_run is not None:
        return made
    return _make_vectors(state, earlier, made, dirs, options)


def _is_as_it_was(state: RunState, delta: Delta | None) -> bool:
    """Tell whether a run that continues from a snapshot has nothing to make."""
    return delta is not None and delta.is_empty and not state.vectors.reasons


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
    _prepare_gate(plan, options)
    contracts = state.encoders.contracts
    build = Build(plan, state.info, dirs, contracts=contracts, overlaps=is_local(options))
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
    learnt: Kept,
) -> Made:
    """Make the items that are new or changed; all others stay as they are.

    Their vectors in spaces that change are made with those of the others.
    """
    plan, selection = state.plan, state.selection
    if sum(delta.counts[each] for each in ("new", "changed", "made_again")) <= SMALL_DELTA:
        options = in_one_process(options)
    answers = reused_answers(
        plan, earlier, delta.base.files, selection.attributes, whole=not selection.describe
    )
    _prepare_gate(plan, options)
    spaces = tuple(space for space in plan.spaces if space.name not in state.vectors.made)
    encoders = state.encoders.of(space.name for space in spaces)
    pipeline = new_pipeline(options)
    build = Build(plan, state.info, dirs, spaces=spaces, contracts=encoders.contracts)
    build_delta_graph(pipeline, build, encoders, delta, replace(learnt, answers=answers))
    return _run_to_end(pipeline, delta)


def _make_vectors(
    state: RunState, earlier: Snapshot, made: Made, dirs: RunDirs, options: PipelineOptions
) -> Made:
    """Make the tables of vectors that changed, of all items; the other files stay as they are."""
    plan, changes = state.plan, state.vectors
    finished = finished_items(plan, earlier, changes, dirs)
    if not finished.buckets:
        write_json(revised_file(dirs), [])
        return made
    if earlier.manifest.counts.items <= SMALL_DELTA:
        options = in_one_process(options)
    _prepare_gate(plan, options)
    pipeline = new_pipeline(options)
    contracts = state.encoders.contracts
    build = Build(plan, state.info, dirs, spaces=finished.spaces, contracts=contracts)
    rows = earlier_rows(plan, earlier)
    build_vector_graph(pipeline, build, state.encoders, finished, rows)
    return made.followed_by(_run_to_end(pipeline, made.delta))


def _prepare_gate(plan: Plan, options: PipelineOptions) -> None:
    """Load what checks the tables while other processes make them.

    Not beside work in this process: Python would do one after the other all the same.
    """
    if plan.dry_run is None and not works_here(options):
        prepare()


def _run_to_end(
    pipeline: beam.Pipeline, delta: Delta | None, rebuild_reasons: Sequence[str] = ()
) -> Made:
    DEATHS.clear()
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        if DEATHS:
            raise WorkerDiedError(DEATHS[0]) from None
        # What a worker raises comes as the text of its traceback.
        found = _GONE.search(str(error))
        if found is None:
            raise
        raise ModelGoneError(found[1]) from None
    return Made(delta, tuple(rebuild_reasons), stage_metrics(result), stage_distributions(result))


def _nothing_new(state: RunState, earlier: Snapshot, delta: Delta, made: Made) -> Outcome:
    path = storage.join(earlier.path, MANIFEST)
    manifest = manifest_of_unchanged(earlier.manifest, state.info.started, delta, made)
    return Outcome(True, manifest, path, (*state.warnings, *delta.notes), unchanged=True)
