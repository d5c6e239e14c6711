"""From the probabilities of tokens to those of the values in a JSON answer."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from transforms.models.answer_text import find_objects

# Servers write impossible tokens as -inf, or as this number because JSON has no -inf.
LEAST_LOG_PROBABILITY = -9_999.0

_JSON_SPACE = re.compile(r"[ \t\n\r]*")


def value_probabilities(content: str, tokens: Any) -> dict[str, float]:
    """Return for each top-level key of a JSON object the probability of its value's tokens.

    tokens: the log-probabilities of a choice as the API lists them, in order; what surrounds the
    content (a reasoning part, an end-of-turn token) is skipped. {} when the content does not hold
    exactly one JSON object or the tokens do not add up to it.

    >>> tokens = [{"token": '{"a":', "logprob": -1.0}, {"token": "1}", "logprob": 0.0}]
    >>> value_probabilities('{"a":1}', tokens)
    {'a': 1.0}
    """
    try:
        pieces = [_piece(token) for token in tokens]
        start = _last_place(b"".join(text for text, _ in pieces), content.encode())
        spans = _wrapped_spans(content) if pieces and start >= 0 else {}
    # The tokens come from a server, so they may be anything.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}
    ends = list(accumulate(len(text) for text, _ in pieces))
    sums = list(accumulate((logarithm for _, logarithm in pieces), initial=0.0))
    probabilities = {}
    for key, (first, last) in spans.items():
        # From the token that holds the value's first byte to the one that holds its last: tokens
        # at the edges may hold a quote or a comma as well.
        low, high = bisect_right(ends, start + first), bisect_left(ends, start + last)
        # Sums of floats may be a little above 0.
        probabilities[key] = min(math.exp(sums[high + 1] - sums[low]), 1.0)
    return probabilities


def _last_place(text: bytes, answer: bytes) -> int:
    """Return where an answer begins in what the tokens spell, -1 where it does not.

    In bytes, because a token may end within a character; from the right, because a reasoning part
    may contain the answer too. `bytes.rfind` does the same in a time that grows with the square of
    its operands, `find` in one that grows with their sum.
    """
    found = text[::-1].find(answer[::-1])
    return -1 if found < 0 else len(text) - found - len(answer)


def _piece(token: Mapping[str, Any]) -> tuple[bytes, float]:
    """Return the bytes that a token stands for and its log-probability."""
    raw, logarithm = token.get("bytes"), token["logprob"]
    if not isinstance(logarithm, int | float):
        raise TypeError("a log-probability is a number")
    # Not all servers give the bytes; the text of a token that ends within a character is damaged.
    text = bytes(raw) if isinstance(raw, list) else token["token"].encode()
    return text, min(max(float(logarithm), LEAST_LOG_PROBABILITY), 0.0)


def _wrapped_spans(content: str) -> dict[str, tuple[int, int]]:
    """Return what `_value_spans` does, for the only object in a content that may wrap it."""
    (found,) = find_objects(content)
    before = len(content[: found.begin].encode())
    spans = _value_spans(content[found.begin : found.end])
    return {key: (before + first, before + last) for key, (first, last) in spans.items()}


def _value_spans(content: str) -> dict[str, tuple[int, int]]:
    """Return for each top-level key (first byte, byte after the last) of its value.

    Raises ValueError unless it is one JSON object.
    """
    decode = json.JSONDecoder().raw_decode
    spans: dict[str, tuple[int, int]] = {}
    position = _after(content, 0, "{")
    # Offsets of the decoder count characters, those of tokens bytes: each part is encoded once.
    counted, counted_bytes = 0, 0
    while not spans or content[position] != "}":
        key, position = decode(content, _after(content, position, ",") if spans else position)
        if not isinstance(key, str):
            raise ValueError(f"the key is {key!r}")  # noqa: TRY004 - one error for all that is not an object
        start = _after(content, position, ":")
        _, end = decode(content, start)
        first = counted_bytes + len(content[counted:start].encode())
        counted, counted_bytes = end, first + len(content[start:end].encode())
        spans[key] = (first, counted_bytes)
        position = _space_end(content, end)
    if _space_end(content, position + 1) != len(content):
        raise ValueError("something follows the object")
    return spans


def _after(content: str, position: int, mark: str) -> int:
    """Return the position after `mark` and white space; raise ValueError when `mark` is missing."""
    position = _space_end(content, position)
    if content[position : position + 1] != mark:
        raise ValueError(f"no {mark!r} at {position}")
    return _space_end(content, position + 1)


def _space_end(content: str, position: int) -> int:
    match = _JSON_SPACE.match(content, position)
    return match.end() if match else position
