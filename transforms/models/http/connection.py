"""What goes along with every request to a server besides what is asked: headers, a query, further
fields of the body, a proxy, certificates.

Secrets among them are named by their environment variable (`env:NAME`) and read when a model is
loaded: command lines and manifests are read by others.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from schemas.secrets import may_be_secret, variable_problem, watch
from transforms.models.chat_options import ChatOptions

FROM_ENVIRONMENT = "env:"
# RFC 9110, 5.6.2.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    ["accept", "accept-encoding", "connection", "content-length", "content-type", "host"]
)
# What these are has options of its own, or is what is asked.
_OWN_FIELDS = frozenset(
    {"max_tokens", "max_completion_tokens", "temperature", "seed", "random_seed", "logprobs"}
    | {"top_logprobs", "response_format", "messages", "model", "n", "stream"}
)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a server is reached.

    headers: with the key among them. body: further fields. proxy: a URL, with its password if it
    has one; ca_file: certificates of authorities that are trusted besides the system's.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    proxy: str = ""
    ca_file: str = ""

    def certificates(self) -> ssl.SSLContext | None:
        """Return what a server's certificate is checked by; None: as usual.

        Raises ValueError where the file holds none.
        """
        if not self.ca_file:
            return None
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                f"--ca-file {self.ca_file!r} holds no certificates in PEM: {error}"
            ) from None
        return context


def check_connection(options: ChatOptions) -> None:
    """Raise ValueError that says what to write where an option cannot be meant; the environment is
    not looked at.
    """
    for name, value in _pairs("--request-header", options.request_header):
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"--request-header {name!r} is no header that can be set")
        _check_value(f"--request-header {name}", name, value)
    for name, value in _pairs("--request-query", options.request_query):
        _check_value(f"--request-query {name}", name, value)
    for name, value in _pairs("--request-body", options.request_body):
        if name in _OWN_FIELDS:
            raise ValueError(
                f"--request-body {name}: this field is set by the program; see --server-takes, "
                "--temperature, --max-answer-tokens and --describe-model"
            )
        _check_value(f"--request-body {name}", "", value)
    if options.proxy:
        _check_proxy(options.proxy)
    if options.ca_file and not Path(options.ca_file).is_file():
        raise ValueError(f"--ca-file {options.ca_file!r} is no file; name a PEM file")


def read_connection(options: ChatOptions, key: str = "", key_header: str = "") -> Connection:
    """Return how the server is reached, with what the environment holds.

    key_header: that carries the key, a bearer token where it is empty. Raises ValueError that names
    a variable that is not set.
    """
    check_connection(options)
    headers = {**key_headers(key, key_header), **_read("--request-header", options.request_header)}
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"--request-header {name} holds characters that no header holds")
    return Connection(
        headers,
        _read("--request-query", options.request_query),
        further_fields(options),
        _read_proxy(options.proxy),
        options.ca_file,
    )


def shared_connection(options: ChatOptions, key: str = "") -> Connection:
    """Return how another server is reached in the same network: headers and query are not its."""
    proxy = _read_proxy(options.proxy)
    return Connection(headers=key_headers(key), proxy=proxy, ca_file=options.ca_file)


def key_headers(key: str, name: str = "") -> dict[str, str]:
    """Return the header that carries a key; none without one.

    >>> key_headers("k"), key_headers("k", "api-key"), key_headers("")
    ({'Authorization': 'Bearer k'}, {'api-key': 'k'}, {})
    """
    if not key:
        return {}
    return {name: key} if name else {"Authorization": f"Bearer {key}"}


def further_fields(options: ChatOptions) -> dict[str, Any]:
    """Return the further fields of the body: JSON where it is, else text."""
    fields = {}
    for name, text in _pairs("--request-body", options.request_body):
        try:
            fields[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            fields[name] = _value(f"--request-body {name}", text)
    return fields


def _pairs(option: str, entries: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        name, separator, value = entry.partition("=")
        if not separator or not name.strip():
            # Not quoted: it may be the secret itself.
            raise ValueError(f"{option}: write NAME=VALUE, or NAME=env:VARIABLE for a secret")
        yield name.strip(), value.strip()


def _check_value(where: str, name: str, value: str) -> None:
    if value.startswith(FROM_ENVIRONMENT):
        problem = variable_problem(where, value.removeprefix(FROM_ENVIRONMENT))
        if problem:
            raise ValueError(problem)
    elif may_be_secret(name, value):
        raise ValueError(
            f"{where} may be a secret, which does not belong on a command line: put it into an "
            f"environment variable and write {name or 'NAME'}=env:VARIABLE"
        )


def _check_proxy(proxy: str) -> None:
    if proxy.startswith(FROM_ENVIRONMENT):
        problem = variable_problem("--proxy", proxy.removeprefix(FROM_ENVIRONMENT))
        if problem:
            raise ValueError(problem)
        return
    if "@" in proxy:
        # Not quoted: it holds a password.
        raise ValueError(
            "--proxy holds a user or password: put the URL into an environment variable and write "
            "--proxy env:VARIABLE"
        )
    try:
        parts = urlsplit(proxy)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1)
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError(f"--proxy {proxy!r} is not a proxy; write http://HOST:PORT")


def _read_proxy(proxy: str) -> str:
    value = _value("--proxy", proxy)
    if value and urlsplit(value).scheme not in ("http", "https"):
        # Not quoted: it may hold a password.
        raise ValueError(
            f"--proxy {proxy} is not the URL of a proxy: http://USER:PASSWORD@HOST:PORT"
        )
    return value


def _read(option: str, entries: Sequence[str]) -> dict[str, str]:
    return {name: _value(f"{option} {name}", value) for name, value in _pairs(option, entries)}


def _value(where: str, text: str) -> str:
    """Return what is written, or what the environment holds where it names a variable."""
    if not text.startswith(FROM_ENVIRONMENT):
        return text
    variable = text.removeprefix(FROM_ENVIRONMENT)
    # Also in a worker, which has not checked the options.
    watch(variable)
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ValueError(f"{where}: the environment variable {variable} is not set")
    return value
