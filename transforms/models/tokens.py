"""How many tokens a request will take, estimated before it is sent.

All constants of such estimates are here. They differ on purpose: a budget must not be exceeded, so
it assumes many tokens; a pace, an order of requests and a batch need the likely number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import orjson

from transforms.models.chat import ChatRequest
from transforms.models.metering import (
    LEAST_IMAGE_TOKENS,
    MOST_ADDED_TOKENS,
    MOST_IMAGE_TOKENS,
    Size,
    size_of,
)

# Of English text with the tokenizers of today's models; of other languages fewer.
TYPICAL_CHARS_PER_TOKEN = 4
# The same in bytes of UTF-8, which holds for scripts too whose characters are a token each.
TYPICAL_BYTES_PER_TOKEN = 4
# For budgets: rather too many tokens than too few. In bytes of UTF-8, because in many scripts a
# character is a token.
LEAST_BYTES_PER_TOKEN = 3
# Of an answer in JSON, whose quotes, colons and brackets are often tokens of their own.
LEAST_BYTES_PER_ANSWER_TOKEN = 2
# A vision model's patch, of Qwen's models; others take fewer tokens an image.
PIXELS_PER_TOKEN_SIDE = 28
# What the markup of a chat adds to its texts, at most.
MESSAGE_TOKENS = 64
# Against --tokens-per-min, whatever the size: servers scale images down as they like.
PACED_IMAGE_TOKENS = 1_000
# Until a model in process has seen its first image: 24 × 24 patches, as CLIP's encoder has at 336
# px. Only for putting prompts of one length into a batch.
FIRST_IMAGE_TOKENS = 576


class TokenEstimate(NamedTuple):
    """The most tokens that a prompt is expected to take: in all, and those of its images."""

    prompt_tokens: int
    image_tokens: int


def estimate_tokens(request: ChatRequest, image_px: int) -> TokenEstimate:
    """Return what a request's prompt takes at most, for budgets and plans.

    The schema is part of it: it may stand in the prompt, and services count it as if it did.

    image_px: longer side of its images.
    """
    # As if every image were a square of its longer side: sizes are not known before it is read.
    image_tokens = len(request.pictures) * math.ceil(image_px / PIXELS_PER_TOKEN_SIDE) ** 2
    schema_size = size_of(orjson.dumps(request.schema).decode())
    text_tokens = most_tokens(_size(request).plus(schema_size)) + MESSAGE_TOKENS
    return TokenEstimate(text_tokens + image_tokens, image_tokens)


def prompt_bounds(request: ChatRequest) -> tuple[int, int]:
    """Return the fewest and the most tokens that any server can have read of a request: what it
    states beyond them is no count of it.
    """
    size, pictures = _size(request), len(request.pictures)
    least = size.least_tokens + pictures * LEAST_IMAGE_TOKENS
    return least, size.bytes + pictures * MOST_IMAGE_TOKENS + MOST_ADDED_TOKENS


def most_tokens(size: Size) -> int:
    """Return how many tokens a text is expected to have at most."""
    return size.bytes // LEAST_BYTES_PER_TOKEN


def most_answer_tokens(size: Size) -> int:
    """Return how many tokens an answer is expected to have taken at most, with the end of its
    turn.
    """
    return size.bytes // LEAST_BYTES_PER_ANSWER_TOKEN + 1


def _size(request: ChatRequest) -> Size:
    return size_of(request.system, request.text)


def paced_tokens(request: ChatRequest) -> float:
    """Return what a request counts as against --tokens-per-min, its longest answer included."""
    chars = len(request.system) + len(request.text)
    images = PACED_IMAGE_TOKENS * len(request.pictures)
    return chars / TYPICAL_CHARS_PER_TOKEN + images + request.max_tokens


def text_tokens(text: str) -> int:
    """Return how many tokens a text is likely to have, where no tokenizer is at hand.

    >>> text_tokens("a red cotton shirt"), text_tokens("電子吉他")
    (5, 3)
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // TYPICAL_BYTES_PER_TOKEN)


def first_tokens(text: str, tokens: int) -> str:
    """Return the beginning of a text that is likely to have so many tokens.

    >>> first_tokens("a red cotton shirt", 2)
    'a red co'
    """
    cut = text.encode("utf-8", "surrogatepass")[: tokens * TYPICAL_BYTES_PER_TOKEN]
    # A character that was cut through is left out.
    return cut.decode("utf-8", "ignore")
