"""Inputs that are small where they lie and huge where they are read, for tests of a run's memory.

Each is written in a size: MB stands for so many bytes, 2**20 in full and fewer where a test lowers
the limits of the run by as much.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import Shop


@dataclass(frozen=True)
class Hostile:
    """An input. write: into a shop, with the bytes that a MB has; the files and options of a run.

    records: that are counted, None where that is not known beforehand.
    """

    write: Callable[[Shop, int], list[Any]]
    records: int | None


def _json_start(number: int) -> bytes:
    return b'{"sku": "h%d", "name": "Thing %d", "text": "' % (number, number)


def _json_lines(file: IO[bytes], count: int, size: int, fill: bytes = b"x") -> None:
    block = fill * (1 << 20)
    for number in range(count):
        file.write(_json_start(number))
        left = size
        while left > 0:
            # Just below what is refused as a bomb.
            file.write(b"%08x" % (left * 2654435761 % 2**32) + block[8 : min(left, len(block))])
            left -= len(block)
        file.write(b'"}\n')
    file.write(b'{"sku": "good", "name": "Good"}\n')


def gz_lines(shop: Shop, mb: int) -> list[Any]:
    """Twenty lines of 60 MB."""
    path = shop.folder / "in.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        _json_lines(file, 20, 60 * mb)
    return [path]


def zst_lines(shop: Shop, mb: int) -> list[Any]:
    path = shop.folder / "in.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        _json_lines(file, 20, 60 * mb)
    return [path]


def bz2_lines(shop: Shop, mb: int) -> list[Any]:
    path = shop.folder / "in.jsonl.bz2"
    with bz2.open(path, "wb", compresslevel=9) as file:
        _json_lines(file, 4, 60 * mb)
    return [path]


def xz_lines(shop: Shop, mb: int) -> list[Any]:
    path = shop.folder / "in.jsonl.xz"
    with lzma.open(path, "wb", preset=1) as file:
        _json_lines(file, 20, 60 * mb)
    return [path]


def zip_lines(shop: Shop, mb: int) -> list[Any]:
    path = shop.folder / "in.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("in.jsonl", "w", force_zip64=True) as file,
    ):
        _json_lines(file, 4, 60 * mb)  # more would be refused as a bomb
    return [path]


def large_records(shop: Shop, mb: int) -> list[Any]:
    """60 records of 7 MB, each below the limit."""
    path = shop.folder / "in.jsonl"
    with path.open("wb") as file:
        _json_lines(file, 60, 7 * mb, b"word " * 1)
    return [path]


def many_ids(shop: Shop, mb: int) -> list[Any]:
    """1,000 rows of one id, 1 MB each, packed."""
    path = shop.folder / "in.jsonl.gz"
    text = b"word " * (mb // 5)
    with gzip.open(path, "wb", compresslevel=6) as file:
        for number in range(1000):
            file.write(b'{"sku": "same", "name": "Thing %d", "text": "%s"}\n' % (number, text))
        file.write(b'{"sku": "good", "name": "Good"}\n')
    return [path]


def packed_records(shop: Shop, mb: int) -> list[Any]:
    """1,000 records of 1 MB, each with its own id: 1 GB in a few MB."""
    path = shop.folder / "in.jsonl.gz"
    text = b"word " * (mb // 5)
    with gzip.open(path, "wb", compresslevel=6) as file:
        for number in range(1000):
            file.write(_json_start(number) + text + b'"}\n')
        file.write(b'{"sku": "good", "name": "Good"}\n')
    return [path]


def parquet_dictionary(shop: Shop, mb: int) -> list[Any]:
    """A dictionary of one text of 4 MB, in 500 rows."""
    path = shop.folder / "in.parquet"
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 500, pa.int32()), pa.array(["word " * (4 * mb // 5)])
    )
    table = pa.table({"sku": [f"h{n}" for n in range(500)], "name": ["Thing"] * 500, "text": text})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=1 << 30)
    return [path]


def parquet_plain(shop: Shop, mb: int) -> list[Any]:
    """One text of 4 MB in 200 rows of one row group, not as a dictionary."""
    path = shop.folder / "in.parquet"
    table = pa.table(
        {"sku": [f"h{n}" for n in range(200)], "text": ["word " * (4 * mb // 5)] * 200}
    )
    pq.write_table(table, path, compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    return [path]


def parquet_lists(shop: Shop, mb: int) -> list[Any]:
    """Lists whose entries repeat a text of 1 MB of the dictionary 4 times in each of 200 rows."""
    path = shop.folder / "in.parquet"
    entries = pa.DictionaryArray.from_arrays(
        pa.array([0] * 800, pa.int32()), pa.array(["word " * (mb // 5)])
    )
    table = pa.table(
        {
            "sku": [f"h{n}" for n in range(200)],
            "tags": pa.ListArray.from_arrays(
                pa.array(range(0, 801, 4), pa.int32()), entries.cast(pa.string())
            ),
        }
    )
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=1 << 30)
    return [path]


def parquet_cell(shop: Shop, mb: int) -> list[Any]:
    """A cell of 1 GB beside small ones."""
    path = shop.folder / "in.parquet"
    texts = pa.array(["small", "word " * (1000 * mb // 5), "small"])
    table = pa.table({"sku": ["a", "b", "good"], "text": texts})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    return [path]


def parquet_nulls(shop: Shop, mb: int) -> list[Any]:
    """Half a million empty rows of 200 columns in a few kB."""
    path = shop.folder / "in.parquet"
    rows = mb // 2
    columns: dict[str, Any] = {f"c{n}": pa.nulls(rows, pa.string()) for n in range(100)}
    table = pa.table({"sku": pa.array(["a"] * rows).dictionary_encode(), **columns})
    pq.write_table(table, path, compression="zstd")
    return [path]


def json_cell(shop: Shop, mb: int) -> list[Any]:
    """A cell of 1 GB in JSON lines."""
    path = shop.folder / "in.jsonl"
    with path.open("wb") as file:
        _json_lines(file, 1, 1000 * mb)
    return [path]


def json_element(shop: Shop, mb: int) -> list[Any]:
    """One JSON array with an element of 1 GB."""
    path = shop.folder / "in.json"
    with path.open("wb") as file:
        file.write(b'[{"sku": "a"},\n')
        block = b"x" * (1 << 20)
        file.write(_json_start(0))
        for _ in range(1000 * mb // len(block)):
            file.write(block)
        file.write(b'"},\n{"sku": "good", "name": "Good"}]')
    return [path]


def json_elements(shop: Shop, mb: int) -> list[Any]:
    """A packed JSON array of elements of 60 MB."""
    path = shop.folder / "in.json.gz"
    # Packed any better it would be refused as a bomb.
    with gzip.open(path, "wb", compresslevel=3) as file:
        file.write(b'[{"sku": "a"},\n')
        for number in range(20):
            file.write(_json_start(number) + b"x" * (60 * mb) + b'"},\n')
        file.write(b'{"sku": "good", "name": "Good"}]')
    return [path]


def csv_cell(shop: Shop, mb: int) -> list[Any]:
    """A quoted cell of 1 GB, in lines of 1 MB: each is a record by itself once the cell is given up."""
    path = shop.folder / "in.csv"
    with path.open("wb") as file:
        file.write(b'sku,name,text\na,First,"')
        block = b"x" * (mb - 1) + b"\n"
        for _ in range(1000 * mb // len(block)):
            file.write(block)
        file.write(b'"\ngood,Good,fine\n')
    return [path]


def csv_open(shop: Shop, mb: int) -> list[Any]:
    """A quote that never ends, in one line of 1 GB."""
    path = shop.folder / "in.csv"
    with path.open("wb") as file:
        file.write(b'sku,name,text\ngood,Good,fine\na,First,"')
        block = b"x" * (1 << 20)
        for _ in range(1000 * mb // len(block)):
            file.write(block)
    return [path]


def csv_open_lines(shop: Shop, mb: int) -> list[Any]:
    """A quote that never ends, over lines of 1 kB, 200 MB."""
    path = shop.folder / "in.csv"
    with path.open("wb") as file:
        file.write(b'sku,name,text\ngood,Good,fine\na,First,"')
        block = (b"x" * 999 + b"\n") * (1 << 10)
        for _ in range(200 * mb // len(block)):
            file.write(block)
    return [path]


def wide_records(shop: Shop, mb: int) -> list[Any]:
    """Sixty records of half a million keys each, 6 MB."""
    path = shop.folder / "in.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        keys = b"".join(b'"k%d":1,' % n for n in range(mb // 2))
        for number in range(60):
            file.write(b'{"sku": "h%d", %s "name": "x"}\n' % (number, keys))
        file.write(b'{"sku": "good", "name": "Good"}\n')
    return [path]


def deep_lists(shop: Shop, mb: int) -> list[Any]:
    """Sixty records whose texts are lists of 3 million numbers of one digit, 6 MB each."""
    path = shop.folder / "in.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        cell = b"[" + b"1," * (3 * mb) + b"1]"
        for number in range(60):
            file.write(b'{"sku": "h%d", "name": "x", "text": %s}\n' % (number, cell))
        file.write(b'{"sku": "good", "name": "Good"}\n')
    return [path]


def many_pictures(shop: Shop, mb: int) -> list[Any]:
    """Twenty records with 200,000 references to pictures each."""
    path = shop.folder / "in.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        for number in range(20):
            cell = ",".join(f'"p{number}-{n}.jpg"' for n in range(mb // 5))
            file.write(f'{{"sku": "h{number}", "name": "x", "photos": [{cell}]}}\n'.encode())
        file.write(b'{"sku": "good", "name": "Good"}\n')
    return [path]


def image_table(shop: Shop, mb: int) -> list[Any]:
    """A table of pictures that says the same of one item 2 million times."""
    shop.picture("a.png")
    path = shop.folder / "in.jsonl"
    path.write_bytes(b'{"sku": "good", "name": "Good"}\n')
    table = shop.folder / "pictures.csv.gz"
    with gzip.open(table, "wb", compresslevel=3) as file:
        file.write(b"sku,photo\n")
        for _ in range(20):
            file.write(b"good,a.png\n" * (mb // 10))
    return [path, "--image-table", str(table)]


def xml_text(shop: Shop, mb: int) -> list[Any]:
    """An element whose text has 1 GB."""
    path = shop.folder / "in.xml.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        file.write(b"<items><item><sku>a</sku><name>A</name></item><item><sku>b</sku><text>")
        for _ in range(1000):
            file.write(b"x" * mb)
        file.write(b"</text></item><item><sku>good</sku><name>Good</name></item></items>")
    return [path]


def xml_attribute(shop: Shop, mb: int) -> list[Any]:
    """An element with an attribute of 500 MB."""
    path = shop.folder / "in.xml.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        file.write(b"<items><item><sku>a</sku><name>A</name></item><item text='")
        for _ in range(500):
            file.write(b"x" * mb)
        file.write(b"'><sku>b</sku></item><item><sku>good</sku><name>Good</name></item></items>")
    return [path]


def xml_children(shop: Shop, mb: int) -> list[Any]:
    """A record of ten million elements."""
    path = shop.folder / "in.xml.gz"
    with gzip.open(path, "wb", compresslevel=3) as file:
        file.write(b"<items><item><sku>a</sku><name>A</name></item><item><sku>b</sku>")
        for _ in range(100):
            file.write(b"<a/>" * (mb // 10))
        file.write(b"</item><item><sku>good</sku><name>Good</name></item></items>")
    return [path]


_TYPES = b"""<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>"""
_RELS = b"""<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"""
_BOOK = b"""<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"""
_BOOK_RELS = b"""<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>"""
_MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def _workbook(path: Path, strings: Iterator[bytes], sheet: Iterator[bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELS)
        archive.writestr("xl/workbook.xml", _BOOK)
        archive.writestr("xl/_rels/workbook.xml.rels", _BOOK_RELS)
        for name, parts in (("xl/sharedStrings.xml", strings), ("xl/worksheets/sheet1.xml", sheet)):
            with archive.open(name, "w", force_zip64=True) as part:
                for each in parts:
                    part.write(each)


def _strings(*texts: bytes) -> Iterator[bytes]:
    yield b'<?xml version="1.0"?><sst %s>' % _MAIN
    for text in texts:
        yield b"<si><t>%s</t></si>" % text
    yield b"</sst>"


def _sheet(rows: Iterator[bytes]) -> Iterator[bytes]:
    yield b'<?xml version="1.0"?><worksheet %s><sheetData>' % _MAIN
    yield b'<row r="1"><c r="A1" t="inlineStr"><is><t>sku</t></is></c><c r="B1" t="inlineStr"><is><t>name</t></is></c><c r="C1" t="inlineStr"><is><t>text</t></is></c></row>'
    yield from rows
    yield b"</sheetData></worksheet>"


def _row(number: int, text: bytes) -> bytes:
    return (
        b'<row r="%d"><c r="A%d" t="inlineStr"><is><t>h%d</t></is></c><c r="B%d" t="inlineStr"><is><t>Thing</t></is></c><c r="C%d" %s</c></row>'
        % (number, number, number, number, number, text)
    )


def xlsx_shared(shop: Shop, mb: int) -> list[Any]:
    """A shared string of 4 MB in 500 rows."""
    path = shop.folder / "in.xlsx"
    rows = (_row(n, b't="s"><v>0</v>') for n in range(2, 502))
    _workbook(path, _strings(b"word " * (4 * mb // 5)), _sheet(rows))
    return [path]


def xlsx_strings(shop: Shop, mb: int) -> list[Any]:
    """240 MB of shared strings of one character each."""
    path = shop.folder / "in.xlsx"
    many = b"<si><t>x</t></si>" * (mb // 17)

    def strings() -> Iterator[bytes]:
        yield b'<?xml version="1.0"?><sst %s>' % _MAIN
        for _ in range(240):
            yield many
        yield b"</sst>"

    _workbook(path, strings(), _sheet(_row(n, b't="s"><v>0</v>') for n in range(2, 9)))
    return [path]


def xlsx_cell(shop: Shop, mb: int) -> list[Any]:
    """A cell of 240 MB."""
    path = shop.folder / "in.xlsx"
    rows = (
        _row(n, b't="inlineStr"><is><t>' + (b"x" * (240 * mb) if n == 3 else b"y") + b"</t></is>")
        for n in range(2, 6)
    )
    _workbook(path, _strings(b"a"), _sheet(rows))
    return [path]


def xlsx_rows(shop: Shop, mb: int) -> list[Any]:
    """Rows of 7 MB each, 34 of them."""
    path = shop.folder / "in.xlsx"
    rows = (
        _row(n, b't="inlineStr"><is><t>' + b"word " * (7 * mb // 5) + b"</t></is>")
        for n in range(2, 36)
    )
    _workbook(path, _strings(b"a"), _sheet(rows))
    return [path]


def _png(path: Path, width: int, height: int) -> None:
    """A PNG of one colour, packed to a thousandth."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    row = b"\0" + b"\x7f\x00\x20" * width
    with path.open("wb") as file:
        file.write(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        )
        data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        file.write(chunk(b"IDAT", data) + chunk(b"IEND", b""))


def huge_pictures(shop: Shop, mb: int) -> list[Any]:
    """Eight pictures of just the most pixels that are allowed, and one beyond it."""
    path = shop.folder / "in.jsonl"
    for number in range(8):
        _png(shop.images / f"p{number}.png", 7000, 7100 + number)
    _png(shop.images / "p8.png", 12000, 12000)
    with path.open("wb") as file:
        for n in range(9):
            file.write(b'{"sku": "h%d", "name": "x", "photos": ["p%d.png"]}\n' % (n, n))
    return [path]


HOSTILE: dict[str, Hostile] = {
    # More than a thousand times their size: refused with a reason where that shows.
    "gz lines of 60 MB": Hostile(gz_lines, None),
    "zst lines of 60 MB": Hostile(zst_lines, None),
    "bz2 lines of 60 MB": Hostile(bz2_lines, 5),
    "xz lines of 60 MB": Hostile(xz_lines, None),
    "zip lines of 60 MB": Hostile(zip_lines, 5),
    "60 records of 7 MB": Hostile(large_records, 61),
    "1000 rows of one id": Hostile(many_ids, 1001),
    "1000 packed records of 1 MB": Hostile(packed_records, 1001),
    "parquet dictionary": Hostile(parquet_dictionary, 500),
    "parquet plain": Hostile(parquet_plain, 200),
    "parquet lists": Hostile(parquet_lists, 200),
    "parquet cell of 1 GB": Hostile(parquet_cell, 3),
    "parquet nulls": Hostile(parquet_nulls, 524288),
    "JSON cell of 1 GB": Hostile(json_cell, 2),
    "JSON element of 1 GB": Hostile(json_element, 3),
    "JSON elements of 60 MB": Hostile(json_elements, 22),
    "CSV cell of 1 GB": Hostile(csv_cell, None),
    "CSV quote never closed, one line": Hostile(csv_open, 2),
    "CSV quote never closed, lines": Hostile(csv_open_lines, None),
    "wide records": Hostile(wide_records, 61),
    "lists of numbers": Hostile(deep_lists, 61),
    "many pictures a record": Hostile(many_pictures, 21),
    "image table that repeats": Hostile(image_table, None),
    "XML text of 1 GB": Hostile(xml_text, 3),
    "XML attribute of 500 MB": Hostile(xml_attribute, 3),
    "XML children": Hostile(xml_children, 3),
    "xlsx shared string": Hostile(xlsx_shared, 500),
    "xlsx many strings": Hostile(xlsx_strings, 7),
    "xlsx cell of 240 MB": Hostile(xlsx_cell, 4),
    "xlsx rows of 7 MB": Hostile(xlsx_rows, 34),
    "huge pictures": Hostile(huge_pictures, 9),
}
