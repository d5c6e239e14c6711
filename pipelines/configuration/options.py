"""The options of a run: those of its configuration, those of Beam; typos are refused."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from pipelines.configuration.config import EXECUTION, EnrichConfig
from pipelines.configuration.declare import declare_options
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.runners import LOCAL_RUNNER, beam_parser
from transforms.runtime.options import Option


class Parser(argparse.ArgumentParser):
    """argparse that reports through ConfigError, so that all front ends fail alike."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"{message}; {self.prog} --help lists the options"])


def add_run_options(parser: argparse.ArgumentParser, *, continues: bool = False) -> None:
    """Declare the options of a run on `parser`.

    continues: for commands that continue from a snapshot: their input is known, and their output
    is an argument of their own.
    """

    def wanted(declared: Option) -> bool:
        return not (continues and declared.flag == "--output")

    groups = declare_options(parser, EnrichConfig, wanted, required=not continues)
    groups[EXECUTION].add_argument(
        "--runner", default=LOCAL_RUNNER, help="Beam runner (default: %(default)s, on this machine)"
    )
    add_display_options(groups[EXECUTION])


def add_display_options(group: argparse._ActionsContainer) -> None:
    """Declare what is shown of the work."""
    group.add_argument(
        "--progress",
        choices=("auto", "always", "never"),
        default="auto",
        help="on stderr: auto: a live view on a terminal, elsewhere a line every half minute; "
        "always: at least one line (default: %(default)s)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="print nothing unless something goes wrong: no live view, no summary; for cron",
    )


def refuse_unknown_options(
    arguments: Sequence[str], parser: argparse.ArgumentParser, *, beam: bool
) -> None:
    """Raise ConfigError naming every option that neither this program nor Beam knows: Beam would
    only log it.

    Comes before parsing, so that a typo is not reported as the option that it was meant to be
    missing.
    parser: of the command; beam: whether Beam's options are taken too.
    """
    parsers = (parser, beam_parser()) if beam else (parser,)
    known = {flag for each in parsers for action in each._actions for flag in action.option_strings}
    problems = []
    for argument in arguments:
        name = argument.split("=")[0]
        # With a space it is another option's value, as argparse sees it: --vllm-args
        # "--max-model-len 8192".
        if name.startswith("--") and " " not in name and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            problems.append(
                f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else "")
            )
    if problems:
        raise ConfigError(problems)
