"""The job on six real catalogs that nobody here wrote, with the embedded models where time allows."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from schemas.attribute_types.registry import AttributeType
from schemas.loading import load_template
from tests.catalogs import CATALOGS, HERE
from tests.support import DATA, FAKE_MODELS, TABLES, Run, needs_data, read_rows, start

pytestmark = needs_data


def test_the_account_closes(whole: tuple[str, Run]) -> None:
    """Records in = items + quarantine, counted from the tables, and the snapshot is published."""
    name, run = whole
    assert run.code == 0, run.out + run.err
    quarantined = [row for row in run.rows("quarantine") if row["input"] == "catalog"]
    assert CATALOGS[name].records == len(run.rows("items")) + len(quarantined)
    assert run.manifest["counts"]["records_in"] == CATALOGS[name].records


def test_values_say_where_they_came_from(whole: tuple[str, Run]) -> None:
    """Every value has source, method and confidence, every filled one its span, no closed list is
    left.
    """
    name, run = whole
    template = load_template(CATALOGS[name].template)
    for row in run.rows("items"):
        texts = {a.name: row[a.name] for a in template.attributes}
        for attribute in template.attributes:
            value, provenance = row[attribute.name], row[f"{attribute.name}__provenance"]
            if value is None:
                assert provenance["reason"]
                continue
            assert provenance["source"]
            assert provenance["method"]
            assert provenance["confidence"] is not None
            if attribute.spec.has_closed_list:
                allowed = {choice.value for choice in attribute.values}
                assert (
                    set(value if attribute.type is AttributeType.MULTI_ENUM else [value]) <= allowed
                )
            if provenance["source"] == "record":
                assert row[f"{attribute.name}__given"] is not None
                continue
            assert row[f"{attribute.name}__given"] is None, "a source value was overwritten"
            assert provenance["confidence"] >= attribute.min_confidence - 1e-6
            evidence = provenance["evidence"]
            text = texts.get(evidence["field"])
            if isinstance(text, str):
                assert text[evidence["begin"] : evidence["end"]] == evidence["text"]


def test_tables_open_in_duckdb_polars_and_pandas(whole: tuple[str, Run]) -> None:
    """Each table reads alike in DuckDB, Polars and pandas, without this project's code."""
    _, run = whole
    for table in TABLES:
        folder = run.snapshot / table
        expected = len(read_rows(folder))
        assert duckdb.sql(f"SELECT count(*) FROM '{folder}/*.parquet'").fetchall() == [(expected,)]
        assert pl.read_parquet(f"{folder}/*.parquet").height == expected
        assert len(pd.read_parquet(folder)) == expected
    ids = pl.read_parquet(f"{run.snapshot}/items/*.parquet")["item_id"]
    assert ids.is_unique().all()


SMALL = {"grocery": 12, "magento": 12, "films": 12, "stamps": 12, "implicitave": 12}


@pytest.mark.parametrize("name", SMALL)
def test_embedded_models_on_a_sample(name: str, tmp_path: Path) -> None:
    """With the embedded models a sample of each catalog with pictures is described, embedded and
    published.
    """
    catalog = CATALOGS[name]
    source = DATA / catalog.inputs[0]
    lines = source.read_bytes().splitlines(keepends=True)
    if source.suffix == ".csv":
        import csv
        import io

        rows = list(csv.reader(io.StringIO(source.read_text("utf-8"), newline="")))
        chosen = [rows[0], *random.Random(5).sample(rows[1:], SMALL[name])]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(chosen)
        content = text.getvalue().encode()
    else:
        content = b"".join(random.Random(5).sample(lines, SMALL[name]))
    sample = tmp_path / source.name
    sample.write_bytes(content)
    command = [
        "--template",
        catalog.template,
        "--input",
        str(sample),
        "--images-root",
        str(DATA / str(catalog.images_root)),
    ]
    run = start([*command, "--workers", "1"], tmp_path / "out")
    assert run.code == 0, run.out + run.err
    items = run.rows("items")
    assert len(items) == SMALL[name]
    pictured = [row for row in items if row["image_count"]]
    assert len(run.rows("embeddings/image")) == len(pictured) > 0
    assert len(run.rows("embeddings/text")) == len([row for row in items if row["text_enriched"]])
    for row in pictured:
        assert row["image_description"]
        assert row["image_description__provenance"]["method"] == "embedded-tagger"
        assert row["images"][0]["phash"]


@pytest.mark.parametrize("whole", ["films"], indirect=True)
def test_a_shuffled_gzipped_real_catalog_gives_the_same_tables(
    whole: tuple[str, Run], tmp_path: Path
) -> None:
    """The films catalog shuffled and cut into ten gzipped files gives the same items."""
    import gzip

    from tests.support import PLACE_COLUMNS, RUN_COLUMNS, all_rows

    _, one = whole
    lines = (DATA / "interactions/items.jsonl").read_bytes().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    for number in range(10):
        (tmp_path / f"part{number}.jsonl.gz").write_bytes(
            gzip.compress(b"".join(lines[number::10]))
        )
    options = [
        "--template",
        "films",
        "--images-root",
        str(DATA / "interactions"),
        *FAKE_MODELS,
        "--workers",
        "1",
        "--input",
    ]
    ten = start([*options, str(tmp_path / "part*.jsonl.gz")], tmp_path / "ten")
    without = RUN_COLUMNS | PLACE_COLUMNS
    assert all_rows(one, without) == all_rows(ten, without)


def test_the_truth_is_never_read() -> None:
    """The name of the truth files stands nowhere in the product's code."""
    root = HERE.parent
    found = [
        str(path)
        for package in ("pipelines", "transforms", "prompts", "schemas")
        for path in (root / package).rglob("*.py")
        if "truth.jsonl" in path.read_text("utf-8")
    ]
    assert found == []


def test_a_real_run_as_a_process(tmp_path: Path) -> None:
    """As an operator starts it: two processes, embedded models, the grocery catalog's first twenty
    records.
    """
    lines = (DATA / "grocery/catalog.jsonl").read_bytes().splitlines(keepends=True)[:20]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    command = [
        sys.executable,
        "-m",
        "pipelines.enrich",
        "--template",
        "grocery",
        "--input",
        str(tmp_path / "in.jsonl"),
    ]
    command += [
        "--images-root",
        str(DATA / "grocery"),
        "--output",
        str(tmp_path / "out"),
        "--workers",
        "2",
        "--no-ocr",
    ]
    command += ["--progress", "never"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(read_rows(tmp_path / "out" / "current" / "items")) == 20
