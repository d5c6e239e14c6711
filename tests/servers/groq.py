"""Groq.

`logprobs`, `logit_bias` and `top_logprobs` are refused.
Source: console.groq.com/docs/openai.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

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
        return super().answer(body) | {"service_tier": "on_demand"}
