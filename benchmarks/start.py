"""What a command costs before it does anything, and a run that has nothing to do.

Each command is a process of its own, from its start to its end: the help, what reads an output, a
run whose catalog has not changed, without and with pictures. With --against, those of another work
tree take turns, each with an output of its own, so that a change of the machine's speed hits both.
Prints medians of seconds and of processor time, that of child processes included, then JSON. When
a run asks its first question is measured by `python -m benchmarks.first_question`.

  git worktree add --detach /tmp/before 25c0768
  python -m benchmarks.start --against /tmp/before
  python -m benchmarks.start --records 2000 --rounds 9 -- --no-ocr
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.main_job import demo_catalog
from benchmarks.reading import product

ROOT = Path(__file__).resolve().parents[1]
TARGET_SECS = 3.0
TARGET = "nothing to do, pictures"


@dataclass(frozen=True)
class Cost:
    """Seconds of a process: by the clock, and of processor time."""

    secs: float
    cpu_secs: float


@dataclass
class Tree:
    """A work tree, and what each command cost there."""

    name: str
    folder: Path
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def call(self, arguments: Sequence[str]) -> Cost:
        """Run a command of this tree to its end."""
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, arguments
        return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def catalogs(folder: Path, records: int, further: Sequence[str]) -> dict[str, list[str]]:
    """What is run on → arguments of the run, without its output."""
    draw = random.Random(7)
    texts = folder / "texts.jsonl"
    rows = ({**product(draw, number), "images": ""} for number in range(records))
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "nothing").mkdir()
    template, pictured, images = demo_catalog(folder)
    quiet = ["--progress", "never", "--no-report", *further]
    root = ["--images-root", str(folder / "nothing")]
    shown = ["--template", template, "--input", str(pictured), "--images-root", str(images)]
    return {
        "texts": ["--template", "product", "--input", str(texts), *root, *quiet],
        "pictures": [*shown, *quiet],
    }


def commands(output: str, runs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What is measured → its arguments; output: folder of the runs' outputs, by their names."""
    help_of = {"help": ["--help"], "help of run": ["run", "--help"]}
    looking = {"snapshots": ["snapshots", f"{output}/texts"]}
    nothing = {
        f"nothing to do, {name}": ["run", *arguments, "--output", f"{output}/{name}"]
        for name, arguments in runs.items()
    }
    return help_of | looking | nothing


def measure(trees: Sequence[Tree], options: argparse.Namespace) -> None:
    """Make the outputs, then call each command in turn."""
    with tempfile.TemporaryDirectory() as temporary:
        runs = catalogs(Path(temporary), options.records, options.further)
        for tree in trees:
            for name, arguments in runs.items():
                tree.call(["run", *arguments, "--output", f"{temporary}/{tree.name}/{name}"])
        for number in range(options.rounds):
            for tree in trees if number % 2 == 0 else trees[::-1]:
                for name, arguments in commands(f"{temporary}/{tree.name}", runs).items():
                    tree.costs.setdefault(name, []).append(tree.call(arguments))


def report(trees: Sequence[Tree]) -> None:
    """Print medians, of the trees side by side."""
    print(f"{'median seconds (processor)':28}" + "".join(f"{tree.name:>18}" for tree in trees))
    for name in trees[0].costs:
        cells = (shown(tree.costs[name]) for tree in trees)
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))
    load = os.getloadavg()[0]
    print(f"target of {TARGET!r}: {TARGET_SECS} s; load of the machine {load:.1f}")
    print(json.dumps({tree.name: as_lists(tree.costs) for tree in trees}))


def shown(costs: Sequence[Cost]) -> str:
    return f"{middle(costs, 'secs'):.2f} ({middle(costs, 'cpu_secs'):.2f})"


def as_lists(costs: Mapping[str, Sequence[Cost]]) -> dict[str, list[list[float]]]:
    """What was measured → seconds and processor time of each round."""
    return {
        name: [[round(each.secs, 3), round(each.cpu_secs, 3)] for each in every]
        for name, every in costs.items()
    }


def middle(costs: Sequence[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="the other work tree")
    parser.add_argument("--records", type=int, default=500, help="of the catalog of texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("further", nargs="*", help="options of the runs, behind --")
    options: Any = parser.parse_args()
    trees = [Tree("now", ROOT)]
    if options.against:
        trees.insert(0, Tree("before", options.against.resolve()))
    measure(trees, options)
    report(trees)


if __name__ == "__main__":
    main()
