"""transforms.describe.ask: budgets hold against servers that say nothing of tokens, lie, or answer nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.misbehaviour import HonestServer, HostileServer
from tests.misbehaviour.usage import HONEST_USAGES, USAGES
from transforms.caching.answers import AnswerCodec, CachedAnswer
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.ask import ModelSession
from transforms.models.budget import Budget, Prices, SharedBudgetShare
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions
from transforms.models.http.openai import OpenAIChatModel

SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["red", "blue"]}, "title": {"type": "string"}},
}
PROMPT_CHARS, COUNT = 1_200, 40
LIMITS = {
    "tokens": Budget(max_tokens=4_000),
    "cost": Budget(max_cost=0.005, prices=Prices(prompt=1.0, completion=4.0)),
}
# One call by an honest count, whose prompt is PROMPT_CHARS / 4 and whose answer is some 20 tokens.
HONEST_TOKENS = PROMPT_CHARS // 4


class _InMemory(KeyRangeCache[CachedAnswer]):
    """Keeps answers in memory only."""

    def flush(self) -> None:
        self._fresh = []


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with HostileServer() as made:
        yield made


@pytest.fixture(scope="module")
def honest() -> Iterator[HonestServer]:
    with HonestServer() as made:
        yield made


def requests(name: str) -> list[ChatRequest]:
    texts = [f"{n} [server: {name}] {'word ' * 300}"[:PROMPT_CHARS] for n in range(COUNT)]
    return [ChatRequest("", text, SCHEMA, max_tokens=100) for text in texts]


def asked(
    url: str, name: str, budget: Budget, folder: Path, **options: Any
) -> tuple[ModelSession, list[ChatAnswer | Failure]]:
    """What came of asking all requests with this budget, by a client that sends many at once."""
    patient = {"timeout_secs": 10.0, "max_retries": 0, "give_up_secs": 600.0, **options}
    model = OpenAIChatModel(
        ModelOptions(
            describe_backend="openai", chat=ChatOptions(model="tiny", endpoint=url, **patient)
        )
    )
    model.load()
    session = ModelSession(
        model,
        _InMemory("", "0000", "ffff", AnswerCodec("r", "tiny")),
        budget,
        SharedBudgetShare(folder / "budget.json", budget.limit),
        672,
    )
    try:
        return session, session.ask(requests(name))
    finally:
        model.close()


@pytest.mark.parametrize("limit", LIMITS)
def test_no_word_of_usage_lets_more_calls_through(
    hostile: HostileServer, honest: HonestServer, tmp_path: Path, limit: str
) -> None:
    """Whatever a server states that it took, no more calls are let through than by an honest count,
    and money is never below what their texts must have cost.
    """
    budget = LIMITS[limit]
    fair, _ = asked(honest.url, "ok", budget, tmp_path)
    assert 3 < fair.usage.calls < COUNT
    for number, name in enumerate(USAGES):
        folder = tmp_path / str(number)
        folder.mkdir()
        session, answers = asked(hostile.url, name, budget, folder)
        assert 0 < session.usage.calls <= fair.usage.calls, name
        least = PROMPT_CHARS // 8 * session.usage.calls
        assert session.usage.prompt_tokens >= least, name
        assert session.usage.cost >= budget.prices.cost(least, 0, 0) * (1 - 1e-9), name
        failures = {answer.reason for answer in answers if isinstance(answer, Failure)}
        assert failures == {"budget"}, name


def test_the_account_says_what_was_estimated(hostile: HostileServer, tmp_path: Path) -> None:
    """An answer is reported where its server's count was believed, in whatever words, and estimated
    elsewhere; the usage says how many tokens that makes.
    """
    for number, (name, source) in enumerate(
        {
            **dict.fromkeys(HONEST_USAGES, "reported"),
            **dict.fromkeys(USAGES, "estimated"),
            # What only the images' part is wrong of is stated else.
            "usage-all-pictures": "reported",
            "usage-pictures-negative": "reported",
        }.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        session, answers = asked(hostile.url, name, Budget(max_model_calls=2), folder)
        counted = [answer.counted for answer in answers if isinstance(answer, ChatAnswer)]
        assert counted == [source] * 2, name
        used = session.usage
        assert bool(used.estimated_tokens) == (source == "estimated"), name
        assert used.estimated_tokens <= used.prompt_tokens + used.completion_tokens, name


LOSSES = ["truncated", "html", "wrong-shape", "error-in-200", "status-200-empty", "cut", "closed",
          "status-500-with-usage", "packed-cut", "504", "choices-null"]  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_attempts_that_bring_no_answer_are_paid_from_the_budget(
    hostile: HostileServer, tmp_path: Path, name: str
) -> None:
    """A server that may have worked for nothing is sent no more than the budget pays for, however
    often a request may be sent again; what was lost is in the account.
    """
    before = hostile.calls
    limit = 4_000
    session, answers = asked(
        hostile.url, name, Budget(max_tokens=limit), tmp_path, max_retries=3, requests_per_min=0
    )
    attempts = hostile.calls - before
    assert attempts * HONEST_TOKENS <= limit
    used = session.usage
    assert used.lost_attempts == attempts > 1
    assert used.lost_tokens >= attempts * PROMPT_CHARS // 8
    assert {answer.reason for answer in answers if isinstance(answer, Failure)} >= {"budget"}
    # null is asked about in other forms, too, of which the server states less than it wrote.
    if name != "choices-null":
        assert bool(used.estimated_tokens) == (name != "status-500-with-usage")


@pytest.mark.parametrize("name", ["400", "413", "status-304"])
def test_what_a_server_refuses_takes_no_tokens(
    hostile: HostileServer, tmp_path: Path, name: str
) -> None:
    """A refusal costs nothing unless it says so: the budget is there for the others."""
    session, answers = asked(hostile.url, name, Budget(max_tokens=4_000), tmp_path)
    assert len(answers) == session.usage.calls == COUNT
    assert session.usage.lost_attempts == session.usage.lost_tokens == 0


def test_a_limit_of_calls_counts_attempts_that_were_worked_on(
    hostile: HostileServer, tmp_path: Path
) -> None:
    """--max-model-calls bounds what a server is made to do, not only what it answers."""
    before = hostile.calls
    asked(hostile.url, "truncated", Budget(max_model_calls=7), tmp_path, max_retries=5)
    assert hostile.calls - before == 7


def test_no_limit_means_no_limit(hostile: HostileServer, tmp_path: Path) -> None:
    """Without a budget everything is asked, and what was estimated is reported all the same."""
    session, answers = asked(hostile.url, "usage-none", Budget(), tmp_path)
    assert all(isinstance(answer, ChatAnswer) for answer in answers)
    assert session.budget.limit.tokens == math.inf
    assert session.usage.estimated_tokens > COUNT * HONEST_TOKENS
