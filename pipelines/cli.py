"""The command line: `catalog-enrich COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata

from pipelines.commands.backfill import COMMANDS as PARTIAL
from pipelines.commands.backfill import HELP, part_command
from pipelines.commands.command import Command
from pipelines.commands.completion import completion_command
from pipelines.commands.doctor import DOCTOR
from pipelines.commands.evaluate import EPILOG as EVALUATE_EPILOG
from pipelines.commands.evaluate import add_evaluate_options, evaluate_command
from pipelines.commands.exits import report_bad_arguments
from pipelines.commands.history import COMMANDS as HISTORY
from pipelines.commands.inspect import INSPECT
from pipelines.commands.plan import EPILOG as PLAN_EPILOG
from pipelines.commands.plan import plan_command
from pipelines.commands.report import REPORT
from pipelines.commands.run import run_command
from pipelines.commands.tables import TABLES_COMMAND
from pipelines.commands.template import COMMANDS as TEMPLATE
from pipelines.commands.template_init import INIT
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.options import (
    EPILOG,
    EXIT_CODES,
    Parser,
    add_run_options,
    refuse_unknown_options,
)
from schemas.loading import TemplateRefusedError

# What takes Beam's options besides its own: name → what it does, epilog, how its options are
# declared, how it is run.
Declare = Callable[[argparse.ArgumentParser], None]
RUNNING: dict[str, tuple[str, str, Declare, Callable[[argparse.Namespace, Sequence[str]], int]]] = {
    "run": ("enrich a catalog and publish a snapshot", EPILOG, add_run_options, run_command),
    "plan": (
        "what a run would do and cost, before anything is paid",
        PLAN_EPILOG,
        add_run_options,
        plan_command,
    ),
    "evaluate": (
        "measure how good filled values are, on known values held back",
        EVALUATE_EPILOG,
        add_evaluate_options,
        evaluate_command,
    ),
}


def build_parser() -> Parser:
    """The parser of all commands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="catalog-enrich",
        description="Raw catalogs and their pictures in, complete and checked feature tables out.",
        epilog=EXIT_CODES,
        formatter_class=partial(raw, max_help_position=16),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=metadata.version("catalog-enrich"))
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    told: dict[str, tuple[str, str, Declare]] = {name: each[:3] for name, each in RUNNING.items()}
    told |= {
        name: (HELP[name], epilog, add_options)
        for name, (add_options, epilog, _) in PARTIAL.items()
    }
    for name, (about, epilog, add_options) in told.items():
        part = commands.add_parser(
            name,
            help=about,
            epilog=epilog,
            formatter_class=raw,
            allow_abbrev=False,
            description=about,
        )
        add_options(part)
    for command in LOOKING:
        command.declare(commands.add_parser)
    template = commands.add_parser(
        "template", help="draft, check and look at catalog templates", allow_abbrev=False
    )
    actions = template.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=Parser
    )
    for command in (INIT, *TEMPLATE):
        command.declare(actions.add_parser, "catalog-enrich template")
    return parser


LOOKING: tuple[Command, ...] = (
    REPORT,
    TABLES_COMMAND,
    INSPECT,
    *HISTORY,
    DOCTOR,
    completion_command(build_parser),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        name = arguments[0] if arguments else ""
        if name in PARTIAL:
            return part_command(name, arguments[1:])
        if name in RUNNING:
            _, _, add_options, work = RUNNING[name]
            refuse_unknown_options(arguments, add_options, beam=name != "evaluate")
            options, passed = build_parser().parse_known_args(arguments)
            return work(options, passed)
        options, passed = build_parser().parse_known_args(arguments)
        if passed:
            raise ConfigError([f"unknown argument {argument}" for argument in passed])
        code: int = options.command_run(options)
    except (ConfigError, TemplateRefusedError) as error:
        return report_bad_arguments(error)
    return code


if __name__ == "__main__":
    sys.exit(main())
