"""Every misbehaviour of tests/misbehaviour against the client alone: what is whole is read, the rest is named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.misbehaviour import ALL, HABITS, OUTCOMES, TABLE, USED, HonestServer, HostileServer
from tests.misbehaviour.ends import ENDINGS
from tests.misbehaviour.values import BEHAVIOURS as VALUES
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.chat import ChatClient

SCHEMA = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}}
# A second may pass on a busy machine before a right answer is there.
TIMEOUT_SECS = 5.0
SILENT = {"headers-without-end", "half-and-silence"}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as made:
        yield made


def ask(url: str, name: str, timeout_secs: float) -> ChatAnswer | Failure:
    options = ChatOptions("tiny", timeout_secs=timeout_secs, max_retries=0, busy_secs=0)
    client = ChatClient(options, FixedUpstream(url))
    request = ChatRequest("Answer.", f"a shirt [server: {name}]", SCHEMA)
    try:
        ((_, answer),) = client.answer([request])
    finally:
        client.close()
    return answer


def test_there_are_enough_of_them() -> None:
    """More than sixty ways to misbehave, each of which is one or has to be taken for a right answer."""
    assert len(OUTCOMES) > 120
    assert sum(outcome != USED for outcome in OUTCOMES.values()) >= 60
    assert all(each.does for each in {**ALL, **HABITS, **VALUES, **ENDINGS}.values())


@pytest.mark.parametrize("name", TABLE)
def test_what_is_whole_is_read_and_the_rest_is_named(server: HostileServer, name: str) -> None:
    """A response that HTTP and JSON allow gives the content that was written, whatever it came in;
    another is a failure with the reason of the table, in one short line.
    """
    answer = ask(server.url, name, 0.3 if name in SILENT else TIMEOUT_SECS)
    if TABLE[name].comes_to.startswith("model-") and isinstance(answer, ChatAnswer):
        # What is a refusal shows when the answer is read.
        assert TABLE[name].comes_to == "model-refused"
        assert answer.finish_reason in ("refusal", "content_filter")
    elif TABLE[name].comes_to.startswith("model-"):
        assert isinstance(answer, Failure)
        assert answer.reason in TABLE[name].comes_to.split()
        assert answer.message.isprintable()
        assert len(answer.message) <= 400
    elif TABLE[name].comes_to == "answer-empty":
        assert isinstance(answer, ChatAnswer), answer
        assert answer.content == ""
    else:
        assert isinstance(answer, ChatAnswer), answer
        assert "color" in answer.content


@pytest.mark.parametrize("name", [n for n in TABLE if n.startswith("usage-")])
def test_usage_never_costs_an_answer(server: HostileServer, name: str) -> None:
    """Whatever a server says of tokens, its answer is the one that an honest server gives."""
    answer = ask(server.url, name, TIMEOUT_SECS)
    with HonestServer() as honest:
        right = ask(honest.url, name, TIMEOUT_SECS)
    assert isinstance(answer, ChatAnswer)
    assert isinstance(right, ChatAnswer)
    assert json.loads(answer.content) == json.loads(right.content)
