"""Anthropic's endpoint that is compatible with OpenAI's SDK.

`logprobs` and `seed` are ignored, `strict` has to be true, and a schema may hold no bounds of lengths, sizes and
numbers.
Sources: docs.anthropic.com, "OpenAI SDK compatibility"; steilerDev/cornerstone PR 1561; pydantic-ai.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import BOUNDS, Emulator, bound_in, openai_error, schema_of


class Anthropic(Emulator):
    name = "anthropic"
    model = "claude-sonnet-4-5"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        form = (body.get("response_format") or {}).get("json_schema")
        if form is not None and form.get("strict") is not True:
            return openai_error("response_format.json_schema.strict: Input should be True")
        found = bound_in(schema_of(body), BOUNDS)
        if found is not None:
            name, keyword = found
            return openai_error(
                f"output_format.schema: For '{name}', property '{keyword}' is not supported"
            )
        return None

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))
