"""DeepSeek.

`json_object` only, and the prompt has to name JSON.
Sources: api-docs.deepseek.com, "JSON Output"; developersdigest.tech.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.servers.emulator import Emulator, openai_error


class DeepSeek(Emulator):
    name = "deepseek"
    model = "deepseek-chat"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        kind = (body.get("response_format") or {}).get("type", "text")
        if kind not in ("text", "json_object"):
            return openai_error("This response_format type is unavailable now")
        if kind == "json_object" and "json" not in json.dumps(body["messages"]).lower():
            return openai_error("Prompt must contain the word 'json' in some form to use it")
        return None
