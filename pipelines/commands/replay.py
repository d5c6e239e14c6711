"""`catalog-enrich replay`: read quarantined records once more."""

from __future__ import annotations

import argparse
from collections import Counter

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.partial_run import (
    Prepared,
    add_shared_options,
    announce,
    check_columns,
    estimate_lines,
    options_of_published_run,
    prepared_run,
)
from pipelines.commands.run import RUN_EXITS, execute
from pipelines.commands.selection import check_reasons
from pipelines.configuration.from_options import config_from
from pipelines.configuration.plan import make_plan
from pipelines.run.selection import Selection
from pipelines.snapshots.snapshot import Snapshot
from schemas.elements import MODEL_ANSWER
from transforms.runtime.parquet import read_parquet


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        nargs="+",
        metavar="ID",
        required=True,
        help="reasons why records are in quarantine",
    )
    add_shared_options(parser)


def _prepare(options: argparse.Namespace, earlier: Snapshot) -> Prepared:
    """Count the chosen records and estimate what reading them again takes. Raises ConfigError."""
    plan = make_plan(config_from(options))
    check_columns(plan, earlier)
    check_reasons(options.reason)
    chosen: Counter[str] = Counter()
    for file in earlier.files_of("quarantine"):
        table = read_parquet(earlier.path, file, ["reason", "input"])
        for reason, kind in zip(
            table["reason"].to_pylist(), table["input"].to_pylist(), strict=True
        ):
            if reason in options.reason and kind != MODEL_ANSWER:
                chosen[reason] += 1
    messages = [f"records read again: {sum(chosen.values()):,}"]
    messages += [f"  {reason}: {chosen.get(reason, 0):,}" for reason in options.reason]
    if plan.asks_model:
        messages += list(estimate_lines(plan, earlier, sum(chosen.values())))
    selection = Selection(reasons=frozenset(options.reason), command="replay")
    return prepared_run(options, plan, selection, messages)


def _replay(options: argparse.Namespace) -> Exit:
    prepared = _prepare(options, options.earlier)
    announce(prepared, options)
    if options.dry_run:
        return Exit.DONE
    return execute(prepared.plan, prepared.runner, options, prepared.selection)


REPLAY = Command(
    "replay",
    "Reads the records of the published snapshot's quarantine again, as they came, and publishes a "
    "new snapshot; records that pass now leave the quarantine. Every option of `catalog-enrich "
    "run` may be given; those that are not are taken from the run that made the snapshot.",
    [
        "out --reason required-missing --template fixed.yaml",
        "out --reason malformed-json record-too-large --dry-run",
    ],
    _add_options,
    _replay,
    RUN_EXITS,
    takes_beam_options=True,
    defaults=options_of_published_run,
)
