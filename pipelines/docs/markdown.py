"""What all written pages share: the note at their top, tables, and options as rows of one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

NOTE = "<!-- Written by `make docs`; a test compares it with the code. -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; bars and line breaks in cells do not end them."""
    return [
        f"| {' | '.join(head)} |",
        "|" + " --- |" * len(head),
        *(f"| {' | '.join(map(_escaped, row))} |" for row in rows),
    ]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def option_row(action: argparse.Action) -> tuple[str, str, str]:
    """Return how an option is written, its default, and what it means."""
    name = (
        action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
    )
    about = (action.help or "").replace("%(default)s", str(action.default))
    if action.choices and not action.option_strings:
        about += f": {', '.join(map(str, action.choices))}"
    return f"`{name}`", _default(action), about


def _default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction):
        return "off"
    return "" if action.default in (None, "", ()) else f"`{action.default}`"
