"""Budgets of encoders behind an endpoint, against servers that say nothing of tokens, lie, or send no vectors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.embedding_server import MODEL
from tests.misbehaviour.embeddings import BROKEN, EMBEDDING_USAGES, WHOLE, HostileEmbeddingServer
from transforms.models import build_text_encoder
from transforms.models.budget import Budget, Prices, Spending
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions
from transforms.models.encoder_options import EncoderOptions

TEXT_CHARS, COUNT = 400, 30
LIMITS = {
    "tokens": Budget(max_tokens=1_500),
    "cost": Budget(max_cost=0.0015, prices=Prices(embedding=1.0)),
}


def encoded(
    server: HostileEmbeddingServer, name: str, spending: Spending, **limits: Any
) -> tuple[list[Any], Counter[str]]:
    """What came of so many texts, each a request of its own, and what was counted."""
    chat = ChatOptions(timeout_secs=10.0, give_up_secs=600.0, **({"max_retries": 0} | limits))
    options = EncoderOptions(
        backend="openai", model=MODEL, endpoint=server.url, dimension=8, batch_tokens=1
    )
    encoder = build_text_encoder(ModelOptions(chat=chat, spending=spending), options)
    encoder.load()
    texts = [f"{n} [server: {name}] {'word ' * 100}"[:TEXT_CHARS] for n in range(COUNT)]
    try:
        return encoder.encode_texts(texts), encoder.take_counts()
    finally:
        encoder.close()


@pytest.mark.parametrize("limit", LIMITS)
def test_no_word_of_usage_lets_more_texts_through(tmp_path: Path, limit: str) -> None:
    """Whatever an endpoint states that it read, no more requests are let through than by an honest
    count, and what it did not state is counted as an estimate.
    """
    with HostileEmbeddingServer() as server:
        _, fair = encoded(server, "ok", Spending(LIMITS[limit], str(tmp_path / "honest")))
        assert 3 < fair["calls"] < COUNT
        assert fair["estimated_tokens"] == 0
        for name in EMBEDDING_USAGES:
            spending = Spending(LIMITS[limit], str(tmp_path / name))
            answers, counts = encoded(server, name, spending)
            assert 0 < counts["calls"] <= fair["calls"], name
            assert counts["prompt_tokens"] >= counts["calls"] * TEXT_CHARS // 8, name
            assert counts["estimated_tokens"] == counts["prompt_tokens"], name
            assert {a.reason for a in answers if isinstance(a, Failure)} == {"budget"}, name


@pytest.mark.parametrize("name", ["html", "one-less", "cut", "packed-cut", "504"])
def test_requests_without_vectors_are_paid_from_the_budget(tmp_path: Path, name: str) -> None:
    """What an endpoint may have read for nothing counts, however often it is sent again, and it is no
    call of a language model.
    """
    budget = Budget(max_tokens=1_500, max_model_calls=0)
    with HostileEmbeddingServer() as server:
        answers, counts = encoded(
            server, name, Spending(budget, str(tmp_path / "b")), max_retries=3
        )
        attempts = server.calls
    assert counts["lost_attempts"] == attempts > 1
    assert attempts * TEXT_CHARS // 4 <= budget.max_tokens
    assert counts["lost_tokens"] >= attempts * TEXT_CHARS // 8
    assert {answer.reason for answer in answers} >= {"budget"}


@pytest.mark.parametrize("name", WHOLE)
def test_vectors_are_read_in_whatever_they_come(name: str) -> None:
    """Packed although nobody asked for it, or with another success than 200: the vectors are there."""
    with HostileEmbeddingServer() as server:
        answers, counts = encoded(server, name, Spending())
    assert not any(isinstance(answer, Failure) for answer in answers)
    assert counts["failures"] == 0


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_whole_gives_no_vector(name: str) -> None:
    """A response that breaks off, or unpacks to more than any answer has, is a failure with a reason."""
    with HostileEmbeddingServer() as server:
        answers, _ = encoded(server, name, Spending(Budget(max_tokens=400)))
    assert {answer.reason for answer in answers} <= {"model-error", "budget"}
    assert "model-error" in {answer.reason for answer in answers}
