"""Ways in which a server of chat completions misbehaves, or only seems to: each with what has to become of its item.

`HostileServer` answers as tests.chat_server does, and knows all of these besides.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from aiohttp import web

from tests.chat_server import BEHAVIOURS, ChatServer, behave
from tests.misbehaviour import encoded, providers, shaped, statuses, transport, usage, values
from tests.misbehaviour.contract import USED, Behaviour, Respond
from tests.misbehaviour.ends import ENDINGS
from tests.misbehaviour.providers import HABITS

# Of tests.chat_server's own: what has to become of the item, and what the server does. Statuses, silence
# and broken connections are also met as what is over when the question is sent again.
_PLAIN: dict[str, tuple[str, str]] = {
    "ok": (USED, "answers well"),
    "ok-plain": (USED, "answers without usage and log-probabilities"),
    "empty": ("answer-empty", "answers with an empty content"),
    "null": ("answer-empty", "answers with null for its content"),
    "blank": ("answer-empty", "writes white space up to its limit"),
    "length": ("answer-truncated", "runs into its limit of tokens"),
    "prose": ("answer-malformed", "answers in prose"),
    "off-schema": ("answer-off-schema", "answers in JSON of another shape"),
    "hang": ("model-timeout", "says nothing for an hour"),
    "drip": ("model-timeout", "answers a byte at a time"),
    "whitespace": ("model-timeout model-error", "sends white space without end"),
    "huge": ("model-error", "sends 32 MiB"),
    "cut": ("model-error", "hangs up amid its answer"),
    "closed": ("model-error", "hangs up without a word"),
    "truncated": ("model-error", "sends the first half of its JSON"),
    "html": ("model-error", "sends a web page with HTTP 200"),
    "wrong-shape": ("model-error", "sends JSON that is no completion"),
    "redirect": ("model-error", "leads elsewhere, HTTP 307"),
    "echo": ("model-refused", "repeats key and request in its error"),
    "400": ("model-refused", "refuses one item, HTTP 400"),
    "404": ("model-refused", "refuses one item, HTTP 404"),
    "413": ("model-refused", "finds one item too large, HTTP 413"),
    "422": ("model-refused", "refuses one item, HTTP 422"),
    "408": ("model-timeout", "gives up waiting, HTTP 408"),
    "409": ("model-busy", "is in conflict, HTTP 409"),
    "425:0.1": ("model-busy", "is asked too early, HTTP 425"),
    "429": ("model-busy", "is asked too often, HTTP 429"),
    "429:0.1": ("model-busy", "is asked too often, and says for how long"),
    "498": ("model-busy", "has no capacity, HTTP 498"),
    "500": ("model-error", "fails, HTTP 500"),
    "502": ("model-error", "has a bad gateway, HTTP 502"),
    "503:0.1": ("model-error", "is not ready, HTTP 503, and says for how long"),
    "504": ("model-error", "has a gateway that gives up waiting, HTTP 504"),
    "529": ("model-error", "is overloaded, HTTP 529"),
}
_PASSING = frozenset(
    name for name in _PLAIN if name.partition(":")[0] in {"408", "409", "425", "429", "498"}
) | {"500", "502", "503:0.1", "504", "529", "closed", "cut", "truncated", "hang"}


def _plain(name: str) -> Respond:
    async def respond(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await behave(name, request, body)

    return respond


TABLE: dict[str, Behaviour] = {
    name: behaviour
    for room in (encoded, shaped, statuses, transport, usage, providers)
    for name, behaviour in room.BEHAVIOURS.items()
}
ALL: dict[str, Behaviour] = {
    name: Behaviour(comes_to, does, _plain(name), passes=name in _PASSING)
    for name, (comes_to, does) in _PLAIN.items()
} | TABLE
# Name → the reason that its item has in the end, several where the moment decides; USED: none.
OUTCOMES: dict[str, str] = {name: each.comes_to for name, each in ALL.items()}


class HostileServer(ChatServer):
    """A chat server with all behaviours of the table.

    seen: how many requests came for each, which `GET /seen` tells; no requests are kept.
    mended: whether what ended runs is over, apart from what the next one has to say otherwise; always: what it does
    whatever a text asks for; slow_secs: before every right answer; first_at: when the first question came, 0 before; spared: questions that are answered before one is met
    by what ends runs, which count as `ok`.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen: Counter[str] = Counter()
        self.mended = False
        self.always = ""
        self.slow_secs, self.first_at = 0.0, 0.0
        self.spared = 0

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_get("/seen", self._tell)
        return app

    async def _tell(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self.seen))

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        name = self.always or name
        if name in ENDINGS and self.spared:
            self.spared, name = self.spared - 1, "ok"
        self.first_at = self.first_at or time.monotonic()
        self.seen[name] += 1
        if name == "ok":
            await asyncio.sleep(self.slow_secs)
        # Thousands of bodies would fill the memory that others measure.
        self.requests.clear()
        self.headers.clear()
        if name in ENDINGS:
            remedy = ENDINGS[name].remedy
            if remedy.met(request, body) and not (remedy.mends and self.mended):
                return ENDINGS[name].response()
            return await super().behave("ok", request, body)
        found = TABLE.get(name) or HABITS.get(name) or values.BEHAVIOURS.get(name)
        if found is not None:
            return await found.respond(request, body)
        return await super().behave(name, request, body)


class HonestServer(HostileServer):
    """A chat server that answers well, whatever its texts ask for."""

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        self.seen["ok"] += 1
        return await BEHAVIOURS["ok"](request, body)
