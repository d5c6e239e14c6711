"""OpenAI-compatible embeddings: texts or one picture → body, response → vectors or why there are
none. Nothing here touches the network.

A picture goes as a user's turn with an `image_url`, as vLLM's pooling API takes it
(https://docs.vllm.ai/en/stable/serving/openai_compatible_server/).
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from transforms.models.contract import Failure, Picture, Vector
from transforms.models.http.failures import FailedAttempt, failed_response
from transforms.models.http.messages import (
    count_of,
    data_url,
    entry,
    incomplete,
    is_json,
    is_success,
    parsed_json,
    quoted,
    redact,
    stated_in,
)
from transforms.models.tokens import PACED_IMAGE_TOKENS, text_tokens

JPEG_QUALITY = 90
# 2,048 texts of 8,192 numbers, each of 24 characters at most, are more than anybody should ask for;
# a batch of ours has 256 texts at most.
MAX_RESPONSE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """One request: texts with their prompt before them, or one picture."""

    texts: tuple[str, ...] = ()
    picture: Picture | None = None

    @property
    def size(self) -> int:
        """How many vectors are asked for."""
        return len(self.texts) if self.picture is None else 1

    @property
    def tokens(self) -> int:
        """How many tokens that is likely to take."""
        return sum(map(text_tokens, self.texts)) + (
            0 if self.picture is None else PACED_IMAGE_TOKENS
        )


@dataclass(frozen=True, slots=True)
class Embeddings:
    """vectors: float32 arrays of length one, in the order of the request, or why one is unusable.

    tokens: as the server counted them, 0 where it does not. retries: attempts that failed before
    this one; seconds: from sending to the whole answer.
    """

    vectors: tuple[Vector | Failure, ...]
    tokens: int = 0
    retries: int = 0
    seconds: float = 0.0

    def timed(self, retries: int, seconds: float) -> Embeddings:
        """Return the answer with what it took to get it."""
        return replace(self, retries=retries, seconds=seconds)


class EmbeddingsApi:
    """`POST /embeddings` of one model.

    settings: further keys of each request, such as `dimensions`; text_settings: of requests with
    texts. key: kept out of messages.
    """

    path = "/embeddings"
    kept = ""
    trials = 0
    max_response_bytes = MAX_RESPONSE_BYTES

    def __init__(
        self,
        model: str,
        settings: Mapping[str, Any],
        key: str = "",
        text_settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._model, self._settings, self._key = model, dict(settings), key
        self._text_settings = dict(text_settings)

    def body(self, request: EmbeddingRequest) -> bytes:
        body: dict[str, Any] = {"model": self._model, "encoding_format": "float", **self._settings}
        if request.picture is None:
            body |= {"input": list(request.texts), **self._text_settings}
        else:
            picture = {"type": "image_url", "image_url": {"url": data_url(_jpeg(request.picture))}}
            body["messages"] = [{"role": "user", "content": [picture]}]
        return orjson.dumps(body)

    def is_near(self, request: EmbeddingRequest) -> bool:  # noqa: ARG002 it holds what is sent
        return True

    def tokens(self, request: EmbeddingRequest) -> float:
        return request.tokens

    def parse(
        self, request: EmbeddingRequest, status: int, headers: Mapping[str, str], body: bytes
    ) -> Embeddings | FailedAttempt:
        if status == 404:
            # Of the model or the path, so of every request.
            message = redact(f"HTTP 404: {quoted(body, self._key)}", self._key)
            fix = f"the server has no model {self._model!r} or no embeddings there"
            return FailedAttempt(
                Failure("model-refused", message), retry=False, alive=True, fatal=fix
            )
        if not is_success(status):
            return failed_response(status, headers, body, self._key)
        if problem := incomplete(status, headers, body):
            answer: Embeddings | Failure = self.unusable(problem)
        else:
            answer = self._parse_vectors(headers.get("Content-Type", ""), body, request.size)
        if isinstance(answer, Embeddings):
            return answer
        return FailedAttempt(answer, taken=stated_in(body))

    def unusable(self, problem: str, *, too_large: bool = False) -> Failure:  # noqa: ARG002 it has no option
        return Failure(
            "model-error", redact(f"the response holds no embeddings: {problem}", self._key)
        )

    def _parse_vectors(self, content_type: str, body: bytes, size: int) -> Embeddings | Failure:
        try:
            document = parsed_json(body)
        except orjson.JSONDecodeError as error:
            problem = (
                f"not JSON ({error.msg})"
                if is_json(content_type)
                else f"content type {content_type or 'none'}"
            )
            return self.unusable(f"{problem}: {quoted(body, self._key)}")
        data = entry(document, "data")
        if not isinstance(data, list):
            return self.unusable(f"no list of data: {quoted(body, self._key)}")
        if len(data) != size:
            return self.unusable(f"{len(data)} vectors for {size} inputs")
        # In any order: what an entry belongs to is its index. Servers that leave it out answer in
        # the order of the request.
        places = [_index(each, place) for place, each in enumerate(data)]
        if sorted(places) != list(range(size)):
            return self.unusable(f"indexes {places[:8]} for {size} inputs")
        found = {
            place: _vector(entry(each, "embedding"))
            for place, each in zip(places, data, strict=True)
        }
        return Embeddings(
            tuple(found[place] for place in range(size)),
            count_of(entry(document, "usage"), "prompt_tokens", "input_tokens", "total_tokens"),
        )


def _index(item: Any, place: int) -> int:
    """Return the index that an entry of the data states; its place where it states none."""
    index = entry(item, "index")
    if index is None:
        return place
    return index if type(index) is int else -1


def _vector(embedding: Any) -> Vector | Failure:
    """Return an entry's vector, scaled to length one: servers differ in whether they do that."""
    try:
        if isinstance(embedding, str):
            vector = np.frombuffer(a2b_base64(embedding, strict_mode=True), "<f4")
        else:
            vector = np.asarray(embedding, np.float64)
    except (BinasciiError, ValueError, TypeError):
        return Failure("model-error", "the server answered with something that is no vector")
    if vector.ndim != 1 or not vector.size:
        return Failure("model-error", "the server answered with something that is no vector")
    vector = vector.astype(np.float64)
    # Divided first, because squares of large numbers are infinite.
    largest = float(np.abs(vector).max())
    if not np.isfinite(largest):
        return Failure("model-error", "the server answered with a vector that is not finite")
    if not largest:
        return Failure("model-error", "the server answered with a vector of zeros")
    vector = vector / largest
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _jpeg(picture: Picture) -> bytes:
    sink = BytesIO()
    picture.image.save(sink, "JPEG", quality=JPEG_QUALITY)
    return sink.getvalue()
