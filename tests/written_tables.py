"""Tables of a small shop as the job writes them, and the gate's verdict on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.elements import (
    AttributeValue,
    Bucket,
    Evidence,
    Item,
    RawRecord,
    Record,
    Reject,
)
from schemas.loading import parse_template
from schemas.template import Template
from tests.support import TEMPLATE
from transforms.runtime.buckets import bucket_of
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import Encoders, RunInfo, TableContext
from transforms.tables.write import write_bucket
from transforms.validation.gate import CheckResult, check_run, check_tables

SHOP = parse_template(TEMPLATE, "test")
RUN = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
ENCODERS = Encoders({"text": "fake", "image": "fake"}, {"text": 2, "image": 2})
BUCKETS = 2
CLOSED = {
    "records_in": 4,
    "items": 4,
    "unaccounted_records": 0,
    "unaccounted_image_rows": 0,
    "unreadable_files": 0,
    "quarantine_rate": 0.0,
    "describe_failure_rate": 0.0,
}


def item(number: int) -> Item:
    given = {"title": "Mug", "tags": "new"}
    record = Record(f"i{number}", {"title": "Mug"}, given, (), (), RawRecord(b"", "jsonl", "f", 1))
    values = {
        attribute.name: AttributeValue(None, reason="not-stated") for attribute in SHOP.attributes
    }
    values["title"] = AttributeValue("Mug", "record", "given", 1.0)
    values["color"] = AttributeValue(
        "Red", "text", "rule:closed-list", 0.8, Evidence("title", 0, 3, "red")
    )
    values["tags"] = AttributeValue(["new"], "record", "given", 1.0)
    unit = np.array([0.6, 0.8], np.float32)
    return Item(record, values=values, vectors={"text": unit, "image": unit})


def reject(number: int) -> Reject:
    return Reject(RawRecord(b"{}", "jsonl", "f", number), "missing-id", "normalise", "no id")


def write(folder: Path, items: Sequence[Item], template: Template = SHOP) -> list[BucketReport]:
    """The items in the files of their buckets, and one quarantined record in each bucket."""
    reports = []
    for number in range(BUCKETS):
        own = tuple(each for each in items if bucket_of(each.item_id, BUCKETS) == number)
        bucket = Bucket(number, own, (reject(number),))
        reports.append(write_bucket(TableContext(str(folder), template, ENCODERS, RUN), bucket))
    return reports


def check(
    folder: Path,
    reports: Sequence[BucketReport],
    account: dict[str, float] | None = None,
    template: Template = SHOP,
) -> list[CheckResult]:
    results, found = check_tables(str(folder), template, reports, BUCKETS)
    return [*check_run(template, {**CLOSED, **(account or {})}, found), *results]
