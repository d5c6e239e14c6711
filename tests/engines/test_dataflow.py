"""The job as Dataflow is sent it: the request of a dry run, of a catalog that nobody has here."""

from __future__ import annotations

import datetime as dt
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.plan import make_plan
from pipelines.configuration.runners import checked_runner, new_pipeline
from pipelines.run.graph.context import Build
from pipelines.run.graph.jobs import build_graph
from pipelines.run.manifest import chosen_encoders
from pipelines.snapshots.layout import RunDirs
from tests.engines.catalogs import TEMPLATE, record
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.tables.build import RunInfo

RECORDS = 10_000_000
# Dataflow takes requests of 20 MB with graphs of 10 MB.
MOST_BYTES = 1_000_000


def has_gcp() -> bool:
    return bool(find_spec("google")) and find_spec("google.auth") is not None


pytestmark = pytest.mark.skipif(
    not has_gcp(), reason="apache-beam[gcp] is not installed; `make test-engines` installs it"
)
FLAGS = (
    *("--project", "shop", "--region", "europe-west4", "--job_name", "night", "--no_auth"),
    *("--temp_location", "gs://shop/tmp", "--staging_location", "gs://shop/staging"),
    *("--dry_run", "True", "--sdk_location", "container"),
)


def catalog(path: Path) -> Path:
    """A file of the size that so many records have, whose first ones are there."""
    lines = "".join(json.dumps(record(number)) + "\n" for number in range(1000))
    path.write_text(lines)
    os.truncate(path, len(lines) * (RECORDS // 1000))
    return path


def test_the_request_of_a_large_catalog_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of ten million records, with every stage that there is, is far below what Dataflow
    takes: splits, buckets and references do not swell it.
    """
    from google.auth.credentials import AnonymousCredentials

    # Nobody is asked; the runner looks for credentials all the same.
    anonymous = AnonymousCredentials(), "shop"
    monkeypatch.setattr("google.auth.default", lambda *_, **__: anonymous)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "images").mkdir()
    models = ModelOptions("fake", text=EncoderOptions("fake"), image=EncoderOptions("fake"))
    config = EnrichConfig(
        template=str(tmp_path / "template.yaml"),
        input=(str(catalog(tmp_path / "catalog.jsonl")),),
        output=str(tmp_path / "out"),
        images_root=str(tmp_path / "images"),
        models=models,
    )
    plan = make_plan(config)
    run = RunInfo("r", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
    dirs = RunDirs("gs://shop/snapshot", "gs://shop/spool", "gs://shop/reports")
    pipeline = new_pipeline(checked_runner("DataflowRunner", 1, FLAGS))
    build_graph(pipeline, Build(plan, run, dirs), chosen_encoders(plan))
    sent = pipeline.run().job.proto_pipeline
    transforms = len(sent.components.transforms)
    size_bytes = len(sent.SerializeToString())
    print(f"{len(plan.splits)} splits, {plan.buckets} buckets: {size_bytes:,} B, {transforms}")
    assert plan.buckets >= 1024
    assert size_bytes < MOST_BYTES
