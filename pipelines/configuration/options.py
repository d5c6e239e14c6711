"""Command-line options of a run: ours are declared here, Beam's are passed through, typos are
refused.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from pipelines.configuration.config import ReuseOptions
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.model_options import add_model_options
from pipelines.configuration.runners import LOCAL_RUNNER, beam_parser
from pipelines.configuration.sizing import BUCKET_BYTES, BUCKET_RECORDS
from schemas.loading import packaged_templates
from transforms.readers import FORMATS


class Parser(argparse.ArgumentParser):
    """argparse that reports through ConfigError, so that all front ends fail alike."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"{message}; {self.prog} --help lists the options"])


def add_run_options(parser: argparse.ArgumentParser, *, anew: bool = True) -> None:
    """Declare the options of a run on `parser`. Defaults come from the dataclasses that carry them.

    anew: whether the run's input and output have to be named; not for commands that go on from a
    snapshot.
    """
    inputs = parser.add_argument_group("what to run on")
    add_input_options(inputs, required=anew)
    if anew:
        inputs.add_argument(
            "--output",
            required=True,
            metavar="DIR",
            help="where snapshots are kept; current.json names the published one",
        )
    add_model_options(parser)
    _add_reuse_options(
        parser.add_argument_group("what is used again of earlier runs"), ReuseOptions()
    )
    execution = parser.add_argument_group("how to run")
    execution.add_argument(
        "--runner", default=LOCAL_RUNNER, help="Beam runner (default: %(default)s, on this machine)"
    )
    execution.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="write no report.html and no Data Docs beside the tables (saves some seconds)",
    )
    add_execution_options(execution)


def _add_reuse_options(group: argparse._ArgumentGroup, defaults: ReuseOptions) -> None:
    group.add_argument(
        "--full",
        action="store_true",
        help="make all records anew, not only those that changed; what a language model answered "
        "is used all the same",
    )
    group.add_argument(
        "--refresh-share",
        type=float,
        default=defaults.refresh_share,
        metavar="SHARE",
        help="when more of the items than this came, went or changed since everything was made, "
        "everything is made "
        "anew: probes and comparisons between items are then of today (default: %(default)s)",
    )
    group.add_argument(
        "--keep-old",
        action="store_true",
        help="after a change of model, prompt or template entry, values of before stand until the "
        "new ones are known; "
        "without it they are unknown then",
    )
    group.add_argument(
        "--keep-deleted",
        action="store_true",
        help="items whose records have left the catalog stay in the tables, with the time when "
        "that was seen in "
        "deleted_ts; without it they go",
    )
    group.add_argument(
        "--accept-drift",
        action="store_true",
        help="what differs from the last snapshot by more than the template's gate.drift allows is "
        "meant: it is told "
        "as a warning, and the snapshot is published",
    )
    group.add_argument(
        "--keep",
        type=int,
        default=defaults.keep,
        metavar="N",
        help="published snapshots to keep, the current one included; 0: all (default: %(default)s)",
    )


def add_input_options(
    group: argparse._ArgumentGroup, catalog: Sequence[str] = ("--input",), *, required: bool = True
) -> None:
    """Declare the template and the input.

    catalog: the names of the option for the catalog's files.
    """
    group.add_argument(
        "--template",
        required=required,
        metavar="NAME|FILE",
        help=f"catalog template: one of {', '.join(packaged_templates())}, or the path of a YAML "
        "file",
    )
    group.add_argument(
        *catalog,
        dest="input",
        required=required,
        nargs="+",
        metavar="FILE",
        help="catalog files or globs: .jsonl .csv .tsv .parquet, text also .gz",
    )
    group.add_argument(
        "--input-format",
        choices=sorted(FORMATS),
        help="format of all inputs, for names without a known ending",
    )
    group.add_argument(
        "--images-root",
        default="",
        metavar="DIR",
        help="folder that picture paths are relative to; nothing outside it is read",
    )
    group.add_argument(
        "--image-table",
        nargs="+",
        default=(),
        metavar="FILE",
        help="tables that list further pictures of items (template: record.images.table)",
    )
    group.add_argument(
        "--reference",
        nargs="+",
        default=(),
        metavar="FILE",
        help="catalogs that the same template reads, with or without pictures: probes learn from "
        "their known values "
        "too; their items are not written",
    )


def add_execution_options(group: argparse._ArgumentGroup) -> None:
    """Declare how the work is spread over this machine, and what is shown and kept of it."""
    group.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="local processes; 0 chooses as many as pay off (default: %(default)s)",
    )
    group.add_argument(
        "--buckets",
        type=int,
        default=0,
        metavar="N",
        help="parts that items are divided into by a hash of their id: each is one file a table "
        "and is held in memory "
        f"as a whole; 0 chooses about {BUCKET_RECORDS:,} records or {BUCKET_BYTES >> 20} MiB of "
        "input each "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--work-dir",
        default="",
        metavar="DIR",
        help="for intermediate files (default: OUTPUT/_work); remote runners need a shared one",
    )
    group.add_argument(
        "--keep-work", action="store_true", help="keep the intermediate files after the run"
    )
    group.add_argument(
        "--progress",
        choices=("auto", "always", "never"),
        default="auto",
        help="on stderr: auto: a live view on a terminal, elsewhere a line every half minute; "
        "always: at least one "
        "line (default: %(default)s)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="say nothing unless it goes wrong: no live view, no summary; for cron",
    )


def refuse_unknown_options(
    arguments: Sequence[str], parser: argparse.ArgumentParser, *, beam: bool
) -> None:
    """Raise ConfigError naming every option that neither this program nor Beam knows: Beam would
    only log it.

    Comes before parsing, so that a typo is not reported as the option that it was meant to be
    missing.
    parser: of the command; beam: whether Beam's options are taken too.
    """
    parsers = (parser, beam_parser()) if beam else (parser,)
    known = {flag for each in parsers for action in each._actions for flag in action.option_strings}
    problems = []
    for argument in arguments:
        name = argument.split("=")[0]
        # With a space it is another option's value, as argparse sees it: --vllm-args
        # "--max-model-len 8192".
        if name.startswith("--") and " " not in name and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            problems.append(
                f"unknown option {name}" + (f"; did you mean {close[0]}?" if close else "")
            )
    if problems:
        raise ConfigError(problems)
