"""Packed files, files with another ending or none, and workbooks."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import zstandard

from tests.variants.contract import Cells, Records, Variant, as_json_cells, columns_of
from tests.variants.delimited import csv_text, flat_table

# Of a cell in Excel.
_MAX_CELL_CHARS = 32_767


def _json_lines(records: Records) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _csv(records: Records) -> bytes:
    return csv_text(records).encode()


def _array(records: Records) -> bytes:
    return json.dumps(list(records)).encode()


def _packed(
    name: str, data: Callable[[Records], bytes], pack: Callable[[bytes], bytes] = bytes
) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(pack(data(records)))
        return path

    return write


def _halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Return a packer of two streams behind each other, as `cat a.gz b.gz` makes them."""
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


def _zipped(name: str, data: Callable[[Records], bytes]) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / "catalog.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data(records))
        return path

    return write


def _zip_of_parts(records: Records, folder: Path) -> Path:
    path = folder / "catalog.zip"
    half = len(records) // 2
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/part-1.csv", _csv(records[:half]))
        archive.writestr("export/part-2.csv", _csv(records[half:]))
        archive.writestr("__MACOSX/export/._part-1.csv", b"\0\5\x16\7")
    return path


_CONTAINERS = (
    Variant("gzip: JSON lines", _packed("catalog.jsonl.gz", _json_lines, gzip.compress)),
    Variant("gzip: two streams of CSV", _packed("catalog.csv.gz", _csv, _halves(gzip.compress))),
    Variant("gzip: an array of JSON", _packed("catalog.json.gz", _array, gzip.compress)),
    Variant("bz2: JSON lines", _packed("catalog.jsonl.bz2", _json_lines, bz2.compress)),
    Variant("bz2: two streams of CSV", _packed("catalog.csv.bz2", _csv, _halves(bz2.compress))),
    Variant("xz: JSON lines", _packed("catalog.jsonl.xz", _json_lines, lzma.compress)),
    Variant("xz: an array of JSON", _packed("catalog.json.xz", _array, lzma.compress)),
    Variant("zst: JSON lines", _packed("catalog.jsonl.zst", _json_lines, zstandard.compress)),
    Variant(
        "zst: two frames of CSV", _packed("catalog.csv.zst", _csv, _halves(zstandard.compress))
    ),
    Variant("zip: a CSV", _zipped("catalog.csv", _csv)),
    Variant("zip: JSON lines", _zipped("catalog.jsonl", _json_lines)),
    Variant("zip: two CSVs in a folder", _zip_of_parts),
    Variant("no ending: CSV, said", _packed("catalog", _csv), input_format="csv"),
    Variant("no ending: JSON lines", _packed("catalog", _json_lines)),
    Variant("no ending: an array of JSON", _packed("catalog", _array)),
    Variant(
        "no ending: gzip of CSV, said",
        _packed("catalog", _csv, gzip.compress),
        input_format="csv",
    ),
    Variant("ending .txt: CSV", _packed("catalog.txt", _csv)),
    Variant("ending .dat: JSON lines", _packed("catalog.dat", _json_lines)),
    Variant("gzip of CSV called .csv", _packed("catalog.csv", _csv, gzip.compress)),
)


def _in_excel(record: Cells) -> bool:
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    cells = as_json_cells([record])[0].values()
    texts = [cell for cell in cells if isinstance(cell, str)]
    # A text that begins with = would be a formula.
    return all(
        len(text) <= _MAX_CELL_CHARS and not ILLEGAL_CHARACTERS_RE.search(text) and text[:1] != "="
        for text in texts
    )


def _openpyxl(
    leading: tuple[str, ...] = (), sheet: str = "", other_first: bool = False
) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        from openpyxl import Workbook

        book = Workbook()
        rows = book.active
        if other_first:
            rows.title = "About"
            rows.append(["This workbook was exported by the shop."])
            rows = book.create_sheet()
        if sheet:
            rows.title = sheet
        for line in leading:
            rows.append([line])
        names = columns_of(records)
        rows.append(names)
        for record in as_json_cells(records):
            rows.append([record.get(name) for name in names])
        path = folder / "catalog.xlsx"
        book.save(path)
        return path

    return write


def _pandas_excel(records: Records, folder: Path) -> Path:
    path = folder / "catalog.xlsx"
    pd.DataFrame(flat_table(records).to_pylist()).to_excel(path, index=False)
    return path


_WORKBOOKS = (
    Variant("openpyxl: one sheet", _openpyxl(), _in_excel),
    Variant("openpyxl: a title above", _openpyxl(("Product export", "")), _in_excel),
    Variant(
        "openpyxl: the second sheet, by its name",
        _openpyxl(sheet="Products", other_first=True),
        _in_excel,
        ("sheet=Products",),
    ),
    Variant("pandas: to_excel", _pandas_excel, _in_excel),
)

CONTAINERS = (*_CONTAINERS, *_WORKBOOKS)
