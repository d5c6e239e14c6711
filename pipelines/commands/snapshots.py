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
from pipelines.monitoring.terminal import print_json, printable, table_text
from pipelines.snapshots.history import (
    HistoryError,
    SnapshotInfo,
    list_snapshots,
    size_bytes,
)
from pipelines.snapshots.locks import read_lock

CHANGES = "added / changed / removed"


def _snapshots(options: argparse.Namespace) -> Exit:
    infos = list_snapshots(options.output)
    if not infos:
        fix = f"`catalog-enrich run --output {options.output}` makes one"
        raise HistoryError(f"{options.output!r} has no snapshots; {fix}")
    if options.json:
        print_json([_as_document(info) for info in infos])
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
    for info in infos:
        table.add_row(
            "*" if info.is_current else "", *map(table_text, (info.run_id, *_about(info)))
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"*: the current one, which readers see; {CHANGES}: items", style="dim", markup=False
    )
    for note in _notes(options.output, infos):
        console.print(printable(note), markup=False, soft_wrap=True)
    return Exit.DONE


def _as_document(info: SnapshotInfo) -> dict[str, Any]:
    document = {
        "run_id": info.run_id,
        "path": info.path,
        "is_current": info.is_current,
        "problem": info.problem or None,
    }
    if info.problem:
        return document
    manifest = info.manifest
    return document | {
        "command": manifest.get("command", "run"),
        "published": info.is_published,
        "items": manifest["counts"]["items"],
        "filled": info.filled,
        "records_quarantined": manifest["counts"]["records_quarantined"],
        "records": manifest.get("records"),
        "size_bytes": size_bytes(info),
    }


def _notes(output: str, infos: Sequence[SnapshotInfo]) -> Iterator[str]:
    """Yield what does not fit into the table's columns."""
    before = ""
    for info in infos:
        if info.problem:
            yield f"{info.run_id}: {info.problem}"
        elif info.based_on not in ("", before):
            yield f"{info.run_id} continues from {info.based_on}"
        before = info.run_id if info.is_published else before
    lock = read_lock(output)
    if lock is not None:
        yield (
            f"run {lock.run_id} is at work (process {lock.pid} on {lock.host}, since "
            f"{lock.started})"
        )


def _about(info: SnapshotInfo) -> Iterator[str]:
    if info.problem:
        yield "damaged"
        return
    counts, records = info.manifest["counts"], info.manifest.get("records")
    yield str(info.manifest.get("command", "run")) + ("" if info.is_published else ", refused")
    yield from (
        f"{number:,}" for number in (counts["items"], info.filled, counts["records_quarantined"])
    )
    yield (
        " / ".join(f"{records[kind]:,}" for kind in ("new", "changed", "deleted"))
        if records
        else "full"
    )
    yield f"{size_bytes(info) / 2**20:,.0f}"


SNAPSHOTS = Command(
    "snapshots",
    "list an output's snapshots",
    "Lists an output's snapshots, oldest first, with what they hold. Readers see the current one.",
    ["features"],
    add_output_argument,
    _snapshots,
)
