"""A server of embeddings that says nothing of tokens, or what cannot be; also packed, and with odd statuses."""

from __future__ import annotations

import gzip
import json
from typing import Any

from aiohttp import web

from tests.embedding_server import EmbeddingServer
from tests.misbehaviour.contract import sends
from tests.misbehaviour.encoded import PACKERS, bomb
from tests.misbehaviour.usage import USAGES

# Of those that only chats have.
EMBEDDING_USAGES = sorted(
    set(USAGES) - {"usage-of-prompt-only", "usage-all-pictures", "usage-pictures-negative"}
)
WHOLE = [*(f"packed-{name}" for name in PACKERS), "status-201", "status-203", "status-206"]
BROKEN = ["packed-cut", "bomb-gzip", "bomb-zstd", "status-204"]


class HostileEmbeddingServer(EmbeddingServer):
    """Answers a request whose text holds `[server: NAME]` as NAME says."""

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        right = self.answer(body)
        if name in USAGES:
            honest = right["usage"] | {"completion_tokens": 9}
            return web.json_response(right | {"usage": USAGES[name](honest)})
        kind, _, what = name.partition("-")
        packed = json.dumps(right).encode()
        if name in WHOLE and kind == "packed":
            return await sends(lambda _: PACKERS[what](packed), Content_Encoding=what)(
                request, body
            )
        if kind == "status":
            content = b"" if what == "204" else packed
            return await sends(lambda _: content, int(what))(request, body)
        if name == "packed-cut":
            cut = gzip.compress(packed)[:-4]
            return await sends(lambda _: cut, Content_Encoding="gzip")(request, body)
        if kind == "bomb":
            return await sends(lambda _: bomb(what), Content_Encoding=what)(request, body)
        return await super().behave(name, request, body)
