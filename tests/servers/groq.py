"""Groq.

`logprobs`, `logit_bias` and `top_logprobs` are refused.
Source: console.groq.com/docs/openai.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.chat_server import instance, user_text
from tests.servers.emulator import Emulator, openai_error


class Groq(Emulator):
    name = "groq"
    base = "/openai/v1"
    model = "meta-llama/llama-4-scout-17b-16e-instruct"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        for field in ("logprobs", "logit_bias", "top_logprobs"):
            if field in body:
                return openai_error(f"property '{field}' is unsupported, did you mean 'model'?")
        return None

    def answer(self, body: dict[str, Any]) -> Any:
        document = super().answer(body) | {"service_tier": "on_demand"}
        if body.get("tools"):
            document["choices"][0]["message"] = _called(body)
            document["choices"][0]["finish_reason"] = "tool_calls"
        return document


def _called(body: dict[str, Any]) -> dict[str, Any]:
    """A call of the first tool, which obeys its schema."""
    function = body["tools"][0]["function"]
    arguments = json.dumps(instance(function["parameters"], user_text(body)))
    call = {"name": function["name"], "arguments": arguments}
    calls = [{"id": "call_1", "type": "function", "function": call}]
    return {"role": "assistant", "content": None, "tool_calls": calls}
