"""Whole graphs: of a full build, of a reading that only counts, of what is new."""

from __future__ import annotations

import apache_beam as beam

from pipelines.run.graph.buckets import assemble, find_contradictions
from pipelines.run.graph.context import PICTURES, Build, Learnt, Prepared, Previous
from pipelines.run.graph.filling import fill_buckets, fill_catalog
from pipelines.run.graph.learning import make_examples
from pipelines.run.graph.reading import (
    prepare_images,
    read_inputs,
    read_reference,
    with_previous_answers,
)
from pipelines.run.graph.writing import write_tables
from pipelines.run.work import Delta, Kept, picture_access
from schemas.elements import ImageRef
from transforms.consistency.within_item import FindContradictions
from transforms.items.assemble import EXAMPLES, FINDINGS, NUMBERS, bucket_numbers
from transforms.probes.learn import OWN
from transforms.probes.report import ProbeReport
from transforms.readers.read import ReadCatalog
from transforms.runtime.json_files import write_json
from transforms.runtime.reports import CollectReports
from transforms.runtime.spool import KEYED_REF, Spool
from transforms.tables.build import Encoders


def build_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, previous: Previous | None = None
) -> None:
    """Add the whole job to `pipeline`.

    Records and rejects meet again in their bucket, so none can be lost.

    A bucket is put together once for each stage that must have seen all of them: to learn from, to
    see what is open, and to write. That costs far less than keeping whole buckets in between.
    """
    previous = previous or Previous()
    prepared = read_inputs(pipeline, build, build.plan.splits, "", asks=previous.answers is None)
    prepared = with_previous_answers(prepared, build, previous.answers)
    prepared = prepared.adding(FINDINGS, find_contradictions(prepared, build))
    filled = fill_catalog(prepared, build, read_reference(pipeline, build), previous.probes)
    _ = prepared.reports | "Collect reads" >> CollectReports(build.report("splits"))
    if filled is not None:
        write_tables(filled, build, encoders, rows=previous.rows)


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
    _ = read.reports | "Collect reads" >> CollectReports(build.report("splits"))
    paths = read.image_refs | "Paths" >> beam.Map(_path_of) | "Distinct paths" >> beam.Distinct()
    counted = paths | "Count paths" >> beam.combiners.Count.Globally()
    _ = counted | "Keep count" >> beam.Map(_keep, build.report(PICTURES))


def build_delta_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, delta: Delta, kept: Kept
) -> None:
    """Add the job for what is new to `pipeline`; rows that stay are joined where their bucket is
    written.

    Items are not compared with each other: that takes all of them, and a full build does it.
    """
    spooled = {
        name: pipeline | f"Spooled {name}" >> beam.Create(list(refs)).with_output_types(KEYED_REF)
        for name, refs in delta.refs.items()
    }
    images = spooled.pop("image_refs") | "Images" >> prepare_images(build, is_own=True)
    spooled["images"] = images.results | "Spool images" >> Spool(build.dirs.spool)
    spooled[NUMBERS] = bucket_numbers(pipeline, delta.numbers)
    prepared = with_previous_answers(Prepared(spooled), build, kept.answers)
    compared = assemble(prepared, build, "Assemble to compare")
    found = compared | "Contradictions" >> FindContradictions(
        build.plan.template, delta.trusted, build.element_secs
    )
    prepared = prepared.adding(
        FINDINGS, found.findings | "Spool findings" >> Spool(build.dirs.spool)
    )
    reports = pool = None
    if build.plan.learns:
        examples = make_examples(prepared, OWN, build)
        prepared = prepared.adding(EXAMPLES, examples)
        reports = pipeline | "Probes" >> beam.Create(list(kept.probes)).with_output_types(
            ProbeReport
        )
        _ = reports | "Collect probes" >> CollectReports(build.report("probes"))
    if kept.pool:
        pool = pipeline | "Earlier pool" >> beam.Create([(0, ref) for ref in kept.pool])
    filled = fill_buckets(prepared, build, Learnt(reports, pool))
    if filled is not None:
        write_tables(filled, build, encoders, base=delta.base)


def _path_of(keyed: tuple[int, ImageRef]) -> str:
    return keyed[1].path


def _keep(count: int, path: str) -> None:
    write_json(path, count)
