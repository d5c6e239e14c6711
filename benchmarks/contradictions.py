"""What each detector of contradictions flags on a real catalog, and on films which of it are
suspects by the truth.

The catalog goes through the job's own stages as far as assembled items; those are kept in --items
and used again by a second run. The detectors' own functions then run over them. Prints one line a
detector and, with --show N, samples to judge by eye. The films' truth knows only films whose joined
text is likely another film's: flags on others may be right as well.

  python benchmarks/contradictions.py films --items /tmp/films --show 5
  python benchmarks/contradictions.py magento --items /tmp/magento --no-ocr
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np

from pipelines.configuration.from_options import config_from
from pipelines.configuration.options import add_run_options
from pipelines.configuration.parser import Parser
from pipelines.configuration.plan import Plan, make_plan
from pipelines.configuration.runners import Runner, new_pipeline
from pipelines.monitoring.stderr import quiet_libraries
from schemas.elements import Bucket, Finding, Item
from schemas.template import Template
from transforms.consistency.outliers import (
    MAX_NUMBERS,
    MAX_VECTORS,
    Norms,
    find_outliers,
    fit_norms,
    sample_items,
)
from transforms.consistency.reliability import add_tallies, reliable_checks
from transforms.consistency.shared_content import (
    MIN_TWINS,
    find_shared,
    group_digests,
    is_reliable,
    item_digests,
)
from transforms.consistency.within_item import check_item, tally
from transforms.images.prepare import PrepareImages
from transforms.items.assemble import AssembleBuckets, bucket_numbers
from transforms.readers.read import ReadCatalog
from transforms.runtime.spool import Spool

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@dataclass(frozen=True)
class Catalog:
    """A real catalog: how it is read, and where its truth is."""

    template: str
    inputs: tuple[str, ...]
    images_root: str
    image_table: str = ""
    truth: str = ""


CATALOGS = {
    "films": Catalog(
        "films", ("interactions/items.jsonl",), "interactions", truth="interactions/truth.jsonl"
    ),
    "magento": Catalog(
        "apparel",
        ("magento/catalog.csv", "magento/catalog_gear.csv"),
        "magento/images",
        "magento/images_gear.csv",
    ),
    "grocery": Catalog("grocery", ("grocery/catalog.jsonl",), "grocery"),
    "stamps": Catalog("multilingual", ("stamps/catalog.jsonl",), "stamps"),
}


def plan_of(catalog: Catalog, *, ocr: bool, folder: str) -> Plan:
    arguments = [
        "--template",
        catalog.template,
        "--input",
        *(str(DATA / path) for path in catalog.inputs),
    ]
    arguments += [
        "--images-root",
        str(DATA / catalog.images_root),
        "--output",
        f"{folder}/output",
        "--workers",
        "1",
    ]
    arguments += ["--image-table", str(DATA / catalog.image_table)] if catalog.image_table else []
    parser = Parser(allow_abbrev=False)
    add_run_options(parser)
    options, _ = parser.parse_known_args([*arguments, *([] if ocr else ["--no-ocr"])])
    return make_plan(config_from(options))


def make_items(plan: Plan, folder: Path) -> None:
    """Write the catalog's items with their pictures, a pickle a bucket."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as spool_dir:
        pipeline = new_pipeline(Runner())
        config = plan.config
        read = pipeline | "Read" >> ReadCatalog(
            plan.splits, plan.template, config.read_limits, plan.buckets, spool_dir
        )
        images = read.image_refs | "Images" >> PrepareImages(
            config.images_root, config.image_limits, plan.models, spool_dir, plan.buckets
        )
        results = images.results | "Spool images" >> Spool(spool_dir)
        numbers = bucket_numbers(pipeline, range(plan.buckets))
        buckets = (numbers, read.rows, results) | "Assemble" >> AssembleBuckets()
        _ = buckets | "Keep" >> beam.Map(_keep, str(folder))
        pipeline.run().wait_until_finish()


def _keep(bucket: Bucket, folder: str) -> None:
    (Path(folder) / f"{bucket.number}.pickle").write_bytes(pickle.dumps(bucket))


def read_items(folder: Path) -> list[Item]:
    return [
        item
        for path in sorted(folder.glob("*.pickle"))
        for item in pickle.loads(path.read_bytes()).items
    ]


def norms_of(template: Template, items: Sequence[Item]) -> Norms:
    return fit_norms(
        template,
        sample_items(template, items, vectors=False, size=MAX_NUMBERS),
        sample_items(template, items, vectors=True, size=MAX_VECTORS),
    )


def all_findings(template: Template, items: Sequence[Item], norms: Norms) -> Iterator[Finding]:
    """What the three stages find, by their own functions."""
    checks = {item.item_id: check_item(template, item) for item in items}
    kinds = reliable_checks(add_tallies(map(tally, checks.values())))
    for item_id, made in checks.items():
        yield from (
            Finding(item_id, c.flag)
            for c in made
            if c.flag is not None and (c.reason, c.field) in kinds
        )
    digests = [digest for item in items for digest in item_digests(template, item, 0)]
    groups = group_digests(digests)
    kinds = reliable_checks(add_tallies(group.counts for group in groups.values()), MIN_TWINS)
    yield from (
        finding for _, finding in find_shared(digests, groups) if is_reliable(finding, kinds)
    )
    yield from (finding for item in items for finding in find_outliers(template, norms, item))


def report(
    findings: Sequence[Finding], items: Sequence[Item], suspects: set[str], show: int
) -> None:
    others = {item.item_id for item in items} - suspects
    by_detector: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_detector[f"{finding.flag.reason} ({_kind_of_field(finding)})"].append(finding)
    print(f"{'detector':55} {'suspects':>12} {'others':>16}")
    for name, found in [*sorted(by_detector.items()), ("all", list(findings))]:
        ids = {finding.item_id for finding in found}
        right, rest = len(ids & suspects), len(ids & others)
        print(
            f"{name:55} {right:5} of {len(suspects):3} {rest:6} of {len(others):5} "
            f"{rest / len(others):6.1%}"
        )
        chosen = sorted(found, key=lambda f: f.item_id) if name != "all" else []
        for finding in random.Random(0).sample(chosen, min(show, len(chosen))):
            mark = "*" if finding.item_id in suspects else " "
            print(f"   {mark} {finding.item_id}: {finding.flag.detail}")
    missed = sorted(suspects - {finding.item_id for finding in findings})
    print(f"suspects that nothing flags: {', '.join(missed) or 'none'}")


def _kind_of_field(finding: Finding) -> str:
    return finding.flag.field if "." not in finding.flag.field else "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", choices=sorted(CATALOGS))
    parser.add_argument(
        "--items", type=Path, required=True, help="folder for the items; used again if not empty"
    )
    parser.add_argument("--no-ocr", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="findings to print of each detector")
    options = parser.parse_args()
    quiet_libraries()
    catalog = CATALOGS[options.catalog]
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(catalog, ocr=not options.no_ocr, folder=folder)
        if not any(options.items.glob("*.pickle")):
            make_items(plan, options.items)
    items = read_items(options.items)
    suspects: set[str] = set()
    if catalog.truth:
        rows = map(json.loads, (DATA / catalog.truth).read_text().splitlines())
        suspects = {row["item_id"] for row in rows if row["overview_suspect"]}
    norms = norms_of(plan.template, items)
    report(list(all_findings(plan.template, items, norms)), items, suspects, options.show)
    for name, model in sorted(norms.pictures.items()):
        correlation = float(np.corrcoef(model.numbers, model.predictions)[0, 1])
        print(
            f"{name} from pictures, out of fold: correlation {correlation:.3f} over "
            f"{len(model.numbers)} rows"
        )


if __name__ == "__main__":
    main()
