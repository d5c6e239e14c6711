"""Any server that offers OpenAI's chat completions: a provider's, a colleague's, your own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from transforms.models.chat import SEED, ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.http.chat import ChatClient
from transforms.models.http.client import FixedUpstream


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
        self._client: ChatClient | None = None

    @property
    def model(self) -> str:
        revision = f"@{self._chat.revision}" if self._chat.revision else ""
        return f"{self._chat.model}{revision}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"seed": SEED}

    def load(self) -> None:
        """Create the client. Raises ValueError when the key holds what a header cannot carry."""
        key = read_key(self._chat.api_key_env)
        self.close()
        self._client = ChatClient(self._chat, FixedUpstream(self._endpoint), key)

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        if self._client is None:
            raise RuntimeError("load() comes before answer()")
        return self._client.answer(requests)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def check_key_name(name: str, option: str = "--api-key-env") -> None:
    """Raise ValueError unless this is the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        # Not quoted: it may be the key itself.
        raise ValueError(
            f"{option} is not the name of an environment variable; write the name, not the key"
        )


def read_key(name: str) -> str:
    """Return the key in an environment variable, empty if there is none.

    Raises ValueError when it holds what a header cannot carry.
    """
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
