"""What probes see of items, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from pipelines.run.graph.buckets import assembling, opening
from pipelines.run.graph.context import Assembled, Build, Prepared
from transforms.consistency.compare import STATISTICS
from transforms.items.bucket_files import KeepBucket
from transforms.probes.learn import (
    OWN,
    REFERENCE,
    EarlierProbe,
    Examples,
    LearnConfig,
    MakeExamples,
    examples_of,
)
from transforms.probes.store import FOLDER
from transforms.runtime.spool import Together
from transforms.runtime.stages.fused import FusedStep, in_one


def making_examples(build: Build, kind: str = OWN) -> MakeExamples:
    """Return how examples are made of a catalog's items."""
    return MakeExamples(learning_config(build, {}), build.dirs.heartbeats, kind)


def reference_examples(reference: Prepared, build: Build) -> Examples:
    """Spool what probes see of another catalog's items."""
    to_learn = reference.spooled | "Assemble reference" >> Together()
    making = making_examples(build, REFERENCE)
    return _examples(to_learn, "Examples reference", build, (assembling(build), making.step()))


def own_examples(catalog: Assembled, build: Build) -> Examples:
    """Spool what probes see of the catalog's items, if they were not made with its buckets."""
    if catalog.examples is not None:
        return catalog.examples
    steps = (*opening(build), making_examples(build).step())
    return _examples(catalog.buckets, f"{build.label}Examples", build, steps)


def _examples(
    elements: beam.PCollection[Any], label: str, build: Build, steps: Sequence[FusedStep]
) -> Examples:
    making = in_one(*steps, FusedStep(KeepBucket(build.dirs.spool, examples_of)))
    made = elements | label >> making.with_outputs(STATISTICS, main="examples")
    return Examples(made.examples, made[STATISTICS])


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
