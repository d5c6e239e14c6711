"""When a run asks its first question, and for how much of it nothing is asked.

A server in this process notes when each request comes and goes and answers with the smallest object
that obeys the question's schema. Each run is a process of its own into an empty output; with
--against, runs of another work tree take turns. Prints a table, then JSON. Without --catalog it
takes the demo's records over crops of its photographs.

  python -m benchmarks.first_question --latency-secs 0.5
  python -m benchmarks.first_question --template grocery --catalog DIR/catalog.jsonl \\
    --images-root DIR --against ../before -- --no-ocr
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from benchmarks.main_job import demo_catalog
from tests.chat_server import ChatServer

ROUNDS, LATENCY_SECS, TARGET_SECS = 3, 0.5, 5.0


class Watch(ChatServer):
    """Notes (began, ended) of each request, in seconds of the monotonic clock.

    asker: the run's process; first_cpu: processor time that it and its children had taken when the
    first request came, which says more on a busy machine.
    """

    def __init__(self, latency_secs: float) -> None:
        super().__init__(latency_secs=latency_secs)
        self.spans: list[tuple[float, float]] = []
        self.asker: subprocess.Popen[str] | None = None
        self.first_cpu: float | None = None

    async def respond(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        if self.first_cpu is None and self.asker is not None:
            self.first_cpu = cpu_secs(psutil.Process(self.asker.pid))
        try:
            return await super().respond(request)
        finally:
            self.requests.clear()
            self.spans.append((began, time.monotonic()))


def cpu_secs(process: psutil.Process) -> float:
    """Processor time of a process and those that it started and that are still there."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


@dataclass
class Timing:
    """Seconds of one run. first: to its first request; last: to its last answer; idle: in which no
    request was under way. first_cpu: of processor time, to the first request.
    """

    total: float
    first: float
    last: float
    idle: float
    calls: int
    first_cpu: float

    @property
    def idle_share(self) -> float:
        return self.idle / self.total


@dataclass
class Tree:
    """A work tree and the timings of its runs."""

    name: str
    folder: Path
    timings: list[Timing] = field(default_factory=list)


def asked_secs(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds in which at least one request was under way.

    >>> asked_secs([(0, 2), (1, 3), (5, 6)])
    4
    """
    total, end = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0, ended - max(began, end))
        end = max(end, ended)
    return total


def run(tree: Path, arguments: Sequence[str], latency_secs: float) -> Timing:
    with Watch(latency_secs) as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines", "run", *arguments]
        command += ["--output", f"{folder}/out", "--progress", "never", "--no-report"]
        command += ["--describe-backend", "openai", "--describe-model", "stub"]
        command += ["--endpoint", server.url]
        started = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server.asker:
            said, _ = server.asker.communicate()
        total = time.monotonic() - started
        assert server.asker.returncode == 0, said
        assert server.spans, "nothing was asked"
        spans = [(began - started, ended - started) for began, ended in server.spans]
        return Timing(
            total,
            min(spans)[0],
            max(ended for _, ended in spans),
            total - asked_secs(spans),
            len(spans),
            server.first_cpu or 0.0,
        )


def inputs(options: argparse.Namespace, folder: Path) -> list[str]:
    template, catalog, root = options.template, options.catalog, options.images_root
    if catalog is None:
        template, catalog, root = demo_catalog(folder)
    return [
        "--template",
        template,
        "--input",
        str(Path(catalog).resolve()),
        "--images-root",
        str(Path(root).resolve()),
        *options.further,
    ]


def report(trees: Sequence[Tree]) -> None:
    print("median seconds     run   first  (processor)   last    idle   idle share   calls")
    for tree in trees:
        middle: dict[str, float] = {
            name: statistics.median(getattr(each, name) for each in tree.timings)
            for name in ("total", "first", "first_cpu", "last", "idle", "idle_share", "calls")
        }
        print(
            f"{tree.name:15}{middle['total']:7.1f}{middle['first']:8.1f}{middle['first_cpu']:10.1f}"
            f"{middle['last']:10.1f}"
            f"{middle['idle']:8.1f}{middle['idle_share']:13.2f}{middle['calls']:8.0f}"
        )
    print(f"target of first: {TARGET_SECS} s")
    print(json.dumps({tree.name: [vars(each) for each in tree.timings] for tree in trees}))


def main() -> None:
    parser = argparse.ArgumentParser(description="When a run asks its first question.")
    parser.add_argument("--template", default="product")
    parser.add_argument("--catalog")
    parser.add_argument("--images-root")
    parser.add_argument("--latency-secs", type=float, default=LATENCY_SECS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--against", help="a work tree of another version")
    parser.add_argument("further", nargs="*", help="options of the run, behind --")
    options: Any = parser.parse_args()
    trees = [Tree("this", Path.cwd())]
    if options.against:
        trees.insert(0, Tree("against", Path(options.against).resolve()))
    with tempfile.TemporaryDirectory() as folder:
        arguments = inputs(options, Path(folder))
        for number in range(options.rounds):
            for tree in trees if number % 2 == 0 else trees[::-1]:
                tree.timings.append(run(tree.folder, arguments, options.latency_secs))
    report(trees)


if __name__ == "__main__":
    main()
