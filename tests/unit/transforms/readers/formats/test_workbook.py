"""Workbooks: which sheet and rows are records, and what a person sees in a cell."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.styles.numbers import BUILTIN_FORMATS

from schemas.elements import Reject
from schemas.sections.inputs import InputDescription
from transforms.readers import (
    InputRefusedError,
    ParsedRecord,
    SplitReport,
    plan_splits,
    read_split,
    rebuild,
)

ROWS = [["sku", "title", "price"], ["1", "Mug", 12.5], ["2", "Pot", 20]]
CELLS = [
    {"sku": "1", "title": "Mug", "price": 12.5},
    {"sku": "2", "title": "Pot", "price": 20},
]


def book(**sheets: list[list[Any]]) -> Workbook:
    made = Workbook()
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    return made


def write(path: Path, made: Workbook) -> Path:
    made.save(path)
    return path


def read(path: Path, **said: Any) -> tuple[list[dict[str, Any]], SplitReport]:
    """Cells of the records, of which each comes back from its own bytes; the report."""
    (split,) = plan_splits([str(path)], description=InputDescription(**said))
    elements = list(read_split(split))
    assert not any(isinstance(each, Reject) for each in elements)
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]
    report = elements[-1]
    assert isinstance(report, SplitReport)
    return [each.cells for each in records], report


@pytest.mark.parametrize(
    "name", ["a.xlsx", "a.xlsm", "renamed.csv", "renamed.xls", "a.xlsx.gz", "zip"]
)
def test_a_sheet(tmp_path, name):
    """A workbook is read under any name, and in a container, and says which sheet it was."""
    out = io.BytesIO()
    book(Products=ROWS).save(out)
    data = out.getvalue()
    if name == "a.xlsx.gz":
        data = gzip.compress(data)
    elif name == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("export/a.xlsx", data)
        data = packed.getvalue()
    (tmp_path / name).write_bytes(data)
    cells, report = read(tmp_path / name)
    assert cells == CELLS
    assert report.read_as.startswith("Excel workbook, sheet 'Products'")
    assert (report.lines, report.size_bytes > 0, len(report.sha256)) == (
        {"header": 1, "record": 2},
        True,
        64,
    )


def test_the_sheet_that_is_read(tmp_path):
    """The first visible sheet with a header and rows is read, and the others are told; or the one
    that is said.
    """
    made = book(Notes=[["Read me"]], Empty=[], Secret=ROWS, Products=ROWS, More=ROWS[:2])
    made["Secret"].sheet_state = "hidden"
    path = write(tmp_path / "a.xlsx", made)
    cells, report = read(path)
    assert (len(cells), report.read_as) == (
        2,
        "Excel workbook, sheet 'Products', not 'More', which input: {sheet: ...} chooses",
    )
    assert len(read(path, sheet="more")[0]) == 1
    assert len(read(path, sheet="Secret")[0]) == 2
    with pytest.raises(InputRefusedError, match="no sheet 'Prices'; the workbook has 'Notes', 'E"):
        read(path, sheet="Prices")


def test_nothing_to_read(tmp_path):
    """A workbook without records is refused with the sheets that were looked at."""
    path = write(tmp_path / "a.xlsx", book(One=[["a", "b"]], Two=[]))
    with pytest.raises(InputRefusedError, match=r"no sheet has a header.*looked at 'One', 'Two'"):
        read(path)


def test_titles_and_empty_rows(tmp_path):
    """Titles above the header are left out and told; empty rows are none; columns without a name
    keep their cells.
    """
    rows = [
        ["Price list 2024"],
        [],
        ["sku", " title ", None],
        ["1", "Mug", "x"],
        [],
        ["2", None, None],
    ]
    cells, report = read(write(tmp_path / "a.xlsx", book(Sheet=rows)))
    assert cells == [{"sku": "1", "title": "Mug", "column_3": "x"}, {"sku": "2", "title": None}]
    assert report.read_as == "Excel workbook, sheet 'Sheet', header in line 3"
    assert report.lines == {"leading": 1, "header": 1, "blank": 2, "record": 2}
    assert report.left_out == {"leading": "Price list 2024"}


def test_what_is_said_of_a_sheet(tmp_path):
    """The header's row and the names of the columns can be said, as of other files."""
    path = write(tmp_path / "a.xlsx", book(S=[["id", "name"], ["sku", "title"], ["1", "Mug"]]))
    assert read(path, header=2)[0] == [{"sku": "1", "title": "Mug"}]
    path = write(tmp_path / "b.xlsx", book(S=[["1", "Mug"], ["2", "Pot"]]))
    assert read(path, columns=("sku", "title"))[0] == [
        {"sku": "1", "title": "Mug"},
        {"sku": "2", "title": "Pot"},
    ]


@pytest.mark.parametrize(
    ("value", "number_format", "seen"),
    [
        (12345.0, "General", 12345),
        (4006381333931.0, "General", 4006381333931),
        (42, "00000", "00042"),
        (42.0, '"A-"00000', "A-00042"),
        (42.0, '"AB"0', "AB42"),
        (42, '"SKU-"0', "SKU-42"),
        (42, '0 "AB"', 42),
        (42, '"Nr. "0', 42),
        (12.5, '0.0"%"', "12.5 %"),
        (1299.5, '#,##0.00 "€"', "1299.5 €"),
        (1299.5, "[$€-407] #,##0.00", "1299.5 €"),
        (1300.0, '"$"#,##0.00', "1300 $"),
        (12.9, '_("kr"* #,##0.00_);[Red]("kr"* #,##0.00)', "12.9 kr"),
        (1.125, "0.000 [$KWD]", "1.1250 KWD"),
        (1.2, '0.0 "kg"', "1.2 kg"),
        (12000, '0.0,"k€"', 12000),
        (12, '0 "in stock"', 12),
        (5, BUILTIN_FORMATS[5], 5),
        (0.125, "0.0%", "12.5 %"),
        (49.9, "#,##0.00", 49.9),
        (1.2345e17, "General", 1.2345e17),
        (True, "General", True),
        (dt.datetime(2024, 5, 1), "dd.mm.yyyy", "2024-05-01"),
        (dt.datetime(2024, 5, 1, 10, 30), "dd.mm.yyyy hh:mm", "2024-05-01T10:30:00"),
        (dt.time(10, 30), "hh:mm", "10:30:00"),
        (" 007 ", "@", " 007 "),
        ("#N/A", "General", "#N/A"),
        ("Größe\n2", "General", "Größe\n2"),
    ],
)
def test_what_a_person_sees(tmp_path, value, number_format, seen):
    """Numbers, dates, booleans, texts and errors are what the sheet shows, with a currency or unit
    that the sheet itself names.
    """
    made = book(S=[["sku", "x"], ["1", value]])
    made["S"]["B2"].number_format = number_format
    ((record,), _) = read(write(tmp_path / "a.xlsx", made))
    assert record["x"] == seen
    assert type(record["x"]) is type(seen)


def test_merged_cells(tmp_path):
    """A cell that is drawn over the rows below it holds for them, one over columns or over the
    header does not.
    """
    rows = [
        ["Stock", None, None],
        ["category", "sku", "title"],
        ["Mugs", "1", "a"],
        [None, "2", "b"],
        [None, None, None],
        [None, "3", "c"],
        [None, "4", "d"],
        ["sold out", None, "e"],
    ]
    made = book(S=rows)
    made["S"].merge_cells("A1:C1")
    made["S"].merge_cells("A3:A6")
    made["S"].merge_cells("A8:B8")
    cells, _ = read(write(tmp_path / "a.xlsx", made))
    assert [record["category"] for record in cells] == ["Mugs", "Mugs", "Mugs", None, "sold out"]
    assert [record["sku"] for record in cells] == ["1", "2", "3", "4", None]


def test_a_wrong_size_is_not_believed(tmp_path):
    """Some programs write that a sheet has one cell; its rows are read all the same."""
    path = write(tmp_path / "a.xlsx", book(S=ROWS))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b'ref="A1:C3"' in parts[sheet]
    parts[sheet] = parts[sheet].replace(b'ref="A1:C3"', b'ref="A1"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    assert read(path)[0] == CELLS


@pytest.mark.parametrize("harm", ["no sheets", "cut", "zeros"])
def test_damaged_workbooks(tmp_path, harm):
    """A damaged workbook is refused, or ends in one reject, with what helps."""
    path = tmp_path / "a.xlsx"
    if harm == "no sheets":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("xl/workbook.xml", "<workbook/>")
        with pytest.raises(InputRefusedError, match=r"cannot be read .*save it again as \.xlsx"):
            plan_splits([str(path)])
        return
    data = write(path, book(S=[["id", "t"], *([str(n), "x"] for n in range(3000))])).read_bytes()
    if harm == "cut":
        path.write_bytes(data[:-100])
        with pytest.raises(InputRefusedError, match="zip archive is damaged"):
            plan_splits([str(path)])
        return
    place = data.index(b"xl/worksheets/sheet1.xml") + 9_000
    path.write_bytes(data[:place] + bytes(200) + data[place + 200 :])
    (split,) = plan_splits([str(path)])
    *records, reject, report = read_split(split)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.raw.position) == ("file-unreadable", len(records) + 1)
    assert "breaks off after row" in reject.message
    assert report.sha256 == ""


CELL = st.one_of(
    st.none(),
    st.integers(-(10**14), 10**14),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), min_size=1, max_size=30).filter(
        lambda text: not text.startswith(("=", "#")) and "_x" not in text
    ),
    st.booleans(),
)


@given(st.lists(st.lists(CELL, min_size=3, max_size=3).filter(any), min_size=1, max_size=20))
def test_whatever_openpyxl_writes(tmp_path_factory, rows):
    """Cells come back as another program wrote them."""
    path = tmp_path_factory.mktemp("xlsx") / "a.xlsx"
    cells, _ = read(write(path, book(S=[["a", "b", "c"], *rows])))
    assert [list(record.values()) for record in cells] == rows


def test_rows_that_are_no_records(tmp_path):
    """Pairs above the header, the header again, one in another order, headings over columns and
    totals are no records, as in delimited files; each is told.
    """
    rows = [
        ["Exported", "2024-05-01", None],
        ["sku", "title", "price"],
        ["1", "Mug", 5],
        ["Cups", None, None],
        ["sku", "title", "price"],
        ["2", "Cup", 6],
        ["title", "sku", "price"],
        ["Total Wine Opener", "3", None],
        ["Total", None, 11],
    ]
    made = book(S=rows)
    made["S"].merge_cells("A4:C4")
    cells, report = read(write(tmp_path / "a.xlsx", made))
    assert cells == [
        {"sku": "1", "title": "Mug", "price": 5},
        {"sku": "2", "title": "Cup", "price": 6},
        {"title": "Total Wine Opener", "sku": "3", "price": None},
    ]
    assert report.left_out == {
        "leading": "Exported 2024-05-01",
        "heading": "Cups",
        "repeated-header": "sku title price",
        "other-header": "title sku price",
        "footer": "Total 11",
    }
    assert sum(report.lines.values()) == len(rows)


def test_ids_that_are_named_as_totals(tmp_path):
    """Where ids look as totals do, all rows are records."""
    rows = [["sku", "title", "price"], *([f"Total {n}", None, n] for n in range(6))]
    cells, report = read(write(tmp_path / "a.xlsx", book(S=rows)))
    assert [each["sku"] for each in cells] == [f"Total {n}" for n in range(6)]
    assert report.lines == {"header": 1, "record": 6}


def test_sheets_that_are_parts_of_one_catalog(tmp_path):
    """Sheets with the same columns and other rows are read all, and a record says of which it is;
    one with rows that another has is an older copy, read where that is said.
    """
    parts = book(Mugs=ROWS, Legend=[["x", "y"], ["a", "b"]], Cups=[ROWS[0][::-1], [7, "Cup", "9"]])
    path = write(tmp_path / "a.xlsx", parts)
    splits = plan_splits([str(path)])
    elements = [each for split in splits for each in read_split(split)]
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    assert [each.cells for each in records] == [
        {**CELLS[0], "sheet": "Mugs"},
        {**CELLS[1], "sheet": "Mugs"},
        {"price": 7, "title": "Cup", "sku": "9", "sheet": "Cups"},
    ]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]
    reports = [each for each in elements if isinstance(each, SplitReport)]
    assert [each.size_bytes for each in reports] == [path.stat().st_size, 0]
    assert "not 'Legend'" in reports[0].read_as
    path = write(tmp_path / "b.xlsx", book(Now=ROWS, Old=ROWS))
    assert len(plan_splits([str(path)])) == 1
    assert len(plan_splits([str(path)], description=InputDescription(sheet="*"))) == 2


def test_the_largest_sheet(tmp_path):
    """A legend before the products is not taken for them."""
    rows = [ROWS[0], *([str(n), f"Mug {n}", n] for n in range(20))]
    cells, report = read(write(tmp_path / "a.xlsx", book(Legend=[["x", "y"], ["a", "b"]], P=rows)))
    assert len(cells) == 20
    assert report.read_as.startswith("Excel workbook, sheet 'P', not 'Legend'")


def test_a_sheet_without_a_header(tmp_path):
    """A first row that looks as the rows below it do is refused until somebody decides."""
    path = write(tmp_path / "a.xlsx", book(S=[["A1", "Mug", 5.5], ["A2", "Cup", 6.5]]))
    with pytest.raises(
        InputRefusedError, match=r"sheet 'S': the first row may be a record.*'5\.5'"
    ):
        read(path)
    assert len(read(path, columns=("sku", "title", "price"))[0]) == 2


def test_one_column(tmp_path):
    """A sheet of one column is a table, too."""
    cells, _ = read(write(tmp_path / "a.xlsx", book(S=[["title"], ["Mug"], ["Cup"]])))
    assert cells == [{"title": "Mug"}, {"title": "Cup"}]


def test_what_a_sheet_does_not_show(tmp_path):
    """Formulas that no program has computed, and rows that are hidden, are told."""
    made = book(S=[["sku", "title", "price"], ["1", "Mug", "=2+3"], ["2", "Cup", 6]])
    made["S"].row_dimensions[3].hidden = True
    cells, report = read(write(tmp_path / "a.xlsx", made))
    assert [each["price"] for each in cells] == [None, 6]
    assert "1 hidden row read too" in report.read_as
    assert "never computed have no value, in price (1)" in report.read_as
