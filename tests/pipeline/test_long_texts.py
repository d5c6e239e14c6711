"""Texts that are longer than their encoder reads: cut and told, pooled, or kept in chunks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.support import RUN_COLUMNS, Run, SharedRun, Shop, all_rows
from tests.tiny_encoders import TinyEncoders

# The fake encoder counts words: it reads 24 here, and a chunk has 16.
READS = ("--buckets", "1", "--text-max-tokens", "24", "--text-chunk-tokens", "16")
POOL, CHUNKS = (*READS, "--text-long-texts", "pool"), (*READS, "--text-long-texts", "chunks")
LONG = " ".join(f"Sentence {number} says what it has to say." for number in range(8))
RECORDS = [
    {"sku": "a", "name": "Blue mug", "text": LONG, "color": "Blue"},
    {"sku": "b", "name": "Lamp", "text": "It is bright."},
    {"sku": "c", "name": "Chair", "text": "It has four legs."},
    {"sku": "d", "name": "Rug", "text": f"Soft. {LONG}"},
]
TABLE = "embeddings/text-chunks"


def again(shop: Shop, *options: str, records: list[dict[str, Any]] | None = None) -> Run:
    if records is not None:
        shop.file("in.jsonl", records)
    run = shop.run(shop.folder / "in.jsonl", options=options)
    assert run.code == 0, run.err
    return run


def encoded(run: Run) -> int:
    """Texts that no earlier vector was there for."""
    number: int = run.manifest["stages"].get("embed", {}).get("encoded", 0)
    return number


def vectors(run: Run, table: str = "text") -> dict[str, list[float]]:
    return {row["item_id"]: row[f"{table}_vector"] for row in run.rows(f"embeddings/{table}")}


def chunks(run: Run) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in run.rows(TABLE):
        found.setdefault(row["item_id"], []).append(row)
    return found


def texts(run: Run) -> dict[str, str]:
    return {row["item_id"]: row["text_enriched"] for row in run.rows("items")}


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A catalog two texts of which are cut."""
    shop = Shop(tmp_path_factory.mktemp("long") / "shop")
    shop.folder.mkdir()
    return SharedRun.of(shop, again(shop, *READS, records=RECORDS))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """The same catalog with its chunks."""
    shop = Shop(tmp_path_factory.mktemp("kept") / "shop")
    shop.folder.mkdir()
    return SharedRun.of(shop, again(shop, *CHUNKS, records=RECORDS))


def test_a_cut_text_is_flagged_counted_and_told(cut: SharedRun) -> None:
    """Whoever queries with these vectors learns from the item, the manifest and the summary that
    the end of a text is not in them.
    """
    _, run = cut.restored()
    flags = {
        row["item_id"]: [
            (f["field"], f["detail"]) for f in row["flags"] if f["reason"] == "text-cut"
        ]
        for row in run.rows("items")
    }
    detail = {
        each: f"{len(texts(run)[each].split())} tokens, of which 24 were read" for each in "ad"
    }
    assert flags == {
        "a": [("text_vector", detail["a"])],
        "b": [],
        "c": [],
        "d": [("text_vector", detail["d"])],
    }
    assert run.manifest["counts"]["texts_cut"] == {"text": 2}
    assert run.manifest["counts"]["flags"]["text-cut"] == 2
    assert "vectors text: 2 of 4 (50%) items have a text that is longer than was read" in run.out
    assert vectors(run).keys() == {"a", "b", "c", "d"}
    assert not (run.snapshot / TABLE).exists()


def test_the_report_says_how_many_texts_were_cut(cut: SharedRun) -> None:
    """The page has the number of the manifest, and the flag with its meaning."""
    shop, _ = cut.restored()
    run = shop.run(shop.folder / "in.jsonl", options=(*READS, "--full"), report=True)
    page = (run.snapshot / "report.html").read_text()
    assert re.search(
        r"texts cut for the vectors text.*?counts\.texts_cut\.text\D+2", page, re.DOTALL
    )
    assert "text-cut" in page


def test_a_cut_stays_known_where_its_vector_is_used_again(cut: SharedRun) -> None:
    """A whole run that encodes nothing says the same of every text."""
    shop, first = cut.restored()
    before = all_rows(first)
    run = again(shop, *READS, "--full")
    assert run.manifest["buckets_written"]
    assert encoded(run) == 0
    assert run.manifest["counts"]["texts_cut"] == {"text": 2}
    assert all_rows(run) == before


def test_every_item_has_chunks_that_cover_its_text(kept: SharedRun) -> None:
    """Rows are numbered and sorted, places point into the text of the item, and the title stands
    before each chunk that does not say it.
    """
    _, run = kept.restored()
    assert [(row["item_id"], row["chunk"]) for row in run.rows(TABLE)] == sorted(
        (row["item_id"], row["chunk"]) for row in run.rows(TABLE)
    )
    found = chunks(run)
    assert {item_id: len(rows) > 1 for item_id, rows in found.items()} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
    }
    for item_id, text in texts(run).items():
        rows = found[item_id]
        assert [row["chunk"] for row in rows] == list(range(len(rows)))
        assert all(row["text"] == text[row["begin"] : row["end"]] for row in rows)
        assert {word for row in rows for word in row["text"].split()} == {*text.split()}
        assert all(row["tokens"] <= 16 for row in rows)
    assert [row["context"] for row in found["a"]] == [None, *["Blue mug."] * (len(found["a"]) - 1)]


def test_no_text_is_cut_where_chunks_are_made(kept: SharedRun) -> None:
    """The vector of a long text is the mean of its chunks by their tokens; nothing is flagged."""
    _, run = kept.restored()
    assert run.manifest["counts"]["texts_cut"] == {}
    assert "text-cut" not in run.manifest["counts"]["flags"]
    rows = chunks(run)["a"]
    mean = np.average(
        [row["text_chunks_vector"] for row in rows], axis=0, weights=[row["tokens"] for row in rows]
    )
    assert vectors(run)["a"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert chunks(run)["b"][0]["text_chunks_vector"] == vectors(run)["b"]


def test_chunks_are_counted_checked_and_described(kept: SharedRun) -> None:
    """The table is one of the snapshot's tables: in the counts, the gate and the list of tables."""
    _, run = kept.restored()
    assert run.manifest["counts"]["rows"][TABLE] == len(run.rows(TABLE))
    checked = [check for check in run.manifest["checks"] if check["column"].startswith(TABLE)]
    assert {check["id"] for check in checked} == {"vector-unique", "vector-owned", "vector-norm"}
    assert all(check["passed"] and check["values"] for check in checked)
    metadata = pq.read_schema(next((run.snapshot / TABLE).glob("*.parquet"))).metadata
    of_texts = pq.read_schema(next((run.snapshot / "embeddings/text").glob("*.parquet"))).metadata
    assert metadata[b"encoder"] == of_texts[b"encoder"]


def test_chunks_go_with_their_item(kept: SharedRun) -> None:
    """A record that leaves the catalog takes its chunks along, a changed one has new ones, and the
    tables are those of a run on the new catalog alone.
    """
    shop, _ = kept.restored()
    changed = [RECORDS[1], RECORDS[2], {**RECORDS[3], "text": f"Hard. {LONG}"}]
    run = again(shop, *CHUNKS, records=changed)
    assert chunks(run).keys() == {"b", "c", "d"}
    assert encoded(run) == 1
    alone = shop.run(shop.folder / "in.jsonl", options=CHUNKS, output="alone")
    assert run.rows(TABLE) == alone.rows(TABLE)
    assert vectors(run) == vectors(alone)


def test_an_unchanged_run_encodes_nothing(kept: SharedRun) -> None:
    """With the chunks there, a run makes no snapshot; a whole run uses every vector again."""
    shop, first = kept.restored()
    before, rows = first.snapshot, first.rows(TABLE)
    assert again(shop, *CHUNKS).snapshot == before
    whole = again(shop, *CHUNKS, "--full")
    assert whole.snapshot != before
    assert encoded(whole) == 0
    assert whole.rows(TABLE) == rows


def test_another_choice_makes_that_table_anew(cut: SharedRun) -> None:
    """Pooled vectors instead of cut ones change the texts' table and its flags, and nothing else."""
    shop, first = cut.restored()
    before = vectors(first)
    run = again(shop, *POOL)
    assert run.manifest["vectors_anew_because"] == ["vectors text changed"]
    now = vectors(run)
    assert {item_id for item_id in now if now[item_id] != before[item_id]} == {"a", "d"}
    assert run.manifest["counts"]["texts_cut"] == {}


def test_chunks_are_added_to_pooled_vectors_and_taken_away(cut: SharedRun) -> None:
    """Both choices pool alike: only the table of chunks comes, and goes without encoding."""
    shop, _ = cut.restored()
    pooled = all_rows(again(shop, *POOL), RUN_COLUMNS - {"created_ts"})
    run = again(shop, *CHUNKS)
    assert run.manifest["vectors_anew_because"] == [f"table {TABLE} is new"]
    assert all_rows(run, RUN_COLUMNS - {"created_ts"}) == pooled
    assert chunks(run).keys() == {"a", "b", "c", "d"}
    back = again(shop, *POOL)
    assert back.manifest["vectors_anew_because"] == [f"table {TABLE} is gone"]
    assert encoded(back) == 0
    assert not (back.snapshot / TABLE).exists()


def test_a_space_of_the_template_says_it_for_itself(cut: SharedRun) -> None:
    """`vectors:` has the same settings; a space of parts has chunks of its own text."""
    shop, _ = cut.restored()
    space = (
        "{name: about, of: text, parts: [about], encoder: fake, max_tokens: 24, "
        "long_texts: chunks, chunk_tokens: 20}"
    )
    run = again(replace(shop, template=f"{shop.template}\nvectors: [{space}]\n"), *READS)
    rows = run.rows("embeddings/about-chunks")
    assert {row["item_id"] for row in rows} == {"a", "b", "c", "d"}
    assert next(row for row in rows if row["item_id"] == "b")["text"] == "It is bright."
    assert run.manifest["counts"]["texts_cut"] == {"text": 2}


def test_a_name_that_chunks_have_is_refused(cut: SharedRun) -> None:
    """Two tables never claim one folder."""
    shop, _ = cut.restored()
    space = "{name: text-chunks, of: text, encoder: fake}"
    run = replace(shop, template=f"{shop.template}\nvectors: [{space}]\n").run(
        shop.folder / "in.jsonl"
    )
    assert run.code == 2
    assert "'text-chunks' is the table of the chunks of a space 'text'; rename it" in run.err


def test_tables_lists_the_chunks(kept: SharedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """`catalog-enrich tables` shows them as any table, with their columns."""
    _, run = kept.restored()
    assert main(["tables", str(run.output), "--table", TABLE, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert TABLE in json.dumps(listed)
    assert "text_chunks_vector" in json.dumps(listed)


def test_a_long_encoder_reads_chunks_in_their_context(
    tmp_path: Path, tiny_encoders: TinyEncoders
) -> None:
    """ModernBERT gives token vectors, so that no title goes before a chunk; an unchanged run
    encodes nothing.
    """
    shop = Shop(tmp_path)
    options = (
        *("--text-encoder", "transformers", "--text-model", str(tiny_encoders["modernbert"])),
        *("--text-pooling", "mean", "--text-long-texts", "chunks", "--text-chunk-tokens", "32"),
    )
    run = again(shop, *options, records=[{"sku": "a", "name": "Mug", "text": LONG}])
    before, rows = run.snapshot, chunks(run)["a"]
    assert len(rows) > 1
    assert all(row["context"] is None for row in rows)
    assert all(row["text"] == texts(run)["a"][row["begin"] : row["end"]] for row in rows)
    assert again(shop, *options).snapshot == before
