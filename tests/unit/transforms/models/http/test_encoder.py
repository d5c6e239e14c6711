"""Encoders behind an endpoint, against a real server on the loopback that misbehaves on script."""

import pickle
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from tests.embedding_server import MODEL, EmbeddingServer, unit_vector
from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.budget import Budget, Prices, Spending
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import (
    MAX_MESSAGE_CHARS,
    Failure,
    ModelGoneError,
    ModelOptions,
    Picture,
    call_each,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import ImageEncoding, ServedEncoder, count_requests

KEY = "sk-very-secret-0123456789"
TIMEOUT_SECS = 1.0
TEXTS = [f"item {n}" for n in range(6)]


def encoder_for(server, build=build_text_encoder, spending=None, chat=None, **options):
    given = {"backend": "openai", "model": MODEL, "endpoint": server.url, **options}
    limits = {
        "timeout_secs": TIMEOUT_SECS,
        "max_retries": 1,
        "give_up_secs": 5.0,
        "busy_secs": 0,
        **(chat or {}),
    }
    models = ModelOptions(chat=ChatOptions(**limits), spending=spending)
    return build(models, EncoderOptions(**given))


@contextmanager
def loaded(server, *arguments, **options):
    encoder = encoder_for(server, *arguments, **options)
    encoder.load()
    try:
        yield encoder
    finally:
        encoder.close()


@pytest.fixture
def server():
    with EmbeddingServer() as server:
        yield server


def assert_vectors_of(answers, texts, dimension=8):
    for answer, text in zip(answers, texts, strict=True):
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, unit_vector(text, dimension), atol=1e-6)


@pytest.mark.parametrize("name", ["ok", "shuffled", "without-index", "base64"])
def test_every_text_gets_its_own_vector(name):
    """In whatever order and form the server answers, a text has the vector that is its own."""
    with EmbeddingServer([name] * 2) as server, loaded(server, batch_tokens=6) as encoder:
        assert_vectors_of(encoder.encode_texts(TEXTS), TEXTS)


def test_vectors_have_length_one_whatever_the_server_sends():
    """Vectors that are not scaled come out with length one."""
    with EmbeddingServer(scale=1e30) as server, loaded(server) as encoder:
        assert_vectors_of(encoder.encode_texts(TEXTS), TEXTS)


def test_prompts_stand_before_texts(server):
    """Documents and queries have their own prompts, and the card names them."""
    with loaded(server, prompt="passage: ", query_prompt="query: ") as encoder:
        (document,) = encoder.encode_texts(["red"])
        (query,) = encoder.encode_texts(["red"], "query")
        assert_vectors_of([document, query], ["passage: red", "query: red"])
        card = encoder.card
    assert (card.document_prompt, card.query_prompt) == ("passage: ", "query: ")
    assert (card.id, card.dimension, card.modalities) == (MODEL, 8, ("text",))


def test_batches_hold_so_many_tokens_and_texts():
    """No request has more tokens than --text-batch-tokens, and many are under way at once, but no
    more than --max-inflight.
    """
    texts = ["x" * 40 for _ in range(64)]
    limits = {"max_inflight": 3}
    with EmbeddingServer(latency_secs=0.05) as server:
        with loaded(server, batch_tokens=40, chat=limits) as encoder:
            encoder.encode_texts(texts)
        assert {len(body["input"]) for body in server.requests} == {4}
        assert server.peak == 3


MISBEHAVIOURS = {
    "500": "model-error",
    "429:0.05": "model-busy",
    "400": "model-refused",
    "hang": "model-timeout",
    "cut": "model-error",
    "closed": "model-error",
    "truncated": "model-error",
    "html": "model-error",
    "redirect": "model-error",
    "echo": "model-refused",
    "wrong-shape": "model-error",
    "one-less": "model-error",
    "one-more": "model-error",
    "same-index": "model-error",
    "words": "model-error",
    "empty-vectors": "model-error",
    "nested": "model-error",
    "nan": "model-error",
    "zeros": "model-error",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_misbehaviour_costs_one_text(server, name):
    """A text that the server answers badly, alone or in a batch, fails with a reason in one line;
    the others have their vectors, and the key is in no message.
    """
    bad = f"bad [server: {name}]"
    with loaded(server, api_key_env="NO_SUCH_KEY") as encoder:
        (alone,) = encoder.encode_texts([bad])
        found = encoder.encode_texts([*TEXTS[:3], "good"])
    assert isinstance(alone, Failure)
    assert alone.reason == MISBEHAVIOURS[name]
    # The server has no faults but those that it is asked for.
    assert ("HTTP 500" in alone.message) == (name == "500")
    assert "\n" not in alone.message
    assert len(alone.message) <= MAX_MESSAGE_CHARS
    assert_vectors_of(found, [*TEXTS[:3], "good"])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["400", "one-less", "500"])
def test_a_bad_text_is_alone_in_the_end(server, name):
    """A batch that one text spoils is halved until that text is alone: it fails, its neighbours do
    not.
    """
    texts = [*TEXTS, f"bad [server: {name}]", "good"]
    with loaded(server, chat={"max_retries": 0}) as encoder:
        found = encoder.encode_texts(texts)
    assert isinstance(found[6], Failure)
    del found[6], texts[6]
    assert_vectors_of(found, texts)


def test_a_batch_too_large_for_the_server_is_halved():
    """A server that takes fewer texts at once than are sent gets them in smaller requests."""
    texts = [f"item {n}" for n in range(20)]
    with EmbeddingServer(max_inputs=8) as server, loaded(server) as encoder:
        assert_vectors_of(encoder.encode_texts(texts), texts)


def test_a_text_too_long_for_the_server_is_cut_and_counted():
    """A text that the server refuses as too long is shortened until it fits; how many were is
    counted.
    """
    long = "a red mug " * 100
    with EmbeddingServer(max_chars=300) as server, loaded(server) as encoder:
        short, cut = encoder.encode_texts(["short", long])
        read = max((body["input"][-1] for body in server.requests[-1:]), key=len)
        assert long.startswith(read)
        assert 150 < len(read) <= 300
        assert_vectors_of([short, cut], ["short", read])
        assert encoder.take_counts()["cut"] == 1


def test_max_tokens_cuts_before_anything_is_sent(server):
    """With --text-max-tokens no more of a text is sent than that many tokens, by estimate."""
    with loaded(server, max_tokens=10) as encoder:
        encoder.encode_texts(["word " * 50])
    assert max(len(body["input"][0]) for body in server.requests) == 40


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ({"key": KEY}, {"api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
        ({}, {"model": "other"}, "'other'"),
        ({}, {"endpoint": "http://127.0.0.1:9/v1"}, "given up"),
    ],
)
def test_what_no_text_can_mend_ends_the_run(arguments, options, told):
    """A key that is not accepted, a model that is not there and a server that is gone are one clear
    line: a ValueError before the run, and in it an error that no batch swallows.
    """
    quick = {"give_up_secs": 0.2}
    with EmbeddingServer(**arguments) as server:
        with pytest.raises(ValueError, match=told) as before:
            _ = encoder_for(server, chat=quick, **options).dimension
        with (
            loaded(server, chat=quick, **options) as encoder,
            pytest.raises(ModelGoneError, match=told) as during,
        ):
            call_each(encoder.encode_texts, TEXTS, "embed-failed")
    assert "\n" not in str(before.value) + str(during.value)


def test_the_key_is_nowhere(monkeypatch):
    """The key goes to the server in its header, and into nothing that is kept or told."""
    monkeypatch.setenv("EMBEDDING_KEY", KEY)
    with (
        EmbeddingServer(key=KEY) as server,
        loaded(server, api_key_env="EMBEDDING_KEY") as encoder,
    ):
        (failure,) = encoder.encode_texts(["[server: echo]"])
        kept = f"{encoder.card} {encoder.model} {encoder.address} {failure}"
    assert KEY not in kept
    assert "[key]" in failure.message


def test_another_dimension_than_before_ends_the_run(server):
    """Vectors of another length than the first ones end the run, with both lengths named."""
    with loaded(server) as encoder:
        encoder.encode_texts(TEXTS)
        with pytest.raises(ModelGoneError, match=r"vector of 9 numbers where others have 8"):
            encoder.encode_texts(["[server: longer]"])


def test_the_dimension_is_asked_for_once(server):
    """The server is asked for the dimension once; who was told it asks no more."""
    encoder = encoder_for(server)
    assert (encoder.dimension, encoder.dimension, server.calls) == (8, 8, 1)
    told = ModelOptions(dimensions=((encoder.address, 8),))
    options = EncoderOptions("openai", model=MODEL, endpoint=server.url)
    assert (build_text_encoder(told, options).dimension, server.calls) == (8, 1)


def test_a_shorter_dimension_is_asked_of_the_server(server):
    """--text-dimension goes to the server; one that does not heed it is refused by name."""
    with loaded(server, dimension=4) as encoder:
        assert_vectors_of(encoder.encode_texts(TEXTS), TEXTS, 4)
        assert encoder.dimension == 4
    told = r"dimension 4 was asked for .* with 5 numbers"
    with EmbeddingServer(["longer"]) as deaf, pytest.raises(ValueError, match=told):
        _ = encoder_for(deaf, dimension=4).dimension


def test_requests_tokens_and_failures_are_counted(server):
    """What was sent is counted once: requests, tokens as the server counts them, retries, failures."""
    with loaded(server) as encoder:
        encoder.encode_texts(["x" * 40, "y" * 40])
        encoder.encode_texts(["[server: 500 ok]"])
        encoder.encode_texts(["[server: 400]"])
        counts = encoder.take_counts()
        assert (counts["calls"], counts["retries"]) == (3, 1)
        assert counts["prompt_tokens"] == 20 + len("[server: 500 ok]") // 4
        assert counts["failures"] == 1
        told = {}
        count_requests(encoder, told.__setitem__)
        assert told == {}
        encoder.encode_texts(["x"])
        count_requests(encoder, told.__setitem__)
    assert told["encoder_calls"] == 1
    assert isinstance(encoder, ServedEncoder)


@pytest.mark.parametrize(
    "budget",
    [
        Budget(max_tokens=100),
        Budget(max_cost=100 / 1e6, prices=Prices(embedding=1.0)),
    ],
)
def test_a_budget_holds(server, tmp_path, budget):
    """No more is spent than --max-tokens or --max-cost allows; the rest fails with `budget`, and
    the requests of all encoders of a machine count together.
    """
    spending = Spending(budget, str(tmp_path / "budget.json"))
    texts = [f"{n:040}" for n in range(30)]
    found = []
    for half in (texts[:15], texts[15:]):
        with loaded(server, spending=spending, batch_tokens=10) as encoder:
            found += encoder.encode_texts(half)
    failed = [answer for answer in found if isinstance(answer, Failure)]
    assert {failure.reason for failure in failed} == {"budget"}
    spent = sum(len(text) // 4 for body in server.requests for text in body["input"])
    assert 50 < spent <= 100
    assert len(found) - len(failed) == server.calls


def test_pictures_go_as_messages(server):
    """A picture goes alone, as a data URL in a user's turn, and gets its vector."""
    pictures = [Picture("", Image.new("RGB", (40, 30), color)) for color in ("red", "blue")]
    with loaded(server, build_image_encoder) as encoder:
        found = encoder.encode_images(pictures)
        assert encoder.card.modalities == ("image",)
    assert all(isinstance(each, ImageEncoding) for each in found)
    sent = [body["messages"][0]["content"][0]["image_url"]["url"] for body in server.requests]
    assert all(url.startswith("data:image/jpeg;base64,/9j/") for url in sent)
    assert not np.allclose(found[0].vector, found[1].vector)


def test_a_server_without_pictures_is_refused_before_the_run():
    """A server that takes no messages is named, with what is needed instead."""
    told = r"gave no vector of a picture.*messages"
    with EmbeddingServer(pictures=False) as server, pytest.raises(ValueError, match=told):
        _ = encoder_for(server, build_image_encoder).dimension


def test_an_encoder_travels_before_it_is_loaded(server):
    """An unloaded encoder can be pickled to a worker, and says the same of itself there."""
    copy = pickle.loads(pickle.dumps(encoder_for(server)))
    assert (copy.model, copy.requires, copy.dimension) == (MODEL, ("aiohttp",), 8)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": ""}, "model is missing"),
        ({"endpoint": ""}, "base URL"),
        ({"endpoint": "http://host/v1/embeddings"}, "goes too far"),
        ({"api_key_env": "sk-123"}, "environment variable"),
        ({"pooling": "mean"}, "pooling"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_options_that_cannot_work_are_refused(options, told):
    """An option that is missing, or that an endpoint does not heed, is named before anything is
    sent.
    """
    given = {"backend": "openai", "model": MODEL, "endpoint": "http://host/v1", **options}
    with pytest.raises(ValueError, match=told):
        build_text_encoder(ModelOptions(), EncoderOptions(**given))


def test_a_huge_response_is_not_read_whole(server):
    """A response that never ends is broken off, and costs its text only."""
    with loaded(server, chat={"timeout_secs": 20.0, "max_retries": 0}) as encoder:
        (failure,) = encoder.encode_texts(["[server: whitespace]"])
    assert failure.reason == "model-error"
    assert "bytes" in failure.message
