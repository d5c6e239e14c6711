"""SIGKILL: a run that is killed at any moment costs what was under way, and no reader ever sees
half a snapshot.

`make test` kills runs on a small catalog; `make test-kill` kills CATALOG_ENRICH_KILLS (20) runs on a real one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import ChatServer
from tests.readers import linked, named, problems_of
from tests.support import DATA, FAKE_MODELS, RUN_COLUMNS, TABLES, Shop, needs_data, read_rows
from tests.warmed import Started, Warmed

Process = subprocess.Popen[bytes] | Started
LONG_KILLS = int(os.environ.get("CATALOG_ENRICH_KILLS", "0"))
MODELS = (
    "--image-encoder",
    "fake",
    "--text-encoder",
    "fake",
    "--no-ocr",
    "--describe-backend",
    "openai",
)
RUN_SECS = 300
# What two runs that give the same tables may differ in: how the answers were come by.
PAYMENT = frozenset(
    {
        "calls",
        "reused",
        "retries",
        "prompt_tokens",
        "reckoned_tokens",
        "image_tokens",
        "completion_tokens",
        "estimated_tokens",
        "lost_attempts",
        "lost_tokens",
        "cost",
        "seconds",
    }
)


class PaidServer(ChatServer):
    """Counts the answers that it has given in full: those that a provider would charge for.

    first, last: when, by the monotonic clock in seconds.
    """

    latency = 0.1 if LONG_KILLS else 0.05
    paid = 0
    first = last = 0.0

    async def respond(self, request: Any) -> Any:
        response = await super().respond(request)
        self.paid += 1
        self.last = time.monotonic()
        self.first = self.first or self.last
        return response


@dataclass
class Reader(threading.Thread):
    """Reads what is published over and over, as others do while runs come and go.

    seen: run ids; reads: how often; problems: what no reader may ever meet.
    """

    output: Path
    seen: set[str] = field(default_factory=set)
    reads: int = 0
    problems: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.done.wait(0.05):
            for snapshot in (self._named(), linked(self.output)):
                if snapshot is None:
                    continue
                found = list(problems_of(snapshot))
                # Who reads an old snapshot when another has been published long since looks again.
                if found and snapshot in (self._named(), linked(self.output)):
                    self.problems += found
                self.seen.add(snapshot.name)
                self.reads += 1

    def _named(self) -> Path | None:
        try:
            return named(self.output)
        except (ValueError, KeyError) as error:
            self.problems.append(f"current.json: {error}")
            return None


@contextmanager
def reading(output: Path) -> Iterator[Reader]:
    reader = Reader(output)
    reader.start()
    try:
        yield reader
    finally:
        reader.done.set()
        reader.join(30)


@dataclass
class Job:
    """A run that is started again and again.

    arguments: without an output; log: what the runs print; warmed: forks the runs; None: each
    loads the program.
    """

    arguments: Sequence[str]
    server: PaidServer
    log: Path
    warmed: Warmed | None = None

    def start(self, output: Path, *options: str) -> Process:
        """Begin in a session of its own, so that its workers can be killed with it."""
        command = ["run", *self.arguments, *MODELS, "--describe-model", "tiny"]
        command += ["--endpoint", self.server.url, "--output", str(output), *options]
        if self.warmed is not None:
            return self.warmed.start(*command, log=self.log)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", *command],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, output: Path, *options: str) -> float:
        """Run to the end; returns the seconds it took."""
        began = time.monotonic()
        assert self.start(output, *options).wait(RUN_SECS) == 0, self.printed()
        return time.monotonic() - began

    def run_until(
        self, output: Path, moment: Callable[[float], bool], *options: str
    ) -> tuple[bool, float]:
        """Run until moment(seconds since the start), then kill all its processes; whether it was
        killed, and when.
        """
        process = self.start(output, *options)
        began = time.monotonic()
        while process.poll() is None and not moment(time.monotonic() - began):
            time.sleep(0.002)
        secs = time.monotonic() - began
        killed = process.poll() is None
        kill_group(process)
        assert killed or process.returncode == 0, self.printed()
        return killed, secs

    def printed(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def kill_group(process: Process) -> None:
    """SIGKILL for the process and its children, and wait until all have gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)


def a_manifest_appears(output: Path) -> Callable[[float], bool]:
    """True from when a run has written its manifest, which is just before it is published."""
    before = set(output.glob("snapshots/*/manifest.json"))
    return lambda _: bool(set(output.glob("snapshots/*/manifest.json")) - before)


def at(secs: float) -> Callable[[float], bool]:
    return lambda passed: passed >= secs


def tables(output: Path) -> dict[str, list[str]]:
    snapshot = output / "current"
    return {
        table: sorted(repr(row) for row in read_rows(snapshot / table, RUN_COLUMNS))
        for table in TABLES
    }


def counts(output: Path) -> dict[str, Any]:
    """The manifest's counts but for how answers were come by, and the rows of each file."""
    manifest = json.loads((output / "current" / "manifest.json").read_text())
    found: dict[str, Any] = manifest["counts"]
    found["described"] = {
        name: value for name, value in found["described"].items() if name not in PAYMENT
    }
    return found | {"rows": {file["path"]: file["rows"] for file in manifest["files"]}}


@dataclass(frozen=True)
class Endured:
    """What killing runs came to.

    secs: of an unbroken run; asked, received: answers wanted and requests that came.

    killed_at: (seconds, answers paid for) at each kill; published, reads: what the reader saw.
    """

    secs: float
    one_pass: int
    paid: int
    received: int
    killed_at: list[tuple[float, int]]
    published: int
    reads: int


@dataclass(frozen=True)
class Pass:
    """An unbroken run, measured: seconds until it asks, until it has all answers, until its end;
    answers.
    """

    asks: float
    answered: float
    secs: float
    answers: int

    @classmethod
    def measure(cls, job: Job, output: Path) -> Pass:
        began = time.monotonic()
        secs = job.run(output)
        return cls(job.server.first - began, job.server.last - began, secs, job.server.paid)


def spread(
    kills: int, whole: Pass, chance: random.Random
) -> tuple[list[float], list[int], list[float]]:
    """Moments that are spread over a whole run: seconds before it asks, answers while it asks,
    seconds after.

    While a run asks, time is measured in answers, since those that are kept take none any more; seconds after it are
    those of a run that has all answers.
    """
    moments = [(number + chance.random()) / kills * whole.secs for number in range(kills)]
    asking = whole.answered - whole.asks
    before = [moment for moment in moments if moment < whole.asks]
    during = [
        int((m - whole.asks) / asking * whole.answers)
        for m in moments
        if whole.asks <= m < whole.answered
    ]
    return before, during, [moment - asking for moment in moments if moment >= whole.answered]


def endure(
    job: Job, folder: Path, kills: int, publishing_kills: int, seed: int = 20260115
) -> Endured:
    """Kill `kills` runs at moments spread over a whole run and some while they publish; asserts
    what must hold.
    """
    chance = random.Random(seed)
    server, output = job.server, folder / "killed"
    whole = Pass.measure(job, folder / "whole")
    received = server.calls
    before, during, after = spread(kills, whole, chance)
    killed_at: list[tuple[float, int]] = []

    def kill(moment: Callable[[float], bool], *options: str) -> bool:
        killed, secs = job.run_until(output, moment, *options)
        killed_at.extend([(round(secs, 2), server.paid - whole.answers)] if killed else [])
        return killed

    def kill_early() -> None:
        while before and chance.random() < len(before) / (len(before) + len(during)):
            assert kill(at(before.pop()))

    with reading(output) as reader:
        for answers in during:
            kill_early()
            assert kill(paid(server, whole.answers + answers, chance.random()))
        for secs in [*before, *after]:
            pace = 1.0
            while not kill(at(pace * secs)):  # it ended before its moment
                pace *= 0.9
        job.run(output)
        assert tables(output) == tables(folder / "whole")
        assert counts(output) == counts(folder / "whole")
        asked = server.paid - whole.answers, server.calls - received
        for _ in range(publishing_kills):
            # All rebuilt, or there would be nothing to publish.
            kill(a_manifest_appears(output), "--full")
        job.run(output, "--full")
        time.sleep(0.2)
    endured = Endured(
        round(whole.secs, 1), whole.answers, *asked, killed_at, len(reader.seen), reader.reads
    )
    assert endured.paid <= 1.05 * endured.one_pass, endured
    assert reader.problems == []
    assert reader.seen, "the reader has seen nothing"
    return endured


def paid(server: PaidServer, answers: int, share: float) -> Callable[[float], bool]:
    """True when the server has given so many answers in all and a share of the time of another one
    has passed.
    """
    reached: list[float] = []

    def is_reached(passed: float) -> bool:
        if server.paid >= answers and not reached:
            reached.append(passed)
        return bool(reached) and passed >= reached[0] + share * server.latency

    return is_reached


@pytest.fixture
def server() -> Iterator[PaidServer]:
    with PaidServer(latency_secs=PaidServer.latency) as made:
        assert isinstance(made, PaidServer)
        yield made


def test_killed_runs_cost_nothing_and_show_nothing(shop: Shop, server: PaidServer) -> None:
    """Runs killed at work and while publishing leave the tables of an unbroken run, paid for once."""
    records = [
        {
            "sku": f"s{number:02}",
            "name": f"Thing {number}",
            "color": ("red", "navy", None, None)[number % 4],
            "photos": [shop.picture(f"{number:02}.png", f"rgb({number * 4}, 9, 9)")],
        }
        for number in range(60)
    ]
    path = shop.file("in.jsonl", [*records, {"sku": "", "name": "without an id"}])
    (shop.folder / "template.yaml").write_text(shop.template)
    arguments = [
        "--template",
        str(shop.folder / "template.yaml"),
        "--images-root",
        str(shop.images),
    ]
    arguments += ["--input", str(path), "--workers", "1", "--max-inflight", "1", "--no-report"]
    warm_up = ["run", *arguments, *FAKE_MODELS, "--output", str(shop.folder / "warm-up")]
    with Warmed(warm_up) as warmed:
        assert warmed.first.code == 0, warmed.first.err
        job = Job(arguments, server, shop.folder / "log", warmed)
        endured = endure(job, shop.folder, kills=2, publishing_kills=1)
    assert endured.one_pass == 60


@needs_data
@pytest.mark.skipif(not LONG_KILLS, reason="CATALOG_ENRICH_KILLS is not set; make test-kill does")
def test_a_real_catalog_survives_many_kills(tmp_path: Path, server: PaidServer) -> None:
    """The same with the grocery catalog, two worker processes, and as many kills as asked for."""
    arguments = ["--template", "grocery", "--input", str(DATA / "grocery" / "catalog.jsonl")]
    arguments += ["--images-root", str(DATA / "grocery"), "--workers", "2", "--max-inflight", "2"]
    print(
        endure(
            Job(arguments, server, tmp_path / "log"), tmp_path, kills=LONG_KILLS, publishing_kills=3
        )
    )
