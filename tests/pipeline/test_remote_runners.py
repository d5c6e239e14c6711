"""Beyond the local runner: the graph is portable, and Beam's stager accepts setup.py."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import apache_beam as beam

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.plan import make_plan
from pipelines.run.graph.context import Build
from pipelines.run.graph.jobs import build_graph
from pipelines.run.manifest import chosen_encoders
from pipelines.snapshots.layout import RunDirs
from tests.support import FAKE_MODELS, TEMPLATE, Shop
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.tables.build import RunInfo

ROOT = Path(__file__).resolve().parents[2]


def test_the_graph_survives_the_portable_form(shop: Shop) -> None:
    """The pipeline translates to Beam's runner API and back: everything in it can be shipped to
    workers.
    """
    (shop.folder / "template.yaml").write_text(TEMPLATE)
    config = EnrichConfig(
        template=str(shop.folder / "template.yaml"),
        input=(str(shop.file("in.jsonl", [{"sku": "a", "name": "x"}])),),
        output=str(shop.folder / "out"),
        images_root=str(shop.images),
        models=ModelOptions("fake", text=EncoderOptions("fake"), image=EncoderOptions("fake")),
    )
    plan = make_plan(config)
    pipeline = beam.Pipeline(runner="FnApiRunner")
    run = RunInfo("r", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
    build = Build(plan, run, RunDirs("snapshot", "spool", "reports"))
    build_graph(pipeline, build, chosen_encoders(plan))
    proto = pipeline.to_runner_api()
    assert beam.Pipeline.from_runner_api(proto, "FnApiRunner", pipeline.options) is not None
    names = {transform.unique_name for transform in proto.components.transforms.values()}
    assert {"Read", "Images", "Assemble", "Contradictions", "Fill and write", "Reports"} <= names


def test_a_portable_job_server_runs_the_job(shop: Shop) -> None:
    """The job runs through the portable runner's job service with workers in loopback."""
    (shop.folder / "template.yaml").write_text(TEMPLATE)
    records = [
        {"sku": f"s{n}", "name": "Red mug", "photos": [shop.picture("a.png")]} for n in range(5)
    ]
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(shop.folder / "template.yaml"),
    ]
    command += [
        "--images-root",
        str(shop.images),
        *FAKE_MODELS,
        "--input",
        str(shop.file("in.jsonl", records)),
    ]
    command += [
        "--output",
        str(shop.folder / "out"),
        "--runner",
        "PortableRunner",
        "--job_endpoint",
        "embed",
    ]
    command += ["--environment_type", "LOOPBACK"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "published" in done.stdout


def test_the_stager_accepts_setup_py(tmp_path: Path) -> None:
    """Beam's stager builds the package that remote workers install."""
    from apache_beam.runners.portability.stager import Stager

    package = Stager._build_setup_package(str(ROOT / "setup.py"), str(tmp_path))
    assert Path(package).name.startswith("catalog_enrich-")
