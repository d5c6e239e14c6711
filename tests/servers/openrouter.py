"""OpenRouter.

Parameters that a model does not have are dropped, so log-probabilities do not come; errors after the first token come
as HTTP 200 with `error`.
Source: openrouter.ai/docs, "Errors" and "Parameters".
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import Emulator


class OpenRouter(Emulator):
    name = "openrouter"
    base = "/api/v1"
    model = "qwen/qwen2.5-vl-72b-instruct"

    def complaint(self, message: str) -> web.Response:
        error = {"code": 400, "message": "Provider returned error", "metadata": {"raw": message}}
        return web.json_response({"error": error})

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))
