"""Vector tables and their neighbours in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.figures import interval, number, signed
from pipelines.evaluation.protocols.neighbours import Neighbours
from pipelines.evaluation.vectors.neighbours import MEAN_COSINE, PAIRS_FOUND, Figure, Shift
from pipelines.monitoring.terminal import printable, table_text


def print_neighbours(console: Console, result: Neighbours) -> None:
    """Print a table for each vector table, what lies across them, and what was not measured."""
    for each in result.tables:
        title = f"{each.space}: {each.items:,} vectors of {each.dimension}, {each.encoder}"
        console.print(_figures(title, each.figures))
        if each.against:
            console.print(_shifts(f"{each.space}: compared with {result.against}", each.against))
    if result.across:
        console.print(_figures("across tables and languages", result.across))
    console.print(result.method, style="dim", markup=False)
    for note in result.notes:
        console.print(printable(note), style="yellow", markup=False)


def _figures(title: str, figures: Iterable[Figure]) -> Table:
    table = _table(title, "value", "95 % interval")
    for each in figures:
        table.add_row(*_first_cells(each), number(each.value), interval(each.low, each.high))
    return table


def _shifts(title: str, shifts: Iterable[Shift]) -> Table:
    table = _table(title, "here", "there", "diff.", "95 % interval", "")
    for each in shifts:
        table.add_row(
            *_first_cells(each),
            number(each.here),
            number(each.there),
            signed(each.difference),
            interval(each.low, each.high, signed),
            each.verdict,
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=printable(title), title_justify="left")
    table.add_column("measure", overflow="fold")
    for name in ("items", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _first_cells(each: Figure | Shift) -> tuple[Text, str]:
    """Return what was measured, such as `category at 5`, and of how many items."""
    name = each.measure if each.measure in (MEAN_COSINE, PAIRS_FOUND) else each.of
    return table_text(f"{name} at {each.k}" if each.k else name), f"{each.queries:,}"
