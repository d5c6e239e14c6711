"""Whole graphs: of a full build, of a reading that only counts, of what is new."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import apache_beam as beam

from pipelines.run.graph.buckets import compare
from pipelines.run.graph.context import PICTURES, Build, Learnt, Prepared, Previous
from pipelines.run.graph.filling import fill_buckets, fill_catalog
from pipelines.run.graph.learning import making_examples
from pipelines.run.graph.reading import (
    prepare_images,
    read_inputs,
    read_reference,
    with_previous_answers,
)
from pipelines.run.graph.writing import write_tables
from pipelines.run.work import Delta, Kept, picture_access
from schemas.elements import ImageRef
from transforms.consistency.compare import CatalogStatistics, save_statistics
from transforms.items.assemble import bucket_numbers
from transforms.probes.report import ProbeReport
from transforms.readers.read import ReadCatalog
from transforms.runtime.json_files import write_json
from transforms.runtime.spool import KEYED_REF, Spool, SpoolRef, Together, read_spool
from transforms.runtime.stages.reports import Gather, Given
from transforms.tables.build import Encoders


def build_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, previous: Previous | None = None
) -> None:
    """Add the whole job to `pipeline`.

    Records and rejects meet again in their bucket, so none can be lost. It is put together once,
    and opened again by each stage that must have seen all of them: to see what is open, and to
    write.
    """
    previous = previous or Previous()
    prepared = read_inputs(pipeline, build, build.plan.splits, "", asks=previous.answers is None)
    prepared = with_previous_answers(prepared, build, previous.answers)
    making = making_examples(build) if build.plan.learns else None
    catalog = compare(prepared, build, making=making)
    filled = fill_catalog(catalog, build, read_reference(pipeline, build), previous.probes)
    if prepared.reports is not None:
        build.collect("splits", prepared.reports)
    if filled is not None:
        write_tables(filled, build, encoders, rows=previous.rows)
    build.write_reports()


def build_reading(pipeline: beam.Pipeline, build: Build) -> None:
    """Add what counts a catalog and its image references to `pipeline`, and opens no image."""
    plan, dirs = build.plan, build.dirs
    read = pipeline | "Read" >> ReadCatalog(
        plan.splits,
        plan.template,
        plan.config.read_limits,
        plan.buckets,
        dirs.spool,
        dirs.heartbeats,
        pictures=picture_access(plan, dirs),
        bucket_bytes=plan.bucket_bytes,
    )
    build.collect("splits", read.reports)
    build.write_reports()
    by_path = (read.image_refs,) | "By path" >> Together()
    counted = by_path | "Count paths" >> beam.Map(_count_paths)
    _ = counted | "Keep count" >> Gather(partial(_keep_sum, build.report(PICTURES)))


def build_delta_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, delta: Delta, kept: Kept
) -> None:
    """Add the job for what is new to `pipeline`; rows that stay are joined where their bucket is
    written.

    Items are not compared with each other: that takes all of them, and a full build does it.
    """
    spooled = {
        name: pipeline | f"Spooled {name}" >> Given(list(refs)).with_output_types(KEYED_REF)
        for name, refs in delta.refs.items()
    }
    images = spooled["image_refs"] | "Images" >> prepare_images(build, is_own=True)
    results = images.results | "Spool images" >> Spool(build.dirs.spool)
    numbers = bucket_numbers(pipeline, delta.numbers)
    prepared = Prepared((numbers, spooled["rows"], results))
    catalog = compare(
        with_previous_answers(prepared, build, kept.answers),
        build,
        making=making_examples(build) if build.plan.learns else None,
        statistics=save_statistics(build.dirs.spool, CatalogStatistics(delta.trusted)),
    )
    reports = pool = None
    if build.plan.learns:
        probes = Given(list(kept.probes)).with_output_types(ProbeReport)
        reports = pipeline | "Probes" >> probes
        build.collect("probes", reports)
    if kept.pool:
        pool = pipeline | "Earlier pool" >> Given(list(kept.pool))
    filled = fill_buckets(catalog, build, Learnt(reports, pool))
    if filled is not None:
        write_tables(filled, build, encoders, base=delta.base)
    build.write_reports()


def _count_paths(spooled: tuple[int, Iterable[SpoolRef]]) -> int:
    """Return how many distinct paths a bucket of paths has."""
    return len({each.path for each in read_spool(spooled[1], ImageRef)})


def _keep_sum(path: str, counts: Iterable[int]) -> None:
    write_json(path, sum(counts))
