"""transforms.models.http.waits: how long a server asks to be left alone, however it says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import least_cpu_secs
from transforms.models.http.waits import LONGEST_WAIT_SECS, wait_secs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = int(NOW.timestamp())

HEADERS: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"Retry-After": "7"}, 7),
    "a fraction": ({"retry-after": " 0.5 "}, 0.5),
    "a date": ({"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30),
    "an ISO date": ({"Retry-After": "2026-01-01T00:00:20+00:00"}, 20),
    "a moment": ({"Retry-After": str(SECOND + 12)}, 12),
    "a moment in milliseconds": ({"Retry-After": str((SECOND + 12) * 1000)}, 12),
    "with a unit": ({"Retry-After": "30s"}, 30),
    "milliseconds, Azure": ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
    "milliseconds, Azure's other": ({"x-ms-retry-after-ms": "250"}, 0.25),
    "LiteLLM's upstream": ({"llm_provider-retry-after": "9"}, 9),
    "LiteLLM's upstream in milliseconds": ({"llm_provider-retry-after-ms": "900"}, 0.9),
    "nonsense before sense": ({"retry-after-ms": "soon", "Retry-After": "4"}, 4),
    "a reset in minutes": ({"x-ratelimit-reset-requests": "0m40s"}, 40),
    "a reset in milliseconds": ({"x-ratelimit-reset-tokens": "120ms"}, 0.12),
    "a reset in seconds": ({"x-ratelimit-reset-requests": "59.98"}, 59.98),
    "of two resets that of the limit that is used up": (
        {
            "x-ratelimit-reset-requests": "50s",
            "x-ratelimit-remaining-requests": "3",
            "x-ratelimit-reset-tokens": "8s",
            "x-ratelimit-remaining-tokens": "0",
        },
        8,
    ),
    "no limit is used up": (
        {"x-ratelimit-reset-requests": "50s", "x-ratelimit-remaining-requests": "3"},
        0,
    ),
    "longer than anybody waits": ({"Retry-After": "86400"}, LONGEST_WAIT_SECS),
    "six minutes": ({"x-ratelimit-reset-requests": "6m0s"}, LONGEST_WAIT_SECS),
    "the past": ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
    "less than nothing": ({"Retry-After": "-5"}, 0),
    "no number": ({"Retry-After": "nan"}, 0),
    "four hundred digits": ({"Retry-After": "9" * 400}, LONGEST_WAIT_SECS),
    "nothing": ({}, 0),
}
BODIES: dict[str, tuple[Any, float]] = {
    "Google": (
        [{"error": {"code": 429, "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}],
        34,
    ),
    "OpenAI": ({"error": {"message": "Rate limit reached. Please try again in 20s. Visit"}}, 20),
    "OpenAI, milliseconds": ({"error": {"message": "Please try again in 120ms."}}, 0.12),
    "Groq": ({"error": {"message": "Please try again in 0m7.66s. Need more tokens?"}}, 7.66),
    "Azure": ({"error": {"message": "Please retry after 26 seconds."}}, 26),
    "OpenRouter": (
        {"error": {"metadata": {"headers": {"X-RateLimit-Reset": str((SECOND + 5) * 1000)}}}},
        5,
    ),
    "a field": ({"error": {"retry_after": 3.5}}, 3.5),
    "hours": ({"message": "try again in 2h30m0s"}, LONGEST_WAIT_SECS),
    "a number of something else": ({"message": "try again with at most 20 images"}, 0),
    "no wait": ({"error": {"message": "slow down"}}, 0),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_wait_is_read_from_headers(name: str) -> None:
    """Seconds, milliseconds, dates, moments and durations, under each of the names that servers use."""
    headers, secs = HEADERS[name]
    assert wait_secs(headers, b"", NOW) == pytest.approx(secs)


@pytest.mark.parametrize("name", BODIES)
def test_a_wait_is_read_from_bodies(name: str) -> None:
    """Fields and words of errors tell, where no header does; a header comes first."""
    body, secs = BODIES[name]
    assert wait_secs({}, json.dumps(body).encode(), NOW) == pytest.approx(secs, abs=0.01)
    assert wait_secs({"Retry-After": "1"}, json.dumps(body).encode(), NOW) == 1


def test_plain_words_tell_too() -> None:
    """A body need not be JSON."""
    assert wait_secs({}, b"Too many requests, please wait 5 seconds", NOW) == 5


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "Retry-After",
                "retry-after-ms",
                "x-ratelimit-reset-tokens",
                "x-ratelimit-remaining-tokens",
            ]
        ),
        st.text(max_size=40) | st.integers().map(str) | st.floats().map(str),
    ),
    st.binary(max_size=80) | st.text(max_size=80).map(str.encode),
)
def test_no_word_makes_a_run_wait_for_long(headers: dict[str, str], body: bytes) -> None:
    """Whatever a server says, the wait is between nothing and a minute."""
    assert 0 <= wait_secs(headers, body, NOW) <= LONGEST_WAIT_SECS


@pytest.mark.parametrize(
    "piece", [b"try again in 1s ", b"wait ", b"1s", b"9", b"retry 1m1", b"[", b'{"a":']
)
def test_words_are_read_in_time_that_grows_with_them(piece: bytes) -> None:
    """No body keeps the client busy: one four times as long takes about four times, and what is
    beyond the searched part takes nothing.
    """

    def secs_for(size: int) -> float:
        body = (piece * size)[:size]
        return least_cpu_secs(lambda: wait_secs({}, body, NOW))

    assert secs_for(16_000) < 10 * secs_for(4_000) + 0.01
    assert secs_for(4_000_000) < 10 * secs_for(16_000) + 0.05
