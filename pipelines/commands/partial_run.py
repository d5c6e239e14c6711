"""What `backfill` and `replay` share: the options of the last run, the estimate, the
confirmation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipelines.configuration.config import Plan
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.options import Parser, add_run_options
from pipelines.monitoring.terminal import printable
from pipelines.run.scan import Selection
from pipelines.snapshots.published import PublishedSnapshot, UnusableSnapshotError, read_published
from schemas.table_specs import TABLES
from schemas.tables import items_schema
from transforms.describe.budget import TOKENS_PER_PRICE
from transforms.runtime.parquet import read_parquet


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and what it would cost, and stop",
    )
    parser.add_argument("output", metavar="OUTPUT", help="folder of the snapshots")
    add_run_options(parser, anew=False)


def with_earlier_options(
    parser: Parser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str], PublishedSnapshot]:
    """Parse; what is not given is what the published snapshot's run was given.

    Raises ConfigError.
    """
    first, _ = parser.parse_known_args(list(arguments))
    try:
        earlier = read_published(first.output)
    except UnusableSnapshotError as error:
        raise ConfigError([str(error)]) from error
    if earlier is None:
        raise ConfigError(
            [f"{first.output!r} has no published snapshot; start with `catalog-enrich run`"]
        )
    damaged = earlier.damaged_buckets()
    if damaged:
        fix = "`catalog-enrich run` makes the records of damaged files anew; then call this again"
        raise ConfigError(
            [*(f"the published snapshot is damaged: {fault}" for fault in damaged.values()), fix]
        )
    parser.set_defaults(**_of_runs(earlier.manifest.get("options", {})))
    options, passed = parser.parse_known_args(list(arguments))
    return options, passed, earlier


def _of_runs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without what an earlier command of this kind was told to choose and do."""
    parser = Parser(add_help=False)
    add_run_options(parser, anew=False)
    names = {action.dest for action in parser._actions}
    return {name: value for name, value in options.items() if name in names}


@dataclass(frozen=True)
class Prepared:
    """A plan with what is chosen. told: lines that say what will be done."""

    plan: Plan
    selection: Selection
    told: tuple[str, ...]


def check_columns(plan: Plan, earlier: PublishedSnapshot) -> None:
    """Refuse a snapshot of other tables or columns: rows that stay must fit those that are rebuilt.

    Raises ConfigError.
    """
    if earlier.tables != TABLES.keys():
        names = ", ".join(sorted(earlier.tables ^ TABLES.keys()))
        raise ConfigError(
            [
                f"the snapshot has other tables than are written today ({names}); "
                "`catalog-enrich run` rebuilds all rows once"
            ]
        )
    for file in earlier.files_of("items")[:1]:
        had = {field.name: field.type for field in read_parquet(earlier.path, file).schema}
        has = {field.name: field.type for field in items_schema(plan.template)}
        different = sorted(name for name in {*had, *has} if had.get(name) != has.get(name))
        if different:
            names = ", ".join(different)
            fix = "`catalog-enrich run` makes all rows anew and asks for the new attributes only"
            raise ConfigError(
                [f"the template has other columns than the snapshot ({names}); {fix}"]
            )


def estimate_lines(plan: Plan, earlier: PublishedSnapshot, items: int) -> list[str]:
    """What a language model will take at most, by what the published snapshot's run took."""
    lines = [
        f"model calls: {items:,} at most, with "
        f"{plan.config.models.chat.model or plan.config.models.describe_backend}"
    ]
    before = earlier.manifest["counts"]["described"]
    if not before["calls"]:
        return [*lines, "tokens: not known, the last run made no calls"]
    prompt, completion = (
        before[f"{kind}_tokens"] / before["calls"] * items for kind in ("prompt", "completion")
    )
    lines.append(
        f"tokens, by the last run's mean: {prompt:,.0f} of prompts, {completion:,.0f} of answers"
    )
    prices = plan.config.budget.prices
    if prices.prompt or prices.completion:
        cost = (prompt * prices.prompt + completion * prices.completion) / TOKENS_PER_PRICE
        lines.append(f"cost by --prices: {cost:,.2f}")
    return lines


def tell(prepared: Prepared, earlier: PublishedSnapshot) -> None:
    """Print what will be done."""
    console = Console(highlight=False)
    console.print(f"going on from {earlier.run_id}", markup=False)
    for line in prepared.told:
        console.print(printable(line), markup=False)
