"""The main job: a raw catalog with pictures in, a checked and published snapshot of feature tables out.

Started as `catalog-enrich run` or `python -m pipelines.enrich`, with the same options.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.commands import print_json
from pipelines.config import ConfigError, Plan, make_plan
from pipelines.configure import config_from
from pipelines.delta import Selection
from pipelines.interrupts import Interrupts
from pipelines.job import Outcome, run
from pipelines.locks import OutputLockedError
from pipelines.options import EPILOG, Parser, add_run_options, refuse_unknown_options
from pipelines.quiet import quiet_libraries
from pipelines.runners import LOCAL_RUNNER, beam_options, connect_storage
from pipelines.summary import print_outcome, print_refusal
from pipelines.terminal import printable
from schemas.loading import TemplateRefusedError

PUBLISHED, REFUSED, BAD_ARGUMENTS, BROKEN_OFF = 0, 1, 2, 3

Result = TypeVar("Result")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job with these arguments; returns the exit code."""
    parser = Parser(
        prog="python -m pipelines.enrich",
        description="Enrich a catalog and publish a snapshot.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run_options(parser)
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        refuse_unknown_options(arguments)
        options, passed = parser.parse_known_args(arguments)
        return run_command(options, passed)
    except ConfigError as error:
        return report_bad_arguments(error)


def run_command(options: Any, passed: Sequence[str]) -> int:
    """Plan, run and report; `options` are ours, `passed` is for Beam."""
    quiet_libraries()
    connect_storage(passed)
    try:
        plan = make_plan(config_from(options))
        beam_flags = beam_options(options.runner, plan.workers, passed)
    except (ConfigError, TemplateRefusedError) as error:
        return report_bad_arguments(error)
    return execute(plan, beam_flags, options)


def execute(plan: Plan, beam_flags: PipelineOptions, options: Any, selection: Selection | None = None) -> int:
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
    return PUBLISHED if outcome.published else REFUSED


def progress_of(options: Any) -> str:
    """When the live view is shown: --quiet is --progress never, and more."""
    return "never" if options.quiet else str(options.progress)


def attempt(work: Callable[[Interrupts], Result]) -> tuple[Result | None, int]:
    """What work gives, or None with the exit code after whatever broke it off was reported."""
    interrupts = Interrupts()
    try:
        with interrupts:
            return work(interrupts), PUBLISHED
    except OutputLockedError as error:
        print(printable(f"catalog-enrich: refused: {error}"), file=sys.stderr)
        return None, REFUSED
    except (Exception, KeyboardInterrupt) as error:
        return None, _report_broken_off(error, interrupted=interrupts.happened or isinstance(error, KeyboardInterrupt))


def show(tell: Callable[[], None]) -> None:
    """Print what was done. If whoever read it has gone (rich ends the process then), what was done stays done."""
    try:
        tell()
        sys.stdout.flush()
    except (OSError, SystemExit):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(printable(f"catalog-enrich: warning: {warning}"), file=sys.stderr)


def _print(outcome: Outcome, options: Any) -> None:
    if options.json:
        print_json({"unchanged": outcome.unchanged, "manifest_path": outcome.manifest_path} | dict(outcome.manifest))
    elif not options.quiet:
        print_outcome(outcome.manifest, outcome.manifest_path, unchanged=outcome.unchanged)
    elif not outcome.published:
        print_refusal(outcome.manifest, outcome.manifest_path)
    print_warnings(outcome.warnings)


def report_bad_arguments(error: Exception) -> int:
    for line in str(error).splitlines():
        print(printable(line if line.startswith(" ") else f"catalog-enrich: error: {line}"), file=sys.stderr)
    return BAD_ARGUMENTS


def _report_broken_off(error: BaseException, *, interrupted: bool) -> int:
    what = "interrupted"
    if not interrupted:
        for line in "".join(traceback.format_exception(error)).splitlines():
            print(printable(line), file=sys.stderr)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
    print(printable(f"catalog-enrich: the run broke off: {what}. Readers keep the previous snapshot."), file=sys.stderr)
    return BROKEN_OFF


if __name__ == "__main__":
    sys.exit(main())
