"""What all written pages share: the note at their top, and tables."""

from __future__ import annotations

from collections.abc import Sequence

NOTE = "<!-- Written by `make docs`; a test compares it with the code. -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; bars and line breaks in cells do not end them."""
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        f"| {' | '.join(head)} |",
        "|" + " --- |" * len(head),
        *(f"| {' | '.join(row)} |" for row in escaped),
    ]
