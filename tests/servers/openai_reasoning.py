"""OpenAI's reasoning models (o-series, gpt-5).

`max_tokens` and any temperature but 1 are refused, HTTP 400 with `param`; log-probabilities with HTTP **403**. Strict
schemas know no `minLength` and `maxLength` and hold 1,000 listed values.
Sources: OpenAI community, "o1/o3-mini parameter table"; pydantic-ai PR 2420; the guide "Structured Outputs".
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.servers.emulator import openai_error
from tests.servers.openai_chat import OpenAIChat


class OpenAIReasoning(OpenAIChat):
    name = "openai-reasoning"
    model = "gpt-5-mini"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if "max_tokens" in body:
            return openai_error(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "max_tokens",
                "unsupported_parameter",
            )
        if body.get("temperature", 1) != 1:
            return openai_error(
                f"Unsupported value: 'temperature' does not support {body['temperature']} with this "
                "model. Only the default (1) value is supported.",
                "temperature",
                "unsupported_value",
            )
        if body.get("logprobs"):
            return openai_error(
                "You are not allowed to request logprobs from this model", status=403
            )
        return super().refusal(request, body)
