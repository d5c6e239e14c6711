"""What reading a plain catalog costs, by what it cost before: this checkout against another one.

Writes products as JSON lines, CSV and Parquet. Processes of both checkouts alternate, so that a
change of the machine's speed hits both; each reads every file (the records parsed) and normalises
the records with the product template, the other checkout's. Prints the processor time a record,
medians over the rounds, and the ratios; then JSON.

  git worktree add --detach /tmp/before 25c0768
  python -m benchmarks.reading --against /tmp/before
  python -m benchmarks.reading --against /tmp/before --records 100000 --rounds 9
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# `sparse` is JSON lines whose records leave out what is empty and have keys that others have not.
FORMATS = {
    "jsonl": "catalog.jsonl",
    "csv": "catalog.csv",
    "parquet": "catalog.parquet",
    "sparse": "sparse.jsonl",
}
MORE_KEYS = [f"extra_{number}" for number in range(40)]
REPEATS = 3
PARTS = ("read", "normalise", "plan")
WORDS = ("clay", "mug", "oak", "table", "linen", "shirt", "handmade", "small", "round", "gift")
COLORS, MATERIALS = ("Red", "navy", "Green", "Black", "white"), ("Cotton", "Wool", "Oak", "Glass")


def product(draw: random.Random, number: int) -> dict[str, str]:
    """A record of about 600 bytes, as a shop exports them; some cells are empty."""
    text = " ".join(draw.choices(WORDS, k=40)).capitalize()
    return {
        "id": f"sku-{number:08}",
        "updated_at": f"2026-0{draw.randint(1, 9)}-{draw.randint(10, 28)}T12:00:00Z",
        "title": " ".join(draw.choices(WORDS, k=6)).title(),
        "description": f"{text}. Made by hand & washed." if number % 4 else f"<p>{text}.</p>",
        "brand": draw.choice(["Nordhus", "Dune", "Fell", ""]),
        "mpn": f"NH-{draw.randint(1000, 9999)}",
        "gtin": with_check_digit(f"{draw.randrange(10**12):012}"),
        "category": f"Home > Kitchen > {draw.choice(WORDS).title()}",
        "color": draw.choice(COLORS) if number % 3 else "",
        "material": draw.choice(MATERIALS),
        "size": draw.choice(["S", "M", "L", "XL"]),
        "weight": f"{draw.randint(1, 5000)} g",
        "price": f"{draw.randint(1, 300)}.{draw.randint(10, 99)}",
        "availability": draw.choice(["in stock", "out of stock"]),
        "images": f"{number}.jpg, {number}-back.jpg",
    }


def with_check_digit(digits: str) -> str:
    """A GTIN of 13 digits."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def write_catalogs(folder: Path, records: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(7)
    rows = [product(draw, number) for number in range(records)]
    with (folder / "catalog.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with (folder / "catalog.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*rows[0]], *(row.values() for row in rows)])
    with (folder / "sparse.jsonl").open("w") as file:
        for row in rows:
            made = {key: cell for key, cell in row.items() if cell}
            made |= dict.fromkeys(draw.sample(MORE_KEYS, 8), "more")
            file.write(json.dumps(made) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalog.parquet")


def measure(folder: Path, template_file: str) -> dict[str, float]:
    """Seconds of processor time, in the checkout whose modules are found first; the least of
    REPEATS, as other programs on the machine only add to them.
    """
    from schemas.loading import load_template
    from transforms.readers import ParsedRecord, plan_splits, read_split

    try:
        from transforms.normalise.records import Normaliser
    except ImportError:  # checkouts before the rooms
        from transforms.normalise import Normaliser  # type: ignore[attr-defined,no-redef]

    normaliser, found = Normaliser(load_template(template_file)), {}
    for name, file_name in FORMATS.items():
        path = str(folder / file_name)
        splits = plan_splits([path])
        elements = chain.from_iterable(map(read_split, splits))
        parsed = [each for each in elements if isinstance(each, ParsedRecord)]
        gc.collect()
        gc.freeze()

        def plan(path: str = path) -> Iterable[Any]:
            return plan_splits([path])

        def read(splits: Any = splits) -> Iterable[Any]:
            return chain.from_iterable(map(read_split, splits))

        def normalise(parsed: Any = parsed) -> Iterable[Any]:
            return (normaliser.normalise(each.raw, each.cells) for each in parsed)

        for part, work in (("plan", plan), ("read", read), ("normalise", normalise)):
            found[f"{name} {part}"] = min(seconds_of(work) for _ in range(REPEATS))
    return found


def seconds_of(work: Callable[[], Iterable[Any]]) -> float:
    """Look at all elements, and keep none."""
    began = time.process_time()
    deque(work(), maxlen=0)
    return time.process_time() - began


def in_checkout(checkout: Path, folder: Path, template: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(folder)]
    command += ["--template", str(template)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    output = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    measured: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Write the catalogs, measure in turn, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="the other checkout")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--template", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.template)))
        return
    if options.against is None:
        parser.error("--against is missing; name the folder of the other checkout")
    template = options.against / "schemas" / "templates" / "product.yaml"
    samples: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as temporary:
        write_catalogs(Path(temporary), options.records)
        for number in range(options.rounds):
            turns = [("before", options.against.resolve()), ("now", ROOT)]
            for name, checkout in turns if number % 2 else reversed(turns):
                samples[name].append(in_checkout(checkout, Path(temporary), template))
    print_table(samples, options.records)


def print_table(samples: dict[str, list[dict[str, float]]], records: int) -> None:
    ratios = {}
    for part in PARTS:
        unit = "ms a file" if part == "plan" else "µs a record"
        print(f"{part}, {unit:<12}{'before':>12}{'now':>10}{'ratio':>8}")
        scale = 1e3 if part == "plan" else 1e6 / records
        for name in FORMATS:
            before, now = (
                statistics.median(sample[f"{name} {part}"] for sample in samples[side]) * scale
                for side in ("before", "now")
            )
            ratios[f"{name} {part}"] = round(now / before, 3)
            print(f"  {name:<20}{before:>10.1f}{now:>10.1f}{now / before:>8.2f}")
    load = os.getloadavg()[0]
    print(json.dumps({"ratios": ratios, "records": records, "load": round(load, 1)}))


if __name__ == "__main__":
    main()
