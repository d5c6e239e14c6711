"""The main job: a raw catalog with pictures in, a checked and published snapshot of feature tables out.

Started as `catalog-enrich run` or `python -m pipelines.enrich`, with the same options.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.account import Account, add_up, data_files
from pipelines.config import ConfigError, Plan, make_plan
from pipelines.graph import Places, build_graph
from pipelines.interrupts import Interrupts
from pipelines.options import (
    EPILOG,
    LOCAL_RUNNER,
    Parser,
    add_run_options,
    beam_options,
    config_from,
    refuse_unknown_options,
)
from pipelines.progress import live_view
from pipelines.quiet import quiet_libraries, stderr_to
from pipelines.snapshots import Layout, new_run_id
from pipelines.summary import print_summary
from pipelines.terminal import printable
from schemas.loading import TemplateRefusedError
from transforms.gate import CheckResult, check_run, check_tables
from transforms.learn import ProbeReport, as_row
from transforms.ledger import Usage
from transforms.meter import NAMESPACE
from transforms.models import build_chat_model, build_image_encoder, build_tagger, build_text_encoder
from transforms.readers import SplitReport
from transforms.report import read_reports
from transforms.tabulate import RunInfo
from transforms.write import BucketReport, Encoders

PUBLISHED, REFUSED, BAD_ARGUMENTS, BROKEN_OFF = 0, 1, 2, 3
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. manifest: as written beside the tables; warnings: for whoever started it."""

    published: bool
    manifest: dict[str, Any]
    manifest_path: str
    warnings: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job with these arguments; returns the exit code."""
    parser = Parser(
        prog="python -m pipelines.enrich",
        description="Enrich a catalog and publish a snapshot.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run_options(parser)
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        refuse_unknown_options(arguments)
        options, passed = parser.parse_known_args(arguments)
        return run_command(options, passed)
    except ConfigError as error:
        return report_bad_arguments(error)


def run_command(options: Any, passed: Sequence[str]) -> int:
    """Plan, run and report; `options` are ours, `passed` is for Beam."""
    quiet_libraries()
    try:
        plan = make_plan(config_from(options))
        beam_flags = beam_options(options.runner, plan.workers, passed)
    except (ConfigError, TemplateRefusedError) as error:
        return report_bad_arguments(error)
    interrupts = Interrupts()
    try:
        with interrupts:
            outcome = run(
                plan,
                beam_flags,
                options.progress,
                local=options.runner == LOCAL_RUNNER,
                before_publishing=interrupts.stop_listening,
            )
    except (Exception, KeyboardInterrupt) as error:
        return _report_broken_off(error, interrupted=interrupts.happened or isinstance(error, KeyboardInterrupt))
    try:
        print_summary(outcome.manifest, outcome.manifest_path)
        for warning in outcome.warnings:
            print(printable(f"catalog-enrich: warning: {warning}"), file=sys.stderr)
        sys.stdout.flush()
    except (OSError, SystemExit):
        # Whoever read the summary has gone (rich ends the process then); what was done stays done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PUBLISHED if outcome.published else REFUSED


def run(
    plan: Plan,
    options: PipelineOptions,
    progress: str = "never",
    *,
    local: bool = True,
    before_publishing: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a plan to its end: written, gated and, if the gate lets it through, published.

    Raises whatever broke the run off; what was half written is removed and the previous snapshot stays.
    """
    started = dt.datetime.now(dt.UTC).replace(microsecond=0)
    layout = Layout(plan.config.output, new_run_id(started), plan.config.work_dir)
    info = RunInfo(layout.run_id, started, table_metadata(plan))
    try:
        places = layout.create()
        with stderr_to(places.log if local else "") as stderr, live_view(progress, places.heartbeats, stderr):
            pipeline = beam.Pipeline(options=options)
            build_graph(pipeline, plan, info, chosen_encoders(plan), places, layout.earlier_probes())
            result = pipeline.run()
            result.wait_until_finish()
        manifest = conclude(plan, info, places, stage_metrics(result))
        path = layout.write_manifest(manifest)
        before_publishing()
    except BaseException:
        layout.remove_snapshot()
        raise
    finally:
        if not plan.config.keep_work:
            layout.remove_work()
    warnings = layout.publish() if manifest["published"] else []
    return Outcome(manifest["published"], manifest, path, tuple(warnings))


def conclude(plan: Plan, info: RunInfo, places: Places, stages: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Close the account of a run whose stages are done, gate what it wrote, and say so in a manifest."""
    splits = read_reports(f"{places.reports}/splits.json", SplitReport)
    buckets = read_reports(f"{places.reports}/buckets.json", BucketReport)
    usages = read_reports(f"{places.reports}/usage.json", Usage) if plan.asks_model else []
    probes = read_reports(f"{places.reports}/probes.json", ProbeReport) if plan.learns else []
    reference = read_reports(f"{places.reports}/reference.json", SplitReport)
    gate_began = time.monotonic()
    table_checks, found = check_tables(places.snapshot, plan.template, buckets, plan.buckets)
    account = add_up(splits, buckets, found, usages)
    checks = [*check_run(plan.template, account.as_row(), found), *table_checks]
    stages = stages | {"gate": {"msecs": round((time.monotonic() - gate_began) * 1000)}}
    published = not any(check.refuses for check in checks)
    learnt = {"probes": [as_row(report) for report in probes], "reference": [asdict(split) for split in reference]}
    return build_manifest(plan, info, account, splits, buckets, checks, stages, published) | learnt


def chosen_encoders(plan: Plan) -> Encoders:
    """Model names and dimensions of the vectors that this plan makes."""
    text, image = build_text_encoder(plan.models), build_image_encoder(plan.models)
    return Encoders({"text": text.model, "image": image.model}, {"text": text.dimension, "image": image.dimension})


def table_metadata(plan: Plan) -> dict[str, str]:
    """What every Parquet file says of its making."""
    tagger = build_tagger(plan.models)
    return {
        "catalog_enrich_version": metadata.version("catalog-enrich"),
        "template": plan.template.name,
        "template_version": plan.template.version,
        "template_hash": plan.template.hash,
        "tagger": tagger.model,
        "tagger_prompt_hash": tagger.prompt_hash,
        **_described_by(plan),
        "text_encoder": build_text_encoder(plan.models).model,
        "image_encoder": build_image_encoder(plan.models).model,
    }


def _described_by(plan: Plan) -> dict[str, str]:
    if not plan.asks_model:
        return {"describe_backend": plan.models.describe_backend}
    prompt = plan.config.ask.prompt()
    return {
        "describe_backend": plan.models.describe_backend,
        "describe_model": build_chat_model(plan.models).model,
        "describe_prompt": prompt.key,
        "describe_prompt_hash": prompt.hash,
    }


def build_manifest(
    plan: Plan,
    info: RunInfo,
    account: Account,
    splits: Sequence[SplitReport],
    buckets: Sequence[BucketReport],
    checks: Sequence[CheckResult],
    stages: dict[str, dict[str, int]],
    published: bool,
) -> dict[str, Any]:
    """Everything that shaped the snapshot and everything that it holds."""
    finished = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return {
        "manifest_version": MANIFEST_VERSION,
        "run_id": info.run_id,
        "published": published,
        "started": info.started,
        "finished": finished,
        "seconds": (finished - info.started).total_seconds(),
        "versions": {**info.metadata, **_versions()},
        "inputs": [asdict(split) for split in splits],
        "unmapped_columns": plan.unmapped_columns(),
        "workers": plan.workers,
        "buckets": plan.buckets,
        "counts": {
            **asdict(account),
            "records_quarantined": account.records_quarantined,
            "unaccounted": account.unaccounted,
            "unaccounted_image_rows": account.unaccounted_image_rows,
        },
        "stages": stages,
        "checks": [
            {
                "check": check.check.meaning,
                "column": f"{check.check.frame}.{check.check.column}",
                "severity": check.check.severity,
                "expected": {name: value for name, value in check.check.arguments.items() if name != "column"},
                "passed": check.passed,
                "values": check.values,
                "unexpected": check.unexpected,
                "examples": [str(example) for example in check.examples],
            }
            for check in checks
        ],
        "files": [asdict(file) for file in data_files(buckets)],
    }


def stage_metrics(result: Any) -> dict[str, dict[str, int]]:
    """Stage → counter → value, from the counters that the stages kept; empty where the runner has none.

    Counters are for watching: a runner that cannot give them costs no snapshot.
    """
    stages: dict[str, dict[str, int]] = {}
    with suppress(Exception):
        for counter in result.metrics().query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))["counters"]:
            stage, what = counter.key.metric.name.rsplit("_", 1)
            # Some runners report attempted values only.
            value = counter.committed if counter.committed is not None else counter.attempted
            stages.setdefault(stage, {})[what] = value or 0
    return dict(sorted(stages.items()))


def report_bad_arguments(error: Exception) -> int:
    for line in str(error).splitlines():
        print(printable(line if line.startswith(" ") else f"catalog-enrich: error: {line}"), file=sys.stderr)
    return BAD_ARGUMENTS


def _report_broken_off(error: BaseException, *, interrupted: bool) -> int:
    what = "interrupted"
    if not interrupted:
        for line in "".join(traceback.format_exception(error)).splitlines():
            print(printable(line), file=sys.stderr)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
    print(printable(f"catalog-enrich: the run broke off: {what}. Readers keep the previous snapshot."), file=sys.stderr)
    return BROKEN_OFF


def _versions() -> dict[str, str]:
    packages = ("apache-beam", "pyarrow", "pillow", "great-expectations")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


if __name__ == "__main__":
    sys.exit(main())
