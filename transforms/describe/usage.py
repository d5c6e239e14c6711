"""What a language model did in a run and what it took, and what one of its calls takes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from transforms.models.budget import Amount, Budget
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure
from transforms.models.tokens import estimate_tokens


def estimated_amount(budget: Budget, request: ChatRequest, image_px: int) -> Amount:
    """Return the most that one call may take: its whole answer, and images at their full size."""
    tokens = estimate_tokens(request, image_px)
    return budget.amount(tokens.prompt_tokens, tokens.image_tokens, request.max_tokens)


def spent_amount(budget: Budget, answer: ChatAnswer | Failure) -> Amount:
    """Return what a call took; one that failed counts as a call without tokens, for servers say
    nothing more of it.
    """
    if isinstance(answer, Failure):
        return Amount(1)
    return budget.amount(answer.prompt_tokens, answer.image_tokens, answer.completion_tokens)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the language model did in a part of a run, and what it took.

    jobs: items asked about, each content once; items: items that got an answer or a failure.
    calls: requests sent and answered, or failed; reused: requests that the store had the answer of.
    retries: attempts beyond the first of each call; seconds: of all calls added up.
    reckoned_tokens: of the prompts that were answered, as estimated before they were sent.
    failed_items: reason → items; failed_calls: reason → calls.
    Manifests hold these names, so a new name for a field would hide what earlier runs took.
    """

    jobs: int = 0
    items: int = 0
    calls: int = 0
    reused: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    reckoned_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    failed_items: dict[str, int] = field(default_factory=dict)
    failed_calls: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        both: dict[str, Any] = {
            f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        }
        total: dict[str, Any] = {
            n: _merge(a, b) if isinstance(a, dict) else a + b for n, (a, b) in both.items()
        }
        return Usage(**total)

    def with_call(
        self, answer: ChatAnswer | Failure, cost: float, estimated_tokens: int = 0
    ) -> Usage:
        """Return the usage with one more call, whose prompt was estimated at so many tokens."""
        if isinstance(answer, Failure):
            failed = _merge(self.failed_calls, {answer.reason: 1})
            return replace(self, calls=self.calls + 1, failed_calls=failed)
        return self + Usage(
            calls=1,
            retries=answer.retries,
            prompt_tokens=answer.prompt_tokens,
            reckoned_tokens=estimated_tokens,
            image_tokens=answer.image_tokens,
            completion_tokens=answer.completion_tokens,
            seconds=answer.seconds,
            cost=cost,
        )


def _merge(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
