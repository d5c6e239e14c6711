"""`catalog-enrich run`: the whole job, from the command line to the published snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.commands.command import print_json
from pipelines.commands.exits import DONE, REFUSED, attempt, print_warnings, show
from pipelines.commands.interrupts import Interrupts
from pipelines.configuration.config import Plan, make_plan
from pipelines.configuration.from_options import config_from
from pipelines.configuration.runners import LOCAL_RUNNER, beam_options, connect_storage
from pipelines.monitoring.stderr import quiet_libraries
from pipelines.monitoring.summary import print_outcome, print_refusal
from pipelines.run.job import Outcome, run
from pipelines.run.scan import Selection


def run_command(options: Any, passed: Sequence[str]) -> int:
    """Plan, run and report; `options` are ours, `passed` is for Beam."""
    planned, code = attempt(lambda _: plan_of(options, passed))
    return code if planned is None else execute(*planned, options)


def plan_of(options: Any, passed: Sequence[str]) -> tuple[Plan, PipelineOptions]:
    """What parsed options ask for, and Beam's own. Raises ConfigError and TemplateRefusedError."""
    quiet_libraries()
    connect_storage(passed)
    plan = make_plan(config_from(options))
    return plan, beam_options(options.runner, plan.workers, passed)


def execute(
    plan: Plan, beam_flags: PipelineOptions, options: Any, selection: Selection | None = None
) -> int:
    """Run a plan and report how it ended; returns the exit code. selection: as of `run`."""

    def work(interrupts: Interrupts) -> Outcome:
        return run(
            plan,
            beam_flags,
            progress_of(options),
            local=options.runner == LOCAL_RUNNER,
            before_publishing=interrupts.stop_listening,
            selection=selection,
        )

    outcome, code = attempt(work)
    if outcome is None:
        return code
    show(lambda: _print(outcome, options))
    return DONE if outcome.published else REFUSED


def progress_of(options: Any) -> str:
    """When the live view is shown: --quiet is --progress never, and more."""
    return "never" if options.quiet else str(options.progress)


def _print(outcome: Outcome, options: Any) -> None:
    if options.json:
        print_json(
            {"unchanged": outcome.unchanged, "manifest_path": outcome.manifest_path}
            | dict(outcome.manifest)
        )
    elif not options.quiet:
        print_outcome(outcome.manifest, outcome.manifest_path, unchanged=outcome.unchanged)
    elif not outcome.published:
        print_refusal(outcome.manifest, outcome.manifest_path)
    print_warnings(outcome.warnings)
