"""transforms.describe.usage: what calls take, and what they took."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.describe.usage import Usage, counted_answer, estimated_amount, lost_attempt
from transforms.models.budget import Budget, Prices
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.contract import Failure
from transforms.models.http.chat import parse_completion
from transforms.models.metering import PLANNED, Stated, size_of

REQUEST = ChatRequest("s" * 300, "t" * 600, {}, (PreparedPicture("d", ""),), max_tokens=100)


def test_an_estimate_is_not_below_what_is_usual() -> None:
    """A call is reserved with its whole answer and its pictures at full size."""
    estimate = estimated_amount(Budget(prices=Prices(1, 1)), REQUEST, 672)
    assert estimate.calls == 1
    assert estimate.tokens >= 300 + 576 + 100
    assert estimate.cost == pytest.approx(estimate.tokens / 1e6)


def test_a_schema_is_paid_too() -> None:
    """A server may be given the schema in the prompt, and others count it as part of it."""
    schema = {"type": "object", "properties": {"color": {"enum": ["x" * 90]}}}
    plain = estimated_amount(Budget(), ChatRequest("s", "t", {}), 672).tokens
    assert estimated_amount(Budget(), ChatRequest("s", "t", schema), 672).tokens >= plain + 30


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


IMAGE_PX = 672
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)
USAGES = JSON_VALUES | st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": JSON_VALUES,
        "completion_tokens": JSON_VALUES,
        "total_tokens": JSON_VALUES,
        "input_tokens": JSON_VALUES,
        "output_tokens": JSON_VALUES,
        "prompt_tokens_details": st.fixed_dictionaries({"image_tokens": JSON_VALUES}),
    },
)


def parsed(usage: Any, content: str, finish_reason: str = "stop") -> ChatAnswer:
    """The answer in a response with this usage, as the client reads it."""
    choice = {"message": {"content": content}, "finish_reason": finish_reason}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    answer = parse_completion("application/json", body)
    assert isinstance(answer, ChatAnswer)
    return answer


@given(
    USAGES,
    st.text(max_size=60),
    st.text(max_size=200),
    st.integers(0, 3),
    st.tuples(st.floats(0, 9), st.floats(0, 9), st.none() | st.floats(0, 9)),
)
def test_no_usage_makes_a_call_cheaper_than_its_texts(
    usage: Any, content: str, text: str, pictures: int, prices: tuple[float, float, float | None]
) -> None:
    """Whatever JSON stands for the usage, the tokens that count are at least those of the texts and
    pictures at hand and at most what one call can take, and no price makes of them less than the
    cheapest kind of token for each.
    """
    request = ChatRequest(
        "", text, {}, tuple(PreparedPicture(str(n), "") for n in range(pictures)), max_tokens=100
    )
    counted = counted_answer(parsed(usage, content), request, IMAGE_PX)
    least = -(-len(text) // 8) + 4 * pictures
    assert least <= counted.prompt_tokens <= 4 * len(text) + 100_000 * (pictures + 1)
    assert -(-len(content) // 8) <= counted.completion_tokens <= 2_000_000
    assert 0 <= counted.image_tokens <= counted.prompt_tokens
    assert counted.prompt_tokens - counted.image_tokens >= -(-len(text) // 8)
    assert counted.counted == ("estimated" if counted.estimated_tokens else "reported")
    limits = Budget(prices=Prices(*prices))
    cost = limits.amount(
        counted.prompt_tokens, counted.image_tokens, counted.completion_tokens
    ).cost
    assert cost >= limits.prices.cost(-(-len(text) // 8), 0, 0) * (1 - 1e-9) >= 0


@given(st.integers(200, 20_000), st.integers(5, 600))
def test_an_honest_count_is_believed(prompt: int, completion: int) -> None:
    """A count that some tokenizer makes of these texts stands as it is."""
    request = ChatRequest("s" * 400, "t" * 1_000, {}, (), max_tokens=600)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    counted = counted_answer(parsed(usage, "x" * 40), request, IMAGE_PX)
    assert (counted.prompt_tokens, counted.completion_tokens) == (prompt, completion)
    assert (counted.counted, counted.estimated_tokens) == ("reported", 0)


@pytest.mark.parametrize(
    "text", ["a red cotton shirt " * 40, "電子吉他和放大器" * 60, "कपास की लाल कमीज " * 40]
)
def test_an_estimate_is_above_what_tokenizers_make_of_a_script(text: str) -> None:
    """Where nobody counts, a text counts as at least what today's tokenizers make of it: a quarter
    of its characters in Latin script, one each in Chinese, two fifths in Devanagari.
    """
    share = {"a": 0.25, "電": 1.0, "क": 0.4}[text[0]]
    counted = counted_answer(parsed(None, "{}"), ChatRequest("", text, {}), IMAGE_PX)
    assert counted.prompt_tokens >= share * len(text)


def test_an_answer_that_was_cut_off_used_all_it_was_allowed() -> None:
    """A finish reason of `length` is a count, where there is no other."""
    request = ChatRequest("s", "t", {}, max_tokens=512)
    assert counted_answer(parsed({}, "{", "length"), request, IMAGE_PX).completion_tokens == 512
    assert counted_answer(parsed({}, "{", "stop"), request, IMAGE_PX).completion_tokens == 1


def test_thoughts_are_paid_too() -> None:
    """What stands beside the content was written by the model as well."""
    message = {"content": "{}", "reasoning_content": "hm " * 400, "reasoning": "hm " * 400}
    body = json.dumps({"choices": [{"message": message}], "usage": {"completion_tokens": 2}})
    answer = parse_completion("application/json", body.encode())
    assert isinstance(answer, ChatAnswer)
    counted = counted_answer(answer, ChatRequest("s", "t", {}), IMAGE_PX)
    assert counted.completion_tokens >= 400
    assert counted.counted == "estimated"


def test_an_attempt_without_an_answer_is_taken_for_the_longest() -> None:
    """Where nobody saw the answer it counts whole, where something came no more than that, and what
    the server states counts as it does for answers.
    """
    request = ChatRequest("", "t" * 1_000, {}, max_tokens=100)
    budget = Budget(prices=Prices(1, 1))
    unseen = lost_attempt(budget, request, Stated(), IMAGE_PX)
    assert unseen.tokens == estimated_amount(budget, request, IMAGE_PX).tokens
    page = lost_attempt(budget, request, Stated(written=size_of("<html>")), IMAGE_PX)
    assert 0 < unseen.tokens - page.tokens < 100
    stated = lost_attempt(budget, request, Stated(300, 0, 20, size_of("x")), IMAGE_PX)
    assert (stated.tokens, stated.estimated_tokens) == (320, 0)
    assert stated.amount.cost == pytest.approx(320e-6)
    lied = lost_attempt(budget, request, Stated(3, 0, 0, size_of("<html>")), IMAGE_PX)
    assert lied == page


def test_a_plan_is_no_count() -> None:
    """What a plan says that answers are likely to take is not measured by their made up texts."""
    planned = ChatAnswer("x" * 900, prompt_tokens=7, completion_tokens=3, counted=PLANNED)
    assert counted_answer(planned, REQUEST, IMAGE_PX) == planned
