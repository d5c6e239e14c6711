"""The gate and the report of a large snapshot: seconds, peak memory, and the size of the page.

Makes a catalog with pictures (fake models), runs the job on it, then gates the snapshot and writes
its report again, each in a process of its own. Prints one line of JSON for each.

  python -m benchmarks.report                          # 300,000 records
  python -m benchmarks.report --records 30000 --output /tmp/kept   # keeps the snapshot
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.incremental import TEMPLATE, Memory, record

PICTURES = 300
WITH_PICTURES = TEMPLATE.replace(
    "event_ts: updated}", "event_ts: updated, images: {columns: photo}}"
)


def write_catalog(folder: Path, records: int) -> None:
    """Records of about 280 bytes, each with one of PICTURES pictures."""
    draw, images = random.Random(7), folder / "images"
    images.mkdir(exist_ok=True)
    for number in range(PICTURES):
        Image.new("RGB", (320, 240), tuple(draw.randrange(256) for _ in range(3))).save(
            images / f"{number}.jpg"
        )
    with (folder / "catalog.jsonl").open("w") as file:
        for number in range(records):
            made = record(draw, number) | {"photo": f"{draw.randrange(PICTURES)}.jpg"}
            # The draw of `name` holds a colour now and then, so that some values are filled.
            made["name"] += draw.choice([" red", " blue", "", ""])
            file.write(json.dumps(made) + "\n")


def run_job(folder: Path, workers: int) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        str(folder / "template.yaml"),
        "--no-report",
    ]
    command += ["--input", str(folder / "catalog.jsonl"), "--images-root", str(folder / "images")]
    command += [
        "--output",
        str(folder / "out"),
        "--workers",
        str(workers),
        "--describe-backend",
        "fake",
    ]
    command += [
        "--image-encoder",
        "fake",
        "--text-encoder",
        "fake",
        "--no-probes",
        "--quiet",
        "--max-model-calls",
        "0",
    ]
    subprocess.run(command, check=True)


def measured(what: str, snapshot: str, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of a process that gates a snapshot or writes its report."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "benchmarks.report",
        "--do",
        what,
        snapshot,
        "--output",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    memory = Memory(process.pid)
    memory.start()
    output, _ = process.communicate()
    memory.done = True
    if process.returncode:
        raise RuntimeError(f"{what} broke off")
    seconds = round(time.monotonic() - began, 1)
    result = {"run": what, "seconds": seconds, "peak_mib": round(memory.peak_mib)}
    return result | json.loads(output)


def gate(snapshot: str, folder: Path) -> dict[str, Any]:
    """Every check over every file, as a run makes them."""
    from pipelines.run.carry_over import compared_of
    from pipelines.snapshots.snapshot import read_snapshot
    from schemas.loading import load_template
    from transforms.validation.drift import shifts
    from transforms.validation.gate import check_drift, check_tables

    template, earlier = load_template(str(folder / "template.yaml")), read_snapshot(snapshot)
    results, found = check_tables(snapshot, template, earlier.reports, earlier.manifest.buckets)
    before = compared_of(earlier)
    results += check_drift(shifts(template.gate, before, before))
    return {
        "items": found.items,
        "checks": len(results),
        "failed": sum(not result.passed for result in results),
    }


def report(snapshot: str, folder: Path) -> dict[str, Any]:
    """The page, as a run writes it."""
    from pipelines.report import write_run_report
    from pipelines.snapshots.manifest import read_manifest
    from transforms.images.files import ImageLimits

    manifest = read_manifest(f"{snapshot}/manifest.json")
    path = write_run_report(snapshot, manifest, str(folder / "images"), ImageLimits())
    return {"page_mib": round(Path(path).stat().st_size / 2**20, 2)}


def main() -> None:
    """Generate, run, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", help="folder to keep; a snapshot that is there is used again")
    parser.add_argument("--do", nargs=2, metavar=("WHAT", "SNAPSHOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        what, snapshot = options.do
        print(json.dumps({"gate": gate, "report": report}[what](snapshot, Path(options.output))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.output or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "out" / "current").exists():
            (folder / "template.yaml").write_text(WITH_PICTURES)
            write_catalog(folder, options.records)
            run_job(folder, options.workers)
        snapshot = os.path.realpath(folder / "out" / "current")
        for what in ("gate", "report"):
            print(json.dumps(measured(what, snapshot, folder)), flush=True)


if __name__ == "__main__":
    main()
