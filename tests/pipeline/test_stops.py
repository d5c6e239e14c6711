"""A run ends when it is told to, and when a worker process dies: in time, in one line, with nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chat_server import ChatServer
from tests.processes import command_of, wait_for, workers_of
from tests.support import Shop

DEADLINE_SECS = 10
MODELS = ("--image-encoder", "fake", "--text-encoder", "fake", "--no-ocr", "--no-report")
# Loaded by each process that starts with this folder on its path: a worker is soon busy in one call of C code that
# lets nothing else run in it.
BUSY = """
import itertools, sys, threading, time

def busy():
    time.sleep({after})
    sum(itertools.repeat(1, 10**12))

if any("sdk_worker" in argument for argument in sys.orig_argv):
    threading.Thread(target=busy, daemon=True).start()
"""
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="reads what processes there are from /proc"
)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """Never answers: a run that asks it is at work until it is ended."""
    with ChatServer(["hang"] * 1000) as made:
        yield made


@contextmanager
def running(shop: Shop, server: ChatServer, path: str = "") -> Iterator[subprocess.Popen[str]]:
    """A run with two worker processes. path: a folder of modules for all its processes."""
    (shop.folder / "template.yaml").write_text(shop.template)
    records = [{"sku": f"s{number}", "name": f"Thing {number}"} for number in range(8)]
    arguments = ["--template", str(shop.folder / "template.yaml"), *MODELS]
    arguments += ["--input", str(shop.file("in.jsonl", records)), "--workers", "2"]
    arguments += ["--describe-backend", "openai", "--describe-model", "tiny"]
    arguments += [
        "--images-root",
        str(shop.images),
        "--endpoint",
        server.url,
        "--output",
        str(shop.folder / "out"),
    ]
    paths = os.pathsep.join(each for each in (path, os.environ.get("PYTHONPATH", "")) if each)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "run", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def check_end(shop: Shop, process: subprocess.Popen[str], workers: list[int]) -> str:
    """The run ends with 3, its workers with it, and leaves nothing; returns what it said."""
    began = time.monotonic()
    _, err = process.communicate(timeout=DEADLINE_SECS + 20)
    assert time.monotonic() - began < DEADLINE_SECS, err
    assert process.returncode == 3, err
    wait_for(lambda: not any(map(command_of, workers)), 5)
    output = shop.folder / "out"
    left = {path.name for path in output.iterdir()} - {"answers", "picture-features", "servers"}
    assert left <= {"snapshots", ".lock.json.guard"}
    assert list((output / "snapshots").iterdir()) == []
    assert "Traceback" not in err
    return err


def test_a_stop_ends_a_run_whose_workers_start(shop: Shop, server: ChatServer) -> None:
    """They load, and know of nothing yet: SIGTERM ends the run in time, in one line."""
    with running(shop, server) as process:
        workers = wait_for(lambda: workers_of(process.pid))
        process.send_signal(signal.SIGTERM)
        err = check_end(shop, process, workers)
    (line,) = err.splitlines()
    assert line.startswith("catalog-enrich: the run broke off: interrupted.")


def test_a_worker_that_is_busy_in_c_code_ends_too(shop: Shop, server: ChatServer) -> None:
    """A worker that hears of nothing does not keep the run from its end."""
    folder = shop.folder / "modules"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BUSY.format(after=0.2))
    with running(shop, server, str(folder)) as process:
        workers = wait_for(lambda: workers_of(process.pid))
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert "interrupted" in check_end(shop, process, workers)


def test_a_worker_that_the_kernel_kills_ends_the_run(shop: Shop, server: ChatServer) -> None:
    """What the kernel does when memory runs out is named with its remedy, and nobody waits for ever."""
    with running(shop, server) as process:
        wait_for(lambda: server.open)
        workers = workers_of(process.pid)
        os.kill(workers[0], signal.SIGKILL)
        (line,) = check_end(shop, process, workers).splitlines()
    assert line.startswith("catalog-enrich: the run broke off: a worker process was killed")
    assert "memory" in line
    assert "fewer --workers" in line
