"""What a command of the command line is: its name, its help, its options, and what it does.

A command is declared in a file of its own and listed in `COMMANDS` of pipelines/cli.py, with its
line in the list of commands.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.commands.exits import HELP_COLUMNS, PROGRAM, USUAL_EXITS, Exit, exit_lines
from pipelines.commands.guards import guarded
from pipelines.commands.surroundings import check_surroundings, open_closed_streams
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.parser import Parser, refuse_unknown_options
from pipelines.configuration.runners import beam_parser, connect_storage
from pipelines.configuration.secret_options import refuse_secrets
from pipelines.monitoring.interrupts import listening
from pipelines.monitoring.stderr import quiet_libraries
from pipelines.monitoring.streams import masked_streams
from transforms.runtime.reach import check_stores


def no_options(_: argparse.ArgumentParser) -> None:
    """Declare nothing, for commands without options of their own."""


def _no_defaults(_: argparse.Namespace) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line.

    name: as it is typed; of two words for an action of a group, such as `template check`.
    about: what it does, in sentences; examples: its arguments in examples; notes: what else its
    help says, as it is to be printed.
    run: does the work and returns how it ended; may raise whatever `guarded` turns into an exit
    code. exits: what the exit codes mean.
    data: names of options that say what a catalog holds: an address in them is not of the job.
    takes_beam_options: arguments that it does not declare are Apache Beam's; they come as
    `options.beam_args`.
    defaults: given the options as parsed, returns other defaults for those that were not given.

    Every command has --json, by which it prints one JSON document on stdout and nothing else there.
    """

    name: str
    about: str
    examples: Sequence[str]
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Exit]
    exits: Mapping[Exit, str] = field(default_factory=lambda: USUAL_EXITS)
    notes: str = ""
    data: Sequence[str] = ()
    takes_beam_options: bool = False
    defaults: Callable[[argparse.Namespace], Mapping[str, Any]] = _no_defaults

    def main(self, arguments: Sequence[str], program: str = "") -> int:
        """Run with these arguments; returns the exit code.

        program: how it was started, for its messages, if not as `catalog-enrich NAME`.
        """
        open_closed_streams()
        quiet_libraries()
        with listening(), masked_streams():
            return guarded(lambda: self._run(arguments, program))

    def _run(self, arguments: Sequence[str], program: str) -> Exit:
        check_surroundings(arguments)
        return self.run(self._parse(arguments, program))

    def parser(self, program: str = "") -> Parser:
        """Return a parser of this command alone."""
        return self._declared_on(Parser(prog=program or f"{PROGRAM} {self.name}", **self._help()))

    def add_to(self, commands: argparse._SubParsersAction[Parser], brief: str) -> None:
        """Add its parser to those of all commands, or of its group; brief: its line there."""
        name = self.name.split()[-1]
        self._declared_on(commands.add_parser(name, help=brief, **self._help()))

    def _help(self) -> dict[str, Any]:
        lines = "".join(f"\n  {PROGRAM} {self.name} {each}".rstrip() for each in self.examples)
        parts = [f"examples:{lines}", self.notes, exit_lines(self.exits)]
        return {
            "description": textwrap.fill(self.about, HELP_COLUMNS),
            "epilog": "\n\n".join(part for part in parts if part),
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
        }

    def _declared_on(self, parser: Parser) -> Parser:
        self.add_options(parser)
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        return parser

    def _parse(self, arguments: Sequence[str], program: str) -> argparse.Namespace:
        """Return the options. Raises ConfigError."""
        parser = self.parser(program)
        refuse_unknown_options(arguments, parser, beam_parser if self.takes_beam_options else None)
        options, passed = parser.parse_known_args(list(arguments))
        if passed and not self.takes_beam_options:
            raise ConfigError([f"unknown argument {argument}" for argument in passed])
        refuse_secrets(options, parser, passed, self.data)
        connect_storage(passed)
        check_stores(_texts(options))
        defaults = self.defaults(options)
        if defaults:
            parser.set_defaults(**defaults)
            options, passed = parser.parse_known_args(list(arguments))
            # What an earlier version remembered was not looked at.
            refuse_secrets(options, parser, passed, self.data)
            check_stores(_texts(options))
        options.beam_args = passed
        return options


def _texts(options: argparse.Namespace) -> Iterator[str]:
    """Yield the texts that options hold, whatever they mean."""
    for value in vars(options).values():
        yield from (
            each
            for each in (value if isinstance(value, list | tuple) else [value])
            if isinstance(each, str)
        )
