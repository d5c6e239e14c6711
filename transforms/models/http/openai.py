"""Any server that offers OpenAI's chat completions: a provider's, a colleague's, your own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from schemas.secrets import variable_problem, watch
from transforms.models.chat import SEED, ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.chat import ChatClient
from transforms.models.http.connection import (
    check_connection,
    further_fields,
    read_connection,
)
from transforms.models.http.servers.known import known_capabilities
from transforms.models.metering import Tab


class OpenAIChatModel:
    """The model `--describe-model` of the server `--endpoint`.

    The key is read from the environment when the model is loaded, so it is in no option, pickle or
    manifest. Raises ValueError that says what to write when an option is missing or the endpoint is
    not a base URL.
    """

    requires = ("aiohttp",)
    concurrent = True

    def __init__(self, options: ModelOptions) -> None:
        self._chat = options.chat
        if not options.chat.model:
            raise ValueError(
                "--describe-backend openai needs --describe-model NAME: the name that the server "
                "gives it"
            )
        self._endpoint = base_url(options.chat.endpoint)
        check_key_name(options.chat.api_key_env)
        check_connection(self._chat)
        self._known = known_capabilities(self._chat, self._endpoint)
        self._client: ChatClient | None = None

    @property
    def model(self) -> str:
        revision = f"@{self._chat.revision}" if self._chat.revision else ""
        return f"{self._chat.model}{revision}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        # As answers were kept before there were further fields.
        further = further_fields(self._chat)
        return {
            "seed": SEED,
            **({"body": further} if further else {}),
            **({"thinking": "off"} if self._chat.thinking == "off" else {}),
        }

    def load(self) -> None:
        """Create the client. Raises ValueError when the key holds what a header cannot carry, or a
        variable that an option names is not set.
        """
        key = read_key(self._chat.api_key_env)
        self.close()
        self._client = ChatClient(
            self._chat,
            FixedUpstream(self._endpoint),
            key,
            learner=self._known.learner(),
            connection=read_connection(self._chat, key, self._known.key_header),
        )

    def answer(
        self,
        requests: Sequence[ChatRequest],
        tab: Tab[ChatRequest] | None = None,
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        if self._client is None:
            raise RuntimeError("load() comes before answer()")
        return self._client.answer(requests, tab)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def check_key_name(name: str, option: str = "--api-key-env") -> None:
    """Raise ValueError unless this is the name of an environment variable."""
    problem = variable_problem(option, name)
    if problem:
        raise ValueError(problem)


def read_key(name: str) -> str:
    """Return the key in an environment variable, empty if there is none.

    Nothing that this process writes holds it from now on. Raises ValueError when it holds what a
    header cannot carry.
    """
    watch(name)
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"the key in {name} holds characters that no key holds; copy it again")
    return key


def base_url(
    endpoint: str, backend: str = "--describe-backend openai", option: str = "--endpoint"
) -> str:
    """Return an endpoint without the slash at its end.

    backend, option: as messages name them. Raises ValueError that says what to write when it is not
    a base URL.

    >>> base_url("https://models.example/openai/v1/")
    'https://models.example/openai/v1'
    """
    example = f"write {option} http://HOST:PORT/v1"
    url = endpoint.strip().rstrip("/")
    if not url:
        raise ValueError(f"{backend} needs the server's base URL; {example}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is not a number raises when it is read
    except ValueError:
        host, parts = None, urlsplit("")
    if "@" in url:
        # Not quoted: it may hold a password.
        raise ValueError(
            f"{option} holds a user or password; {example} and put the key into the environment"
        )
    if parts.scheme not in ("http", "https") or not host or any(char.isspace() for char in url):
        raise ValueError(f"{option} {endpoint!r} is not a base URL; {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"{option} holds more than a base URL (? or #); {example}")
    for path in ("/chat/completions", "/embeddings"):
        if parts.path.endswith(path):
            raise ValueError(f"{option} {endpoint!r} goes too far; write {url.removesuffix(path)}")
    if not parts.path:
        # Paths other than /v1 exist (/openai/v1, /api/v3, /v1beta/openai); none at all is an
        # oversight.
        raise ValueError(f"{option} {endpoint!r} has no path; write {url}/v1")
    return url
