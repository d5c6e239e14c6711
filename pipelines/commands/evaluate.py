"""`catalog-enrich evaluate`: how good the filled values are, on values that are known and were held
back.

A protocol (pipelines/evaluation/protocols/registry.py) says what is run on, what each fold hides
and what is true; the folds are run, their decisions judged, measured, compared with an earlier
evaluation, and reported.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.guards import interruptible
from pipelines.commands.run import progress_of
from pipelines.configuration.config import EXECUTION, INPUTS, REUSE, EnrichConfig
from pipelines.configuration.declare import declare_options, read_options
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.from_options import config_from
from pipelines.configuration.options import add_display_options
from pipelines.configuration.plan import make_plan
from pipelines.evaluation.decisions import Decision, read_decisions, write_decisions
from pipelines.evaluation.judge import judge, truth_of_source
from pipelines.evaluation.protocols.catalogs import FOLDS, Request, Trial, reference_labels
from pipelines.evaluation.protocols.neighbours import (
    DEFAULT_KS,
    Asked,
    Neighbours,
    measure_neighbours,
)
from pipelines.evaluation.protocols.registry import PROTOCOLS
from pipelines.evaluation.report import Against, Report, write_report
from pipelines.evaluation.terminal import print_report
from pipelines.evaluation.vectors.terminal import print_neighbours
from pipelines.monitoring.terminal import as_json, print_after_work, printable
from schemas.loading import load_template
from schemas.template import Template
from transforms.readers import ReadLimits
from transforms.runtime.options import Option
from transforms.runtime.storage import is_local, join, write_whole

DECISIONS = "decisions.parquet"
REPORT = "report.json"
# The protocol that runs nothing, and looks at the vectors that there are.
NEIGHBOURS = "neighbours"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation gave. about: as in the report; decisions_path: for a later --against."""

    report: Report
    about: dict[str, Any]
    decisions_path: Path


def _add_options(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how to evaluate")
    aliases = {"--input": ("--catalog", "--input")}
    groups = declare_options(parser, EnrichConfig, _is_ours, aliases, required=False)
    inputs = groups[INPUTS]
    inputs.add_argument(
        "--truth",
        metavar="FILE",
        help="true values: {id, hidden: {field: value}} or {id, attribute, value} a line",
    )
    inputs.add_argument(
        "--output",
        metavar="DIR",
        help="where decisions and reports are written (default: evaluation/<time>)",
    )
    how.add_argument(
        "--protocol",
        choices=[*PROTOCOLS, NEIGHBOURS],
        default="hidden",
        help="what is held back, and what counts as right, see below (default: %(default)s)",
    )
    for option, default, what in (
        ("--folds", FOLDS, "parts of what is held back, one run each (holdout, wdc-pave)"),
        (
            "--labelled-folds",
            0,
            "implicitave: folds whose other items are labelled; 0: none is",
        ),
        ("--seed", 0, "of what falls into which fold, and of the bootstrap"),
        (
            "--limit",
            0,
            "first records by a hash of their id, for a quick look (neighbours: items that are "
            "asked about); 0: all",
        ),
    ):
        text = f"{what} (default: %(default)s)"
        how.add_argument(option, type=int, default=default, metavar="N", help=text)
    how.add_argument(
        "--against",
        metavar="RUN",
        help="earlier evaluation to compare with: its folder, or its decisions file; of "
        "neighbours another output, or a snapshot's folder",
    )
    _add_neighbours_options(parser)
    add_display_options(groups[EXECUTION])


def _add_neighbours_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to look at (--protocol neighbours)")
    group.add_argument(
        "--tables",
        metavar="DIR",
        help="the --output of a run, or the folder of a snapshot, whose vectors are measured",
    )
    group.add_argument(
        "--attribute",
        nargs="+",
        default=[],
        metavar="NAME",
        help="attributes that neighbours should share (default: closed lists and categories)",
    )
    group.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar=("FILE", "COLUMN"),
        help="known pairs: who is asked about, and who should be found; with a file of more than "
        "two columns the names of both ids",
    )
    group.add_argument(
        "--group",
        nargs="+",
        default=[],
        metavar=("FILE", "COLUMN"),
        help="id and group of items that are not counted as each other's neighbours, as variants "
        "of one product; columns as for --pairs",
    )
    group.add_argument(
        "--k",
        nargs="+",
        type=int,
        default=list(DEFAULT_KS),
        metavar="N",
        help="how many neighbours are looked at (default: 1 5)",
    )


def _is_ours(declared: Option) -> bool:
    """Leave out the options of snapshots: an evaluation continues from none and publishes none."""
    return declared.group != REUSE and declared.flag not in ("--output", "--no-report")


def _run_command(options: argparse.Namespace) -> Exit:
    _refuse_missing(options)
    with interruptible("the evaluation", after=""):
        if options.protocol == NEIGHBOURS:
            found = _look_at_neighbours(options)
            print_after_work(lambda: _print_neighbours(found, options))
            return Exit.DONE
        outcome = _evaluate(options)
    print_after_work(lambda: _print(outcome, options))
    return Exit.DONE


def _refuse_missing(options: argparse.Namespace) -> None:
    """Raise ConfigError where the protocol lacks an option that only some protocols need."""
    is_looking = options.protocol == NEIGHBOURS
    needed = {"--template": options.template} | (
        {"--tables": options.tables} if is_looking else {"--catalog": options.input}
    )
    missing = [flag for flag, given in needed.items() if not given]
    if missing:
        raise ConfigError(
            [
                f"--protocol {options.protocol} needs {' and '.join(missing)}; "
                "catalog-enrich evaluate --help lists the options"
            ]
        )


def _look_at_neighbours(options: argparse.Namespace) -> Neighbours:
    """Measure vector tables, and keep the figures where --output says. Raises ConfigError."""
    result = measure_neighbours(
        Asked(
            load_template(options.template),
            options.tables,
            options.against or "",
            options.truth or "",
            tuple(options.attribute),
            tuple(options.pairs),
            tuple(options.group),
            tuple(sorted(set(options.k))),
            options.seed,
            options.limit,
            config_from(options).models,
            _read_limits(options),
        )
    )
    if options.output:
        write_whole(join(options.output, REPORT), f"{as_json(result)}\n".encode())
    return result


def _print_neighbours(result: Neighbours, options: argparse.Namespace) -> None:
    if options.json:
        print(as_json(result))
    elif not options.quiet:
        print_neighbours(Console(highlight=False), result)


def _evaluate(options: argparse.Namespace) -> Outcome:
    """Evaluate. Raises ConfigError and TemplateRefusedError before anything is run."""
    template = load_template(options.template)
    against = read_against(options.against, options.seed) if options.against else None
    output = Path(
        options.output or Path("evaluation") / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
    )
    if not is_local(str(options.output)):
        raise ConfigError(
            [
                f"--output {options.output!r} is not a local folder; evaluations are written to "
                "local disks"
            ]
        )
    options.output = str(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="_prepared-", dir=output))
    except OSError as error:
        raise ConfigError(
            [f"--output {str(output)!r} cannot be written: {error.strerror}; name a folder"]
        ) from error
    try:
        trial = PROTOCOLS[options.protocol](_request(options, template, work))
        return _run(options, template, trial, output, against)
    finally:
        if not options.keep_work:
            shutil.rmtree(work, ignore_errors=True)
        if not any(output.iterdir()):  # refused before anything was run
            output.rmdir()


def _request(options: argparse.Namespace, template: Template, work: Path) -> Request:
    if options.limit < 0:
        raise ConfigError([f"--limit {options.limit} is negative; write 0 for all records"])
    return Request(
        template=template,
        catalog=tuple(options.input),
        work=work,
        truth=options.truth,
        reference=tuple(options.reference or ()),
        input_format=options.input_format,
        folds=options.folds,
        labelled_folds=options.labelled_folds,
        seed=options.seed,
        limit=options.limit,
        read_limits=_read_limits(options),
    )


def _read_limits(options: argparse.Namespace) -> ReadLimits:
    try:
        return read_options(ReadLimits, options)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _run(
    options: argparse.Namespace,
    template: Template,
    trial: Trial,
    output: Path,
    against: Against | None,
) -> Outcome:
    asked = tuple(options.input)
    if trial.inputs != asked:  # prepared catalogs are JSON lines, whatever the user's were
        options.input_format = None
    options.input, options.reference = trial.inputs, trial.reference
    from pipelines.evaluation.folds import run_folds
    from pipelines.run.manifest import table_metadata

    plan = make_plan(config_from(options))
    folds = run_folds(
        plan, trial.masks, output, progress=progress_of(options), keep_work=options.keep_work
    )
    truth = (
        truth_of_source(template, folds.items, trial.masks) if trial.truth is None else trial.truth
    )
    labels = (
        reference_labels(template, trial.reference, plan.config.read_limits)
        if trial.reference
        else None
    )
    judged = judge(template, folds.items, trial.masks, truth, trial.key, labels)
    if not judged.decisions:
        raise ConfigError(
            ["nothing could be judged: the catalog holds no value that was held back"]
        )
    made_with = table_metadata(plan) | {
        "protocol": options.protocol,
        "folds": str(len(trial.masks)),
    }
    about = {
        "title": f"{template.name}, {options.protocol}",
        "notes": [*trial.notes, *judged.notes()],
        "catalog": list(asked),
        "truth": options.truth,
        "seed": options.seed,
        "limit": options.limit or None,
        **made_with,
        "usage": folds.usage,
    }
    decisions_path = output / DECISIONS
    write_decisions(decisions_path, judged.decisions, made_with)
    about, report = _write_report(output, judged.decisions, about, against, plan.config)
    return Outcome(report, about, decisions_path)


def _write_report(
    output: Path,
    decisions: Sequence[Decision],
    about: dict[str, Any],
    against: Against | None,
    config: EnrichConfig,
) -> tuple[dict[str, Any], Report]:
    """Write the report; runs that cannot be compared cost the comparison and not the evaluation."""
    images_root, limits = config.images_root or None, config.image_limits
    try:
        return about, write_report(output, decisions, about, against, images_root, limits)
    except ValueError as error:
        if against is None:
            raise
        about = about | {"notes": [*about["notes"], f"Not compared with {against.name}: {error}"]}
    return about, write_report(output, decisions, about, None, images_root, limits)


def read_against(named: str, seed: int) -> Against:
    """Return the decisions of an earlier evaluation, named by its folder or its decisions file."""
    path = Path(named)
    try:
        decisions, _ = read_decisions(path / DECISIONS if path.is_dir() else path)
    except ValueError as error:
        raise ConfigError([f"--against {named}: {error}"]) from error
    return Against(named, decisions, seed=seed)


def _print(outcome: Outcome, options: argparse.Namespace) -> None:
    console = Console(highlight=False)
    report = outcome.report
    if options.json:
        print(report.json_path.read_text("utf-8"))
    if options.json or options.quiet:
        return
    print_report(console, report.metrics, outcome.about, report.comparison)
    for name, path in (
        ("decisions", outcome.decisions_path),
        ("figures", report.json_path),
        ("report", report.html_path),
    ):
        console.print(f"{name:10} {printable(str(path))}", markup=False, soft_wrap=True)


EVALUATE = Command(
    "evaluate",
    "Hides known values, runs the job without them, and measures how often it fills them in "
    "rightly, by attribute, by method and by confidence; writes a report with every decision.",
    [
        "--template grocery --catalog catalog.jsonl --truth removed.jsonl",
        "--template my.yaml --catalog items.csv --protocol holdout --against evaluation/before",
        "--template my.yaml --protocol neighbours --tables features --against features-before",
    ],
    _add_options,
    _run_command,
    {
        Exit.DONE: "measured and reported",
        Exit.BAD_ARGUMENTS: "bad arguments, template, catalog or truth; nothing was run",
        Exit.BROKEN_OFF: "the evaluation broke off, or a file of --tables is damaged",
    },
    notes="""protocols:
  hidden       values that were removed from the catalog and are kept in --truth; one run
  holdout      no --truth: each known value of a fillable attribute is hidden once, then compared
  wdc-pave     the WDC-PAVE benchmark, with benchmarks/templates/wdc_pave.yaml
  implicitave  the ImplicitAVE benchmark, with benchmarks/templates/implicitave.yaml
  neighbours   the vector tables of --tables: what nearest neighbours share, which
               --pairs find each other; values from the source, or from --truth for
               items whose text must not say them; nothing is run""",
)
