"""ModelScope's inference.

A `json_schema` is answered with HTTP 200 and `choices: null`.
Source: modelscope/modelscope 1801.
"""

from __future__ import annotations

from typing import Any

from tests.chat_server import completion
from tests.servers.emulator import Emulator


class ModelScope(Emulator):
    name = "modelscope"
    model = "Qwen/Qwen2.5-VL-72B-Instruct"

    def answer(self, body: dict[str, Any]) -> Any:
        document = completion({**body, "logprobs": False}, self.content(body))
        if (body.get("response_format") or {}).get("type") == "json_schema":
            document["choices"] = None
        return document
