"""transforms.describe.usage: what calls take, and what they took."""

from __future__ import annotations

import pytest

from transforms.describe.usage import Usage, estimated_amount
from transforms.models.budget import Budget, Prices
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.contract import Failure

REQUEST = ChatRequest("s" * 300, "t" * 600, {}, (PreparedPicture("d", ""),), max_tokens=100)


def test_an_estimate_is_not_below_what_is_usual() -> None:
    """A call is reserved with its whole answer and its pictures at full size."""
    estimate = estimated_amount(Budget(prices=Prices(1, 1)), REQUEST, 672)
    assert estimate.calls == 1
    assert estimate.tokens >= 300 + 576 + 100
    assert estimate.cost == pytest.approx(estimate.tokens / 1e6)


def test_usage_adds_up() -> None:
    """Calls, tokens and reasons of all parts of a run are added, each exactly once."""
    one = Usage().with_call(ChatAnswer("x", "stop", 10, 4, 3, retries=2, seconds=1.5), 0.25)
    two = one.with_call(Failure("model-timeout", "m"), 0.0)
    total = two + two + Usage(failed_items={"budget": 3})
    assert (total.calls, total.retries, total.prompt_tokens, total.completion_tokens) == (
        4,
        4,
        20,
        6,
    )
    assert total.failed_calls == {"model-timeout": 2}
    assert total.failed_items == {"budget": 3}
    assert total.cost == 0.5
