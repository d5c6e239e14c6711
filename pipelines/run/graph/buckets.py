"""Buckets put together, compared, and spooled for the stages that work on them."""

from __future__ import annotations

from functools import partial

import apache_beam as beam

from pipelines.run.graph.context import Assembled, Build, Prepared
from pipelines.run.work import picture_access
from transforms.consistency.compare import CompareBuckets, Comparisons, OpenBuckets
from transforms.items.assemble import AssembleBuckets
from transforms.items.bucket_files import KeepBucket
from transforms.items.mask import mask_bucket
from transforms.probes.learn import Examples, MakeExamples
from transforms.readers.read import combination_of
from transforms.runtime.spool import KEYED_REFS, Together
from transforms.runtime.stages.fused import FusedStep, applied, in_one


def assembling(build: Build) -> FusedStep:
    """Return the step that puts buckets together from what was read."""
    plan = build.plan
    combination = combination_of(plan.template, picture_access(plan, build.dirs))
    return AssembleBuckets(combination, build.element_secs, plan.bucket_bytes).step()


def compare(
    prepared: Prepared,
    build: Build,
    *,
    making: MakeExamples | None = None,
    statistics: str = "",
) -> Assembled:
    """Put buckets together, and find what within an item, or in other items, speaks against what
    the source gave.

    making: the examples that probes learn from, made of the same buckets. statistics: as of
    Comparisons.
    """
    plan, dirs = build.plan, build.dirs
    first = [assembling(build), *([making.step()] if making is not None else [])]
    how = Comparisons(plan.template, dirs.spool, plan.buckets, build.element_secs, statistics)
    compared = (
        prepared.spooled
        | "Assemble" >> Together()
        | "Contradictions" >> CompareBuckets(how, first, build.report("trusted"))
    )
    examples = None if making is None else Examples(compared.buckets, compared.counted)
    return Assembled(
        compared.buckets, compared.findings, compared.statistics, examples, prepared.ahead
    )


def assemble(prepared: Prepared, build: Build) -> Assembled:
    """Put buckets together, and compare nothing."""
    keeping = in_one(assembling(build), FusedStep(KeepBucket(build.dirs.spool)))
    grouped = prepared.spooled | "Assemble" >> Together()
    items = grouped | "Keep" >> keeping.with_output_types(KEYED_REFS)
    return Assembled(items, ahead=prepared.ahead)


def opening(
    build: Build,
    heartbeats: str = "",
    *,
    statistics: beam.PCollection[str] | None = None,
    is_answered: bool = False,
) -> tuple[FusedStep, ...]:
    """Return the steps that read spooled buckets, as an evaluation's fold sees them: without what
    it hides.
    """
    how = OpenBuckets(build.plan.template, build.element_secs, heartbeats, is_answered)
    opened = how.step(statistics)
    if build.mask is None:
        return (opened,)
    return (opened, applied(partial(mask_bucket, build.mask)))
