"""A LiteLLM proxy in front of Anthropic, with `drop_params` off.

Parameters that its table does not know for a model are refused, all in one message. An alias may hold a slash and a
blank.
Source: LiteLLM 1.108 as it ran here.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.chat_server import completion
from tests.servers.emulator import Emulator, openai_error


class LiteLLM(Emulator):
    name = "litellm"
    model = "shop models/claude"

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        refused = [field for field in ("seed", "logprobs") if field in body]
        if not refused:
            return None
        return openai_error(
            f"litellm.UnsupportedParamsError: anthropic does not support parameters: {refused}, "
            "for model=claude-sonnet-4-5. To drop these, set `litellm.drop_params=True` or for "
            "proxy: `litellm_settings: drop_params: true`",
            code="400",
        )

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))
