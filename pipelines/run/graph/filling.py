"""Missing values filled by rules, probes and a language model, or left unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam

from pipelines.run.graph.asking import describe_config
from pipelines.run.graph.buckets import opening
from pipelines.run.graph.context import Assembled, Build, Filled, Learnt
from pipelines.run.graph.learning import learning_config, own_examples
from pipelines.snapshots.snapshot import POOL
from transforms.describe.items import DescribeItems, DescribeOutputs
from transforms.fill.cascade import FillAttributes
from transforms.probes.learn import OWN, REFERENCE, EarlierProbe, Examples, LearnProbes
from transforms.runtime.spool import SpoolRefs, Together
from transforms.validation.rows import SOURCE_CHECKS, ValidateItems


def fill_catalog(
    catalog: Assembled,
    build: Build,
    reference: Examples | None,
    previous_probes: Mapping[str, EarlierProbe] | None = None,
) -> Filled | None:
    """Fill or leave unknown every attribute of a catalog; None in a dry run.

    reference: of `read_reference`; previous_probes: of the last snapshot, by attribute.
    """
    if not build.plan.learns:
        return fill_buckets(catalog, build, Learnt())
    own = own_examples(catalog, build)
    examples = {OWN: own, **({} if reference is None else {REFERENCE: reference})}
    learning = LearnProbes(
        learning_config(build, previous_probes or {}),
        examples,
        build.dirs.spool,
        build.dirs.heartbeats,
    )
    reports, pool = catalog.buckets.pipeline | f"{build.label}Learn" >> learning
    build.collect("probes", reports)
    build.collect(POOL, pool)
    of_their_own = own.spooled if catalog.examples is None else None
    return fill_buckets(catalog, build, Learnt(reports, pool, of_their_own))


def fill_buckets(catalog: Assembled, build: Build, learnt: Learnt) -> Filled | None:
    """Fill values by rules, probes and the language model.

    None in a dry run, of which nothing is wanted but the number of questions.
    """
    answers = None
    if build.plan.asks_model:
        described = _describe(catalog, build, learnt)
        answers = described.answers
        build.collect("usage", described.usage)
        if catalog.ahead is not None:
            build.collect("usage", catalog.ahead.usage)
    if build.is_dry_run:
        return None
    steps = opening(
        build,
        build.dirs.heartbeats,
        statistics=catalog.statistics,
        is_answered=answers is not None,
    )
    more = (catalog.findings, learnt.examples, answers)
    to_fill = _with(f"{build.label}To fill", catalog.buckets, *more)
    return Filled(to_fill, (*steps, FillAttributes(build.cascade, learnt.reports).step()))


def _with(label: str, buckets: beam.PCollection[Any], *more: beam.PCollection[Any] | None) -> Any:
    """Return buckets with the further references that are there; without any, as they are."""
    found = [each for each in more if each is not None]
    if not found:
        return buckets
    # Beam's Java runners cannot flatten a collection that others read as it is.
    own = buckets | f"{label} parts" >> beam.Map(_same)
    return (own, *found) | label >> Together()


def _same(keyed: tuple[int, SpoolRefs]) -> tuple[int, SpoolRefs]:
    return keyed


def _describe(catalog: Assembled, build: Build, learnt: Learnt) -> DescribeOutputs:
    """Ask a language model for what is open after the cheap steps.

    Rows that will be quarantined are validated away first: nothing is paid for them.
    """
    plan, dirs, label = build.plan, build.dirs, build.label
    pool = None if learnt.pool is None else beam.pvalue.AsList(learnt.pool)
    asking = DescribeItems(
        describe_config(build),
        dirs.spool,
        dirs.heartbeats,
        pool,
        None if catalog.ahead is None else catalog.ahead.asked,
        (
            *opening(build),
            FillAttributes(build.cascade, learnt.reports).step(),
            ValidateItems(plan.template, SOURCE_CHECKS, build.element_secs).step(),
        ),
    )
    to_ask = _with(f"{label}To ask", catalog.buckets, learnt.examples)
    described: DescribeOutputs = to_ask | f"{label}Describe" >> asking
    return described
