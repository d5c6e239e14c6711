"""`catalog-enrich run`: the whole job, from the command line to the published snapshot."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import msgspec

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.guards import interruptible
from pipelines.configuration.from_options import config_from
from pipelines.configuration.options import add_run_options
from pipelines.configuration.plan import Plan, make_plan
from pipelines.configuration.runners import Runner, checked_runner
from pipelines.monitoring.summary import print_outcome, print_refusal
from pipelines.monitoring.terminal import print_after_work, print_json, print_warnings
from pipelines.run.selection import Selection
from transforms.runtime.imports import for_good

if TYPE_CHECKING:
    from pipelines.run.job import Outcome

RUN_EXITS = {
    Exit.DONE: "the snapshot was published",
    Exit.REFUSED: "the gate refused the snapshot (also when a language model failed on too many "
    "items), a record could not be accounted for, or another run holds the lock of the output; "
    "readers keep the previous snapshot, the answers of a language model are kept",
    Exit.BAD_ARGUMENTS: "bad arguments, template or input; nothing was run",
    Exit.BROKEN_OFF: "the run broke off (disk full, killed worker, runner failure, a language "
    "model's server that can answer nothing: no credit, an unknown model, a key that is not "
    "accepted), or a file of the output is damaged and cannot be rebuilt, or is of a newer "
    "version; readers keep the previous snapshot, the answers of a language model are kept",
}


def planned(options: argparse.Namespace) -> tuple[Plan, Runner]:
    """Return the plan that the options describe, and what runs it.

    Raises ConfigError and TemplateRefusedError.
    """
    plan = make_plan(config_from(options))
    return plan, checked_runner(options.runner, plan.workers, options.beam_args)


def execute(
    plan: Plan,
    runner: Runner,
    options: argparse.Namespace,
    selection: Selection | None = None,
) -> Exit:
    """Run a plan and print how it ended. selection: as of `pipelines.run.job.run`."""
    with interruptible() as interrupts:
        with for_good():
            from pipelines.run.job import run

        outcome = run(
            plan,
            runner,
            progress_of(options),
            interrupts=interrupts,
            selection=selection,
        )
    print_after_work(lambda: _print(outcome, options))
    return Exit.DONE if outcome.published else Exit.REFUSED


def progress_of(options: argparse.Namespace) -> str:
    """Return when progress is displayed: --quiet includes --progress never."""
    return "never" if options.quiet else str(options.progress)


def _print(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.json:
        print_json(
            {"unchanged": outcome.unchanged, "manifest_path": outcome.manifest_path}
            | msgspec.to_builtins(outcome.manifest)
        )
    elif not options.quiet:
        print_outcome(outcome.manifest, outcome.manifest_path, unchanged=outcome.unchanged)
    elif not outcome.published:
        print_refusal(outcome.manifest, outcome.manifest_path)
    print_warnings(outcome.warnings)


def _run(options: argparse.Namespace) -> Exit:
    with interruptible():
        plan, runner = planned(options)
    return execute(plan, runner, options)


RUN = Command(
    "run",
    "Reads a raw catalog and its images, fills what is missing, checks the result, and publishes "
    "it as a snapshot of feature tables. A run continues from the last snapshot of its output: "
    "only what changed is processed again.",
    [
        "--template grocery --input 'catalog/*.jsonl' --images-root catalog --output out",
        "--template my.yaml --input items.csv.gz --images-root images --output out",
    ],
    add_run_options,
    _run,
    RUN_EXITS,
    notes="""Every Apache Beam option is accepted as well, for example
--runner DataflowRunner --project P --region R
--temp_location gs://B/tmp --setup_file ./setup.py.""",
    takes_beam_options=True,
)
