"""Delimited files as spreadsheets, shops and databases write them are read whole and as they are
meant.
"""

import pytest

from schemas.sections.inputs import InputDescription
from tests.cases.support import case, items_of, read_all, run_case


def test_feed_of_tabs_has_no_quoting():
    """Quotes of a feed are characters of its titles, and none swallows a record (03)."""
    folder = case("03-merchant-tsv")
    feed, _ = read_all(folder / "feed.tsv")
    assert [record["title"] for record in feed][:3] == [
        'Nova Monitor 27" QHD',
        '"Comfy" office chair',
        '"Cinema 55',
    ]
    swallow, report = read_all(folder / "swallow.tsv")
    assert len(swallow) == report.records == 8
    assert swallow[2]["title"] == '"Cinema screen'
    assert swallow[5]["title"] == 'Screen 32"'


@pytest.mark.parametrize(
    "name",
    [
        "comma.csv",
        "comma_cp1252.csv",
        "cp1252.csv",
        "semicolon.csv",
        "sep.csv",
        "unicode.csv",
        "unicode.txt",
    ],
)
def test_spreadsheets(name):
    """What a spreadsheet of a European country writes is the same catalog in every way that it is
    written (04).
    """
    folder = case("04-excel-csv")
    expected, _ = read_all(folder / "semicolon.csv")
    records, _ = read_all(folder / name, input_format="csv")
    assert [record["Artikelnr"] for record in records] == ["0012", "0013", "0014", "0015"]
    assert [record["Bezeichnung"] for record in records] == [
        record["Bezeichnung"] for record in expected
    ]
    assert records[1]["Bezeichnung"] == 'Schüssel "Süden"'


def test_old_encoding_below_a_plain_header():
    """An encoding that shows only far below the header is found (04)."""
    records, report = read_all(case("04-excel-csv") / "ascii_header_cp1252.csv")
    assert [record["name"] for record in records][1::2] == ["Löffel", "Schüssel", "Messer"]
    assert "cp1252" in report.read_as


def test_databases_escape_with_backslashes():
    """Dumps with backslashes come back with quotes, line breaks and missing values (21)."""
    folder = case("21-mysql-backslash-csv")
    records, _ = read_all(folder / "dump.csv")
    assert len(records) == 6
    assert records[0]["title"] == 'Monitor 27" QHD'
    assert records[2]["title"] == "Path C:\\temp label"
    assert records[4]["description"] == "Line one\nline two"
    assert [record["brand"] for record in records][1] == ""
    tabs, _ = read_all(folder / "dump_tab.tsv")
    assert [record["title"] for record in tabs] == [
        'Monitor 27" QHD',
        "Plain\tmug",
        "Line one\nline two",
    ]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bom_twice.csv", 2),
        ("comment.csv", 3),
        ("cr.csv", 3),
        ("duplicate.csv", 2),
        ("footer.csv", 3),
        ("index.csv", 3),
        ("nbsp.csv", 3),
        ("nul.csv", 2),
        ("quoted_all_ws.csv", 2),
        ("short.csv", 3),
        ("spaces.csv", 3),
        ("title_row.csv", 3),
        ("trailing.csv", 3),
        ("trailing_header.csv", 2),
    ],
)
def test_what_stands_around_the_table(name, count):
    """Titles, comments, footers, headers that come again and ragged rows make no records and lose
    none (23).
    """
    records, report = read_all(case("23-header-quirks") / name)
    assert len(records) == count
    folded = [{key.casefold(): value for key, value in record.items()} for record in records]
    assert folded[0]["sku"] == "1"
    assert folded[0]["title"].replace("\0", "").startswith("Kettle")
    physical = sum(report.lines.values())
    assert physical == sum(1 for _ in (case("23-header-quirks") / name).read_bytes().splitlines())


def test_files_without_a_header():
    """With the names of the columns a file without a header keeps its first record (25)."""
    folder = case("25-headerless-dump")
    about = InputDescription(columns=("id", "title", "genres"))
    movies, _ = read_all(folder / "movies.dat", input_format="csv", description=about)
    assert [record["title"] for record in movies] == [
        "Amélie (2001)",
        "Heat (1995)",
        "Ghost Ship, The (2002)",
    ]
    plain, _ = read_all(folder / "noheader.csv", description=about)
    assert len(plain) == 4
    works = InputDescription(columns=("type", "key", "revision", "modified", "json"))
    dump, _ = read_all(folder / "ol_dump_works.txt", input_format="tsv", description=works)
    assert all(record["json"].startswith("{") for record in dump)


def test_a_shops_table_end_to_end(tmp_path):
    """The run publishes every record of a feed with its own title (03)."""
    folder = case("03-merchant-tsv")
    snapshot = run_case(folder / "swallow.yaml", [folder / "swallow.tsv"], tmp_path / "out")
    items = items_of(snapshot)
    assert len(items) == 8
    assert items["A3"]["title"] == '"Cinema screen'
