"""Whole runs on a real Flink: two task managers of its default size, workers in processes of their
own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.catalogs import arguments
from tests.engines.catalogs import TEXT_TEMPLATE, texts
from tests.engines.flink import MISSING, Cluster
from tests.engines.s3 import CountingServer
from tests.support import FAKE_MODELS, ROOT, Run, all_rows, needs_data

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("CATALOG_ENRICH_ENGINES"), reason="`make test-engines` runs it"
    ),
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "Flink is here"),
    pytest.mark.timeout(1200),
]
RUN_SECS = 900
# Those of today; 40 are wanted.
MOST_VERTICES = 52
BUCKET = "engines"


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        server.client.create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def cluster(server: CountingServer, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "flink", server.environment) as cluster:
        yield cluster


def start(command: Sequence[str], output: str | Path, *options: str) -> subprocess.Popen[str]:
    """Start the job in a process of its own, as users do."""
    whole = [sys.executable, "-m", "pipelines.enrich", *command, "--output", str(output), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen([*whole, "--no-report"], stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def end(process: subprocess.Popen[str], output: str | Path) -> Run:
    """Wait for the job, which has to have published what it made."""
    try:
        out, err = process.communicate(timeout=RUN_SECS)
    finally:
        process.kill()
    assert process.returncode == 0, out + err[-5000:]
    return Run(process.returncode, Path(output), out, err)


def text_command(folder: Path, records: int) -> list[str]:
    template = folder / "template.yaml"
    template.write_text(TEXT_TEMPLATE)
    catalog = texts(folder / "catalog.jsonl", records)
    return ["--template", str(template), "--input", str(catalog), *FAKE_MODELS]


def rows_here(command: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """All rows that one machine makes."""
    return all_rows(end(start(command, folder / "here", "--workers", "1"), folder / "here"))


def check_jobs(cluster: Cluster) -> None:
    """All jobs have finished, and none is larger than defaults take."""
    jobs = cluster.jobs().values()
    print([(job.vertices, job.restarts) for job in jobs])
    assert {job.state for job in jobs} == {"FINISHED"}
    assert max(job.vertices for job in jobs) <= MOST_VERTICES


@needs_data
def test_pictures_on_flink_are_those_of_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    """A catalog of groceries with pictures, on task managers of the size that Flink gives them."""
    command = arguments("grocery", *FAKE_MODELS)
    there = tmp_path / "there"
    run = end(start(command, there, *cluster.options), there)
    check_jobs(cluster)
    assert all_rows(run) == rows_here(command, tmp_path)


def test_texts_on_flink_are_those_of_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    """Texts of 110 words, 92 MB of them, on the same task managers."""
    command, there = text_command(tmp_path, 100_000), tmp_path / "there"
    run = end(start(command, there, *cluster.options), there)
    check_jobs(cluster)
    assert all_rows(run) == rows_here(command, tmp_path)


def kill_in_each_third(cluster: Cluster) -> None:
    """End a task manager as power does, and add another, when a sixth, a half and five sixths of the
    job's stages have finished.
    """
    for number, share in enumerate((1 / 6, 1 / 2, 5 / 6)):
        wait_for(cluster, share)
        cluster.kill(f"manager-{number}")
        cluster.add(f"manager-{number + cluster.managers}")
        cluster.wait(cluster.managers)


def wait_for(cluster: Cluster, share: float) -> None:
    deadline = time.monotonic() + RUN_SECS
    while time.monotonic() < deadline:
        running = [job for job in cluster.jobs().values() if job.state == "RUNNING"]
        if running and running[-1].done >= share:
            return
        time.sleep(0.2)
    raise TimeoutError(f"no job came to {share:.0%}")


@needs_data
def test_killed_task_managers_cost_time_only(cluster: Cluster, tmp_path: Path) -> None:
    """With a task manager killed in each third of the run, and all its workers with it, the tables
    are those of one machine.
    """
    command, there = arguments("grocery", *FAKE_MODELS), tmp_path / "there"
    process = start(command, there, *cluster.options)
    try:
        kill_in_each_third(cluster)
    except BaseException:
        process.kill()
        raise
    run = end(process, there)
    assert sum(job.restarts for job in cluster.jobs().values()) >= 1
    assert all_rows(run) == rows_here(command, tmp_path)


def test_an_output_on_s3(
    cluster: Cluster, server: CountingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With output and intermediate files on S3 the tables are those of one machine's disk."""
    command, output = text_command(tmp_path, 2_000), f"s3://{BUCKET}/texts"
    server.reset()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    end(start(command, output, *cluster.options), output)
    print(server.traffic.told())
    assert server.published(BUCKET, "texts") == rows_here(command, tmp_path)
