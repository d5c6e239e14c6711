"""Filled items validated, composed, embedded and written as tables."""

from __future__ import annotations

import apache_beam as beam

from pipelines.run.graph.context import Build, Filled
from transforms.embed.text_vectors import EmbedText
from transforms.items.compose import ComposeText
from transforms.runtime.stages.fused import in_one
from transforms.tables.build import Encoders
from transforms.tables.merge import Base, EarlierRows
from transforms.tables.write import WriteTables
from transforms.validation.rows import ValidateItems
from transforms.vectors.stage import EmbedCanaries


def write_tables(
    filled: Filled,
    build: Build,
    encoders: Encoders,
    *,
    base: Base | None = None,
    rows: EarlierRows | None = None,
) -> None:
    plan, dirs = build.plan, build.dirs
    steps = [
        *filled.steps,
        ValidateItems(plan.template, element_secs=build.element_secs).step(),
        ComposeText(plan.template, build.element_secs).step(),
    ]
    kept = frozenset[str]() if base is None else base.kept_whole
    embedding = EmbedText(
        plan.template,
        build.models,
        tuple(space for space in build.made if space.spec.table not in kept),
        dirs.heartbeats,
        rows,
        build.watch,
    )
    if embedding.text_spaces:
        steps.append(embedding.step())
    writing = WriteTables(
        dirs.snapshot,
        plan.template,
        encoders,
        build.run,
        dirs.heartbeats,
        base,
        rows,
        first_canaries(filled.spooled.pipeline, build) if base is None else None,
    )
    written = filled.spooled | "Fill and write" >> in_one(*steps, writing.step())
    build.collect("buckets", written)


def first_canaries(pipeline: beam.Pipeline, build: Build) -> beam.pvalue.AsDict | None:
    """Return the canaries of tables that are made for the first time, as a side input.

    An encoder of pictures is not loaded for a catalog without any.
    """
    images = build.plan.template.record.images
    reads_pictures = bool(images.are_read or images.table)
    spaces = [
        space
        for space in build.made
        if space.spec.table in build.contracts
        and not build.contracts[space.spec.table].canaries
        and (space.modality == "text" or reads_pictures)
    ]
    if build.watch is None or not spaces:
        return None
    embedded = (
        pipeline
        # A source of its own: with the others' it would hold up what they begin.
        | "New spaces" >> beam.Create(spaces, reshuffle=False)
        | "Canaries" >> EmbedCanaries(build.watch, build.models)
    )
    return beam.pvalue.AsDict(embedded)
