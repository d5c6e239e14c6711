"""Missing values filled by rules, probes and a language model, or left unknown."""

from __future__ import annotations

from collections.abc import Mapping

import apache_beam as beam

from pipelines.run.graph.asking import describe_config
from pipelines.run.graph.buckets import assemble_masked
from pipelines.run.graph.context import Build, ByCatalog, Learnt, Prepared
from pipelines.run.graph.learning import as_kind, learning_config, make_examples
from pipelines.snapshots.snapshot import POOL
from schemas.elements import Bucket
from transforms.describe.items import DescribeItems, DescribeOutputs
from transforms.fill.cascade import FillAttributes
from transforms.items.assemble import ANSWERS, EXAMPLES
from transforms.probes.learn import OWN, EarlierProbe, LearnProbes
from transforms.runtime.reports import CollectReports, Gather, WriteSorted
from transforms.runtime.spool import Spool
from transforms.validation.rows import SOURCE_CHECKS, ValidateItems


def fill_catalog(
    prepared: Prepared,
    build: Build,
    reference_examples: ByCatalog | None,
    previous_probes: Mapping[str, EarlierProbe] | None = None,
) -> beam.PCollection[Bucket] | None:
    """Fill or leave unknown every attribute of a catalog; None in a dry run.

    reference_examples: of `read_reference`; previous_probes: of the last snapshot, by attribute.
    """
    if not build.plan.learns:
        return fill_buckets(prepared, build, Learnt())
    label = build.label
    examples = make_examples(prepared, OWN, build)
    learnt_from = as_kind(examples, OWN, build)
    if reference_examples is not None:
        both = (learnt_from, reference_examples)
        learnt_from = both | f"{label}All examples" >> beam.Flatten()
    reports, pool = learnt_from | f"{label}Learn" >> LearnProbes(
        learning_config(build, previous_probes or {}), build.dirs.spool, build.dirs.heartbeats
    )
    _ = reports | f"{label}Collect probes" >> CollectReports(build.report("probes"))
    files = pool | f"{label}Pool files" >> beam.Values()
    _ = files | f"{label}Keep pool" >> Gather(WriteSorted(build.report(POOL)))
    return fill_buckets(prepared.adding(EXAMPLES, examples), build, Learnt(reports, pool))


def fill_buckets(
    prepared: Prepared, build: Build, learnt: Learnt
) -> beam.PCollection[Bucket] | None:
    """Fill values by rules, probes and the language model.

    None in a dry run, of which nothing is wanted but the number of questions.
    """
    plan, label = build.plan, build.label
    if plan.asks_model:
        described = _describe(prepared, build, learnt)
        answers = described.answers | f"{label}Spool answers" >> Spool(build.dirs.spool)
        prepared = prepared.adding(ANSWERS, answers)
        usage = described.usage
        if prepared.ahead is not None:
            usage = (usage, prepared.ahead.usage) | "All usage" >> beam.Flatten()
        _ = usage | f"{label}Collect usage" >> CollectReports(build.report("usage"))
    if build.is_dry_run:
        return None
    buckets = assemble_masked(prepared, build, "Assemble", build.dirs.heartbeats)
    return buckets | f"{label}Fill" >> FillAttributes(build.cascade, learnt.reports)


def _describe(prepared: Prepared, build: Build, learnt: Learnt) -> DescribeOutputs:
    """Ask a language model for what is open after the cheap steps.

    Rows that will be quarantined are validated away first: nothing is paid for them.
    """
    plan, dirs, label = build.plan, build.dirs, build.label
    pool = None
    if learnt.pool is not None:
        pool = beam.pvalue.AsList(learnt.pool | f"{label}Pool" >> beam.Values())
    described: DescribeOutputs = (
        assemble_masked(prepared, build, "Assemble to ask")
        | f"{label}Fill to ask" >> FillAttributes(build.cascade, learnt.reports)
        | f"{label}Validate to ask"
        >> ValidateItems(plan.template, SOURCE_CHECKS, build.element_secs)
        | f"{label}Describe"
        >> DescribeItems(
            describe_config(build),
            dirs.spool,
            dirs.heartbeats,
            pool,
            None if prepared.ahead is None else prepared.ahead.asked,
        )
    )
    return described
