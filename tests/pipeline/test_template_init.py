"""`catalog-enrich template init`: drafts that are sound and run, on real catalogs and on generated
ones.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines import cli
from pipelines.drafting.draft import Seen, draft
from pipelines.drafting.identity import find_id
from pipelines.drafting.pictures import find_pictures
from pipelines.drafting.profile import Profile
from schemas.loading import load_template, parse_template
from schemas.template import Template
from tests.catalogs import CATALOGS
from tests.support import DATA, FAKE_MODELS, needs_data, start
from transforms.normalise.records import Normaliser

MAX_RUN_RECORDS = 150


def drafted(capsys: pytest.CaptureFixture[str], out: Path, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.main(["template", "init", *arguments, "--out", str(out)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def beginning(source: Path, folder: Path) -> Path:
    """The first records of a real catalog."""
    target = folder / source.name
    if source.suffix == ".csv":
        with source.open(newline="", encoding="utf-8") as file:
            rows = [
                row for row, _ in zip(csv.reader(file), range(MAX_RUN_RECORDS + 1), strict=False)
            ]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        target.write_text(text.getvalue(), "utf-8", newline="")
    else:
        target.write_bytes(
            b"".join(source.read_bytes().splitlines(keepends=True)[:MAX_RUN_RECORDS])
        )
    return target


@needs_data
@pytest.mark.parametrize("name", CATALOGS)
def test_a_real_catalog_gets_a_template_that_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The draft of a whole real catalog is sound, and a run with it is published; no record is
    lost.
    """
    catalog, template = CATALOGS[name], tmp_path / "draft.yaml"
    sources = [DATA / path for path in catalog.inputs]
    root = [] if catalog.images_root is None else ["--images-root", str(DATA / catalog.images_root)]
    table = (
        [] if catalog.image_table is None else ["--image-table", str(DATA / catalog.image_table)]
    )
    code, out, err = drafted(capsys, template, *map(str, sources), *root, *table)
    assert code == 0, err
    assert f"{catalog.records:,} records read" in out
    assert cli.main(["template", "check", str(template)]) == 0
    inputs = [str(beginning(each, tmp_path)) for each in sources]
    models = [*FAKE_MODELS, "--describe-backend", "embedded", "--workers", "1", "--no-ocr"]
    run = start(
        ["--template", str(template), "--input", *inputs, *root, *table, *models], tmp_path / "out"
    )
    assert run.code == 0, run.out + run.err
    counts = run.manifest["counts"]
    assert counts["items"] > 0
    made = counts["items"] + counts["rows_merged"]
    assert counts["records_in"] == made + counts["records_quarantined"]
    flagged = counts["flags"].get("value-not-in-list", 0)
    assert flagged == 0, "values that were seen are in their lists"
    if catalog.images_root is not None:
        assert counts["images"]["usable"] > 0


@needs_data
def test_a_shop_export_is_taken_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the Magento export the id, the pictures with separator and prefix, the pairs, the category
    paths and the lists
    with their separators are found."""
    template = tmp_path / "draft.yaml"
    folder = DATA / "magento"
    files = [str(folder / name) for name in ("catalog.csv", "catalog_gear.csv")]
    pictures = [
        "--images-root",
        str(folder / "images"),
        "--image-table",
        str(folder / "images_gear.csv"),
    ]
    assert drafted(capsys, template, *files, *pictures)[0] == 0
    found = load_template(str(template))
    assert found.record.id == ("sku",)
    images = found.record.images
    assert images.columns == ("base_image", "small_image", "thumbnail_image", "additional_images")
    assert (images.separator, images.strip_prefix) == (",", "/")
    assert images.table is not None
    assert (images.table.id, images.table.image) == ("sku", "image")
    pairs, paths = found.format_of("additional_attributes"), found.format_of("categories")
    assert (pairs.format, pairs.separator, pairs.key_separator, pairs.list_separator) == (
        "pairs",
        ",",
        "=",
        "|",
    )
    assert (paths.format, paths.separator, paths.path_separator) == ("list", ",", "/")
    assert paths.ignore == ("Default Category",)
    assert found.format_of("material").separator == found.format_of("activity").separator == "\n"
    by_name = found.by_name
    assert {"additional_attributes.color", "color"} <= set(by_name["color"].from_)
    assert by_name["material"].type == "multi_enum"
    assert by_name["name"].role == "title"
    assert by_name["description"].role == "text"


ROWS = [
    {
        "code": f"K-{n:03}",
        "name": f"Mug number {n} for tea",
        "about": f"<p>A mug that holds {n % 7 + 1} cups of tea, made by hand in a small place near the sea.</p>",
        "colour": ("Red", "Blue", "Green", None)[n % 4],
        "sizes": ("S|M", "M|L", "S", "L")[n % 4],
        "kind": ("Kitchen > Mugs", "Kitchen > Cups", "Garden > Pots")[n % 3],
        "weight": f"{100 + n % 9} g",
        "fragile": ("yes", "no")[n % 2],
        "ean": ("4006381333931", "9780306406157", "5901234123457", "4012345678901")[n % 4],
        "price": str(3 + n % 11),
        "picture": f"/p/{n}.jpg",
        "updated_at": f"2026-01-{n % 28 + 1:02}T10:00:00Z",
        "note": "n/a",
        "shop": "main",
        "link": f"https://shop.example/{n}",
    }
    for n in range(80)
]
EXPECTED = {
    "name": "string",
    "about": "string",
    "colour": "enum",
    "sizes": "multi_enum",
    "kind": "category",
    "weight": "number",
    "fragile": "boolean",
    "ean": "identifier",
    "price": "number",
}


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_csv(path: Path, delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


def as_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))


FORMATS: dict[str, Callable[[Path], None]] = {
    "c.jsonl": as_jsonl,
    "c.csv": as_csv,
    "c.tsv": lambda path: as_csv(path, "\t"),
    "c.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "c.jsonl.gz": as_gzip,
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_columns_mean_is_found_in_each_format(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Id, types, unit, lists, paths, pictures, times and words for nothing are found alike in every
    input format.
    """
    FORMATS[name](tmp_path / name)
    template = tmp_path / "draft.yaml"
    code, out, err = drafted(capsys, template, str(tmp_path / name))
    assert code == 0, err
    found = load_template(str(template))
    assert {attribute.name: str(attribute.type) for attribute in found.attributes} == EXPECTED
    assert found.record.id == ("code",)
    assert found.record.event_ts == ("updated_at",)
    assert found.record.null_values == ("", "n/a")
    assert (found.record.images.columns, found.record.images.strip_prefix) == (("picture",), "/")
    assert found.by_name["weight"].unit == "g"
    assert found.by_name["colour"].fill
    assert not found.by_name["price"].in_text
    assert found.by_name["ean"].scheme == "gtin"
    assert [found.by_name[name].role for name in ("name", "about")] == ["title", "text"]
    text = template.read_text()
    for left_out in ("shop: the same everywhere: main", "link: web addresses", "note: empty"):
        assert left_out in text
    assert "catalog-enrich run --template" in out


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there stays, unless --force is given; without --out the template is printed."""
    as_jsonl(tmp_path / "c.jsonl")
    template = tmp_path / "draft.yaml"
    template.write_text("mine")
    code, _, err = drafted(capsys, template, str(tmp_path / "c.jsonl"))
    assert (code, template.read_text()) == (2, "mine")
    assert "--force" in err
    assert drafted(capsys, template, str(tmp_path / "c.jsonl"), "--force")[0] == 0
    assert cli.main(["template", "init", str(tmp_path / "c.jsonl")]) == 0
    assert parse_template(capsys.readouterr().out, "printed").record.id == ("code",)
    assert cli.main(["template", "init", str(tmp_path / "c.jsonl"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["id"] == "code"
    assert parse_template(told["template"], "draft").name == "c"


def test_a_catalog_without_records_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a record there is nothing to draft, and the message says so."""
    (tmp_path / "c.jsonl").write_text("")
    code, _, err = drafted(capsys, tmp_path / "draft.yaml", str(tmp_path / "c.jsonl"))
    assert code == 2
    assert "no record of the catalog can be read" in err
    assert not (tmp_path / "draft.yaml").exists()


def test_what_is_not_known_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A catalog of which nothing is called as usual gets a draft all the same, which says that it
    knows neither id, title, pictures nor price.
    """
    rows = [{"a": "x", "b": 1}, {"a": "x", "b": 1}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    template = tmp_path / "draft.yaml"
    code, out, _ = drafted(capsys, template, str(tmp_path / "c.jsonl"))
    assert code == 0
    for told in (out, template.read_text()):
        for known in ("id", "title", "pictures", "price"):
            assert f"{known}: not known" in told
    assert "nearest: a (2 of 2 filled, 1 different)" in out


def test_the_id_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--id takes any column; one that is not there is answered with those that are."""
    as_jsonl(tmp_path / "c.jsonl")
    template = tmp_path / "draft.yaml"
    assert drafted(capsys, template, str(tmp_path / "c.jsonl"), "--id", "picture")[0] == 0
    assert load_template(str(template)).record.id == ("picture",)
    code, _, err = drafted(capsys, template, str(tmp_path / "c.jsonl"), "--id", "no", "--force")
    assert code == 2
    assert "--id no: the catalog has no such column; it has code, name" in err


def test_records_that_cannot_be_read_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Malformed lines do not stop the draft and are named with their reason."""
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "c.jsonl").write_text(lines + "{broken\n[1]\n")
    code, out, _ = drafted(capsys, tmp_path / "draft.yaml", str(tmp_path / "c.jsonl"))
    assert code == 0
    assert "1 records cannot be read: malformed-json" in out
    assert "1 records cannot be read: not-an-object" in out


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.sampled_from(
        [
            "a: b",
            "- x",
            "'",
            '"',
            "{{ x }}",
            "#",
            "a\nb",
            "\x00\x1b[2J",
            "yes",
            "{a: 1}",
            "&x",
            "*x",
            "!!python/x",
            "1 kg",
        ]
    ),
    st.lists(st.text(max_size=8), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=8), CELLS, max_size=6), min_size=1, max_size=12))
def test_whatever_the_cells_the_draft_loads(rows: list[dict[str, Any]]) -> None:
    """Column names and cells of any content give a template that is sound and reads the right
    columns.
    """
    found = Profile()
    for number, row in enumerate(rows):
        found.add({**row, "id": f"r{number}"})
    identity = find_id(found)
    drafted_ = draft("any", Seen(found, identity, find_pictures(found, "")))
    template: Template = parse_template(drafted_.text, "draft")
    assert template.record.id == (identity.column,)
    assert len(template.attributes) == len(drafted_.attributes)


NAMES = st.one_of(
    st.sampled_from(
        [
            *[
                "id",
                "SKU",
                "Handle",
                "productDisplayName",
                "Name*",
                "title",
                "name-en_US",
                "name-de_DE",
            ],
            *["price", "Price (EUR)", "currency", "Weight (kg)", "weight", "weight-unit", "images"],
            *["image_1", "Attribute 1 name", "Attribute 1 value(s)", "Tags (x,y,z...)", "details"],
            *["Feature (Name:Value:Position)", "a.b", "a[0]", "{n}", "x{lang}", "updated_at", ""],
        ]
    ),
    st.text(max_size=8),
)
LIKELY_CELLS = st.sampled_from(
    [
        *[
            "S1",
            "0012",
            "Oak mug",
            "12,90 EUR",
            "12-13 USD",
            "1.299",
            "kg",
            "GRAM",
            "1.2 kg",
            "24 ct",
        ],
        *["img/a.jpg", "https://shop.example/a.jpg", "a.jpg|b.jpg", "['a.jpg', 'b.png']"],
        *["Color:Blue:1,Size:S:2", "color=Blue,size=S", "{'Brand': 'B'}", "Home > Cups", "None"],
        *["2026-01-02T03:04:05Z", "31.12.2025", "4006381333931", "Blue", "<p>Text</p>", "EUR"],
        [{"url": "a.jpg", "size": 1}, {"url": None}],
        [{"name": "Color", "value": "Blue"}],
        {"value": 12.9, "currency": "EUR"},
        {"de": "Tasse", "en": "Cup"},
        [[1, "x"], []],
        [0.25] * 20,
    ]
)
CATALOGS_OF_ANYTHING = st.lists(
    st.dictionaries(NAMES, st.one_of(LIKELY_CELLS, CELLS), max_size=8), min_size=2, max_size=10
).filter(
    lambda rows: any(
        isinstance(cell, str) and cell.strip() for row in rows for cell in row.values()
    )
)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(CATALOGS_OF_ANYTHING)
def test_whatever_is_readable_gets_a_draft(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """Any records that can be read end with a draft that is sound, and that says of the id, the
    title, the pictures and the price what it takes for them.
    """
    source, template = write_rows(tmp_path / "c.jsonl", rows), tmp_path / "draft.yaml"
    command = ["template", "init", str(source), "--out", str(template), "--force", "--json"]
    assert cli.main(command) == 0
    Normaliser(load_template(str(template)))
    head = template.read_text().partition("\nname:")[0]
    assert all(f"# {told}: " in head for told in ("id", "title", "pictures", "price"))


@settings(
    max_examples=8,
    phases=[Phase.generate],  # to shrink a case takes a run for each try
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(CATALOGS_OF_ANYTHING)
def test_a_run_with_any_draft_accounts_for_every_record(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """Each record of a catalog of anything is an item or in quarantine when the job runs with its
    draft.
    """
    source, template = write_rows(tmp_path / "c.jsonl", rows), tmp_path / "draft.yaml"
    assert cli.main(["template", "init", str(source), "--out", str(template), "--force"]) == 0
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    options = ["--images-root", str(tmp_path), "--workers", "1", "--no-ocr", *FAKE_MODELS]
    run = start(["--template", str(template), "--input", str(source), *options], out)
    counts = run.manifest["counts"]
    assert counts["records_in"] == len(rows)
    made = counts["items"] + counts["rows_merged"]
    assert counts["records_in"] == made + counts["records_quarantined"]
