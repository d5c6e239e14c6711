"""The account of a run: what went in, what came out, where the rest is.

Pure functions over the reports of stages. Items and quarantine are counted as they were found on
disk, inputs as they were read, so a record that gets lost in between shows as unaccounted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipelines.snapshots.manifest import Counts
from schemas.sections.vectors import vector_table
from transforms.describe.usage import Usage
from transforms.models.budget import Prices
from transforms.models.encoders import ENCODER_PREFIX
from transforms.readers import SplitReport
from transforms.runtime.parquet import DataFile
from transforms.tables.bucket_report import BucketReport
from transforms.validation.frames import Found


def add_up(
    splits: Iterable[SplitReport],
    buckets: Sequence[BucketReport],
    found: Found,
    usages: Iterable[Usage] = (),
) -> Counts:
    """Return the counts of a snapshot from the reports of its stages and what lies on disk."""
    incoming: Counter[str] = Counter()
    for split in splits:
        incoming[split.kind] += split.records + split.rejects + split.known
    image_rows = _total(bucket.image_rows for bucket in buckets)
    quarantined, image_rows_quarantined, answers_quarantined = (
        _total([found.quarantined.get(kind, {})])
        for kind in ("catalog", "image-table", "model-answer")
    )
    records_quarantined = sum(quarantined.values())
    rows_merged = sum(_total(bucket.rows_merged for bucket in buckets).values())
    with_items = [image_rows.get(each, 0) for each in ("attached", "repeated", "item-quarantined")]
    return Counts(
        records_in=incoming["catalog"],
        items=found.items,
        items_deleted=found.deleted,
        rows_merged=rows_merged,
        quarantined=quarantined,
        image_rows_in=incoming["image-table"],
        image_rows_attached=image_rows.get("attached", 0),
        image_rows_repeated=image_rows.get("repeated", 0),
        image_rows_item_quarantined=image_rows.get("item-quarantined", 0),
        image_rows_quarantined=image_rows_quarantined,
        answers_quarantined=answers_quarantined,
        described=sum(usages, Usage()),
        values=_values(buckets),
        missing=_total(bucket.missing for bucket in buckets),
        flags=_total(bucket.flags for bucket in buckets),
        images=_total(bucket.images for bucket in buckets),
        texts_cut=_total(bucket.texts_cut for bucket in buckets),
        vectors_failed=_total(bucket.vectors_failed for bucket in buckets),
        rows=_total({file.table: file.rows} for file in data_files(buckets)),
        records_quarantined=records_quarantined,
        unaccounted=incoming["catalog"] - found.items - records_quarantined - rows_merged,
        unaccounted_image_rows=incoming["image-table"]
        - sum(with_items)
        - sum(image_rows_quarantined.values()),
    )


def encoded_by_endpoints(stages: Mapping[str, Mapping[str, int]], prices: Prices) -> Usage:
    """Return what encoders behind an endpoint were asked, as the stages counted it."""
    total: Counter[str] = Counter()
    for counters in stages.values():
        total.update({n: c for n, c in counters.items() if n.startswith(ENCODER_PREFIX)})
    count = {name.removeprefix(ENCODER_PREFIX): number for name, number in total.items()}.get
    failures = count("failures", 0)
    return Usage(
        calls=count("calls", 0),
        retries=count("retries", 0),
        prompt_tokens=count("prompt_tokens", 0),
        seconds=count("request_msecs", 0) / 1000,
        cost=prices.embedding_cost(count("prompt_tokens", 0) + count("lost_tokens", 0)),
        estimated_tokens=count("estimated_tokens", 0),
        lost_attempts=count("lost_attempts", 0),
        lost_tokens=count("lost_tokens", 0),
        failed_calls={"all": failures} if failures else {},
    )


def run_row(counts: Counts) -> dict[str, float]:
    """Return the columns that the gate's `run` frame checks."""
    unreadable = [
        reasons.get("file-unreadable", 0)
        for reasons in (counts.quarantined, counts.image_rows_quarantined)
    ]
    # Items that the budget left open did not fail.
    failed = [
        items for reason, items in counts.described.failed_items.items() if reason != "budget"
    ]
    return {
        "records_in": counts.records_in,
        "items": counts.items,
        "unaccounted_records": counts.unaccounted,
        "unaccounted_image_rows": counts.unaccounted_image_rows,
        "unreadable_files": sum(unreadable),
        "encoders_that_always_failed": int(_always_failed(counts)),
        "quarantine_rate": counts.records_quarantined / max(1, counts.records_in),
        "describe_failure_rate": sum(failed) / max(1, counts.described.items),
    }


def _always_failed(counts: Counts) -> bool:
    """Return whether a table of vectors is empty because of failures, not for want of anything to
    encode or of a budget.
    """
    return any(not counts.rows.get(vector_table(space)) for space in counts.vectors_failed)


def data_files(buckets: Iterable[BucketReport]) -> list[DataFile]:
    """Return all files of the snapshot in the order of their paths."""
    return sorted((file for bucket in buckets for file in bucket.files), key=lambda file: file.path)


def _values(buckets: Iterable[BucketReport]) -> dict[str, dict[str, int]]:
    """Return attribute → source → items; attributes in the order of the first bucket that has
    them, which is the template's.
    """
    by_attribute: dict[str, list[Mapping[str, int]]] = {}
    for bucket in buckets:
        for name, by_source in bucket.values.items():
            by_attribute.setdefault(name, []).append(by_source)
    return {name: _total(each) for name, each in by_attribute.items()}


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
