"""`catalog-enrich template init`: a first template for a raw catalog, that runs as it is."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.configuration.errors import ConfigError
from pipelines.drafting.dialects import written_as
from pipelines.drafting.draft import Drafted, Seen, draft, unused_name
from pipelines.drafting.identity import Identity, find_id
from pipelines.drafting.pictures import find_image_table, find_pattern, find_pictures
from pipelines.drafting.profile import Profile, profile
from pipelines.monitoring.terminal import print_after_work, print_json, printable
from schemas.loading import parse_template
from schemas.secrets import hidden
from schemas.sections.inputs import InputDescription, parse_description
from schemas.texts import first_names
from transforms.readers import ANYHOW, FORMATS, InputRefusedError, InputSplit, plan_splits
from transforms.runtime import storage

MAX_RECORDS = 20_000
PROGRESS_RECORDS = 5_000


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", nargs="+", metavar="FILE", help="catalog files or globs, as for `run --input`"
    )
    parser.add_argument(
        "--input-format",
        choices=sorted(FORMATS),
        help="format of all inputs, for names without a known ending",
    )
    parser.add_argument(
        "--input-as",
        nargs="+",
        default=(),
        metavar="KEY=VALUE",
        help="how the input is written, where finding it out goes wrong; goes into the draft. "
        f"Keys: {', '.join(InputDescription.model_fields)}",
    )
    parser.add_argument(
        "--id",
        default="",
        metavar="COLUMN",
        help="column that identifies an item; several rows may have the same (default: found out)",
    )
    parser.add_argument(
        "--images-root", default="", metavar="DIR", help="folder that image paths are relative to"
    )
    parser.add_argument(
        "--image-table",
        nargs="+",
        default=(),
        metavar="FILE",
        help="tables that list further images",
    )
    parser.add_argument(
        "--name", default="", metavar="NAME", help="of the template (default: from the first file)"
    )
    parser.add_argument(
        "--out", default="", metavar="FILE", help="where to write it (default: print it)"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--max-records",
        type=int,
        default=MAX_RECORDS,
        metavar="N",
        help="to look at (default: %(default)s)",
    )


def _init(options: argparse.Namespace) -> Exit:
    if options.max_records < 1:
        raise ConfigError(
            [f"--max-records {options.max_records} is below 1; write how many records to look at"]
        )
    if options.out and Path(options.out).exists() and not options.force:
        raise ConfigError(
            [f"--out {options.out} is there already; name another file, or give --force"]
        )
    about = parse_description(options.input_as)
    splits = _splits(options.input, options.input_format, about)
    found = _profile(splits, options.max_records, quiet=options.json)
    if not found.records:
        faults = (
            ", ".join(f"{reason} {count:,}" for reason, count in found.rejects.most_common(3))
            or "it is empty"
        )
        raise ConfigError([f"no record of the catalog can be read: {faults}"])
    try:
        identity = find_id(found, options.id)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    drafted = _drafted(options, found, identity, splits)
    parse_template(drafted.text, options.out or "the draft")
    if not options.out:
        _tell(options, found, identity, drafted)
        return Exit.DONE
    # Whole or not at all: half of it would be in the way of the next try.
    storage.write_whole(options.out, hidden(drafted.text).encode(), durable=False)
    print_after_work(lambda: _tell(options, found, identity, drafted))
    return Exit.DONE


def _splits(
    patterns: Sequence[str], input_format: str | None, about: InputDescription = ANYHOW
) -> list[InputSplit]:
    try:
        return plan_splits(patterns, input_format=input_format, kind="catalog", description=about)
    except InputRefusedError as error:
        raise ConfigError(str(error).splitlines()) from error


def _profile(splits: Sequence[InputSplit], max_records: int, *, quiet: bool) -> Profile:
    def report_progress(records: int) -> None:
        if records % PROGRESS_RECORDS == 0 and not quiet:
            print(f"catalog-enrich: {records:,} records read", file=sys.stderr)

    return profile(splits, max_records, report_progress)


def _drafted(
    options: argparse.Namespace, found: Profile, identity: Identity, splits: Sequence[InputSplit]
) -> Drafted:
    pictures, table = find_pictures(found, options.images_root), None
    ids = found.columns.get(identity.column)
    if not pictures.columns and ids is not None:
        pictures = replace(pictures, pattern=find_pattern(options.images_root, ids))
    if options.image_table:
        table_splits = _splits(options.image_table, None)
        rows = _profile(table_splits, options.max_records, quiet=True)
        table = None if ids is None else find_image_table(rows, ids)
        if table is None:
            columns = first_names(rows.columns) or "none"
            raise ConfigError(
                [f"--image-table: no id of the catalog and no image in its columns ({columns})"]
            )
    stem = Path(options.input[0]).name.split(".")[0].strip("*?[]") or "catalog"
    return draft(
        options.name or unused_name(stem, set()),
        Seen(
            found,
            identity,
            pictures,
            table,
            parse_description(options.input_as).over(written_as(splits)),
            tuple(dict.fromkeys(split.described for split in splits if split.described)),
        ),
    )


def _tell(
    options: argparse.Namespace, found: Profile, identity: Identity, drafted: Drafted
) -> None:
    if options.json:
        print_json(
            {
                "records": found.records,
                "rejects": found.rejects,
                "id": identity.column,
                "notes": drafted.notes,
                "attributes": [
                    {
                        "name": name,
                        "from": each.options.get("from", each.source),
                        "known_share": each.known_share,
                    }
                    | {"type": each.options["type"], "why": each.why}
                    for name, each in drafted.attributes
                ],
                "left_out": drafted.left_out,
                "template": drafted.text,
            }
        )
        return
    if not options.out:
        print(drafted.text, end="")
    console = Console(highlight=False, stderr=not options.out)
    console.print(_overview(drafted))
    for line in _lines(options, found, drafted):
        console.print(printable(line), markup=False, soft_wrap=True)


def _overview(drafted: Drafted) -> Table:
    table = Table(title="Attributes", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("attribute", overflow="fold")
    table.add_column("type")
    table.add_column("known", justify="right")
    table.add_column("why", overflow="fold")
    for name, each in drafted.attributes:
        table.add_row(
            name, each.options["type"], f"{each.known_share:.0%}", Text(printable(each.why))
        )
    return table


def _lines(options: argparse.Namespace, found: Profile, drafted: Drafted) -> Iterator[str]:
    yield f"{found.records:,} records read"
    yield from drafted.notes
    for reason, count in found.rejects.most_common():
        yield f"{count:,} records cannot be read: {reason} (docs/reasons.md)"
    if drafted.left_out:
        yield f"not read: {len(drafted.left_out)} columns; the file says why"
    if options.out:
        yield f"written: {options.out}"
        yield f"next: catalog-enrich template check {shlex.quote(options.out)}"
        images = (
            f" --images-root {shlex.quote(options.images_root or 'DIR')}"
            if "images:" in drafted.text
            else ""
        )
        table = f" --image-table {shlex.join(options.image_table)}" if options.image_table else ""
        run = (
            f"catalog-enrich run --template {shlex.quote(options.out)} --input "
            f"{shlex.join(options.input)}"
        )
        yield f"      {run}{images}{table} --output features"


INIT = Command(
    "template init",
    "Looks at a raw catalog and drafts a template for it: the id, image columns, how lists, "
    "category paths and "
    "key=value cells are written, types, closed lists, units, titles and texts, how much of each "
    "column is known. The "
    "draft runs as it is; its comments say why each attribute is what it is, and what was left "
    "out.",
    [
        "items.csv --images-root images --out my.yaml",
        "'export/*.jsonl.gz' --max-records 5000 > my.yaml",
    ],
    _add_options,
    _init,
    {
        Exit.DONE: "the template was drafted",
        Exit.BAD_ARGUMENTS: "bad arguments, no record that can be read, or a file that is there "
        "already; nothing was written",
        Exit.BROKEN_OFF: "it broke off (disk full, no permission, object store out of reach)",
    },
)
