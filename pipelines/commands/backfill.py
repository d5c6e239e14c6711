"""`catalog-enrich backfill`: chosen items of the published snapshot, processed again.

Nothing but the chosen items changes, and a whole new snapshot is published. The manifest holds the
options of the run that made the snapshot, so that only what is to be different has to be given.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

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
from pipelines.commands.selection import chosen_ids
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.from_options import config_from
from pipelines.configuration.plan import make_plan
from pipelines.run.selection import Selection
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.backends import TAGS_ONLY

STAGES = ("describe", "embed")
_DESCRIPTION = "image_description"


def _add_options(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_argument_group("selection (items that meet all of the conditions)")
    chosen.add_argument(
        "--where",
        metavar="SQL",
        help="condition on the items table's columns, in DuckDB's SQL",
    )
    chosen.add_argument("--ids", metavar="FILE", help="file with one item id per line")
    chosen.add_argument(
        "--reason",
        nargs="+",
        metavar="ID",
        default=[],
        help="items with a flag, or an unknown value, for one of these reasons",
    )
    what = parser.add_argument_group("stages to rerun")
    what.add_argument(
        "--stages",
        nargs="+",
        choices=STAGES,
        default=STAGES,
        help="besides rules and probes, which always run; describe: ask a language model for what "
        "is open; embed: embed the texts (default: both)",
    )
    what.add_argument(
        "--attributes",
        nargs="+",
        metavar="NAME",
        default=[],
        help="attributes that a language model is asked for again although it answered; "
        "image_description for the description (default: those whose model, prompt or template "
        "entry has changed)",
    )
    what.add_argument(
        "--ask-again",
        action="store_true",
        help="discard the cached answers of these items and ask again, at full price",
    )
    add_shared_options(parser)


def _prepare(options: argparse.Namespace, earlier: Snapshot) -> Prepared:
    """Find the chosen items and estimate what processing them takes. Raises ConfigError."""
    if not (options.where or options.ids or options.reason):
        raise ConfigError(
            [
                "nothing is selected; give --where, --ids or --reason (all items: catalog-enrich "
                "run --full)"
            ]
        )
    config, describe = config_from(options), "describe" in options.stages
    if not describe:  # the manifest keeps the options as they are, for the next command
        config = replace(config, models=replace(config.models, describe_backend=TAGS_ONLY))
    plan = make_plan(config)
    check_columns(plan, earlier)
    unknown = set(options.attributes) - {a.name for a in plan.template.attributes} - {_DESCRIPTION}
    if unknown:
        raise ConfigError(
            [f"--attributes {', '.join(sorted(unknown))}: the template has no such attribute"]
        )
    ids = chosen_ids(earlier, options.where, options.ids, options.reason)
    selection = Selection(
        item_ids=frozenset(ids),
        attributes=frozenset(options.attributes),
        describe=describe,
        embed="embed" in options.stages,
        ask_again=options.ask_again,
        command="backfill",
    )
    messages = [f"items rebuilt: {len(ids):,} of {earlier.manifest.counts.items:,}"]
    if plan.asks_model:
        messages += list(estimate_lines(plan, earlier, len(ids)))
    return prepared_run(options, plan, selection, messages)


def _backfill(options: argparse.Namespace) -> Exit:
    prepared = _prepare(options, options.earlier)
    announce(prepared, options)
    if options.dry_run:
        return Exit.DONE
    return execute(prepared.plan, prepared.runner, options, prepared.selection)


BACKFILL = Command(
    "backfill",
    "Chooses items of the published snapshot, runs the chosen stages on them again, and publishes "
    "a new snapshot; all other items stay as they are. Records that have changed since are left to "
    "the next run. Every option of `catalog-enrich run` may be given; those that are not are taken "
    "from the run that made the snapshot.",
    [
        'out --where "color is null" --dry-run',
        'out --where "color__provenance.confidence < 0.8" --ask-again',
        "out --reason budget --max-cost 5 --prices prompt=0.15 completion=0.60",
        "out --ids ids.txt --describe-model Qwen/Qwen2.5-VL-7B-Instruct",
    ],
    _add_options,
    _backfill,
    RUN_EXITS,
    data=("where",),
    takes_beam_options=True,
    defaults=options_of_published_run,
)
