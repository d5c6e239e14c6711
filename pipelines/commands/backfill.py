"""Parts of the published snapshot made anew: `backfill` for items, `replay` for records in
quarantine.

Both go on from the published snapshot, touch what was chosen and nothing else, and publish a whole
new snapshot. How the last run was called stands in its manifest, so that only what is different now
has to be given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.commands.command import print_json
from pipelines.commands.exits import DONE, report_bad_arguments
from pipelines.commands.partial_run import (
    Prepared,
    add_shared_options,
    check_columns,
    estimate_lines,
    tell,
    with_earlier_options,
)
from pipelines.commands.replay import REPLAY_EPILOG, add_replay_options, prepare_replay
from pipelines.commands.run import execute
from pipelines.commands.selection import chosen_ids
from pipelines.configuration.config import make_plan
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.from_options import config_from
from pipelines.configuration.options import Parser, refuse_unknown_options
from pipelines.configuration.runners import beam_options, connect_storage
from pipelines.monitoring.stderr import quiet_libraries
from pipelines.run.scan import Selection
from pipelines.snapshots.published import PublishedSnapshot
from schemas.loading import TemplateRefusedError
from schemas.tables import PROVENANCE_SUFFIX
from transforms.caching.answers import forget_answers
from transforms.models import TAGS_ONLY
from transforms.runtime.parquet import read_parquet

HELP = {
    "backfill": "make some items of the published snapshot anew: what is missing, unsure, or of an "
    "old model or prompt",
    "replay": "send records in quarantine through again, after a fix",
}
STAGES = ("describe", "embed")
_DESCRIPTION = "image_description"

BACKFILL_EPILOG = """examples:
  catalog-enrich backfill out --where "color is null" --dry-run
  catalog-enrich backfill out --where "color__provenance.confidence < 0.8" --ask-again
  catalog-enrich backfill out --reason budget --max-cost 5 --prices prompt=0.15 completion=0.60
  catalog-enrich backfill out --ids ids.txt --describe-model Qwen/Qwen2.5-VL-7B-Instruct

Every option of `catalog-enrich run` may be given; those that are not are taken from the
published snapshot's run.
Records that changed since are left to the next run."""


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
        help="besides rules and probes, which cost nothing; describe: a language model is asked "
        "for what is open; "
        "embed: texts are embedded (default: both)",
    )
    what.add_argument(
        "--attributes",
        nargs="+",
        metavar="NAME",
        default=[],
        help="attributes that a language model is asked for again although it answered; "
        "image_description for the "
        "description (default: what would be asked otherwise today, by model, prompt or template)",
    )
    what.add_argument(
        "--ask-again",
        action="store_true",
        help="forget the kept answers of these items, so that the same question is put, and paid "
        "for, once more",
    )
    add_shared_options(parser)


def prepare_backfill(options: argparse.Namespace, earlier: PublishedSnapshot) -> Prepared:
    """Find the chosen items and say what making them anew takes. Raises ConfigError."""
    if not (options.where or options.ids or options.reason):
        raise ConfigError(
            [
                "nothing is chosen; give --where, --ids or --reason (all items: catalog-enrich run "
                "--full)"
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
        command="backfill",
    )
    told = [f"items made anew: {len(ids):,} of {earlier.manifest['counts']['items']:,}"]
    if plan.asks_model:
        told += list(estimate_lines(plan, earlier, len(ids)))
    return Prepared(plan, selection, tuple(told))


def forget(
    earlier: PublishedSnapshot, item_ids: Collection[str], attributes: Collection[str]
) -> int:
    """Forget the kept answers that these items' values came from; of all attributes if none are
    named.
    """
    wanted, fingerprints = pa.array(sorted(item_ids), pa.string()), set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        table = table.filter(pc.is_in(table["item_id"], value_set=wanted))
        for name in table.column_names:
            if name.endswith(PROVENANCE_SUFFIX) and (
                not attributes or name.removesuffix(PROVENANCE_SUFFIX) in attributes
            ):
                provenance = table[name].combine_chunks()
                said = pc.starts_with(
                    pc.fill_null(pc.struct_field(provenance, "method"), ""), "mllm:"
                )
                fingerprints.update(
                    pc.struct_field(provenance, "fingerprint").filter(said).to_pylist()
                )
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
        forgotten = forget(
            earlier, prepared.selection.item_ids or (), prepared.selection.attributes or ()
        )
        if not (options.quiet or options.json):
            print(f"answers forgotten: {forgotten:,}")
    return execute(prepared.plan, beam_flags, options, prepared.selection)


COMMANDS: dict[
    str, tuple[Callable[[argparse.ArgumentParser], None], str, Callable[..., Prepared]]
] = {
    "backfill": (add_backfill_options, BACKFILL_EPILOG, prepare_backfill),
    "replay": (add_replay_options, REPLAY_EPILOG, prepare_replay),
}
