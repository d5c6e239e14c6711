"""The graph of the main job: read → pictures → assemble → fill → validate → text → embed → write."""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from pipelines.config import Plan
from transforms.assemble import AssembleBuckets
from transforms.embed import EmbedText
from transforms.fill import FillAttributes
from transforms.images import DescribeImages
from transforms.read import ReadCatalog
from transforms.report import CollectReports
from transforms.spool import Spool
from transforms.tabulate import RunInfo
from transforms.text import ComposeText
from transforms.validate import ValidateItems
from transforms.write import Encoders, WriteTables


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run keeps things. snapshot: data files; spool: between stages; reports: what stages counted.

    heartbeats, log: local paths for the live view and the workers' stderr, empty where work is not local.
    """

    snapshot: str
    spool: str
    reports: str
    heartbeats: str = ""
    log: str = ""


def build_graph(pipeline: beam.Pipeline, plan: Plan, run: RunInfo, encoders: Encoders, places: Places) -> None:
    """Add the whole job to `pipeline`. Records and rejects meet again in their bucket, so none can be lost."""
    beats = places.heartbeats
    read = pipeline | "Read" >> ReadCatalog(plan.splits, plan.template, plan.config.read_limits, plan.buckets, beats)
    images = read.image_refs | "Images" >> DescribeImages(
        plan.config.images_root, plan.config.image_limits, plan.models, places.spool, plan.buckets, beats
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
