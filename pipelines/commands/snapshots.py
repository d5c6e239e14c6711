"""`catalog-enrich snapshots`: the snapshots of an output, and what they hold."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import add_output_argument
from pipelines.monitoring.terminal import print_json, print_warnings, printable, table_text
from pipelines.snapshots.history import (
    BrokenSnapshot,
    HistoryError,
    foreign_folders,
    list_folders,
    pointer_fault,
)
from pipelines.snapshots.locks import read_lock
from pipelines.snapshots.snapshot import Snapshot

CHANGES = "added / changed / removed"
# Names of folders that no run made.
MAX_FOREIGN = 5


def _snapshots(options: argparse.Namespace) -> Exit:
    snapshots, broken = list_folders(options.output)
    if not snapshots and not broken and not foreign_folders(options.output):
        fix = f"`catalog-enrich run --output {options.output}` makes one"
        raise HistoryError(f"{options.output!r} has no snapshots; {fix}")
    print_warnings(filter(None, [pointer_fault(options.output)]))
    if options.json:
        print_json([*map(_broken_document, broken), *map(_as_document, snapshots)])
        return Exit.DONE
    table = Table(
        title=table_text(f"Snapshots of {options.output}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("", "run id", "command", "items", "filled", "quarantined", CHANGES, "MiB"):
        left = name in ("", "run id", "command")
        table.add_column(name, justify="left" if left else "right", no_wrap=name == "run id")
    for each in broken:
        table.add_row("*" if each.is_current else "", table_text(each.run_id), "damaged")
    for info in snapshots:
        table.add_row(
            "*" if info.is_current else "", *map(table_text, (info.run_id, *_about(info)))
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"*: the current one, which readers see; {CHANGES}: items", style="dim", markup=False
    )
    for note in _notes(options.output, snapshots, broken):
        console.print(printable(note), markup=False, soft_wrap=True)
    return Exit.DONE


def _broken_document(broken: BrokenSnapshot) -> dict[str, Any]:
    return {
        "run_id": broken.run_id,
        "path": broken.path,
        "is_current": broken.is_current,
        "problem": broken.problem,
    }


def _as_document(info: Snapshot) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "run_id": info.run_id,
        "path": info.path,
        "is_current": info.is_current,
        "problem": None,
        "command": manifest.command,
        "published": info.is_published,
        "items": manifest.counts.items,
        "filled": manifest.counts.filled,
        "records_quarantined": manifest.counts.records_quarantined,
        "records": manifest.records,
        "size_bytes": info.size_bytes,
    }


def _notes(
    output: str, snapshots: Sequence[Snapshot], broken: Sequence[BrokenSnapshot]
) -> Iterator[str]:
    """Yield what does not fit into the table's columns."""
    for each in broken:
        yield f"{each.run_id}: {each.problem}"
    foreign = foreign_folders(output)
    if foreign:
        names = ", ".join(foreign[:MAX_FOREIGN]) + (", ..." if len(foreign) > MAX_FOREIGN else "")
        yield f"not made by a run, and left alone: {names}"
    before = None
    for info in snapshots:
        if info.manifest.based_on not in (None, before):
            yield f"{info.run_id} continues from {info.manifest.based_on}"
        before = info.run_id if info.is_published else before
    lock = read_lock(output)
    if lock is not None:
        yield (
            f"run {lock.run_id} is at work (process {lock.pid} on {lock.host}, since "
            f"{lock.started})"
        )


def _unseen(info: Snapshot) -> str:
    if info.is_published:
        return ""
    return ", never published" if info.manifest.published else ", refused"


def _about(info: Snapshot) -> Iterator[str]:
    manifest = info.manifest
    counts, records = manifest.counts, manifest.records
    yield manifest.command + _unseen(info)
    yield from (f"{number:,}" for number in (counts.items, counts.filled))
    yield f"{counts.records_quarantined:,}"
    yield (
        " / ".join(f"{records.get(kind, 0):,}" for kind in ("new", "changed", "deleted"))
        if records
        else "full"
    )
    yield f"{info.size_bytes / 2**20:,.0f}"


SNAPSHOTS = Command(
    "snapshots",
    "Lists an output's snapshots, oldest first, with what they hold. Readers see the current one.",
    ["features"],
    add_output_argument,
    _snapshots,
)
