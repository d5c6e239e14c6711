"""Training and filling with given vectors: how long probes take over a large catalog, and how much
memory.

Generates a catalog of items with random texts, closed lists that their words and vectors tell of,
open values, numbers and gaps; then runs the job's own stages from examples to filled buckets with
the local runner. Vectors are given: the encoders' time is none of the cascade's. Prints one line of
JSON.

  python benchmarks/cascade.py                       # 100,000 rows, 20 attributes, 2 processes
  python benchmarks/cascade.py --rows 10000
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import apache_beam as beam
import numpy as np
import psutil

from pipelines.configuration.runners import Runner, new_pipeline
from pipelines.monitoring.stderr import quiet_libraries
from schemas.elements import Bucket, Example, ImageFeatures, ImageResult, Item, RawRecord, Record
from schemas.template import Template
from transforms.consistency.compare import STATISTICS
from transforms.fill.cascade import Cascade, FillAttributes
from transforms.items.bucket_files import KeepBucket
from transforms.models.contract import ModelOptions
from transforms.probes.learn import (
    OWN,
    Examples,
    LearnConfig,
    LearnProbes,
    MakeExamples,
    examples_of,
)
from transforms.runtime.spool import KEYED_REFS, SpoolRef, read_spool
from transforms.runtime.stages.fused import FusedStep, in_one

BUCKET_ROWS, TEXT_DIMENSIONS, IMAGE_DIMENSIONS = 2_000, 384, 1_280
CLASSES, KNOWN_SHARE, WORDS_A_TEXT = 8, 0.6, 40
POLL_SECS = 0.5


def template_of(attributes: int) -> Template:
    """Mostly closed lists, as catalogs have them: of five attributes one is open-valued, one a
    number.
    """
    entries: list[dict[str, object]] = [
        {"name": "title", "type": "string", "role": "title", "from": "title"}
    ]
    for number in range(attributes):
        entry: dict[str, object] = {"name": f"a{number}", "from": f"a{number}", "fill": True}
        if number % 5 == 3:
            entry |= {"type": "string"}
        elif number % 5 == 4:
            entry |= {"type": "number", "unit": "g", "min": 0}
        else:
            values = [f"v{number} {word}" for word in range(CLASSES)]
            entry |= {"type": "enum", "values": values, "evidence": ["text", "image"]}
        entries.append(entry)
    return Template.model_validate(
        {"name": "made", "version": "1.0.0", "record": {"id": "id"}, "attributes": entries}
    )


@cache
def directions(attribute: int) -> np.ndarray:
    """What vectors of each class of an attribute have in common."""
    return (
        np.random.default_rng(attribute).normal(size=(CLASSES, TEXT_DIMENSIONS)).astype(np.float32)
    )


def bucket_of_rows(template: Template, number: int, rows: int) -> Bucket:
    """A bucket of made items; the same number gives the same ones."""
    draw = np.random.default_rng(10_000 + number)
    fillable = [a for a in template.attributes if a.fill]
    items = []
    for row in range(rows):
        item_id = f"{number:05}-{row:05}"
        words = [f"w{word}" for word in draw.zipf(1.3, WORDS_A_TEXT) % 5_000]
        vector = draw.normal(size=TEXT_DIMENSIONS).astype(np.float32)
        values: dict[str, object] = {}
        for at, attribute in enumerate(fillable):
            chosen = int(draw.integers(CLASSES))
            if attribute.values:
                value: object = attribute.values[chosen].value
                vector += 0.3 * directions(at)[chosen]
                words.insert(
                    int(draw.integers(len(words))),
                    f"tell{at}x{chosen}" if draw.random() < 0.8 else "so",
                )
            elif attribute.unit:
                value = float(chosen + 1)
                words.append(f"{chosen + 1} g")
            else:
                value = f"K{chosen}{int(draw.integers(1_000))}"
                words += ["model", str(value)]
            if draw.random() < KNOWN_SHARE:
                values[attribute.name] = value
        title = " ".join(words)
        image = draw.normal(size=IMAGE_DIMENSIONS).astype(np.float32)
        raw = RawRecord(b"", "jsonl", "made", row)
        given = {name: str(value) for name, value in values.items()}
        record = Record(item_id, {"title": title, **values}, {"title": title, **given}, (), (), raw)  # type: ignore[dict-item]
        picture = ImageFeatures(item_id, "0" * 16, 1, 1, "PNG", 1)
        items.append(
            Item(
                record,
                (ImageResult("p", picture),),
                text_vector=vector / np.linalg.norm(vector),
                image_vector=image / np.linalg.norm(image),
            )
        )
    return Bucket(number, tuple(items))


def without_vectors(bucket: Bucket) -> Bucket:
    return replace(
        bucket,
        items=tuple(replace(item, text_vector=None, image_vector=None) for item in bucket.items),
    )


class _WithExamples(beam.DoFn):
    """KV[bucket, (made bucket's size, SpoolRefs)] → the bucket with its examples, as the job's
    assembly gives it.
    """

    def __init__(self, template: Template) -> None:
        self._template = template

    def process(self, keyed: tuple[int, dict[str, list]]) -> Iterator[Bucket]:
        number, found = keyed
        (rows,) = found["rows"]
        bucket = without_vectors(bucket_of_rows(self._template, number, rows))
        refs: list[SpoolRef] = [ref for of_bucket in found["refs"] for ref in of_bucket]
        yield replace(bucket, examples={e.item_id: e for e in read_spool(refs, Example)})


def count(bucket: Bucket) -> dict[str, int]:
    values = [
        value for item in bucket.items for name, value in item.values.items() if name != "title"
    ]
    filled = sum(value.source in ("text", "image") for value in values)
    return {
        "items": len(bucket.items),
        "filled": filled,
        "open": sum(value.value is None for value in values),
    }


def add(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, number in each.items():
            total[name] = total.get(name, 0) + number
    return total


class Memory(threading.Thread):
    """The largest sum of proportional set sizes of this process and its children, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mib, self.done = 0.0, False

    def run(self) -> None:
        me = psutil.Process()
        while not self.done:
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except (psutil.Error, OSError):
                    continue
            self.peak_mib = max(self.peak_mib, total / 2**20)
            time.sleep(POLL_SECS)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--attributes", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    quiet_libraries()
    template = template_of(options.attributes)
    sizes = [
        (n, min(BUCKET_ROWS, options.rows - n * BUCKET_ROWS))
        for n in range(-(-options.rows // BUCKET_ROWS))
    ]
    with tempfile.TemporaryDirectory() as folder:
        examples_dir, probes = Path(folder) / "spool", Path(folder) / "probes"
        examples_dir.mkdir()
        probes.mkdir()
        config = LearnConfig(template, ModelOptions(), str(probes))
        result, counted = Path(folder) / "counts.json", Path(folder) / "labels.pickle"
        # Made beforehand, so that only the cascade is timed.
        made = new_pipeline(Runner(workers=options.workers))
        examples = (
            made
            | beam.Create(sizes)
            | beam.Reshuffle()
            | "Make"
            >> beam.Map(lambda keyed: bucket_of_rows(template, *keyed)).with_output_types(Bucket)
            | in_one(
                MakeExamples(config, embed=False).step(),
                FusedStep(KeepBucket(str(examples_dir), examples_of)),
            ).with_outputs(STATISTICS, main="examples")
        )
        _ = (
            examples.examples
            | beam.combiners.ToList()
            | "Keep" >> beam.Map(lambda refs: result.write_text(json.dumps(refs)))
        )
        _ = (
            examples[STATISTICS]
            | "Counted" >> beam.combiners.ToList()
            | "Keep counted" >> beam.Map(lambda pairs: counted.write_bytes(pickle.dumps(pairs)))
        )
        made.run().wait_until_finish()
        refs = [(n, tuple(map(tuple, each))) for n, each in json.loads(result.read_text())]
        memory = Memory()
        memory.start()
        began = time.monotonic()
        pipeline = new_pipeline(Runner(workers=options.workers))
        spooled = pipeline | "Refs" >> beam.Create(refs).with_output_types(KEYED_REFS)
        rows = pipeline | "Sizes" >> beam.Create(sizes).with_output_types(tuple[int, int])
        labels = pipeline | "Labels" >> beam.Create(pickle.loads(counted.read_bytes()))
        known = {OWN: Examples(spooled, labels)}
        learnt = pipeline | LearnProbes(config, known, str(examples_dir))
        _ = (
            {"rows": rows, "refs": spooled}
            | beam.CoGroupByKey()
            | "With examples" >> beam.ParDo(_WithExamples(template)).with_output_types(Bucket)
            | FillAttributes(Cascade(template), learnt.reports)
            | "Count" >> beam.Map(count)
            | beam.CombineGlobally(add)
            | "Report" >> beam.Map(lambda counts: result.write_text(json.dumps(counts)))
        )
        pipeline.run().wait_until_finish()
        seconds = time.monotonic() - began
        memory.done = True
        counts = json.loads(result.read_text())
    about = {"rows": options.rows, "attributes": options.attributes, "workers": options.workers}
    print(
        json.dumps(
            about | {"seconds": round(seconds, 1), "peak_mib": round(memory.peak_mib)} | counts
        )
    )


if __name__ == "__main__":
    from benchmarks.cascade import main as imported  # a DoFn of __main__ would be pickled by value

    imported()
