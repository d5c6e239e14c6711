"""`catalog-enrich replay`: read quarantined records once more."""

from __future__ import annotations

import argparse
from collections import Counter

from pipelines.commands.partial_run import (
    Prepared,
    add_shared_options,
    check_columns,
    estimate_lines,
)
from pipelines.commands.selection import check_reasons
from pipelines.configuration.config import make_plan
from pipelines.configuration.from_options import config_from
from pipelines.run.scan import Selection
from pipelines.snapshots.published import PublishedSnapshot
from schemas.elements import MODEL_ANSWER
from transforms.runtime.parquet import read_parquet

REPLAY_EPILOG = """examples:
  catalog-enrich replay out --reason required-missing --template fixed.yaml
  catalog-enrich replay out --reason malformed-json record-too-large --dry-run

The records are read from the quarantine table, as they came; what passes now leaves it.
Options as of backfill."""


def add_replay_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replay`, those of a run among them."""
    parser.add_argument(
        "--reason",
        nargs="+",
        metavar="ID",
        required=True,
        help="reasons why records are in quarantine",
    )
    add_shared_options(parser)


def prepare_replay(options: argparse.Namespace, earlier: PublishedSnapshot) -> Prepared:
    """Find the chosen records and say what reading them anew takes. Raises ConfigError."""
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
    told = [f"records read anew: {sum(chosen.values()):,}"]
    told += [f"  {reason}: {chosen.get(reason, 0):,}" for reason in options.reason]
    if plan.asks_model:
        told += list(estimate_lines(plan, earlier, sum(chosen.values())))
    return Prepared(
        plan, Selection(reasons=frozenset(options.reason), command="replay"), tuple(told)
    )
