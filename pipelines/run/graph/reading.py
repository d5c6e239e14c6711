"""Catalogs and their images, read and spooled by bucket."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from pipelines.run.graph.asking import ask_ahead, asks_ahead
from pipelines.run.graph.context import Build, Prepared
from pipelines.run.graph.learning import reference_examples
from pipelines.run.work import PreviousAnswers, fetching, picture_access
from transforms.images.prepare import Preparation, PrepareImages
from transforms.incremental.previous_answers import ReadPreviousAnswers
from transforms.items.assemble import bucket_numbers
from transforms.probes.learn import Examples
from transforms.readers import InputSplit
from transforms.readers.read import ReadCatalog
from transforms.runtime.parquet import DataFile
from transforms.runtime.spool import Spool
from transforms.runtime.stages.reports import Given


def read_catalog(pipeline: beam.Pipeline, build: Build) -> Prepared:
    """Read the catalog and its images; `build.label` and `build.mask` begin after it."""
    return read_inputs(pipeline, build, build.plan.splits, "")


def read_reference(pipeline: beam.Pipeline, build: Build) -> Examples | None:
    """Read the additional catalogs that probes learn from, and make examples of their items.

    None where there are no such catalogs, or no probe is trained.
    """
    if not build.plan.reference_splits:
        return None
    reference = read_inputs(pipeline, build, build.plan.reference_splits, "Reference ")
    if reference.reports is not None:
        build.collect("reference", reference.reports)
    if not build.plan.learns:
        return None
    return reference_examples(reference, build)


def with_previous_answers(
    prepared: Prepared, build: Build, answers: PreviousAnswers | None
) -> Prepared:
    if answers is None:
        return prepared
    pipeline = prepared.spooled[0].pipeline
    spooled = (
        pipeline
        | "Earlier items" >> Given(list(answers.files)).with_output_types(DataFile)
        # Else one worker would read them all.
        | "Spread earlier items" >> beam.Reshuffle()
        | "Read previous answers" >> ReadPreviousAnswers(answers.config)
        | "Spool previous answers" >> Spool(build.dirs.spool)
    )
    return prepared.adding(spooled)


def read_inputs(
    pipeline: beam.Pipeline,
    build: Build,
    splits: Sequence[InputSplit],
    label: str,
    *,
    asks: bool = False,
) -> Prepared:
    """Read a catalog and its images; asks: whether a language model may be asked meanwhile."""
    plan, dirs = build.plan, build.dirs
    is_own = not label
    # The live view counts the catalog's own records only.
    heartbeats = dirs.heartbeats if is_own else ""
    read = pipeline | f"{label}Read" >> ReadCatalog(
        splits,
        plan.template,
        plan.config.read_limits,
        plan.buckets,
        dirs.spool,
        heartbeats,
        pictures=picture_access(plan, dirs),
        bucket_bytes=plan.bucket_bytes,
    )
    images = read.image_refs | f"{label}Images" >> prepare_images(build, is_own=is_own)
    results = images.results | f"{label}Spool images" >> Spool(dirs.spool)
    ahead = ask_ahead(images.found, read.rows, build) if asks and asks_ahead(build) else None
    numbers = bucket_numbers(pipeline, range(plan.buckets), label)
    return Prepared((numbers, read.rows, results), read.reports, ahead)


def prepare_images(build: Build, *, is_own: bool, is_asked: bool = True) -> PrepareImages:
    """Return the stage that looks at pictures: of the catalog itself, or of another one.

    is_asked: whether a language model may be asked about them.
    """
    plan, dirs = build.plan, build.dirs
    # JPEG files are made for the language model only, which is asked about the own catalog only.
    is_shown = plan.asks_model and is_own and is_asked and not build.is_dry_run
    return PrepareImages(
        plan.config.images_root,
        plan.config.image_limits,
        build.models,
        dirs.spool,
        plan.buckets,
        dirs.heartbeats if is_own else "",
        Preparation(dirs.pictures, plan.config.ask.image_px) if is_shown else None,
        dirs.features,
        build.made if is_own and not build.is_dry_run else (),
        build.watch if is_own else None,
        dirs.kept_pictures,
        fetching(plan, dirs),
        build.element_secs,
    )
