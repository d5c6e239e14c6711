"""Metrics of a run: counts and times of the stages, under names that dashboards may rely on.

In Beam they are `<stage>_<what>` in the namespace `catalog_enrich`, on every runner; the manifest
has them as `stages` and `distributions`, and the snapshot's `metrics.txt` in OpenMetrics' text
format (pipelines/monitoring/openmetrics.py).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import apache_beam as beam

from pipelines.monitoring.stages import STAGES
from transforms.runtime.metrics import FAILED, NAMESPACE

# Counter → what is counted.
COUNTERS = {
    "msecs": "milliseconds in the stage, summed over workers",
    "records": "records of the catalog",
    "image_rows": "rows of image tables",
    "known": "records that the last snapshot knows, which are not read again",
    "pictures": "pictures: addresses of them (fetch), references to them (locate), contents "
    "(prepare)",
    "unusable": "picture references without a usable file",
    "items": "items",
    "reused": "pictures, texts or answers taken from an earlier run",
    "encoded": "pictures or texts that an encoder was given, once for each encoder",
    "calls": "calls of a language model",
    "retries": "repeated requests of a call, beyond the first",
    "prompt_tokens": "tokens of prompts, those of pictures included",
    "completion_tokens": "tokens of answers",
    "estimated_tokens": "of all tokens, those that no server stated and that were estimated",
    "lost_attempts": "requests without an answer that the server may have worked on",
    "lost_tokens": "tokens of such requests",
    "encoder_calls": "requests to an encoder's endpoint",
    "encoder_failures": "requests to an encoder's endpoint that got no answer",
    "encoder_retries": "repeated requests to an encoder's endpoint",
    "encoder_prompt_tokens": "tokens that an encoder's endpoint read",
    "encoder_estimated_tokens": "of these and the lost, those that no server stated",
    "encoder_lost_attempts": "requests without vectors that an endpoint may have worked on",
    "encoder_lost_tokens": "tokens of such requests",
    "encoder_request_msecs": "milliseconds of the requests to an encoder's endpoint, added up",
    "encoder_cut": "texts that an encoder's endpoint found too long, and that were cut",
    "probes": "attributes that a probe was trained for",
    "quarantined": "records in quarantine",
    "damaged_files": "files of kept answers or picture features that could not be read; what they "
    "lack is made again",
    "failures": "errors of this program that cost no record",
}
FAILED_ABOUT = "records, pictures or calls that failed, by reason id"
# Distribution → what is measured.
DISTRIBUTIONS = {
    "call_msecs": "milliseconds of one call of the stage: a split of the input, a batch of "
    "pictures, a bucket",
    "request_msecs": "milliseconds from sending a request to its whole answer",
}


def stage_metrics(result: Any) -> dict[str, dict[str, int]]:
    """Return stage → counter → value; empty where the runner has no counters.

    A runner that cannot query them must not cost a snapshot, so whatever it raises is ignored.
    """
    stages: dict[str, dict[str, int]] = {}
    with suppress(Exception):
        for counter in _queried(result)["counters"]:
            stage, _, what = counter.key.metric.name.partition("_")
            counts = stages.setdefault(stage, {})
            # One stage may stand several times in a graph.
            counts[what] = counts.get(what, 0) + (_value(counter) or 0)
    return dict(sorted(stages.items()))


def stage_distributions(result: Any) -> dict[str, dict[str, dict[str, int]]]:
    """Return stage → distribution → count, sum, min and max; empty where the runner has none."""
    stages: dict[str, dict[str, dict[str, int]]] = {}
    with suppress(Exception):
        for found in _queried(result)["distributions"]:
            stage, _, what = found.key.metric.name.partition("_")
            value = _value(found)
            if value is not None and value.count:
                stages.setdefault(stage, {})[what] = {
                    "count": value.count,
                    "sum": value.sum,
                    "min": value.min,
                    "max": value.max,
                }
    return dict(sorted(stages.items()))


def about(stage: str, what: str) -> str:
    """Return the meaning of a counter or distribution of a stage.

    Raises KeyError for names that are not registered.
    """
    if what.startswith(FAILED):
        return FAILED_ABOUT
    return f"{STAGES[stage].about}: {COUNTERS.get(what) or DISTRIBUTIONS[what]}"


def _queried(result: Any) -> Any:
    return result.metrics().query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))


def _value(metric: Any) -> Any:
    # Some runners report attempted values only.
    return metric.committed if metric.committed is not None else metric.attempted
