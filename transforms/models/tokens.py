"""How many tokens a request will take, estimated before it is sent."""

from __future__ import annotations

import math
from typing import NamedTuple

from transforms.models.chat import ChatRequest

CHARS_PER_TOKEN = 3  # rather too many tokens than too few: an estimate must not break the budget


PIXELS_PER_TOKEN_SIDE = 28  # of Qwen's models; others take fewer tokens a picture


MESSAGE_TOKENS = 64


class TokenEstimate(NamedTuple):
    """The most tokens that a prompt is thought to take: in all, and those of its pictures."""

    prompt_tokens: int
    image_tokens: int


def estimate_tokens(request: ChatRequest, image_px: int) -> TokenEstimate:
    """What a request's prompt takes at most, before it is sent.

    image_px: longer side of its pictures.
    """
    image_tokens = len(request.pictures) * math.ceil(image_px / PIXELS_PER_TOKEN_SIDE) ** 2
    text_tokens = (len(request.system) + len(request.text)) // CHARS_PER_TOKEN + MESSAGE_TOKENS
    return TokenEstimate(text_tokens + image_tokens, image_tokens)
