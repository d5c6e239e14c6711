"""`catalog-enrich snapshots | diff | rollback | prune | unlock`: what an operator does with
published snapshots.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.commands.command import Command, print_json
from pipelines.commands.diff import add_diff_options, diff_command
from pipelines.commands.exits import DONE, EXIT_CODES, add_output_argument, guarded, table_text
from pipelines.commands.prune import add_prune_options, prune_command
from pipelines.commands.rollback import add_rollback_options, rollback_command
from pipelines.commands.unlock import unlock_command
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.history import (
    HistoryError,
    SnapshotInfo,
    list_snapshots,
    size_bytes,
)
from pipelines.snapshots.locks import read_lock


def _snapshots(options: argparse.Namespace) -> int:
    infos = list_snapshots(options.output)
    if not infos:
        made = f"`catalog-enrich run --output {options.output}` makes one"
        raise HistoryError(f"{options.output!r} has no snapshots; {made}")
    if options.json:
        print_json([_as_document(info) for info in infos])
        return DONE
    table = Table(
        title=table_text(f"Snapshots of {options.output}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("", "run id", "made by", "items", "filled", "set aside", "+ ~ -", "MiB"):
        left = name in ("", "run id", "made by")
        table.add_column(name, justify="left" if left else "right", no_wrap=name == "run id")
    for info in infos:
        table.add_row(
            "*" if info.is_current else "", *map(table_text, (info.run_id, *_about(info)))
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "*: readers see this one; + ~ -: items new, changed and deleted", style="dim", markup=False
    )
    for note in _notes(options.output, infos):
        console.print(printable(note), markup=False, soft_wrap=True)
    return DONE


def _as_document(info: SnapshotInfo) -> dict[str, Any]:
    told = {
        "run_id": info.run_id,
        "path": info.path,
        "is_current": info.is_current,
        "problem": info.problem or None,
    }
    if info.problem:
        return told
    manifest = info.manifest
    return told | {
        "command": manifest.get("command", "run"),
        "published": info.is_published,
        "items": manifest["counts"]["items"],
        "filled": info.filled,
        "records_quarantined": manifest["counts"]["records_quarantined"],
        "records": manifest.get("records"),
        "size_bytes": size_bytes(info),
    }


def _notes(output: str, infos: Sequence[SnapshotInfo]) -> Iterator[str]:
    """What does not fit into the table's columns."""
    before = ""
    for info in infos:
        if info.problem:
            yield f"{info.run_id}: {info.problem}"
        elif info.based_on not in ("", before):
            yield f"{info.run_id} went on from {info.based_on}"
        before = info.run_id if info.is_published else before
    lock = read_lock(output)
    if lock is not None:
        yield (
            f"run {lock.run_id} is at work (process {lock.pid} on {lock.host}, since "
            f"{lock.started})"
        )


def _about(info: SnapshotInfo) -> Iterator[str]:
    if info.problem:
        yield "not whole"
        return
    counts, records = info.manifest["counts"], info.manifest.get("records")
    yield str(info.manifest.get("command", "run")) + ("" if info.is_published else ", refused")
    yield from (
        f"{number:,}" for number in (counts["items"], info.filled, counts["records_quarantined"])
    )
    yield (
        " ".join(f"{records[kind]:,}" for kind in ("new", "changed", "deleted"))
        if records
        else "all anew"
    )
    yield f"{size_bytes(info) / 2**20:,.0f}"


COMMANDS = tuple(
    Command(name, brief, about, examples, add_options, partial(guarded, work), EXIT_CODES)
    for name, brief, add_options, work, about, examples in (
        (
            "snapshots",
            "list an output's snapshots",
            add_output_argument,
            _snapshots,
            "Lists an output's snapshots, oldest first, with what they hold. Readers see the "
            "current one.",
            ["features"],
        ),
        (
            "diff",
            "what differs between two snapshots",
            add_diff_options,
            diff_command,
            "Records and values that differ between two snapshots, by attribute and by who gave "
            "the value, with "
            "examples; and what came into quarantine and left it. Refused snapshots can be looked "
            "at too.",
            [
                "previous current --output features",
                "features/current features/snapshots/20260131T120000Z-1f3c9a --json",
            ],
        ),
        (
            "rollback",
            "let readers see an earlier snapshot",
            add_rollback_options,
            rollback_command,
            "Makes an earlier published snapshot the current one, in one step, after every one of "
            "its files was found "
            "whole. The next run goes on from it.",
            ["features", "features --to 20260131T120000Z-1f3c9a"],
        ),
        (
            "prune",
            "remove old snapshots",
            add_prune_options,
            prune_command,
            "Removes published snapshots but the newest N, refused ones but the newest N, and what "
            "runs that were "
            "killed left. The current one always stays. Files that other snapshots share stay with "
            "these.",
            ["features --keep 14 --dry-run", "features --keep 14"],
        ),
        (
            "unlock",
            "remove the lock of a dead run",
            add_output_argument,
            unlock_command,
            "Removes the lock that says that a run is at work on the output. The next run does so "
            "by itself where it "
            "can tell that the other is dead; use this where it cannot, and only if it is: two "
            "runs at once publish "
            "over each other. The lock of a run that is seen to be alive stays.",
            ["features"],
        ),
    )
)
