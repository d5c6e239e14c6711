"""How long the client is patient with a busy server, and when one that refuses everything is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chat_server import ChatServer
from tests.misbehaviour import HostileServer
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.chat import ChatClient
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.servers.learning import Learner

SCHEMA = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}}


class FastClock:
    """A clock that jumps to the end of every wait."""

    def __init__(self) -> None:
        self.secs = 0.0

    def now(self) -> float:
        return self.secs

    async def sleep(self, secs: float) -> None:
        until = self.secs + secs
        await asyncio.sleep(0)
        self.secs = max(self.secs, until)


@contextmanager
def client_for(url: str, **options: Any) -> Iterator[tuple[ChatClient, FastClock]]:
    """A client that learns how the server wants to be asked, with its clock."""
    clock = FastClock()
    given = {"timeout_secs": 10.0, "max_retries": 1, **options}
    client = ChatClient(
        ChatOptions("tiny", **given),
        FixedUpstream(url),
        clock=clock,
        learner=Learner(Capabilities()),
    )
    try:
        yield client, clock
    finally:
        client.close()


def answers_of(client: ChatClient, texts: Sequence[str]) -> list[ChatAnswer | Failure]:
    found = dict(client.answer([ChatRequest("Answer.", text, SCHEMA) for text in texts]))
    return [found[index] for index in range(len(texts))]


@pytest.mark.parametrize("status", ["429", "498", "503:1", "425", "409"])
def test_a_busy_server_is_waited_for(status: str) -> None:
    """A request is sent again for --busy-secs, however often that is, and is answered in the end."""
    marker = f"[server: {' '.join([status] * 12)} ok]"
    with ChatServer() as server, client_for(server.url, busy_secs=600) as (client, _):
        (answer,) = answers_of(client, [marker])
    assert isinstance(answer, ChatAnswer)
    assert answer.retries == 12


def test_patience_ends() -> None:
    """After --busy-secs a request fails while others are answered, by its own reason."""
    texts = ["[server: 429]", *(f"fine {n}" for n in range(40))]
    with (
        ChatServer() as server,
        client_for(server.url, busy_secs=60, max_inflight=2) as (client, clock),
    ):
        found = answers_of(client, ["first", *texts])
        assert clock.secs >= 60
    assert [answer.reason for answer in found if isinstance(answer, Failure)] == ["model-busy"]


def test_a_server_that_is_only_busy_is_given_up() -> None:
    """One that says nothing else to anybody for --busy-secs ends the run, with what to do."""
    with ChatServer(["429:20"] * 10_000) as server, client_for(server.url, busy_secs=90) as found:
        client, clock = found
        failures = answers_of(client, [str(n) for n in range(300)])
        assert 90 <= clock.secs < 300
    assert {failure.reason for failure in failures if isinstance(failure, Failure)} == {
        "model-unavailable"
    }
    assert isinstance(failures[0], Failure)
    assert "--busy-secs" in failures[0].message


REFUSALS = ["401", "402", "403", "404"]


@pytest.mark.parametrize("status", REFUSALS)
def test_what_concerns_every_request_is_met_few_times(status: str) -> None:
    """Of 200 requests no more than five are sent to a server that can answer none."""
    with ChatServer([status] * 1_000) as server, client_for(server.url) as (client, _):
        found = answers_of(client, [str(n) for n in range(200)])
        assert server.calls <= 5
    assert {answer.reason for answer in found if isinstance(answer, Failure)} <= {
        "model-unavailable",
        "model-refused",
    }
    last = found[-1]
    assert isinstance(last, Failure)
    assert last.reason == "model-unavailable"
    assert "run again" in last.message


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_among_answers_costs_itself(status: str) -> None:
    """Once others are answered, a 401, 402, 403 or 404 is about its own request."""
    texts = [f"{n} [server: {status if n % 4 == 3 else 'ok'}]" for n in range(40)]
    with ChatServer() as server, client_for(server.url, max_inflight=1) as (client, _):
        found = answers_of(client, texts)
    assert [isinstance(answer, ChatAnswer) for answer in found] == [n % 4 != 3 for n in range(40)]
    assert {answer.reason for answer in found if isinstance(answer, Failure)} == {"model-refused"}


def test_a_first_item_that_is_moderated_does_not_end_the_run() -> None:
    """A 403 that says that content was flagged is no word about the key, not even as the first."""
    with HostileServer() as server, client_for(server.url) as (client, _):
        found = answers_of(client, ["[server: status-403-moderated]", "fine"])
    assert isinstance(found[0], Failure)
    assert found[0].reason == "model-refused"
    assert "moderation" in found[0].message
    assert isinstance(found[1], ChatAnswer)


def test_a_key_that_is_taken_back_ends_the_run_soon() -> None:
    """Several 401 in a row after answers are about the key."""
    texts = [f"{n} [server: {'ok' if n < 5 else '401'}]" for n in range(100)]
    with ChatServer() as server, client_for(server.url, max_inflight=2) as (client, _):
        found = answers_of(client, texts)
        assert server.calls <= 5 + 5
    assert isinstance(found[-1], Failure)
    assert found[-1].reason == "model-unavailable"
    assert "does not accept the key" in found[-1].message
