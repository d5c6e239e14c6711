"""What vectors say of themselves: written with the tables, checked before anything is published and
by `catalog-enrich vectors`.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pipelines.cli import main
from tests.support import Run, SharedRun, Shop
from tests.tiny_encoders import TinyEncoders
from transforms.vectors.canaries import CANARY_TEXTS, canary_picture
from transforms.vectors.contract import CONTRACTS, VectorContract, of_text, parse_contracts

ON = ("--refresh-share", "1", "--no-probes")
# Says of the encoders who they are, as for those that take any model.
NAMED = ("--text-model", "shop/texts", "--text-revision", "1", "--image-model", "shop/pictures")
POOLED = ("--text-pooling", "mean")
MOVED = "- {match: ., model: text-encoder, vector: moved}\n"
TABLES = ("embeddings/text", "embeddings/image")


def records(shop: Shop, count: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "sku": f"s{n}",
            "name": f"Mug {n}",
            "photos": [shop.picture(f"{n}.png", f"rgb({n}, 9, 9)")],
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A published snapshot with texts and pictures."""
    shop = Shop(tmp_path_factory.mktemp("vectors") / "shop")
    shop.folder.mkdir()
    run = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *NAMED))
    assert run.code == 0, run.err + run.out
    return SharedRun.of(shop, run)


def again(shop: Shop, *options: str, change: bool = True, named: Sequence[str] = NAMED) -> Run:
    """A further run; change: a new item has to be embedded."""
    catalog = shop.folder / "in.jsonl"
    if change:
        catalog = shop.file("in.jsonl", records(shop, 5))
    return shop.run(catalog, options=(*ON, *named, *options))


def contracts(run: Run) -> dict[str, VectorContract]:
    return parse_contracts((run.snapshot / CONTRACTS).read_bytes(), CONTRACTS)


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages of a command."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(each) for each in arguments])
    return code, out.getvalue(), err.getvalue()


def check(*arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code of a check, and its verdicts by table."""
    code, out, err = call("vectors", "check", *arguments, "--json")
    assert out, err
    return code, {each["table"]: each for each in json.loads(out)["tables"]}


def published(shop: Shop) -> str:
    run_id: str = json.loads((shop.folder / "out" / "current.json").read_text())["run_id"]
    return run_id


def refused(shop: Shop, run: Run, before: str, *told: str) -> None:
    """The run published nothing, and errors with each of these words were printed."""
    assert run.code in (1, 2), run.err + run.out
    assert published(shop) == before
    said = " ".join((run.out + run.err).split())  # lines are wrapped
    assert all(word in said for word in told), said
    # An encoder that failed on everything is reported as such, too.
    assert said.count("critical: ") + said.count("error: ") <= 2
    assert "Traceback" not in said


def test_every_table_says_what_its_vectors_are(made: SharedRun) -> None:
    """One entry a table, with canaries; the same stands in the schema metadata of every file, and
    the manifest has the digest.
    """
    _, run = made.restored()
    found = contracts(run)
    assert tuple(found) == TABLES
    text, image = (found[table] for table in TABLES)
    assert (text.document.id, text.document.revision) == ("shop/texts", "1")
    assert [canary.content for canary in text.canaries] == list(CANARY_TEXTS)
    assert [canary.content for canary in image.canaries] == [canary_picture().digest]
    assert text.space != image.space
    for table in TABLES:
        files = sorted((run.snapshot / table).glob("*.parquet"))
        assert files
        for path in files:
            schema = pq.ParquetFile(path).schema_arrow
            assert of_text(schema.metadata[b"vectors"], path.name) == found[table]
            assert schema.field(found[table].column).type.list_size == found[table].dimension


def test_readers_that_take_a_folder_still_read_a_table(made: SharedRun) -> None:
    """pandas and Polars read a table's folder as a whole: nothing but Parquet lies in it."""
    _, run = made.restored()
    for table in TABLES:
        assert len(pd.read_parquet(run.snapshot / table)) == 4
        assert len(pl.read_parquet(run.snapshot / table)) == 4


def test_an_unchanged_run_embeds_no_canary(made: SharedRun) -> None:
    """Nothing changed, so no encoder is asked: not even one that would be found to have moved."""
    shop, first = made.restored()
    script = shop.file("script.yaml", MOVED)
    run = again(shop, "--fake-script", str(script), change=False)
    assert run.code == 0, run.err
    assert "nothing has changed" in run.out
    assert run.snapshot == first.snapshot


def test_canaries_go_on_as_they_were(made: SharedRun) -> None:
    """A run with a new item keeps the canaries of the first, and its files say the same."""
    shop, first = made.restored()
    before = contracts(first)
    run = again(shop)
    assert run.code == 0, run.err + run.out
    assert contracts(run) == before
    assert run.manifest["records"]["new"] == 1


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (MOVED, ("embeddings/text: shop/texts@1", "cosine")),
        ("- {match: ., model: text-encoder, vector: nan}\n", ("embeddings/text", "length nan")),
        ("- {match: ., model: text-encoder, raise: true}\n", ("embeddings/text", "RuntimeError")),
        (
            "- {match: ., model: image-encoder, vector: moved}\n",
            ("embeddings/image: shop/pictures", "cosine"),
        ),
        ("- {match: ., model: image-encoder, vector: nan}\n", ("embeddings/image", "length nan")),
    ],
    ids=["texts moved", "texts NaN", "texts fail", "pictures moved", "pictures NaN"],
)
def test_an_encoder_that_answers_otherwise_than_last_night_publishes_nothing(
    made: SharedRun, script: str, told: tuple[str, ...]
) -> None:
    """The same name and revision with other vectors: the gate says which table, and what to do."""
    shop, _ = made.restored()
    before = published(shop)
    run = again(shop, "--fake-script", str(shop.file("script.yaml", script)))
    refused(shop, run, before, *told)
    assert "--text-revision" in run.out + run.err
    (entry,) = [each for each in run.manifest["checks"] if each["id"] == "canaries-agree"]
    assert len(entry["examples"]) == 1


def test_a_new_revision_makes_exactly_that_table_anew(made: SharedRun) -> None:
    """An encoder that moved and is named again is accepted: its table is another, the rest stays."""
    shop, first = made.restored()
    before, images = contracts(first), first.rows("embeddings/image")
    script = shop.file("script.yaml", MOVED)
    named = ("--text-model", "shop/texts", "--text-revision", "2", "--image-model", "shop/pictures")
    run = again(shop, "--fake-script", str(script), change=False, named=named)
    assert run.code == 0, run.err + run.out
    after = contracts(run)
    assert after["embeddings/image"] == before["embeddings/image"]
    assert after["embeddings/text"].space != before["embeddings/text"].space
    assert run.rows("embeddings/image") == images
    assert check(run.output, "--fake-script", script)[0] == 0
    code, verdicts = check(run.output)
    assert code == 1
    assert {table: each["state"] for table, each in verdicts.items()} == {
        "embeddings/text": "does not fit",
        "embeddings/image": "fits",
    }


def test_vectors_that_are_not_numbers_are_found_in_the_first_run(shop: Shop) -> None:
    """Where there is nothing to compare with, an encoder without usable vectors publishes nothing."""
    script = shop.file("script.yaml", "- {match: ., model: text-encoder, vector: nan}\n")
    options = (*ON, *NAMED, "--fake-script", str(script))
    run = shop.run(shop.file("in.jsonl", records(shop)), options=options)
    assert run.code == 1, run.err + run.out
    assert not (run.output / "current.json").exists()
    said = " ".join(run.out.split())  # lines are wrapped
    assert said.count("cannot embed the document") == 1
    assert "length nan" in said


def test_the_encoder_that_made_the_vectors_fits_and_no_other_does(made: SharedRun) -> None:
    """An output, a snapshot and one table are checked alike; another model, revision or dimension
    does not fit, and exit codes say so.
    """
    _, run = made.restored()
    for place in (run.output, run.snapshot, run.output / "current"):
        code, verdicts = check(place)
        assert code == 0
        assert [each["state"] for each in verdicts.values()] == ["fits", "fits"]
        assert verdicts["embeddings/text"]["canaries_compared"] == len(CANARY_TEXTS)
    code, verdicts = check(run.snapshot / "embeddings" / "text")
    assert (code, list(verdicts)) == (0, ["embeddings/text"])
    code, verdicts = check(run.output, "--query-model", "shop/texts", "--text-revision", "1")
    assert verdicts["embeddings/text"]["state"] == "fits"
    for other in (
        ("--query-model", "shop/others"),
        ("--text-revision", "2"),
        ("--text-prompt", "passage: "),
        ("--text-dimension", "32"),
        ("--text-encoder", "fake"),
    ):
        code, verdicts = check(run.snapshot / "embeddings" / "text", *other)
        assert (code, verdicts["embeddings/text"]["state"]) == (1, "does not fit"), other
    code, out, _ = call("vectors", "check", run.output, "--text-revision", "2")
    assert code == 1
    assert "does not fit" in out
    assert "embed a text with shop/texts@1" in out


def test_several_query_models_are_each_compared(made: SharedRun) -> None:
    """Each model has a line of its own for each table."""
    _, run = made.restored()
    table = run.snapshot / "embeddings" / "text"
    code, out, _ = call(
        *("vectors", "check", table, "--query-model", "shop/texts", "shop/others"),
        *("--text-revision", "1", "--json"),
    )
    found = {each["encoder"]: each["state"] for each in json.loads(out)["tables"]}
    assert (code, found) == (1, {"shop/texts": "fits", "shop/others": "does not fit"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--query-model", "no/such/folder", "--text-encoder", "embedded"), "model is"),
        (("--fake-script", "nowhere.yaml"), "nowhere.yaml cannot be read"),
    ],
    ids=["takes no model", "no script"],
)
def test_an_encoder_that_cannot_be_built_is_one_line(
    made: SharedRun, options: tuple[str, ...], told: str
) -> None:
    """A wrong name is a bad argument, not a vector that does not fit."""
    _, run = made.restored()
    code, out, err = call("vectors", "check", run.output, *options)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_places_without_vectors_are_told(made: SharedRun, tmp_path: Path) -> None:
    """An empty folder and a table without vectors are each one line and exit 2, a damaged file 3."""
    _, run = made.restored()
    damaged = tmp_path / "table"
    damaged.mkdir()
    (damaged / "b.parquet").write_bytes(b"PAR1")
    for place, expected, told in (
        (tmp_path, 2, "no folder of Parquet files"),
        (run.snapshot / "items", 2, "does not say what its vectors are"),
        (damaged, 3, "cannot be read"),
    ):
        for action in ("check", "show"):
            code, out, err = call("vectors", action, place)
            assert (code, out) == (expected, "")
            assert told in err
            assert len(err.splitlines()) == 1


def test_vectors_are_shown_in_words(made: SharedRun) -> None:
    """Encoder, space, what went in and how to query stand there for people, and all for programs."""
    _, run = made.restored()
    code, out, _ = call("vectors", "show", run.output)
    assert code == 0
    for words in (
        "embeddings/text",
        "4 vectors of 64 float32 numbers in column text_vector, of length one",
        "made by: shop/texts@1",
        "of: the enriched text",
        "to query: embed a text with shop/texts@1",
        "to query: embed a picture with shop/pictures",
        "canaries: 5",
    ):
        assert words in out
    documents = json.loads(call("vectors", "show", run.output, "--json")[1])
    assert [each["contract"]["table"] for each in documents] == list(TABLES)


def test_the_contract_is_a_part_of_its_snapshot(made: SharedRun) -> None:
    """A snapshot whose contract was altered is damaged: it is not rolled back to, and a run does
    not go on from it.
    """
    shop, first = made.restored()
    snapshot = first.snapshot
    assert again(shop).code == 0
    path = snapshot / CONTRACTS
    path.write_bytes(path.read_bytes().replace(b"shop/texts", b"shop/other"))
    code, _, err = call("rollback", first.output)
    assert code == 1
    assert f"{CONTRACTS} holds other bytes than were written" in err
    code, _, err = call("vectors", "check", snapshot)
    assert code == 3
    assert CONTRACTS in err


def test_how_to_query_is_printed_with_the_tables(made: SharedRun) -> None:
    """`tables` names the encoder of queries beside the lines that read a table."""
    _, run = made.restored()
    code, out, _ = call("tables", run.output)
    assert code == 0
    assert "embeddings/text: embed a text with shop/texts@1" in out
    told = json.loads(call("tables", run.output, "--json")[1])
    assert set(told["query"]) == set(TABLES)


def test_weights_that_changed_in_their_folder_are_found_before_anything_is_embedded(
    shop: Shop, tiny_encoders: TinyEncoders
) -> None:
    """Trained on under the same name, a model is refused in one line; --full accepts it and makes
    its table again. As an encoder of queries its copy of the same name does not fit.
    """
    folder = shutil.copytree(tiny_encoders["bert"], shop.folder / "encoder")
    named = ("--text-encoder", "transformers", "--text-model", str(folder))
    catalog = shop.file("in.jsonl", records(shop))
    first = shop.run(catalog, options=(*ON, *named, *POOLED))
    assert first.code == 0, first.err + first.out
    before, kept = published(shop), contracts(first)["embeddings/text"]
    other = shutil.copytree(folder, shop.folder / "elsewhere" / "encoder")
    train_on(other)
    code, verdicts = check(first.snapshot / "embeddings/text", "--query-model", folder, *POOLED)
    assert (code, verdicts["embeddings/text"]["state"]) == (0, "fits")
    code, verdicts = check(first.snapshot / "embeddings/text", "--query-model", other, *POOLED)
    assert (code, verdicts["embeddings/text"]["state"]) == (1, "does not fit")

    train_on(folder)
    run = again(shop, *POOLED, named=named)
    refused(shop, run, before, "embeddings/text: encoder encoder changed under its name", "--full")
    assert run.code == 2
    run = again(shop, *POOLED, "--full", named=named)
    assert run.code == 0, run.err + run.out
    assert contracts(run)["embeddings/text"].space != kept.space


def train_on(folder: Path) -> None:
    """Change the weights of a model's folder and nothing else."""
    path = folder / "model.safetensors"
    generator = np.random.default_rng(1)
    with safe_open(path, "np") as file:
        said = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
    moved = {
        name: (each + generator.normal(0, 0.3, each.shape)).astype(each.dtype)
        if each.dtype.kind == "f"
        else each
        for name, each in weights.items()
    }
    save_file(moved, path, said)


@pytest.mark.parametrize(
    "options", [("--query-model", "no/such/folder"), ("--text-model", "./gone")]
)
def test_a_wrong_folder_is_one_line(shop: Shop, made: SharedRun, options: tuple[str, ...]) -> None:
    """A query model that is not there is a bad argument that names it."""
    _, run = made.restored()
    table = run.snapshot / "embeddings" / "text"
    code, out, err = call("vectors", "check", table, *options, "--text-encoder", "transformers")
    assert (code, out) == (2, "")
    assert options[1] in err
    assert len(err.splitlines()) == 1
