"""The graph of the main job: read → pictures → (learn) → (describe) → fill → validate → text → embed → write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam

from pipelines.config import Plan
from transforms.assemble import ANSWERS, EXAMPLES, FINDINGS, AssembleBuckets
from transforms.contradictions import FindContradictions
from transforms.describe import DescribeConfig, DescribeItems, DescribeOutputs
from transforms.embed import EmbedText
from transforms.fill import Cascade, FillAttributes
from transforms.images import Preparation, PrepareImages
from transforms.learn import OWN, REFERENCE, EarlierProbe, LearnConfig, LearnProbes, MakeExamples
from transforms.mask import Mask, mask_bucket
from transforms.outliers import FindOutliers
from transforms.probes.store import FOLDER
from transforms.read import ReadCatalog, ReadOutputs
from transforms.readers import InputSplit
from transforms.report import CollectReports
from transforms.shared_content import FindSharedContent
from transforms.spool import Spool
from transforms.tabulate import RunInfo
from transforms.text import ComposeText
from transforms.validate import SOURCE_CHECKS, ValidateItems
from transforms.write import Encoders, WriteTables

Spooled = dict[str, beam.PCollection]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run keeps things. snapshot: data files; spool: between stages; reports: what stages counted.

    pictures: made ready for a language model; answers: of language models, kept for later runs; purse: local file
    with what is spent of the budget, empty where work is not local.
    heartbeats, log: local paths for the live view and the workers' stderr, empty where work is not local.
    """

    snapshot: str
    spool: str
    reports: str
    pictures: str = ""
    answers: str = ""
    purse: str = ""
    heartbeats: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A catalog that was read, with its pictures, spooled by bucket."""

    read: ReadOutputs
    spooled: Spooled


def build_graph(
    pipeline: beam.Pipeline,
    plan: Plan,
    run: RunInfo,
    encoders: Encoders,
    places: Places,
    earlier: Mapping[str, EarlierProbe] | None = None,
) -> None:
    """Add the whole job to `pipeline`. Records and rejects meet again in their bucket, so none can be lost.

    A bucket is put together once for each stage that must have seen all of them: to learn from, to see what is open,
    and to write. That costs far less than keeping whole buckets in between.

    earlier: probes of the last snapshot, used again where the labels have not moved.
    """
    prepared = read_catalog(pipeline, plan, places, plan.splits, "")
    reference = read_catalog(pipeline, plan, places, plan.reference_splits, "Reference ")
    beats = places.heartbeats
    compared = {**prepared.spooled, FINDINGS: _contradictions(prepared.spooled, plan, places)}
    prepared = replace(prepared, spooled=compared)
    taught = learn_from(reference, plan, places)
    filled = fill_catalog(prepared, taught, plan, run, places, earlier or {}, None, "")
    written = (
        filled
        | "Validate" >> ValidateItems(plan.template)
        | "Text" >> ComposeText(plan.template)
        | "Embed" >> EmbedText(plan.models, beats)
        | "Write" >> WriteTables(places.snapshot, plan.template, encoders, run, beats)
    )
    _ = prepared.read.reports | "Collect reads" >> CollectReports(f"{places.reports}/splits.json")
    _ = reference.read.reports | "Collect reference" >> CollectReports(f"{places.reports}/reference.json")
    _ = written | "Collect buckets" >> CollectReports(f"{places.reports}/buckets.json")


def read_catalog(
    pipeline: beam.Pipeline, plan: Plan, places: Places, splits: Sequence[InputSplit], label: str
) -> Prepared:
    """Read a catalog and its pictures. label: begins the names of its stages."""
    own = not label
    beats = places.heartbeats if own else ""
    read = pipeline | f"{label}Read" >> ReadCatalog(splits, plan.template, plan.config.read_limits, plan.buckets, beats)
    images = read.image_refs | f"{label}Images" >> PrepareImages(
        plan.config.images_root,
        plan.config.image_limits,
        plan.models,
        places.spool,
        plan.buckets,
        beats,
        Preparation(places.pictures, plan.config.ask.image_px) if plan.asks_model and own else None,
    )
    spooled = {
        name: elements | f"{label}Spool {name}" >> Spool(places.spool)
        for name, elements in (
            ("records", read.records),
            ("images", images),
            ("image_rows", read.image_rows),
            ("rejects", read.rejects),
        )
    }
    return Prepared(read, spooled)


def learn_from(reference: Prepared, plan: Plan, places: Places) -> beam.PCollection | None:
    """PCollection[KV[kind, SpoolRef]] of what probes see of other catalogs' items; None where no probe is trained."""
    return _examples(reference, REFERENCE, plan, places, None, "")[1] if plan.learns else None


def fill_catalog(
    prepared: Prepared,
    taught: beam.PCollection | None,
    plan: Plan,
    run: RunInfo,
    places: Places,
    earlier: Mapping[str, EarlierProbe],
    mask: Mask | None,
    label: str,
) -> beam.PCollection:
    """PCollection[Bucket] with every attribute settled or unknown.

    taught: other catalogs' examples; earlier: probes of the last snapshot, by attribute.
    mask: what an evaluation hides from all that follows; label: begins the names of its stages.
    """
    spooled, reports = dict(prepared.spooled), None
    pool: beam.PCollection | None = None
    if taught is not None:
        spooled[EXAMPLES], own = _examples(prepared, OWN, plan, places, mask, label)
        reports, pool = (
            (own, taught)
            | f"{label}All examples" >> beam.Flatten()
            | f"{label}Learn" >> LearnProbes(_learning(plan, places, earlier), places.spool, places.heartbeats)
        )
        _ = reports | f"{label}Collect probes" >> CollectReports(f"{places.reports}/probes.json")
    if plan.asks_model:
        described = _describe(spooled, plan, run, places, reports, pool, mask, label)
        spooled[ANSWERS] = described.answers | f"{label}Spool answers" >> Spool(places.spool)
        _ = described.usage | f"{label}Collect usage" >> CollectReports(f"{places.reports}/usage.json")
    return _assembled(spooled, plan, mask, f"{label}Assemble", places.heartbeats) | f"{label}Fill" >> FillAttributes(
        Cascade(plan.template, plan.config.rules), reports
    )


def _assembled(spooled: Spooled, plan: Plan, mask: Mask | None, label: str, beats: str = "") -> beam.PCollection:
    buckets = spooled | label >> AssembleBuckets(plan.buckets, beats)
    return buckets if mask is None else buckets | f"{label} masked" >> beam.Map(lambda b: mask_bucket(mask, b))


def _contradictions(spooled: Spooled, plan: Plan, places: Places) -> beam.PCollection:
    """What within an item, or in other items, speaks against what the source gave; spooled by bucket."""
    buckets = _assembled(spooled, plan, None, "Assemble to compare")
    found = (
        buckets | "Contradictions" >> FindContradictions(plan.template),
        buckets | "Shared content" >> FindSharedContent(plan.template, plan.buckets, places.spool),
        buckets | "Outliers" >> FindOutliers(plan.template),
    )
    return found | "All findings" >> beam.Flatten() | "Spool findings" >> Spool(places.spool)


def _learning(plan: Plan, places: Places, earlier: Mapping[str, EarlierProbe]) -> LearnConfig:
    folder = f"{places.snapshot}/{FOLDER}"
    return LearnConfig(plan.template, plan.models, folder, plan.config.max_labelled, earlier)


def _examples(
    catalog: Prepared, kind: str, plan: Plan, places: Places, mask: Mask | None, label: str
) -> tuple[beam.PCollection, beam.PCollection]:
    """What probes see of a catalog's items, spooled: by bucket, and by the kind of catalog."""
    made = _assembled(catalog.spooled, plan, mask, f"{label}Assemble {kind} to learn") | (
        f"{label}Examples {kind}" >> MakeExamples(_learning(plan, places, {}), places.heartbeats)
    )
    spooled = made | f"{label}Spool examples {kind}" >> Spool(places.spool)
    return spooled, spooled | f"{label}As {kind}" >> beam.Map(_of_kind, kind)


def _of_kind(keyed: tuple[int, tuple[str, int]], kind: str) -> tuple[str, tuple[str, int]]:
    return kind, keyed[1]


def _describe(
    spooled: Spooled,
    plan: Plan,
    run: RunInfo,
    places: Places,
    reports: beam.PCollection | None,
    pool: beam.PCollection | None,
    mask: Mask | None,
    label: str,
) -> DescribeOutputs:
    """What is open after the cheap rungs, put to the language model; rows that will be set aside are not paid for."""
    config = DescribeConfig(
        plan.template,
        plan.models_of(run.run_id),
        plan.config.ask,
        plan.config.budget,
        plan.buckets,
        run.run_id,
        places.pictures,
        places.answers,
        places.purse,
    )
    shown = None if pool is None else beam.pvalue.AsList(pool | f"{label}Pool" >> beam.Values())
    described: DescribeOutputs = (
        _assembled(spooled, plan, mask, f"{label}Assemble to ask")
        | f"{label}Fill to ask" >> FillAttributes(Cascade(plan.template, plan.config.rules), reports)
        | f"{label}Validate to ask" >> ValidateItems(plan.template, SOURCE_CHECKS)
        | f"{label}Describe" >> DescribeItems(config, places.spool, places.heartbeats, shown)
    )
    return described
