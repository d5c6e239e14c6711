"""How a command ends: its exit code, and what each means."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from enum import IntEnum

PROGRAM = "catalog-enrich"
HELP_COLUMNS = 80


class Exit(IntEnum):
    """The exit codes of every command. They are an interface: schedulers decide by them."""

    DONE = 0
    REFUSED = 1
    BAD_ARGUMENTS = 2
    BROKEN_OFF = 3


# Of commands that read snapshots, or change nothing but which of them there are.
USUAL_EXITS: Mapping[Exit, str] = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused: a run holds the lock of the output, or readers would lose what is "
    "whole; nothing was changed",
    Exit.BAD_ARGUMENTS: "bad arguments, or no such snapshot; nothing was changed",
    Exit.BROKEN_OFF: "it broke off (disk full, no permission, object store out of reach), or a "
    "file that it reads is damaged or of a newer version; the message names it",
}


def exit_lines(exits: Mapping[Exit, str]) -> str:
    """Return what exit codes mean, as lines of a help text."""
    lines = [
        textwrap.fill(
            f"{code:d}  {meaning}",
            HELP_COLUMNS,
            initial_indent="  ",
            subsequent_indent="     ",
            break_on_hyphens=False,
        )
        for code, meaning in sorted(exits.items())
    ]
    return "\n".join(["exit codes:", *lines])
