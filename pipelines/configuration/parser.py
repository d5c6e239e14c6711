"""The parser of every command: argparse that says what is wrong by ConfigError."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.configuration.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """argparse that reports through ConfigError, so that all front ends fail alike."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"{message}; {self.prog} --help lists the options"])


def refuse_unknown_options(
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
    further: Callable[[], argparse.ArgumentParser] | None = None,
) -> None:
    """Raise ConfigError naming every option that no parser knows: Beam would only log it.

    Comes before parsing, so that a typo is not reported as the option that it was meant to be
    missing.
    parser: of the command; further: makes that of options which it passes on, and is called only
    where there may be one, as Beam takes a second to load.
    """
    known = _flags(parser)
    names = [argument.split("=")[0] for argument in arguments]
    # With a space it is another option's value, as argparse sees it: --vllm-args
    # "--max-model-len 8192".
    named = [name for name in names if name.startswith("--") and " " not in name]
    if further is not None and not known.issuperset(named):
        known |= _flags(further())
    problems = []
    for name in named:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            problems.append(
                f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else "")
            )
    if problems:
        raise ConfigError(problems)


def _flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}
