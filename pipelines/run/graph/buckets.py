"""Buckets put together for a stage, and what comparing their items finds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import apache_beam as beam

from pipelines.run.graph.context import Build, ByBucket, Prepared
from pipelines.run.work import picture_access
from schemas.elements import Bucket
from transforms.consistency.outliers import FindOutliers
from transforms.consistency.shared_content import FindSharedContent
from transforms.consistency.within_item import FindContradictions
from transforms.items.assemble import AssembleBuckets
from transforms.items.mask import mask_bucket
from transforms.readers.read import combination_of
from transforms.runtime.json_files import write_json
from transforms.runtime.spool import Spool


def assemble(
    prepared: Prepared, build: Build, label: str, heartbeats: str = ""
) -> beam.PCollection[Bucket]:
    plan = build.plan
    combination = combination_of(plan.template, picture_access(plan, build.dirs))
    assembling = AssembleBuckets(heartbeats, combination, build.element_secs, plan.bucket_bytes)
    return prepared.spooled | label >> assembling


def assemble_masked(
    prepared: Prepared, build: Build, stage: str, heartbeats: str = ""
) -> beam.PCollection[Bucket]:
    """Put buckets together as an evaluation's fold sees them, without what it hides."""
    label, mask = f"{build.label}{stage}", build.mask
    buckets = assemble(prepared, build, label, heartbeats)
    if mask is None:
        return buckets
    return buckets | f"{label} masked" >> beam.Map(lambda bucket: mask_bucket(mask, bucket))


def find_contradictions(prepared: Prepared, build: Build) -> ByBucket:
    """Find what within an item, or in other items, speaks against what the source gave."""
    plan, dirs = build.plan, build.dirs
    buckets = assemble(prepared, build, "Assemble to compare")
    contradictions = buckets | "Contradictions" >> FindContradictions(
        plan.template, element_secs=build.element_secs
    )
    _ = contradictions.trusted | "Keep trusted" >> beam.Map(_keep_sorted, build.report("trusted"))
    found = [
        contradictions.findings,
        buckets
        | "Shared content"
        >> FindSharedContent(plan.template, plan.buckets, dirs.spool, build.element_secs),
    ]
    if any(attribute.spec.is_number for attribute in plan.template.attributes):
        # Put together once more, after the numbers of all buckets are known.
        again = assemble(prepared, build, "Assemble to score")
        found.append(
            (buckets, again) | "Outliers" >> FindOutliers(plan.template, build.element_secs)
        )
    return found | "All findings" >> beam.Flatten() | "Spool findings" >> Spool(dirs.spool)


def _keep_sorted(listed: Collection[Any], path: str) -> None:
    write_json(path, sorted(listed))
