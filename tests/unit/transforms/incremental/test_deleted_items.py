"""Rows of items whose records have left the catalog, in a new snapshot."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.sections.vectors import DEFAULT_SPACES
from tests.written_tables import (
    BUCKETS,
    ENCODERS,
    RUN,
    SHOP,
    check,
    item,
    write,
)
from transforms.embed.text_vectors import earlier_vectors
from transforms.incremental.deleted_items import add_deleted_items, fitted
from transforms.models.encoder_options import EncoderOptions
from transforms.models.spaces import VectorSpace
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import read_parquet, write_parquet
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import Encoders, TableContext, items_table
from transforms.tables.merge import EarlierRows
from transforms.tables.write import empty_tables

TEXT = VectorSpace(DEFAULT_SPACES[0], EncoderOptions("fake"))
LATER = replace(RUN, run_id="later", started=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))


def gone(*numbers: int) -> pa.Table:
    """Items of the earlier snapshot that are gone."""
    ids = [f"i{number}" for number in numbers]
    return pa.table(
        {"item_id": ids, "bucket": pa.array([bucket_of(each, BUCKETS) for each in ids], pa.int32())}
    )


def retired(folder: Path, encoders: Encoders = ENCODERS) -> list[BucketReport]:
    """A snapshot of items 2 and 3 over one of items 0 to 3: 0 and 1 are gone."""
    before = write(folder / "before", [item(n) for n in range(4)])
    now = write(folder / "now", [item(n) for n in (2, 3)])
    files = {report.bucket: report.files for report in before}
    context = TableContext(str(folder / "now"), SHOP, encoders, LATER)
    return add_deleted_items(str(folder / "before"), files, gone(0, 1), context, now, BUCKETS)


def rows(folder: Path, reports: list[BucketReport], table: str) -> list[dict[str, object]]:
    return [
        row
        for report in reports
        for file in report.files
        if file.table == table
        for row in read_parquet(str(folder / "now"), file).to_pylist()
    ]


def test_gone_items_are_taken_over_sorted_and_marked(tmp_path: Path) -> None:
    """Each is in the file of its bucket with the time when it was missed; the gate passes and
    counts the others.
    """
    reports = retired(tmp_path)
    items = rows(tmp_path, reports, "items")
    assert {row["item_id"]: row["deleted_ts"] is None for row in items} == {
        "i0": False,
        "i1": False,
        "i2": True,
        "i3": True,
    }
    assert {row["deleted_ts"] for row in items} == {None, LATER.started}
    assert {
        row["item_id"]: row["fate"] for row in rows(tmp_path, reports, "records") if row["item_id"]
    } == {
        "i0": "deleted",
        "i1": "deleted",
        "i2": "item",
        "i3": "item",
    }
    assert len(rows(tmp_path, reports, "embeddings/text")) == 4
    assert len(rows(tmp_path, reports, "quarantine")) == BUCKETS, (
        "what was set aside is not taken over"
    )
    assert sum(sum(report.values["title"].values()) for report in reports) == 2
    assert [
        result
        for result in check(tmp_path / "now", reports, {"records_in": 2, "items": 2})
        if result.refuses
    ] == []


def test_rows_of_versions_without_the_column_are_marked() -> None:
    """Items of a snapshot that knows no deleted_ts are taken over with the time of this run."""
    like = empty_tables(TableContext("", SHOP, ENCODERS, LATER), 0)["items"]
    rows = items_table(SHOP, [item(0)], RUN).drop_columns(["deleted_ts"])
    taken = fitted("items", rows, like, SHOP, LATER.started)
    assert taken.schema == like.schema
    assert taken["deleted_ts"].to_pylist() == [LATER.started]


def test_vectors_of_another_encoder_stay_behind(tmp_path: Path) -> None:
    """Items lose a vector that could not be compared with the others."""
    reports = retired(tmp_path, Encoders({"text": "better", "image": "fake"}, ENCODERS.dimensions))
    ids = {
        kind: {row["item_id"] for row in rows(tmp_path, reports, f"embeddings/{kind}")}
        for kind in ("text", "image")
    }
    assert ids == {"text": {"i2", "i3"}, "image": {"i0", "i1", "i2", "i3"}}


def test_vectors_of_earlier_texts_are_found_unless_damaged(tmp_path: Path) -> None:
    """A text has the vector that it had; files of other bytes, and buckets that there were not,
    have none.
    """
    items = [replace(item(n), text_enriched=f"text {n}") for n in range(4)]
    reports = write(tmp_path, items)
    home = next(
        report
        for report in reports
        if any(file.table == "embeddings/text" for file in report.files)
    )
    files = {file.table: file for file in home.files}
    earlier = EarlierRows(str(tmp_path), {home.bucket: files}, same_spaces=frozenset(["text"]))
    known = earlier_vectors(earlier, home.bucket, TEXT, SHOP)
    mine = [each for each in items if bucket_of(each.item_id, BUCKETS) == home.bucket]
    assert {document.text: found.vector.tolist() for document, found in known.items()} == {
        each.text_enriched: each.vectors["text"].tolist() for each in mine if each.vectors
    }
    assert earlier_vectors(earlier, 99, TEXT, SHOP) == {}
    assert (
        earlier_vectors(replace(earlier, same_spaces=frozenset(["image"])), home.bucket, TEXT, SHOP)
        == {}
    )
    place = tmp_path / files["items"].path
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    assert earlier_vectors(earlier, home.bucket, TEXT, SHOP) == {}


@pytest.mark.parametrize(
    ("item_id", "named"),
    [("i2", "is there as a deleted item as well"), ("", "belongs to another bucket")],
)
def test_a_deleted_item_in_the_wrong_place_refuses_the_snapshot(
    tmp_path: Path, item_id: str, named: str
) -> None:
    """Twice the same id, or an id in another bucket's file, is found though the item is not live."""
    reports = retired(tmp_path)
    home = bucket_of("i2", BUCKETS)
    stray = next(f"i{n}" for n in range(99) if bucket_of(f"i{n}", BUCKETS) != home)
    report = reports[home]
    file = next(file for file in report.files if file.table == "items")
    table = read_parquet(str(tmp_path / "now"), file)
    dead = table.slice(table["item_id"].to_pylist().index("i2"), 1)
    place = table.column_names.index("deleted_ts")
    dead = dead.set_column(
        place, table.field("deleted_ts"), pa.array([LATER.started], table.field("deleted_ts").type)
    )
    dead = dead.set_column(0, table.field("item_id"), pa.array([item_id or stray]))
    planted = write_parquet(str(tmp_path / "now"), "items", home, pa.concat_tables([table, dead]))
    files = tuple(planted if each.table == "items" else each for each in report.files)
    reports[home] = replace(report, files=files)
    failed = [result for result in check(tmp_path / "now", reports) if result.refuses]
    assert any(named in str(example) for result in failed for example in result.examples)
