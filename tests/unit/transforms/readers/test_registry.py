"""What holds for every format: reports, files that break off or vanish, a first look; and the real
catalogs.
"""

import gzip
import hashlib
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.elements import Reject
from tests.support import DATA
from transforms.readers import (
    ParsedRecord,
    ReadLimits,
    SplitReport,
    peek,
    plan_splits,
    read_split,
    rebuild,
)

IDS = [str(number) for number in range(1000)]
NAMES = ["jsonl", "jsonl.gz", "csv", "csv.gz", "tsv", "tsv.gz", "parquet"]


def write(folder: Path, name: str, ids: list[str] = IDS) -> Path:
    """A catalog with one column `id` in the format that `name` says."""
    path = folder / f"catalog.{name}"
    if name == "parquet":
        pq.write_table(pa.table({"id": ids}), path)
        return path
    lines = (
        [f'{{"id":"{item_id}"}}\n' for item_id in ids]
        if "json" in name
        else ["id\n", *(f"{i}\n" for i in ids)]
    )
    data = "".join(lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def split_up(elements):
    """Ids of the records, the rejects, the reports."""
    elements = list(elements)
    ids = [element.cells["id"] for element in elements if isinstance(element, ParsedRecord)]
    return (
        ids,
        [e for e in elements if isinstance(e, Reject)],
        [e for e in elements if isinstance(e, SplitReport)],
    )


@pytest.mark.parametrize("name", NAMES)
def test_report(tmp_path, name):
    """A file's records come in order, the last element is the report with the stored file's size
    and SHA-256.
    """
    path = write(tmp_path, name)
    (split,) = plan_splits([str(path)], kind="image-table")
    *records, report = read_split(split)
    assert [record.cells for record in records] == [{"id": item_id} for item_id in IDS]
    assert [rebuild(record.raw) for record in records] == [record.cells for record in records]
    assert {(r.raw.file, r.raw.kind, r.raw.format) for r in records} == {
        (str(path), "image-table", split.format)
    }
    stored = path.read_bytes()
    sha256 = hashlib.sha256(stored).hexdigest()
    lines = {} if split.format == "parquet" else {"record": 1000}
    lines |= {"header": 1} if split.format in ("csv", "tsv") else {}
    assert report == SplitReport(
        str(path), "image-table", 0, split.end, len(stored), sha256, 1000, 0, lines=lines
    )


@pytest.mark.parametrize("name", NAMES)
def test_file_that_vanishes(tmp_path, name):
    """A file that vanishes between planning and reading is one reject without bytes, and no
    exception.
    """
    path = write(tmp_path, name)
    splits = plan_splits([str(path)])
    path.unlink()
    ids, (reject,), (report,) = split_up(read_split(splits[0]))
    assert (ids, reject.reason, reject.stage) == ([], "file-unreadable", "read")
    assert (reject.raw.data, reject.raw.file, reject.raw.position) == (b"", str(path), 0)
    assert "FileNotFoundError" in reject.message
    assert (report.records, report.rejects, report.sha256) == (0, 1, "")


@pytest.mark.parametrize("name", NAMES)
def test_file_that_becomes_a_directory(tmp_path, name):
    """Whatever keeps a file from being opened is one reject."""
    path = write(tmp_path, name)
    splits = plan_splits([str(path)])
    path.unlink()
    path.mkdir()
    ids, (reject,), _ = split_up(read_split(splits[0]))
    assert (ids, reject.reason) == ([], "file-unreadable")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("name", NAMES)
def test_permission_denied(tmp_path, name):
    """A file that may not be read is planned, and is one reject when it is read."""
    path = write(tmp_path, name)
    path.chmod(0)
    ids, (reject,), _ = split_up(read_split(plan_splits([str(path)])[0]))
    assert (ids, reject.reason) == ([], "file-unreadable")
    assert "PermissionError" in reject.message


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_file_that_became_shorter(tmp_path, name):
    """A plain file that has lost its end since the start gives the rest and one reject; growth is
    left for later.
    """
    path = write(tmp_path, name)
    splits = plan_splits([str(path)], split_bytes=5000)
    path.write_bytes(path.read_bytes() + path.read_bytes()[-4:])
    assert split_up(e for split in splits for e in read_split(split))[0] == IDS
    write(tmp_path, name, IDS[:100])
    ids, rejects, reports = split_up(e for split in splits for e in read_split(split))
    assert ids == IDS[:100]
    assert {reject.reason for reject in rejects} == {"file-unreadable"}
    assert len(rejects) == len(splits) == len(reports)
    assert "has become shorter" in rejects[0].message


@pytest.mark.parametrize("name", ["jsonl.gz", "csv.gz", "tsv.gz"])
def test_gzip_that_breaks_off(tmp_path, name):
    """Of a truncated gzip file the records before the break are read, then one reject says after
    which line.
    """
    path = write(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-500])
    ids, (reject,), (report,) = split_up(read_split(plan_splits([str(path)])[0]))
    assert ids == IDS[: len(ids)]
    assert 0 < len(ids) < 1000
    assert (reject.reason, reject.raw.data) == ("file-unreadable", b"")
    assert reject.raw.position == len(ids) + ("json" not in name)
    assert "EOFError" in reject.message
    assert (report.records, report.rejects, report.sha256) == (len(ids), 1, "")


@pytest.mark.parametrize("name", ["jsonl.gz", "csv.gz", "tsv.gz"])
@pytest.mark.parametrize("harm", ["checksum", "middle", "garbage"])
def test_corrupt_gzip(tmp_path, name, harm):
    """A gzip file with a wrong checksum, damage or trailing garbage ends in one reject."""
    path = write(tmp_path, name)
    data = bytearray(path.read_bytes())
    match harm:
        case "checksum":
            data[-6] ^= 0xFF
        case "middle":
            data[len(data) // 2 :] = b"\xff" * (len(data) // 2)
        case "garbage":
            data += b"garbage"
    path.write_bytes(data)
    ids, rejects, (report,) = split_up(read_split(plan_splits([str(path)])[0]))
    assert [reject.reason for reject in rejects].count("file-unreadable") == 1
    assert (rejects[-1].reason, report.sha256) == ("file-unreadable", "")
    # Damage in the middle may decode to anything before it is noticed.
    assert harm == "middle" or (ids, len(rejects)) == (
        IDS if harm in ("checksum", "garbage") else [],
        1,
    )


def test_several_gzip_members(tmp_path):
    """Gzip files that were joined are read to the end of the last."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id":1}\n') + gzip.compress(b'{"id":2}\n'))
    assert split_up(read_split(plan_splits([str(path)])[0]))[0] == [1, 2]


def test_splits_and_records_are_plain_data(tmp_path):
    """A split survives pickling, so that workers elsewhere can read it."""
    splits = plan_splits([str(write(tmp_path, "jsonl"))], split_bytes=999)
    assert pickle.loads(pickle.dumps(splits)) == splits


def test_limits_are_checked():
    """A limit of nothing is refused by the name of its option; what may be read is kept whole."""
    with pytest.raises(ValueError, match=r"--max-record-bytes is 0; allowed is .* at least 1"):
        ReadLimits(0)
    assert ReadLimits(10, 9).kept_bytes == 10


def test_peek(tmp_path):
    """A first look counts the records that hold a value, column by column, over the beginnings of
    all files.
    """
    (tmp_path / "a.jsonl").write_bytes(b'{"id":1,"name":""}\n{"name":" ","tags":[]}\n{bad\n' * 50)
    (tmp_path / "b.csv").write_bytes(b"id,price\n" + b"1,\n2,3\n" * 2)
    seen = peek(plan_splits([f"{tmp_path}/*"], split_bytes=1000), limit=20)
    assert seen.columns == {"id": 4 + 4, "name": 0, "tags": 0, "price": 2}
    assert list(seen.columns) == ["id", "name", "tags", "price"]
    assert (seen.records, seen.rejects) == (7 + 4, {"malformed-json": 3})


def test_peek_reads_no_further(tmp_path):
    """A first look stops after its limit, also when there are more files than that."""
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(b'{"id":1}\n' * 100)
    splits = plan_splits([f"{tmp_path}/*"])
    assert peek(splits, limit=3).records == 3
    assert peek(splits, limit=50).records == 50
    assert peek([]).columns == {}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real catalogs are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("grocery/catalog.jsonl", 399),
        ("magento/catalog*.csv", 1418),
        ("implicitave/catalog.jsonl", 763),
        ("wdc_pave/catalog.jsonl", 1066),
        ("interactions/items.jsonl", 1175),
        ("stamps/catalog.jsonl", 161),
        ("implicitave/labelled_texts.jsonl.gz", 54_881),
        ("interactions/interactions.parquet", 71_083),
    ],
)
def test_real_catalogs(name, count):
    """Every record of a real catalog is read, none is refused, and its bytes rebuild it."""
    elements = [
        e
        for split in plan_splits([str(DATA / name)], split_bytes=100_000)
        for e in read_split(split)
    ]
    assert [element for element in elements if isinstance(element, Reject)] == []
    records = [element for element in elements if isinstance(element, ParsedRecord)]
    assert len(records) == count
    assert all(rebuild(record.raw) == record.cells for record in records[::37])
