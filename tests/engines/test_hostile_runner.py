"""What a run publishes does not depend on who runs it: the hostile runner against this machine's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.engines.catalogs import TEXT_TEMPLATE, record, records, texts
from tests.engines.hostile import REPORT, RUNNER, SEED, crossings
from tests.quick_libraries import quick_gate
from tests.support import Run, Shop, all_rows

__all__ = ["quick_gate"]

# So many orders, splits and drops are tried.
THOROUGH = bool(os.environ.get("CATALOG_ENRICH_ENGINES"))
SEEDS = range(4 if THOROUGH else 1)
# Of items and buckets: several of each, so that what must not be mixed up could be.
BUCKETS = ("--buckets", "3")
RECORDS, WIDE, WIDE_BYTES = (100_000, 200, 200_000) if THOROUGH else (60, 12, 200_000)
MOST_BYTES, MOST_LARGE = 2**20, 0
# What was paid may be counted by an attempt whose result nobody saw.
PAID = "described"


def published(run: Run) -> dict[str, list[str]]:
    """All rows of a run that has to have been published, and what its manifest counts."""
    assert run.code == 0, run.out + run.err
    counts = {name: value for name, value in run.manifest["counts"].items() if name != PAID}
    return {**all_rows(run), "counts": [json.dumps(counts, sort_keys=True)]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.file("first.jsonl", records(shop))
    changed = [row | {"name": "Renamed, in navy"} for row in records(shop)[3:9]]
    shop.file("second.jsonl", [*changed, *records(shop)[9:], record(500), record(501)])
    return shop


@pytest.fixture(scope="module")
def plain(shop: Shop) -> list[dict[str, list[str]]]:
    """What the local runner publishes first, and of the changed catalog."""
    return runs(shop, "plain")


def runs(shop: Shop, output: str, *options: str) -> list[dict[str, list[str]]]:
    """Publish the catalog, then the changed one from where the first run ended."""
    catalog, found = shop.folder / "catalog.jsonl", []
    for name in ("first.jsonl", "second.jsonl"):
        catalog.write_bytes((shop.folder / name).read_bytes())
        run = shop.run(catalog, options=[*BUCKETS, *options], output=output)
        found.append(published(run))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hostile_runner_publishes_the_same(
    seed: int, shop: Shop, plain: list[dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fused, bundles split and reordered, each run twice with one result dropped: all tables
    and counts are those of the local runner, of a first run and of one that continues from it.
    """
    monkeypatch.setenv(SEED, str(seed))
    first, second = runs(shop, f"hostile-{seed}", "--runner", RUNNER)
    assert first == plain[0]
    assert second == plain[1]


def test_nothing_large_crosses_a_stage(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of records of which some have 200 kB, no PCollection but those of whole buckets has elements
    above 1 MiB, of which an engine holds several at once in buffers of fixed size. None is wanted.
    """
    report = shop.folder / "crossings.jsonl"
    monkeypatch.setenv(REPORT, str(report))
    wide = Shop(shop.folder, TEXT_TEMPLATE)
    catalog = texts(shop.folder / "wide.jsonl", RECORDS, wide=WIDE, wide_bytes=WIDE_BYTES)
    run = wide.run(catalog, options=["--runner", RUNNER, *BUCKETS], output="wide")
    assert run.code == 0, run.out + run.err
    assert len(run.rows("items")) == RECORDS
    large = [crossing for crossing in crossings(report) if crossing.largest_bytes > MOST_BYTES]
    assert len(large) <= MOST_LARGE, "\n".join(map(str, large))
