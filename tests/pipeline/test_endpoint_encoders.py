"""The whole job with encoders behind an endpoint: their requests are counted, limited and asked no
more often than needed, and what goes wrong for all texts publishes nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli import main
from tests.embedding_server import MODEL, EmbeddingServer
from tests.support import Run, Shop, flags
from transforms.vectors.canaries import canary_picture

COUNT = 12
TITLES = "  - {name: titles, type: localized, from: titles, description: By language.}\n"


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def run(shop: Shop, server: EmbeddingServer, *options: str, count: int = COUNT) -> Run:
    """A run with as many records, whose text vectors the server makes."""
    records = [{"sku": f"s{n:02}", "name": f"Shirt {n}", "color": "Red"} for n in range(count)]
    served = ("--text-encoder", "openai", "--text-model", MODEL, "--text-endpoint", server.url)
    limits = ("--max-retries", "1", "--give-up-secs", "1", "--no-probes")
    return shop.run(shop.file("in.jsonl", records), options=(*served, *limits, *options))


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and messages of a command."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


def text_requests(server: EmbeddingServer) -> int:
    return sum("input" in body for body in server.requests)


def test_vectors_come_from_the_endpoint_and_are_counted(
    shop: Shop, server: EmbeddingServer
) -> None:
    """Every item has a unit vector of the endpoint's; requests, tokens and cost are in the manifest
    and in the summary; a second run asks for the dimension and the canaries only.
    """
    first = run(shop, server, "--prices", "embedding=2.0")
    assert first.code == 0, first.err
    rows = first.rows("embeddings/text")
    assert len(rows) == COUNT
    assert {len(row["text_vector"]) for row in rows} == {8}
    assert all(abs(np.linalg.norm(row["text_vector"]) - 1) < 1e-5 for row in rows)
    used = first.manifest["counts"]["encoded"]
    assert used["calls"] == text_requests(server) - 1
    assert used["cost"] == pytest.approx(used["prompt_tokens"] * 2.0 / 1e6)
    assert "Encoders behind an endpoint" in first.out
    asked = text_requests(server)
    assert "nothing has changed since" in run(shop, server).out
    assert text_requests(server) == asked + 2
    assert run(shop, server, count=COUNT + 1).code == 0
    sent = [text for body in server.requests[asked + 4 :] for text in body["input"]]
    assert len([text for text in sent if "Shirt" in text]) == 1  # and canaries


def test_one_bad_text_costs_one_item(shop: Shop, server: EmbeddingServer) -> None:
    """An item whose text the server refuses has no vector and a flag that says why; the others have
    theirs, and the gate lets them through.
    """
    records = [{"sku": f"s{n}", "name": f"Shirt {n}"} for n in range(COUNT)]
    records[5]["name"] = "Shirt [server: 400]"
    served = ("--text-encoder", "openai", "--text-model", MODEL, "--text-endpoint", server.url)
    done = shop.run(shop.file("in.jsonl", records), options=served)
    assert done.code == 0, done.err
    (bad,) = [row for row in done.rows("items") if "embed-failed" in flags(row)]
    assert bad["item_id"] == "s5"
    assert "scripted 400" in next(
        f["detail"] for f in bad["flags"] if f["reason"] == "embed-failed"
    )
    assert len(done.rows("embeddings/text")) == COUNT - 1


def test_a_budget_bounds_vectors_too(shop: Shop, server: EmbeddingServer) -> None:
    """With --max-tokens no more is sent to the endpoint than that; items that it left without a
    vector say so, and the next run makes those only.
    """
    # Without a language model, whose questions would be left open too.
    batches = ("--text-batch-tokens", "8", "--describe-backend", "embedded", "--no-ocr")
    first = run(shop, server, *batches, "--max-tokens", "160")
    assert first.code == 0, first.err
    made = len(first.rows("embeddings/text"))
    assert 0 < made < COUNT
    left_open = [row for row in first.rows("items") if "budget" in flags(row)]
    assert len(left_open) == COUNT - made
    assert "budget was spent" in left_open[0]["flags"][0]["detail"]
    assert "the budget was spent; run again for what is open" in first.out
    before = len(server.requests)
    again = run(shop, server, *batches)
    assert len(again.rows("embeddings/text")) == COUNT
    sent = [text for body in server.requests[before + 1 :] for text in body["input"]]
    assert len([text for text in sent if "Shirt" in text]) == COUNT - made


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_budget_that_is_spent_at_once_is_no_failure_of_the_encoder(
    shop: Shop, server: EmbeddingServer, modality: str
) -> None:
    """What there is is published, each item without a vector says why, and a run with money makes
    the vectors.
    """
    pictures = [shop.picture(f"{n}.png", f"rgb({60 * n}, 9, 9)") for n in range(3)]
    records = [
        {"sku": f"s{n}", "name": f"Shirt {n}", "photos": [p]} for n, p in enumerate(pictures)
    ]
    named = (f"--{modality}-encoder", "openai", f"--{modality}-model", MODEL)
    served = (*named, f"--{modality}-endpoint", server.url, "--no-probes")
    own = ("--describe-backend", "embedded", "--no-ocr", "--max-tokens")
    catalog = shop.file("in.jsonl", records)
    first = shop.run(catalog, options=(*served, *own, "1"))
    assert first.code == 0, first.err + first.out
    assert first.rows(f"embeddings/{modality}") == []
    assert [flags(row) for row in first.rows("items")] == [{"budget"}] * 3
    assert first.manifest["counts"]["vectors_failed"] == {}
    second = shop.run(catalog, options=(*served, *own, "100000"))
    assert second.code == 0, second.err + second.out
    assert len(second.rows(f"embeddings/{modality}")) == 3
    assert [flags(row) for row in second.rows("items")] == [set()] * 3


def test_an_encoder_of_pictures_is_not_missed_where_there_are_none(shop: Shop) -> None:
    """A space of pictures, whatever its name, is empty without usable pictures and refuses nothing,
    also where a text fails; with pictures of which none has a vector the gate refuses it.
    """
    shop = replace(
        shop, template=f"{shop.template}\nvectors: [{{name: looks, of: image, encoder: fake}}]\n"
    )
    records = [{"sku": "a", "name": "Mug"}, {"sku": "b", "name": "Lamp", "photos": ["gone.png"]}]
    script = (
        "- {match: Lamp, model: text-encoder, failure: embed-failed}\n"
        f"- {{match: '^(?!{canary_picture().digest})', model: image-encoder, failure: backend-failed}}\n"
    )
    options = ("--fake-script", str(shop.file("script.yaml", script)), "--no-probes")
    without = shop.run(shop.file("in.jsonl", records), options=options)
    assert without.code == 0, without.err + without.out
    assert without.manifest["counts"]["vectors_failed"] == {"text": 1}
    assert without.rows("embeddings/looks") == []
    shop.picture("gone.png")
    given = shop.run(shop.file("in.jsonl", records), options=options)
    assert given.code == 1
    assert "no encoder failed on everything" in " ".join(given.out.split())
    assert given.snapshot == without.snapshot


@pytest.mark.parametrize("broken", ["key", "model", "dimension", "gone"])
def test_what_concerns_all_texts_publishes_nothing(
    shop: Shop, server: EmbeddingServer, broken: str
) -> None:
    """A key or a model that is not accepted, a server that is gone, and vectors of another length
    than last night are one line before anything is made, and readers keep what they have.
    """
    first = run(shop, server)
    assert first.code == 0, first.err
    more: tuple[str, ...] = ()
    if broken == "key":
        server.key = "sk-other"
    elif broken == "model":
        more = ("--text-model", "no-such-model")
    elif broken == "dimension":
        server.dimension = 9
    else:
        server.kill()
    second = run(shop, server, *more, count=COUNT + 1)
    told = {
        "key": "does not accept the key",
        "model": "no model 'no-such-model'",
        "dimension": "gives vectors of 9 numbers, and gave 8 in run",
        "gone": "was given up",
    }
    assert second.code == 2, second.out
    assert told[broken] in second.err
    assert len(second.err.strip().splitlines()) == 1
    assert second.snapshot == first.snapshot


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_server_with_another_model_is_found_before_anything_is_embedded(
    shop: Shop, server: EmbeddingServer, modality: str
) -> None:
    """Two requests, for the dimension and for the canaries, tell that the vectors are others than
    last night: one line that names what to do, whatever --full says. A revision
    accepts the new model; then the table is rebuilt.
    """
    named = (f"--{modality}-encoder", "openai", f"--{modality}-model", MODEL)
    served = (*named, f"--{modality}-endpoint", server.url, "--no-probes")
    records = [
        {"sku": f"s{n}", "name": f"Shirt {n}", "photos": [shop.picture(f"{n}.png", color)]}
        for n, color in enumerate(("red", "blue", "green"))
    ]
    first = shop.run(shop.file("in.jsonl", records[:2]), options=served)
    assert first.code == 0, first.err
    table = f"embeddings/{modality}"
    before = {row["item_id"]: row[f"{modality}_vector"] for row in first.rows(table)}
    catalog = shop.file("in.jsonl", records)
    server.weights = "those of tonight"
    for options in ((), ("--full",)):
        asked = len(server.requests)
        moved = shop.run(catalog, options=(*served, *options))
        assert (moved.code, len(server.requests)) == (2, asked + 2), moved.err + moved.out
        (line,) = moved.err.strip().splitlines()
        assert f"vectors {modality}: encoder openai: '{MODEL}' does not answer as it did" in line
        assert "cosine" in line
        assert f"--{modality}-revision" in line
        assert moved.snapshot == first.snapshot
    accepted = shop.run(catalog, options=(*served, f"--{modality}-revision", "tonight"))
    assert accepted.code == 0, accepted.err + accepted.out
    now = {row["item_id"]: row[f"{modality}_vector"] for row in accepted.rows(table)}
    assert len(now) == 3
    assert all(now[item] != vector for item, vector in before.items())


def test_a_server_that_changes_its_model_ends_the_run(shop: Shop, server: EmbeddingServer) -> None:
    """Vectors of another length in the middle of a run end it in one line, without a traceback."""
    records = [{"sku": f"s{n}", "name": f"Shirt {n}"} for n in range(COUNT)]
    records[5]["name"] = "Shirt [server: longer]"
    served = ("--text-encoder", "openai", "--text-model", MODEL, "--text-endpoint", server.url)
    done = shop.run(shop.file("in.jsonl", records), options=served)
    assert done.code == 3
    assert "vector of 9 numbers where others have 8" in done.err
    assert "Traceback" not in done.err
    assert not (done.output / "current.json").exists()


def test_a_table_names_no_server_to_send_a_key_to(shop: Shop, server: EmbeddingServer) -> None:
    """`vectors check` and `evaluate` ask an endpoint only if the command line names it; then the
    encoder fits, and languages are embedded by it.
    """
    shop.template += TITLES
    records = [{"sku": f"s{n}", "titles": {"en": f"Cup {n}", "de": f"Cup {n}"}} for n in range(12)]
    named = ("--text-encoder", "openai", "--text-model", MODEL)
    there = ("--text-endpoint", server.url)
    made = shop.run(shop.file("in.jsonl", records), options=(*named, *there, "--no-probes"))
    assert made.code == 0, made.err
    asked = text_requests(server)
    check = ["vectors", "check", str(made.snapshot / "embeddings" / "text")]
    code, _, err = call(*check)
    assert (code, text_requests(server)) == (2, asked)
    assert "needs the server's base URL" in err
    template = str(shop.folder / "template.yaml")
    look = ["evaluate", "--protocol", "neighbours", "--template", template, "--json"]
    look += ["--tables", str(made.output)]
    _, out, _ = call(*look)
    assert "across languages: not measured in text, openai" in out
    assert text_requests(server) == asked
    code, _, err = call(*check, *there)
    assert code == 0, err
    found = {each["of"]: each["value"] for each in json.loads(call(*look, *there)[1])["across"]}
    assert found["titles: de finds en (text)"] == 1.0
