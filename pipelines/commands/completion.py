"""`catalog-enrich completion SHELL`: a script by which a shell completes commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.monitoring.terminal import print_json

ParserBuilder = Callable[[], argparse.ArgumentParser]

SHELLS = ("bash", "zsh", "tcsh")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="for which shell the script is")


def _print_script(build_parser: ParserBuilder, options: argparse.Namespace) -> Exit:
    import shtab

    parser = build_parser()
    _complete_paths(parser, {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "OUTPUT": shtab.DIRECTORY})
    script = shtab.complete(parser, shell=options.shell)
    if options.json:
        print_json({"shell": options.shell, "script": script})
    else:
        print(script)
    return Exit.DONE


def _complete_paths(
    parser: argparse.ArgumentParser, kinds: Mapping[str, Mapping[str, str]]
) -> None:
    """Say which arguments are paths, by what stands for them in the help: `NAME|FILE` is one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                _complete_paths(part, kinds)
        for kind in str(action.metavar).split("|"):
            if kind in kinds:
                action.complete = kinds[kind]  # type: ignore[attr-defined]


def completion_command(build_parser: ParserBuilder) -> Command:
    """Return the command.

    build_parser: makes the parser of all commands, this one included.
    """
    return Command(
        "completion",
        "Prints the script by which a shell completes this program's commands and options with the "
        "tab key. Made from the "
        "same declarations as --help; print it again after an update.",
        [
            "bash > ~/.local/share/bash-completion/completions/catalog-enrich",
            "zsh > ~/.zfunc/_catalog-enrich",
        ],
        _add_options,
        partial(_print_script, build_parser),
        {Exit.DONE: "the script was printed", Exit.BAD_ARGUMENTS: "bad arguments"},
    )
