"""`catalog-enrich rollback`: publish an earlier snapshot again."""

from __future__ import annotations

import argparse
import datetime as dt

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import add_output_argument
from pipelines.monitoring.interrupts import active
from pipelines.monitoring.terminal import (
    print_after_work,
    print_json,
    print_warnings,
    printable,
)
from pipelines.snapshots.history import current_run, held_output, roll_back
from pipelines.snapshots.layout import new_run_id
from pipelines.snapshots.snapshot import Snapshot


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    parser.add_argument(
        "--to",
        default="previous",
        metavar="RUN_ID",
        help="run id of the snapshot to publish (default: the one before the current)",
    )


def _rollback(options: argparse.Namespace) -> Exit:
    with held_output(options.output, new_run_id(dt.datetime.now(dt.UTC)), "rollback") as held:
        before = current_run(options.output)
        info, more = roll_back(held, options.to, active().hold)
    print_after_work(lambda: _print(info, before, options))
    print_warnings([*held.warnings, *more])
    return Exit.DONE


def _print(info: Snapshot, before: str, options: argparse.Namespace) -> None:
    if options.json:
        print_json({"current": info.run_id, "before": before or None})
    else:
        print(printable(f"readers see {info.run_id} now, instead of {before or 'none'}"))


ROLLBACK = Command(
    "rollback",
    "Makes an earlier published snapshot the current one, in one step, once each of its files has "
    "been verified. The next run continues from it.",
    ["features", "features --to 20260131T120000Z-1f3c9a"],
    _add_options,
    _rollback,
)
