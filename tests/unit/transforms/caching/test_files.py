"""transforms.caching.files: a journal gives back exactly the answers that are whole in it."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.caching.answers import LAYOUT, AnswerCodec
from transforms.caching.files import (
    CacheFile,
    Journal,
    Row,
    decode_rows,
    encode_row,
    list_files,
    read_file,
    write_rows,
)

TEXTS = st.text(max_size=12) | st.sampled_from(
    ['{"a": "é"}', "line\nline\r\n", "\x00\u2028\x85", "😀", ""]
)
NUMBERS = st.integers(0, 2**40)
ROWS = st.fixed_dictionaries(
    {
        "fingerprint": TEXTS,
        "content": TEXTS,
        "finish_reason": TEXTS,
        "prompt_tokens": NUMBERS,
        "image_tokens": NUMBERS,
        "completion_tokens": NUMBERS,
        "counted": st.sampled_from(["reported", "estimated"]),
        "probabilities": st.lists(
            st.tuples(TEXTS, st.floats(0, 1)), max_size=3, unique_by=lambda pair: pair[0]
        ),
        "model": TEXTS,
        "prompt_hash": TEXTS,
        "run_id": TEXTS,
        "answered_ts": st.datetimes(
            dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1), timezones=st.just(dt.UTC)
        ),
    }
)


@given(st.lists(ROWS, max_size=4), st.data())
def test_any_prefix_holds_its_whole_answers(rows: Sequence[Row], data: st.DataObject) -> None:
    """Wherever a kill cuts a journal off, it gives the answers before the cut, and the cut counts
    as no damage.
    """
    lines = [encode_row(row, LAYOUT) for row in rows]
    journal = b"".join(lines)
    cut = data.draw(st.integers(0, len(journal)))
    whole = [row for number, row in enumerate(rows) if len(b"".join(lines[: number + 1])) <= cut]
    assert decode_rows(journal[:cut], LAYOUT) == (whole, 0)


def test_every_prefix_holds_its_whole_answers() -> None:
    """The same for each single byte of a small journal."""
    rows = [row(f"f{number}") for number in range(3)]
    lines = [encode_row(each, LAYOUT) for each in rows]
    journal = b"".join(lines)
    ends = [len(b"".join(lines[: number + 1])) for number in range(3)]
    for cut in range(len(journal) + 1):
        assert decode_rows(journal[:cut], LAYOUT) == (rows[: sum(end <= cut for end in ends)], 0)


@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_damage_is_told_and_costs_what_it_touched(rows: Sequence[Row], data: st.DataObject) -> None:
    """A byte that changed in a journal costs no more than the lines at it, is told, and makes no
    answer up.
    """
    journal = bytearray(b"".join(encode_row(row, LAYOUT) for row in rows))
    place = data.draw(st.integers(0, len(journal) - 2))
    journal[place] ^= data.draw(st.integers(1, 255))
    found, damaged = decode_rows(bytes(journal), LAYOUT)
    assert damaged >= 1
    assert len(found) >= len(rows) - 2
    assert all(row in rows for row in found)


@given(st.lists(ROWS, min_size=1, max_size=4, unique_by=lambda row: row["fingerprint"]))
def test_a_journal_and_a_parquet_file_hold_the_same(rows: Sequence[Row]) -> None:
    """What came as lines reads the same after it was put into one file."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder, LAYOUT, "0000", "ffff")
        for each in rows:
            journal.append(each)
        journal.close()
        lines = read_file(CacheFile(journal.path, "0000", "ffff"), LAYOUT)
        assert (list(lines.rows), lines.problem) == (list(rows), "")
        path = write_rows(folder, LAYOUT, "0000", "ffff", lines.rows)
        table = read_file(CacheFile(path, "0000", "ffff"), LAYOUT)
        assert list(table.rows) == sorted(rows, key=lambda each: each["fingerprint"].encode())


def row(fingerprint: str) -> Row:
    numbers = dict.fromkeys(("prompt_tokens", "image_tokens", "completion_tokens"), 1)
    texts = dict.fromkeys(
        ("content", "counted", "finish_reason", "model", "prompt_hash", "run_id"), "é"
    )
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return {
        "fingerprint": fingerprint,
        **numbers,
        **texts,
        "probabilities": [("a", 0.5)],
        "answered_ts": at,
    }


def test_only_files_of_answers_are_listed(tmp_path: Path) -> None:
    """Of a folder with anything in its name and in it, the files of the wanted part are listed, by
    name.
    """
    folder = tmp_path / "out[1]*"
    assert list_files(str(folder)) == []
    for name in (
        "0000-7fff-ab.parquet",
        "8000-ffff-cd.journal",
        "0000-7fff-ab.parquet.part",
        "notes.txt",
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    assert [Path(file.path).name for file in list_files(str(folder))] == [
        "0000-7fff-ab.parquet",
        "8000-ffff-cd.journal",
    ]
    assert [file.is_journal for file in list_files(str(folder), "9000", "9fff")] == [True]


@pytest.mark.parametrize("name", ["0000-ffff-ab.parquet", "0000-ffff-ab.journal"])
def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path: Path, name: str) -> None:
    """Reading never raises."""
    contents = read_file(CacheFile(str(tmp_path / name), "0000", "ffff"), LAYOUT)
    assert (contents.rows, bool(contents.problem)) == ((), True)


@given(ROWS)
def test_answers_of_earlier_versions_are_no_damage(row: Row) -> None:
    """A paid answer whose row lacks a column of today is read, and its tokens count as reported."""
    earlier = {name: value for name, value in row.items() if name != "counted"}
    rows, damaged = decode_rows(encode_row(earlier, LAYOUT), LAYOUT)
    assert (rows, damaged) == ([{**row, "counted": None}], 0)
    assert AnswerCodec("r", "m").value_of(rows[0]).answer.counted == "reported"
