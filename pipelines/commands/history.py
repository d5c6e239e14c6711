"""`catalog-enrich snapshots | diff | rollback | prune | unlock`: what an operator does with published snapshots."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.commands.command import Command, print_json
from pipelines.configuration.config import ConfigError
from pipelines.configuration.runners import connect_storage
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.diff import KINDS, AttributeDifference, Difference, diff
from pipelines.snapshots.history import (
    HistoryError,
    RefusedError,
    SnapshotInfo,
    current_run,
    leftovers,
    list_snapshots,
    named_snapshot,
    pointed_to,
    prune,
    remove_leftovers,
    roll_back,
    size_bytes,
    to_prune,
)
from pipelines.snapshots.layout import is_local, new_run_id
from pipelines.snapshots.locks import OutputLockedError, break_lock, is_dead, output_lock, read_lock
from transforms.runtime.parquet import DamagedFileError

DONE, REFUSED, BROKEN_OFF = 0, 1, 3
MAX_SHOWN_CHARS = 60


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder of the snapshots")


def _add_diff_options(parser: argparse.ArgumentParser) -> None:
    for name, metavar in (("before", "A"), ("after", "B")):
        which = "run id, `current`, `previous`, or the path of a snapshot's folder"
        parser.add_argument(name, metavar=metavar, help=which)
    parser.add_argument("--output", default="", metavar="DIR", help="folder of the snapshots; not for paths")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="of each kind (default: %(default)s)")


def _add_rollback_options(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument(
        "--to", default="previous", metavar="RUN_ID", help="which one (default: that before the current)"
    )


def _add_prune_options(parser: argparse.ArgumentParser) -> None:
    _add_output(parser)
    parser.add_argument("--keep", type=int, required=True, metavar="N", help="published ones to keep, with the current")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and stop")


EXIT_CODES = """exit codes:
  0  done
  1  refused: a run is at work on the output, or files of the snapshot are damaged; nothing was changed
  2  bad arguments, or there is no such snapshot; nothing was changed
  3  it broke off (disk full, files that may not be removed, object store out of reach)"""


def _guarded(work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Do the work; whatever stops it becomes an exit code, or a ConfigError."""
    connect_storage()
    try:
        _must_exist(getattr(options, "output", ""))
        return work(options)
    except (OutputLockedError, DamagedFileError, RefusedError) as error:
        _say(f"refused: {error}")
        return REFUSED
    except HistoryError as error:
        raise ConfigError([str(error)]) from error
    except (OSError, BeamIOError) as error:
        _say(f"it broke off: {type(error).__name__}: {error}")
        return BROKEN_OFF


def _must_exist(output: str) -> None:
    """Refuse a mistyped folder before a lock makes it."""
    if output and is_local(output) and not Path(output).is_dir():
        raise HistoryError(f"{output!r} is no folder")


def _say(what: str) -> None:
    print(printable(f"catalog-enrich: {what}"), file=sys.stderr)


def _text(text: str) -> Text:
    """For a table's cell, where rich would take brackets in names for its markup."""
    return Text(printable(text))


def _snapshots(options: argparse.Namespace) -> int:
    infos = list_snapshots(options.output)
    if not infos:
        made = f"`catalog-enrich run --output {options.output}` makes one"
        raise HistoryError(f"{options.output!r} has no snapshots; {made}")
    if options.json:
        print_json([_as_document(info) for info in infos])
        return DONE
    table = Table(title=_text(f"Snapshots of {options.output}"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "run id", "made by", "items", "filled", "set aside", "+ ~ -", "MiB"):
        left = name in ("", "run id", "made by")
        table.add_column(name, justify="left" if left else "right", no_wrap=name == "run id")
    for info in infos:
        table.add_row("*" if info.is_current else "", *map(_text, (info.run_id, *_about(info))))
    console = Console(highlight=False)
    console.print(table)
    console.print("*: readers see this one; + ~ -: items new, changed and deleted", style="dim", markup=False)
    for note in _notes(options.output, infos):
        console.print(printable(note), markup=False, soft_wrap=True)
    return DONE


def _as_document(info: SnapshotInfo) -> dict[str, Any]:
    told = {"run_id": info.run_id, "path": info.path, "is_current": info.is_current, "problem": info.problem or None}
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
        yield f"run {lock.run_id} is at work (process {lock.pid} on {lock.host}, since {lock.started})"


def _about(info: SnapshotInfo) -> Iterator[str]:
    if info.problem:
        yield "not whole"
        return
    counts, records = info.manifest["counts"], info.manifest.get("records")
    yield str(info.manifest.get("command", "run")) + ("" if info.is_published else ", refused")
    yield from (f"{number:,}" for number in (counts["items"], info.filled, counts["records_quarantined"]))
    yield " ".join(f"{records[kind]:,}" for kind in ("new", "changed", "deleted")) if records else "all anew"
    yield f"{size_bytes(info) / 2**20:,.0f}"


def _diff(options: argparse.Namespace) -> int:
    before, after = (named_snapshot(options.output, named) for named in (options.before, options.after))
    found = diff(before, after, options.examples)
    if options.json:
        print_json(found)
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
            numbers = (f"{count:,}" if count else "" for count in counts)
            table.add_row(_text("" if number else name), _text(source), *numbers)
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
    with output_lock(options.output, new_run_id(dt.datetime.now(dt.UTC)), "rollback") as warnings:
        before = current_run(options.output)
        info, more = roll_back(options.output, options.to)
    for warning in (*warnings, *more):
        _say(f"warning: {warning}")
    if options.json:
        print_json({"current": info.run_id, "before": before or None})
    else:
        print(printable(f"readers see {info.run_id} now, instead of {before or 'none'}"))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    if options.keep < 1:
        raise HistoryError(f"--keep {options.keep}: at least 1, the current snapshot always stays")
    pointed_to(options.output)
    if options.dry_run:
        held = read_lock(options.output)
        gone = wanted = to_prune(list_snapshots(options.output), options.keep)
        left = leftovers(options.output, () if held is None else (held.run_id,))
    else:
        with output_lock(options.output, new_run_id(dt.datetime.now(dt.UTC)), "prune") as warnings:
            wanted = to_prune(list_snapshots(options.output), options.keep)
            gone, left = prune(options.output, options.keep), remove_leftovers(options.output)
        for warning in warnings:
            _say(f"warning: {warning}")
    if options.json:
        print_json({"dry_run": options.dry_run, "removed": [info.run_id for info in gone], "leftovers": left})
    else:
        _tell_pruned("would be removed" if options.dry_run else "removed", gone, left)
    stayed = sorted({info.path for info in wanted} - {info.path for info in gone})
    for path in stayed:
        _say(f"error: {path} could not be removed; may this user write there?")
    return BROKEN_OFF if stayed else DONE


def _tell_pruned(verb: str, gone: Sequence[SnapshotInfo], left: Sequence[str]) -> None:
    for info in gone:
        print(printable(f"{verb}: {info.run_id}"))
    for path in left:
        print(printable(f"{verb}: {path}, left by a run that broke off"))
    if not gone and not left:
        print("nothing to remove")


def _unlock(options: argparse.Namespace) -> int:
    held = read_lock(options.output)
    if held is not None and is_dead(held) is False:
        alive = f"run {held.run_id} is alive, process {held.pid} of this machine"
        raise RefusedError(f"{alive}; wait for it, or stop it (kill {held.pid}) and run this again")
    held = break_lock(options.output)
    whose = "" if held is None else f"removed the lock of run {held.run_id} (process {held.pid} on {held.host})"
    if options.json:
        print_json({"removed": None if held is None else held})
    else:
        print(printable(whose or f"{options.output} has no lock that could be read, and none now"))
    return DONE


COMMANDS = tuple(
    Command(name, brief, about, examples, add_options, partial(_guarded, work), EXIT_CODES)
    for name, brief, add_options, work, about, examples in (
        (
            "snapshots",
            "list an output's snapshots",
            _add_output,
            _snapshots,
            "Lists an output's snapshots, oldest first, with what they hold. Readers see the current one.",
            ["features"],
        ),
        (
            "diff",
            "what differs between two snapshots",
            _add_diff_options,
            _diff,
            "Records and values that differ between two snapshots, by attribute and by who gave the value, with "
            "examples; and what came into quarantine and left it. Refused snapshots can be looked at too.",
            [
                "previous current --output features",
                "features/current features/snapshots/20260131T120000Z-1f3c9a --json",
            ],
        ),
        (
            "rollback",
            "let readers see an earlier snapshot",
            _add_rollback_options,
            _rollback,
            "Makes an earlier published snapshot the current one, in one step, after every one of its files was found "
            "whole. The next run goes on from it.",
            ["features", "features --to 20260131T120000Z-1f3c9a"],
        ),
        (
            "prune",
            "remove old snapshots",
            _add_prune_options,
            _prune,
            "Removes published snapshots but the newest N, refused ones but the newest N, and what runs that were "
            "killed left. The current one always stays. Files that other snapshots share stay with these.",
            ["features --keep 14 --dry-run", "features --keep 14"],
        ),
        (
            "unlock",
            "remove the lock of a dead run",
            _add_output,
            _unlock,
            "Removes the lock that says that a run is at work on the output. The next run does so by itself where it "
            "can tell that the other is dead; use this where it cannot, and only if it is: two runs at once publish "
            "over each other. The lock of a run that is seen to be alive stays.",
            ["features"],
        ),
    )
)
