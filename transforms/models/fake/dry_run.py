"""A stand-in for a language model while a run is planned: nothing is sent, everything is counted.

What would be asked follows from the catalog and the cheap steps, and is asked here in the same way;
only the answers are made up. The model's own name and parameters address the requests, so that
answers of earlier runs are found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.fake.chat import FakeChatModel
from transforms.models.metering import PLANNED, Tab
from transforms.models.tokens import estimate_tokens

# Of the estimate for the budget, which is an upper limit: what English text and images of usual
# proportions take, roughly.
USUAL_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Rates:
    """What calls took in an earlier run.

    prompt_share: the prompts' tokens as a share of those estimated before they were sent.
    image_share: the images' tokens as a share of the prompts'.
    completion_tokens: of an answer on average. None where no earlier run says it.
    """

    prompt_share: float = USUAL_SHARE
    image_share: float | None = None
    completion_tokens: float | None = None


class DryRunChatModel:
    """The identity of `model`, with answers that choose a value from every list, so that every
    level of a hierarchical list is asked for.

    The `fake` backend costs nothing and answers for itself, so its plan is exact.
    """

    requires: tuple[str, ...] = ()
    concurrent = True

    def __init__(self, model: ChatModel, rates: Rates, image_px: int) -> None:
        self._model, self._rates, self._image_px = model, rates, image_px
        self._is_fake = isinstance(model, FakeChatModel)
        self._answering = (
            model if isinstance(model, FakeChatModel) else FakeChatModel(ModelOptions())
        )

    @property
    def model(self) -> str:
        return self._model.model

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self._model.parameters

    def load(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to release."""

    def answer(
        self,
        requests: Sequence[ChatRequest],
        tab: Tab[ChatRequest] | None = None,  # noqa: ARG002 nothing is sent twice
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        """Yield an answer for each request, valid by its schema and with the tokens that it is
        likely to take.
        """
        for index, answer in self._answering.answer(requests):
            if isinstance(answer, ChatAnswer) and not self._is_fake:
                answer = self._likely(requests[index], answer)
            yield index, answer

    def _likely(self, request: ChatRequest, answer: ChatAnswer) -> ChatAnswer:
        estimate = estimate_tokens(request, self._image_px)
        rates = self._rates
        prompt_tokens = round(estimate.prompt_tokens * rates.prompt_share)
        image_share = estimate.image_tokens / max(1, estimate.prompt_tokens)
        if rates.image_share is not None and request.pictures:
            image_share = rates.image_share
        completion_tokens = answer.completion_tokens
        if rates.completion_tokens is not None:
            completion_tokens = round(rates.completion_tokens)
        return replace(
            answer,
            content=_decided(request, answer.content),
            prompt_tokens=prompt_tokens,
            image_tokens=round(prompt_tokens * image_share),
            completion_tokens=completion_tokens,
            counted=PLANNED,
        )


def _decided(request: ChatRequest, content: str) -> str:
    """Return the answer with the first value of each list instead of unknown."""
    first_values = {
        key: schema["enum"][0]
        for key, schema in request.schema["properties"].items()
        if "enum" in schema
    }
    return json.dumps(json.loads(content) | first_values, ensure_ascii=False)
