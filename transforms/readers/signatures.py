"""What a file is by its first bytes, and what helps where that is nothing to read records from."""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from transforms.readers.containers import TAR, ZIP
from transforms.readers.contract import FileRefusedError

# Enough for a header of tar, and for the first lines of text.
LOOKED_AT_BYTES = 64 << 10
_TAR_MARK = slice(257, 262)
_DUCKDB_MARK = slice(8, 12)
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_PACKED = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_BZ2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZIP_BEGINS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b"
)
_XML = re.compile(r"\s*<(?:\?xml\s|rss\b|feed\b|!doctype\s|!--)")
_ELEMENT = re.compile(r"\s*<[a-z_][\w:.-]*(?:\s[^<>]*)?/?>")
_EXCEL_2003 = "urn:schemas-microsoft-com:office:spreadsheet"
_REFUSAL = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<error>\s*<code>\s*(\w+)")
_SQL = re.compile(r"\s*(?:--|/\*).{0,300}?\b(?:dump|mysqldump|phpmyadmin)\b", re.DOTALL)
_HELD_IN_JSON = re.compile(r"\s*[\[{]")
_JSON_LINE = re.compile(r"\s*\{.*\}\s*")
_DELIMITERS = "\t,;|"
_JSON_BEGIN = re.compile(r'\s*(?:\[\s*\{|\{\s*")')
_ARRAY_BEGIN = re.compile(r'\s*\[\s*\{\s*"[^"]*"\s*:')
_LOOKED_AT_LINES = 50
_MOST_ROWS = 0.6
_MANY_ROWS, _FEW_CELLS = 5, 2

_SPREADSHEET = "open it in a spreadsheet and save it as .xlsx or as CSV UTF-8"
# How a file begins → what it is, and what helps.
_UNREAD = (
    (b"%PDF-", "a PDF document", "ask for the table as CSV or .xlsx"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Excel file (.xls), or a workbook with a password",
        f"{_SPREADSHEET}, without a password: soffice --headless --convert-to xlsx FILE",
    ),
    (b"SQLite format 3\0", "an SQLite database", "sqlite3 -header -csv FILE 'select * from TABLE'"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x FILE"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it: unrar x FILE"),
    (b"ARROW1", "an Arrow (Feather) file", "write Parquet: pandas.read_feather(FILE).to_parquet()"),
    (b"FEA1", "an old Feather file", "write Parquet: pandas.read_feather(FILE).to_parquet()"),
    (b"ORC", "an ORC file", "write Parquet: pandas.read_orc(FILE).to_parquet()"),
    (b"Obj\x01", "an Avro file", "write JSON lines: avro-tools tojson FILE"),
    (b"PARE", "an encrypted Parquet file", "write it again without encryption"),
    (
        b"version https://git-lfs.github.com/",
        "a pointer of Git LFS",
        "fetch the file: git lfs pull",
    ),
    (b"\x93NUMPY", "a NumPy array", "write Parquet with the names of its columns"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write Parquet: pandas.read_hdf(FILE).to_parquet()"),
    (b"\x04\x22\x4d\x18", "compressed by LZ4", "unpack it: lz4 -d FILE"),
    (b"\xff\x06\0\0sNaPpY", "compressed by Snappy", "unpack it: snzip -d FILE"),
    (b"\x1f\x9d", "compressed by compress", "unpack it: uncompress FILE"),
    (b"\x1f\xa0", "compressed by compress", "unpack it: uncompress FILE"),
    (b"LZIP", "compressed by lzip", "unpack it: lzip -d FILE"),
    (b"\x89PNG\r\n", "a picture", "name the file with the records"),
    (b"\xff\xd8\xff", "a picture", "name the file with the records"),
    (b"GIF8", "a picture", "name the file with the records"),
    (b"{\\rtf", "a text document (RTF)", "ask for the table as CSV or .xlsx"),
    (b"RDX", "data of R", "write CSV: write.csv(DATA, FILE, row.names = FALSE)"),
    (b"\0\x05\x16\x07", "notes of macOS on another file", "name the file without ._ before it"),
    (
        b"\0\x01\0\0Standard ",
        "an Access database",
        "export its table as CSV: mdb-export FILE TABLE",
    ),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|[cC}\]()qXK\x8c])")
_OFFICE = (
    ("xl/workbook.bin", "a binary workbook (.xlsb)", _SPREADSHEET),
    ("word/document.xml", "a text document (.docx)", "ask for the table as CSV or .xlsx"),
    ("ppt/presentation.xml", "a presentation", "ask for the table as CSV or .xlsx"),
    (
        "content.xml",
        "an OpenDocument file (.ods)",
        f"{_SPREADSHEET}: soffice --headless --convert-to xlsx FILE",
    ),
)
_WORKBOOK = "xl/workbook.xml"


class Signature(NamedTuple):
    """What a beginning says: a compression, `zip` or `tar`, or a format; both may be empty."""

    packing: str = ""
    format: str = ""


def signature_of(beginning: bytes) -> Signature:
    """Return what a file is by how it begins.

    Raises FileRefusedError for what holds no records that can be read, with what helps.
    """
    for mark, packing in _PACKED:
        if beginning.startswith(mark):
            return Signature(packing)
    if _BZ2.match(beginning):
        return Signature("bz2")
    if _ZSTD_SKIPPABLE.match(beginning):
        return Signature("zstd")
    if beginning.startswith(_ZIP_BEGINS):
        return Signature(ZIP)
    if beginning[_TAR_MARK] == b"ustar":
        return Signature(TAR)
    if beginning.startswith(b"PAR1"):
        return Signature(format="parquet")
    for mark, what, help_ in _UNREAD:
        if beginning.startswith(mark):
            raise FileRefusedError([f"this is {what}, not a catalog; {help_}"])
    if beginning[_DUCKDB_MARK] == b"DUCK":
        raise FileRefusedError(
            ["this is a DuckDB database; duckdb FILE -c \"copy TABLE to 'TABLE.parquet'\""]
        )
    if _PICKLE.match(beginning):
        raise FileRefusedError(
            [
                "this is a Python pickle, which is never opened because it can run code; write "
                "Parquet: DataFrame.to_parquet()"
            ]
        )
    return Signature()


def office_format(stream: BinaryIO) -> str:
    """Return `xlsx` for a zip archive that is a workbook, nothing for one that is no document.

    Raises FileRefusedError for other documents.
    """
    with zipfile.ZipFile(stream) as opened:
        names = set(opened.namelist())
    if _WORKBOOK in names:
        return "xlsx"
    for mark, what, help_ in _OFFICE:
        if mark in names and ("[Content_Types].xml" in names or "mimetype" in names):
            raise FileRefusedError([f"this is {what}, not a catalog; {help_}"])
    return ""


def text_format(beginning: bytes, expected: str | None) -> str | None:
    """Return the format of a text by how it begins; `expected` where that says nothing else.

    Raises FileRefusedError for a web page and the like.
    """
    text = _decoded(beginning)
    folded = text[:4_000].casefold()
    if _HTML.match(folded):
        raise FileRefusedError(
            [
                "this is a web page, perhaps a login page or an error, not a catalog; download the "
                "file again, or save its table as CSV"
            ]
        )
    if refused := _REFUSAL.match(folded):
        raise FileRefusedError(
            [f"this is a storage's answer ({refused[1]}), not a catalog; download the file again"]
        )
    if _SQL.match(folded):
        raise FileRefusedError(
            ["this is a dump of a database as SQL, not a catalog; export its table as CSV"]
        )
    if _EXCEL_2003 in folded:
        raise FileRefusedError([f"this is a workbook as XML of Excel 2003; {_SPREADSHEET}"])
    is_tabular = expected in ("csv", "tsv")
    if expected == "xml" or _XML.match(folded) or (not is_tabular and _ELEMENT.match(folded)):
        return "xml"
    whole = text.splitlines(keepends=True)
    if len(whole) > 1 and not text.endswith(("\n", "\r")):
        whole.pop()  # it may be cut
    lines = [line for line in whole if line.strip()][:_LOOKED_AT_LINES]
    if expected is None and _JSON_BEGIN.match(text):
        return "jsonl"
    if is_tabular and _ARRAY_BEGIN.match(text):
        return "jsonl"
    if is_tabular or expected is None:
        return "jsonl" if lines and _are_json(lines) else expected or _delimited(lines)
    if expected == "jsonl" and lines and not any(map(_HELD_IN_JSON.match, lines)):
        return _delimited(lines) or expected
    return expected


def _decoded(beginning: bytes) -> str:
    for mark, encoding in _BOMS:
        if beginning.startswith(mark):
            return beginning[len(mark) :].decode(encoding, "replace")
    return beginning.decode("utf-8", "replace")


def _are_json(lines: Sequence[str]) -> bool:
    return all(_JSON_LINE.fullmatch(line) for line in lines) or lines[0].strip() in ("[", "{", "[{")


def _delimited(lines: Sequence[str]) -> str | None:
    """Return the format of lines that one delimiter parts into as many cells each, most of them:
    cells may hold line breaks, and what comes before a header is shorter.
    """
    for delimiter in _DELIMITERS:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        # Of the last one, lines may be missing.
        rows = rows[:-1] if len(rows) > _MANY_ROWS else rows
        widths = Counter(map(len, rows))
        width, count = max(widths.items(), key=lambda found: (found[1], found[0]), default=(0, 0))
        # A sentence has a comma now and then.
        enough = _MOST_ROWS if width > _FEW_CELLS else 1
        if width > 1 and len(rows) > 1 and count >= enough * len(rows):
            return "tsv" if delimiter == "\t" else "csv"
    return None
