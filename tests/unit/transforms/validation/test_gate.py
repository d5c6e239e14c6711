"""The gate: derived from the template, run by Great Expectations, exact over many files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from schemas.elements import (
    AttributeValue,
    Bucket,
    ImageFeatures,
    ImageResult,
    Item,
    TextChunk,
)
from schemas.expectations import derive_checks
from schemas.loading import parse_template
from tests.support import TEMPLATE
from tests.written_tables import BUCKETS, CLOSED, ENCODERS, RUN, SHOP, check, item, write
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import write_parquet
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import TableContext
from transforms.tables.write import write_bucket
from transforms.validation.frames import Found
from transforms.validation.gate import CheckResult, batches, check_run, check_tables


def gate(
    tmp_path: Path, items: list[Item], account: dict[str, float] | None = None
) -> list[CheckResult]:
    return check(tmp_path, write(tmp_path, items), account)


def with_value(items: list[Item], name: str, value: AttributeValue) -> list[Item]:
    return [*items[:-1], replace(items[-1], values={**items[-1].values, name: value})]


def test_a_sound_snapshot_passes_every_check(tmp_path: Path) -> None:
    """No derived check fails on a snapshot that the job itself would write."""
    results = gate(tmp_path, [item(n) for n in range(4)])
    assert [result for result in results if not result.passed] == []
    assert len(results) == len(derive_checks(SHOP))


FAULTS: dict[str, tuple[str, Callable[[list[Item]], list[Item]]]] = {
    "value outside the closed list": (
        "color stays in its closed list",
        lambda items: with_value(items, "color", AttributeValue("Mauve", "text", "rule", 0.9)),
    ),
    "list entry outside the closed list": (
        "tags stays in its closed list",
        lambda items: with_value(
            items, "tags", AttributeValue(["new", "old"], "record", "given", 1.0)
        ),
    ),
    "number out of range": (
        "weight stays in its range",
        lambda items: with_value(items, "weight", AttributeValue(-1.0, "record", "given", 1.0)),
    ),
    "value without a source": (
        "every value of color has a source",
        lambda items: with_value(items, "color", AttributeValue("Red", None, None, 0.9)),
    ),
    "filled below the threshold": (
        "filled values of color reach the confidence that the template asks for",
        lambda items: with_value(items, "color", AttributeValue("Red", "text", "rule", 0.79)),
    ),
    "filled without a confidence": (
        "filled values of color reach the confidence that the template asks for",
        lambda items: with_value(items, "color", AttributeValue("Red", "text", "rule", None)),
    ),
    "vector with NaN": (
        "text vectors are finite and of length one",
        lambda items: [
            *items[:-1],
            replace(
                items[-1], vectors=items[-1].vectors | {"text": np.array([np.nan, 1], np.float32)}
            ),
        ],
    ),
    "vector not normalised": (
        "image vectors are finite and of length one",
        lambda items: [
            *items[:-1],
            replace(items[-1], vectors=items[-1].vectors | {"image": np.array([3, 4], np.float32)}),
        ],
    ),
    "id twice": (
        "ids are unique",
        lambda items: [*items[:-1], replace(items[-1], record=items[-3].record)],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_planted_fault_is_named(tmp_path: Path, fault: str) -> None:
    """A snapshot with one fault fails the check that names it, with the number and an example."""
    meaning, plant = FAULTS[fault]
    failed = [
        result for result in gate(tmp_path, plant([item(n) for n in range(4)])) if not result.passed
    ]
    assert meaning in [result.check.meaning for result in failed]
    assert all(result.refuses for result in failed)
    named = next(result for result in failed if result.check.meaning == meaning)
    assert named.unexpected >= 1


@pytest.mark.parametrize(
    ("column", "value", "meaning"),
    [
        ("unaccounted_records", 1, "records in = items + quarantine"),
        (
            "unaccounted_image_rows",
            1,
            "image-table rows in = attached + repeated + of quarantined items + quarantined",
        ),
        ("unreadable_files", 1, "every input file was read whole"),
        ("items", 0, "the snapshot holds items"),
        ("quarantine_rate", 0.51, "at most 50% of the records are in quarantine"),
        (
            "describe_failure_rate",
            0.21,
            "the language model failed on at most 20% of the items it was asked",
        ),
    ],
)
def test_the_account_is_gated(tmp_path: Path, column: str, value: float, meaning: str) -> None:
    """A run whose account does not close is refused whatever its rows look like."""
    failed = [
        result.check.meaning
        for result in gate(tmp_path, [item(n) for n in range(4)], {column: value})
        if result.refuses
    ]
    assert failed == [meaning]


def test_coverage_is_summed_over_files(tmp_path: Path) -> None:
    """`mostly` is compared with the whole table, not file by file."""
    text = TEMPLATE.replace(
        "description: Its colour.",
        "expect: {min_coverage: 0.5, severity: critical}, description: x.",
    )
    template = parse_template(text, "test")
    unknown = AttributeValue(None, reason="not-stated")
    uncolored = [replace(item(n), values={**item(n).values, "color": unknown}) for n in (1, 2)]
    for items, refused in (([item(0), uncolored[0]], False), ([item(0), *uncolored], True)):
        folder = tmp_path / str(refused)
        results = check(folder, write(folder, items, template), template=template)
        assert any(result.refuses for result in results) == refused


MEANING = "every data file lies there as it was written, and no other"


def some_file(folder: Path, reports: Sequence[BucketReport], table: str) -> tuple[Path, str]:
    (path, *_) = [
        file.path
        for report in reports
        for file in report.files
        if file.table == table and file.rows
    ]
    return folder / path, path


def drop_last_row(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)


def rewrite(path: Path) -> None:
    pq.write_table(pq.read_table(path), path, compression="none")


@pytest.mark.parametrize("table", ["items", "quarantine", "embeddings/text", "embeddings/image"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "cannot be read (FileNotFoundError)"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be read (ArrowInvalid)"),
        (drop_last_row, "rows, "),
        (rewrite, "other bytes than were written"),
    ],
)
def test_a_file_that_is_not_as_written_is_named(
    tmp_path: Path, table: str, spoil: Callable[[Path], None], said: str
) -> None:
    """A data file of any table that is missing, cut, shortened or rewritten refuses the snapshot
    and is named.
    """
    reports = write(tmp_path, [item(n) for n in range(6)])
    path, name = some_file(tmp_path, reports, table)
    spoil(path)
    (named,) = [result for result in check(tmp_path, reports) if result.check.meaning == MEANING]
    assert named.refuses
    assert len(named.examples) == 1
    assert named.examples[0].startswith(f"{name}: ")
    assert said in named.examples[0]


def test_a_file_that_nobody_reported_is_named(tmp_path: Path) -> None:
    """Readers glob the folders of a snapshot, so a file beside the reported ones refuses it."""
    reports = write(tmp_path, [item(n) for n in range(6)])
    path, _ = some_file(tmp_path, reports, "items")
    (path.parent / "bucket-99999.parquet").write_bytes(path.read_bytes())
    (named,) = [result for result in check(tmp_path, reports) if not result.passed]
    assert (named.check.meaning, named.examples) == (
        MEANING,
        ["items/bucket-99999.parquet: in no report of this run"],
    )


def test_a_reported_table_that_nobody_specified_refuses_the_snapshot(tmp_path: Path) -> None:
    """Sound vectors under an unknown name are a fault of the run, not a further kind of vectors."""
    reports = write(tmp_path, [item(n) for n in range(6)])
    table = pq.read_table(some_file(tmp_path, reports, "embeddings/text")[0])
    file = write_parquet(str(tmp_path), "embeddings/sound", 0, table)
    reports[0] = replace(reports[0], files=(*reports[0].files, file))
    (named,) = [result for result in check(tmp_path, reports) if not result.passed]
    assert (named.check.kind, named.refuses) == ("file-types", True)
    assert "there is no table embeddings/sound" in named.examples[0]


def test_counts_come_from_the_files(tmp_path: Path) -> None:
    """Items and quarantined records are counted from the files, whatever the stages remember."""
    reports = write(tmp_path, [item(n) for n in range(6)])
    drop_last_row(some_file(tmp_path, reports, "items")[0])
    some_file(tmp_path, reports, "quarantine")[0].unlink()
    _, found = check_tables(str(tmp_path), SHOP, reports, BUCKETS)
    assert found.items == 5
    assert found.quarantined == {"catalog": {"missing-id": BUCKETS - 1}}


def test_an_id_in_the_file_of_another_bucket_is_named(tmp_path: Path) -> None:
    """The same id in two files cannot pass: only one of them is the file of its bucket."""
    one = item(1)
    reports = [
        write_bucket(TableContext(str(tmp_path), SHOP, ENCODERS, RUN), Bucket(n, (one,)))
        for n in range(BUCKETS)
    ]
    failed = {result.check.meaning: result for result in check(tmp_path, reports) if result.refuses}
    assert failed["every id lies in the file of its bucket, so no id is in two files"].examples == [
        "i1"
    ]


def test_every_bucket_is_reported_exactly_once(tmp_path: Path) -> None:
    """A bucket without a report, reported twice, or that does not exist refuses the snapshot and is
    named.
    """
    reports = write(tmp_path, [item(n) for n in range(4)])
    stray = BucketReport(7)
    for wrong, said in (
        (reports[1:], "bucket 0: 0 reports, 1 expected"),
        ([*reports, reports[0]], "bucket 0: 2 reports, 1 expected"),
        ([*reports, stray], "bucket 7: 1 reports, 0 expected"),
    ):
        failed = {
            result.check.meaning: result for result in check(tmp_path, wrong) if result.refuses
        }
        assert failed["every bucket was written exactly once"].examples == [said]


def test_a_vector_without_its_item_is_named(tmp_path: Path) -> None:
    """The ids of a vector table are ids of items of the same bucket."""
    reports = write(tmp_path, [item(n) for n in range(6)])
    path, _ = some_file(tmp_path, reports, "items")
    lost = pq.read_table(path)["item_id"].to_pylist()[-1]
    drop_last_row(path)
    failed = {result.check.meaning: result for result in check(tmp_path, reports) if result.refuses}
    for kind in ("text", "image"):
        assert failed[f"every {kind} vector belongs to an item of its bucket"].examples == [lost]


DIVIDED = parse_template(
    TEMPLATE + "\nvectors: [{name: text, of: text, long_texts: chunks}]\n", "test"
)


def divided(number: int, chunks: int = 3) -> Item:
    """An item with chunks of its text."""
    vector = np.array([0.6, 0.8], np.float32)
    parts = [TextChunk(9 * n, 9 * n + 8, 2, "", "One two.", vector) for n in range(chunks)]
    text = " ".join(part.text for part in parts)
    return replace(item(number), text_enriched=text, chunks={"text": tuple(parts)})


CHUNK_FAULTS: dict[str, tuple[str, str, Callable[[pa.Table], pa.Table]]] = {
    "one lost": (
        "items with a text, and items with a picture, have their vector",
        "text chunk 1 of ",
        lambda table: table.filter(pc.not_equal(table["chunk"], 1)),
    ),
    "all lost": (
        "items with a text, and items with a picture, have their vector",
        "text chunks of ",
        lambda table: table.slice(0, 0),
    ),
    "one twice": (
        "each text chunk once",
        " chunk 0",
        lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    ),
    "not of length one": (
        "text chunks are finite and of length one",
        "0.0",
        lambda table: table.set_column(
            table.num_columns - 1,
            table.schema.field(table.num_columns - 1),
            pa.array([[0.0, 0.0]] * len(table), table.schema.field(table.num_columns - 1).type),
        ),
    ),
}


@pytest.mark.parametrize("fault", CHUNK_FAULTS)
def test_a_fault_among_chunks_is_named(tmp_path: Path, fault: str) -> None:
    """Chunks are numbered without a gap, each is there once, and no item with a vector has none."""
    meaning, said, spoil = CHUNK_FAULTS[fault]
    reports = write(tmp_path, [divided(n) for n in range(4)], DIVIDED)
    results = check(tmp_path, reports, template=DIVIDED)
    assert all(result.passed for result in results)
    path, _ = some_file(tmp_path, reports, "embeddings/text-chunks")
    pq.write_table(spoil(pq.read_table(path)), path)
    failed = {
        result.check.meaning: result
        for result in check(tmp_path, reports, template=DIVIDED)
        if result.refuses
    }
    assert said in str(failed[meaning].examples[0])


def test_a_wrong_image_count_is_named(tmp_path: Path) -> None:
    """image_count that is not the number of usable entries of images refuses the snapshot; the
    right one passes.
    """
    seen = ImageResult("a.png", ImageFeatures("d", "0" * 16, 1, 1, "PNG", 1))
    pictured = replace(item(0), images=(seen, ImageResult("gone.png", reason="image-missing")))
    reports = write(tmp_path, [pictured, *(item(n) for n in range(1, 6))])
    assert all(result.passed for result in check(tmp_path, reports))
    path = tmp_path / f"items/bucket-{bucket_of('i0', BUCKETS):05d}.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("image_count")
    field = table.schema.field(place)
    more = pc.if_else(
        pc.equal(table["item_id"], "i0"), pa.scalar(2, pa.int32()), table["image_count"]
    )
    pq.write_table(table.set_column(place, field, more), path)
    failed = {result.check.meaning: result for result in check(tmp_path, reports) if result.refuses}
    assert failed["image_count is the number of usable pictures"].examples == ["i0"]


def test_frames_are_joined_up_to_a_bound() -> None:
    """Small frames of one name are checked together, never more rows than the bound, and none is
    lost.
    """
    frames = [("ab"[n % 2], pa.table({"n": [n] * (n % 4)})) for n in range(40)]
    joined = list(batches(frames, 10))
    assert len(joined) < 12
    assert max(frame.num_rows for _, frame in joined) <= 10
    for name in "ab":
        expected = [
            value for own, frame in frames if own == name for value in frame["n"].to_pylist()
        ]
        assert [
            value for own, frame in joined if own == name for value in frame["n"].to_pylist()
        ] == expected
    assert [frame.num_rows for _, frame in batches([("a", pa.table({"n": range(20)}))], 10)] == [20]


def test_the_run_is_checked_also_without_any_file() -> None:
    """A run that wrote nothing is judged by its account."""
    results = check_run(SHOP, {**CLOSED, "items": 0}, Found())
    assert [result.check.meaning for result in results if result.refuses] == [
        "the snapshot holds items"
    ]
