"""Databricks' serving endpoints with gpt-oss.

The content of an answer is a list of blocks, thoughts among them; log-probabilities do not come.
Source: Microsoft Learn, "Structured outputs on Databricks".
"""

from __future__ import annotations

from typing import Any

from tests.chat_server import completion
from tests.servers.emulator import Emulator


class Databricks(Emulator):
    name = "databricks"
    base = "/serving-endpoints"
    model = "databricks-gpt-oss-20b"

    def answer(self, body: dict[str, Any]) -> Any:
        document = completion({**body, "logprobs": False}, self.content(body))
        message = document["choices"][0]["message"]
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A shirt?"}]}
        message["content"] = [thought, {"type": "text", "text": message["content"]}]
        return document
