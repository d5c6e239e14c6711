"""What a misbehaviour is, and what most of them are made of."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from tests.chat_server import answer_for, completion

USED = "used"

Respond = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class Behaviour(NamedTuple):
    """One way to answer.

    comes_to: USED, or the reason of its item, several where the moment decides; does: what the
    server does, in words; respond: (request, its body) → response.
    source: who has met it, if it is said of a certain server; passes: also met as what is over
    when the question is sent again.
    """

    comes_to: str
    does: str
    respond: Respond
    source: str = ""
    passes: bool = False


def whole(body: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The answer that was asked for, as a chat completion with other keys on top."""
    return completion(body, json.dumps(answer_for(body))) | changes


def with_message(body: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The same with another message."""
    document = whole(body)
    document["choices"][0]["message"] |= changes
    return document


def sends(make: Callable[[dict[str, Any]], Any], status: int = 200, **headers: str) -> Respond:
    """A server that answers with what `make` makes of a request: bytes as they are, else as JSON."""

    async def respond(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        made = make(body)
        content = made if isinstance(made, bytes) else json.dumps(made).encode()
        # Some headers have an underscore themselves.
        named = {
            name if "-" in name else name.replace("_", "-"): value
            for name, value in headers.items()
        }
        return web.Response(
            body=content, status=status, headers={"Content-Type": "application/json", **named}
        )

    return respond
