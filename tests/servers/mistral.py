"""Mistral's platform.

Fields that it does not know are refused, HTTP 422, with a list of them in `message.detail`: `seed` (its own name is
`random_seed`), `logprobs`, `max_completion_tokens`.
Sources: crewAI 60; mistralai/platform-docs 7; editor-code-assistant/eca 231; langchain-azure 82.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import Emulator

KNOWN = frozenset(
    [
        "model",
        "messages",
        "response_format",
        "max_tokens",
        "temperature",
        "top_p",
        "random_seed",
        "stop",
        "stream",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "tools",
        "tool_choice",
        "safe_prompt",
    ]
)


class Mistral(Emulator):
    name = "mistral"
    model = "mistral-small-latest"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        detail = [
            {
                "type": "extra_forbidden",
                "loc": ["body", field],
                "msg": "Extra inputs are not permitted",
                "input": body[field],
            }
            for field in body
            if field not in KNOWN
        ]
        if not detail:
            return None
        error = {
            "object": "error",
            "message": {"detail": detail},
            "type": "invalid_request_error",
            "code": None,
        }
        return web.json_response(error, status=422)

    def complaint(self, message: str) -> web.Response:
        detail = [{"type": "value_error", "loc": ["body", "messages"], "msg": message}]
        return web.json_response({"object": "error", "message": {"detail": detail}}, status=422)

    def answer(self, body: dict[str, Any]) -> Any:
        return completion(body, self.content(body))
