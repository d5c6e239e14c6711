"""What probes see of items, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping

import apache_beam as beam

from pipelines.run.graph.buckets import assemble_masked
from pipelines.run.graph.context import Build, ByBucket, ByCatalog, Prepared
from transforms.probes.learn import EarlierProbe, LearnConfig, MakeExamples
from transforms.probes.store import FOLDER
from transforms.runtime.spool import Spool, SpoolRef


def make_examples(catalog: Prepared, kind: str, build: Build) -> ByBucket:
    """Spool what probes see of a catalog's items."""
    config = learning_config(build, {})
    return (
        assemble_masked(catalog, build, f"Assemble {kind} to learn")
        | f"{build.label}Examples {kind}" >> MakeExamples(config, build.dirs.heartbeats)
        | f"{build.label}Spool examples {kind}" >> Spool(build.dirs.spool)
    )


def as_kind(examples: ByBucket, kind: str, build: Build) -> ByCatalog:
    return examples | f"{build.label}As {kind}" >> beam.Map(_of_kind, kind)


def learning_config(build: Build, previous_probes: Mapping[str, EarlierProbe]) -> LearnConfig:
    plan, folder = build.plan, f"{build.dirs.snapshot}/{FOLDER}"
    return LearnConfig(
        plan.template,
        build.models,
        folder,
        plan.config.max_labelled,
        previous_probes,
        build.element_secs,
        plan.bucket_bytes,
    )


def _of_kind(keyed: tuple[int, SpoolRef], kind: str) -> tuple[str, SpoolRef]:
    return kind, keyed[1]
