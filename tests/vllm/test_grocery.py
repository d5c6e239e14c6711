"""The whole job on the grocery catalog with the real vLLM on the CPU, also when its server is
killed: `make test-vllm`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import jsonschema
import psutil
import pyarrow.parquet as pq
import pytest

from schemas.attribute_types.registry import AttributeType
from schemas.loading import load_template
from schemas.questions import ALT_TEXT, CONFIDENCE_KEY, DESCRIPTION, SEEN_KEY, Question
from tests.support import DATA, Run, needs_data
from tests.tiny_vlm import build_tiny_vlm

PYTHON = os.environ.get("CATALOG_ENRICH_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(
        not PYTHON, reason="CATALOG_ENRICH_VLLM_PYTHON names no interpreter; run `make test-vllm`"
    ),
    needs_data,
    pytest.mark.timeout(1_500),
]
RECORDS = 399
SERVER = "vllm.entrypoints.openai.api_server"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_vlm(tmp_path_factory.mktemp("tiny") / "vlm")


class Job:
    """The job as an operator starts it, with two workers and random weights; its vision is the
    tagger's only.
    """

    def __init__(self, weights: Path, output: Path) -> None:
        self.weights, self.output = weights, output
        command = [
            sys.executable,
            "-m",
            "pipelines.enrich",
            "--template",
            "grocery",
            "--output",
            str(output),
        ]
        command += [
            "--input",
            str(DATA / "grocery/catalog.jsonl"),
            "--images-root",
            str(DATA / "grocery"),
        ]
        command += [
            "--image-encoder",
            "fake",
            "--text-encoder",
            "fake",
            "--no-ocr",
            "--workers",
            "2",
        ]
        command += [
            "--describe-backend",
            "vllm",
            "--describe-model",
            str(weights),
            "--vllm-python",
            PYTHON,
        ]
        command += [
            "--vllm-args",
            "--max-model-len 8192 --max-num-seqs 8 --enforce-eager",
            "--dtype",
            "bfloat16",
        ]
        command += ["--max-pictures", "1", "--describe-image-px", "56", "--max-inflight", "16"]
        environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.sessions: set[int] = set()

    def servers(self) -> list[psutil.Process]:
        """The servers that run with this job's weights; their supervisor and their engines are others."""
        found = [
            p
            for p in psutil.process_iter(["cmdline"])
            if (p.info["cmdline"] or [])[1:3] == ["-m", SERVER]
            and str(self.weights) in p.info["cmdline"]
        ]
        self.sessions |= {p.pid for p in found}  # each leads the session of its engines
        return found

    def answers(self) -> int:
        """Answers that are durable already."""
        # A part that is finished has become a Parquet file; of the others each line of the journal
        # is an answer, or half of one.
        folder = self.output / "answers"
        with suppress(FileNotFoundError):  # merged with another one since it was listed
            lines = sum(path.read_bytes().count(b"\n") for path in folder.glob("*.journal"))
            return lines + sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
        return 0

    def wait_for(self, happened: Callable[[], bool], secs: float = 600) -> None:
        end = time.monotonic() + secs
        while not happened():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.5)

    def finish(self) -> Run:
        out = self.process.communicate(timeout=1_200)[0]
        return Run(self.process.returncode, self.output, out, "")


@pytest.fixture
def start(weights: Path, tmp_path: Path) -> Iterator[Callable[[], Job]]:
    """Starts jobs; none of their servers and engines may be left when the test ends."""
    jobs: list[Job] = []

    def job() -> Job:
        jobs.append(Job(weights, tmp_path / "out"))
        return jobs[-1]

    yield job
    for each in jobs:
        each.process.kill()
    end = time.monotonic() + 20
    sessions = set().union(*(each.sessions for each in jobs))
    while (left := leftovers(weights, sessions)) and time.monotonic() < end:
        time.sleep(0.5)
    assert left == []


def leftovers(weights: Path, sessions: set[int]) -> list[str]:
    """Command lines of what is left: supervisor and server name the weights, engines are in their
    server's session.
    """
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or ())
        with suppress(ProcessLookupError):
            if str(weights) in words or os.getsid(process.info["pid"]) in sessions:
                found.append(f"{process.info['status']} {words}")
    return found


def kill_server(job: Job, known: set[int]) -> int:
    """SIGKILL to a server that is not among the known; its process id."""
    job.wait_for(lambda: any(p.pid not in known for p in job.servers()))
    (server,) = [p for p in job.servers() if p.pid not in known]
    server.kill()
    return server.pid


def check_answers(job: Job) -> int:
    """Every kept answer is JSON that obeys the values' schemas; how many there are."""
    template = load_template("grocery")
    count = 0
    for path in (job.output / "answers").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            count += 1
            assert row["finish_reason"] == "stop", row
            for key, value in json.loads(row["content"]).items():
                if key in template.by_name:
                    attribute = template.by_name[key]
                    jsonschema.validate(
                        value,
                        attribute.spec.answer_schema(attribute, Question().offered(attribute)),
                    )
                else:
                    assert key in (DESCRIPTION, ALT_TEXT) or key.endswith(
                        (CONFIDENCE_KEY, SEEN_KEY)
                    )
    return count


def test_a_killed_server_costs_nothing(start: Callable[[], Job]) -> None:
    """With the server killed in the middle every item is answered all the same; a second run asks
    and makes nothing.
    """
    job = start()
    job.wait_for(lambda: job.answers() >= 64)
    killed = kill_server(job, set())
    run = job.finish()
    assert run.code == 0, run.out
    described = run.manifest["counts"]["described"]
    assert described["failed_items"] == {}
    assert described["retries"] > 0
    assert run.manifest["counts"]["unaccounted"] == 0
    rows = run.rows("items")
    assert len(rows) + run.manifest["counts"]["records_quarantined"] == RECORDS
    assert check_answers(job) >= described["jobs"]
    template = load_template("grocery")
    for row in rows:
        assert row["image_description"], row["item_id"]
        for attribute in template.attributes:
            if (
                attribute.fill
                and row[attribute.name] is not None
                and attribute.type is not AttributeType.NUMBER
            ):
                assert row[f"{attribute.name}__provenance"]["source"]
    print(f"\nserver {killed} killed; {described}")
    second = start().finish()
    assert second.code == 0, second.out
    assert "nothing has changed since" in second.out
    assert second.manifest == run.manifest


def test_a_server_that_dies_twice_is_given_up(start: Callable[[], Job]) -> None:
    """Killed twice, the run ends: items unfilled with model-unavailable, refused by the gate, exit
    code 1.
    """
    job = start()
    job.wait_for(lambda: job.answers() >= 64)
    first = kill_server(job, set())
    kill_server(job, {first})
    run = job.finish()
    assert run.code == 1, run.out
    assert "model-unavailable" in run.out
    described = run.manifest["counts"]["described"]
    assert set(described["failed_items"]) == {"model-unavailable"}
    rows = run.rows("items")
    assert len(rows) + run.manifest["counts"]["records_quarantined"] == RECORDS
    unfilled = [
        row for row in rows if any(flag["reason"] == "model-unavailable" for flag in row["flags"])
    ]
    assert len(unfilled) == described["failed_items"]["model-unavailable"]
    assert "signal 9" in next(
        f["detail"] for f in unfilled[0]["flags"] if f["reason"] == "model-unavailable"
    )
    print(f"\n{described}")
