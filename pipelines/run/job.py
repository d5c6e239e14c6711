"""A run from beginning to end: find what is new, make it, join it with the rest, gate, publish."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner
from pipelines.configuration.workers.waiting_workers import waiting_workers
from pipelines.monitoring.interrupts import Interrupts
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.manifest import manifest_of_unchanged
from pipelines.run.scan import find_delta
from pipelines.run.selection import Selection
from pipelines.run.start import RunState, begin, outgrown
from pipelines.run.work import Delta, Made, damaged_caches
from pipelines.snapshots.history import Held, held_output, publish
from pipelines.snapshots.kept_pictures import remove_unneeded, unneeded_pictures
from pipelines.snapshots.layout import ANSWERS, MANIFEST, Layout, RunDirs, new_run_id
from pipelines.snapshots.manifest import Manifest
from pipelines.snapshots.pruning import prune, remove_leftovers
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage
from transforms.runtime.imports import for_good

# So much is looked through before a second process has loaded its libraries.
SMALL_INPUT_BYTES = 32 << 20


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
    runner: Runner,
    progress: str = "never",
    *,
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
    storage.connect(runner.options)
    with held_output(layout.output, layout.run_id, chosen.command) as held:
        left = remove_leftovers(layout.output)
        if left:
            held.warnings.append(
                f"what runs that broke off had left was removed: {', '.join(left)}"
            )
        state = begin(plan, layout, started, chosen, held.warnings)
        _forget_answers(state)
        listening = interrupts or Interrupts()
        outcome = _run(state, runner, held, progress, interrupts=listening)
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
    from pipelines.run.carry_over import forget

    answers = storage.join(state.layout.output, ANSWERS)
    forgotten = forget(earlier, answers, chosen.item_ids or (), chosen.attributes or ())
    state.warnings.append(f"cached answers discarded: {forgotten:,}")


def _run(
    state: RunState,
    runner: Runner,
    held: Held,
    progress: str,
    *,
    interrupts: Interrupts,
) -> Outcome:
    layout, keep_work = state.layout, state.plan.config.keep_work
    try:
        try:
            dirs = layout.create()
            with (
                stderr_to(dirs.log if runner.is_local else "") as stderr,
                live_view(progress, dirs.heartbeats, stderr),
            ):
                made = make(state, dirs, runner)
            state.warnings.extend(damaged_caches(dirs, made.stages))
            delta = made.delta
            if _is_as_it_was(state, delta) and delta is not None and state.earlier is not None:
                layout.remove_snapshot()
                return _nothing_new(state, state.earlier, delta, made)
            with for_good():
                from pipelines.run.artifacts import write_artifacts
                from pipelines.run.conclude import conclude

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


def make(state: RunState, dirs: RunDirs, runner: Runner) -> Made:
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
        return _rebuild(state, dirs, runner, state.rebuild_reasons)
    delta = find_delta(state.plan, earlier, dirs, _scan_runner(state.plan, runner), state.selection)
    # A part that was chosen by hand is never a reason to rebuild the rest.
    moved = () if state.selection.is_partial else outgrown(state.plan, earlier, delta.counts)
    if moved:
        # Why so much moved: a damaged bucket has all its records read again.
        state.warnings.extend(delta.notes)
        return _rebuild(state, dirs, runner, (*moved, *state.vectors.reasons))
    if _is_as_it_was(state, delta) or state.plan.only_counts:
        return Made(delta)
    with for_good():
        from pipelines.run.building import make_changes
    return make_changes(state, earlier, delta, dirs, runner)


def _rebuild(state: RunState, dirs: RunDirs, runner: Runner, reasons: Sequence[str]) -> Made:
    """Make everything. What makes it is loaded where there is something to make: that takes longer
    than to look through a catalog that has not changed.
    """
    needed = 0 if runner.works_here or not runner.is_local else runner.workers
    with waiting_workers(needed):
        with for_good():
            from pipelines.run.building import rebuild
        return rebuild(state, dirs, runner, reasons)


def _is_as_it_was(state: RunState, delta: Delta | None) -> bool:
    """Tell whether a run that continues from a snapshot has nothing to make."""
    return delta is not None and delta.is_empty and not state.vectors.reasons


def _scan_runner(plan: Plan, runner: Runner) -> Runner:
    small = sum(split.size_bytes for split in plan.splits) <= SMALL_INPUT_BYTES
    return runner.in_one_process() if small else runner


def _nothing_new(state: RunState, earlier: Snapshot, delta: Delta, made: Made) -> Outcome:
    path = storage.join(earlier.path, MANIFEST)
    manifest = manifest_of_unchanged(earlier.manifest, state.info.started, delta, made)
    return Outcome(True, manifest, path, (*state.warnings, *delta.notes), unchanged=True)
