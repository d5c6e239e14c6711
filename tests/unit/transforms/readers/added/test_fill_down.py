"""Rows that have the cells of the rows above them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.elements import Reject
from transforms.readers import ParsedRecord, SplitReport, plan_splits, read_split, rebuild
from transforms.readers.added.fill_down import FillDown, filled_of, with_filled

Row = dict[str, str]
COLUMNS = ("handle", "title", "option", "price")
BY_HANDLE = FillDown(("handle",), frozenset(["", "n/a"]))
# Texts that formats have to quote or spell; none is a number, which readers give as such.
WORDS = st.text('ab;&%," é|x', min_size=1, max_size=6).filter(lambda text: text == text.strip())


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *(r.values() for r in rows)])


def write_jsonl(path: Path, rows: list[Row]) -> None:
    # What is empty is left out, as many exporters do.
    lines = ({key: cell for key, cell in row.items() if cell} for row in rows)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def write_parquet(path: Path, rows: list[Row]) -> None:
    table = pa.table({name: [row[name] or None for row in rows] for name in COLUMNS})
    pq.write_table(table, path, row_group_size=2)


def write_workbook(path: Path, rows: list[Row]) -> None:
    book = openpyxl.Workbook()
    for row in [list(COLUMNS), *([*r.values()] for r in rows)]:
        book.active.append([cell or None for cell in row])
    book.save(path)


WRITERS: dict[str, Callable[[Path, list[Row]], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "xlsx": write_workbook,
}


def read(
    path: Path, fill_down: FillDown | None = BY_HANDLE, split_bytes: int = 40
) -> tuple[list[dict[str, Any]], list[Reject], list[ParsedRecord]]:
    splits = plan_splits([str(path)], split_bytes=split_bytes, fill_down=fill_down)
    elements = [each for split in splits for each in read_split(split)]
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    cells = [{key: cell for key, cell in each.cells.items() if cell} for each in records]
    return cells, [each for each in elements if isinstance(each, Reject)], records


def as_exported(blocks: list[list[Row]]) -> list[Row]:
    """Rows in which only the first of each block names its key."""
    return [
        row if not number else {**row, "handle": ""}
        for block in blocks
        for number, row in enumerate(block)
    ]


@given(
    st.sampled_from(sorted(WRITERS)),
    st.lists(
        st.tuples(WORDS, st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4)),
        min_size=1,
        max_size=5,
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_format_gives_the_rows_with_their_keys(tmp_path, ending, drawn):
    """LAW: whatever format a table is written in, and however small the parts that are asked for,
    rows without a key have that of the nearest row above, and so have they when they are read
    again from their own bytes.
    """
    blocks = [
        [dict(zip(COLUMNS, (key, *cells), strict=True)) for cells in rows] for key, rows in drawn
    ]
    path = tmp_path / f"export.{ending}"
    WRITERS[ending](path, as_exported(blocks))
    cells, rejects, records = read(path)
    assert rejects == []
    assert cells == [row for block in blocks for row in block]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=4))
def test_what_was_filled_is_spelled_in_the_format(filled):
    """Whatever the cells above hold comes back from the name of a record's format."""
    given = tuple(filled)
    spelled = with_filled("csv;delimiter=%3B", given)
    assert filled_of(spelled) == given
    assert filled_of("csv;delimiter=%3B") is None


def test_equal_rows_of_two_products(tmp_path):
    """Rows of the same bytes below two products are two records, for a later run too, and one row
    is another record once the product above it is another.
    """
    path = tmp_path / "export.csv"
    path.write_text("handle,title,option\nmug,Mug,\n,,Red\njug,Jug,\n,,Red\n")
    _, _, records = read(path)
    keys = [each.raw.key for each in records]
    assert records[1].raw.data == records[3].raw.data
    assert len(set(keys)) == 4
    path.write_text("handle,title,option\ncup,Mug,\n,,Red\njug,Jug,\n,,Red\n")
    _, _, later = read(path)
    assert [each.raw.key == key for each, key in zip(later, keys, strict=True)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_later_run_looks_into_known_rows(tmp_path):
    """A new row has the key of the row above it also where that one is known and not read again."""
    path = tmp_path / "export.csv"
    path.write_text("handle,title\nmug,Mug\n,Red\n,Blue\n")
    (split,) = plan_splits([str(path)], fill_down=BY_HANDLE)
    elements = [*read_split(split, choose=lambda batch: batch[2:])]
    assert [each.cells for each in elements if isinstance(each, ParsedRecord)] == [
        {"handle": "mug", "title": "Blue"}
    ]
    (report,) = (each for each in elements if isinstance(each, SplitReport))
    assert (report.records, report.known) == (1, 2)


@pytest.mark.parametrize("empty", ["", "  ", "N/A"])
def test_rows_before_any_key(tmp_path, empty):
    """A row above which no key stands is refused with what to do, in quarantine too, and its
    neighbours are not.
    """
    path = tmp_path / "export.csv"
    path.write_text(f'handle,title\n"{empty}",Lost\nmug,Mug\n"{empty}",Red\n')
    cells, (lost,), _ = read(path)
    assert [row["handle"] for row in cells] == ["mug", "mug"]
    assert (lost.reason, b"Lost" in lost.raw.data) == ("no-row-above", True)
    assert "handle" in lost.message
    with pytest.raises(ValueError, match="fill the key") as refused:
        rebuild(lost.raw)
    assert refused.value.reason == "no-row-above"


def test_rows_below_one_that_cannot_be_read(tmp_path):
    """Rows below one that cannot be read belong to nothing that is known, until the next key."""
    path = tmp_path / "export.jsonl"
    rows = ['{"handle":"a"}', '{"t":1}', '{"handle":"b"', '{"t":2}', '{"handle":"c"}', '{"t":3}']
    path.write_text("\n".join(rows))
    cells, rejects, _ = read(path)
    assert [row["handle"] for row in cells] == ["a", "a", "c", "c"]
    assert [each.reason for each in rejects] == ["malformed-json", "no-row-above"]
    assert "could not be read" in rejects[1].message


def test_files_begin_anew(tmp_path):
    """No row has a key from another file."""
    (tmp_path / "a.csv").write_text("handle,title\nmug,Mug\n")
    (tmp_path / "b.csv").write_text("handle,title\n,Red\n")
    _, rejects, _ = read(tmp_path / "*.csv")
    assert [each.reason for each in rejects] == ["no-row-above"]


def test_columns_belong_to_those_before_them(tmp_path):
    """A new key ends what stood in the columns behind it: no product has another one's title."""
    path = tmp_path / "export.csv"
    rows = ["A,Cups,1", ",Mugs,2", ",,3", "B,,4", ",Jugs,5", "B,,6", "A,,7"]
    path.write_text("\n".join(["Shelf,Kind,n", *rows]))
    cells, rejects, _ = read(path, FillDown(("shelf", "KIND"), frozenset([""])))
    assert rejects == []
    assert [(row["Shelf"], row.get("Kind")) for row in cells] == [
        ("A", "Cups"),
        ("A", "Mugs"),
        ("A", "Mugs"),
        ("B", None),
        ("B", "Jugs"),
        ("B", "Jugs"),
        ("A", None),
    ]


def test_keys_that_are_numbers(tmp_path):
    """Keys that are no texts are filled down as what they are called."""
    path = tmp_path / "export.jsonl"
    path.write_text('{"handle": 7}\n{"t": 1}\n{"handle": 12.0}\n{"t": 2}\n{"handle": null}\n')
    cells, _, records = read(path)
    assert [row["handle"] for row in cells] == [7, "7", 12.0, "12", "12"]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]


def test_short_rows_below_a_key(tmp_path):
    """Short rows that begin with nothing are rows, and not one that a line break has cut in two."""
    path = tmp_path / "export.csv"
    path.write_text("handle,a,b,c,d\nmug,1,2,3,4\n,5,6\n,7,8\ncup,1,2,3,4\n")
    cells, rejects, _ = read(path)
    assert (len(cells), rejects) == (4, [])
