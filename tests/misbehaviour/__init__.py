"""Ways in which a server of chat completions misbehaves, or only seems to: each with what has to become of its item.

`HostileServer` answers as tests.chat_server does, and knows all of these besides.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from tests.chat_server import BEHAVIOURS, ChatServer
from tests.misbehaviour import encoded, shaped, statuses, transport, usage
from tests.misbehaviour.contract import USED, Behaviour

# Of tests.chat_server's own.
KNOWN = {
    "ok": USED,
    "ok-plain": USED,
    "empty": "answer-empty",
    "null": "answer-empty",
    "blank": "answer-empty",
    "length": "answer-truncated",
    "prose": "answer-malformed",
    "off-schema": "answer-off-schema",
    "hang": "model-timeout",
    "drip": "model-timeout",
    "whitespace": "model-timeout model-error",
    "huge": "model-error",
    "cut": "model-error",
    "closed": "model-error",
    "truncated": "model-error",
    "html": "model-error",
    "wrong-shape": "model-error",
    "redirect": "model-error",
    "echo": "model-refused",
    "400": "model-refused",
    "404": "model-refused",
    "413": "model-refused",
    "422": "model-refused",
    "408": "model-timeout",
    "409": "model-busy",
    "425:0.1": "model-busy",
    "429": "model-busy",
    "429:0.1": "model-busy",
    "498": "model-busy",
    "500": "model-error",
    "502": "model-error",
    "503:0.1": "model-error",
    "504": "model-error",
    "529": "model-error",
}
TABLE: dict[str, Behaviour] = {
    name: Behaviour(comes_to, respond)
    for room in (encoded, shaped, statuses, transport, usage)
    for name, (comes_to, respond) in room.BEHAVIOURS.items()
}
# Name → the reason that its item has in the end, several where the moment decides; USED: none.
OUTCOMES: dict[str, str] = KNOWN | {name: each.comes_to for name, each in TABLE.items()}


class HostileServer(ChatServer):
    """A chat server with all behaviours of the table.

    seen: how many requests came for each, which `GET /seen` tells; no requests are kept.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen: Counter[str] = Counter()

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_get("/seen", self._tell)
        return app

    async def _tell(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self.seen))

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        self.seen[name] += 1
        # Thousands of bodies would fill the memory that others measure.
        self.requests.clear()
        self.headers.clear()
        if name in TABLE:
            return await TABLE[name].respond(request, body)
        return await super().behave(name, request, body)


class HonestServer(HostileServer):
    """A chat server that answers well, whatever its texts ask for."""

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        self.seen["ok"] += 1
        return await BEHAVIOURS["ok"](request, body)
