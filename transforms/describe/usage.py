"""What a language model did in a run and what it took, and what one of its calls takes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from transforms.models.budget import Amount, Budget
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure
from transforms.models.http.servers.remedies import commonest
from transforms.models.metering import (
    ESTIMATED,
    MOST_COMPLETION_TOKENS,
    PLANNED,
    REPORTED,
    Lost,
    Size,
    Stated,
    Taken,
    believed,
    size_of,
)
from transforms.models.tokens import (
    estimate_tokens,
    most_answer_tokens,
    most_tokens,
    prompt_bounds,
)

NOTHING_LOST = Lost()
# The finish reason of an answer that used all the tokens that it was allowed.
CUT_OFF = "length"


def estimated_amount(budget: Budget, request: ChatRequest, image_px: int) -> Amount:
    """Return the most that one call may take: its whole answer, and images at their full size."""
    tokens = estimate_tokens(request, image_px)
    return budget.amount(tokens.prompt_tokens, tokens.image_tokens, request.max_tokens)


def counted_answer(answer: ChatAnswer, request: ChatRequest, image_px: int) -> ChatAnswer:
    """Return the answer with the tokens that count: as stated where that can be, else as estimated
    from the request and from what was written.
    """
    if answer.counted == PLANNED:
        return answer
    written = size_of(answer.content).plus(answer.thoughts)
    stated = Stated(answer.prompt_tokens, answer.image_tokens, answer.completion_tokens, written)
    longest = most_answer_tokens(written)
    if answer.finish_reason == CUT_OFF:
        longest = max(longest, request.max_tokens)
    taken = _taken(stated, request, image_px, longest)
    return replace(
        answer,
        prompt_tokens=taken.prompt_tokens,
        image_tokens=taken.image_tokens,
        completion_tokens=taken.completion_tokens,
        counted=ESTIMATED if taken.estimated_tokens else REPORTED,
        estimated_tokens=taken.estimated_tokens,
    )


def lost_attempt(budget: Budget, request: ChatRequest, stated: Stated, image_px: int) -> Lost:
    """Return what an attempt took that brought no answer."""
    longest = request.max_tokens
    if stated.written is not None:
        longest = min(longest, most_answer_tokens(stated.written))
    taken = _taken(stated, request, image_px, longest)
    amount = budget.amount(taken.prompt_tokens, taken.image_tokens, taken.completion_tokens)
    return Lost(1, amount, taken.estimated_tokens)


def _taken(stated: Stated, request: ChatRequest, image_px: int, longest: int) -> Taken:
    """Return the tokens that count; `longest`: of an answer whose tokens nobody states."""
    estimate, (least, most) = estimate_tokens(request, image_px), prompt_bounds(request)
    prompt, completion, estimated = stated.prompt_tokens, stated.completion_tokens, 0
    if not believed(prompt, least, most):
        prompt, estimated = estimate.prompt_tokens, estimate.prompt_tokens
    shortest = (stated.written or Size()).least_tokens
    if not believed(completion, shortest, MOST_COMPLETION_TOKENS):
        completion = longest
        estimated += completion
    return Taken(prompt, _image_tokens(stated, request, prompt), completion, estimated)


def _image_tokens(stated: Stated, request: ChatRequest, prompt_tokens: int) -> int:
    """Return the images' tokens of a prompt: where the stated number leaves too little for the
    texts, what these cannot have taken. Else a call could cost less than nothing.
    """
    if not request.pictures:
        return 0
    texts = size_of(request.system, request.text)
    if stated.image_tokens + texts.least_tokens <= prompt_tokens:
        return stated.image_tokens
    return max(prompt_tokens - most_tokens(texts), 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the language model did in a part of a run, and what it took.

    jobs: items asked about, each content once; items: items that got an answer or a failure.
    calls: requests sent and answered, or failed; reused: requests that the store had the answer of.
    retries: attempts beyond the first of each call; seconds: of all calls added up.
    reckoned_tokens: of the prompts that were answered, as estimated before they were sent.
    estimated_tokens: of the tokens of prompts, answers and lost attempts, those that no server
    stated. lost_attempts: that brought no answer and may have been charged for; lost_tokens: what
    they took, beside the tokens of prompts and answers; their cost is part of `cost`.
    failed_items: reason → items; failed_calls: reason → calls.
    failed_words: reason and words of what failed → items, the commonest.
    repaired_answers: what was in the way → answers that were read all the same, of this run and
    kept ones.
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
    estimated_tokens: int = 0
    lost_attempts: int = 0
    lost_tokens: int = 0
    failed_items: dict[str, int] = field(default_factory=dict)
    failed_calls: dict[str, int] = field(default_factory=dict)
    failed_words: dict[str, int] = field(default_factory=dict)
    repaired_answers: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        both: dict[str, Any] = {
            f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        }
        total: dict[str, Any] = {
            n: _merge(a, b) if isinstance(a, dict) else a + b for n, (a, b) in both.items()
        }
        return Usage(**total | {"failed_words": commonest(total["failed_words"])})

    def with_call(
        self,
        answer: ChatAnswer | Failure,
        cost: float,
        planned_tokens: int = 0,
        lost: Lost = NOTHING_LOST,
    ) -> Usage:
        """Return the usage with one more call.

        cost: of its answer; planned_tokens: of its prompt, as estimated before it was sent; lost:
        what its attempts before that took.
        """
        call = Usage(
            calls=1,
            cost=cost + lost.amount.cost,
            estimated_tokens=lost.estimated_tokens,
            lost_attempts=lost.attempts,
            lost_tokens=lost.tokens,
        )
        if isinstance(answer, Failure):
            return self + replace(call, failed_calls={answer.reason: 1})
        return self + replace(
            call,
            retries=answer.retries,
            prompt_tokens=answer.prompt_tokens,
            reckoned_tokens=planned_tokens,
            image_tokens=answer.image_tokens,
            completion_tokens=answer.completion_tokens,
            seconds=answer.seconds,
            estimated_tokens=call.estimated_tokens + answer.estimated_tokens,
        )


def _merge(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
