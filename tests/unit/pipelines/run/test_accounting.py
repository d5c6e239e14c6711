"""The account of a run: what went in is found again, record by record and row by row."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipelines.run.accounting import add_up, run_row
from pipelines.snapshots.manifest import Counts
from schemas.elements import (
    AttributeValue,
    Bucket,
    ImageFeatures,
    ImageResult,
    ImageRow,
    Item,
    RawRecord,
    Record,
    Reject,
)
from schemas.template import Template
from transforms.items.assemble import BucketParts, assemble_bucket
from transforms.readers import SplitReport
from transforms.runtime.buckets import each_item
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import RunInfo, items_table, records_table
from transforms.tables.write import count_table
from transforms.validation.frames import Found

NAMES = ("given", "invalid", "none", "stated", "shown", "asked", "open")
TEMPLATE = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [{"name": name, "type": "string"} for name in NAMES],
    }
)
RUN = RunInfo("r1", dt.datetime(2026, 1, 31, tzinfo=dt.UTC), {})


def counted(bucket: Bucket) -> BucketReport:
    """The account of a bucket, from the tables that it is written as."""
    missing = dict.fromkeys(NAMES, AttributeValue(None, reason="not-fillable"))
    items = [replace(item, values=missing | item.values) for item in bucket.items]
    report = count_table(
        BucketReport(bucket.number), TEMPLATE, "items", items_table(TEMPLATE, items, RUN)
    )
    return count_table(report, TEMPLATE, "records", records_table(bucket, RUN))


def record(item_id: str, paths: tuple[str, ...]) -> Record:
    return Record(item_id, {}, {}, paths, (), RawRecord(item_id.encode(), "jsonl", "in.jsonl", 1))


def row(item_id: str, path: str) -> ImageRow:
    return ImageRow(
        item_id,
        path,
        RawRecord(f"{item_id},{path}".encode(), "csv", "t.csv", 2, kind="image-table"),
    )


def split(kind: str, records: int) -> SplitReport:
    return SplitReport("in", kind, 0, 1, 1, "", records, 0)


def account_of(records: list[Record], rows: list[ImageRow], refused: str) -> Counts:
    """The account of one bucket whose items in `refused` are set aside after assembly."""
    pictures = [ImageResult(path, ImageFeatures(path, "0" * 16, 1, 1, "PNG", 1)) for path in "xyz"]
    assembled = assemble_bucket(0, BucketParts(records, pictures, rows))
    bucket = each_item(
        assembled,
        "validate",
        lambda item: (
            Reject(
                item.record.raw,
                "image-required",
                "validate",
                "",
                item.item_id,
                rows=item.record.rows,
            )
            if item.item_id in refused
            else item
        ),
    )
    quarantined: dict[str, Counter[str]] = {}
    for reject in (row for each in bucket.rejects for row in each.each):
        quarantined.setdefault(reject.raw.kind, Counter())[reject.reason] += 1
    splits = [
        split("catalog", len(records)),
        split("image-table", len(rows)),
    ]
    return add_up(splits, [counted(bucket)], Found(len(bucket.items), quarantined))


def test_each_row_of_an_image_table_has_one_fate() -> None:
    """Rows are attached, repeated, of a quarantined item, or quarantined; the account names each
    number.
    """
    records = [record("a", ("x",)), record("b", ())]
    rows = [
        row("a", "x"),
        row("a", "y"),
        row("a", "y"),
        row("b", "z"),
        row("b", "z"),
        row("ghost", "x"),
    ]
    account = account_of(records, rows, "b")
    assert (account.image_rows_attached, account.image_rows_repeated) == (1, 2)
    assert account.image_rows_item_quarantined == 2
    assert account.image_rows_quarantined == {"image-table-orphan": 1}
    assert account.unaccounted_image_rows == account.unaccounted == 0


ids, paths = st.sampled_from("abcd"), st.sampled_from("xyz")


@given(
    st.lists(st.builds(record, ids, st.lists(paths, max_size=3).map(tuple)), max_size=6),
    st.lists(st.builds(row, ids, paths), max_size=12),
    st.sampled_from(["", "a", "ab"]),
)
def test_the_account_closes_for_any_rows(
    records: list[Record], rows: list[ImageRow], refused: str
) -> None:
    """Whatever rows come and whatever items are set aside, records and rows are all accounted for."""
    account = account_of(records, rows, refused)
    assert account.unaccounted == 0
    assert account.unaccounted_image_rows == 0


def test_what_is_lost_shows() -> None:
    """A record or a row that went nowhere leaves the account open."""
    splits = [split("catalog", 3), split("image-table", 2)]
    account = add_up(splits, [], Found(items=2))
    assert (account.unaccounted, account.unaccounted_image_rows) == (1, 2)
    assert run_row(account)["unaccounted_records"] == 1
    assert run_row(account)["unaccounted_image_rows"] == 2


def test_what_needs_no_model_is_counted() -> None:
    """Of the values that may be filled, those from texts and pictures are settled; given ones and
    others are no gaps.
    """
    values = {
        "given": AttributeValue("x", "record"),
        "invalid": AttributeValue(None, reason="given-invalid"),
        "none": AttributeValue(None, reason="stated-absent"),
        "stated": AttributeValue("x", "text"),
        "shown": AttributeValue("x", "image"),
        "asked": AttributeValue("x", "model"),
        "open": AttributeValue(None, reason="below-threshold"),
    }
    settled = {name: value for name, value in values.items() if name not in ("asked", "open")}
    items = tuple(
        Item(record(name, ()), values=each)
        for name, each in (("a", values), ("b", settled), ("c", {}))
    )
    assert counted(Bucket(0, items)).missing == {
        "values": 6,
        "values_settled": 4,
        "items": 2,
        "items_settled": 1,
    }
