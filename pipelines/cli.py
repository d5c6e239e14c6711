"""The command line: `catalog-enrich COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import metadata

from pipelines.commands.backfill import BACKFILL
from pipelines.commands.command import PROGRAM, Command
from pipelines.commands.completion import completion_command
from pipelines.commands.demo import DEMO
from pipelines.commands.diff import DIFF
from pipelines.commands.doctor import DOCTOR
from pipelines.commands.evaluate import EVALUATE
from pipelines.commands.exits import USUAL_EXITS, Exit, exit_lines, report_bad_arguments
from pipelines.commands.inspect import INSPECT
from pipelines.commands.plan import PLAN
from pipelines.commands.prune import PRUNE
from pipelines.commands.replay import REPLAY
from pipelines.commands.report import REPORT
from pipelines.commands.rollback import ROLLBACK
from pipelines.commands.run import RUN
from pipelines.commands.snapshots import SNAPSHOTS
from pipelines.commands.tables import TABLES_COMMAND
from pipelines.commands.template import CHECK, LIST, SHOW
from pipelines.commands.template_init import INIT
from pipelines.commands.unlock import UNLOCK
from pipelines.commands.vectors import CHECK_VECTORS, SHOW_VECTORS
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.options import Parser
from pipelines.monitoring.interrupts import as_process
from pipelines.monitoring.streams import masked_streams

# First words of commands of two words, and what these are about.
GROUPS = {
    "template": "draft, check and look at catalog templates",
    "vectors": "what vectors are, and whether an encoder fits them",
}


def build_parser() -> Parser:
    """Return the parser of all commands, for help and completion."""
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
    for command in COMMANDS:
        group = command.name.split()[0]
        if group in GROUPS and group not in groups:
            groups[group] = commands.add_parser(
                group, help=GROUPS[group], allow_abbrev=False
            ).add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
        command.add_to(groups.get(group, commands))
    return parser


# In the order of the help.
COMMANDS: tuple[Command, ...] = (
    RUN,
    PLAN,
    EVALUATE,
    BACKFILL,
    REPLAY,
    REPORT,
    TABLES_COMMAND,
    INSPECT,
    SHOW_VECTORS,
    CHECK_VECTORS,
    SNAPSHOTS,
    DIFF,
    ROLLBACK,
    PRUNE,
    UNLOCK,
    INIT,
    LIST,
    CHECK,
    SHOW,
    DOCTOR,
    DEMO,
    completion_command(build_parser),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    commands = {command.name: command for command in COMMANDS}
    for words in (2, 1):
        command = commands.get(" ".join(arguments[:words]))
        if command is not None:
            return command.main(arguments[words:])
    try:
        # Prints the help or the version and ends, or says what is wrong with the command's name.
        build_parser().parse_args(arguments)
    except ConfigError as error:
        with masked_streams():
            return report_bad_arguments(error)
    return Exit.BAD_ARGUMENTS


if __name__ == "__main__":
    sys.exit(as_process(main))
