"""What all written pages share: the note at their top, and tables."""

from __future__ import annotations

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
