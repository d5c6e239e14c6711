"""`catalog-enrich completion SHELL`: a script by which a shell completes commands and options."""

from __future__ import annotations

import argparse

from pipelines.commands import Command, print_json

SHELLS = ("bash", "zsh", "tcsh")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="for which shell the script is")


def _print_script(options: argparse.Namespace) -> int:
    import shtab

    from pipelines.cli import build_parser

    script = shtab.complete(build_parser(), shell=options.shell)
    print_json({"shell": options.shell, "script": script}) if options.json else print(script)
    return 0


COMPLETION = Command(
    "completion",
    "print a script for completion in a shell",
    "Prints the script by which a shell completes this program's commands and options with the tab key. Made from the "
    "same declarations as --help; print it anew after an update.",
    [
        "bash > ~/.local/share/bash-completion/completions/catalog-enrich",
        "zsh > ~/.zfunc/_catalog-enrich",
    ],
    _add_options,
    _print_script,
)
