"""Servers that keep to no protocol: pieces, wrong lengths, garbage."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.misbehaviour.contract import USED, Respond, Row, whole

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
BEHAVIOURS: dict[str, Row] = {
    "chunked": (USED, in_pieces),
    "until-closed": (USED, raw(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")),
    "right-length": (USED, raw(_HEAD + b"Content-Length: %d\r\n\r\n")),
    "early-hints": (
        USED,
        raw(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            + _HEAD
            + b"Content-Length: %d\r\n\r\n"
        ),
    ),
    "length-too-short": ("model-error", raw(_HEAD + b"Content-Length: 40\r\n\r\n")),
    "length-too-long": ("model-error", raw(_HEAD + b"Content-Length: 99999\r\n\r\n")),
    "length-negative": ("model-error", raw(_HEAD + b"Content-Length: -1\r\n\r\n")),
    "chunk-size-wrong": (
        "model-error",
        raw(_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ),
    "last-chunk-missing": (
        "model-error",
        raw(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", keep=NOTHING),
    ),
    "no-http": ("model-error", raw(b"SSH-2.0-OpenSSH_9.6\r\n", keep=NOTHING)),
    "headers-too-long": ("model-error", raw(_HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n")),
    "headers-without-end": ("model-timeout", raw(_HEAD, keep=NOTHING, close=False)),
    "half-and-silence": (
        "model-timeout",
        raw(_HEAD + b"Content-Length: %d\r\n\r\n", keep=slice(0, 30), close=False),
    ),
    "switching-protocols": (
        "model-error",
        raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            keep=NOTHING,
        ),
    ),
}
