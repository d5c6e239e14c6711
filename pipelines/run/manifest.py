"""What a run says of itself: in every Parquet file's metadata, and in the manifest beside the
tables.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from pipelines.configuration.config import Plan
from pipelines.run.accounting import Account, data_files
from transforms.models import (
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
)
from transforms.models.contract import ImageEncoder, TextEncoder
from transforms.readers import SplitReport
from transforms.tables.build import Encoders, RunInfo
from transforms.tables.write import BucketReport
from transforms.validation.gate import CheckResult

MANIFEST_VERSION = 2


def chosen_encoders(plan: Plan) -> Encoders:
    """Model names and dimensions of the vectors that this plan makes."""
    encoders: dict[str, TextEncoder | ImageEncoder] = {
        "text": build_text_encoder(plan.models),
        "image": build_image_encoder(plan.models),
    }
    return Encoders(
        {kind: encoder.model for kind, encoder in encoders.items()},
        {kind: encoder.dimension for kind, encoder in encoders.items()},
    )


def table_metadata(plan: Plan) -> dict[str, str]:
    """What every Parquet file says of its making."""
    tagger = build_tagger(plan.models)
    return {
        "catalog_enrich_version": metadata.version("catalog-enrich"),
        "template": plan.template.name,
        "template_version": plan.template.version,
        "template_hash": plan.template.hash,
        "tagger": tagger.model,
        "tagger_prompt_hash": tagger.prompt_hash,
        **_described_by(plan),
        "text_encoder": build_text_encoder(plan.models).model,
        "image_encoder": build_image_encoder(plan.models).model,
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


def build_manifest(
    plan: Plan,
    info: RunInfo,
    account: Account,
    splits: Sequence[SplitReport],
    buckets: Sequence[BucketReport],
    checks: Sequence[CheckResult],
    stages: dict[str, dict[str, int]],
    published: bool,
) -> dict[str, Any]:
    """Everything that shaped the snapshot and everything that it holds."""
    finished = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return {
        "manifest_version": MANIFEST_VERSION,
        "run_id": info.run_id,
        "published": published,
        "started": info.started,
        "finished": finished,
        "seconds": (finished - info.started).total_seconds(),
        "versions": {**info.metadata, **_versions()},
        "options": dict(plan.config.options),
        "inputs": [asdict(split) for split in splits],
        "unmapped_columns": plan.unmapped_columns(),
        "workers": plan.workers,
        "buckets": plan.buckets,
        "counts": {
            **asdict(account),
            "records_quarantined": account.records_quarantined,
            "unaccounted": account.unaccounted,
            "unaccounted_image_rows": account.unaccounted_image_rows,
        },
        "stages": stages,
        "checks": [
            {
                "id": check.check.kind,
                "check": check.check.meaning,
                "column": f"{check.check.frame}.{check.check.column}",
                "severity": check.check.severity,
                "expectation": check.check.expectation,
                "expected": {
                    name: value for name, value in check.check.arguments.items() if name != "column"
                },
                "passed": check.passed,
                "values": check.values,
                "unexpected": check.unexpected,
                "examples": [str(example) for example in check.examples],
                "fix": check.check.fix,
            }
            for check in checks
        ],
        "files": [asdict(file) for file in data_files(buckets)],
    }


def _versions() -> dict[str, str]:
    packages = ("apache-beam", "pyarrow", "pillow", "great-expectations")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }
