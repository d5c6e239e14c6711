"""Several tables of vectors in one run: made together, added later, changed and removed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.support import Run, SharedRun, Shop
from transforms.vectors.contract import CONTRACTS

RECORDS = [
    {"sku": "a", "name": "Mug", "text": "A red mug.", "photos": ["1.png", "2.png"]},
    {"sku": "b", "name": "Lamp", "text": "A blue lamp.", "photos": ["2.png"]},
    {"sku": "c", "name": "Chair", "text": "It has four legs."},
    {"sku": "d", "text": "Nobody knows its name."},
]
TITLES = "{name: titles, of: text, parts: [title], encoder: fake, model: small, dimension: 8}"
LOOKS = "{name: looks, of: image, encoder: fake, model: eyes, dimension: 16}"


def with_vectors(shop: Shop, *spaces: str) -> Shop:
    return replace(shop, template=f"{shop.template}\nvectors: [{', '.join(spaces)}]\n")


def again(shop: Shop, *spaces: str, options: tuple[str, ...] = ()) -> Run:
    changed = with_vectors(shop, *spaces) if spaces else shop
    run = changed.run(shop.folder / "in.jsonl", options=options)
    assert run.code == 0, run.err
    return run


def vectors(run: Run, space: str) -> dict[str, list[float]]:
    column = f"{space.replace('-', '_')}_vector"
    return {row["item_id"]: row[column] for row in run.rows(f"embeddings/{space}")}


def all_vectors(run: Run) -> dict[str, dict[str, list[float]]]:
    folders = [each for each in (run.snapshot / "embeddings").iterdir() if each.is_dir()]
    return {folder.name: vectors(run, folder.name) for folder in folders}


def contracts(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.snapshot / CONTRACTS).read_bytes())
    return found


def encoded(run: Run) -> tuple[int, int]:
    """Texts and pictures that encoders were given."""
    stages: dict[str, Any] = run.manifest["stages"]
    return tuple(stages.get(stage, {}).get("encoded", 0) for stage in ("embed", "prepare"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A catalog with the two tables that every catalog has."""
    shop = Shop(tmp_path_factory.mktemp("spaces") / "shop")
    shop.folder.mkdir()
    for name, color in (("1.png", "red"), ("2.png", "blue")):
        shop.picture(name, color)
    shop.file("in.jsonl", RECORDS)
    return SharedRun.of(shop, again(shop))


def test_each_space_has_a_table_of_its_own_parts_and_encoder(made: SharedRun) -> None:
    """An item has a vector in each space that it has something for; dimension and column are the
    space's, and equal parts have equal vectors.
    """
    shop, _ = made.restored()
    run = again(shop, TITLES, LOOKS)
    assert {len(each) for each in vectors(run, "titles").values()} == {8}
    assert vectors(run, "titles").keys() == {"a", "b", "c"}
    assert {len(each) for each in vectors(run, "looks").values()} == {16}
    assert vectors(run, "looks").keys() == vectors(run, "image").keys() == {"a", "b"}
    assert vectors(run, "text").keys() == {"a", "b", "c", "d"}
    assert run.manifest["counts"]["rows"]["embeddings/titles"] == 3
    assert all(check["passed"] for check in run.manifest["checks"])


def test_an_unchanged_run_encodes_nothing(made: SharedRun) -> None:
    """With all its spaces there, a run makes no snapshot; a whole run reuses every vector."""
    shop, _ = made.restored()
    first = again(shop, TITLES, LOOKS).manifest["run_id"]
    before = all_vectors(again(shop, TITLES, LOOKS))
    assert again(shop, TITLES, LOOKS).manifest["run_id"] == first
    whole = again(shop, TITLES, LOOKS, options=("--full",))
    assert whole.manifest["run_id"] != first
    assert encoded(whole) == (0, 0)
    assert all_vectors(whole) == before


def test_two_workers_make_the_tables_that_one_makes(made: SharedRun) -> None:
    """Encoders, canaries and contracts are those of one process; an unchanged run makes no snapshot,
    and one with a changed record encodes what changed.
    """
    shop, first = made.restored()
    alone = again(shop, TITLES, LOOKS)
    vectors_alone, contracts_alone = all_vectors(alone), contracts(alone)
    shutil.rmtree(first.output)
    two = ("--workers", "2", "--buckets", "4", "--refresh-share", "1")
    run = again(shop, TITLES, LOOKS, options=two)
    assert run.manifest["workers"] == 2
    assert all_vectors(run) == vectors_alone
    assert contracts(run) == contracts_alone
    assert again(shop, TITLES, LOOKS, options=two).manifest["run_id"] == run.manifest["run_id"]
    shop.picture("3.png", "green")
    moved = {"sku": "b", "name": "Torch", "text": "A blue lamp.", "photos": ["3.png"]}
    shop.file("in.jsonl", [moved if each["sku"] == "b" else each for each in RECORDS])
    changed = again(shop, TITLES, LOOKS, options=two)
    assert changed.manifest["records"]["changed"] == 1
    assert encoded(changed) == (2, 2)  # by two encoders each
    assert contracts(changed) == contracts_alone
    now = all_vectors(changed)
    moved_items = {
        space: {item for item, vector in before.items() if now[space][item] != vector}
        for space, before in vectors_alone.items()
    }
    assert moved_items == {space: {"b"} for space in ("text", "image", "titles", "looks")}


def test_another_encoder_of_pictures_encodes_each_picture_once(made: SharedRun) -> None:
    """A changed image space computes its own vectors again; going back finds those of before."""
    shop, _ = made.restored()
    before = all_vectors(again(shop, LOOKS))
    assert encoded(again(shop, LOOKS.replace("eyes", "glasses"))) == (0, 2)
    back = again(shop, LOOKS)
    assert encoded(back) == (0, 0)
    assert all_vectors(back) == before


def test_new_items_get_their_vectors_in_every_space(made: SharedRun) -> None:
    """A run that makes one item makes its vectors, and those of the others stay."""
    shop, _ = made.restored()
    before = all_vectors(again(shop, TITLES, LOOKS))
    shop.file("in.jsonl", [*RECORDS, {"sku": "e", "name": "Pot", "photos": ["1.png"]}])
    run = again(shop, TITLES, LOOKS, options=("--refresh-share", "1"))
    assert run.manifest["made_anew_because"] == []
    assert encoded(run) == (2, 0)
    now = all_vectors(run)
    assert {space: each.keys() - before[space].keys() for space, each in now.items()} == (
        {space: {"e"} for space in before}
    )
    assert all(now[space] | before[space] == now[space] for space in before)


def test_tables_of_a_snapshot_are_listed_as_they_are(
    made: SharedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tables` lists the spaces of the snapshot, and refuses a name that it does not have."""
    shop, _ = made.restored()
    run = again(shop, TITLES)
    assert main(["tables", str(run.output), "--table", "embeddings/titles"]) == 0
    assert "titles_vector" in capsys.readouterr().out
    assert main(["tables", str(run.output), "--table", "embeddings/looks"]) == 2
    assert "choose one of: items, embeddings/text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{name: titles, of: text, encoder: nobody}", "there is no text encoder 'nobody'"),
        ("{name: titles, of: text, parts: [titel]}", "did you mean 'title'?"),
        (
            "{name: Titles, of: text}",
            "'Titles' does not fit; write lower-case letters, digits and -",
        ),
        ("{name: titles}", "vectors[0].of: is missing"),
        ("{name: text, of: image}", "the space text holds vectors of text"),
        ("{name: looks, of: image, parts: [title]}", "a picture is encoded whole"),
        ("{name: titles, of: text, pooling: max}", "vectors[0].pooling"),
        ("{name: titles, of: text, modle: x}", "did you mean 'model'?"),
        (f"{TITLES}, {TITLES}", "'titles' is taken by line 15"),
    ],
)
def test_a_space_that_cannot_be_made_is_refused_at_once(
    tmp_path: Path, space: str, message: str
) -> None:
    """What is wrong with an entry is said with its place before any work, and nothing is written."""
    shop = with_vectors(Shop(tmp_path), space)
    run = shop.run(shop.file("in.jsonl", RECORDS))
    assert run.code == 2
    assert message in run.err
    assert not run.output.exists()


def test_metadata_names_the_encoder_of_each_table(made: SharedRun) -> None:
    """The schema of a table names its own encoder and dimension."""
    shop, _ = made.restored()
    run = again(shop, TITLES)
    file = next((run.snapshot / "embeddings" / "titles").glob("*.parquet"))
    metadata = pq.read_schema(file).metadata
    assert metadata[b"encoder"].startswith(b"fake-text 1 small ")
    assert metadata[b"dimension"] == b"8"


def test_a_part_of_the_items_is_not_made_by_another_encoder(
    made: SharedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backfill whose encoder is not the snapshot's is refused: one table would hold both."""
    _, run = made.restored()
    command = ["backfill", str(run.output), "--ids", "a", "--text-model", "other"]
    assert main(command) == 2
    assert "vectors text are made otherwise than in the snapshot" in capsys.readouterr().err
