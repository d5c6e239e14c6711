"""LM Studio.

An error is a text; `response_format` is `json_schema` or `text`.
Sources: lmstudio-ai/lmstudio-bug-tracker 189, 307; tada 16.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import Emulator


class LMStudio(Emulator):
    name = "lm-studio"
    model = "qwen2.5-vl-7b-instruct"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if (body.get("response_format") or {}).get("type", "text") in ("json_schema", "text"):
            return None
        error = {"error": "'response_format.type' must be 'json_schema' or 'text'"}
        return web.json_response(error, status=400)

    def complaint(self, message: str) -> web.Response:
        return web.json_response({"error": message}, status=400)

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))
