"""Decisions: what one may say, and that a table of them comes back as it was written."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evaluation.decisions import COLUMNS, Decision, read_decisions, write_decisions

RIGHT = Decision(
    fold=1,
    item_id="sku-1",
    attribute="color",
    accepted=("red", "crimson"),
    candidate=("red",),
    answered=True,
    confidence=0.1 + 0.2,
    rung="rules",
    source="text",
    method="rule:enum",
    evidence="title: “red shirt”",
    reason=None,
    matched=1,
    predicted=1,
    expected=1,
    baseline=("blue",),
    baseline_matched=0,
    baseline_predicted=1,
    title="Ein rotes Hemd 👕",
    images=("a/1.jpg", "a/2.jpg"),
)
NOTHING = replace(
    RIGHT,
    item_id="sku-2",
    accepted=(),
    candidate=(),
    answered=False,
    confidence=None,
    rung="",
    source=None,
    method=None,
    evidence="",
    reason="not-stated",
    matched=0,
    predicted=0,
    expected=0,
    baseline=(),
    baseline_predicted=0,
    images=(),
)


@pytest.mark.parametrize("decisions", [[], [RIGHT], [RIGHT, NOTHING] * 10_000])
def test_what_is_written_is_read(tmp_path: Path, decisions: list[Decision]) -> None:
    """Any number of decisions comes back equal and in order, with its metadata, and nothing else is
    left behind.
    """
    path = tmp_path / "decisions.parquet"
    write_decisions(path, iter(decisions), {"template": "apparel@3", "ö": ""})
    assert read_decisions(path) == (decisions, {"template": "apparel@3", "ö": ""})
    assert list(tmp_path.iterdir()) == [path]


def test_folders_in_the_path_are_no_columns(tmp_path: Path) -> None:
    """A folder that reads like a partition does not change what is in the file."""
    folder = tmp_path / "fold=7"
    folder.mkdir()
    write_decisions(folder / "d.parquet", [RIGHT], {})
    assert read_decisions(folder / "d.parquet") == ([RIGHT], {})


def test_every_field_is_a_described_column(tmp_path: Path) -> None:
    """Other programs can read the table: a zstd Parquet file whose columns are the fields, each
    described.
    """
    assert [each.name for each in COLUMNS] == [each.name for each in fields(Decision)]
    assert all(each.metadata[b"description"] for each in COLUMNS)
    write_decisions(tmp_path / "d.parquet", [RIGHT], {})
    assert (
        pq.ParquetFile(tmp_path / "d.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    )


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """When decisions break off half way, the file that was there is still whole."""
    path = tmp_path / "d.parquet"
    write_decisions(path, [RIGHT], {})

    def broken() -> Any:
        yield NOTHING
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_decisions(path, broken(), {})
    assert read_decisions(path) == ([RIGHT], {})


def test_what_is_no_table_of_decisions_is_refused(tmp_path: Path) -> None:
    """A missing, foreign, torn or newer file is a ValueError that names it and says what to do."""
    whole = tmp_path / "whole.parquet"
    write_decisions(whole, [RIGHT], {})
    files: dict[str, bytes | pa.Table | None] = {
        "missing": None,
        "text": b"item_id,attribute\n",
        "empty": b"",
        "torn": whole.read_bytes()[:-20],
        "foreign": pa.table({"item_id": ["sku-1"]}),
        "newer": pq.read_table(whole).replace_schema_metadata({"catalog-enrich.decisions": "2"}),
        "fewer": pq.read_table(whole).drop_columns("title"),
    }
    for name, content in files.items():
        path = tmp_path / f"{name}.parquet"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            pq.write_table(content, path)
        with pytest.raises(
            ValueError, match=rf"{name}\.parquet.*(evaluate again|catalog-enrich evaluate wrote)"
        ):
            read_decisions(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": 1.5}, "confidence is 1.5"),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"matched": 2}, "matched is 2, allowed is 0 to 1"),
        ({"matched": -1}, "matched is -1"),
        ({"accepted": ()}, "expected is 1, but its values are"),
        ({"predicted": 0, "matched": 0}, "predicted is 0, but its values are"),
        ({"baseline_matched": 2}, "baseline_matched is 2"),
        ({"candidate": (), "predicted": 0, "matched": 0}, "answered without a candidate"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    """A decision whose counts contradict its values is refused, and the message names the slot."""
    with pytest.raises(ValueError, match=message) as caught:
        replace(RIGHT, **changes)
    assert "'color' of item 'sku-1'" in str(caught.value)
