"""What a run records of itself: the metadata of every Parquet file, and the manifest.

The structure of the manifest is in pipelines/snapshots/manifest.py, here it is filled.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, TypedDict

import msgspec

from pipelines.configuration.plan import Plan
from pipelines.run.accounting import data_files
from pipelines.run.versions import snapshot_versions, vector_versions
from pipelines.run.work import Delta, Made
from pipelines.snapshots.manifest import CheckEntry, Counts, Manifest
from schemas.texts import few
from transforms.describe.usage import Usage
from transforms.models import build_chat_model, build_tagger
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import Encoders, RunInfo
from transforms.vectors.contract import contract_of, with_chunks

if TYPE_CHECKING:
    from transforms.validation.gate import CheckResult


def chosen_encoders(plan: Plan) -> Encoders:
    """Return what identifies the encoders of the spaces that this plan makes, their dimensions, and
    contracts without canaries.
    """
    versions, contracts = vector_versions(plan), {}
    for space in plan.spaces:
        card = space.build(plan.models).card
        contract = contract_of(space.spec, card, space.options, versions[space.name])
        for each in with_chunks(space.spec, contract):
            contracts[each.table] = each
    dimensions = {s.name: contracts[s.spec.table].dimension for s in plan.spaces}
    return Encoders(versions, dimensions, contracts)


def table_metadata(plan: Plan) -> dict[str, str]:
    """Return the metadata of every Parquet file: the versions and models that made it."""
    tagger, shape = build_tagger(plan.models), snapshot_versions(plan)
    return {
        "catalog_enrich_version": metadata.version("catalog-enrich"),
        "template": plan.template.name,
        "template_version": plan.template.version,
        "template_hash": plan.template.hash,
        "tagger": tagger.model,
        "tagger_prompt_hash": tagger.prompt_hash,
        **_described_by(plan),
        "text_encoder": shape["text encoder"],
        "image_encoder": shape["image encoder"],
    }


def _described_by(plan: Plan) -> dict[str, str]:
    if not plan.asks_model:
        return {"describe_backend": plan.models.describe_backend}
    prompt = plan.config.ask.prompt()
    return {
        "describe_backend": plan.models.describe_backend,
        "describe_model": build_chat_model(plan.models).model,
        "describe_prompt": prompt.key,
        "describe_prompt_hash": prompt.hash,
    }


@dataclass(frozen=True)
class Results:
    """What a run counted and checked. checks: of the gate; the rest as in Manifest."""

    counts: Counts
    inputs: Sequence[SplitReport]
    reference: Sequence[SplitReport]
    buckets: Sequence[BucketReport]
    checks: Sequence[CheckResult]
    probes: Sequence[ProbeReport]
    stages: dict[str, dict[str, int]]
    distributions: dict[str, dict[str, dict[str, int]]]
    vectors_sha256: str


class Ancestry(TypedDict):
    """How a snapshot rests on an earlier one: fields of Manifest."""

    command: str
    based_on: str | None
    made_anew_because: list[str]
    vectors_anew_because: list[str]
    records: dict[str, int] | None
    buckets_written: int
    since_full: int
    pool: list[str]
    trusted_comparisons: list[tuple[str, str]]
    shape: dict[str, str]
    asked: dict[str, str]
    compared_with: str | None


def build_manifest(plan: Plan, info: RunInfo, results: Results, ancestry: Ancestry) -> Manifest:
    """Return the manifest of a run that ends now; it is published if no check refuses."""
    finished = dt.datetime.now(dt.UTC)
    unmapped = plan.unmapped_columns()
    return Manifest(
        run_id=info.run_id,
        published=not any(check.refuses for check in results.checks),
        started=info.started,
        finished=finished,
        seconds=(finished - info.started).total_seconds(),
        versions={**info.metadata, **_versions()},
        options=dict(plan.config.options),
        inputs=list(results.inputs),
        unmapped_columns=few(unmapped),
        unmapped_columns_count=len(unmapped),
        missing_columns=plan.missing_columns(),
        workers=plan.workers,
        buckets=plan.buckets,
        counts=results.counts,
        stages=results.stages,
        checks=[_entry(result) for result in results.checks],
        files=data_files(results.buckets),
        vectors_sha256=results.vectors_sha256,
        probes=list(results.probes),
        reference=list(results.reference),
        distributions=results.distributions,
        endpoints=dict(plan.config.models.dimensions),
        **ancestry,
    )


def manifest_of_unchanged(
    published: Manifest, started: dt.datetime, delta: Delta, made: Made
) -> Manifest:
    """Return what a run tells that found nothing new: the published snapshot as it is, and of what
    runs do (calls of models, stages, records, seconds) only what this one did.
    """
    finished = dt.datetime.now(dt.UTC)
    return msgspec.structs.replace(
        published,
        started=started,
        finished=finished,
        seconds=(finished - started).total_seconds(),
        counts=msgspec.structs.replace(published.counts, described=Usage(), encoded=Usage()),
        stages=made.stages,
        distributions=made.distributions,
        made_anew_because=[],
        vectors_anew_because=[],
        records=delta.counts,
        buckets_written=0,
    )


def _entry(result: CheckResult) -> CheckEntry:
    check = result.check
    return CheckEntry(
        id=check.kind,
        check=check.meaning,
        column=f"{check.frame}.{check.column}",
        severity=check.severity,
        expectation=check.expectation,
        expected={name: value for name, value in check.arguments.items() if name != "column"},
        passed=result.passed,
        values=result.values,
        unexpected=result.unexpected,
        examples=[str(example) for example in result.examples],
        fix=check.fix,
    )


def _versions() -> dict[str, str]:
    packages = ("apache-beam", "pyarrow", "pillow", "great-expectations")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }
