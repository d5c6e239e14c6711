"""`catalog-enrich diff`: what changed between two snapshots."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import existing_output
from pipelines.commands.source_rows import ItemRows, add_rows_option, row_lines, rows_of_items
from pipelines.monitoring.terminal import print_json, printable, table_text
from pipelines.snapshots.diff import (
    ADDED,
    CHANGED,
    KINDS,
    REMOVED,
    AttributeDifference,
    Difference,
    diff,
)
from pipelines.snapshots.history import named_snapshot
from pipelines.snapshots.snapshot import Snapshot
from schemas.texts import shorten

MAX_SHOWN_CHARS = 60
MAX_ROWS = 20


def _add_options(parser: argparse.ArgumentParser) -> None:
    for name, metavar in (("before", "A"), ("after", "B")):
        which = "run id, `current`, `previous`, or the path of a snapshot's folder"
        parser.add_argument(name, metavar=metavar, help=which)
    parser.add_argument(
        "--output",
        type=existing_output,
        default="",
        metavar="DIR",
        help="folder of the snapshots; not needed where A and B are paths",
    )
    parser.add_argument(
        "--examples",
        type=int,
        default=3,
        metavar="N",
        help="examples of each kind of difference (default: %(default)s)",
    )
    add_rows_option(parser)


def _diff(options: argparse.Namespace) -> Exit:
    before, after = (
        named_snapshot(options.output, named) for named in (options.before, options.after)
    )
    found = diff(before, after, options.examples)
    rows = {} if options.no_rows else _rows(found, before, after)
    if options.json:
        print_json(
            {**{each.name: getattr(found, each.name) for each in fields(found)}, "rows": rows}
        )
    else:
        _print_difference(found)
        _print_rows(rows)
    return Exit.DONE


def _rows(found: Difference, before: Snapshot, after: Snapshot) -> dict[str, ItemRows]:
    """Return the rows of the items that are shown and made of several; of one that is gone, those
    that it had.
    """
    shown = [item_id for kind in (ADDED, CHANGED) for item_id in found.item_examples[kind]]
    shown += [each.item_id for every in found.attributes.values() for each in every.examples]
    rows = rows_of_items(after, shown)
    return rows_of_items(before, found.item_examples[REMOVED]) | rows


def _print_rows(rows: Mapping[str, ItemRows]) -> None:
    console = Console(highlight=False)
    for item_id, of_item in rows.items():
        console.print(printable(f"rows of {item_id}:"), markup=False, soft_wrap=True)
        for line in row_lines(of_item, MAX_ROWS):
            console.print(printable(f"  {line}"), markup=False, soft_wrap=True)


def _print_difference(found: Difference) -> None:
    console = Console(highlight=False)
    console.print(printable(f"from {found.before} to {found.after}"), markup=False)
    if found.is_empty:
        console.print("nothing differs", markup=False)
        return
    for kind in KINDS:
        shown = ", ".join(found.item_examples[kind])
        if found.items[kind]:
            console.print(
                printable(f"items {kind}: {found.items[kind]:,} ({shown} ...)"),
                markup=False,
                soft_wrap=True,
            )
    for kind, reasons in found.quarantine.items():
        for reason, count in sorted(reasons.items()):
            console.print(printable(f"quarantine {kind}: {count:,} {reason}"), markup=False)
    table = Table(title="Values of items that both have", title_justify="left")
    for name in ("attribute", "source", *KINDS):
        table.add_column(name, justify="right" if name in KINDS else "left", overflow="fold")
    for name, difference in found.attributes.items():
        for number, source in enumerate(
            sorted({s for counts in difference.counts.values() for s in counts})
        ):
            counts = (difference.counts[kind].get(source) for kind in KINDS)
            numbers = (f"{count:,}" if count else "" for count in counts)
            table.add_row(table_text("" if number else name), table_text(source), *numbers)
    if table.row_count:
        console.print(table)
    for name, difference in found.attributes.items():
        for line in _examples(name, difference):
            console.print(printable(line), markup=False, soft_wrap=True)


def _examples(name: str, difference: AttributeDifference) -> Iterator[str]:
    for example in difference.examples:
        sure = "" if example.confidence is None else f", {example.confidence:.2f}"
        how = f" ({example.method}{sure})" if example.method else ""
        yield (
            f"{name} of {example.item_id}: {_shown(example.before)} -> {_shown(example.after)}{how}"
        )


def _shown(value: Any) -> str:
    return shorten("nothing" if value is None else repr(value), MAX_SHOWN_CHARS)


DIFF = Command(
    "diff",
    "Lists the records and values that differ between two snapshots, by attribute and by the "
    "source of the value, with examples, the rows of those that are made of several, and the "
    "records that entered or left quarantine. Refused snapshots can be compared too.",
    [
        "previous current --output features",
        "features/current features/snapshots/20260131T120000Z-1f3c9a --json",
    ],
    _add_options,
    _diff,
)
