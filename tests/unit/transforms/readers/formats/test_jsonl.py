"""JSON lines: what is a record, what is refused for which reason, and that ranges partition the
lines.
"""

import gzip
import tempfile
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Reject
from transforms.readers import (
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    plan_splits,
    read_split,
    rebuild,
)
from transforms.readers.contract import DEFAULT_LIMITS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=12)


def read(path: Path, limits: ReadLimits = DEFAULT_LIMITS, **plan):
    return [
        element
        for split in plan_splits([str(path)], **plan)
        for element in read_split(split, limits)
    ]


def records(elements) -> list[dict]:
    return [element.cells for element in elements if isinstance(element, ParsedRecord)]


def rejects(elements) -> list[Reject]:
    return [element for element in elements if isinstance(element, Reject)]


def refused(tmp_path: Path, line: bytes, limits: ReadLimits = DEFAULT_LIMITS) -> Reject:
    """The one reject of a bad line between two good ones, which must both come through."""
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(b'{"id":1}\n' + line + b'{"id":3}\n')
    elements = read(path, limits)
    assert records(elements) == [{"id": 1}, {"id": 3}]
    (reject,) = rejects(elements)
    assert (reject.raw.data, reject.raw.position, reject.raw.file) == (line, 2, str(path))
    return reject


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (
            b'{"a":"caf\xe9"}\n',
            "invalid-utf8",
            "byte 0xE9 at offset 9 is not UTF-8; export as UTF-8",
        ),
        (b'{"a":"\xed\xa0\x80"}\n', "invalid-utf8", "byte 0xED at offset 6"),
        ('{"a":1}'.encode("utf-16-be") + b"\n", "invalid-utf8", "looks like UTF-16"),
        (b'\xff\xfe{"a":1}\n', "invalid-utf8", "looks like UTF-16"),
        (b'{"id":2,"name":"Sh\n', "malformed-json", "at character 19, near"),
        (
            b'{"id":2} {"id":3}\n',
            "malformed-json",
            "unexpected content after document at character 10",
        ),
        (b'{"id":NAN}\n', "malformed-json", "at character 7"),
        (b'{"id":"a\x00b"}\n', "malformed-json", "control character"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"\n", "malformed-json", "depth limit"),
        (b"hello\r\n", "malformed-json", "near 'hello"),
        # Python writes no such dictionary, and cannot make the set.
        (b"{'id', ['a']}\n", "malformed-json", "expected a string key at character 2"),
        (b"{['a']: 1}\n", "malformed-json", "at character 2"),
        (b'[{"id":2}]\n', "not-an-object", "the line is a list, not an object"),
        (b"null\n", "not-an-object", "the line is null, not an object"),
        (b'"text"\n', "not-an-object", "the line is a text, not an object"),
        (b"17\n", "not-an-object", "the line is a number, not an object"),
    ],
)
def test_bad_line(tmp_path, line, reason, message):
    """A bad line is one reject with its reason and its exact bytes, and its neighbours come
    through.
    """
    reject = refused(tmp_path, line)
    assert reject.reason == reason
    assert message in reject.message
    with pytest.raises(RecordRefusedError) as caught:
        rebuild(reject.raw)
    assert (caught.value.reason, str(caught.value)) == (reason, reject.message)


def test_large_record(tmp_path):
    """A 10 MB cell is refused as too large, with all its bytes kept, so that it can be rebuilt."""
    reject = refused(tmp_path, b'{"id":"' + b"x" * 10_000_000 + b'"}\n')
    assert reject.reason == "record-too-large"
    assert reject.message.startswith("the record has 10,000,010 bytes, allowed are 8,388,608;")
    assert rebuild(reject.raw) == {"id": "x" * 10_000_000}


def test_huge_record_is_cut(tmp_path):
    """Of a record above max_raw_bytes the first bytes are kept, its true size is told, and the next
    one is read.
    """
    path = tmp_path / "catalog.jsonl"
    line = b'{"id":"' + b"x" * 5_000_000 + b'"}\n'
    path.write_bytes(line + b'{"id":2}\n')
    reject, record, report = read(path, ReadLimits(max_record_bytes=1000, max_raw_bytes=2000))
    assert (reject.reason, reject.raw.data, reject.raw.true_size_bytes) == (
        "record-too-large",
        line[:2000],
        len(line),
    )
    assert record.cells == {"id": 2}
    assert report.size_bytes == path.stat().st_size
    with pytest.raises(
        RecordRefusedError, match=r"only the first 2,000 of 5,000,010 bytes were kept"
    ):
        rebuild(reject.raw)


def test_blank_lines_bom_and_line_ends(tmp_path):
    """A byte order mark and blank lines are no part of records; CRLF and a missing last line end
    are understood.
    """
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id":1}\r\n\r\n \t\n{"id":2}\n\n{"id":3}')
    first, second, third, report = read(path)
    assert [first.raw.data, second.raw.data, third.raw.data] == [
        b'{"id":1}\r\n',
        b'{"id":2}\n',
        b'{"id":3}',
    ]
    assert [first.raw.position, second.raw.position, third.raw.position] == [1, 4, 6]
    assert (report.records, report.rejects, report.size_bytes) == (3, 0, path.stat().st_size)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_empty_file(tmp_path, data):
    """An empty file is fine and holds no records."""
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(data)
    (report,) = read(path)
    assert (report.records, report.rejects, report.size_bytes) == (0, 0, len(data))


def test_nulls_and_unknown_columns(tmp_path):
    """Nulls, empty objects and columns of any name come through as they are."""
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(b'{"id":null,"":{},"\\u00fcber":[null]}\n{}\n')
    assert records(read(path)) == [{"id": None, "": {}, "über": [None]}, {}]


def test_integers_beyond_64_bits(tmp_path):
    """Two ids of 24 digits stay two different integers."""
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(
        b'{"id":123456789012345678901234}\n{"id":123456789012345678901235,"x":1e300}\n'
    )
    assert records(read(path)) == [
        {"id": 123456789012345678901234},
        {"id": 123456789012345678901235, "x": 1e300},
    ]


def test_numbers_keep_their_digits_wherever_they_stand(tmp_path):
    """Long integers and fractions inside objects and lists are not rounded; short ones stay plain
    floats.
    """
    (tmp_path / "catalog.jsonl").write_bytes(
        b'{"extra":{"id":123456789012345678901234},"l":[-9223372036854775809,0.12345678901234567890,0.5]}\n'
    )
    (cells,) = records(read(tmp_path / "catalog.jsonl"))
    assert cells == {
        "extra": {"id": 123456789012345678901234},
        "l": [-9223372036854775809, Decimal("0.12345678901234567890"), 0.5],
    }
    assert type(cells["l"][2]) is float


def test_long_numbers_nested_too_deeply(tmp_path):
    """A line too deep to keep its digits is refused, not rounded."""
    reject = refused(
        tmp_path, b'{"a":' + b"[" * 1000 + b"123456789012345678901234" + b"]" * 1000 + b"}\n"
    )
    assert reject.reason == "malformed-json"
    assert "write them as text, or nest less" in reject.message


@settings(max_examples=150, deadline=None)
@given(
    objects=OBJECTS,
    split_bytes=st.integers(1, 400),
    line_end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    ends=st.booleans(),
)
def test_ranges_partition_the_lines(objects, split_bytes, line_end, ends):
    """Objects written as JSON lines come back the same and in order for every split size, gzipped
    or not.
    """
    data = line_end.encode().join(
        orjson.dumps(item, option=orjson.OPT_PASSTHROUGH_DATETIME) for item in objects
    )
    data += line_end.encode() * (ends and bool(objects))
    with tempfile.TemporaryDirectory() as folder:
        plain, gzipped = Path(folder) / "a.jsonl", Path(folder) / "a.jsonl.gz"
        plain.write_bytes(data)
        gzipped.write_bytes(gzip.compress(data))
        elements = read(plain, split_bytes=split_bytes)
        parsed = [element for element in elements if isinstance(element, ParsedRecord)]
        assert [p.cells for p in parsed] == objects == records(read(gzipped))
        assert [rebuild(p.raw) for p in parsed] == objects
        assert b"".join(p.raw.data for p in parsed).translate(None, b"\r\n") == data.translate(
            None, b"\r\n"
        )
        reports = [element for element in elements if not isinstance(element, ParsedRecord)]
        assert sum(report.size_bytes for report in reports) == len(data)
        assert sum(report.records for report in reports) == len(objects)


def test_positions_in_ranges(tmp_path):
    """A position counts the lines that begin in the range, whatever line reaches into it."""
    path = tmp_path / "catalog.jsonl"
    path.write_bytes(b'{"id":1}\n' * 10)
    parsed = [
        element for element in read(path, split_bytes=30) if isinstance(element, ParsedRecord)
    ]
    places = [(p.raw.begin, p.raw.position) for p in parsed]
    assert places == [
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (30, 1),
        (30, 2),
        (30, 3),
        (60, 1),
        (60, 2),
        (60, 3),
    ]
