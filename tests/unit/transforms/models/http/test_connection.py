"""transforms.models.http.connection: what goes along with each request, and which way it takes."""

from __future__ import annotations

import base64
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import ChatServer
from tests.servers.network import Proxy, certificate
from transforms.models import build_chat_model
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions

SECRET = "az-0123456789abcdef"
ASKED = ChatRequest("Answer.", "a shirt", {"type": "object", "properties": {}})


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as made:
        yield made


def build(**changes: Any) -> ChatModel:
    chat = ChatOptions(
        **{
            "model": "tiny",
            "endpoint": "http://127.0.0.1:9/v1",
            "api_key_env": "TEST_CHAT_KEY",
            "max_retries": 0,
            "timeout_secs": 10,
            **changes,
        }
    )
    return build_chat_model(ModelOptions(describe_backend="openai", chat=chat))


def answer(**changes: Any) -> ChatAnswer | Failure:
    model = pickle.loads(pickle.dumps(build(**changes)))
    model.load()
    try:
        ((_, found),) = model.answer([ASKED])
    finally:
        model.close()
    assert isinstance(found, ChatAnswer | Failure)
    return found


def test_headers_query_and_fields_are_sent(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has what options say, secrets from the environment, JSON as JSON."""
    monkeypatch.setenv("AZURE_KEY", SECRET)
    found = answer(
        endpoint=server.url,
        request_header=("api-key=env:AZURE_KEY", "OpenAI-Organization=org-1"),
        request_query=("api-version=2024-10-21",),
        request_body=("reasoning_effort=low", 'provider={"order": ["a"]}'),
    )
    assert isinstance(found, ChatAnswer)
    assert server.headers[0]["api-key"] == SECRET
    assert server.headers[0]["OpenAI-Organization"] == "org-1"
    assert server.queries == [{"api-version": "2024-10-21"}]
    assert server.requests[0]["reasoning_effort"] == "low"
    assert server.requests[0]["provider"] == {"order": ["a"]}


def test_further_fields_are_part_of_the_address() -> None:
    """A field that shapes answers makes other questions; headers, a query and a proxy do not."""
    plain = ASKED.fingerprint(build())
    assert plain == ASKED.fingerprint(
        build(request_header=("X-A=1",), request_query=("a=1",), proxy="http://p:1")
    )
    addresses = {
        plain,
        ASKED.fingerprint(build(request_body=("top_p=1",))),
        ASKED.fingerprint(build(request_body=("top_p=0.5",))),
        ASKED.fingerprint(build(thinking="off")),
    }
    assert len(addresses) == 4


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("openai-reasoning", "reasoning_effort", "minimal"),
        ("gemini", "reasoning_effort", "none"),
        ("vllm", "chat_template_kwargs", {"enable_thinking": False}),
        ("modelscope", "enable_thinking", False),
        ("deepseek", "thinking", {"type": "disabled"}),
    ],
)
def test_thinking_is_switched_off_as_each_server_has_it(
    server: ChatServer, row: str, field: str, value: object
) -> None:
    """With --thinking off the switch of the server is sent; else only where thoughts would use up
    the tokens of an answer.
    """
    answer(endpoint=server.url, server=row, thinking="off")
    assert server.requests[-1][field] == value
    answer(endpoint=server.url, server=row)
    assert (field in server.requests[-1]) == (row in ("openai-reasoning", "gemini"))


def test_a_key_goes_into_the_header_of_its_server(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the table knows another header than the usual one, the key stands in that one alone."""
    monkeypatch.setenv("TEST_CHAT_KEY", SECRET)
    answer(endpoint=server.url, server="azure")
    assert server.headers[0]["api-key"] == SECRET
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("password", ["", "me:pass%40word@"])
def test_a_proxy_is_used(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """Requests go through the proxy that is named, with the password that the environment holds;
    that of the environment is not used by itself.
    """
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("OUR_PROXY", proxy.url.replace("//", f"//{password}"))
        found = answer(endpoint=server.url, proxy="env:OUR_PROXY" if password else proxy.url)
    assert isinstance(found, ChatAnswer), found
    ((line, credentials),) = proxy.seen
    assert line == f"POST {server.url}/chat/completions"
    assert credentials == (
        f"Basic {base64.b64encode(b'me:pass@word').decode()}" if password else ""
    )


def test_certificates_of_a_file_are_trusted(tmp_path: Path) -> None:
    """A server whose authority only the file has is reached with it, also through a proxy, and not
    without.
    """
    server = ChatServer()
    server.tls, authority = certificate(tmp_path)
    with server, Proxy() as proxy:
        with_file = answer(endpoint=server.url, ca_file=str(authority))
        tunnelled = answer(endpoint=server.url, ca_file=str(authority), proxy=proxy.url)
        without = answer(endpoint=server.url, max_retries=5)
    assert isinstance(with_file, ChatAnswer)
    assert isinstance(tunnelled, ChatAnswer)
    assert [line.split()[0] for line, _ in proxy.seen] == ["CONNECT"]
    assert isinstance(without, Failure)
    assert re.search("its certificate is not trusted: self.signed", without.message)
    assert "--ca-file" in without.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"request_header": ("api-key",)}, "write NAME=VALUE"),
        ({"request_header": ("Content-Type=x",)}, "no header that can be set"),
        ({"request_header": ("a b=x",)}, "no header that can be set"),
        ({"request_body": ("messages=[]",)}, "this field is set by the program"),
        ({"request_body": ("max_tokens=9",)}, "--max-answer-tokens"),
        ({"proxy": "localhost:3128"}, "write http://HOST:PORT"),
        ({"proxy": "socks5://h:1"}, "write http://HOST:PORT"),
        ({"ca_file": "/nowhere.pem"}, "is no file"),
        ({"server": "openia"}, "openai-reasoning"),
        ({"server_takes": ("logprobs=maybe",)}, "yes, no"),
    ],
)
def test_wrong_options_say_what_to_write(changes: dict[str, Any], message: str) -> None:
    """What cannot be meant is refused when the model is built, with what to write instead."""
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"request_header": (f"api-key={SECRET}",)},
        {"request_header": (f"Authorization=Bearer {SECRET}",)},
        {"request_header": (SECRET,)},
        {"request_query": (f"key={SECRET}",)},
        {"request_body": (f"user=sk-{SECRET}{SECRET.upper()}",)},
        {"request_header": (f"api-key=env:{SECRET}",)},
        {"proxy": f"http://me:{SECRET}@proxy:3128"},
        {"proxy": f"env:{SECRET}"},
    ],
)
def test_a_secret_on_the_command_line_is_refused_unread(changes: dict[str, Any]) -> None:
    """Secrets come from the environment; what may be one is not repeated."""
    with pytest.raises(ValueError) as caught:
        build(**changes)
    assert SECRET not in str(caught.value)
    assert "environment" in str(caught.value) or "env:" in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"request_header": ("api-key=env:NOT_THERE_KEY",)}, {"proxy": "env:NOT_THERE_KEY"}]
)
def test_a_variable_that_is_not_set_is_named(changes: dict[str, Any]) -> None:
    """The model is not loaded without what an option takes from the environment."""
    model = build(**changes)
    with pytest.raises(ValueError, match="NOT_THERE_KEY is not set"):
        model.load()


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    """A file that holds something else is reported when the model is loaded."""
    file = tmp_path / "ca.pem"
    file.write_text("hello")
    with pytest.raises(ValueError, match=r"--ca-file .*ca.pem.* holds no certificates"):
        build(ca_file=str(file)).load()
    assert "chat-client" not in {thread.name for thread in threading.enumerate()}
