"""What is quoted of failures, counted by words, and the option that is named with it."""

from __future__ import annotations

import pytest

from transforms.models.http.servers.remedies import (
    MOST_KEPT,
    MOST_SHOWN,
    OTHER,
    commonest,
    remedy_for,
    told,
    words_of,
)

# Words of a failure → a part of what is to be tried.
REMEDIES = {
    "model-refused: HTTP 400: Unsupported parameter: 'max_tokens' is not supported with this model": "length_field=max_completion_tokens",
    "model-refused: HTTP 400: 'temperature' does not support 0 with this model": "temperature=no",
    'model-refused: HTTP 400: Unknown name "seed"': "seed_field=none",
    "model-refused: HTTP 403: You are not allowed to request logprobs from this model": "--no-logprobs",
    "model-refused: HTTP 422: body.logprobs: Extra inputs are not permitted": "--no-logprobs",
    "model-refused: HTTP 400: This response_format type is unavailable now": "response_format=json_object",
    "model-refused: HTTP 400: Invalid schema for response_format: 'maxLength' is not permitted": "schema_without=maxLength",
    "model-refused: HTTP 400: maximum context length is 512 tokens": "--describe-image-px",
    "model-refused: HTTP 413: request entity too large": "--describe-image-px",
    "model-refused: HTTP 400: content_filter": "no option changes that",
    "model-busy: HTTP 429: slow down": "--requests-per-min",
    "model-timeout: no whole answer within 120 s": "--request-timeout-secs",
    "model-error: the response is not a chat completion: content type text/html: welcome": "--endpoint",
    "answer-truncated: cut off after 512 tokens: '{'": "--max-answer-tokens",
    "answer-empty: the answer holds nothing but white space": "--thinking off",
    "answer-malformed: no JSON: 'Sure!'": "schema_in_prompt=yes",
}


@pytest.mark.parametrize("words", REMEDIES)
def test_words_lead_to_an_option(words: str) -> None:
    """Whoever reads what went wrong reads also which option may help."""
    assert REMEDIES[words] in remedy_for(words)


def test_an_unknown_word_promises_nothing() -> None:
    """Where nobody knows what helps, nothing is named."""
    assert remedy_for("model-refused: HTTP 400: this one is not liked") == ""


@pytest.mark.parametrize(
    "message",
    [
        "HTTP 400: bad, request id req_{n}abcdef{n}",
        "after {n} attempts: HTTP 400: bad, request id 0{n}23ab45-0000-4000-8000-0123456789a{n}",
        "HTTP 429: wait for {n}.{n}37 s, {n}0123 tokens",
    ],
)
def test_what_differs_by_request_is_not_counted_apart(message: str) -> None:
    """Ids, times and large numbers are left out, so that the same words are one entry."""
    said = {words_of("model-refused", message.replace("{n}", str(n))) for n in range(2, 8)}
    assert len(said) == 1


def test_statuses_ports_and_names_are_told() -> None:
    """What tells failures apart stays in their words."""
    said = "http://127.0.0.1:8000/v1: HTTP 404: no model gpt-4o-mini-2024-07-18"
    assert words_of("model-refused", said) == f"model-refused: {said}"


def test_the_number_of_words_is_bounded() -> None:
    """The commonest are kept, all others are counted together, and adding up loses none."""
    counts = {f"words {n}": n for n in range(1, 200)}
    kept = commonest(counts)
    assert len(kept) == MOST_KEPT + 1
    assert sum(kept.values()) == sum(counts.values())
    assert commonest(kept | {OTHER: kept[OTHER] + 1}) == kept | {OTHER: kept[OTHER] + 1}
    assert min(count for words, count in kept.items() if words != OTHER) == 200 - MOST_KEPT


def test_a_few_lines_tell_the_commonest() -> None:
    """Each says of how many items it speaks, in the server's words, with what may help."""
    lines = told({f"model-busy: HTTP 429: {n}": n for n in range(1, 9)} | {OTHER: 99}, 1_200)
    assert len(lines) == MOST_SHOWN
    assert lines[0].startswith("8 of 1,200 items: model-busy: HTTP 429: 8; set --requests-per-min")
