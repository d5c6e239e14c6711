"""Laws of the whole job: accounting, order independence, repeatability, source values untouched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import PLACE_COLUMNS, RUN_COLUMNS, Shop, all_rows, flags, reasons
from transforms.extraction.cells import given_text, is_null
from transforms.extraction.plain_text import to_single_line

ANYWHERE = RUN_COLUMNS | PLACE_COLUMNS


def catalog(shop: Shop) -> list[dict[str, Any]]:
    """Forty records with shared, missing and broken pictures, duplicates and gaps."""
    shop.picture("red.png", "red")
    shop.picture("blue.jpg", "blue")
    (shop.images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnope")
    photos = [["red.png"], ["red.png", "blue.jpg"], ["gone.png"], ["broken.png", "blue.jpg"], []]
    records: list[dict[str, Any]] = [
        {
            "sku": f"s{n:02}",
            "name": f"<b>Thing</b> {n} in {'red' if n % 3 else 'navy'}",
            "text": f"Weighs {n} kg &amp; more." if n % 2 else None,
            "color": "Green" if n % 7 == 0 else None,
            "tags": ["new", "eco"] if n % 5 == 0 else None,
            "photos": photos[n % len(photos)],
        }
        for n in range(38)
    ]
    again = {"sku": "s05", "name": "Thing 5 again", "photos": [], "changed": "2026-01-01"}
    records.append(again)
    records.append({"sku": None, "name": "nobody"})
    return records


def test_order_and_files_do_not_matter(shop: Shop) -> None:
    """The same records in any order, in any number of files, some gzipped, give the same rows."""
    records = catalog(shop)
    plain = shop.run(shop.file("in.jsonl", records), output="plain")
    assert plain.code == 0, plain.err
    expected = all_rows(plain, ANYWHERE)

    @settings(max_examples=3, deadline=None)
    @given(st.permutations(records), st.integers(1, 10))
    def check(shuffled: list[dict[str, Any]], files: int) -> None:
        paths = [
            shop.file(f"part{n}.jsonl{'.gz' if n % 2 else ''}", shuffled[n::files])
            for n in range(files)
        ]
        parts = shop.run(*paths, output="parts")
        assert parts.code == 0, parts.err
        assert all_rows(parts, ANYWHERE) == expected

    check()


def test_formats_give_the_same_items(shop: Shop) -> None:
    """JSON lines, CSV and Parquet of the same records give the same items."""
    records = [{"sku": f"s{n}", "name": f"Thing {n}, red", "weight": f"{n} kg"} for n in range(6)]
    csv = "sku,name,weight\n" + "".join(
        f'{r["sku"]},"{r["name"]}",{r["weight"]}\n' for r in records
    )
    pq.write_table(pa.Table.from_pylist(records), shop.folder / "in.parquet")
    inputs = [shop.file("in.jsonl", records), shop.file("in.csv", csv), shop.folder / "in.parquet"]
    runs = [shop.run(path, output=path.suffix[1:]) for path in inputs]
    # A fingerprint is of the record's bytes.
    first, *others = [all_rows(run, ANYWHERE | {"fingerprint"})["items"] for run in runs]
    assert all(rows == first for rows in others)


def test_two_runs_are_identical(shop: Shop) -> None:
    """Running twice gives identical tables, apart from run id and times."""
    path = shop.file("in.jsonl", catalog(shop))
    once, again = shop.run(path, output="once"), shop.run(path, output="again")
    for table in ("items", "embeddings/text", "embeddings/image", "quarantine"):
        assert once.rows(table, RUN_COLUMNS) == again.rows(table, RUN_COLUMNS)


@pytest.mark.parametrize("options", [("--workers", "2"), ("--buckets", "16")])
def test_workers_and_buckets_do_not_matter(shop: Shop, options: tuple[str, ...]) -> None:
    """Two processes, or other buckets, give the same rows as one process."""
    path = shop.file("in.jsonl", catalog(shop))
    assert all_rows(shop.run(path, output="one")) == all_rows(
        shop.run(path, options=options, output="other")
    )


def test_bad_pictures_never_kill_an_item(shop: Shop) -> None:
    """Every item stays, with the reason of each bad picture; quarantine holds only the
    id-less record.
    """
    run = shop.run(shop.file("in.jsonl", catalog(shop)))
    rows = {row["item_id"]: row for row in run.rows("items")}
    assert len(rows) == 38
    assert "image-missing" in flags(rows["s02"])
    assert rows["s03"]["image_count"] == 1
    assert [image["reason"] for image in rows["s03"]["images"]][1] is None
    assert reasons(run) == {"missing-id": 1}
    assert run.manifest["counts"]["rows_merged"] == 1
    assert (rows["s05"]["title"], rows["s05"]["about"]) == ("Thing 5 again", "Weighs 5 kg & more.")


def test_equal_bytes_are_prepared_once(shop: Shop) -> None:
    """However many items and paths share a picture's bytes, they are decoded, tagged and embedded
    once.
    """
    shop.picture("a.png")
    (shop.images / "copy.png").write_bytes((shop.images / "a.png").read_bytes())
    records = [
        {"sku": f"s{n}", "name": "x", "photos": ["a.png" if n % 2 else "copy.png"]}
        for n in range(30)
    ]
    run = shop.run(shop.file("in.jsonl", records))
    assert run.manifest["stages"]["prepare"]["pictures"] == 1
    assert {row["images"][0]["digest"] for row in run.rows("items")} == {
        run.rows("items")[0]["images"][0]["digest"]
    }
    assert len(run.rows("embeddings/image")) == 30


def test_an_image_table_adds_pictures(shop: Shop) -> None:
    """Rows of an image table join their items, by a path or with the picture's bytes; rows without
    an item or a picture go to quarantine.
    """
    shop.picture("a.png")
    shop.picture("b.png", "blue")
    catalog_file = shop.file(
        "in.jsonl", [{"sku": "s1", "name": "x", "photos": ["a.png"]}, {"sku": "s2", "name": "y"}]
    )
    table = shop.file("more.csv", "sku,photo\ns1,b.png\ns2,b.png\nghost,a.png\n,a.png\n")
    data = [(shop.images / shop.picture(f"{n}.png", n)).read_bytes() for n in ("lime", "pink")]
    held = [{"bytes": each, "path": None} for each in data]
    columns = {"sku": ["s2", "s2", "s1"], "photo": [held[:1], held, None]}
    pq.write_table(pa.table(columns), shop.folder / "more.parquet")
    tables = (str(table), str(shop.folder / "more.parquet"))
    run = shop.run(catalog_file, options=("--image-table", *tables))
    digests = sorted(f"sha256:{hashlib.sha256(each).hexdigest()}" for each in data)
    first, second = run.rows("items")
    assert [image["path"] for image in first["images"]] == ["a.png", "b.png"]
    assert [second["images"][0]["path"], *sorted(i["path"] for i in second["images"][1:])] == [
        "b.png",
        *digests,
    ]
    assert all(image["digest"] for image in second["images"])
    assert reasons(run) == {"image-table-orphan": 1, "image-table-row-invalid": 2}
    counts = run.manifest["counts"]
    assert (counts["records_in"], counts["image_rows_in"]) == (2, 7)


numbers = (
    st.integers(-5, 10**6)
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
)
cells = st.recursive(
    st.none() | st.booleans() | numbers | numbers.map(str) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
record = st.fixed_dictionaries(
    {"sku": st.none() | st.integers(0, 25) | st.integers(10**24, 10**24 + 2) | st.text(max_size=3)},
    optional=dict.fromkeys(("name", "text", "color", "weight", "tags", "photos", "changed"), cells),
)
# A run costs as much for many records as for few.
records = st.lists(record, max_size=2) | st.lists(record, min_size=15, max_size=40)


COLUMNS = {"title": "name", "about": "text", "color": "color", "weight": "weight", "tags": "tags"}


def kept_cells(row: dict[str, Any]) -> dict[str, str | None]:
    return {name: row[f"{name}__given"] for name in COLUMNS}


def given_cells(source: dict[str, Any]) -> dict[str, str | None]:
    """What the source wrote, by attribute; None for a cell that says nothing."""
    cells = {name: source.get(column) for name, column in COLUMNS.items()}
    return {name: None if says_nothing(cell) else given_text(cell) for name, cell in cells.items()}


def says_nothing(cell: Any) -> bool:
    """Whether a cell is null, or holds only texts of which cleaning leaves nothing."""
    return is_null(cell) or all(
        isinstance(leaf, str) and not to_single_line(leaf) for leaf in leaves(cell)
    )


def leaves(cell: Any) -> Iterator[Any]:
    if isinstance(cell, list | dict):
        for inner in cell.values() if isinstance(cell, dict) else cell:
            yield from leaves(inner)
    elif cell is not None:
        yield cell


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records)
def test_the_account_closes_for_any_records(shop: Shop, generated: list[dict[str, Any]]) -> None:
    """For arbitrary records: records in = items + further rows of them + quarantine, and every
    given cell is kept as it was in one of the item's rows.
    """
    lines = [record for record in generated if record]
    output = f"out-{len(list(shop.folder.iterdir()))}"  # or it would go on from the last example's
    run = shop.run(shop.file("in.jsonl", lines), output=output)
    if run.code == 2:  # no record has an id column at all
        return
    counts = run.manifest["counts"]
    assert counts["records_in"] == len(lines)
    assert len(lines) == counts["items"] + counts["rows_merged"] + counts["records_quarantined"]
    assert counts["items"] == len(run.rows("items"))
    assert counts["records_quarantined"] == len(run.rows("quarantine"))
    for row in run.rows("items"):
        sources = [line for line in lines if str(line.get("sku")).strip() == row["item_id"]]
        for name, kept in kept_cells(row).items():
            cells = [given_cells(source)[name] for source in sources]
            assert kept in cells or any(cell and cell in str(kept) for cell in cells)
            assert kept is not None or not any(cells)
        for name in COLUMNS:
            value, provenance, given_cell = (
                row[name],
                row[f"{name}__provenance"],
                row[f"{name}__given"],
            )
            assert (value is None) == (provenance["reason"] is not None)
            assert given_cell is None or provenance["source"] in ("record", None), (
                "a source value is never replaced"
            )
            assert value is None or (provenance["source"] and provenance["confidence"] is not None)
