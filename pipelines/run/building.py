"""The pipelines that make what is new of a run: built, and run to their end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import apache_beam as beam

from pipelines.configuration.errors import WorkerDiedError
from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner, new_pipeline
from pipelines.configuration.worker_processes import DEATHS
from pipelines.monitoring.metrics import stage_distributions, stage_metrics
from pipelines.run.carry_over import (
    earlier_probes,
    earlier_rows,
    keep_reports,
    reused_answers,
    take_over_learnt,
)
from pipelines.run.graph.context import Build, Previous
from pipelines.run.graph.jobs import build_delta_graph, build_graph, build_reading
from pipelines.run.start import RunState
from pipelines.run.vectors.graph import build_vector_graph
from pipelines.run.vectors.revision import finished_items, revised_file
from pipelines.run.work import Delta, Kept, Made
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.contract import ModelGoneError
from transforms.runtime.json_files import write_json
from transforms.runtime.metrics import read_heartbeats
from transforms.validation.gate import prepare

_GONE = re.compile(rf"\b{ModelGoneError.__name__}: (.+?)(?: \[while running .*)?$", re.MULTILINE)
# So few items are made before a second process has loaded its libraries.
SMALL_DELTA = 500


def rebuild(state: RunState, dirs: RunDirs, runner: Runner, reasons: Sequence[str]) -> Made:
    """Make the whole catalog, with what still holds of an earlier snapshot."""
    plan, earlier, pipeline = state.plan, state.earlier, new_pipeline(runner)
    _prepare_gate(plan, runner, dirs)
    contracts = state.encoders.contracts
    build = Build(plan, state.info, dirs, contracts=contracts, overlaps=runner.is_local)
    if plan.only_counts:
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


def make_changes(
    state: RunState, earlier: Snapshot, delta: Delta, dirs: RunDirs, runner: Runner
) -> Made:
    """Make what changed, and tables of vectors that are made otherwise now of all items."""
    kept = take_over_learnt(state.plan, earlier, dirs)
    if delta.is_empty:
        keep_reports(dirs, kept)
        made = Made(delta)
    else:
        made = _make_delta(state, earlier, delta, dirs, runner, kept)
    if not state.vectors.reasons or state.plan.dry_run is not None:
        return made
    return _make_vectors(state, earlier, made, dirs, runner)


def _make_delta(
    state: RunState,
    earlier: Snapshot,
    delta: Delta,
    dirs: RunDirs,
    runner: Runner,
    learnt: Kept,
) -> Made:
    """Make the items that are new or changed; all others stay as they are.

    Their vectors in spaces that change are made with those of the others.
    """
    plan, selection = state.plan, state.selection
    if sum(delta.counts[each] for each in ("new", "changed", "made_again")) <= SMALL_DELTA:
        runner = runner.in_one_process()
    answers = reused_answers(
        plan, earlier, delta.base.files, selection.attributes, whole=not selection.describe
    )
    _prepare_gate(plan, runner, dirs)
    spaces = tuple(space for space in plan.spaces if space.name not in state.vectors.made)
    encoders = state.encoders.of(space.name for space in spaces)
    pipeline = new_pipeline(runner)
    build = Build(plan, state.info, dirs, spaces=spaces, contracts=encoders.contracts)
    build_delta_graph(pipeline, build, encoders, delta, replace(learnt, answers=answers))
    return _run_to_end(pipeline, delta)


def _make_vectors(
    state: RunState, earlier: Snapshot, made: Made, dirs: RunDirs, runner: Runner
) -> Made:
    """Make the tables of vectors that changed, of all items; the other files stay as they are."""
    plan, changes = state.plan, state.vectors
    finished = finished_items(plan, earlier, changes, dirs)
    if not finished.buckets:
        write_json(revised_file(dirs), [])
        return made
    if earlier.manifest.counts.items <= SMALL_DELTA:
        runner = runner.in_one_process()
    _prepare_gate(plan, runner, dirs)
    pipeline = new_pipeline(runner)
    contracts = state.encoders.contracts
    build = Build(plan, state.info, dirs, spaces=finished.spaces, contracts=contracts)
    rows = earlier_rows(plan, earlier)
    build_vector_graph(pipeline, build, state.encoders, finished, rows)
    return made.followed_by(_run_to_end(pipeline, made.delta))


def _prepare_gate(plan: Plan, runner: Runner, dirs: RunDirs) -> None:
    """Load what checks the tables while other processes make them: where a language model is asked,
    when they wait for its answers, as until then they need the processor themselves.

    Not beside work in this process: Python would do one after the other all the same.
    """
    if plan.dry_run is None and not runner.works_here:
        waits = plan.asks_model and runner.is_local
        prepare(partial(_has_asked, dirs.heartbeats) if waits else None)


def _has_asked(heartbeat_dir: str) -> bool:
    """Tell whether workers are at the language model's questions."""
    return not {"question", "describe"}.isdisjoint(read_heartbeats(heartbeat_dir))


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
