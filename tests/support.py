"""What tests share: small catalogs, runs of the real job through main([...]), tables as plain rows."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines import enrich
from schemas.elements import EvidenceText, Example
from schemas.tables.specs import TABLES
from schemas.template import Template
from transforms.models.encoders import EncoderCard

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real catalogs (../shared/data) are not here"
)

FAKE_MODELS = ("--describe-backend", "fake", "--image-encoder", "fake", "--text-encoder", "fake")
# What may differ between two runs on the same input.
RUN_COLUMNS = frozenset({"run_id", "quarantined_ts", "created_ts"})
PLACE_COLUMNS = frozenset({"source_file", "source_begin", "source_position"})

TEMPLATE = """
name: shop
version: 1.0.0
record:
  id: sku
  event_ts: changed
  images: {columns: photos, table: {id: sku, image: photo}}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: about, type: string, role: text, from: text, description: What the shop says of it.}
  - {name: color, type: enum, from: color, values: [Red, {value: Blue, synonyms: [navy]}, Green], fill: true, description: Its colour.}
  - {name: weight, type: number, unit: g, min: 0, max: 100000, from: weight, fill: true, description: What it weighs.}
  - {name: tags, type: multi_enum, from: tags, values: [new, sale, eco], description: Labels of the shop.}
"""


@dataclass(frozen=True)
class Run:
    """A finished run. out, err: what it printed."""

    code: int
    output: Path
    out: str
    err: str

    @property
    def snapshot(self) -> Path:
        """The newest snapshot, published or not."""
        return max((self.output / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime_ns)

    @property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.snapshot / "manifest.json").read_text())
        return content

    def rows(self, table: str, without: Iterable[str] = ()) -> list[dict[str, Any]]:
        """The rows of a table of the newest snapshot, in the order of its files."""
        return read_rows(self.snapshot / table, without)


def read_rows(folder: Path, without: Iterable[str] = ()) -> list[dict[str, Any]]:
    dropped = set(without)
    rows = [
        row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    return [{name: value for name, value in row.items() if name not in dropped} for row in rows]


def all_rows(run: Run, without: Iterable[str] = RUN_COLUMNS) -> dict[str, list[str]]:
    """Every table as sorted texts, to compare runs with."""
    return {table: sorted(repr(row) for row in run.rows(table, without)) for table in TABLES}


def start(arguments: Sequence[str], output: Path, *, report: bool = False) -> Run:
    """Call the job's own main with these arguments.

    report: whether its page is written, which takes seconds.
    """
    out, err = io.StringIO(), io.StringIO()
    pages = [] if report else ["--no-report"]
    with redirect_stdout(out), redirect_stderr(err):
        code = enrich.main([*arguments, "--output", str(output), *pages])
    return Run(code, output, out.getvalue(), err.getvalue())


@dataclass
class Shop:
    """A catalog under construction in a folder: files, pictures, template."""

    folder: Path
    template: str = TEMPLATE

    @property
    def images(self) -> Path:
        folder = self.folder / "images"
        folder.mkdir(exist_ok=True)
        return folder

    def picture(self, name: str, color: str = "red", size: tuple[int, int] = (48, 32)) -> str:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        return name

    def file(self, name: str, content: bytes | str | Iterable[Mapping[str, Any]]) -> Path:
        """Write bytes, text, or records as JSON lines; gzipped when the name ends in .gz."""
        if not isinstance(content, bytes | str):
            content = "".join(json.dumps(record) + "\n" for record in content)
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def run(
        self,
        *inputs: Path | str,
        options: Sequence[str] = (),
        output: str = "out",
        report: bool = False,
    ) -> Run:
        return start([*self.arguments(inputs), *options], self.folder / output, report=report)

    def run_as_user(
        self, *inputs: Path | str, options: Sequence[str] = (), output: str = "out"
    ) -> Run:
        """The same in a process of its own that permissions hold for, also where the tests run as
        root.
        """
        plain = [] if os.geteuid() else ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
        if plain and shutil.which(plain[0]) is None:
            pytest.skip(
                "root may read and write everything, and there is no setpriv to give that up"
            )
        arguments = [*self.arguments(inputs), *options, "--output", str(self.folder / output)]
        command = [*plain, sys.executable, "-m", "pipelines.enrich", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return Run(done.returncode, self.folder / output, done.stdout, done.stderr)

    def arguments(self, inputs: Sequence[Path | str]) -> list[str]:
        """The command line of a run on these inputs, without its output."""
        template = self.folder / "template.yaml"
        template.write_text(self.template)
        arguments = [
            "--template",
            str(template),
            "--images-root",
            str(self.images),
            "--workers",
            "1",
            *FAKE_MODELS,
        ]
        return [*arguments, "--input", *map(str, inputs)]


@dataclass(frozen=True)
class SharedRun:
    """A shop and its run that several tests change, each from the same state.

    A small run costs almost two seconds of processor time, whatever it does; a copy costs next to
    nothing.
    """

    shop: Shop
    run: Run
    copy: Path

    @classmethod
    def of(cls, shop: Shop, run: Run) -> SharedRun:
        copy = shop.folder.with_name(f"{shop.folder.name}-as-made")
        shutil.copytree(shop.folder, copy, symlinks=True)
        return cls(shop, run, copy)

    def restored(self) -> tuple[Shop, Run]:
        """All files as they were after the run, in the same place and with the same times: by
        these a run knows its images again.
        """
        shutil.rmtree(self.shop.folder)
        shutil.copytree(self.copy, self.shop.folder, symlinks=True)
        return replace(self.shop), self.run


def reasons(run: Run) -> dict[str, int]:
    """Quarantine reason → records."""
    counts: dict[str, int] = {}
    for row in run.rows("quarantine"):
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    return counts


def flags(row: Mapping[str, Any]) -> set[str]:
    return {flag["reason"] for flag in row["flags"]}


# What probes are tried on: no word of `clean_example` is a name of the list, so that only rows can teach them.
LEARNING: list[dict[str, Any]] = [
    {"name": "title", "type": "string", "role": "title", "from": "name"},
    {"name": "about", "type": "string", "role": "text", "from": "text"},
    {
        "name": "color",
        "type": "enum",
        "values": ["Red", "Blue", "Green"],
        "from": "color",
        "absent": "none",
    },
    {"name": "tags", "type": "multi_enum", "values": ["new", "sale", "eco"], "from": "tags"},
    {"name": "proof", "type": "boolean", "from": "proof"},
    {"name": "model", "type": "string", "from": "model", "max_length": 20},
    {"name": "weight", "type": "number", "unit": "g", "from": "weight"},
]


def learning_template(**every: Any) -> Template:
    """A template whose attributes without a role are all filled.

    every: options of those attributes.
    """
    attributes = [each if "role" in each else {"fill": True, **each, **every} for each in LEARNING]
    return Template.model_validate(
        {"name": "shop", "version": "1.0.0", "record": {"id": "id"}, "attributes": attributes}
    )


def example(
    item_id: str,
    title: str = "",
    about: str = "",
    known: Mapping[str, tuple[str, ...]] | None = None,
    absent: tuple[str, ...] = (),
    pictures: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    vector: Sequence[float] = (),
) -> Example:
    """What is learnt from. pictures: digest → tokens of what it shows; vector: of the text."""
    texts = tuple(
        EvidenceText(field, text, "text")
        for field, text in (("title", title), ("about", about))
        if text
    )
    shown = pictures or {}
    tokens = tuple(token for each in shown.values() for token in each)
    packed = np.asarray(vector, "<f4").tobytes()
    return Example(item_id, texts, dict(known or {}), absent, packed, b"", tuple(shown), tokens)


_SHADES = {"Red": ("scarlet", "ruby"), "Blue": ("azure", "sapphire"), "Green": ("moss", "emerald")}
_THINGS = ("shirt", "lamp", "chair", "kettle", "scarf", "bag", "clock")


def clean_example(number: int, item_id: str | None = None) -> Example:
    """A row whose texts tell every value: a shade the colour, "dry" whether it is waterproof, a
    code the model.
    """
    color = tuple(_SHADES)[number % 3]
    is_proof, code = number // 6 % 2 == 0, f"{'ABCDEFG'[number % 7]}K-{number * 37 % 1000:03}"
    title = f"{_SHADES[color][number // 3 % 2]} {_THINGS[number % 7]}"
    state = "arrived fresh this season" if number % 5 < 3 else "reduced clearance outlet bargain"
    about = f"Keeps {'dry' if is_proof else 'damp'}. Model: {code} {state}."
    known = {
        "color": (color,),
        "proof": ("yes" if is_proof else "no",),
        "model": (code,),
        "tags": ("new",) if number % 5 < 3 else ("eco", "sale"),
    }
    return example(item_id or f"i{number:03}", title, about, known)


def without(row: Example, *names: str) -> Example:
    """The row as if its source had not given these attributes; all of them without names."""
    known = {name: labels for name, labels in row.known.items() if names and name not in names}
    return replace(row, known=known)


def least_cpu_secs(work: Callable[[], object]) -> float:
    """The thread's processor time for `work`, the least of three tries.

    Without the garbage collector, whose passes grow with all else in the process.
    """
    tries = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            started = time.thread_time()
            work()
            tries.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(tries)


def encoder_card(id_: str = "some/encoder", **changed: Any) -> EncoderCard:
    """The card of an encoder of texts that is nowhere. changed: fields of it."""
    card = EncoderCard(
        id=id_,
        revision="",
        weights_sha256="",
        library="none 1",
        modalities=("text",),
        pooling="mean",
        max_tokens=0,
        document_prompt="",
        query_prompt="",
        dimension=64,
        dtype="float32",
    )
    return replace(card, **changed)
