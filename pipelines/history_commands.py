"""`catalog-enrich snapshots | diff | rollback | prune | unlock`: what an operator does with published snapshots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.config import ConfigError
from pipelines.diff import KINDS, AttributeDifference, Difference, diff
from pipelines.history import (
    HistoryError,
    SnapshotInfo,
    leftovers,
    list_snapshots,
    prune,
    published_run,
    remove_leftovers,
    roll_back,
    size_bytes,
    to_prune,
)
from pipelines.locks import OutputLockedError, break_lock, output_lock, read_lock
from pipelines.options import connect_storage
from pipelines.terminal import printable
from transforms.data_files import DamagedFileError

DONE, REFUSED = 0, 1
MAX_SHOWN_CHARS = 60


def add_history_commands(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the commands. add_parser: of the subparsers that they belong to."""

    def declare(name: str, brief: str, about: str, *, named: bool = True) -> argparse.ArgumentParser:
        parser = add_parser(name, help=brief, description=about, allow_abbrev=False)
        if named:
            parser.add_argument("output", metavar="OUTPUT", help="folder of the snapshots")
        return parser

    declare("snapshots", "list an output's snapshots", SNAPSHOTS_ABOUT)
    declare("unlock", "remove the lock of a dead run", UNLOCK_ABOUT)
    comparing = declare("diff", "what differs between two snapshots", DIFF_ABOUT, named=False)
    for name, metavar in (("before", "A"), ("after", "B")):
        comparing.add_argument(name, metavar=metavar, help="run id, `current` or `previous`")
    comparing.add_argument("--output", required=True, metavar="DIR", help="folder of the snapshots")
    examples = "of each kind and attribute (default: %(default)s)"
    comparing.add_argument("--examples", type=int, default=3, metavar="N", help=examples)
    comparing.add_argument("--json", action="store_true", help="print JSON")
    back = declare("rollback", "let readers see an earlier snapshot", BACK_ABOUT)
    which = "which one (default: the one before the current)"
    back.add_argument("--to", default="previous", metavar="RUN_ID", help=which)
    pruning = declare("prune", "remove old snapshots", PRUNE_ABOUT)
    kept = "published snapshots to keep, the current one included"
    pruning.add_argument("--keep", type=int, required=True, metavar="N", help=kept)
    pruning.add_argument("--dry-run", action="store_true", help="say what would be removed, and stop")


SNAPSHOTS_ABOUT = "Lists an output's snapshots, oldest first, with what they hold. Readers see the current one."
DIFF_ABOUT = "Records and values that differ between two published snapshots, by attribute and source, with examples."
BACK_ABOUT = (
    "Makes an earlier published snapshot the current one, in one step, after every one of its files was found whole. "
    "The next run goes on from it."
)
PRUNE_ABOUT = (
    "Removes published snapshots but the newest N, refused ones but the newest N, and what runs that were killed left. "
    "The current one always stays. Files that other snapshots share stay with these."
)
UNLOCK_ABOUT = (
    "Removes the lock that says that a run is at work on the output. The next run does so by itself where it can tell "
    "that the other is dead; use this where it cannot, and only if it is: two runs at once publish over each other."
)


def history_command(options: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit code. Raises ConfigError."""
    connect_storage()
    try:
        return COMMANDS[options.command](options)
    except HistoryError as error:
        raise ConfigError([str(error)]) from error
    except (OutputLockedError, DamagedFileError) as error:
        print(printable(f"catalog-enrich: refused: {error}"), file=sys.stderr)
        return REFUSED


def _snapshots(options: argparse.Namespace) -> int:
    infos = list_snapshots(options.output)
    if not infos:
        made = f"`catalog-enrich run --output {options.output}` makes one"
        raise HistoryError(f"{options.output!r} has no snapshots; {made}")
    table = Table(
        title=printable(f"Snapshots of {options.output}"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for name in ("", "run id", "made by", "items", "set aside", "+ ~ -", "MiB"):
        left = name in ("", "run id", "made by")
        table.add_column(name, justify="left" if left else "right", no_wrap=name == "run id")
    for info in infos:
        table.add_row("*" if info.is_current else "", printable(info.run_id), *_about(info))
    console = Console(highlight=False)
    console.print(table)
    console.print("*: readers see this one; + ~ -: items new, changed and deleted", style="dim", markup=False)
    lock = read_lock(options.output)
    if lock is not None:
        print(printable(f"run {lock.run_id} is at work (process {lock.pid} on {lock.host}, since {lock.started})"))
    return DONE


def _about(info: SnapshotInfo) -> Iterator[str]:
    if info.problem:
        yield printable(info.problem)
        return
    counts, records = info.manifest["counts"], info.manifest.get("records")
    yield str(info.manifest.get("command", "run")) + ("" if info.is_published else ", refused")
    yield from (f"{number:,}" for number in (counts["items"], counts["records_quarantined"]))
    yield " ".join(f"{records[kind]:,}" for kind in ("new", "changed", "deleted")) if records else "all anew"
    yield f"{size_bytes(info) / 2**20:,.0f}"


def _diff(options: argparse.Namespace) -> int:
    before, after = (published_run(options.output, named) for named in (options.before, options.after))
    found = diff(before, after, options.examples)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found, enc_hook=str), indent=1).decode())
    else:
        _print_difference(found)
    return DONE


def _print_difference(found: Difference) -> None:
    console = Console(highlight=False)
    console.print(printable(f"from {found.before} to {found.after}"), markup=False)
    if found.is_empty:
        console.print("nothing differs", markup=False)
        return
    for kind in KINDS:
        shown = ", ".join(found.item_examples[kind])
        if found.items[kind]:
            console.print(printable(f"items {kind}: {found.items[kind]:,} ({shown} ...)"), markup=False, soft_wrap=True)
    for kind, reasons in found.quarantine.items():
        for reason, count in sorted(reasons.items()):
            console.print(printable(f"quarantine {kind}: {count:,} {reason}"), markup=False)
    table = Table(title="Values of items that both have", title_justify="left")
    for name in ("attribute", "source", *KINDS):
        table.add_column(name, justify="right" if name in KINDS else "left", overflow="fold")
    for name, difference in found.attributes.items():
        for number, source in enumerate(sorted({s for counts in difference.counts.values() for s in counts})):
            counts = (difference.counts[kind].get(source) for kind in KINDS)
            table.add_row("" if number else name, source, *(f"{count:,}" if count else "" for count in counts))
    if table.row_count:
        console.print(table)
    for name, difference in found.attributes.items():
        for line in _examples(name, difference):
            console.print(printable(line), markup=False, soft_wrap=True)


def _examples(name: str, difference: AttributeDifference) -> Iterator[str]:
    for example in difference.examples:
        sure = "" if example.confidence is None else f", {example.confidence:.2f}"
        how = f" ({example.method}{sure})" if example.method else ""
        yield f"{name} of {example.item_id}: {_shown(example.before)} -> {_shown(example.after)}{how}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."


def _rollback(options: argparse.Namespace) -> int:
    with output_lock(options.output, "rollback", "rollback") as warnings:
        before = [info.run_id for info in list_snapshots(options.output) if info.is_current]
        info, more = roll_back(options.output, options.to)
    for warning in (*warnings, *more):
        print(printable(f"catalog-enrich: warning: {warning}"), file=sys.stderr)
    print(printable(f"readers see {info.run_id} now, instead of {before[0] if before else 'none'}"))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    if options.keep < 1:
        raise HistoryError(f"--keep {options.keep}: at least 1, the current snapshot always stays")
    if options.dry_run:
        gone, left = to_prune(list_snapshots(options.output), options.keep), leftovers(options.output)
    else:
        with output_lock(options.output, "prune", "prune"):
            gone, left = prune(options.output, options.keep), remove_leftovers(options.output)
    verb = "would be removed" if options.dry_run else "removed"
    for info in gone:
        print(printable(f"{verb}: {info.run_id}"))
    for path in left:
        print(printable(f"{verb}: {path}, left by a run that broke off"))
    if not gone and not left:
        print("nothing to remove")
    return DONE


def _unlock(options: argparse.Namespace) -> int:
    held = break_lock(options.output)
    if held is None:
        print(printable(f"{options.output} was not locked"))
    else:
        print(printable(f"removed the lock of run {held.run_id} (process {held.pid} on {held.host})"))
    return DONE


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "snapshots": _snapshots,
    "diff": _diff,
    "rollback": _rollback,
    "prune": _prune,
    "unlock": _unlock,
}
