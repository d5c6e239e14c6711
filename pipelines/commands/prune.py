"""`catalog-enrich prune`: remove old snapshots and what killed runs left."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import add_output_argument
from pipelines.monitoring.terminal import (
    print_after_work,
    print_json,
    print_to_stderr,
    print_warnings,
    printable,
)
from pipelines.snapshots.history import HistoryError, held_output
from pipelines.snapshots.kept_pictures import Unneeded, remove_unneeded, unneeded_pictures
from pipelines.snapshots.layout import new_run_id
from pipelines.snapshots.locks import read_lock
from pipelines.snapshots.pruning import (
    kept_though_damaged,
    leftovers,
    prune,
    remove_leftovers,
    to_prune,
)
from pipelines.snapshots.snapshot import Snapshot


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    parser.add_argument(
        "--keep",
        type=int,
        required=True,
        metavar="N",
        help="published snapshots to keep, the current one included; as many refused ones",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be removed, and stop"
    )


def _prune(options: argparse.Namespace) -> Exit:
    if options.keep < 1:
        raise HistoryError(f"--keep {options.keep}: at least 1, the current snapshot always stays")
    if options.dry_run:
        held = read_lock(options.output)
        gone = wanted = to_prune(options.output, options.keep)
        left = leftovers(options.output, () if held is None else (held.run_id,))
        pictures = unneeded_pictures(options.output, gone)
    else:
        with held_output(options.output, new_run_id(dt.datetime.now(dt.UTC)), "prune") as output:
            wanted = to_prune(options.output, options.keep)
            gone, left = prune(output, options.keep), remove_leftovers(options.output)
            pictures = unneeded_pictures(options.output)
            remove_unneeded(pictures)
        print_warnings(output.warnings)
    print_warnings(
        f"{each}; it stays, remove its folder if it is not needed"
        for each in kept_though_damaged(options.output)
    )
    if options.dry_run:
        _print(options, gone, left, pictures)
    else:
        print_after_work(lambda: _print(options, gone, left, pictures))
    stayed = sorted({info.path for info in wanted} - {info.path for info in gone})
    for path in stayed:
        print_to_stderr(f"error: {path} could not be removed; may this user write there?")
    return Exit.BROKEN_OFF if stayed else Exit.DONE


def _print(
    options: argparse.Namespace, gone: Sequence[Snapshot], left: Sequence[str], pictures: Unneeded
) -> None:
    if options.json:
        print_json(
            {
                "dry_run": options.dry_run,
                "removed": [info.run_id for info in gone],
                "leftovers": left,
                "pictures": pictures.pictures,
            }
        )
    else:
        verb = "would be removed" if options.dry_run else "removed"
        _print_removed(verb, gone, left, pictures)


def _print_removed(
    verb: str, gone: Sequence[Snapshot], left: Sequence[str], pictures: Unneeded
) -> None:
    for info in gone:
        print(printable(f"{verb}: {info.run_id}"))
    for path in left:
        print(printable(f"{verb}: {path}, left by a run that broke off"))
    if pictures.paths:
        size = f"{pictures.size_bytes / 2**20:,.1f} MiB"
        print(f"{verb}: {pictures.pictures:,} kept pictures that no snapshot has ({size})")
    if not gone and not left and not pictures.paths:
        print("nothing to remove")


PRUNE = Command(
    "prune",
    "Removes all but the newest N published (and N refused) snapshots, leftovers of killed "
    "runs, and, on a disk, kept pictures that no snapshot has any more. The current one counts "
    "as one of the N and always stays. Files that a removed snapshot shares with others stay "
    "with these.",
    ["features --keep 14 --dry-run", "features --keep 14"],
    _add_options,
    _prune,
)
