"""Delimited files as Python's csv, pandas, DuckDB, Polars and Arrow write them, in many dialects."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from tests.variants.contract import (
    Cells,
    Records,
    Variant,
    as_json_cells,
    columns_of,
    encodes,
    texts_of,
    without_breaks,
)

_UNIT_SEPARATOR = "\x1f"


def csv_text(records: Records, **dialect: Any) -> str:
    """Return records as Python's csv module writes them; without a value is without a character."""
    names = columns_of(records)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, **{"lineterminator": "\n", **dialect})
    writer.writerow(names)
    for record in as_json_cells(records):
        writer.writerow([record.get(name) for name in names])
    return stream.getvalue()


def _csv(
    name: str = "catalog.csv",
    encoding: str = "utf-8",
    after: Callable[[str], str] = str,
    **dialect: Any,
) -> Callable[[Records, Path], Path]:
    """Return a writer. after: what becomes of the text before it is encoded."""

    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(after(csv_text(records, **dialect)).encode(encoding))
        return path

    return write


def _without(*texts: str) -> Callable[[Cells], bool]:
    return lambda record: not any(text in texts_of(record) for text in texts)


def _plain(*texts: str) -> Callable[[Cells], bool]:
    """Return whether a form without quotes can hold a record: no line breaks and none of these."""
    return lambda record: without_breaks(record) and _without(*texts)(record)


def _header(change: Callable[[str], str]) -> Callable[[str], str]:
    def after(text: str) -> str:
        header, line_end, rows = text.partition("\n")
        return change(header) + line_end + rows

    return after


def _lines(change: Callable[[str], str]) -> Callable[[str], str]:
    """Return a change of every line, where no cell has a line break."""
    return lambda text: "".join(change(line) + "\n" for line in text.splitlines())


def _twice_headed(text: str) -> str:
    header, *rows = text.splitlines(keepends=True)
    half = len(rows) // 2
    return "".join([header, *rows[:half], header, *rows[half:]])


def _dump(escapes: Mapping[str, str], null: str) -> Callable[[Records, Path], Path]:
    """Return a writer of what databases dump: tabs, escapes by backslash, a mark for null."""
    table = str.maketrans({"\\": "\\\\", "\t": "\\\t", **escapes})

    def write(records: Records, folder: Path) -> Path:
        names = columns_of(records)
        lines = ["\t".join(names)]
        for record in as_json_cells(records):
            cells = [record.get(name) for name in names]
            texts = (null if cell in (None, "") else str(cell).translate(table) for cell in cells)
            lines.append("\t".join(texts))
        path = folder / "catalog.tsv"
        path.write_text("\n".join(lines) + "\n", "utf-8", newline="")
        return path

    return write


def _without_header(records: Records, folder: Path) -> Path:
    path = folder / "catalog.csv"
    path.write_text(csv_text(records).split("\n", 1)[1], "utf-8", newline="")
    return path


# Twenty dialects and more of Python's csv module.
_DIALECTS = (
    Variant("csv: commas, quotes where needed", _csv()),
    Variant("csv: every cell quoted", _csv(quoting=csv.QUOTE_ALL)),
    Variant("csv: every text quoted", _csv(quoting=csv.QUOTE_NONNUMERIC)),
    Variant("csv: semicolons", _csv(delimiter=";")),
    Variant("csv: semicolons, every cell quoted", _csv(delimiter=";", quoting=csv.QUOTE_ALL)),
    Variant("csv: tabs in .csv", _csv(delimiter="\t")),
    Variant("csv: tabs in .tsv", _csv("catalog.tsv", delimiter="\t")),
    Variant("csv: tabs in .txt", _csv("catalog.txt", delimiter="\t")),
    Variant("csv: vertical bars", _csv(delimiter="|")),
    Variant("csv: carets", _csv(delimiter="^")),
    Variant("csv: tildes", _csv(delimiter="~")),
    Variant("csv: byte 1, as Hive", _csv(delimiter="\x01")),
    Variant(
        "csv: two colons, no quotes",
        _csv(
            delimiter=_UNIT_SEPARATOR,
            quoting=csv.QUOTE_NONE,
            quotechar=None,
            after=lambda text: text.replace(_UNIT_SEPARATOR, "::"),
        ),
        _plain("::", _UNIT_SEPARATOR),
    ),
    Variant(
        "csv: two bars, no quotes",
        _csv(
            delimiter=_UNIT_SEPARATOR,
            quoting=csv.QUOTE_NONE,
            quotechar=None,
            after=lambda text: text.replace(_UNIT_SEPARATOR, "||"),
        ),
        _plain("||", _UNIT_SEPARATOR),
    ),
    Variant("csv: lines end in CR LF", _csv(lineterminator="\r\n")),
    Variant("csv: lines end in CR", _csv(lineterminator="\r"), without_breaks),
    Variant("csv: no end of the last line", _csv(after=lambda text: text.removesuffix("\n"))),
    Variant(
        "csv: backslashes, nothing quoted",
        _csv(quoting=csv.QUOTE_NONE, escapechar="\\"),
        said=("escape=\\", "quote=none"),
    ),
    Variant(
        "csv: backslashes before quotes, all quoted",
        _csv(quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\"),
    ),
    Variant(
        "csv: semicolons, backslashes before quotes",
        _csv(delimiter=";", doublequote=False, escapechar="\\"),
    ),
    Variant(
        "csv: tabs, nothing quoted",
        _csv("catalog.tsv", delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None),
        _plain("\t"),
    ),
    Variant(
        "csv: apostrophes as quotes",
        _csv(quotechar="'", quoting=csv.QUOTE_ALL),
        said=("quote='",),
    ),
    Variant(
        "csv: a space behind every comma",
        _csv(
            delimiter=_UNIT_SEPARATOR,
            quoting=csv.QUOTE_ALL,
            after=lambda text: text.replace(_UNIT_SEPARATOR, ", "),
        ),
    ),
    Variant("csv: Excel's line sep=;", _csv(delimiter=";", after=lambda text: "sep=;\n" + text)),
    Variant(
        "csv: a report's name and date before the header",
        _csv(after=lambda text: "Product export\n2026-01-31\n\n" + text),
    ),
    Variant(
        "csv: a count behind the rows",
        _csv(after=lambda text: text + "\nTotal: many\n"),
        rejects=1,
    ),
    Variant(
        "csv: comments before the header",
        _csv(after=lambda text: "# exported by the shop\n# all products\n" + text),
    ),
    Variant("csv: names in capitals", _csv(after=_header(str.upper))),
    Variant(
        "csv: names with spaces around them",
        _csv(after=_header(lambda header: " " + header.replace(",", " , ") + " ")),
    ),
    Variant(
        "csv: two empty columns at the end",
        _csv(after=_lines(lambda line: line + ",,")),
        without_breaks,
    ),
    Variant(
        "csv: empty lines between", _csv(after=_lines(lambda line: line + "\n")), without_breaks
    ),
    Variant("csv: two exports behind each other", _csv(after=_twice_headed), without_breaks),
    Variant("SQL: MySQL's SELECT INTO OUTFILE", _dump({"\n": "\\\n"}, "\\N"), _without("\r")),
    Variant("SQL: PostgreSQL's COPY", _dump({"\n": "\\n", "\r": "\\r", "\t": "\\t"}, "\\N")),
)

_ENCODINGS = (
    Variant("csv: UTF-8 with a mark", _csv(encoding="utf-8-sig")),
    Variant("csv: UTF-16, little end first", _csv(encoding="utf-16")),
    Variant(
        "csv: UTF-16, big end first",
        _csv(encoding="utf-16-be", after=lambda text: "\ufeff" + text),
    ),
    Variant("csv: UTF-16 without a mark", _csv(encoding="utf-16-le")),
    Variant("csv: UTF-16, tabs, as Excel's text", _csv(encoding="utf-16", delimiter="\t")),
    Variant("csv: UTF-32", _csv(encoding="utf-32")),
    Variant("csv: cp1252, semicolons", _csv(encoding="cp1252", delimiter=";"), encodes("cp1252")),
    Variant("csv: latin-1", _csv(encoding="latin-1"), encodes("latin-1")),
    Variant(
        "csv: latin-9", _csv(encoding="iso8859-15"), encodes("iso8859-15"), ("encoding=iso8859-15",)
    ),
    Variant(
        "csv: Mac Roman", _csv(encoding="mac-roman"), encodes("mac-roman"), ("encoding=mac-roman",)
    ),
)


def in_language(language: str) -> Callable[[Cells], Cells]:
    """Return a change of records that leaves of texts by language the one, each in its column."""

    def reduce(record: Cells) -> Cells:
        titles = record.get("titles")
        if not isinstance(titles, dict):
            return record
        one = {language: titles[language]} if language in titles else {}
        return {**record, "titles": one}

    return reduce


def _one_language(language: str, encoding: str, said: tuple[str, ...] = ()) -> Variant:
    return Variant(
        f"csv: {encoding}, titles in {language}",
        _csv(encoding=encoding, delimiter=";"),
        lambda record: (
            isinstance(record.get("titles"), dict)
            and bool(record["titles"])
            and encodes(encoding)(record)
        ),
        said,
        in_language(language),
    )


_LANGUAGES = (
    _one_language("ru", "cp1251"),
    _one_language("ru", "koi8-r"),
    _one_language("ja", "shift_jis"),
    _one_language("zh_TW", "big5"),
    _one_language("zh_TW", "gb18030"),
    _one_language("ar", "cp1256"),
    _one_language("de", "cp850", ("encoding=cp850",)),
)


def _pandas(name: str = "catalog.csv", **options: Any) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        pd.DataFrame(list(records)).to_csv(path, **{"index": False, **options})
        return path

    return write


def _numbers(record: Cells) -> Cells:
    """Return a record whose prices are numbers, as those are who have come through a program."""
    changed = dict(record)
    for name in ("price", "special_price", "weight", "qty"):
        if isinstance(cell := record.get(name), str):
            changed[name] = float(cell) if cell else None
    return changed


def _pandas_numbers(records: Records, folder: Path) -> Path:
    return _pandas(sep=";", decimal=",")([_numbers(record) for record in records], folder)


_PANDAS = (
    Variant("pandas: to_csv", _pandas()),
    Variant("pandas: to_csv with its index", _pandas(index=True)),
    Variant("pandas: semicolons and decimal commas", _pandas_numbers),
    Variant("pandas: every text quoted", _pandas(quoting=csv.QUOTE_NONNUMERIC)),
    Variant("pandas: tabs, UTF-8 with a mark", _pandas(sep="\t", encoding="utf-8-sig")),
    Variant("pandas: UTF-16", _pandas(encoding="utf-16")),
    Variant("pandas: lines end in CR LF", _pandas(lineterminator="\r\n")),
    Variant("pandas: .csv.gz", _pandas("catalog.csv.gz")),
    Variant("pandas: .csv.bz2", _pandas("catalog.csv.bz2")),
    Variant("pandas: .csv.xz", _pandas("catalog.csv.xz")),
    Variant("pandas: .csv.zip", _pandas("catalog.csv.zip")),
    Variant("pandas: .csv.zst", _pandas("catalog.csv.zst")),
)


def arrow_table(records: Records) -> pa.Table:
    """Return records as an Arrow table, lists and objects as such."""
    return pa.Table.from_pylist(
        [{n: record.get(n) for n in columns_of(records)} for record in records]
    )


def flat_table(records: Records) -> pa.Table:
    """Return records as an Arrow table, lists and objects as JSON."""
    return arrow_table(as_json_cells(records))


def duckdb_copy(
    name: str, options: str, table: Callable[[Records], pa.Table]
) -> Callable[[Records, Path], Path]:
    """Return a writer by DuckDB's COPY with these options."""

    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        with duckdb.connect() as connection:
            connection.register("catalog", table(records))
            connection.execute(f"COPY (SELECT * FROM catalog) TO '{path}' ({options})")
        return path

    return write


_copy = partial(duckdb_copy, table=flat_table)

_DUCKDB = (
    Variant("DuckDB: COPY to CSV", _copy("catalog.csv", "FORMAT csv, HEADER")),
    Variant("DuckDB: vertical bars", _copy("catalog.csv", "FORMAT csv, HEADER, DELIMITER '|'")),
    Variant("DuckDB: every cell quoted", _copy("catalog.csv", "FORMAT csv, HEADER, FORCE_QUOTE *")),
    Variant(
        "DuckDB: backslashes before quotes",
        _copy("catalog.csv", "FORMAT csv, HEADER, ESCAPE '\\', FORCE_QUOTE *"),
    ),
    Variant("DuckDB: \\N for null", _copy("catalog.csv", "FORMAT csv, HEADER, NULLSTR '\\N'")),
    Variant("DuckDB: tabs", _copy("catalog.tsv", "FORMAT csv, HEADER, DELIMITER '\t'")),
    Variant("DuckDB: .csv.gz", _copy("catalog.csv.gz", "FORMAT csv, HEADER, COMPRESSION gzip")),
    Variant("DuckDB: .csv.zst", _copy("catalog.csv.zst", "FORMAT csv, HEADER, COMPRESSION zstd")),
)


def _polars(options: Mapping[str, Any]) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / "catalog.csv"
        frame = pl.from_arrow(flat_table(records))
        assert isinstance(frame, pl.DataFrame)
        frame.write_csv(path, **options)
        return path

    return write


def _arrow(records: Records, folder: Path) -> Path:
    path = folder / "catalog.csv"
    pa_csv.write_csv(flat_table(records), path)
    return path


_OTHERS = (
    Variant("Polars: write_csv", _polars({})),
    Variant(
        "Polars: semicolons, CR LF, a mark",
        _polars({"separator": ";", "line_terminator": "\r\n", "include_bom": True}),
    ),
    Variant(
        "Polars: never quoted, tabs",
        _polars({"separator": "\t", "quote_style": "never"}),
        _plain("\t"),
    ),
    Variant("Arrow: write_csv", _arrow),
)


def headerless(records: Records) -> Variant:
    """Return the variant without a header, whose names the user has to say."""
    names = ",".join(columns_of(records))
    return Variant(
        "csv: no header, names said",
        _without_header,
        said=("header=none", f"columns={names}"),
    )


DELIMITED = (*_DIALECTS, *_ENCODINGS, *_LANGUAGES, *_PANDAS, *_DUCKDB, *_OTHERS)
