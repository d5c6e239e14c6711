"""Print for people and for programs; what comes from a catalog is shown, never obeyed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

import msgspec
from rich.text import Text

from schemas.secrets import hidden, masked


def printable(text: str) -> str:
    r"""Return the text with control and invisible characters as escapes, so that no catalog can
    steer a terminal, and without keys of the environment.

    >>> printable("red\x1b[2J\u202e")
    'red\\x1b[2J\\u202e'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in hidden(text)
    )


def table_text(text: str) -> Text:
    """Return the text of a table's cell; of a plain string rich would read brackets as markup."""
    return Text(printable(text))


def as_json(value: Any) -> str:
    """Return a value as one indented JSON document; what JSON has no form for becomes its text."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1).decode()


def print_json(value: Any) -> None:
    """Print a value as `as_json` writes it."""
    print(as_json(value))


def print_to_stderr(message: str) -> None:
    """Print a line that begins with the program's name."""
    print_line_to_stderr(f"catalog-enrich: {message}")


def print_line_to_stderr(line: str) -> None:
    """Print a line; where stderr can take none, the exit code alone has to say how a command
    ended.
    """
    try:
        print(printable(masked(line)), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # full, or closed
        lead_nowhere(sys.stderr)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print each warning on stderr."""
    for warning in warnings:
        print_to_stderr(f"warning: {warning}")


def print_after_work(print_all: Callable[[], None]) -> None:
    """Print what was done; if it cannot be printed, what was done stays done.

    A closed pipe or a full disk raises OSError, or makes rich end the process with SystemExit, and
    somebody may press Ctrl-C: none may turn the exit code of a finished run into a failure.
    """
    try:
        print_all()
        sys.stdout.flush()
    except (OSError, SystemExit, KeyboardInterrupt):
        lead_nowhere(sys.stdout)


def lead_nowhere(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, be lost without an error: Python would
    try it again at the end, and end with an exit code of its own.
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
