"""The gate: derived from the template, run by Great Expectations, exact over many files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.elements import AttributeValue, Bucket, Evidence, Item, RawRecord, Record
from schemas.expectations import derive_checks
from schemas.loading import parse_template
from tests.support import TEMPLATE
from transforms.gate import CheckResult, run_gate
from transforms.tabulate import RunInfo
from transforms.write import Encoders, write_bucket

SHOP = parse_template(TEMPLATE, "test")
RUN = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
ENCODERS = Encoders({"text": "fake", "image": "fake"}, {"text": 2, "image": 2})
CLOSED = {"records_in": 4, "items": 4, "unaccounted_records": 0, "unreadable_files": 0, "quarantine_rate": 0.0}


def item(number: int) -> Item:
    record = Record(f"i{number}", {"title": "Mug"}, {"title": "Mug"}, (), (), RawRecord(b"", "jsonl", "f", 1))
    values = {attribute.name: AttributeValue(None, reason="not-stated") for attribute in SHOP.attributes}
    values["title"] = AttributeValue("Mug", "record", "given", 1.0)
    values["color"] = AttributeValue("Red", "text", "rule:closed-list", 0.8, Evidence("title", 0, 3, "red"))
    values["tags"] = AttributeValue(["new"], "record", "given", 1.0)
    unit = np.array([0.6, 0.8], np.float32)
    return Item(record, values=values, text_vector=unit, image_vector=unit)


def gate(tmp_path: Path, items: list[Item], account: dict[str, float] | None = None) -> list[CheckResult]:
    files = []
    for number in range(2):
        bucket = Bucket(number, tuple(items[number::2]))
        files += write_bucket(str(tmp_path), SHOP, ENCODERS, bucket, RUN).files
    return run_gate(str(tmp_path), SHOP, files, {**CLOSED, **(account or {})})


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
        lambda items: with_value(items, "tags", AttributeValue(["new", "old"], "record", "given", 1.0)),
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
        lambda items: [*items[:-1], replace(items[-1], text_vector=np.array([np.nan, 1], np.float32))],
    ),
    "vector not normalised": (
        "image vectors are finite and of length one",
        lambda items: [*items[:-1], replace(items[-1], image_vector=np.array([3, 4], np.float32))],
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
    failed = [result for result in gate(tmp_path, plant([item(n) for n in range(4)])) if not result.passed]
    assert meaning in [result.check.meaning for result in failed]
    assert all(result.refuses for result in failed)
    named = next(result for result in failed if result.check.meaning == meaning)
    assert named.unexpected >= 1


@pytest.mark.parametrize(
    ("column", "value", "meaning"),
    [
        ("unaccounted_records", 1, "records in = items + quarantine"),
        ("unreadable_files", 1, "every input file was read whole"),
        ("items", 0, "the snapshot holds items"),
        ("quarantine_rate", 0.51, "at most 50% of the records are in quarantine"),
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
        "description: Its colour.", "expect: {min_coverage: 0.5, severity: critical}, description: x."
    )
    template = parse_template(text, "test")
    unknown = AttributeValue(None, reason="not-stated")
    items = [item(0), replace(item(1), values={**item(1).values, "color": unknown})]
    for known, refused in (
        (items, False),
        ([*items, replace(item(2), values={**item(2).values, "color": unknown})], True),
    ):
        files = []
        for number, each in enumerate(known):
            files += write_bucket(str(tmp_path / str(refused)), template, ENCODERS, Bucket(number, (each,)), RUN).files
        results = run_gate(str(tmp_path / str(refused)), template, files, CLOSED)
        assert any(result.refuses for result in results) == refused
