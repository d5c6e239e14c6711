"""The graph that makes tables of vectors of items that are finished: pictures → take up → embed →
write.
"""

from __future__ import annotations

import apache_beam as beam

from pipelines.run.graph.context import Build
from pipelines.run.graph.reading import prepare_images
from pipelines.run.graph.writing import first_canaries
from transforms.embed.finished import (
    FinishedItems,
    ReferredPictures,
    TakeUpItems,
    WriteVectors,
)
from transforms.embed.text_vectors import EmbedText
from transforms.items.assemble import bucket_numbers
from transforms.runtime.spool import Spool, Together
from transforms.runtime.stages.fused import FusedStep, in_one
from transforms.tables.build import Encoders, TableContext
from transforms.tables.merge import EarlierRows

# The report of the buckets that were revised.
REVISED = "revised"


def build_vector_graph(
    pipeline: beam.Pipeline,
    build: Build,
    encoders: Encoders,
    finished: FinishedItems,
    rows: EarlierRows | None = None,
) -> None:
    """Add what makes the vectors of `finished.spaces` to `pipeline`, and nothing else.

    rows: of the last snapshot, whose vectors may turn out the same.
    """
    plan, dirs = build.plan, build.dirs
    parts = [bucket_numbers(pipeline, sorted(finished.buckets))]
    if finished.of_pictures:
        pictures = (
            parts[0]
            # Else one worker would read them all.
            | "Spread buckets" >> beam.Reshuffle()
            | "References" >> ReferredPictures(finished)
            | "Spool references" >> Spool(dirs.spool)
            | "Images" >> prepare_images(build, is_own=True, is_asked=False)
        )
        parts.append(pictures.results | "Spool images" >> Spool(dirs.spool))
    steps = [FusedStep(TakeUpItems(finished))]
    embedding = EmbedText(
        plan.template, build.models, finished.spaces, dirs.heartbeats, rows, build.watch
    )
    if embedding.text_spaces:
        steps.append(embedding.step())
    writing = WriteVectors(
        TableContext(dirs.snapshot, plan.template, encoders, build.run),
        finished,
        dirs.heartbeats,
        first_canaries(pipeline, build),
    )
    to_revise = tuple(parts) | "To revise" >> Together()
    revised = to_revise | "Embed and write" >> in_one(*steps, writing.step())
    build.collect(REVISED, revised)
    build.write_reports()
