"""Servers whose answers have another shape than was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.chat_server import answer_for, completion
from tests.misbehaviour.contract import USED, Row, sends, whole, with_message

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


BEHAVIOURS: dict[str, Row] = {
    "fenced": (USED, sends(_said(lambda right: f"```json\n{right}\n```"))),
    "after-thinking": (USED, sends(_said(lambda right: f"<think>maybe {{</think>\n{right}"))),
    "amid-prose": (USED, sends(_said(lambda right: f"Here you are:\n{right}\nDone."))),
    "behind-a-mark": (USED, sends(_said(lambda right: f"\ufeff{right}"))),
    "content-parts": (USED, sends(lambda body: with_message(
        body, content=[_part(json.dumps(answer_for(body))[:9]), _part(json.dumps(answer_for(body))[9:])]
    ))),
    "tool-call": (USED, sends(_put(
        tool_calls=lambda right: [{"function": {"name": "answer", "arguments": right}}]
    ))),
    "where-thoughts-belong": (USED, sends(_put(reasoning_content=str))),
    "refusal": ("model-refused", sends(_put(refusal=lambda right: "I will not."))),
    "content-filter": ("model-refused", sends(_said(lambda right: right[:9], "content_filter"))),
    "choices-null": ("model-error", sends(lambda body: whole(body, choices=None))),
    "choices-empty": ("model-refused", sends(lambda body: whole(body, choices=[]))),
    "error-in-200": ("model-error", sends(lambda body: {"error": {"message": "gone", "code": 502}})),
    "error-429-in-200": ("model-busy", sends(lambda body: {"error": {"message": "slow", "code": 429}})),
    "error-filtered-in-200": ("model-refused", sends(lambda body: {"error": {"message": "flagged by moderation", "code": 403}})),
    "no-content-at-all": ("answer-empty", sends(lambda body: whole(body, choices=[{"message": {"role": "assistant"}, "finish_reason": "stop"}]))),
    "list": ("model-error", sends(lambda body: [whole(body)])),
    "number": ("model-error", sends(lambda body: b"7")),
    "content-number": ("model-error", sends(lambda body: with_message(body, content=7))),
    "deep": ("model-error", sends(lambda body: b"[" * 200_000 + b"]" * 200_000)),
    "not-utf-8": ("model-error", sends(lambda body: json.dumps(whole(body)).encode("utf-16"))),
    "nul-bytes": ("model-error", sends(lambda body: b"\0" * 5000)),
    "broken-then-right": (USED, sends(_said(lambda right: right.replace("}", "") + right))),
    "mark-before-json": (USED, sends(lambda body: b"\xef\xbb\xbf" + json.dumps(whole(body)).encode())),
    "nan-beside": (USED, sends(lambda body: whole(body, speed=float("nan"), rate=float("-inf")))),
    "number-of-5000-digits": (USED, sends(lambda body: json.dumps(whole(body)).encode()[:-1] + b', "n": ' + b"9" * 5000 + b"}")),
    "logprobs-of-nothing": (USED, sends(lambda body: {
        **whole(body), "choices": [{**whole(body)["choices"][0], "logprobs": {"content": [None, {}, 7]}}]
    })),
}  # fmt: skip
