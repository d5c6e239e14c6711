"""A run over a catalog that an earlier run knows: seconds, memory and calls, beside a bare read and
hash of the file.

Generates a catalog of JSON lines, runs the job on it once (fake models, no probes), again with
nothing changed, then with one record in a hundred changed. The bare loop reads the same file with
pyarrow, looks at every row and hashes the bytes of its line. Prints one line of JSON for each run;
rates are per core of --workers.

  python -m benchmarks.incremental                    # 1,000,000 records, two processes
  python -m benchmarks.incremental --records 100000 --output /tmp/kept   # keeps what it wrote
  python -m benchmarks.incremental --records 9000 --latency-secs 1 --max-inflight 8

The last asks a model about a third of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.json as pj

POLL_SECS = 0.2
TEMPLATE = """
name: made
version: 1.0.0
record: {id: sku, event_ts: updated}
attributes:
  - {name: title, type: string, role: title, from: name, required: true}
  - {name: color, type: enum, values: [Red, Blue, Green, Black], from: color, fill: true}
  - {name: weight, type: number, unit: g, from: weight, min: 0}
  - {name: about, type: string, role: text, from: about}
"""
WORDS = [f"word{number}" for number in range(2_000)]


def record(draw: random.Random, number: int) -> dict[str, Any]:
    """A record of about 250 bytes, every third without a colour."""
    made: dict[str, Any] = {
        "sku": f"sku-{number:08}",
        "name": " ".join(draw.choices(WORDS, k=5)),
        "weight": f"{draw.randint(1, 5000)} g",
        "about": " ".join(draw.choices(WORDS, k=14)),
        "updated": f"2026-0{draw.randint(1, 9)}-{draw.randint(10, 28)}T12:00:00Z",
        "price": draw.randint(100, 99_999) / 100,
    }
    return made | ({"color": draw.choice(["Red", "Blue", "Green", "Black"])} if number % 3 else {})


def write_catalog(path: Path, records: int) -> None:
    draw = random.Random(7)
    with path.open("w") as file:
        for number in range(records):
            file.write(json.dumps(record(draw, number)) + "\n")


def change(path: Path, share: float) -> int:
    """Rewrite the file with a share of the records changed; returns how many."""
    draw, changed = random.Random(8), 0
    half = path.with_suffix(".half")
    with path.open() as before, half.open("w") as after:
        for line in before:
            if draw.random() < share:
                made = json.loads(line)
                made["about"] += " changed"
                line, changed = json.dumps(made) + "\n", changed + 1
            after.write(line)
    half.replace(path)
    return changed


def bare_seconds(path: Path) -> float:
    """Read with pyarrow, look at every row, hash every line: what any implementation has to do."""
    began = time.monotonic()
    table = pj.read_json(path)
    rows = sum(batch.num_rows for batch in table.to_batches())
    hashed = 0
    with path.open("rb") as file:
        for line in file:
            hashlib.blake2b(line, digest_size=16).digest()
            hashed += 1
    if rows != hashed:
        raise RuntimeError(f"{rows} rows in {hashed} lines")
    return time.monotonic() - began


class Memory(threading.Thread):
    """The largest sum of proportional set sizes of a process and its children, in MiB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process, self.peak_mib, self.done = psutil.Process(pid), 0.0, False

    def run(self) -> None:
        while not self.done:
            self.peak_mib = max(self.peak_mib, sum(self._sizes()) / 2**20)
            time.sleep(POLL_SECS)

    def _sizes(self) -> Iterator[int]:
        try:
            for process in (self._process, *self._process.children(recursive=True)):
                yield process.memory_full_info().pss
        except (psutil.Error, OSError):
            return


def run_job(folder: Path, workers: int, more: list[str]) -> dict[str, Any]:
    """Seconds and peak memory of the job as a process of its own, and what its manifest says."""
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(folder / "template.yaml"),
    ]
    command += [
        "--input",
        str(folder / "catalog.jsonl"),
        "--output",
        str(folder / "out"),
        "--workers",
        str(workers),
    ]
    command += ["--image-encoder", "fake", "--text-encoder", "fake", "--no-probes", "--no-report"]
    command += ["--progress", "never", *more]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    memory = Memory(process.pid)
    memory.start()
    output, _ = process.communicate()
    memory.done = True
    seconds = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(output)
    snapshot = os.path.realpath(folder / "out" / "current")
    manifest = json.loads(Path(snapshot, "manifest.json").read_text())
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(memory.peak_mib),
        "snapshot": manifest["run_id"],
        "records": manifest["records"],
        "calls": manifest["counts"]["described"]["calls"],
        "buckets_written": manifest["buckets_written"],
        "buckets": manifest["buckets"],
    }


def measure_model(
    folder: Path, records: int, workers: int, latency_secs: float, inflight: int
) -> None:
    """A first run and one with a hundredth changed, against a server that takes its time for each
    answer.
    """
    from tests.chat_server import ChatServer

    catalog = folder / "catalog.jsonl"
    (folder / "template.yaml").write_text(TEMPLATE)
    write_catalog(catalog, records)
    with ChatServer(latency_secs=latency_secs) as server:
        asked = [
            "--describe-backend",
            "openai",
            "--endpoint",
            server.url,
            "--describe-model",
            "slow",
        ]
        asked += ["--max-inflight", str(inflight), "--demonstrations", "0"]
        first = run_job(folder, workers, asked)
        print(
            json.dumps({"run": "first, asked"} | first | {"server_calls": server.calls}), flush=True
        )
        calls, changed = server.calls, change(catalog, 0.01)
        second = run_job(folder, workers, asked)
        counts = {"changed": changed, "server_calls": server.calls - calls}
        share = round(second["seconds"] / first["seconds"], 4)
        print(
            json.dumps({"run": "changed, asked"} | second | counts | {"share_of_first": share}),
            flush=True,
        )


def main() -> None:
    """Generate, run, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--output", help="folder to keep; a catalog and snapshot that are there are used again"
    )
    parser.add_argument(
        "--latency-secs", type=float, default=0.0, help="ask a server that answers after this time"
    )
    parser.add_argument("--max-inflight", type=int, default=8, help="requests under way at once")
    options, more = parser.parse_known_args()
    if options.latency_secs:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(options.output or temporary)
            path.mkdir(parents=True, exist_ok=True)
            measure_model(
                path, options.records, options.workers, options.latency_secs, options.max_inflight
            )
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        catalog = folder / "catalog.jsonl"
        (folder / "template.yaml").write_text(TEMPLATE)
        if not (folder / "out" / "current").exists():
            write_catalog(catalog, options.records)
            print(json.dumps({"run": "first"} | run_job(folder, options.workers, more)), flush=True)
        bare = bare_seconds(catalog)
        unchanged = run_job(folder, options.workers, more)
        rates = {
            "records_per_second_and_core": round(
                options.records / unchanged["seconds"] / options.workers
            ),
            "bare_seconds": round(bare, 1),
            "bare_loop_rate_over_ours": round(unchanged["seconds"] * options.workers / bare, 2),
        }
        print(json.dumps({"run": "unchanged"} | unchanged | rates), flush=True)
        changed = change(catalog, 0.01)
        print(
            json.dumps(
                {"run": "changed", "changed": changed} | run_job(folder, options.workers, more)
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
