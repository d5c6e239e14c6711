"""Text Generation Inference.

A schema is taken under `response_format.value` only; anything else is HTTP 422 in plain text.
Sources: huggingface/text-generation-inference 2899, PR 3276.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.chat_server import instance, user_text
from tests.servers.emulator import Emulator


class Tgi(Emulator):
    name = "tgi"
    model = "tgi"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        form = body.get("response_format")
        if form is None or (form.get("type") in ("json", "json_object") and "value" in form):
            return None
        return web.Response(
            text="Failed to deserialize the JSON body into the target type: response_format: "
            "missing field `value` at line 1 column 2048",
            status=422,
        )

    def complaint(self, message: str) -> web.Response:
        return web.Response(text=message, status=422)

    def content(self, body: dict[str, Any]) -> str:
        form = body.get("response_format")
        if form is None:
            return super().content(body)
        return json.dumps(instance(form["value"], user_text(body)))
