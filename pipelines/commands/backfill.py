"""Parts of the published snapshot made anew: `backfill` for items, `replay` for records in quarantine.

Both go on from the published snapshot, touch what was chosen and nothing else, and publish a whole new snapshot.
How the last run was called stands in its manifest, so that only what is different now has to be given.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from pipelines.commands.command import print_json
from pipelines.commands.exits import DONE, report_bad_arguments
from pipelines.configuration.config import ConfigError, Plan, make_plan
from pipelines.configuration.from_options import config_from
from pipelines.configuration.options import Parser, add_run_options, refuse_unknown_options
from pipelines.configuration.runners import beam_options, connect_storage
from pipelines.enrich import execute
from pipelines.monitoring.stderr import quiet_libraries
from pipelines.monitoring.terminal import printable
from pipelines.run.scan import Selection
from pipelines.snapshots.published import EarlierSnapshot, UnusableSnapshotError, read_published
from schemas.elements import MODEL_ANSWER
from schemas.loading import TemplateRefusedError
from schemas.reasons import REASONS
from schemas.tables import PROVENANCE_SUFFIX, items_schema
from transforms.caching.answers import forget_answers
from transforms.describe.budget import TOKENS_PER_PRICE
from transforms.models import TAGS_ONLY
from transforms.runtime.parquet import read_parquet

HELP = {
    "backfill": "make some items of the published snapshot anew: what is missing, unsure, or of an old model or prompt",
    "replay": "send records in quarantine through again, after a fix",
}
STAGES = ("describe", "embed")
_DESCRIPTION = "image_description"

BACKFILL_EPILOG = """examples:
  catalog-enrich backfill out --where "color is null" --dry-run
  catalog-enrich backfill out --where "color__provenance.confidence < 0.8" --attributes color --ask-again
  catalog-enrich backfill out --reason budget --max-cost 5 --prices prompt=0.15 completion=0.60
  catalog-enrich backfill out --ids ids.txt --describe-model Qwen/Qwen2.5-VL-7B-Instruct

Every option of `catalog-enrich run` may be given; those that are not are taken from the published snapshot's run.
Records that changed since are left to the next run."""

REPLAY_EPILOG = """examples:
  catalog-enrich replay out --reason required-missing --template mended.yaml
  catalog-enrich replay out --reason malformed-json record-too-large --dry-run

The records are read from the quarantine table, as they came; what passes now leaves it. Options as of backfill."""


def add_backfill_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `backfill`, those of a run among them."""
    chosen = parser.add_argument_group("which items are made anew (all of the conditions hold)")
    chosen.add_argument(
        "--where",
        metavar="SQL",
        help="condition on the items table's columns, in DuckDB's SQL (needs the extra backfill)",
    )
    chosen.add_argument("--ids", metavar="FILE", help="file with an item id a line")
    chosen.add_argument(
        "--reason",
        nargs="+",
        metavar="ID",
        default=[],
        help="items with a flag, or an unknown value, for one of these reasons",
    )
    what = parser.add_argument_group("what is made anew of them")
    what.add_argument(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=STAGES,
        help="besides rules and probes, which cost nothing; describe: a language model is asked for what is open; "
        "embed: texts are embedded (default: both)",
    )
    what.add_argument(
        "--attributes",
        nargs="+",
        metavar="NAME",
        default=[],
        help="attributes that a language model is asked for again although it answered; image_description for the "
        "description (default: what would be asked otherwise today, by model, prompt or template)",
    )
    what.add_argument(
        "--ask-again",
        action="store_true",
        help="forget the kept answers of these items, so that the same question is put, and paid for, once more",
    )
    _add_shared_options(parser)


def add_replay_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replay`, those of a run among them."""
    parser.add_argument(
        "--reason", nargs="+", metavar="ID", required=True, help="reasons why records are in quarantine"
    )
    _add_shared_options(parser)


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done and what it would cost, and stop"
    )
    parser.add_argument("output", metavar="OUTPUT", help="folder of the snapshots")
    add_run_options(parser, anew=False)


def with_earlier_options(
    parser: Parser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str], EarlierSnapshot]:
    """Parse; what is not given is what the published snapshot's run was given. Raises ConfigError."""
    first, _ = parser.parse_known_args(list(arguments))
    try:
        earlier = read_published(first.output)
    except UnusableSnapshotError as error:
        raise ConfigError([str(error)]) from error
    if earlier is None:
        raise ConfigError([f"{first.output!r} has no published snapshot; start with `catalog-enrich run`"])
    damaged = earlier.damaged_buckets()
    if damaged:
        fix = "`catalog-enrich run` makes the records of damaged files anew; then call this again"
        raise ConfigError([*(f"the published snapshot is damaged: {fault}" for fault in damaged.values()), fix])
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


def prepare_backfill(options: argparse.Namespace, earlier: EarlierSnapshot) -> Prepared:
    """Find the chosen items and say what making them anew takes. Raises ConfigError."""
    if not (options.where or options.ids or options.reason):
        raise ConfigError(["nothing is chosen; give --where, --ids or --reason (all items: catalog-enrich run --full)"])
    config, describe = config_from(options), "describe" in options.stages
    if not describe:  # the manifest keeps the options as they are, for the next command
        config = replace(config, models=replace(config.models, describe_backend=TAGS_ONLY))
    plan = make_plan(config)
    _check_columns(plan, earlier)
    unknown = set(options.attributes) - {a.name for a in plan.template.attributes} - {_DESCRIPTION}
    if unknown:
        raise ConfigError([f"--attributes {', '.join(sorted(unknown))}: the template has no such attribute"])
    ids = chosen_ids(earlier, options.where, options.ids, options.reason)
    selection = Selection(
        item_ids=frozenset(ids),
        attributes=frozenset(options.attributes),
        describe=describe,
        embed="embed" in options.stages,
        command="backfill",
    )
    told = [f"items made anew: {len(ids):,} of {earlier.manifest['counts']['items']:,}"]
    if plan.asks_model:
        told += list(_estimate(plan, earlier, len(ids)))
    return Prepared(plan, selection, tuple(told))


def prepare_replay(options: argparse.Namespace, earlier: EarlierSnapshot) -> Prepared:
    """Find the chosen records and say what reading them anew takes. Raises ConfigError."""
    plan = make_plan(config_from(options))
    _check_columns(plan, earlier)
    _check_reasons(options.reason)
    chosen: Counter[str] = Counter()
    for file in earlier.files_of("quarantine"):
        table = read_parquet(earlier.path, file, ["reason", "input"])
        for reason, kind in zip(table["reason"].to_pylist(), table["input"].to_pylist(), strict=True):
            if reason in options.reason and kind != MODEL_ANSWER:
                chosen[reason] += 1
    told = [f"records read anew: {sum(chosen.values()):,}"]
    told += [f"  {reason}: {chosen.get(reason, 0):,}" for reason in options.reason]
    if plan.asks_model:
        told += list(_estimate(plan, earlier, sum(chosen.values())))
    return Prepared(plan, Selection(reasons=frozenset(options.reason), command="replay"), tuple(told))


def _check_columns(plan: Plan, earlier: EarlierSnapshot) -> None:
    """Rows that stay and rows that are made anew must have the same columns."""
    for file in earlier.files_of("items")[:1]:
        had = {field.name: field.type for field in read_parquet(earlier.path, file).schema}
        has = {field.name: field.type for field in items_schema(plan.template)}
        different = sorted(name for name in {*had, *has} if had.get(name) != has.get(name))
        if different:
            names = ", ".join(different)
            fix = "`catalog-enrich run` makes all rows anew and asks for the new attributes only"
            raise ConfigError([f"the template has other columns than the snapshot ({names}); {fix}"])


def _check_reasons(reasons: Collection[str]) -> None:
    unknown = sorted(set(reasons) - REASONS.keys())
    if unknown:
        raise ConfigError([f"--reason {', '.join(unknown)}: no such reason id; docs/reasons.md lists them"])


def chosen_ids(earlier: EarlierSnapshot, where: str | None, ids_file: str | None, reasons: Sequence[str]) -> set[str]:
    """Ids of the items that all given conditions hold for. Raises ConfigError."""
    _check_reasons(reasons)
    named = None if ids_file is None else _ids_in(ids_file)
    chosen: set[str] = set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        if reasons:
            table = table.filter(_has_reason(table, reasons))
        if named is not None:
            table = table.filter(pc.is_in(table["item_id"], value_set=named))
        if where:
            table = _where(table, where)
        chosen.update(table["item_id"].to_pylist())
    return chosen


def _ids_in(path: str) -> pa.Array:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"--ids {path}: {error}"]) from error
    return pa.array([line.strip() for line in lines if line.strip()], pa.string())


def _has_reason(table: pa.Table, reasons: Sequence[str]) -> pa.Array:
    wanted = pa.array(list(reasons), pa.string())
    flags = table["flags"].combine_chunks()
    flagged = pc.is_in(pc.struct_field(pc.list_flatten(flags), "reason"), value_set=wanted)
    rows = pc.unique(pc.filter(pc.list_parent_indices(flags), flagged))
    found = pc.is_in(pa.array(range(table.num_rows), pa.int64()), value_set=pc.cast(rows, pa.int64()))
    for name in table.column_names:
        if name.endswith(PROVENANCE_SUFFIX):
            reason = pc.struct_field(table[name].combine_chunks(), "reason")
            found = pc.or_(found, pc.fill_null(pc.is_in(reason, value_set=wanted), False))
    return found


def _where(table: pa.Table, where: str) -> pa.Table:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(["--where needs duckdb; pip install 'catalog-enrich[backfill]'"]) from error
    with duckdb.connect() as connection:
        connection.register("items", table)
        # The condition is about these rows; it has no business with files or the network.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            statements = connection.extract_statements(f"SELECT item_id FROM items WHERE ({where})")  # noqa: S608 the operator's own
            if len(statements) != 1:
                raise ConfigError([f"--where {where!r} is more than a condition; write what comes after WHERE"])
            return connection.sql(statements[0].query).to_arrow_table()
        except duckdb.Error as error:
            raise ConfigError([f"--where {where!r}: {error}"]) from error


def _estimate(plan: Plan, earlier: EarlierSnapshot, items: int) -> list[str]:
    """What a language model will take at most, by what the published snapshot's run took."""
    lines = [
        f"model calls: {items:,} at most, with {plan.config.models.chat.model or plan.config.models.describe_backend}"
    ]
    before = earlier.manifest["counts"]["described"]
    if not before["calls"]:
        return [*lines, "tokens: not known, the last run made no calls"]
    prompt, completion = (before[f"{kind}_tokens"] / before["calls"] * items for kind in ("prompt", "completion"))
    lines.append(f"tokens, by the last run's mean: {prompt:,.0f} of prompts, {completion:,.0f} of answers")
    prices = plan.config.budget.prices
    if prices.prompt or prices.completion:
        cost = (prompt * prices.prompt + completion * prices.completion) / TOKENS_PER_PRICE
        lines.append(f"cost by --prices: {cost:,.2f}")
    return lines


def forget(earlier: EarlierSnapshot, item_ids: Collection[str], attributes: Collection[str]) -> int:
    """Forget the kept answers that these items' values came from; of all attributes if none are named."""
    wanted, fingerprints = pa.array(sorted(item_ids), pa.string()), set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        table = table.filter(pc.is_in(table["item_id"], value_set=wanted))
        for name in table.column_names:
            if name.endswith(PROVENANCE_SUFFIX) and (
                not attributes or name.removesuffix(PROVENANCE_SUFFIX) in attributes
            ):
                provenance = table[name].combine_chunks()
                said = pc.starts_with(pc.fill_null(pc.struct_field(provenance, "method"), ""), "mllm:")
                fingerprints.update(pc.struct_field(provenance, "fingerprint").filter(said).to_pylist())
    folder = f"{earlier.path.rsplit('/snapshots/', 1)[0]}/answers"
    return forget_answers(folder, fingerprints - {None})


def part_command(name: str, arguments: Sequence[str]) -> int:
    """`backfill` or `replay` with these arguments; returns the exit code."""
    add_options, epilog, prepare = COMMANDS[name]
    quiet_libraries()
    connect_storage()
    try:
        refuse_unknown_options(arguments, add_options)
        parser = Parser(
            prog=f"catalog-enrich {name}",
            description=HELP[name],
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        add_options(parser)
        options, passed, earlier = with_earlier_options(parser, arguments)
        prepared = prepare(options, earlier)
        beam_flags = beam_options(options.runner, prepared.plan.workers, passed)
    except (ConfigError, TemplateRefusedError) as error:
        return report_bad_arguments(error)
    if options.json and options.dry_run:
        print_json({"based_on": earlier.run_id, "told": prepared.told})
    elif not (options.quiet or options.json):
        tell(prepared, earlier)
    if options.dry_run:
        return DONE
    if getattr(options, "ask_again", False):
        forgotten = forget(earlier, prepared.selection.item_ids or (), prepared.selection.attributes or ())
        if not (options.quiet or options.json):
            print(f"answers forgotten: {forgotten:,}")
    return execute(prepared.plan, beam_flags, options, prepared.selection)


def tell(prepared: Prepared, earlier: EarlierSnapshot) -> None:
    """Print what will be done."""
    console = Console(highlight=False)
    console.print(f"going on from {earlier.run_id}", markup=False)
    for line in prepared.told:
        console.print(printable(line), markup=False)


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str, Callable[..., Prepared]]] = {
    "backfill": (add_backfill_options, BACKFILL_EPILOG, prepare_backfill),
    "replay": (add_replay_options, REPLAY_EPILOG, prepare_replay),
}
