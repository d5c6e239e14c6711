"""Servers that keep to no protocol: pieces, wrong lengths, garbage."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.misbehaviour.contract import USED, Behaviour, Respond, whole

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def raw(head: bytes, *, keep: slice = slice(None), close: bool = True) -> Respond:
    """A server that writes these bytes and then, if it answers, a part of the answer.

    `%d` in the head stands for the length of the whole answer.
    """

    async def respond(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        content = json.dumps(whole(body)).encode()
        if request.transport is not None:
            request.transport.write(head.replace(b"%d", b"%d" % len(content)) + content[keep])
            if close:
                request.transport.close()
            else:
                await asyncio.sleep(3600)
        return web.Response()

    return respond


async def in_pieces(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A right answer in chunks of seven bytes."""
    content = json.dumps(whole(body)).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for begin in range(0, len(content), 7):
        await response.write(content[begin : begin + 7])
    return response


NOTHING = slice(0, 0)
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_LENGTH = _HEAD + b"Content-Length: %d\r\n\r\n"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
BEHAVIOURS: dict[str, Behaviour] = {
    "chunked": Behaviour(USED, "sends chunks of seven bytes", in_pieces),
    "until-closed": Behaviour(
        USED,
        "says no length and closes, as HTTP/1.0 did",
        raw(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"),
    ),
    "right-length": Behaviour(USED, "closes the connection after its answer", raw(_LENGTH)),
    "early-hints": Behaviour(USED, "sends HTTP 103 first", raw(_HINTS + _LENGTH)),
    "length-too-short": Behaviour(
        "model-error",
        "announces fewer bytes than it sends",
        raw(_HEAD + b"Content-Length: 40\r\n\r\n"),
    ),
    "length-too-long": Behaviour(
        "model-error",
        "announces more bytes than it sends",
        raw(_HEAD + b"Content-Length: 99999\r\n\r\n"),
    ),
    "length-negative": Behaviour(
        "model-error",
        "announces a negative length",
        raw(_HEAD + b"Content-Length: -1\r\n\r\n"),
    ),
    "chunk-size-wrong": Behaviour(
        "model-error", "writes a chunk's size that is no number", raw(_CHUNKED + b"zz\r\n")
    ),
    "last-chunk-missing": Behaviour(
        "model-error",
        "closes before the last chunk",
        raw(_CHUNKED + b"1\r\n{\r\n", keep=NOTHING),
    ),
    "no-http": Behaviour(
        "model-error", "speaks SSH", raw(b"SSH-2.0-OpenSSH_9.6\r\n", keep=NOTHING)
    ),
    "headers-too-long": Behaviour(
        "model-error",
        "sends a header of 100,000 bytes",
        raw(_HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n"),
    ),
    "headers-without-end": Behaviour(
        "model-timeout",
        "stops amid its headers",
        raw(_HEAD, keep=NOTHING, close=False),
    ),
    "half-and-silence": Behaviour(
        "model-timeout",
        "stops amid its answer",
        raw(_LENGTH, keep=slice(0, 30), close=False),
    ),
    "switching-protocols": Behaviour(
        "model-error", "switches to HTTP/2", raw(_SWITCH, keep=NOTHING)
    ),
}
