"""CSV and TSV: exact bytes of every row, broken quotes that do not spread, headers that are
refused.
"""

import csv
import gzip
import io
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Reject
from schemas.sections.inputs import InputDescription
from tests.support import least_cpu_secs
from transforms.readers import (
    InputRefusedError,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    plan_splits,
    read_split,
    rebuild,
)
from transforms.readers.clues.table_rows import is_total
from transforms.readers.contract import DEFAULT_LIMITS, SplitDigest
from transforms.readers.dialect import decimals_of
from transforms.readers.formats.lines import open_lines
from transforms.readers.formats.rows import MAX_RECORD_LINES

SMALL = ReadLimits(max_record_bytes=60, max_raw_bytes=80)


def read(path: Path, limits: ReadLimits = DEFAULT_LIMITS, **plan):
    return [
        element
        for split in plan_splits([str(path)], **plan)
        for element in read_split(split, limits)
    ]


def read_bytes(
    folder: Path, data: bytes, limits: ReadLimits = DEFAULT_LIMITS, name: str = "catalog.csv"
):
    path = folder / name
    path.write_bytes(data)
    return read(path, limits)


def rows(elements) -> list[list[str]]:
    return [
        list(element.cells.values()) for element in elements if isinstance(element, ParsedRecord)
    ]


def rejects(elements) -> list[Reject]:
    return [element for element in elements if isinstance(element, Reject)]


def refusals(elements) -> list[tuple[str, bytes, int]]:
    return [(reject.reason, reject.raw.data, reject.raw.position) for reject in rejects(elements)]


def problems_of(folder: Path, data: bytes, name: str = "catalog.csv") -> list[str]:
    path = folder / name
    path.write_bytes(data)
    with pytest.raises(InputRefusedError) as caught:
        plan_splits([str(path)])
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_rows_and_their_bytes(tmp_path):
    """Cells are read as written, also over several lines, and each row keeps its bytes, line and
    header.
    """
    header = b'\xef\xbb\xbf"id",name,note\r\n'
    lines = [b'1,"a ""b"", c",x\r\n', b'2,"two\r\n\nlines",\n', b"3,n\x00l,\xc3\xa9\n", b"4,,last"]
    elements = read_bytes(tmp_path, header + b"\n".join([lines[0], b"".join(lines[1:])]))
    expected = [
        ["1", 'a "b", c', "x"],
        ["2", "two\r\n\nlines", ""],
        ["3", "n\0l", "é"],
        ["4", "", "last"],
    ]
    assert rows(elements) == expected
    raws = [element.raw for element in elements[:-1]]
    assert [raw.data for raw in raws] == lines
    assert [raw.position for raw in raws] == [2, 4, 7, 8]
    assert {raw.header for raw in raws} == {b'"id",name,note\r\n'}
    assert [rebuild(raw) for raw in raws] == [
        dict(zip(["id", "name", "note"], row, strict=True)) for row in expected
    ]


def test_tabs(tmp_path):
    """A .tsv file has its cells separated by tabs, quoted like CSV."""
    elements = read_bytes(tmp_path, b'id\tname\n1\t"a\tb"\n2\tc,d\n', name="catalog.tsv")
    assert rows(elements) == [["1", "a\tb"], ["2", "c,d"]]
    assert rebuild(elements[0].raw) == {"id": "1", "name": "a\tb"}


@pytest.mark.parametrize(
    "data", [b"", b"\xef\xbb\xbf", b"id,name\n", b"id,name", b"id,name\r\n\r\n"]
)
def test_no_rows(tmp_path, data):
    """An empty file and a file with nothing but a header hold no records."""
    (report,) = read_bytes(tmp_path, data)
    assert (report.records, report.rejects, report.size_bytes) == (0, 0, len(data))


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (
            b"2,b,c,d\n",
            "csv-column-count",
            "expected 3 cells as in the header, found 4; quote cells that hold the",
        ),
        (b"2\r\n", "csv-column-count", "expected 3 cells as in the header, found 1"),
        (b'"2\nb"\n', "csv-column-count", "expected 3 cells as in the header, found 1"),
        (b"2,caf\xe9,c\n", "invalid-utf8", "byte 0xE9 at offset 5 is not UTF-8; export as UTF-8"),
        (b'2,"b\ncaf\xe9",c\n', "invalid-utf8", "byte 0xE9 at offset 8"),
        (b'2,"b" b,c\n', "malformed-csv", "a closing quote is followed by more text"),
        (b"2,b\rb,c\n", "malformed-csv", "a carriage return stands outside quotes"),
    ],
)
def test_bad_row(tmp_path, line, reason, message):
    """A bad row is one reject with its reason and its exact bytes, and its neighbours come through."""
    # With quotes and UTF-8 that are right, what the file is written in is beyond doubt.
    before, after = '1,"a ä","b ö"\n'.encode(), "3,ü,d\n".encode()
    elements = read_bytes(tmp_path, b"id,name,note\n" + before + line + after)
    assert rows(elements) == [["1", "a ä", "b ö"], ["3", "ü", "d"]]
    (reject,) = rejects(elements)
    assert (reject.reason, reject.raw.data, reject.raw.position) == (reason, line, 3)
    assert message in reject.message
    with pytest.raises(RecordRefusedError) as caught:
        rebuild(reject.raw)
    assert caught.value.reason == reason


def test_quote_open_to_the_end(tmp_path):
    """A quote that is never closed costs its own line only, also when rows with line breaks follow."""
    elements = read_bytes(tmp_path, b'id,name\n1,a\n2,"b\n3,c\n4,"d\nd"\n5,e\n')
    assert refusals(elements) == [("malformed-csv", b'2,"b\n', 3)]
    assert rows(elements) == [["1", "a"], ["3", "c"], ["4", "d\nd"], ["5", "e"]]
    elements = read_bytes(tmp_path, b'id,name\n1,"a"\n3,c\n2,"b\n')
    assert refusals(elements) == [("malformed-csv", b'2,"b\n', 4)]
    assert (
        "a quote opens in this row and is not closed within the file"
        in rejects(elements)[0].message
    )
    assert rows(elements) == [["1", "a"], ["3", "c"]]


def test_quote_open_beyond_the_limit(tmp_path):
    """A quote that is open for more than max_record_bytes costs its own line only."""
    body = b"".join(b"%d,x\n" % number for number in range(3, 100))
    elements = read_bytes(tmp_path, b'id,name\n1,a\n2,"b\n' + body + b'100,"\n', SMALL)
    assert refusals(elements) == [
        ("malformed-csv", b'2,"b\n', 3),
        ("malformed-csv", b'100,"\n', 101),
    ]
    assert rows(elements) == [["1", "a"], *([str(number), "x"] for number in range(3, 100))]


def test_quote_open_over_many_lines(tmp_path):
    """The look-ahead behind an open quote is bounded in lines too, and the rows behind it are read."""
    elements = read_bytes(tmp_path, b'id,name\n0,"0"\n1,"a\n' + b"\n" * MAX_RECORD_LINES + b"2,b\n")
    assert refusals(elements) == [("malformed-csv", b'1,"a\n', 3)]
    assert rows(elements) == [["0", "0"], ["2", "b"]]


def test_large_rows(tmp_path):
    """A line above the limit is refused whole, cut to max_raw_bytes, and the row behind it is read."""
    line = b'2,"' + b"x" * 100 + b'"\n'
    elements = read_bytes(
        tmp_path, b"id,name\n1,a\n" + line + b'3,"c\n' + b"y" * 70 + b'\n4,d"\n5,e\n', SMALL
    )
    assert refusals(elements) == [
        ("record-too-large", line[:80], 3),
        ("malformed-csv", b'3,"c\n', 4),
        ("record-too-large", b"y" * 70 + b"\n", 5),
    ]
    assert [reject.raw.true_size_bytes for reject in rejects(elements)] == [len(line), 5, 71]
    assert rows(elements) == [["1", "a"], ["4", 'd"'], ["5", "e"]]


def test_ten_megabyte_cell(tmp_path):
    """A 10 MB cell is refused by default and read when the limit allows it, whatever csv's own
    limit says.
    """
    line = b'1,"' + b"x" * 10_000_000 + b'"\n'
    elements = read_bytes(tmp_path, b"id,name\n" + line)
    assert refusals(elements) == [("record-too-large", line, 2)]
    assert rebuild(rejects(elements)[0].raw)["name"] == "x" * 10_000_000
    csv.field_size_limit(131072)
    elements = read_bytes(tmp_path, b"id,name\n" + line, ReadLimits(max_record_bytes=11_000_000))
    assert rows(elements) == [["1", "x" * 10_000_000]]


def test_many_broken_quotes_stay_linear(tmp_path):
    """Ten times as many lines that all leave a quote open take about ten times as long, not a
    hundred times.
    """

    def read(count: int) -> None:
        elements = read_bytes(tmp_path, b"id,b,c\n" + b'a","b","c\n' * count)
        assert len(refusals(elements)) == count

    assert least_cpu_secs(lambda: read(40_000)) < 40 * least_cpu_secs(lambda: read(4_000))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b",,\n,,\n", "the header is empty"),
        (b'id,"name\n1,a\n', "the header cannot be read: a quote opens in this row"),
        (b"i\0d,name\n1,2\n", "the header holds zero bytes"),
        (b"i" * 9_000_000, "the header cannot be read: the record has 9,000,000 bytes"),
        (b"1,Kettle,49.90\n2,Toaster,35.00\n", "the first row may be a record"),
    ],
)
def test_refused_header(tmp_path, data, expected):
    """A header that names no columns is refused before anything is read."""
    (problem,) = problems_of(tmp_path, data)
    assert expected in problem


def test_one_unnamed_column(tmp_path):
    """A single column without a name, as pandas writes its index, is read under the empty name."""
    assert read_bytes(tmp_path, b",id\n0,a\n")[0].cells == {"": "0", "id": "a"}


def test_header_that_changed(tmp_path):
    """A header that has become bad since the start makes the file unreadable, not the run fail."""
    path = tmp_path / "catalog.csv"
    path.write_bytes(b"id,name\n1,a\n")
    (split,) = plan_splits([str(path)])
    path.write_bytes(b",,\n1,a\n")
    reject, report = read_split(split)
    assert reject.reason == "file-unreadable"
    assert "cannot be read: the header is empty" in reject.message
    assert (report.sha256, report.rejects) == ("", 1)


def test_break_off_inside_quotes(tmp_path):
    """When gzip breaks off behind an open quote, the rows that came before are read all the same."""
    path = tmp_path / "catalog.csv.gz"
    data = b'id,name\n0,"0"\n1,"a\n' + b"".join(
        b"%d,x%d\n" % (number, number * 7919) for number in range(2, 3000)
    )
    path.write_bytes(gzip.compress(data)[:-400])
    elements = read(path)
    assert [reject.reason for reject in rejects(elements)] == ["malformed-csv", "file-unreadable"]
    assert 1000 < len(rows(elements)) < 2998
    assert rows(elements)[:2] == [["0", "0"], ["2", "x15838"]]


CELL = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('",\n\r\t é\0'), max_size=8
)


@settings(max_examples=80, deadline=None)
@given(
    # A row of marks alone is a footer, wherever it is the last.
    table=st.lists(
        st.tuples(CELL, CELL, CELL).filter(lambda row: any(row) and not is_total(row, 3)),
        max_size=8,
    ),
    # csv leaves a lone carriage return unquoted where lines end in a line feed (mended in Python 3.13).
    style=st.sampled_from(
        [("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]
    ),
    name=st.sampled_from(["a.csv", "a.tsv"]),
)
def test_written_rows_come_back(table, style, name):
    """Whatever csv writes comes back the same, gzipped or not, and from each row's own bytes."""
    text = io.StringIO(newline="")
    delimiter = "\t" if name.endswith("tsv") else ","
    writer = csv.writer(text, delimiter=delimiter, lineterminator=style[0], quoting=style[1])
    writer.writerows([("id", "name", "note"), *table])
    data = text.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder:
        elements = read_bytes(Path(folder), data, name=name)
        zipped = read_bytes(Path(folder), gzip.compress(data), name=f"{name}.gz")
    assert rows(elements) == rows(zipped) == [list(row) for row in table]
    raws = [element.raw for element in elements if isinstance(element, ParsedRecord)]
    assert [list(rebuild(raw).values()) for raw in raws] == rows(elements)
    assert all(data == raw.header + b"".join(r.data for r in raws) for raw in raws)


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                b"a",
                b"b",
                b",",
                b",",
                b'"',
                b'"',
                b'""',
                b"\n",
                b"\n",
                b"\r\n",
                b"\r",
                b"\0",
                b"\xff",
                b"\xc3\xa9",
            ]
        ),
        max_size=60,
    ),
    limits=st.sampled_from([DEFAULT_LIMITS, SMALL, ReadLimits(9, 1000)]),
)
def test_every_line_is_accounted_for(pieces, limits):
    """However broken a file is, each of its lines is the header's, a record's or reject's, or has a
    name of its own, and none counts twice.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.csv"
        path.write_bytes(b"x,y\n" + b"".join(pieces))
        try:
            (split,) = plan_splits([str(path)])
        except InputRefusedError:
            return  # nothing is read, and somebody is told
        *elements, report = read_split(split, limits)
        with open_lines(split, limits, SplitDigest()) as lines:
            physical = list(iter(lines.read, None))
        assert report.size_bytes == path.stat().st_size
    assert sum(report.lines.values()) == len(physical)
    assert (report.records, report.rejects) == (len(rows(elements)), len(rejects(elements)))
    owners = Counter()
    for element in elements:
        first = element.raw.position
        taken = [line for line in physical if line.number >= first]
        size_bytes = 0
        for line in taken:
            if size_bytes >= element.raw.true_size_bytes:
                break
            owners[line.number] += 1
            size_bytes += line.size_bytes
        assert size_bytes == element.raw.true_size_bytes
    assert all(count == 1 for count in owners.values())
    kept = sum(report.lines.get(kind, 0) for kind in ("record", "literal-quotes"))
    assert len(owners) == kept


@pytest.mark.parametrize(
    ("name", "data", "expected", "read_as"),
    [
        ("a.csv", b'id;name\r\n1;"a;b"\r\n2;c\r\n', ["a;b", "c"], "semicolons"),
        ("a.csv", b"id|name|n\n1|a,b|2\n2|c|3\n", ["a,b", "c"], "vertical bars"),
        ("a.csv", b"id::name::n\n1::a:b::x\n2::c::y\n", ["a:b", "c"], "cells separated by '::'"),
        ("a.csv", b"sep=;\nid;name\n1;a\n2;c\n", ["a", "c"], "semicolons, header in line 2"),
        ("a.csv", b'id, "name"\n1, "a, b"\n2, "c"\n', ["a, b", "c"], "spaces after"),
        ("a.csv", b'id,name,x\n1,"a \\"b\\", c",\\N\n2,"c",d\n', ['a "b", c', "c"], "escaped by"),
        ("a.tsv", b'id\tname\tx\n1\t"a" b\t\n2\tc\t\n', ['"a" b', "c"], "ordinary"),
        ("a.tsv", b'id\tname\tx\n1\t"a\t1\n2\tb"\t2\n', ['"a', 'b"'], "ordinary"),
        ("a.tsv", b'id\tname\tx\n1\t"a\nb"\t1\n2\tc\t2\n', ["a\nb", "c"], ""),
        ("a.tsv", b"id\tname\n1\ta\\tb\n2\t\\N\n", ["a\tb", ""], "escaped by"),
        ("a.csv", b"id,name\r1,a\r2,b\r", ["a", "b"], "carriage returns"),
        ("a.csv", "id,name\n1,Löffel\n2,weiß\n".encode("cp1252"), ["Löffel", "weiß"], "cp1252"),
        ("a.csv", "id\tname\n1\tä\n2\tb\n".encode("utf-16"), ["ä", "b"], "tabs, utf-16"),
        ("a.csv", "id,name\n1,ä\n2,b\n".encode("utf-16-be"), ["ä", "b"], "utf-16-be"),
        (
            "a.csv",
            b"Report of May,,\n,,\nid,name,n\n1,a,x\n2,b,y\n",
            ["a", "b"],
            "header in line 3",
        ),
        ("a.csv", b"# made by x\nid,name\n1,a\n2,b\n", ["a", "b"], "header in line 2"),
        ("a.csv", b"id,name,n\n1,a,x\n2,b,y\n2 products,,\n", ["a", "b"], ""),
        ("a.csv", b"id,name,n\n1,a,x\n2,b,y\nTotal,,2\n\n", ["a", "b"], ""),
        ("a.csv", b"id,name\n1,a\n\xef\xbb\xbfid,name\n2,b\n", ["a", "b"], ""),
        ("a.csv", b" id , Name\xc2\xa0,\n1,a,\n2,b,\n", ["a", "b"], ""),
        ("a.csv", b"id,name,n\n1,a\n2,b,\n3,c,,,\n", ["a", "b", "c"], ""),
    ],
)
def test_dialects(tmp_path, name, data, expected, read_as):
    """Files as programs write them are read as they are meant, each record again from its own
    bytes, and what was found out is said.
    """
    *elements, report = read_bytes(tmp_path, data, name=name)
    found = [list(element.cells.values())[1] for element in elements]
    assert found == expected
    assert read_as in report.read_as
    assert bool(read_as) == bool(report.read_as)
    assert [rebuild(element.raw) for element in elements] == [each.cells for each in elements]
    assert (
        sum(report.lines.values()) == len(data.decode("latin-1").splitlines()) or "utf" in read_as
    )


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ,;'"), min_size=1),
        min_size=3,
        max_size=12,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_writer(texts, delimiter, encoding, quoting, line_end):
    """What a CSV writer writes with any common delimiter, encoding and quoting is read back the
    same without a word about it.
    """
    table = [(f"A-{number}", text, "x") for number, text in enumerate(texts)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([("sku", "title", "brand"), *table])
    with tempfile.TemporaryDirectory() as folder:
        elements = read_bytes(Path(folder), text.getvalue().encode(encoding))
    assert rows(elements) == [list(row) for row in table]


def test_quotes_that_swallow_records(tmp_path):
    """A quote that would swallow lines which are records by themselves is text, the lines are
    records, and the report says so.
    """
    data = b'id,name,n\n0,"x, y",1\n1,"Cinema screen,2\n2,Mount,3\n3,Screen 32",4\n4,z,5\n'
    *elements, report = read_bytes(tmp_path, data)
    assert [element.cells["name"] for element in elements] == [
        "x, y",
        '"Cinema screen',
        "Mount",
        'Screen 32"',
        "z",
    ]
    assert report.lines == {"header": 1, "literal-quotes": 3, "record": 2}
    assert [rebuild(element.raw) for element in elements] == [each.cells for each in elements]


def test_header_is_said(tmp_path):
    """Where the first line is a record the names of columns are given, and no record is lost."""
    path = tmp_path / "noheader.csv"
    path.write_bytes(b"1,Amelie,2001\n2,Heat,1995\n")
    about = InputDescription(columns=("id", "title", "year"))
    (split,) = plan_splits([str(path)], description=about)
    *elements, report = read_split(split)
    assert [element.cells["title"] for element in elements] == ["Amelie", "Heat"]
    assert [rebuild(element.raw) for element in elements] == [each.cells for each in elements]
    assert report.lines == {"record": 2}
    assert "no header" in report.read_as


@pytest.mark.parametrize("name", ["row-{}", "Record {}", "{} mugs", "Total-{}", "end{}", "---{}"])
@pytest.mark.parametrize("rest", [",Kettle", ",Kettle,,", ",,,"])
def test_ids_that_are_named_as_footers(tmp_path, name, rest):
    """Where ids look as totals and counts do, the last rows are records as all others."""
    lines = [f"{name.format(number)}{rest}\n" for number in range(6)]
    header = "sku,title" + rest[1:].count(",") * ",x" + "\n"
    *elements, report = read_bytes(tmp_path, (header + "".join(lines)).encode())
    assert [element.cells["sku"] for element in elements] == [name.format(n) for n in range(6)]
    assert "footer" not in report.lines


def test_a_header_with_spaces_that_comes_again_late(tmp_path):
    """A header is known again far below, with the spaces that it is written with."""
    lines = "".join(f"{number},a\n" for number in range(1_500))
    *elements, report = read_bytes(tmp_path, f" sku , name\n{lines} sku , name\n9999,b\n".encode())
    assert len(elements) == 1_501
    assert report.lines["repeated-header"] == 1


def test_rows_of_numbers_that_are_short_one_after_the_other(tmp_path):
    """Short rows that begin with an id each are no two halves of one."""
    data = b"sku,title,price,stock\n1,Kettle,9,1\n2,Mug\n3,Cup,7\n4,Pan,5,2\n"
    *elements, _ = read_bytes(tmp_path, data)
    assert [element.cells["title"] for element in elements] == ["Kettle", "Mug", "Cup", "Pan"]
    data = b"sku,title,price,stock\n1,Kettle,9,1\n2,Mug of\nsteel,7,3\n4,Pan,5,2\n"
    assert [reject.raw.data for reject in rejects(read_bytes(tmp_path, data))] == [
        b"2,Mug of\n",
        b"steel,7,3\n",
    ]


def test_decimal_marks_go_with_a_record(tmp_path):
    """What a column's numbers mean is kept with each record, for the day that it is read again."""
    *elements, _ = read_bytes(tmp_path, b'sku,price\n1,"12,90"\n2,1.299\n')
    assert {element.raw.format for element in elements} == {"csv;decimals=price%3A%2C"}
    assert decimals_of(elements[1].raw.format) == {"price": ","}
    assert rebuild(elements[1].raw) == {"sku": "2", "price": "1.299"}


def test_escapes_behind_other_delimiters(tmp_path):
    """Where quotes are escaped by backslashes, none stays in a cell, whatever separates the cells."""
    cells = ["1", 'The "best" mug, ever', '["a.jpg"]']
    for delimiter in ";|\t":
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, doublequote=False, escapechar="\\")
        writer.writerows([["sku", "title", "pictures"], *([cells] * 30)])
        *elements, _ = read_bytes(tmp_path, text.getvalue().encode())
        assert {tuple(element.cells.values()) for element in elements} == {tuple(cells)}


def test_doubled_delimiters_and_single_ones_in_cells(tmp_path):
    """Two bars separate cells where the header has only such, though texts have single bars too."""
    rows_of = [["sku", "title", "tags"], *([[str(n), f"Mug {n}", "a|b"] for n in range(40)])]
    data = "".join("||".join(row) + "\n" for row in rows_of)
    *elements, report = read_bytes(tmp_path, data.encode())
    assert [list(element.cells.values()) for element in elements] == rows_of[1:]
    assert "||" in report.read_as
    single = "sku|title|a|b\n" + "".join(f"{n}|Mug||x\n" for n in range(40))
    *elements, _ = read_bytes(tmp_path, single.encode())
    assert elements[0].cells == {"sku": "0", "title": "Mug", "a": "", "b": "x"}


@pytest.mark.parametrize("title", ["", "Product export\n2026-01-31\n\n"])
@pytest.mark.parametrize(
    ("delimiter", "cells"),
    [
        (";", ["{}", "Kettle {}", "1{},90"]),
        ("\t", ["{}", "Mug {}, red", "1.50"]),
        ("|", ["{}", "a; {}"]),
    ],
)
def test_another_delimiter_in_every_row(tmp_path, title, delimiter, cells):
    """Commas or semicolons that stand once in every row separate nothing: the header has none."""
    names = ["sku", "title", "price"][: len(cells)]
    written = [[cell.format(number) for cell in cells] for number in range(60)]
    text = title + "".join(delimiter.join(row) + "\n" for row in [names, *written])
    found = read_bytes(tmp_path, text.encode())
    assert rows(found) == written
    assert set(found[0].cells) == set(names)


@pytest.mark.parametrize("marks", [1, 2, 3])
def test_marks_of_the_byte_order(tmp_path, marks):
    """A file has its columns however often it was exported with a mark of the byte order."""
    path = tmp_path / "catalog.csv"
    path.write_bytes(b"\xef\xbb\xbf" * marks + b'"id","title"\n"1","Mug"\n')
    (split,) = plan_splits([str(path)])
    first = next(iter(read_split(split)))
    assert isinstance(first, ParsedRecord)
    assert first.cells == {"id": "1", "title": "Mug"}


_ORDERS = st.lists(st.permutations(["sku", "title", "price"]), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(orders=_ORDERS, per_file=st.integers(1, 4), more=st.booleans())
def test_files_of_other_columns_behind_each_other(orders, per_file, more):
    """Whatever the order of columns in files that were written behind each other, and whatever
    columns some of them have besides, each value stands under its own name.
    """
    lines, expected = [], []
    for number, order in enumerate(orders):
        names = [*order, "color"] if more and number else order
        lines.append(",".join(names))
        for place in range(per_file):
            record = {"sku": f"A{number}-{place}", "title": f"Mug no {place}", "price": "5.50"}
            lines.append(
                ",".join([*(record[name] for name in order), *["red"] * ("color" in names)])
            )
            expected.append(record)
    with tempfile.TemporaryDirectory() as folder:
        *elements, report = read_bytes(Path(folder), ("\n".join(lines) + "\n").encode())
    found = [{name: each.cells[name] for name in ("sku", "title", "price")} for each in elements]
    assert found == expected
    assert [rebuild(element.raw) for element in elements] == [each.cells for each in elements]
    assert sum(report.lines.values()) == len(lines)
    assert report.lines["record"] == len(expected)


def test_a_header_of_other_columns_is_told(tmp_path):
    """The report shows a header that changes the order of the columns."""
    *_, report = read_bytes(tmp_path, b"sku,title\n1,Mug\ntitle,sku\nCup,2\n")
    assert report.left_out == {"other-header": "title,sku"}


@pytest.mark.parametrize("title", ["Total Wine Opener", "End Table", "1200 Watt kettle", "Sum 41"])
def test_products_that_are_named_as_footers(tmp_path, title):
    """The last product is a record, though its name begins as a footer does, where it has an id."""
    data = f"title,sku,price\nMug,A1,5\nCup,A2,6\n{title},A3,\n"
    *elements, report = read_bytes(tmp_path, data.encode())
    assert elements[-1].cells["title"] == title
    assert report.lines == {"header": 1, "record": 3}


def test_quotes_that_swallow_records_of_two_columns(tmp_path):
    """Lines of two cells within quotes are records if each begins with an id as its row does, and a
    text otherwise.
    """
    *elements, report = read_bytes(tmp_path, b'id,name\nA1,Pot\nB1,"Mug\nB2,Cup\nB3,Pan"\nC1,x\n')
    assert [element.cells["id"] for element in elements] == ["A1", "B1", "B2", "B3", "C1"]
    assert report.lines["literal-quotes"] == 3
    *elements, report = read_bytes(tmp_path, b'id,name\nA1,"Mug\nred, blue\nbig, small"\nC1,x\n')
    assert [element.cells["id"] for element in elements] == ["A1", "C1"]
    assert "literal-quotes" not in report.lines


def test_short_rows_with_ids_one_after_the_other(tmp_path):
    """Short rows are records of their own where both begin with an id of the same form."""
    data = b"sku,title,price,color\nA-1,Mug\nA-2,Cup,6\nA-30,Pan,7,red\n"
    *elements, _ = read_bytes(tmp_path, data)
    assert [element.cells["sku"] for element in elements] == ["A-1", "A-2", "A-30"]


def test_pairs_above_the_header(tmp_path):
    """Pairs of a name and a value above the header are no header, and are told; empty lines are
    blank.
    """
    data = b"\nExported,2024-05-01\nShop,Ours\n\nsku,title,price,stock\nA1,Mug,5,1\nA2,Cup,6,2\n"
    *elements, report = read_bytes(tmp_path, data)
    assert [element.cells["title"] for element in elements] == ["Mug", "Cup"]
    assert report.lines == {"blank": 2, "header": 1, "leading": 2, "record": 2}
    assert report.left_out == {"leading": "Exported,2024-05-01"}


def test_a_header_behind_a_hash(tmp_path):
    """Names behind # are the header, remarks with commas behind # are not."""
    *elements, _ = read_bytes(tmp_path, b"# made by us, on monday\n#sku,title\nA1,Mug\nA2,Cup\n")
    assert [element.cells for element in elements][:1] == [{"#sku": "A1", "title": "Mug"}]
    assert len(elements) == 2


@pytest.mark.parametrize("delimiter", ["~|~", "||", "=>", "::", "|~|", "<|>", "##"])
def test_delimiters_of_several_signs(tmp_path, delimiter):
    """Signs that stand together in each line as often as in the first separate cells, also where
    one of them alone would.
    """
    table = [["sku", "title", "price"], *([[f"A{n}", f"Mug {n}", "5.50"] for n in range(6)])]
    data = "".join(delimiter.join(row) + "\n" for row in table)
    elements = read_bytes(tmp_path, data.encode())
    assert rows(elements) == table[1:]
    assert [rebuild(each.raw) for each in elements[:-1]] == [each.cells for each in elements[:-1]]


def test_two_lines_of_names(tmp_path):
    """Labels above the names that programs use are refused until somebody decides: one of the two
    lines would be a record.
    """
    data = b"SKU,Title,Price\nitem_sku,item_name,list_price\nA1,Mug,5\nA2,Cup,6\n"
    (problem,) = problems_of(tmp_path, data)
    assert "line 1 (SKU, Title, Price) and line 2 (item_sku, item_name, list_price)" in problem
    elements = read(tmp_path / "catalog.csv", description=InputDescription(header=2))
    assert elements[0].cells == {"item_sku": "A1", "item_name": "Mug", "list_price": "5"}


@pytest.mark.parametrize("count", [3, 40])
def test_cells_between_apostrophes(tmp_path, count):
    """Apostrophes around cells are quotes where there are no others and they explain the rows;
    those that begin a code or a title are text.
    """
    lines = [f"A{n},'Mug, no. {n}',5.50\n" for n in range(count)]
    elements = read_bytes(tmp_path, ("sku,title,price\n" + "".join(lines)).encode())
    assert rows(elements) == [[f"A{n}", f"Mug, no. {n}", "5.50"] for n in range(count)]
    lines = [f"'{n:05},'Tis mug {n},5.50\n" for n in range(count)]
    elements = read_bytes(tmp_path, ("sku,title,price\n" + "".join(lines)).encode())
    assert rows(elements) == [[f"'{n:05}", f"'Tis mug {n}", "5.50"] for n in range(count)]


def test_a_remark_at_the_end(tmp_path):
    """A sentence below codes is a footer, with and without delimiters behind it."""
    for end in ("Prices in EUR incl. VAT,,\n", "Prices in EUR incl. VAT\n"):
        *elements, report = read_bytes(tmp_path, f"sku,name,n\nA1,Mug,5\nA2,Cup,6\n{end}".encode())
        assert [element.cells["sku"] for element in elements] == ["A1", "A2"]
        assert report.left_out == {"footer": end.strip()}


@pytest.mark.parametrize("records", [3, 1_500])
@pytest.mark.parametrize("footer", ["Total,36,,", "Total,,,36", "Total:, ,,36.00"])
def test_a_footer_behind_however_many_rows(tmp_path, records, footer):
    """Totals at the end are no record, whichever cells they fill and however long the table is."""
    lines = ["sku,title,qty,price", *(f"s{n},Mug {n},1,{n}" for n in range(records)), footer]
    elements = read_bytes(tmp_path, "\n".join(lines).encode())
    assert len(rows(elements)) == records
    assert elements[-1].lines == {"header": 1, "record": records, "footer": 1}
