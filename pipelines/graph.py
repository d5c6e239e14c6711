"""The graph of the main job: read → pictures → (describe) → assemble → fill → validate → text → embed → write."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from pipelines.config import Plan
from transforms.assemble import ANSWERS, AssembleBuckets
from transforms.describe import DescribeConfig, DescribeItems, DescribeOutputs
from transforms.embed import EmbedText
from transforms.fill import FillAttributes
from transforms.images import Preparation, PrepareImages
from transforms.read import ReadCatalog
from transforms.report import CollectReports
from transforms.spool import Spool
from transforms.tabulate import RunInfo
from transforms.text import ComposeText
from transforms.validate import SOURCE_CHECKS, ValidateItems
from transforms.write import Encoders, WriteTables


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


def build_graph(pipeline: beam.Pipeline, plan: Plan, run: RunInfo, encoders: Encoders, places: Places) -> None:
    """Add the whole job to `pipeline`. Records and rejects meet again in their bucket, so none can be lost.

    A bucket is put together twice where a language model is asked: once to see what is open, once with the answers.
    That costs far less than keeping whole buckets while the model works.
    """
    beats = places.heartbeats
    read = pipeline | "Read" >> ReadCatalog(plan.splits, plan.template, plan.config.read_limits, plan.buckets, beats)
    images = read.image_refs | "Images" >> PrepareImages(
        plan.config.images_root,
        plan.config.image_limits,
        plan.models,
        places.spool,
        plan.buckets,
        beats,
        Preparation(places.pictures, plan.config.ask.image_px) if plan.asks_model else None,
    )
    spooled = {
        name: elements | f"Spool {name}" >> Spool(places.spool)
        for name, elements in (
            ("records", read.records),
            ("images", images),
            ("image_rows", read.image_rows),
            ("rejects", read.rejects),
        )
    }
    if plan.asks_model:
        described = _describe(spooled, plan, run, places)
        spooled[ANSWERS] = described.answers | "Spool answers" >> Spool(places.spool)
        _ = described.usage | "Collect usage" >> CollectReports(f"{places.reports}/usage.json")
    written = (
        spooled
        | "Assemble" >> AssembleBuckets(plan.buckets, beats)
        | "Fill" >> FillAttributes(plan.template)
        | "Validate" >> ValidateItems(plan.template)
        | "Text" >> ComposeText(plan.template)
        | "Embed" >> EmbedText(plan.models, beats)
        | "Write" >> WriteTables(places.snapshot, plan.template, encoders, run, beats)
    )
    _ = read.reports | "Collect reads" >> CollectReports(f"{places.reports}/splits.json")
    _ = written | "Collect buckets" >> CollectReports(f"{places.reports}/buckets.json")


def _describe(spooled: dict[str, beam.PCollection], plan: Plan, run: RunInfo, places: Places) -> DescribeOutputs:
    """What is open once the rules have run, put to the language model; rows that will be set aside are not paid for."""
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
    described: DescribeOutputs = (
        spooled
        | "Assemble to ask" >> AssembleBuckets(plan.buckets)
        | "Fill to ask" >> FillAttributes(plan.template)
        | "Validate to ask" >> ValidateItems(plan.template, SOURCE_CHECKS)
        | "Describe" >> DescribeItems(config, places.spool, places.heartbeats)
    )
    return described
