"""Gemini's endpoint that is compatible with OpenAI's SDK, `/v1beta/openai`.

`seed` is an unknown name, log-probabilities are not enabled, and one report finds bounds of lengths refused. Errors
are a list. Models are listed as `models/NAME`.
Sources: ChatterUI 227; mcpchecker 188; mscraftsman/generative-ai 135; openinterviewer PR 21; open-webui/mcpo 141.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import Emulator, bound_in, schema_of


class Gemini(Emulator):
    name = "gemini"
    base = "/v1beta/openai"
    model = "gemini-2.5-flash"

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": f"models/{self.model}"}]})

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if "seed" in body:
            return _error('Invalid JSON payload received. Unknown name "seed": Cannot find field.')
        if body.get("logprobs"):
            return _error("Logprobs is not enabled for models/gemini-2.5-flash")
        found = bound_in(schema_of(body), ("maxLength", "minItems", "minimum"))
        if found is not None:
            return _error(
                f'Invalid JSON payload received. Unknown name "{found[1]}" at '
                "'generation_config.response_schema': Cannot find field."
            )
        return None

    def complaint(self, message: str) -> web.Response:
        return _error(message)

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))


def _error(message: str, status: int = 400) -> web.Response:
    error = {"code": status, "message": message, "status": "INVALID_ARGUMENT"}
    return web.json_response([{"error": error}], status=status)
