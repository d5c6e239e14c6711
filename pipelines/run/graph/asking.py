"""How a language model is asked, and whether it is while pictures are still being prepared."""

from __future__ import annotations

import apache_beam as beam

from pipelines.run.graph.context import Build, ByBucket
from pipelines.run.work import picture_access
from schemas.elements import ImageResult
from transforms.describe.items import DescribeConfig
from transforms.fill.ahead import AheadConfig, AheadOutputs, AskAhead
from transforms.models.budget import UNLIMITED
from transforms.readers.read import combination_of


def describe_config(build: Build) -> DescribeConfig:
    plan, dirs = build.plan, build.dirs
    return DescribeConfig(
        plan.template,
        build.models,
        plan.config.ask,
        plan.buckets,
        build.run.run_id,
        dirs.pictures,
        dirs.answers,
        plan.dry_run,
        build.element_secs,
    )


def asks_ahead(build: Build) -> bool:
    """Tell whether a language model is asked while pictures are prepared.

    Not within a budget, which is spent on the cheapest questions first; and not where the model
    needs the processor itself.
    """
    config = build.plan.config
    return (
        build.overlaps
        and config.models.describe_backend == "openai"
        and build.plan.dry_run is None
        and config.budget.limit == UNLIMITED
    )


def ask_ahead(
    images: beam.PCollection[tuple[int, ImageResult]], rows: ByBucket, build: Build
) -> AheadOutputs:
    """Ask as pictures come; rows: spooled records, image rows and rejects."""
    plan, dirs = build.plan, build.dirs
    config = AheadConfig(
        describe_config(build),
        build.cascade,
        combination_of(plan.template, picture_access(plan, dirs)),
        plan.bucket_bytes,
        plan.learns,
    )
    listed = beam.pvalue.AsList(rows)
    asked: AheadOutputs = images | "Ahead" >> AskAhead(config, listed, dirs.spool, dirs.heartbeats)
    return asked
