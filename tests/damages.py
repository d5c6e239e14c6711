"""Every way in which a file of an output may be damaged, and outputs to inflict it on.

A damage is a kind of file (KINDS) and a harm (HARMS) that is done to it. All of them are generated,
so that a new kind of file has to be added in one place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from pipelines.snapshots.lock_backends import LOCK, Lock
from tests.support import Shop

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku, images: {columns: photos}}
gate: {max_quarantine_rate: 0.5}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: about, type: string, role: text, from: text, description: What the shop says of it.}
  - {name: kind, type: enum, from: kind, values: [Mug, Chair, Lamp], rules: false, fill: true, description: What it is.}
  - {name: color, type: enum, from: color, values: [Red, {value: Blue, synonyms: [navy]}], fill: true, description: Colour.}
"""
WORDS = {
    "Mug": "handle coffee tea drink ceramic",
    "Chair": "seat legs back sit wooden",
    "Lamp": "light bulb shade glow electric",
}
ON = ("--buckets", "2", "--refresh-share", "1")
# Of a run that was killed, and of one that was told to keep its work.
DEAD, KEPT = "20250101T120000Z-0a7304", "20250101T120000Z-0a7305"
FOREIGN = (
    "readme of ours.txt",
    "snapshots/vm-2024/disk.img",
    "_work/notes/todo.txt",
    "answers/notes.txt",
    "picture-features/mine.bin",
)


def records(count: int = 48, offset: int = 0) -> list[dict[str, Any]]:
    """Rows whose texts tell what they are; every fifth does not say so, one has no id."""
    rows: list[dict[str, Any]] = []
    for number in range(offset, offset + count):
        kind = list(WORDS)[number % 3]
        words = WORDS[kind].split()
        text = f"{words[number // 3 % 4]} {words[number // 7 % 5]} for the house, number {number}."
        row = {"sku": f"s{number:03}", "name": f"Item {number}", "text": text}
        rows.append(row if number % 5 == 0 else {**row, "kind": kind})
    return [*rows, {"name": "nobody"}]


@dataclass(frozen=True)
class World:
    """A shop with an output of two published snapshots, `first` and the current `second`, an
    output of another catalog, and catalogs to run on.

    catalog: of the current snapshot; changed: with another row.
    """

    shop: Shop
    output: Path
    other: Path
    catalog: Path
    changed: Path
    first: str
    second: str

    @property
    def current(self) -> Path:
        return self.output / "snapshots" / self.second

    def copied(self, place: Path) -> World:
        """The same with a copy of its own of the output."""
        shutil.copytree(self.output, place, symlinks=True)
        return World(
            self.shop, place, self.other, self.catalog, self.changed, self.first, self.second
        )


def make_world(folder: Path) -> World:
    """Run a small catalog twice, and another one once."""
    shop = Shop(folder, TEMPLATE)
    rows, others = records(), records(offset=200)
    for number in range(6):
        rows[number]["photos"] = [shop.picture(f"{number}.png", f"rgb({number * 40}, 9, 9)")]
        others[number]["photos"] = [shop.picture(f"o{number}.png", f"rgb(9, {number * 40}, 9)")]
    catalog = folder / "in.jsonl"
    first = shop.run(shop.file("in.jsonl", rows), options=ON, report=True)
    rows[3]["name"], rows[4]["name"] = "Item three", "Item four"
    second = shop.run(shop.file("in.jsonl", rows), options=ON, report=True)
    rows[7]["name"] = "Item seven"
    changed = shop.file("changed.jsonl", rows)
    other = shop.run(shop.file("other.jsonl", others), options=ON, output="other", report=True)
    assert (first.code, second.code, other.code) == (0, 0, 0), (first.err, second.err, other.err)
    runs = sorted(each.name for each in (first.output / "snapshots").iterdir())
    _plant(first.output)
    return World(shop, first.output, other.output, catalog, changed, runs[0], runs[1])


def _plant(output: Path) -> None:
    """Put things of other people's below the output, and what killed runs leave."""
    for name in FOREIGN:
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}, not made by any run")
    for run_id in (DEAD, KEPT):
        (output / "_work" / run_id / "spool").mkdir(parents=True)
        (output / "_work" / run_id / "spool" / "0.arrow").write_bytes(b"half")
    (output / "_work" / KEPT / "kept-on-purpose").write_text(json.dumps(KEPT))
    # Of a process of this machine that has ended, so that nobody waits for it.
    lock = replace(Lock.own(DEAD, "run", kernel=True), pid=2**22 - 1, process_start=1)
    (output / LOCK).write_bytes(msgspec.json.encode(lock))


def _one(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


# What is damaged → where it lies, given the output and the run id of the current snapshot.
KINDS: Mapping[str, Callable[[Path, Path], Path]] = {
    "pointer": lambda output, _: output / "current.json",
    "link": lambda output, _: output / "current",
    "manifest": lambda _, current: current / "manifest.json",
    "items": lambda _, current: current / "items" / "bucket-00000.parquet",
    "records": lambda _, current: current / "records" / "bucket-00001.parquet",
    "quarantine": lambda _, current: _one(current, "quarantine/*.parquet"),
    "text vectors": lambda _, current: current / "embeddings" / "text" / "bucket-00001.parquet",
    "image vectors": lambda _, current: current / "embeddings" / "image" / "bucket-00000.parquet",
    "contracts": lambda _, current: current / "embeddings" / "vectors.json",
    "buckets": lambda _, current: current / "buckets.json",
    "statistics": lambda _, current: current / "statistics.json",
    "probe": lambda _, current: _one(current, "probes/*"),
    "pool": lambda _, current: _one(current, "pool/*"),
    "report": lambda _, current: current / "report.html",
    "data docs": lambda _, current: current / "data_docs" / "index.html",
    "metrics": lambda _, current: current / "metrics.txt",
    "earlier manifest": lambda output, current: _earlier(output, current) / "manifest.json",
    "earlier items": lambda output, current: (
        _earlier(output, current) / "items" / "bucket-00000.parquet"
    ),
    "earlier buckets": lambda output, current: _earlier(output, current) / "buckets.json",
    "answers": lambda output, _: _one(output, "answers/*.parquet"),
    "picture features": lambda output, _: _one(output, "picture-features/*.parquet"),
    "lock": lambda output, _: output / LOCK,
    "work": lambda output, _: output / "_work" / DEAD / "spool" / "0.arrow",
    "kept work": lambda output, _: output / "_work" / KEPT / "kept-on-purpose",
}


def _earlier(output: Path, current: Path) -> Path:
    return min(each for each in (output / "snapshots").glob("2*") if each != current)


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    at = min(len(data) - 1, int(len(data) * share))
    data[at] ^= 1
    path.write_bytes(data)


def _replace(path: Path, source: Path) -> None:
    path.unlink()
    shutil.copy2(source, path)


def _twin(world: World, path: Path, current: Path) -> Path:
    """The file of the same kind of another output; a file's name may differ there."""
    there = world.other / "snapshots"
    other = next(each for each in there.iterdir())
    earlier = world.output / "snapshots" / world.first
    for base, elsewhere in ((current, other), (earlier, other), (world.output, world.other)):
        if path.is_relative_to(base):
            same = elsewhere / path.relative_to(base)
            return same if same.exists() else _one(same.parent, f"*{path.suffix}")
    raise ValueError(path)


def _swap(world: World, path: Path) -> None:
    """Exchange it with its neighbour: another file of the same folder."""
    others = [each for each in sorted(path.parent.iterdir()) if each.is_file() and each != path]
    alike = [each for each in others if each.suffix == path.suffix] or others
    between = path.with_name("between")
    path.rename(between)
    alike[0].rename(path)
    between.rename(alike[0])


def _older(world: World, path: Path) -> None:
    """Put the file of the snapshot before in its place."""
    earlier = world.output / "snapshots" / world.first
    _replace(path, earlier / path.relative_to(world.current))


def _newer(world: World, path: Path) -> None:
    """Write it as a later version of this program might."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        pq.write_table(table.rename_columns([f"new_{name}" for name in table.column_names]), path)
        return
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        content = {"manifest_version": 99, "version": 99, **content, "new": {"of": ["later"]}}
        content["manifest_version"] = 99
    else:
        content = {"version": 99, "buckets": content}
    path.write_text(json.dumps(content))


def _mistyped(world: World, path: Path) -> None:
    """Let every value of a JSON file be of another type."""
    content = json.loads(path.read_text())
    turned = {int: "7", float: "x", str: 7, list: {"a": 1}, dict: ["a"], bool: "yes"}
    if isinstance(content, dict):
        content = {name: turned.get(type(value), value) for name, value in content.items()}
    else:
        content = [turned[type(each)] for each in content] if isinstance(content, list) else [1]
    path.write_text(json.dumps(content))


def _folder(world: World, path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


def _linked(world: World, path: Path) -> None:
    """Move it elsewhere, and link to it: what an archive does."""
    elsewhere = world.output.with_name(f"{world.output.name}-archive")
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)


def _dangling(world: World, path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


Harm = Callable[[World, Path], None]
HARMS: Mapping[str, Harm] = {
    "flipped early": lambda _, path: _flip(path, 0.1),
    "flipped": lambda _, path: _flip(path, 0.5),
    "flipped late": lambda _, path: _flip(path, 0.97),
    "truncated": lambda _, path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda _, path: os.truncate(path, 0),
    "missing": lambda _, path: path.unlink(),
    "garbage": lambda _, path: path.write_bytes(bytes(range(256)) * 9) and None,
    "of another run": lambda world, path: _replace(path, _twin(world, path, world.current)),
    "swapped": _swap,
    "older": _older,
    "newer version": _newer,
    "mistyped": _mistyped,
    "a folder": _folder,
    "a link": _linked,
    "a dead link": _dangling,
}


def damages() -> Iterator[tuple[str, str]]:
    """Every kind of file with every harm that can be done to it."""
    for kind in KINDS:
        for harm in HARMS:
            if _makes_sense(kind, harm):
                yield kind, harm


def _makes_sense(kind: str, harm: str) -> bool:
    in_snapshot = kind in list(KINDS)[2:16]
    if kind == "link":
        return harm in ("missing", "a folder", "a dead link", "older", "garbage")
    return {
        "older": in_snapshot,
        "swapped": kind
        not in ("pointer", "lock", "work", "kept work", "data docs", "pool", "contracts"),
        "of another run": kind not in ("work", "kept work", "lock"),
        "mistyped": _is_json(kind),
        "newer version": _is_json(kind) or kind in ("items", "answers", "picture features"),
    }.get(harm, True)


def _is_json(kind: str) -> bool:
    named = ("pointer", "manifest", "contracts", "buckets", "statistics", "lock")
    return kind.removeprefix("earlier ") in named


def inflict(world: World, kind: str, harm: str) -> Path:
    """Damage the world's output; returns the file's path below it."""
    path = KINDS[kind](world.output, world.current)
    if kind == "link":
        target = world.output / "snapshots"
        path.unlink()
        if harm == "older":
            path.symlink_to(f"snapshots/{world.first}")
        elif harm == "a folder":
            shutil.copytree(target / world.first, path)
        elif harm == "a dead link":
            path.symlink_to("snapshots/gone")
        elif harm == "garbage":
            path.write_text("snapshots")
        return path.relative_to(world.output)
    HARMS[harm](world, path)
    return path.relative_to(world.output)
