"""transforms.models.http.failures: what a response that is no answer means for its request, and for the run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transforms.models.http.failures import (
    AGREEING,
    AGREEING_AT_FIRST,
    Agreement,
    FailedAttempt,
    failed_response,
)

KEY = "sk-very-secret-0123456789"


def failed(status: int, body: Any = None, **headers: str) -> FailedAttempt:
    content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return failed_response(status, headers, content, KEY)


def error(message: str, **more: str) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


# Of its own request alone, whatever else was answered before.
OWN = {
    "Azure's filter": (400, error("The response was filtered due to content management policy", code="content_filter")),
    "OpenRouter's moderation": (403, error("Input was flagged: violence")),
    "Alibaba's inspection": (400, error("Output data may contain inappropriate content", code="data_inspection_failed")),
    "Gemini's safety": (400, [{"error": {"message": "Prompt was blocked: SAFETY"}}]),
    "a moderating 401": (401, error("rejected by content policy")),
    "too long": (400, error("maximum context length is 512 tokens")),
    "an image that is broken": (400, error("cannot decode image")),
    "too large": (413, error("request entity too large")),
}  # fmt: skip
# Of every request: kind → what a server says.
OF_ALL = {
    "no key": ("key", 401, error("whatever")),
    "forbidden": ("key", 403, error("whatever")),
    "Gemini's key": ("key", 400, [{"error": {"message": "API key not valid.", "status": "API_KEY_INVALID"}}]),
    "LiteLLM's key": ("key", 400, error("No connected db.")),
    "no credit": ("credit", 402, error("whatever")),
    "OpenAI's quota": ("credit", 429, error("You exceeded your current quota", code="insufficient_quota")),
    "LiteLLM's budget": ("credit", 422, error("Budget has been exceeded!", type="budget_exceeded")),
    "Anthropic's credit": ("credit", 400, error("Your credit balance is too low")),
    "no such model": ("model", 404, error("The model `tiny` does not exist", code="model_not_found")),
    "LiteLLM's upstream's model": ("model", 400, error("There are no healthy deployments for this model")),
    "a model with a dot": ("model", 404, error("The model `gpt-4.1-mini` does not exist")),
    "LiteLLM's budget of a model": ("credit", 429, error("No deployments available - crossed budget: Exceeded budget for deployment")),
    "LiteLLM's model": ("model", 400, error("Invalid model name passed in model=tiny")),
    "Azure's deployment": ("model", 404, error("no", code="DeploymentNotFound")),
    "nothing there": ("address", 404, b"404 page not found"),
    "llama.cpp without projector": ("pictures", 500, error("image input is not supported")),
}  # fmt: skip
BUSY = {
    "rate limit": (429, error("slow down")),
    "Gemini's quota a minute": (429, [{"error": {"message": "You exceeded your current quota", "details": [{"retryDelay": "34s"}]}}]),
    "Groq's capacity": (498, error("no capacity")),
    "overloaded": (529, error("overloaded_error")),
    "a model that loads": (503, error("Loading model")),
    "too early": (425, error("again")),
    "conflict": (409, error("again")),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_what_concerns_one_request_costs_it_alone(name: str) -> None:
    """It is not sent again, says so in the server's words, and is no sign against the others."""
    outcome = failed(*OWN[name])
    assert (outcome.retry, outcome.alive, outcome.ends) == (False, True, "")
    assert outcome.failure.reason == "model-refused"
    assert len(outcome.failure.message) > len("HTTP 400: ")
    assert not any(Agreement().reached(outcome) for _ in range(9))


@pytest.mark.parametrize("name", OF_ALL)
def test_what_concerns_every_request_ends_the_run(name: str) -> None:
    """It is not sent again; several in a row end the run, with what to do; an answer between shows
    that it was their own.
    """
    kind, status, body = OF_ALL[name]
    outcome = failed(status, body)
    assert (outcome.ends, outcome.retry) == (kind, False)
    assert outcome.advice or kind == "key"
    agreement = Agreement()
    agreement.answered()
    for _ in range(3):
        assert not any(agreement.reached(outcome) for _ in range(AGREEING - 1))
        agreement.answered()
    assert [agreement.reached(outcome) for _ in range(AGREEING)] == [False] * (AGREEING - 1) + [
        True
    ]


@pytest.mark.parametrize(("status", "sure"), [(401, True), (403, True), (402, False), (404, False)])
def test_a_key_that_never_was_accepted_needs_no_second_word(status: int, sure: bool) -> None:
    """A single 401 or 403 means the key as long as nothing was answered."""
    assert Agreement().reached(failed(status)) == sure


@pytest.mark.parametrize("name", BUSY)
def test_what_is_about_load_is_sent_again(name: str) -> None:
    """A busy server ends nothing, and is waited for as it asks."""
    status, body = BUSY[name]
    outcome = failed(status, body)
    assert (outcome.retry, outcome.busy, outcome.ends) == (True, True, "")
    assert outcome.alive == (status != 529)
    assert outcome.after_secs == (34 if "Gemini" in name else 0)


@pytest.mark.parametrize("status", [408, 500, 502, 504, 520, 522, 524])
def test_what_may_have_been_chance_is_sent_again(status: int) -> None:
    """A gateway's timeout and a server's error pass; what a gateway gave up waiting for may cost."""
    outcome = failed(status, error("upstream"))
    assert (outcome.retry, outcome.busy, outcome.ends) == (True, False, "")
    assert outcome.failure.reason == ("model-timeout" if status == 408 else "model-error")
    assert (outcome.taken is not None) == (status in (408, 504, 522, 524))


@pytest.mark.parametrize("status", [401, 403])
def test_the_body_of_a_refused_key_is_not_repeated(status: int) -> None:
    """Servers write keys into it, whole or in part."""
    outcome = failed(status, error(f"Incorrect API key provided: {KEY[:9]}***6789"))
    assert KEY[:9] not in outcome.failure.message
    moderated = failed(status, error(f"flagged by moderation, key {KEY}"))
    assert KEY not in moderated.failure.message
    assert "[key]" in moderated.failure.message


def test_refusals_of_different_kinds_do_not_agree() -> None:
    """What ends a run is one reason, met again and again."""
    agreement = Agreement()
    outcomes = [failed(status, body) for kind, status, body in OF_ALL.values() if kind != "key"]
    seen: dict[str, int] = {}
    for outcome in outcomes:
        seen[outcome.ends] = seen.get(outcome.ends, 0) + 1
        assert agreement.reached(outcome) == (seen[outcome.ends] >= AGREEING_AT_FIRST)


COOLING = error(
    "No deployments available for selected model, Try again in 5 seconds. All deployments for "
    "selected model are in cooldown."
)


def test_a_gateway_that_cools_down_stands_by_the_refusal_before() -> None:
    """A gateway that asks nobody for a while after a refusal counts for it as long as nothing was
    answered, ends nothing by itself, and is waited for; later, and alone, it is only busy.
    """
    cooling, refused = failed(429, COOLING), failed(404, error("scripted"))
    assert (cooling.retry, cooling.busy, cooling.ends, cooling.after_secs) == (True, True, "", 5)
    agreement = Agreement()
    assert [agreement.reached(each) for each in (refused, cooling, refused)] == [0, 0, 1]
    assert not any(Agreement().reached(cooling) for _ in range(9))
    agreement = Agreement()
    agreement.answered()
    assert not any(agreement.reached(each) for each in (refused, *[cooling] * 9, refused))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "the key that the gateway has"),
        (403, "the key that the gateway has"),
        (404, "mend its entry for this model"),
    ],
)
def test_what_is_wrong_behind_a_gateway_is_mended_there(status: int, advice: str) -> None:
    """Where the service behind a gateway refuses the gateway's key, or is not there, the advice says
    whose it is to mend.
    """
    behind = failed(status, error("litellm.SomeError: OpenAIException - whatever"))
    assert advice in behind.advice
    assert advice not in failed(status, error("Authentication Error, whatever")).advice
