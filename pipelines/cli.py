"""The command line: `catalog-enrich COMMAND`.

A command is loaded when it is typed: what the others import costs it nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.commands.exits import PROGRAM, USUAL_EXITS, Exit, exit_lines
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.parser import Parser
from pipelines.monitoring.interrupts import as_process
from pipelines.monitoring.streams import masked_streams
from transforms.runtime.imports import for_good

if TYPE_CHECKING:
    from pipelines.commands.command import Command


class Listed(NamedTuple):
    """A command that can be typed.

    path: its module below pipelines.commands, and the name of its `Command` there. brief: its line
    in the list of commands.
    """

    path: str
    brief: str


# First words of commands of two words, and what these are about.
GROUPS = {
    "template": "draft, check and look at catalog templates",
    "vectors": "what vectors are, and whether an encoder fits them",
}
# By name, in the order of the help.
COMMANDS: Mapping[str, Listed] = {
    "run": Listed("run:RUN", "enrich a catalog and publish a snapshot"),
    "plan": Listed("plan:PLAN", "what a run would do and cost, before anything is paid"),
    "evaluate": Listed(
        "evaluate:EVALUATE", "measure how good filled values are, on known values held back"
    ),
    "backfill": Listed(
        "backfill:BACKFILL",
        "process some items of the published snapshot again: incomplete, unsure, or of an old "
        "model",
    ),
    "replay": Listed("replay:REPLAY", "send records in quarantine through again, after a fix"),
    "report": Listed("report:REPORT", "write the report page of a snapshot again"),
    "tables": Listed("tables:TABLES_COMMAND", "what tables a snapshot has, and how to read them"),
    "inspect": Listed("inspect:INSPECT", "one item's whole story"),
    "vectors show": Listed("vectors:SHOW_VECTORS", "what the vectors of an output are"),
    "vectors check": Listed(
        "vectors:CHECK_VECTORS", "whether an encoder fits the vectors of an output"
    ),
    "snapshots": Listed("snapshots:SNAPSHOTS", "list an output's snapshots"),
    "diff": Listed("diff:DIFF", "what differs between two snapshots"),
    "rollback": Listed("rollback:ROLLBACK", "let readers see an earlier snapshot"),
    "prune": Listed("prune:PRUNE", "remove old snapshots"),
    "unlock": Listed("unlock:UNLOCK", "remove the lock of a dead run"),
    "template init": Listed("template_init:INIT", "draft a template for a raw catalog"),
    "template list": Listed("template:LIST", "name the packaged templates"),
    "template check": Listed("template:CHECK", "report every error of a template, with its line"),
    "template show": Listed("template:SHOW", "print a packaged template, to start your own from"),
    "doctor": Listed("doctor:DOCTOR", "whether this machine can run the job"),
    "demo": Listed("demo:DEMO", "run the job on a small packaged catalog"),
    "completion": Listed(
        "completion:completion_command", "print a script for completion in a shell"
    ),
}


def command_of(name: str) -> Command:
    """Return the command of this name, which is loaded for it."""
    module, _, constant = COMMANDS[name].path.partition(":")
    with for_good():
        found: Any = getattr(import_module(f"pipelines.commands.{module}"), constant)
    # One that is about all commands is made of their parser.
    command: Command = found if name != "completion" else found(build_parser)
    return command


def build_parser() -> Parser:
    """Return the parser of all commands with their options, for completion and reference pages."""

    def add(commands: Any, name: str) -> None:
        command_of(name).add_to(commands, COMMANDS[name].brief)

    return _parser(add)


def _overview() -> Parser:
    """Return the parser of the names of all commands, for the help: no command is loaded."""

    def add(commands: Any, name: str) -> None:
        commands.add_parser(name.split()[-1], help=COMMANDS[name].brief, allow_abbrev=False)

    return _parser(add)


def _parser(add: Callable[[Any, str], None]) -> Parser:
    """Return a parser of all commands; add: adds one to those of its group."""
    parser = Parser(
        prog=PROGRAM,
        description="Raw catalogs and their images in, complete and checked feature tables out.",
        epilog=exit_lines(USUAL_EXITS),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=16),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=metadata.version(PROGRAM))
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    groups: dict[str, argparse._SubParsersAction[Parser]] = {}
    for name in COMMANDS:
        group = name.split()[0]
        if group in GROUPS and group not in groups:
            groups[group] = commands.add_parser(
                group, help=GROUPS[group], allow_abbrev=False
            ).add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
        add(groups.get(group, commands), name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return command_of(name).main(arguments[words:])
    try:
        # Prints the help or the version and ends, or says what is wrong with the command's name.
        _overview().parse_args(arguments)
    except ConfigError as error:
        from pipelines.commands.guards import report_bad_arguments

        with masked_streams():
            return report_bad_arguments(error)
    return Exit.BAD_ARGUMENTS


if __name__ == "__main__":
    sys.exit(as_process(main))
