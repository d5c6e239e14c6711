"""What a command of the command line is: its name, what it says of itself, its options, and what it
does.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

HELP_COLUMNS = 80

EXIT_CODES = """exit codes:
  0  done
  1  refused, or what was looked at is not in order
  2  bad arguments, or there is no such thing; nothing was changed
  3  it broke off (disk full, files that may not be read, object store out of reach)"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that takes no Beam options.

    brief: its line in the list of commands; about: what it does, in sentences; examples: its
    arguments in examples.
    run: returns the exit code; raises ConfigError for arguments that make no sense.
    Every command has --json, by which it prints one JSON document on stdout and nothing else there.
    """

    name: str
    brief: str
    about: str
    examples: Sequence[str]
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    exit_codes: str = EXIT_CODES

    def declare(
        self, add_parser: Callable[..., argparse.ArgumentParser], prefix: str = "catalog-enrich"
    ) -> None:
        """Add its parser.

        add_parser: of the subparsers that it belongs to; prefix: what is typed before its name.
        """
        shown = "".join(f"\n  {prefix} {self.name} {each}" for each in self.examples)
        parser = add_parser(
            self.name,
            help=self.brief,
            description=textwrap.fill(self.about, HELP_COLUMNS),
            epilog=f"examples:{shown}\n\n{self.exit_codes}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_options(parser)
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        parser.set_defaults(command_run=self.run)


def print_json(value: Any) -> None:
    """Print a value as one indented JSON document; what JSON has no form for as its text."""
    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1).decode())
