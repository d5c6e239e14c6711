"""Metrics: documented names, and numbers that are the manifest's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pipelines.monitoring.metrics import COUNTERS, DISTRIBUTIONS, about
from pipelines.monitoring.openmetrics import FAMILIES, INFO, METRICS, PREFIX, SUMMARIES, exposition
from pipelines.monitoring.stages import STAGES
from tests.manifests import make_counts, make_manifest
from tests.support import ROOT, Run, Shop

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run with something of everything: failures, flags, quarantine, a language model."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    records: list[dict[str, Any]] = [
        {
            "sku": f"s{n}",
            "name": f"Red mug {n}",
            "text": "A mug.",
            "photos": shop.picture(f"{n}.png"),
        }
        for n in range(6)
    ]
    return shop.run(
        shop.file("in.jsonl", [*records, {"name": "no id"}, {"sku": "x", "photos": "gone.png"}])
    )


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_text_is_openmetrics_and_says_what_the_manifest_says(run: Run) -> None:
    """The file beside the tables parses by the library's own parser; its numbers are the
    manifest's.
    """
    found = samples((run.snapshot / METRICS).read_text())
    counts = run.manifest["counts"]
    fates = {
        "in": counts["records_in"],
        "item": counts["items"],
        "quarantined": counts["records_quarantined"],
    }
    for fate, number in fates.items():
        assert found[f"{PREFIX}_records", (("fate", fate),)] == number
    assert found[f"{PREFIX}_quarantined", (("input", "catalog"), ("reason", "missing-id"))] == 1
    assert found[f"{PREFIX}_pictures", (("state", "image-missing"),)] == 1
    assert found[f"{PREFIX}_model_calls", ()] == counts["described"]["calls"] == 6
    assert (
        found[f"{PREFIX}_stage_failures", (("reason", "image-missing"), ("stage", "locate"))] == 1
    )
    assert found[f"{PREFIX}_run_published", ()] == 1
    calls = run.manifest["distributions"]["read"]["call_msecs"]
    assert found[f"{PREFIX}_stage_call_seconds_count", (("stage", "read"),)] == calls["count"]
    assert found[f"{PREFIX}_stage_request_seconds_count", (("stage", "describe"),)] == 6


def test_every_counter_of_a_run_is_registered(run: Run) -> None:
    """No stage counts or measures anything that the documentation does not name."""
    for stage, counters in run.manifest["stages"].items():
        for what in counters:
            assert about(stage, what)
    for stage, measured in run.manifest["distributions"].items():
        assert all(about(stage, what) for what in measured)


def test_every_name_is_documented() -> None:
    """docs/metrics.md has every stage, counter, distribution and OpenMetrics name."""
    page = (DOCS / "metrics.md").read_text()
    families = [
        f"{PREFIX}_{name}"
        for name in (*(f.name for f in FAMILIES), *(n for n, _ in SUMMARIES.values()), INFO[0])
    ]
    for name in (*STAGES, *COUNTERS, *DISTRIBUTIONS, *families):
        assert f"`{name}" in page


def test_names_from_catalogs_cannot_break_the_text() -> None:
    """Whatever an attribute or reason is called, the text parses and holds the name."""
    strange = 'a"b\\c\nd'
    text = exposition(make_manifest(counts=make_counts(flags={strange: 3})))
    assert samples(text)[f"{PREFIX}_flags", (("reason", strange),)] == 3
    assert not re.search(r"^d", text, re.MULTILINE)
