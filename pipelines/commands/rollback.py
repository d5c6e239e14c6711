"""`catalog-enrich rollback`: publish an earlier snapshot again."""

from __future__ import annotations

import argparse
import datetime as dt

from pipelines.commands.command import print_json
from pipelines.commands.exits import DONE, add_output_argument, print_to_stderr
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.history import (
    current_run,
    roll_back,
)
from pipelines.snapshots.layout import new_run_id
from pipelines.snapshots.locks import output_lock


def add_rollback_options(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    parser.add_argument(
        "--to",
        default="previous",
        metavar="RUN_ID",
        help="which one (default: that before the current)",
    )


def rollback_command(options: argparse.Namespace) -> int:
    with output_lock(options.output, new_run_id(dt.datetime.now(dt.UTC)), "rollback") as warnings:
        before = current_run(options.output)
        info, more = roll_back(options.output, options.to)
    for warning in (*warnings, *more):
        print_to_stderr(f"warning: {warning}")
    if options.json:
        print_json({"current": info.run_id, "before": before or None})
    else:
        print(printable(f"readers see {info.run_id} now, instead of {before or 'none'}"))
    return DONE
