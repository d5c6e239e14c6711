"""A fake language model: scripted answers and failures, unknown values where the script says
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.attribute_types.contract import UNKNOWN
from schemas.questions import ALT_TEXT, CONFIDENCE_KEY, DESCRIPTION, NOWHERE, SEEN_KEY
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.fake.script import Script, ScriptEntry
from transforms.models.metering import Tab
from transforms.models.tokens import TYPICAL_CHARS_PER_TOKEN


class FakeChatModel:
    """Answers from the script of transforms.models.fake.script, whose `match` is searched in
    digests and prompts.

    calls, requests: how often it was called, with how many requests, batches that raised included.
    Raises ValueError for a script that cannot be used.
    """

    model = "fake 1"
    requires: tuple[str, ...] = ()
    concurrent = True

    def __init__(self, options: ModelOptions) -> None:
        self._script = Script(options, "describer")
        self.parameters: dict[str, Any] = {
            "script": hashlib.sha256(self._script.text.encode()).hexdigest()
        }
        self.calls = self.requests = 0

    def load(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to release."""

    def answer(
        self,
        requests: Sequence[ChatRequest],
        tab: Tab[ChatRequest] | None = None,  # noqa: ARG002 nothing is sent twice
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        """Yield one scripted or derived answer for each request.

        Raises RuntimeError where the script says so, before any answer.
        """
        self.calls += 1
        self.requests += len(requests)
        # A list, so that a scripted error comes before the first answer, as a failed batch's does.
        yield from enumerate([self._answer(request) for request in requests])

    def _answer(self, request: ChatRequest) -> ChatAnswer | Failure:
        digests = [picture.digest for picture in request.pictures]
        scripted = self._script.outcome([*digests, request.text])
        if isinstance(scripted, Failure):
            return scripted
        content, finish_reason = _content(request, digests, scripted), "stop"
        if scripted is not None and scripted.raw is not None:
            content, finish_reason = scripted.raw, scripted.finish_reason
        prompt_tokens = (len(request.system) + len(request.text)) // TYPICAL_CHARS_PER_TOKEN
        return ChatAnswer(
            content,
            finish_reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=len(content) // TYPICAL_CHARS_PER_TOKEN,
        )


def _content(request: ChatRequest, digests: Sequence[str], scripted: ScriptEntry | None) -> str:
    scripted_answer = (scripted.answer if scripted is not None else None) or {}
    answer = {}
    for key, schema in request.schema["properties"].items():
        answer[key] = scripted_answer.get(key, _default(key, schema, digests, scripted_answer))
    return json.dumps(answer, ensure_ascii=False)


def _default(
    key: str, schema: dict[str, Any], digests: Sequence[str], scripted_answer: dict[str, Any]
) -> Any:
    """Return the value of a key that the script does not mention.

    A value that is scripted is given with the highest confidence and the first source, any other is
    unknown and seen nowhere.
    """
    if key == DESCRIPTION:
        return f"Fake description of picture {', '.join(d[:12] for d in digests) or 'none'}."
    if key == ALT_TEXT:
        return f"Fake alt text of picture {digests[0][:12] if digests else 'none'}."
    scripted = key.rpartition(".")[0] in scripted_answer
    if key.endswith(CONFIDENCE_KEY):
        return schema["enum"][0] if scripted else schema["enum"][-1]
    if key.endswith(SEEN_KEY):
        return schema["enum"][0] if scripted else NOWHERE
    return [] if schema.get("type") == "array" else UNKNOWN
