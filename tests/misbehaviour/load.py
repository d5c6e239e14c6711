"""A run against a hostile server under load: its catalog, its process, and what was seen of both."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.misbehaviour import OUTCOMES

SAMPLE_SECS = 0.2


def catalog(items: int, each: int) -> list[dict[str, Any]]:
    """So many records, of which each behaviour has `each`; they lie among the others at even
    distances.
    """
    names = [name for name in OUTCOMES if name != "ok" for _ in range(each)]
    step = max(1, items // len(names))
    behaviours = dict(zip(range(0, items, step), names, strict=False))
    assert len(behaviours) == len(names), "there are more behaviours than records"
    return _records(items, behaviours)


def mixed(items: int, share: float) -> list[dict[str, Any]]:
    """So many records; a share of them, drawn at random, has a behaviour drawn at random."""
    draw = random.Random(20)
    names = sorted(set(OUTCOMES) - {"ok"})
    chosen = draw.sample(range(items), round(items * share))
    return _records(items, {n: draw.choice(names) for n in chosen})


def _records(items: int, behaviours: Mapping[int, str]) -> list[dict[str, Any]]:
    return [
        {"sku": f"s{n:05}", "name": f"Thing {n} [server: {behaviours.get(n, 'ok')}]"}
        for n in range(items)
    ]


def behaviour_of(row: dict[str, Any]) -> str:
    """The behaviour that an item's title asks for."""
    return str(row["title"]).partition("[server: ")[2].rstrip("]")


@contextmanager
def served(*, honest: bool) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, "-m", "tests.misbehaviour", "--serve"]
    command += ["--honest"] if honest else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def seen_by(url: str) -> dict[str, int]:
    """How many requests came to the server for each behaviour."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/seen", timeout=60) as response:
        seen: dict[str, int] = json.load(response)
    return seen


@dataclass
class Watched:
    """A run in a process of its own.

    samples: (seconds, MB of memory, requests that the server had by then).
    """

    code: int = -1
    secs: float = 0.0
    output: str = ""
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    def peak(self, begin: float, end: float) -> float:
        """The most memory in MB in a part of the asking, by shares of its requests."""
        last = max(requests for _, _, requests in self.samples)
        part = [mb for _, mb, requests in self.samples if begin * last <= requests <= end * last]
        return max(part)


def watch(arguments: Sequence[str], url: str) -> Watched:
    """Run the job with these arguments and look at its memory until it ends."""
    watched, begin = Watched(), time.monotonic()
    command = [sys.executable, "-m", "pipelines.enrich", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while process.poll() is None:
            # The process may end between the question and the look.
            with suppress(OSError, StopIteration):
                sample = (time.monotonic() - begin, memory_mb(process.pid), requests_at(url))
                watched.samples.append(sample)
            time.sleep(SAMPLE_SECS)
        assert process.stdout is not None
        watched.output = process.stdout.read()
        watched.code, watched.secs = process.returncode, time.monotonic() - begin
    return watched


def requests_at(url: str) -> int:
    return sum(seen_by(url).values())


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024
