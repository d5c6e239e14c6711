"""What `backfill` and `replay` share: the options of the last run, the estimate, the
announcement.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipelines.commands.snapshot_option import add_output_argument
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.options import add_run_options
from pipelines.configuration.parser import Parser
from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner, checked_runner
from pipelines.monitoring.terminal import print_after_work, print_json, printable
from pipelines.run.selection import Selection
from pipelines.run.vectors.changes import same_spaces
from pipelines.snapshots.history import UnreadablePointerError, pointer_fault
from pipelines.snapshots.layout import MANIFEST
from pipelines.snapshots.snapshot import Snapshot, read_published
from schemas.tables.arrow import items_schema
from schemas.tables.specs import tables_of
from transforms.models.budget import TOKENS_PER_PRICE
from transforms.runtime.parquet import read_parquet
from transforms.runtime.sealed import DamagedFileError

# Of an option by argparse's `type` → types of its value.
_KINDS: Mapping[Any, tuple[type, ...]] = {None: (str,), int: (int,), float: (int, float)}


class DamagedSnapshotError(DamagedFileError):
    """A part of the snapshot was to be made again, and it is damaged: only a run mends it."""

    remedy = "`catalog-enrich run` rebuilds it; then call this again"


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Declare the output, --dry-run and the options of a run."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be done and what it would cost, and stop",
    )
    add_output_argument(parser)
    add_run_options(parser, continues=True)


def options_of_published_run(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the run that made the published snapshot, and `earlier`, the snapshot.

    Raises ConfigError where there is none to continue from, DamagedFileError where it is damaged.
    """
    earlier = read_published(options.output)
    if earlier is None:
        lost = pointer_fault(options.output)
        if lost:
            raise UnreadablePointerError(lost)
        raise ConfigError(
            [f"{options.output!r} has no published snapshot; start with `catalog-enrich run`"]
        )
    damaged = [*earlier.doubts, *earlier.damaged_buckets().values()]
    if damaged:
        more = f" and {len(damaged) - 1} more" if damaged[1:] else ""
        raise DamagedSnapshotError(f"the published snapshot is damaged: {damaged[0]}{more}")
    wrong = [*_misfits(earlier.manifest.options)]
    if wrong:
        path = f"{earlier.path}/{MANIFEST}"
        raise DamagedSnapshotError(f"{path}: its options are no command line: {wrong[0]}")
    return _of_runs(earlier.manifest.options) | {"earlier": earlier}


def _of_runs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a run has, without those of an earlier backfill or replay."""
    names = {action.dest for action in _parser()._actions}
    return {name: value for name, value in options.items() if name in names}


def _misfits(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield options with values that no command line gives."""
    for action in _parser()._actions:
        value = options.get(action.dest)
        is_several = action.nargs not in (None, 0)
        values = value if is_several and isinstance(value, list) else [value]
        kinds = (bool,) if action.nargs == 0 else _KINDS.get(action.type, (str, int, float))
        if value is not None and not all(type(each) in kinds for each in values):
            yield f"{action.option_strings[0]} is {value!r}"


def _parser() -> Parser:
    parser = Parser(add_help=False)
    add_run_options(parser, continues=True)
    return parser


def options_of_run(remembered: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a run, by those that its manifest remembers."""
    return vars(_parser().parse_args([])) | _of_runs(remembered)


@dataclass(frozen=True)
class Prepared:
    """A plan with what is selected. messages: lines that say what will be done."""

    plan: Plan
    runner: Runner
    selection: Selection
    messages: tuple[str, ...]


def prepared_run(
    options: argparse.Namespace, plan: Plan, selection: Selection, messages: Sequence[str]
) -> Prepared:
    """Return the plan with Beam's options. Raises ConfigError."""
    runner = checked_runner(options.runner, plan.workers, options.beam_args)
    return Prepared(plan, runner, selection, tuple(messages))


def check_columns(plan: Plan, earlier: Snapshot) -> None:
    """Refuse a snapshot of other tables or columns: rows that stay must fit those that are rebuilt.

    Raises ConfigError.
    """
    tables = tables_of(plan.template.spaces)
    if earlier.tables != tables.keys():
        names = ", ".join(sorted(earlier.tables ^ tables.keys()))
        raise ConfigError(
            [
                f"the snapshot has other tables than are written today ({names}); "
                "`catalog-enrich run` rebuilds all rows once"
            ]
        )
    same = same_spaces(plan, earlier)
    others = [space.name for space in plan.spaces if space.name not in same]
    if others:
        raise ConfigError(
            [
                f"vectors {', '.join(others)} are made otherwise than in the snapshot, and one "
                "table cannot hold both; `catalog-enrich run` rebuilds them"
            ]
        )
    for file in earlier.files_of("items")[:1]:
        had = {field.name: field.type for field in read_parquet(earlier.path, file).schema}
        has = {field.name: field.type for field in items_schema(plan.template)}
        different = sorted(name for name in {*had, *has} if had.get(name) != has.get(name))
        if different:
            names = ", ".join(different)
            fix = "`catalog-enrich run` rebuilds all rows and asks for the new attributes only"
            raise ConfigError(
                [f"the template has other columns than the snapshot ({names}); {fix}"]
            )


def estimate_lines(plan: Plan, earlier: Snapshot, items: int) -> list[str]:
    """Return what a language model will take at most, by what the last run took."""
    lines = [
        f"model calls: {items:,} at most, with "
        f"{plan.config.models.chat.model or plan.config.models.describe_backend}"
    ]
    before = earlier.manifest.counts.described
    if not before.calls:
        return [*lines, "tokens: unknown, the last run made no calls"]
    prompt, completion = (
        tokens / before.calls * items for tokens in (before.prompt_tokens, before.completion_tokens)
    )
    lines.append(
        f"tokens, by the last run's mean: {prompt:,.0f} of prompts, {completion:,.0f} of answers"
    )
    prices = plan.config.budget.prices
    if prices.are_given:
        cost = (prompt * prices.prompt + completion * prices.completion) / TOKENS_PER_PRICE
        lines.append(f"cost by --prices: {cost:,.2f}")
    return lines


def announce(prepared: Prepared, options: argparse.Namespace) -> None:
    """Print what will be done, unless the options want nothing, or JSON of what is done.

    A run begins also where nothing can be printed.
    """
    if options.dry_run:
        _announce(prepared, options)
    else:
        print_after_work(lambda: _announce(prepared, options))


def _announce(prepared: Prepared, options: argparse.Namespace) -> None:
    if options.json and options.dry_run:
        print_json({"based_on": options.earlier.run_id, "messages": prepared.messages})
    elif not (options.quiet or options.json):
        console = Console(highlight=False)
        console.print(f"continuing from {options.earlier.run_id}", markup=False)
        for line in prepared.messages:
            console.print(printable(line), markup=False)
