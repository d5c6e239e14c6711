"""vLLM with a reasoning parser.

Where a model does not think, the parser takes its JSON for thoughts: `content` is null, the answer stands in
`reasoning_content`. `chat_template_kwargs: {"enable_thinking": false}` switches thinking off.
Sources: vllm-project/vllm 16182, 19222, 50948.
"""

from __future__ import annotations

from typing import Any

from tests.servers.emulator import Emulator


class VllmThinking(Emulator):
    name = "vllm"
    model = "Qwen/Qwen3-VL-8B"

    def answer(self, body: dict[str, Any]) -> Any:
        document = super().answer(body)
        message = document["choices"][0]["message"]
        if (body.get("chat_template_kwargs") or {}).get("enable_thinking") is not False:
            message["reasoning_content"], message["content"] = message["content"], None
        return document
