"""An evaluation's runs of the pipeline: a catalog is read once, and filled once a fold without what
the fold hides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow.parquet as pq

from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner, new_pipeline
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.stderr import stderr_to
from pipelines.run.graph.buckets import assemble
from pipelines.run.graph.context import Build
from pipelines.run.graph.filling import fill_catalog
from pipelines.run.graph.reading import read_catalog, read_reference
from pipelines.snapshots.layout import Layout, RunDirs, new_run_id
from transforms.describe.usage import Usage
from transforms.items.compose import ComposeText
from transforms.items.mask import Mask
from transforms.probes.report import ProbeReport, below_snapshot
from transforms.runtime.json_files import read_reports
from transforms.runtime.stages.fused import in_one
from transforms.tables.build import Encoders, RunInfo
from transforms.tables.write import WriteTables
from transforms.validation.rows import ValidateItems


@dataclass(frozen=True, slots=True)
class FoldsRun:
    """What the folds wrote.

    items: of each fold the folder with its items table; probes: of each fold, its probes.

    usage: calls, prompt_tokens, completion_tokens, cost, seconds and items of all folds together.
    """

    items: tuple[Path, ...]
    probes: tuple[list[dict[str, Any]], ...]
    usage: dict[str, float]


def run_folds(
    plan: Plan,
    masks: Sequence[Mask | None],
    output: Path,
    *,
    progress: str = "never",
    keep_work: bool = False,
) -> FoldsRun:
    """Run the stages up to filled and validated tables, once for each mask, below `output`.

    Raises whatever broke the run off.
    """
    started = dt.datetime.now(dt.UTC)
    layout = Layout(str(output / "runs"), new_run_id(started), plan.config.work_dir)
    run = RunInfo(
        layout.run_id,
        started,
        {"template": plan.template.name, "template_hash": plan.template.hash},
    )
    try:
        dirs = layout.create()
        folds = [_of_fold(dirs, number) for number in range(len(masks))]
        for fold in folds:
            Path(fold.reports).mkdir(parents=True)
        with stderr_to(dirs.log) as stderr, live_view(progress, dirs.heartbeats, stderr):
            pipeline = new_pipeline(Runner(workers=plan.workers))
            _build(pipeline, plan, run, dirs, masks, folds)
            pipeline.run().wait_until_finish()
        seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
        return FoldsRun(
            tuple(Path(fold.snapshot) / "items" for fold in folds),
            tuple(_probes(plan, fold) for fold in folds),
            _usage(plan, folds, seconds),
        )
    finally:
        if not keep_work:
            layout.remove_work()


def _of_fold(dirs: RunDirs, number: int) -> RunDirs:
    """Return where a fold writes its tables and reports; all folds share images and answers."""
    return replace(
        dirs,
        snapshot=f"{dirs.snapshot}/fold-{number}",
        reports=f"{dirs.reports}/fold-{number}",
    )


def _build(
    pipeline: beam.Pipeline,
    plan: Plan,
    run: RunInfo,
    dirs: RunDirs,
    masks: Sequence[Mask | None],
    folds: Sequence[RunDirs],
) -> None:
    build = Build(plan, run, dirs, spaces=())
    catalog = assemble(read_catalog(pipeline, build), build)
    examples = read_reference(pipeline, build)
    for number, (mask, fold) in enumerate(zip(masks, folds, strict=True)):
        label = f"Fold {number} "
        of_fold = replace(build, dirs=fold, mask=mask, label=label)
        filled = fill_catalog(catalog, of_fold, examples)
        if filled is None:
            raise ValueError("an evaluation fills values; its plan is no dry run")
        # No vectors: nothing in an evaluation reads them.
        writing = WriteTables(fold.snapshot, plan.template, Encoders({}, {}), run, dirs.heartbeats)
        steps = (
            *filled.steps,
            ValidateItems(plan.template).step(),
            ComposeText(plan.template).step(),
            writing.step(),
        )
        _ = filled.spooled | f"{label}Fill and write" >> in_one(*steps)
    build.write_reports()


def _probes(plan: Plan, fold: RunDirs) -> list[dict[str, Any]]:
    if not plan.learns:
        return []
    reports = read_reports(f"{fold.reports}/probes.json", ProbeReport)
    return [msgspec.to_builtins(below_snapshot(report)) for report in reports]


def _usage(plan: Plan, folds: Sequence[RunDirs], seconds: float) -> dict[str, float]:
    usage = Usage()
    for fold in folds if plan.asks_model else ():
        usage = sum(read_reports(f"{fold.reports}/usage.json", Usage), usage)
    counted = {
        name: count for name, count in asdict(usage).items() if isinstance(count, int | float)
    }
    tables = [path for fold in folds for path in Path(fold.snapshot, "items").glob("*.parquet")]
    return {
        **counted,
        "seconds": seconds,
        "items": sum(pq.read_metadata(path).num_rows for path in tables),
    }
