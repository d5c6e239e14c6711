"""Servers that say nothing of tokens, or what cannot be; what they answer is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.misbehaviour.contract import USED, Behaviour, sends, whole

Usage = Callable[[dict[str, Any]], Any]

_BOTH = ("prompt_tokens", "completion_tokens")

# Name → the usage of a whole, honest one.
USAGES: dict[str, Usage] = {
    "usage-none": lambda honest: None,
    "usage-list": lambda honest: [honest],
    "usage-word": lambda honest: "free",
    "usage-empty": lambda honest: {},
    "usage-zero": lambda honest: dict.fromkeys(honest, 0),
    "usage-negative": lambda honest: {name: -honest[name] for name in _BOTH},
    "usage-tiny": lambda honest: dict.fromkeys(_BOTH, 1),
    "usage-huge": lambda honest: dict.fromkeys(_BOTH, 10**12),
    "usage-beyond-64-bits": lambda honest: dict.fromkeys(_BOTH, 10**30),
    "usage-fraction": lambda honest: {name: honest[name] / 1000 for name in _BOTH},
    "usage-text": lambda honest: {name: str(honest[name]) for name in _BOTH},
    "usage-true": lambda honest: dict.fromkeys(_BOTH, True),
    "usage-null": lambda honest: dict.fromkeys(_BOTH),
    "usage-nested": lambda honest: dict.fromkeys(_BOTH, honest),
    "usage-of-prompt-only": lambda honest: {"prompt_tokens": honest["prompt_tokens"]},
    "usage-of-answer-only": lambda honest: {"completion_tokens": honest["completion_tokens"]},
    "usage-all-pictures": lambda honest: (
        honest | {"prompt_tokens_details": {"image_tokens": 10**9}}
    ),
    "usage-pictures-negative": lambda honest: (
        honest | {"prompt_tokens_details": {"image_tokens": -(10**9)}}
    ),
}
# Said in another way, and right.
HONEST_USAGES: dict[str, Usage] = {
    "usage-as-float": lambda honest: {name: float(honest[name]) for name in _BOTH},
    "usage-by-newer-names": lambda honest: {
        "input_tokens": honest["prompt_tokens"],
        "output_tokens": honest["completion_tokens"],
    },
    "usage-thoughts-in-total": lambda honest: (
        honest | {"total_tokens": honest["total_tokens"] + 50}
    ),
}


def _stating(usage: Usage) -> Callable[[dict[str, Any]], Any]:
    return lambda body: whole(body, usage=usage(whole(body)["usage"]))


_IN_WORDS = {
    "usage-none": "states no tokens",
    "usage-list": "states them in a list",
    "usage-word": "states a word",
    "usage-empty": "states nothing of them",
    "usage-zero": "states 0 tokens",
    "usage-negative": "states fewer than none",
    "usage-tiny": "states 1 token",
    "usage-huge": "states 10¹² tokens",
    "usage-beyond-64-bits": "states 10³⁰ tokens",
    "usage-fraction": "states a thousandth of them",
    "usage-text": "states them as texts",
    "usage-true": "states `true`",
    "usage-null": "states `null`",
    "usage-nested": "states objects",
    "usage-of-prompt-only": "states those of the prompt only",
    "usage-of-answer-only": "states those of the answer only",
    "usage-all-pictures": "states 10⁹ tokens of pictures",
    "usage-pictures-negative": "states -10⁹ tokens of pictures",
    "usage-as-float": "states them as 12.0",
    "usage-by-newer-names": "calls them input and output tokens",
    "usage-thoughts-in-total": "counts thoughts in the total only",
}
BEHAVIOURS: dict[str, Behaviour] = {
    name: Behaviour(USED, _IN_WORDS[name], sends(_stating(usage)))
    for name, usage in (USAGES | HONEST_USAGES).items()
}
