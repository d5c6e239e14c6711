"""The main job against a plain single-process loop that does the same model work, and memory as
catalogs grow.

Each measurement is a process of its own; loop and job alternate, so that a change of the machine's
speed hits both. Prints a table, then JSON. Without --catalog it repeats the demo's records over
crops of its photographs.

  python benchmarks/main_job.py
  python benchmarks/main_job.py --template grocery --catalog DIR/catalog.jsonl --images-root DIR
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import psutil

RECORDS, MANY_RECORDS, ROUNDS = 3_000, 30_000, 3
# Reading the proportional set size walks the page tables, so not often.
POLL_SECS = 0.5
FAKE_MODELS = ["--describe-backend", "fake", "--image-encoder", "fake", "--text-encoder", "fake"]


@dataclass(frozen=True)
class Sample:
    """One process, measured from outside.

    peak_mib: largest sum of proportional set sizes of its process tree.
    """

    name: str
    seconds: float
    peak_mib: float


def demo_catalog(folder: Path) -> tuple[str, Path, Path]:
    """The demo's records over 20 crops of each of its photographs."""
    from PIL import Image

    from pipelines.commands.demo import RECORDS as DEMO
    from pipelines.commands.demo import write_catalog

    write_catalog(folder / "demo")
    crops = folder / "crops"
    crops.mkdir()
    lines = []
    for number in range(20):
        for record in DEMO:
            if record["sku"] is None or not record["images"]:
                continue
            photos = []
            for name in record["images"]:
                source = folder / "demo" / "images" / name
                target = f"{number:02}-{Path(name).stem}.jpg"
                if (
                    ".." not in name
                    and source.exists()
                    and name not in ("torn.jpg", "error-page.jpg")
                ):
                    with Image.open(source) as image:
                        width, height = image.size
                        box = (number, number, width - 3 * number, height - 2 * number)
                        image.convert("RGB").crop(box).save(crops / target)
                photos.append(target)
            lines.append({**record, "sku": f"{record['sku']}-{number}", "images": photos})
    (folder / "crops.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return "product", folder / "crops.jsonl", crops


def repeat(template_name: str, catalog: Path, count: int, target: Path) -> None:
    """`count` records: the catalog over and over with new ids, and titles that say which copy it
    is.
    """
    from schemas.loading import load_template

    template = load_template(template_name)
    id_column = template.record.id[0]
    title_columns = [a.from_[0] for a in template.attributes if a.role == "title" and a.from_]
    records = [orjson.loads(line) for line in catalog.read_bytes().splitlines() if line.strip()]
    with target.open("wb") as file:
        for number in range(count):
            copy, record = number // len(records), dict(records[number % len(records)])
            record[id_column] = f"{record[id_column]}-{copy}"
            for column in title_columns:
                if copy and isinstance(record.get(column), str):
                    record[column] = f"{record[column]} no. {copy}"
            file.write(orjson.dumps(record) + b"\n")


def plain_loop(arguments: argparse.Namespace) -> None:
    """What a script would do: the same functions and models, one process, no Beam, one file a
    table.
    """
    import datetime as dt

    import pyarrow.parquet as pq
    import torch

    from schemas.elements import ImageResult, Reject
    from schemas.loading import load_template
    from transforms.embed.documents import Document, embed_documents
    from transforms.fill.cascade import fill_item
    from transforms.fill.rules import RuleStep
    from transforms.images.decode import DecodedPicture, decode
    from transforms.images.files import ImageLimits, PictureProblem, locate, read_picture
    from transforms.images.prepare import tag_pictures
    from transforms.items.assemble import attach_images
    from transforms.items.text import compose_item
    from transforms.models import build_image_encoder, build_tagger, build_text_encoder
    from transforms.models.contract import ModelOptions
    from transforms.normalise.records import Normaliser
    from transforms.readers import ParsedRecord, plan_splits, read_split
    from transforms.tables.build import RunInfo, embeddings_table, items_table

    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    options = ModelOptions(threads=threads)
    template, limits, root = (
        load_template(arguments.template),
        ImageLimits(),
        str(arguments.images_root),
    )
    models = build_image_encoder(options), build_tagger(options), build_text_encoder(options)
    for model in models:
        model.load()
    normaliser, rungs = Normaliser(template), [RuleStep(template)]
    described: dict[str, ImageResult] = {}

    def picture(path: str) -> ImageResult:
        digest = locate(root, path, limits)
        if isinstance(digest, PictureProblem):
            return ImageResult(path, reason=digest.reason)
        if digest not in described:
            data = read_picture(root, path, limits)
            decoded = decode(data, digest, limits) if isinstance(data, bytes) else data
            if isinstance(decoded, DecodedPicture):
                described[digest] = ImageResult(path, tag_pictures([decoded], *models[:2])[0])
            else:
                described[digest] = ImageResult(path, reason=decoded.reason)
        return described[digest]

    items = []
    for split in plan_splits([str(arguments.catalog)]):
        for element in read_split(split):
            if isinstance(element, ParsedRecord):
                record = normaliser.normalise(element.raw, element.cells)
                if not isinstance(record, Reject):
                    results = {path: picture(path) for path in record.image_refs}
                    items.append(
                        compose_item(
                            template, fill_item(template, rungs, attach_images(record, (), results))
                        )
                    )
    documents = [Document(item.text_enriched) for item in items]
    found = embed_documents(documents, models[2], options.text)
    items = [
        replace(item, vectors={"text": found[document].vector, "image": item.image_vector})
        for item, document in zip(items, documents, strict=True)
    ]
    run = RunInfo("loop", dt.datetime.now(dt.UTC), {})
    output = Path(arguments.output)
    output.mkdir(parents=True)
    pq.write_table(items_table(template, items, run), output / "items.parquet", compression="zstd")
    for kind, encoder in (("text", models[2]), ("image", models[0])):
        table = embeddings_table(kind, items, encoder.dimension, encoder.model, run)
        pq.write_table(table, output / f"{kind}.parquet", compression="zstd")


def measure(name: str, command: list[str]) -> Sample:
    begin = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_pss(each) for each in _tree(process)))
        time.sleep(POLL_SECS)
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}: {' '.join(command)}")
    sample = Sample(name, time.monotonic() - begin, peak / 2**20)
    print(
        f"  {name:28} {sample.seconds:7.1f} s {sample.peak_mib:7.0f} MiB",
        file=sys.stderr,
        flush=True,
    )
    return sample


def _tree(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield process
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--template")
    parser.add_argument("--catalog", type=Path)
    parser.add_argument("--images-root", type=Path)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--many-records", type=int, default=MANY_RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        plain_loop(arguments)
        return 0
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        print_results(run_all(arguments, Path(name)), arguments)
    return 0


def run_all(arguments: argparse.Namespace, folder: Path) -> list[Sample]:
    given = arguments.template, arguments.catalog, arguments.images_root
    template, catalog, images_root = given if arguments.catalog else demo_catalog(folder)
    few, many = folder / "few.jsonl", folder / "many.jsonl"
    repeat(template, catalog, arguments.records, few)
    repeat(template, catalog, arguments.many_records, many)
    shared = ["--template", template, "--images-root", str(images_root)]
    numbers = iter(range(10_000))

    def loop() -> list[str]:
        own = [sys.executable, __file__, "--loop", *shared, "--catalog", str(few)]
        return [*own, "--output", str(folder / f"out{next(numbers)}")]

    def job(source: Path, workers: int, more: list[str]) -> list[str]:
        own = [
            sys.executable,
            "-m",
            "pipelines.enrich",
            *shared,
            "--input",
            str(source),
            "--workers",
            str(workers),
        ]
        return [*own, "--output", str(folder / f"out{next(numbers)}"), *more]

    samples = []
    for _ in range(arguments.rounds):
        samples.append(measure("loop", loop()))
        samples.append(measure("job, 1 process", job(few, 1, [])))
        samples.append(measure("job, 2 processes", job(few, 2, [])))
    for workers in (1, 2):
        processes = f"{workers} process{'es' * (workers > 1)}"
        samples.append(measure(f"fake vectors, few, {processes}", job(few, workers, FAKE_MODELS)))
        samples.append(measure(f"fake vectors, many, {processes}", job(many, workers, FAKE_MODELS)))
    return samples


def print_results(samples: list[Sample], arguments: argparse.Namespace) -> None:
    seconds = {
        n: [s.seconds for s in samples if s.name == n]
        for n in dict.fromkeys(s.name for s in samples)
    }
    peaks = {name: max(s.peak_mib for s in samples if s.name == name) for name in seconds}

    def ratio(name: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds["loop"], seconds[name], strict=True))

    results: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
        "records": arguments.records,
        "many_records": arguments.many_records,
        "seconds": {name: round(statistics.median(values), 1) for name, values in seconds.items()},
        "peak_mib": {name: round(peak) for name, peak in peaks.items()},
        "throughput_ratio_1_process": round(ratio("job, 1 process"), 2),
        "throughput_ratio_2_processes": round(ratio("job, 2 processes"), 2),
    }
    for workers in ("1 process", "2 processes"):
        growth = peaks[f"fake vectors, many, {workers}"] / peaks[f"fake vectors, few, {workers}"]
        results[f"memory_ratio_{workers.replace(' ', '_')}"] = round(growth, 2)
    print(f"{'':28} {'seconds':>9} {'peak MiB':>9}")
    for name in seconds:
        print(f"{name:28} {results['seconds'][name]:9.1f} {results['peak_mib'][name]:9.0f}")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    sys.exit(main())
