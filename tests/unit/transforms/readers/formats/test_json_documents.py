"""JSON documents: where their records are, and each of them whole."""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.sections.inputs import InputDescription
from transforms.extraction.structures.json_repair import mend_json
from transforms.readers import InputRefusedError, ParsedRecord, plan_splits, read_split, rebuild
from transforms.readers.formats import json_documents

RECORDS = [
    {"sku": "a", "name": 'A "b" {c} [d], \\', "images": [{"url": "x"}, {"url": "y"}]},
    {"sku": "ü", "price": 1.5, "tags": [], "more": {"deep": [[1], [2]]}},
    {"sku": "c", "name": "line\nbreak", "empty": {}},
]
PRETTY = json.dumps(RECORDS, indent=2)


def read(path: Path, **about):
    elements = [
        element
        for split in plan_splits([str(path)], description=InputDescription(**about))
        for element in read_split(split)
    ]
    records = [element for element in elements if isinstance(element, ParsedRecord)]
    assert len(records) == len(elements) - 1, elements
    assert [rebuild(record.raw) for record in records] == [record.cells for record in records]
    return [record.cells for record in records], elements[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(RECORDS), "one array"),
        (PRETTY, "one array"),
        ("[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n", "one array"),
        ("\ufeff\n" + PRETTY, "one array"),
        ("\n".join(json.dumps(each, indent=1) for each in RECORDS), "objects over several lines"),
        (",\n".join(json.dumps(each, indent=1) for each in RECORDS), "objects over several lines"),
        ("".join(map(json.dumps, RECORDS)), "objects behind each other"),
        (", ".join(map(json.dumps, RECORDS)), "objects behind each other"),
        (json.dumps({"total": 3, "products": RECORDS}), "the list at products"),
        (json.dumps({"products": RECORDS}, indent=4), "the list at products"),
        (json.dumps({"meta": {"n": 1}, "data": {"items": RECORDS}}), "the list at data.items"),
        (
            # pandas' orient="table": more fields than records
            json.dumps({"schema": {"fields": [{"name": n} for n in "abcdefgh"]}, "data": RECORDS}),
            "the list at data",
        ),
        (
            json.dumps({"data": {"items": RECORDS}, "links": [{"rel": "x"}]}),
            "the list at data.items",
        ),
    ],
)
def test_layouts(tmp_path, text, told):
    """The records of a document are found wherever they stand, also compressed, and it is told."""
    path = tmp_path / "export.json"
    path.write_text(text, "utf-8")
    found, report = read(path)
    assert found == RECORDS
    assert report.read_as == f"JSON, {told}"
    assert report.sha256
    packed = tmp_path / "export.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed)[0] == RECORDS


def test_json_lines_stay_json_lines(tmp_path):
    """One object a line is read by byte ranges as ever, also where an object has lists of objects."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)) + "\n", "utf-8")
    found, report = read(path)
    assert (found, report.read_as) == (RECORDS, "")
    path.write_text(json.dumps(RECORDS[0]) + "\n", "utf-8")
    assert read(path)[0] == RECORDS[:1]


def test_two_lists(tmp_path):
    """Where two lists could be the records, the file is refused with both and the line that decides."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"products": RECORDS, "archived": RECORDS}), "utf-8")
    with pytest.raises(InputRefusedError) as caught:
        plan_splits([str(path)])
    assert "several lists of objects, products or archived" in str(caught.value)
    assert "input: {records: products}" in str(caught.value)
    assert read(path, records="archived")[0] == RECORDS
    with pytest.raises(InputRefusedError, match="there is no list at 'nope'"):
        plan_splits([str(path)], description=InputDescription(records="nope"))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_large_document_with_a_list_before_its_records(tmp_path, indent):
    """Where the end of a document is not at hand, the list that takes most of it has the records."""
    path = tmp_path / "a.json"
    records = [{"sku": str(number), "text": "x" * 900} for number in range(2_000)]
    fields = [{"name": name, "type": "string"} for name in ("sku", "text", "more")]
    path.write_text(json.dumps({"schema": {"fields": fields}, "data": records}, indent=indent))
    found, report = read(path)
    assert found == records
    assert report.read_as == "JSON, the list at data"


def test_a_document_that_breaks_off(tmp_path):
    """The last record of a document that is cut is refused; those before it are read."""
    path = tmp_path / "a.json"
    path.write_text(PRETTY[:-40], "utf-8")
    elements = [e for split in plan_splits([str(path)]) for e in read_split(split)]
    assert [e.cells for e in elements if isinstance(e, ParsedRecord)] == RECORDS[:2]
    assert [e.reason for e in elements[2:-1]] == ["malformed-json"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('{}[]",\\ \nä', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"', max_size=2), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.text("xy", min_size=1), VALUES, min_size=1), min_size=1),
    indent=st.sampled_from([None, 1]),
    chunk_bytes=st.sampled_from([1, 2, 3, 7, 1 << 18]),
)
def test_any_array(records, indent, chunk_bytes):
    """Whatever strings and brackets records hold, and wherever a chunk ends, an array gives them
    back.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_documents, "_CHUNK_BYTES", chunk_bytes)
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(records, indent=indent), "utf-8")
        assert read(path)[0] == records


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": NaN, "b": [Infinity, -Infinity]}', {"a": None, "b": [None, None]}),
        (b'{"a": "NaN, Infinity"},\r\n', {"a": "NaN, Infinity"}),
        (
            rb'{"a": "x\ud83d", "b": "\udc00y", "c": "\ud83d\ude00"}',
            {"a": "x\ufffd", "b": "\ufffdy", "c": "\U0001f600"},
        ),
        (rb'{"a": "\\ud83d"} , ', {"a": "\\ud83d"}),
        (b'\xef\xbb\xbf{"a": 1,}', {"a": 1}),
        (
            b"{'a': \"it's\", 'b': None, 'c': [True, False], 'd': ('x', 2)}",
            {"a": "it's", "b": None, "c": [True, False], "d": ("x", 2)},
        ),
        (b"{'a': nan}", {"a": None}),
    ],
)
def test_mended(text, value):
    """What programs write that is almost JSON is read as it is meant, and strings stay as they are."""
    found, mended = mend_json(text)
    assert found == value
    assert mended


def elements_of(path: Path):
    return [e for split in plan_splits([str(path)]) for e in read_split(split)][:-1]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("chunk_bytes", [1, 5, 1 << 18])
def test_what_stands_behind_a_list(tmp_path, monkeypatch, indent, chunk_bytes):
    """A second list is read on; anything else behind a list is refused and seen; the rest of the
    document around a list is no record.
    """
    monkeypatch.setattr(json_documents, "_CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "a.json"
    pages = "\n".join(json.dumps(RECORDS[n:], indent=indent) for n in (0, 1))
    path.write_text(pages, "utf-8")
    assert [e.cells for e in elements_of(path)] == [*RECORDS, *RECORDS[1:]]
    path.write_text(json.dumps(RECORDS, indent=indent) + "\ntrailing words", "utf-8")
    *records, reject = elements_of(path)
    assert [e.cells for e in records] == RECORDS
    assert (reject.reason, reject.raw.data) == ("malformed-json", b"trailing words")
    around = {"a": {"list": RECORDS, "next": {"page": [2]}}, "total": 3}
    path.write_text(json.dumps(around, indent=indent) + "\n", "utf-8")
    assert [e.cells for e in elements_of(path)] == RECORDS


def test_a_first_line_that_is_damaged(tmp_path):
    """Where the other lines are objects, a damaged first line costs itself alone."""
    path = tmp_path / "a.jsonl"
    broken = '{"id": 0, "images": [{"a": 1}, {"b": 2}], "text": "cut'
    path.write_text("\n".join([broken, *map(json.dumps, RECORDS), ""]), "utf-8")
    reject, *records = elements_of(path)
    assert reject.reason == "malformed-json"
    assert [e.cells for e in records] == RECORDS
