"""Malformed input through the whole job: each kind has its reason, no neighbour suffers, the
account closes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import FAKE_MODELS, Run, Shop, flags, reasons

GOOD = [{"sku": f"g{n}", "name": f"Thing {n}"} for n in range(4)]
GOOD_LINES = b"".join(json.dumps(record).encode() + b"\n" for record in GOOD)


def accounted(run: Run) -> bool:
    counts = run.manifest["counts"]
    return (
        counts["records_in"]
        == len(run.rows("items")) + counts["rows_merged"] + len(run.rows("quarantine"))
        and counts["unaccounted"] == 0
    )


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("invalid-utf8", b'{"sku": "b", "name": "caf\xe9"}\n'),
        ("malformed-json", b'{"sku": "b", "name": "cut o\n'),
        ("not-an-object", b'["sku", "b"]\n'),
        ("missing-id", b'{"name": "nobody"}\n'),
        ("missing-id", b'{"sku": "", "name": null}\n'),
        ("id-wrong-type", b'{"sku": {"a": 1}, "name": "x"}\n'),
        ("id-wrong-type", b'{"sku": true, "name": "x"}\n'),
        ("id-wrong-type", b'{"sku": 1.5, "name": "x"}\n'),
        ("id-invalid", b'{"sku": "' + b"x" * 600 + b'"}\n'),
        ("record-too-large", b'{"sku": "b", "text": "' + b"x" * (10 << 20) + b'"}\n'),
    ],
)
def test_a_bad_line_is_quarantined_as_it_came(shop: Shop, reason: str, line: bytes) -> None:
    """One malformed JSON line goes to quarantine byte for byte with its reason, and its neighbours
    become items.
    """
    run = shop.run(shop.file("in.jsonl", GOOD_LINES + line))
    assert run.code == 0, run.err
    assert reasons(run) == {reason: 1}
    assert {row["item_id"] for row in run.rows("items")} == {"g0", "g1", "g2", "g3"}
    raw = run.rows("quarantine")[0]["raw"]
    assert raw.rstrip(b"\n") == line.rstrip(b"\n")
    assert accounted(run)


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("csv-column-count", b"b,Thing,red,surplus\n"),
        ("csv-column-count", b"b\n"),
        ("invalid-utf8", b"b,caf\xe9,red\n"),
        ("malformed-csv", b'b,"never closed,red\n'),
        ("record-too-large", b'b,"' + b"x" * (10 << 20) + b'",red\n'),
    ],
)
def test_a_bad_row_costs_only_itself(shop: Shop, reason: str, row: bytes) -> None:
    """One malformed CSV row goes to quarantine byte for byte, and the rows around it become items."""
    run = shop.run(
        shop.file(
            "in.csv",
            b'sku,name,color\nbefore,"F\xc3\xafrst",red\n' + row + b'after,"Two\nlines",blue\n',
        )
    )
    assert run.code == 0, run.err
    assert reasons(run) == {reason: 1}
    assert {item["item_id"] for item in run.rows("items")} == {"before", "after"}
    assert run.rows("quarantine")[0]["raw"] == row
    assert accounted(run)


def test_a_byte_order_mark_is_no_part_of_a_name(shop: Shop) -> None:
    """A BOM before JSON lines or a CSV header is skipped."""
    run = shop.run(
        shop.file("a.jsonl", b"\xef\xbb\xbf" + GOOD_LINES),
        shop.file("b.csv", b"\xef\xbb\xbfsku,name\nc1,Chair\n"),
    )
    assert run.code == 0, run.err
    assert {row["item_id"] for row in run.rows("items")} == {"g0", "g1", "g2", "g3", "c1"}


def test_a_record_of_nulls_is_an_item_that_says_so(shop: Shop) -> None:
    """A record with an id and nothing else is kept, flagged no-content, all its values unknown with
    a reason.
    """
    run = shop.run(
        shop.file(
            "in.jsonl", [{"sku": "n", "name": None, "text": None, "photos": None, "color": None}]
        )
    )
    (row,) = run.rows("items")
    assert "no-content" in flags(row)
    assert row["color"] is None
    assert row["color__provenance"]["reason"] == "not-stated"
    assert row["text_enriched"] == ""
    assert run.rows("embeddings/text") == []


def test_an_unknown_column_is_named_not_lost_silently(shop: Shop) -> None:
    """A column that the template does not read is listed in the manifest and on the terminal."""
    run = shop.run(shop.file("in.jsonl", [{"sku": "a", "name": "x", "margin": 3}]))
    assert run.manifest["unmapped_columns"] == ["margin"]
    assert run.manifest["unmapped_columns_count"] == 1
    assert "columns that the template does not read: margin" in run.out


def test_columns_without_end_are_counted_and_not_all_named(shop: Shop) -> None:
    """With 20,000 columns, a name of a megabyte and amounts with decimal commas in all of them, the
    items are what they are, and manifest and terminal stay small.
    """
    wide = {"n" * 1_000_000: "1,5", **{f"note {n}": "1,5" for n in range(20_000)}}
    header, cells = ";".join(["sku", "name", *wide]), ";".join(wide.values())
    rows = "".join(f"s{n};Mug {n};{cells}\n" for n in range(2))
    run = shop.run(shop.file("in.csv", f"{header}\n{rows}"), options=FAKE_MODELS, report=True)
    assert run.code == 0, run.err
    assert {row["title"] for row in run.rows("items")} == {"Mug 0", "Mug 1"}
    assert run.manifest["unmapped_columns_count"] == 20_001
    assert run.manifest["unmapped_columns"][1] == "note 0"
    assert "and 19,989 more" in " ".join(run.out.split())
    page = (run.snapshot / "report.html").read_text()
    assert "and others, " in page
    assert ">20,001<" in page
    assert max(len(run.out), len(run.err)) < 20_000
    # The header is kept with a record in quarantine, of which there is none here.
    largest = {path.name: path.stat().st_size for path in run.snapshot.glob("*.json")}
    assert max(largest.values()) < 200_000, largest


def test_a_misfit_names_the_first_columns_only(shop: Shop) -> None:
    """An error about columns is one that can be read, however many there are."""
    wide = {"n" * 1_000_000: 1, **{f"note {n}": 1 for n in range(20_000)}}
    run = shop.run(shop.file("in.jsonl", [wide]))
    assert run.code == 2
    assert "note 3" in run.err
    assert "19,989 more" in run.err
    assert len(run.err) < 3_000


def test_an_empty_file_beside_a_full_one_is_fine(shop: Shop) -> None:
    """A file of zero bytes holds no records and stops nothing."""
    run = shop.run(shop.file("empty.jsonl", b""), shop.file("in.jsonl", GOOD))
    assert run.code == 0
    assert len(run.rows("items")) == 4


def test_nothing_but_an_empty_file_is_refused_by_the_gate(shop: Shop) -> None:
    """A run without a single record does not replace what readers have."""
    first = shop.run(shop.file("in.jsonl", GOOD))
    current = (first.output / "current.json").read_text()
    second = shop.run(shop.file("empty.jsonl", b""))
    assert second.code == 1
    assert "the snapshot holds items" in second.out
    assert (first.output / "current.json").read_text() == current


def test_a_directory_is_refused_with_what_to_write_instead(shop: Shop) -> None:
    """Naming a folder as input ends with exit code 2 and the glob to use."""
    run = shop.run(shop.folder)
    assert run.code == 2
    assert "director" in run.err
    assert "*.jsonl" in run.err


def test_a_file_that_does_not_exist_is_refused(shop: Shop) -> None:
    """A pattern that matches nothing ends with exit code 2 and the pattern."""
    run = shop.run(shop.folder / "nowhere*.jsonl")
    assert run.code == 2
    assert "nowhere*.jsonl" in run.err


def test_a_file_cut_off_inside_gzip_refuses_the_snapshot(shop: Shop) -> None:
    """A broken gzip keeps the records before the break, says so, and never replaces the published
    snapshot.
    """
    path = shop.file(
        "in.jsonl.gz", [{"sku": f"z{n}", "name": os.urandom(40).hex()} for n in range(2_000)]
    )
    path.write_bytes(path.read_bytes()[:-2_000])
    run = shop.run(path)
    assert run.code == 1
    assert reasons(run) == {"file-unreadable": 1}
    assert 0 < len(run.rows("items")) < 2_000
    assert "every input file was read whole" in run.out
    assert not (run.output / "current.json").exists()
    assert accounted(run)


def test_a_file_that_may_not_be_read_refuses_the_snapshot(shop: Shop) -> None:
    """Permission denied on one of two files is a refusal, not a smaller catalog."""
    locked = shop.file("locked.jsonl", GOOD)
    locked.chmod(0)
    run = shop.run_as_user(locked, shop.file("in.jsonl", GOOD))
    assert run.code == 1
    assert reasons(run)["file-unreadable"] == 1


def test_a_template_that_does_not_fit_is_refused_before_any_work(shop: Shop) -> None:
    """When no record has the template's id column the run ends with 2, naming both sides."""
    run = shop.run(shop.file("in.jsonl", [{"title": "x", "asin": "1"}]))
    assert run.code == 2
    assert "sku" in run.err
    assert "asin" in run.err
    assert not (shop.folder / "out").exists()


def test_a_corrupt_parquet_file_refuses_the_snapshot(shop: Shop) -> None:
    """A Parquet file with a damaged body is reported as unreadable."""
    path = shop.folder / "in.parquet"
    pq.write_table(
        pa.table(
            {
                "sku": [str(n) for n in range(5_000)],
                "name": [os.urandom(8).hex() for _ in range(5_000)],
            }
        ),
        path,
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = os.urandom(len(data) // 2 - len(data) // 4)
    path.write_bytes(data)
    run = shop.run(path, shop.file("good.jsonl", GOOD))
    assert run.code == 1
    assert reasons(run)["file-unreadable"] == 1


def test_parquet_rows_keep_their_types_in_quarantine(shop: Shop) -> None:
    """A Parquet row that is set aside can be rebuilt exactly from quarantine."""
    from schemas.elements import RawRecord
    from transforms.readers import rebuild

    path = shop.folder / "in.parquet"
    pq.write_table(
        pa.table({"sku": [None, "p1"], "name": ["lost", "kept"], "weight": [1.25, 2.5]}), path
    )
    run = shop.run(path)
    (row,) = run.rows("quarantine")
    raw = RawRecord(
        row["raw"],
        row["raw_format"],
        row["source_file"],
        row["source_position"],
        header=row["raw_header"],
    )
    assert rebuild(raw) == {"sku": None, "name": "lost", "weight": 1.25}


def test_several_kinds_of_rubbish_in_one_file_close_the_account(shop: Shop, tmp_path: Path) -> None:
    """A file with many kinds of bad lines gives each its reason and loses none."""
    lines = [
        GOOD_LINES,
        b"\n",
        b"null\n",
        b"[]\n",
        b"7\n",
        b'{"sku": "g1"}\n',
        b"{}\n",
        b'{"sku": "x", "name": "\xff"}\n',
        b'{"sku":',
    ]
    run = shop.run(shop.file("in.jsonl", b"".join(lines)))
    assert run.code == 1, "six of eleven records are bad: more than the gate allows"
    assert reasons(run) == {
        "not-an-object": 3,
        "missing-id": 1,
        "invalid-utf8": 1,
        "malformed-json": 1,
    }
    assert accounted(run)
