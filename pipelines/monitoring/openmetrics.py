"""A run's manifest as OpenMetrics text, for Prometheus' textfile collector and others.

All samples are of one run, so they are gauges, except for the timings of stages: summaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.snapshots.manifest import Manifest
from transforms.runtime.metrics import FAILED

METRICS = "metrics.txt"
PREFIX = "catalog_enrich"

Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric.

    name: after PREFIX, with its unit; samples: of a manifest, as (values of the labels, value).
    """

    name: str
    about: str
    labels: tuple[str, ...]
    samples: Callable[[Manifest], Samples]


def _counted(counts: Mapping[str, float]) -> Samples:
    return [((name,), number) for name, number in counts.items()]


def _records(manifest: Manifest) -> Samples:
    counts = manifest.counts
    return _counted(
        {
            "in": counts.records_in,
            "item": counts.items,
            "merged": counts.rows_merged,
            "quarantined": counts.records_quarantined,
            "unaccounted": counts.unaccounted,
        }
    )


def _quarantined(manifest: Manifest) -> Samples:
    counts = manifest.counts
    kinds = {
        "catalog": counts.quarantined,
        "image-table": counts.image_rows_quarantined,
        "model-answer": counts.answers_quarantined,
    }
    return [((kind, reason), n) for kind, reasons in kinds.items() for reason, n in reasons.items()]


def _values(manifest: Manifest) -> Samples:
    return [
        ((attribute, source), n)
        for attribute, by_source in manifest.counts.values.items()
        for source, n in by_source.items()
    ]


def _tokens(manifest: Manifest) -> Samples:
    used = manifest.counts.described
    return _counted(
        {
            "prompt": used.prompt_tokens,
            "image": used.image_tokens,
            "completion": used.completion_tokens,
            "lost": used.lost_tokens,
            "estimated": used.estimated_tokens,
        }
    )


def _failed_checks(manifest: Manifest) -> Samples:
    failed = [check.severity for check in manifest.failed]
    return _counted({severity: failed.count(severity) for severity in ("critical", "warning")})


def _stage_counts(manifest: Manifest) -> Samples:
    stages = manifest.stages.items()
    return [
        ((s, w), n)
        for s, c in stages
        for w, n in c.items()
        if w != "msecs" and not w.startswith(FAILED)
    ]


def _stage_failures(manifest: Manifest) -> Samples:
    stages = manifest.stages.items()
    return [
        ((s, w.removeprefix(FAILED)), n)
        for s, c in stages
        for w, n in c.items()
        if w.startswith(FAILED)
    ]


def _stage_seconds(manifest: Manifest) -> Samples:
    return [
        ((s,), counters["msecs"] / 1000)
        for s, counters in manifest.stages.items()
        if "msecs" in counters
    ]


def _finished(manifest: Manifest) -> Samples:
    return [] if manifest.finished is None else [((), manifest.finished.timestamp())]


FAMILIES = (
    Family(
        "run_published",
        "1: readers see it, 0: the gate refused it",
        (),
        lambda m: [((), m.published)],
    ),
    Family("run_finished_timestamp_seconds", "when the run ended, in Unix time", (), _finished),
    Family(
        "run_duration_seconds",
        "the whole run, start-up included",
        (),
        lambda m: [((), m.seconds)],
    ),
    Family("records", "records of the catalog, by what became of them", ("fate",), _records),
    Family(
        "delta_items",
        "items by what changed in the catalog since the last snapshot; none where everything was "
        "rebuilt",
        ("change",),
        lambda m: _counted(m.records or {}),
    ),
    Family("quarantined", "rows in quarantine", ("input", "reason"), _quarantined),
    Family("flags", "flags on items", ("reason",), lambda m: _counted(m.counts.flags)),
    Family(
        "pictures",
        "picture references of items",
        ("state",),
        lambda m: _counted(m.counts.images),
    ),
    Family("values", "attributes' values, or why there is none", ("attribute", "source"), _values),
    Family("table_rows", "rows of the tables", ("table",), lambda m: _counted(m.counts.rows)),
    Family(
        "model_calls",
        "calls of a language model",
        (),
        lambda m: [((), m.counts.described.calls)],
    ),
    Family(
        "model_answers_reused",
        "answers taken from earlier runs",
        (),
        lambda m: [((), m.counts.described.reused)],
    ),
    Family(
        "model_tokens",
        "tokens of calls; image is a part of prompt, estimated (no server stated it) of all",
        ("kind",),
        _tokens,
    ),
    Family(
        "model_cost",
        "by --prices, in their currency",
        (),
        lambda m: [((), m.counts.described.cost)],
    ),
    Family(
        "encoder_calls",
        "requests to encoders behind an endpoint",
        (),
        lambda m: [((), m.counts.encoded.calls)],
    ),
    Family(
        "encoder_tokens",
        "tokens that encoders behind an endpoint read",
        (),
        lambda m: [((), m.counts.encoded.prompt_tokens)],
    ),
    Family(
        "encoder_cost",
        "of encoders behind an endpoint by --prices, in their currency",
        (),
        lambda m: [((), m.counts.encoded.cost)],
    ),
    Family("checks_failed", "checks of the gate that failed", ("severity",), _failed_checks),
    Family("stage_seconds", "seconds in a stage, summed over workers", ("stage",), _stage_seconds),
    Family("stage_events", "what a stage counted", ("stage", "what"), _stage_counts),
    Family("stage_failures", "failures in a stage", ("stage", "reason"), _stage_failures),
)
SUMMARIES = {
    "call_msecs": (
        "stage_call_seconds",
        "seconds of a stage's calls: a split, a batch of pictures, a bucket",
    ),
    "request_msecs": (
        "stage_request_seconds",
        "seconds from sending a request to its whole answer",
    ),
}
INFO = (
    "run",
    "what was run",
    ("run_id", "command", "template", "template_version", "catalog_enrich_version"),
)


def exposition(manifest: Manifest) -> str:
    """Return the manifest's metrics in OpenMetrics' text format."""
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
    from prometheus_client.openmetrics.exposition import generate_latest

    name, info_about, labels = INFO
    of_run = {"run_id": manifest.run_id, "command": manifest.command}
    info = {label: of_run.get(label) or manifest.versions.get(label, "") for label in labels}
    families: list[Any] = [InfoMetricFamily(f"{PREFIX}_{name}", info_about, value=info)]
    for family in FAMILIES:
        gauge = GaugeMetricFamily(f"{PREFIX}_{family.name}", family.about, labels=family.labels)
        for values, number in family.samples(manifest):
            gauge.add_metric(values, float(number))
        families.append(gauge)
    for what, (name, summary_about) in SUMMARIES.items():
        summary = SummaryMetricFamily(f"{PREFIX}_{name}", summary_about, labels=("stage",))
        for stage, found in manifest.distributions.items():
            if what in found:
                summary.add_metric((stage,), found[what]["count"], found[what]["sum"] / 1000)
        families.append(summary)
    text: bytes = generate_latest(_Collected(families))  # type: ignore[no-untyped-call]
    return text.decode()


@dataclass(frozen=True, slots=True)
class _Collected:
    """Families in the shape of the library's registry, without its global state."""

    families: list[Any]

    def collect(self) -> list[Any]:
        return self.families
