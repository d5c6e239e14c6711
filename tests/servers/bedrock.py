"""Amazon Bedrock's `/openai/v1`, with a Bedrock key as bearer token; there is no list of models.

What it does with log-probabilities is not documented: here they do not come.
Source: AWS, "Amazon Bedrock User Guide", Chat Completions API.
"""

from __future__ import annotations

from typing import Any

from tests.chat_server import completion
from tests.servers.emulator import Emulator


class Bedrock(Emulator):
    name = "bedrock"
    base = "/openai/v1"
    model = "openai.gpt-oss-20b-1:0"
    lists_models = False

    def answer(self, body: dict[str, Any]) -> Any:
        return completion({**body, "logprobs": False}, self.content(body))
