"""Servers whose answers have another shape than was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.chat_server import answer_for, completion
from tests.misbehaviour.contract import USED, Behaviour, sends, whole, with_message

Answer = dict[str, Any]


def _said(say: Callable[[str], str], finish: str = "stop") -> Callable[[Answer], Answer]:
    """A completion with what `say` makes of the right content."""
    return lambda body: completion(body, say(json.dumps(answer_for(body))), finish)


def _put(**where: Callable[[str], Any]) -> Callable[[Answer], Answer]:
    """A completion whose message has nothing but what these make of the right content."""

    def make(body: Answer) -> Answer:
        right = json.dumps(answer_for(body))
        return with_message(
            body, content=None, **{name: each(right) for name, each in where.items()}
        )

    return make


def _part(text: str, kind: str = "text") -> Answer:
    return {"type": kind, "text": text}


def _behaviour(
    comes_to: str, does: str, make: Callable[[Answer], Any], source: str = ""
) -> Behaviour:
    return Behaviour(comes_to, does, sends(make), source)


def _parts(body: Answer) -> Answer:
    right = json.dumps(answer_for(body))
    return with_message(body, content=[_part(right[:9]), _part(right[9:])])


def _blocks(body: Answer) -> Answer:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A shirt?"}]}
    return with_message(body, content=[thought, _part(json.dumps(answer_for(body)))])


def _choice(body: Answer, **changes: Any) -> Answer:
    document = whole(body)
    return document | {"choices": [document["choices"][0] | changes]}


def _error(**error: Any) -> Callable[[Answer], Answer]:
    return lambda body: {"error": error}


_BARE = {"message": {"role": "assistant"}, "finish_reason": "stop"}
_VLLM = "vllm-project/vllm 16182, 19222, 50948"
_GEMINI = "BerriAI/litellm 40477, 40252"
_OPENROUTER = "openrouter.ai/docs, Errors"

BEHAVIOURS: dict[str, Behaviour] = {
    "fenced": _behaviour(USED, "puts its JSON into a fence", _said(lambda right: f"```json\n{right}\n```")),
    "after-thinking": _behaviour(USED, "writes `<think>` parts before it", _said(lambda right: f"<think>maybe {{</think>\n{right}")),
    "amid-prose": _behaviour(USED, "writes words before and after it", _said(lambda right: f"Here you are:\n{right}\nDone.")),
    "behind-a-mark": _behaviour(USED, "writes a byte order mark before it", _said(lambda right: f"\ufeff{right}")),
    "in-a-string": _behaviour(USED, "writes its JSON as a JSON string", _said(json.dumps)),
    "trailing-comma": _behaviour(USED, "leaves a comma before the last brace", _said(lambda right: f"{right.rstrip()[:-1]},}}")),
    "content-parts": _behaviour(USED, "sends its content as a list of texts", _parts),
    "content-blocks": _behaviour(USED, "sends blocks, thoughts among them", _blocks, "Microsoft Learn, Structured outputs on Databricks"),
    "tool-call": _behaviour(USED, "answers by a tool call that nobody offered", _put(
        tool_calls=lambda right: [{"function": {"name": "answer", "arguments": right}}]
    )),
    "where-thoughts-belong": _behaviour(USED, "puts its JSON into `reasoning_content`, `content` is null", _put(reasoning_content=str), _VLLM),
    "where-reasoning-belongs": _behaviour(USED, "puts its JSON into `reasoning`, `content` is null", _put(reasoning=str), _VLLM),
    "refusal": _behaviour("model-refused", "fills `refusal`, `content` is null", _put(refusal=lambda right: "I will not."), "OpenAI, guide Structured Outputs"),
    "content-filter": _behaviour("model-refused", "cuts the answer, `finish_reason: content_filter`", _said(lambda right: right[:9], "content_filter"), "Microsoft Learn, content filtering of Azure OpenAI"),
    "choices-null": _behaviour("model-error", "answers `choices: null`", lambda body: whole(body, choices=None)),
    "choices-empty": _behaviour("model-refused", "answers `choices: []`", lambda body: whole(body, choices=[]), _GEMINI),
    "error-in-200": _behaviour("model-error", "sends an error 502 with HTTP 200", _error(message="gone", code=502), _OPENROUTER),
    "error-429-in-200": _behaviour("model-busy", "sends an error 429 with HTTP 200", _error(message="slow", code=429), _OPENROUTER),
    "error-filtered-in-200": _behaviour("model-refused", "sends a moderation's 403 with HTTP 200", _error(message="flagged by moderation", code=403), _OPENROUTER),
    "no-content-at-all": _behaviour("answer-empty", "sends a message without content", lambda body: whole(body, choices=[_BARE]), _GEMINI),
    "list": _behaviour("model-error", "sends its answer in a list", lambda body: [whole(body)]),
    "number": _behaviour("model-error", "sends a number", lambda body: b"7"),
    "content-number": _behaviour("model-error", "sends a number for its content", lambda body: with_message(body, content=7)),
    "deep": _behaviour("model-error", "nests 200,000 lists", lambda body: b"[" * 200_000 + b"]" * 200_000),
    "not-utf-8": _behaviour("model-error", "writes UTF-16", lambda body: json.dumps(whole(body)).encode("utf-16")),
    "nul-bytes": _behaviour("model-error", "sends zeros", lambda body: b"\0" * 5000),
    "broken-then-right": _behaviour(USED, "begins its JSON twice, once right", _said(lambda right: right.replace("}", "") + right)),
    "mark-before-json": _behaviour(USED, "begins its response with a byte order mark", lambda body: b"\xef\xbb\xbf" + json.dumps(whole(body)).encode()),
    "nan-beside": _behaviour(USED, "writes NaN and Infinity beside its answer", lambda body: whole(body, speed=float("nan"), rate=float("-inf"))),
    "number-of-5000-digits": _behaviour(USED, "writes a number of 5,000 digits beside it", lambda body: json.dumps(whole(body)).encode()[:-1] + b', "n": ' + b"9" * 5000 + b"}"),
    "logprobs-of-nothing": _behaviour(USED, "sends log-probabilities that are none", lambda body: _choice(body, logprobs={"content": [None, {}, 7]})),
}  # fmt: skip
