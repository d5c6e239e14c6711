"""What a record costs where no model runs: this job against a plain loop, Polars and another
checkout.

Two catalogs of JSON lines, the same at every call: records of about 900 bytes with an id, a title,
a description of some 110 words, a category and a price. The first is read by a template that has
these and nothing else, and by the loop and Polars, which read, normalise, fingerprint and write
Parquet. The second is read by the template `product`, with all its rules and checks; only the two
checkouts can do that.

Everything is a process of its own, in turn, with vectors of hashes in the place of models, no
probes and no report. Prints medians over the rounds and the medians of the rounds' ratios; then
JSON.

  python -m benchmarks.core
  git worktree add --detach /tmp/before 25c0768
  python -m benchmarks.core --against /tmp/before --rounds 5
  python -m benchmarks.core --records 20000 --texts 0 --rounds 3
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import itertools
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ROOT / "benchmarks" / "templates" / "plain.yaml"
RECORDS, TEXTS, ROUNDS, WORKERS = 200_000, 100_000, 3, 2
ROWS_AT_ONCE = 64 << 10
LOOP, POLARS, JOB, BEFORE = "plain loop", "Polars", "this job", "job before"
JOB_OPTIONS = ["--no-probes", "--no-report", "--progress", "never", "--quiet"]
JOB_OPTIONS += ["--text-encoder", "fake", "--image-encoder", "fake"]
# Words of a shop, and as many times more that name nothing.
COLORS, MATERIALS = ("red", "blue", "navy", "white"), ("cotton", "wool", "oak", "steel", "glass")
LABELS = ("width", "height", "weight", "volume", "pieces", "pack", "small", "women", "striped")
NAMED = (*COLORS, *MATERIALS, *LABELS)
AMOUNTS = ("20 x 30 cm", "250 g", "1.5 l", "40 W", "set of 6", "12 cm wide", "3,5 kg")
STARTS, ENDS = "bdfghjklmnprstvw", ("a", "el", "en", "er", "il", "in", "o", "on", "or", "u")
ROOMS, KINDS = ("Kitchen", "Bath", "Garden"), ("Mugs", "Lamps", "Tables", "Rugs", "Chairs")
CATEGORIES = [f"Home > {room} > {kind}" for room, kind in itertools.product(ROOMS, KINDS)]


@dataclass(frozen=True, slots=True)
class Sample:
    """One process and those it started. peak_mib: of the largest of them."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def vocabulary(draw: random.Random) -> list[str]:
    """Some thousand words that a language might have."""
    made = {
        "".join(draw.choice(STARTS) + draw.choice(ENDS) for _ in range(draw.randint(1, 3)))
        for _ in range(6_000)
    }
    return sorted(made)


def records(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield records of about 900 bytes; texts are different, and name things now and then."""
    draw = random.Random(seed)
    words = vocabulary(draw)
    for number in range(count):
        told = draw.choices(words, k=104)
        for _ in range(3):
            told[draw.randrange(104)] = draw.choice(NAMED)
        told[draw.randrange(104)] = draw.choice(AMOUNTS)
        text = f"{' '.join(told[:50]).capitalize()}. {' '.join(told[50:]).capitalize()}."
        title = " ".join([*draw.choices(words, k=5), draw.choice(NAMED)])
        yield {
            "id": f"sku-{number:08}",
            "title": title.title(),
            "description": text,
            "category": draw.choice(CATEGORIES),
            "price": f"{draw.lognormvariate(3, 1):.2f}",
        }


def write_catalog(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records(count))
    return path


def plain_loop(catalog: str, output: str) -> None:
    """Read, normalise, fingerprint and write, as a script would: one process, one file."""
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("id", "title", "description", "category")
    schema = pa.schema([(name, pa.string()) for name in (*texts, "fingerprint")])
    schema = schema.append(pa.field("price", pa.float64()))
    with (
        Path(catalog).open("rb") as lines,
        pq.ParquetWriter(output, schema, compression="zstd") as file,
    ):
        rows: list[dict[str, Any]] = []
        for line in lines:
            record = orjson.loads(line)
            row: dict[str, Any] = {
                name: " ".join(unicodedata.normalize("NFC", record[name]).split()) for name in texts
            }
            row["price"] = float(record["price"])
            content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
            row["fingerprint"] = hashlib.sha256(content).hexdigest()
            rows.append(row)
            if len(rows) == ROWS_AT_ONCE:
                file.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        file.write_table(pa.Table.from_pylist(rows, schema))


def polars_job(catalog: str, output: str) -> None:
    """Do the same in Polars; its hash has 64 bits, as it has no other."""
    import polars as pl

    texts = ("id", "title", "description", "category")
    cleaned = [
        pl.col(name).str.normalize("NFC").str.replace_all(r"\s+", " ").str.strip_chars()
        for name in texts
    ]
    frame = pl.scan_ndjson(catalog).with_columns(*cleaned, pl.col("price").cast(pl.Float64))
    frame = frame.with_columns(pl.struct(*texts, "price").hash().alias("fingerprint"))
    frame.collect().write_parquet(output, compression="zstd")


ALONE = {LOOP: plain_loop, POLARS: polars_job}


def measure(name: str, command: Sequence[str], checkout: Path) -> Sample:
    """Run a command to its end, in a checkout of the project."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "DO_NOT_TRACK": "1"}
    with tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=environment, cwd=checkout
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-2_000:]
            raise SystemExit(f"{name} ended with {process.returncode}: {said}")
    sample = Sample(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    print(
        f"  {name:24} {sample.seconds:7.1f} s {sample.cpu_seconds:7.1f} s CPU "
        f"{sample.peak_mib:6.0f} MiB",
        file=sys.stderr,
        flush=True,
    )
    return sample


def run_alone(name: str, catalog: Path, folder: Path) -> Sample:
    """Measure what is written here."""
    output = folder / "alone.parquet"
    command = [sys.executable, str(Path(__file__).resolve()), "--alone", name]
    return measure(name, [*command, str(catalog), str(output)], ROOT)


def run_job(name: str, checkout: Path, catalog: Path, template: str, workers: int) -> Sample:
    """Measure the job of a checkout; what it writes is removed."""
    output = catalog.parent / "output"
    command = [sys.executable, "-m", "pipelines.enrich", "--template", template]
    command += ["--input", str(catalog), "--output", str(output), "--workers", str(workers)]
    if template == "product":  # which may have pictures
        command += ["--images-root", str(catalog.parent)]
    sample = measure(name, [*command, *JOB_OPTIONS], checkout)
    shutil.rmtree(output)
    return sample


def run_all(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, list[Sample]]]:
    """Return catalog → what was measured → its samples, one a round."""
    checkouts = {JOB: ROOT}
    if arguments.against:
        checkouts[BEFORE] = arguments.against.resolve()
    has_polars = importlib.util.find_spec("polars") is not None
    if not has_polars:
        print("Polars is not installed: left out", file=sys.stderr)
    alone = [LOOP, POLARS] if has_polars else [LOOP]
    measured: dict[str, dict[str, list[Sample]]] = {}
    for title, count, template, others in (
        ("plain", arguments.records, str(PLAIN), alone),
        ("product", arguments.texts, "product", []),
    ):
        if not count:
            continue
        catalog = write_catalog(folder / f"{title}.jsonl", count)
        label = f"{count:,} records, template {title}"
        samples = measured[label] = {name: [] for name in (*others, *checkouts)}
        print(label, file=sys.stderr)
        for number in range(arguments.rounds):
            # Each comes first in turn, as what the machine has just done may help or hinder.
            names = list(samples) if number % 2 else list(reversed(samples))
            for name in names:
                if name in checkouts:
                    sample = run_job(name, checkouts[name], catalog, template, arguments.workers)
                else:
                    sample = run_alone(name, catalog, folder)
                samples[name].append(sample)
    return measured


def print_results(measured: dict[str, dict[str, list[Sample]]]) -> None:
    """Print a table a catalog, then JSON."""
    results: dict[str, Any] = {}
    for label, samples in measured.items():
        bases = [name for name in (LOOP, BEFORE) if name in samples]
        heads = "".join(f"{'/ ' + base:>14}" for base in bases)
        print(f"{label:36} {'seconds':>8} {'CPU s':>8} {'peak MiB':>9}{heads}")
        results[label] = {}
        for name, own in samples.items():
            row = {
                "seconds": round(statistics.median(each.seconds for each in own), 1),
                "cpu_seconds": round(statistics.median(each.cpu_seconds for each in own), 1),
                "peak_mib": round(max(each.peak_mib for each in own)),
            }
            row |= {f"by_{base}": _ratio(own, samples[base]) for base in bases}
            ratios = "".join(f"{row[f'by_{base}']:14.2f}" for base in bases)
            print(
                f"{name:36} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} "
                f"{row['peak_mib']:9}{ratios}"
            )
            results[label][name] = row
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"machine": machine, "load": load, "results": results}))


def _ratio(own: Sequence[Sample], base: Sequence[Sample]) -> float:
    pairs = zip(own, base, strict=True)
    return round(statistics.median(a.seconds / b.seconds for a, b in pairs), 2)


def main() -> None:
    """Write the catalogs, measure in turn, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--records", type=int, default=RECORDS, help="of the plain catalog")
    parser.add_argument("--texts", type=int, default=TEXTS, help="records of the other; 0: none")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--write", nargs=2, metavar=("FILE", "RECORDS"), help="write one and end")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        name, catalog, output = arguments.alone
        ALONE[name](catalog, output)
        return
    if arguments.write:
        write_catalog(Path(arguments.write[0]), int(arguments.write[1]))
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        print_results(run_all(arguments, Path(folder)))


if __name__ == "__main__":
    main()
