"""The openai backend: what its options have to be, what identifies its answers, and that it
answers.
"""

import pickle
import subprocess
import sys

import pytest

from tests.chat_server import ChatServer
from tests.support import ROOT
from transforms.models import build_chat_model, missing_requirements
from transforms.models.chat import ChatAnswer, ChatRequest, answer_all
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions
from transforms.models.http.openai import OpenAIChatModel, base_url

KEY = "sk-test-0123456789"
SCHEMA = {"type": "object", "properties": {"color": {"enum": ["red", "unknown"]}}}


def build(**changes):
    chat = ChatOptions(
        **{
            "model": "tiny",
            "endpoint": "http://127.0.0.1:9/v1",
            "api_key_env": "TEST_CHAT_KEY",
            **changes,
        }
    )
    return build_chat_model(ModelOptions(describe_backend="openai", chat=chat))


def ask(text="a shirt"):
    return ChatRequest("Answer.", text, SCHEMA)


@pytest.mark.parametrize("slash", ["", "/"])
def test_it_answers(slash):
    """Built from options alone, pickled on the way and loaded, it answers, with and without a slash
    at the end.
    """
    with ChatServer() as server:
        model = pickle.loads(pickle.dumps(build(endpoint=server.url + slash)))
        model.load()
        try:
            found = dict(answer_all(model, [ask("1"), ask("2")]))
        finally:
            model.close()
    assert [found[n].content for n in (0, 1)] == ['{"color": "red"}'] * 2


def test_the_key_comes_from_the_environment(monkeypatch):
    """The variable that the options name holds the key, white space aside; it is sent, and it is in
    no pickle.
    """
    monkeypatch.setenv("TEST_CHAT_KEY", f" {KEY}\n")
    with ChatServer(key=KEY) as server:
        model = build(endpoint=server.url)
        assert KEY.encode() not in pickle.dumps(model)
        model.load()
        ((_, answer),) = model.answer([ask()])
        model.close()
    assert isinstance(answer, ChatAnswer)


def test_a_missing_key_is_the_servers_to_refuse(monkeypatch):
    """Without a key the request goes out without one; the refusal says which variable to set."""
    monkeypatch.delenv("TEST_CHAT_KEY", raising=False)
    with ChatServer(key=KEY) as server:
        model = build(endpoint=server.url)
        model.load()
        ((_, failure),) = model.answer([ask()])
        model.close()
    assert isinstance(failure, Failure)
    assert failure.reason == "model-unavailable"
    assert "TEST_CHAT_KEY" in failure.message
    assert "Authorization" not in server.headers[0]


def test_an_unusable_key_is_named_by_its_variable(monkeypatch):
    """A key with a line break inside is refused when loading, without being repeated."""
    monkeypatch.setenv("TEST_CHAT_KEY", "sk-one\nsk-two")
    with pytest.raises(ValueError, match="TEST_CHAT_KEY") as caught:
        build().load()
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "--describe-model NAME"),
        ({"endpoint": ""}, "write --endpoint http://HOST:PORT/v1"),
        ({"endpoint": "localhost:8000/v1"}, "'localhost:8000/v1' is not a base URL"),
        ({"endpoint": "ftp://host/v1"}, "is not a base URL"),
        ({"endpoint": "http:///v1"}, "is not a base URL"),
        ({"endpoint": "http://host:port/v1"}, "is not a base URL"),
        ({"endpoint": "http://[::1/v1"}, "is not a base URL"),
        ({"endpoint": "http://a host/v1"}, "is not a base URL"),
        ({"endpoint": "http://host:8000"}, "write http://host:8000/v1"),
        ({"endpoint": "http://host/v1/chat/completions"}, "goes too far; write http://host/v1"),
        ({"endpoint": "http://host/v1?key=1"}, "more than a base URL"),
        ({"endpoint": "http://host/v1#top"}, "more than a base URL"),
    ],
)
def test_wrong_options_say_what_to_write(changes, message):
    """What is missing or malformed is refused when the model is built, with what to write instead."""
    with pytest.raises(ValueError) as caught:
        build(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key_env": "sk-secret-1"},
        {"endpoint": "https://user:sk-secret-1@host/v1"},
        {"endpoint": "user:sk-secret-1@host/v1"},
        {"endpoint": "https://host/v1?key=sk-secret-1"},
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(changes):
    """A key that was written where none belongs is refused without being printed."""
    with pytest.raises(ValueError) as caught:
        build(**changes)
    assert "secret" not in str(caught.value)


def test_other_paths_are_taken():
    """Base URLs of providers that do not end in /v1 are taken as they are."""
    for url in (
        "https://h/openai/v1",
        "https://h/api/v3",
        "https://h/v1beta/openai",
        "http://[::1]:8000/v1",
    ):
        assert base_url(f" {url}// ") == url


def test_what_identifies_answers():
    """Model, revision and seed do; endpoint, key, limits and log-probabilities do not."""
    assert build(revision="abc").model == "tiny@abc"
    first, second = (
        build(),
        build(endpoint="http://elsewhere:8000/v1", logprobs=False, max_inflight=2),
    )
    assert first.model == "tiny"
    assert first.parameters == {"seed": 0}
    assert ask().fingerprint(first) == ask().fingerprint(second)
    assert ask().fingerprint(first) != ask().fingerprint(build(revision="abc"))


def test_it_says_what_it_needs():
    """It may be called from several threads, and what it needs is installed with the project."""
    model = build()
    assert model.concurrent
    assert missing_requirements(model) == []


def test_answering_needs_loading():
    """Asked before `load` it says so; `close` without `load` is nothing."""
    model = build()
    model.close()
    with pytest.raises(RuntimeError, match="load"):
        model.answer([ask()])
    assert isinstance(model, OpenAIChatModel)


def test_building_imports_no_http_library():
    """The graph can be built where aiohttp is not needed, and not wait for it."""
    code = (
        "import sys; from transforms.models import build_chat_model; from transforms.models.contract import ModelOptions;"
        "from transforms.models.chat_options import ChatOptions;"
        "build_chat_model(ModelOptions(describe_backend='openai', chat=ChatOptions(model='m', endpoint='http://h/v1')));"
        "sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
