"""Files inside files, and files that are not what their names say."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Reject
from transforms.readers import (
    InputRefusedError,
    ParsedRecord,
    SplitReport,
    plan_splits,
    read_split,
    rebuild,
)

RECORDS = [{"id": f"r{n}", "title": f"Kettle ünder {n}", "price": n + 0.5} for n in range(30)]
LINES = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in RECORDS).encode()


def frame(data: bytes) -> bytes:
    """Compressed by Zstandard."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def as_parquet(records: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), out)
    return out.getvalue()


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[list[dict[str, Any]], list[Reject], list[SplitReport]]:
    """Cells of the records, of which each comes back from its own bytes, rejects and reports."""
    elements = [each for split in plan_splits([str(path)]) for each in read_split(split)]
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]
    rejects = [each for each in elements if isinstance(each, Reject)]
    return (
        [each.cells for each in records],
        rejects,
        [each for each in elements if isinstance(each, SplitReport)],
    )


def refusal(path: Path) -> str:
    with pytest.raises(InputRefusedError) as caught:
        plan_splits([str(path)])
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{path}: ")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "c.jsonl.gz": gzip.compress,
    "C.JSONL.GZ": gzip.compress,
    "cat.jsonl.gz": lambda data: gzip.compress(data[:900]) + gzip.compress(data[900:]),
    "c.jsonl.bz2": bz2.compress,
    "cat.jsonl.bz2": lambda data: bz2.compress(data[:900]) + bz2.compress(data[900:]),
    "c.jsonl.xz": lzma.compress,
    "cat.jsonl.xz": lambda data: lzma.compress(data[:9]) + b"\0" * 8 + lzma.compress(data[9:]),
    "c.jsonl.zst": frame,
    "cat.jsonl.zst": lambda data: (
        frame(data[:900]) + b"\x50\x2a\x4d\x18\2\0\0\0hi" + frame(data[900:])
    ),
    "c.zip": lambda data: zipped(("export/c.jsonl", data)),
    "stored.zip": lambda data: zipped(("c.jsonl", data), method=zipfile.ZIP_STORED),
    "lzma.zip": lambda data: zipped(("c.jsonl", data), method=zipfile.ZIP_LZMA),
    "mac.zip": lambda data: zipped(("c.jsonl", data), ("__MACOSX/._c.jsonl", b"\0\5\x16\7")),
    "gz-in.zip": lambda data: zipped(("c.jsonl.gz", gzip.compress(data))),
    "slip.zip": lambda data: zipped(("../../../etc/c.jsonl", data)),
    "c.tar": lambda data: tarred(("a/c.jsonl", data)),
    "c.tar.gz": lambda data: gzip.compress(tarred(("c.jsonl", data))),
    "c.tgz": lambda data: gzip.compress(tarred(("c.jsonl", data))),
    "zip.gz": lambda data: gzip.compress(zipped(("c.jsonl", data))),
    "really-gzip.jsonl": gzip.compress,
    "really-zip.jsonl": lambda data: zipped(("c.jsonl", data)),
    "no-gzip.jsonl.gz": lambda data: data,
    "really-xz.jsonl.gz": lzma.compress,
    "export": lambda data: data,
    "export.txt": lambda data: data,
    "really-jsonl.csv": lambda data: data,
}


@pytest.mark.parametrize("name", PACKED)
def test_a_container_changes_nothing(tmp_path, name):
    """Records out of a container are those of the file in it, whatever its name says."""
    records, rejects, (report,) = read(write(tmp_path, name, PACKED[name](LINES)))
    assert (records, rejects) == (RECORDS, [])
    assert report.sha256
    assert report.lines == {"record": 30}


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["id", "title", "x"]), st.text(max_size=40), min_size=1),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(sorted(PACKED)),
)
def test_whatever_is_packed(tmp_path_factory, records, name):
    """Any JSON lines come out of each container as they went in."""
    data = "".join(json.dumps(each) + "\n" for each in records).encode()
    path = write(tmp_path_factory.mktemp("packed"), name, PACKED[name](data))
    assert read(path)[0] == records


@pytest.mark.parametrize("name", ["c.parquet", "c.csv", "c.parquet.gz", "c.parquet.zip"])
def test_parquet_under_any_name(tmp_path, name):
    """Parquet is read as such in a container and under another name."""
    data = as_parquet(RECORDS)
    packed = {"c.parquet.gz": gzip.compress, "c.parquet.zip": lambda d: zipped(("c.parquet", d))}
    path = write(tmp_path, name, packed.get(name, bytes)(data))
    assert read(path)[:2] == (RECORDS, [])


def test_members_are_files(tmp_path):
    """Each member is a file of its own in the account, those that are none are named."""
    path = write(
        tmp_path,
        "export.zip",
        zipped(
            ("a/products.csv", b"id,title\n1,Mug\n"),
            ("a/read me.pdf", b"%PDF-1.7 ..."),
            ("b/more.jsonl", b'{"id": "2"}\n'),
        ),
    )
    records, _, reports = read(path)
    assert records == [{"id": "1", "title": "Mug"}, {"id": "2"}]
    assert [report.path for report in reports] == [
        f"{path}/a/products.csv",
        f"{path}/b/more.jsonl",
    ]
    assert reports[0].read_as == ("CSV, left out of export.zip: a/read me.pdf")
    assert (reports[0].size_bytes, reports[1].size_bytes) == (15, 12)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("really-gzip.jsonl", "JSON lines, compressed by gzip although its name does not say so"),
        ("no-gzip.jsonl.gz", "JSON lines, not compressed although its name ends in .gz"),
        ("really-jsonl.csv", "JSON lines, although its name ends in .csv"),
        ("c.jsonl.bz2", ""),
    ],
)
def test_names_that_lie_are_told(tmp_path, name, told):
    """What a file is and its name does not say is told, and only that."""
    _, _, (report,) = read(write(tmp_path, name, PACKED[name](LINES)))
    assert report.read_as == told


@pytest.mark.parametrize(
    "harmed",
    [
        gzip.compress(LINES)[:-30],
        bz2.compress(LINES)[:-30],
        lzma.compress(LINES)[:-30],
        frame(LINES)[:-30],
        lzma.compress(LINES) + b"garbage",
    ],
)
def test_what_breaks_off_is_told(tmp_path, harmed):
    """A container that ends in the middle gives what it holds before, and one reject."""
    records, rejects, (report,) = read(write(tmp_path, "c.jsonl", harmed))
    assert [each.reason for each in rejects][-1] == "file-unreadable"
    assert all(each in RECORDS for each in records)
    assert report.sha256 == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.4\n", "this is a PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "soffice --headless --convert-to xlsx"),
        (b"SQLite format 3\0" + bytes(100), "sqlite3 -header -csv FILE"),
        (b"7z\xbc\xaf\x27\x1c", "7z x FILE"),
        (b"Rar!\x1a\x07\x01\0", "unrar x FILE"),
        (b"ARROW1\0\0", "pandas.read_feather(FILE).to_parquet()"),
        (b"ORC\x0a", "pandas.read_orc(FILE)"),
        (b"Obj\x01\x04", "avro-tools tojson FILE"),
        (b"\x80\x04\x95\x10\0\0\0", "never opened because it can run code"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\n<!DOCTYPE HTML>\n<html><body>Log in, please</body>", "perhaps a login page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "(accessdenied)"),
        (b"-- MySQL dump 10.13\n--\nCREATE TABLE a (b int);", "dump of a database as SQL"),
        (b"12345678DUCK" + bytes(40), "duckdb FILE -c"),
        (b"\x89PNG\r\n\x1a\n", "this is a picture"),
        (zipped(("mimetype", b"application/x"), ("content.xml", b"<a/>")), "OpenDocument"),
        (zipped(("[Content_Types].xml", b""), ("xl/workbook.bin", b"")), ".xlsb"),
        (zipped(("a.pdf", b"%PDF-")), "a.pdf: this is a PDF document"),
        (zipped(), "the zip archive holds no files"),
        (zipped(("in.zip", zipped(("c.csv", b"id\n")))), "an archive in an archive; unpack it"),
        (zipped(("c.jsonl", b"{}"))[:-9], "the zip archive is damaged"),
        (tarred(("c.jsonl", LINES * 9))[:9000], "the tar archive is damaged"),
        (b"\x04\x22\x4d\x18" + bytes(9), "lz4 -d FILE"),
    ],
)
def test_what_holds_no_records_is_named(tmp_path, data, said):
    """What cannot be read is named by its first bytes, with what helps, before any work."""
    for name in ("a.csv", "a.jsonl", "a.unknown"):
        assert said in refusal(write(tmp_path, name, data))


def test_an_encrypted_member(tmp_path):
    """A zip archive with a password is refused, with the command that asks for it."""
    data = bytearray(zipped(("c.csv", b"id\n1\n")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    assert refusal(write(tmp_path, "c.zip", bytes(data))) == (
        "c.csv is encrypted; unpack it with its password: 7z x"
    )


def test_bombs(tmp_path):
    """What unpacks to a thousand times its size takes neither memory nor time."""
    zeros = bytes(300 << 20)
    bomb = write(tmp_path, "bomb.zip", zipped(("c.jsonl", zeros)))
    assert "as no catalog does" in refusal(bomb)
    packed = write(tmp_path, "bomb.jsonl.bz2", bz2.compress(zeros))
    del zeros
    tracemalloc.start()
    _, (reject,), _ = read(packed)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()
    assert "more than 1,000 times its size" in reject.message


@pytest.mark.parametrize(
    ("name", "data", "records"),
    [
        ("a.txt", b'id,title\n1,"Mug, red"\n2,"Pan\nlarge"\n3,Pot\n', 3),
        ("b.txt", b"Template\tVersion\nid\ttitle\tprice\n1\tMug\t2\n2\tPan\t3\n", 3),
        ("c.dat", b"id;title\n1;Mug\n2;Pan\n", 2),
        ("export", b'[{"id": 1}, {"id": 2}]', 2),
        ("export.bin", b'[\n  {"id": 1},\n  {"id": 2}\n]\n', 2),
        ("whole", b'{"total": 2, "products": [{"id": 1}, {"id": 2}]}', 2),
    ],
)
def test_texts_whose_names_say_nothing(tmp_path, name, data, records):
    """Cells with delimiters and line breaks, titles above a header, documents of one line: known."""
    found, rejected, _ = read(write(tmp_path, name, data))
    assert len(found) + len(rejected) == records


@pytest.mark.parametrize(
    "text",
    [
        "Dear customer,\nthank you for the order, it is on its way.\nYours,\nthe shop\n",
        "A list of words\nwithout any order\n",
    ],
)
def test_prose_is_no_table(tmp_path, text):
    """Commas in sentences part no cells."""
    with pytest.raises(InputRefusedError, match="says nothing of the format"):
        read(write(tmp_path, "letter.txt", text.encode()))


def tarred_twice(name: str, *contents: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for data in contents:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_members_of_one_name(tmp_path, name):
    """Of several members of one name the last is read, once, and the others are told."""
    old, new = b'{"sku": "1"}\n', b'{"sku": "2"}\n{"sku": "3"}\n'
    data = (
        zipped(("x.jsonl", old), ("x.jsonl", new))
        if name == "a.zip"
        else tarred_twice("x.jsonl", old, new)
    )
    records, rejects, (report,) = read(write(tmp_path, name, data))
    assert ([each["sku"] for each in records], rejects) == (["2", "3"], [])
    assert f"left out of {name}: x.jsonl (an older copy)" in report.read_as


def test_members_that_are_only_named_as_those_beside_files(tmp_path):
    """A name that begins as that of a mark of Spark or Windows is a file; records among the notes
    of macOS are told.
    """
    record = b'{"sku": "1"}\n'
    names = ("_SUCCESS_STORIES.jsonl", "Thumbs.db.jsonl", "._x.jsonl", "__MACOSX/y.jsonl")
    beside = (("_SUCCESS", b""), (".DS_Store", b"\0\1"), ("__MACOSX/._x.jsonl", b"\0\5\x16\7"))
    data = zipped(*((name, record) for name in names), *beside)
    records, _, reports = read(write(tmp_path, "a.zip", data))
    assert len(records) == 2
    assert reports[0].read_as.endswith("left out of a.zip: ._x.jsonl, __MACOSX/y.jsonl")


def test_the_compression_of_an_archive_is_not_that_of_its_members(tmp_path):
    """Nothing is told of the members of a compressed tar archive that is called so."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("x.jsonl")
        member.size = 13
        archive.addfile(member, io.BytesIO(b'{"sku": "1"}\n'))
    _, _, (report,) = read(write(tmp_path, "a.tar.gz", out.getvalue()))
    assert report.read_as == ""


def test_a_workbook_as_xml(tmp_path):
    """The XML of Excel 2003 is named, with what helps."""
    data = b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'
    assert "Excel 2003; open it in a spreadsheet" in refusal(write(tmp_path, "a.xml", data))


def test_an_array_by_another_name(tmp_path):
    """JSON in an array is no table, whatever its name."""
    records, _, (report,) = read(write(tmp_path, "a.csv", b'[{"sku": "1"},\n{"sku": "2"}]'))
    assert [each["sku"] for each in records] == ["1", "2"]
    assert report.read_as == "JSON, one array, although its name ends in .csv"
