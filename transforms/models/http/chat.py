"""OpenAI-compatible chat completions: ChatRequest → body, response → ChatAnswer or why there is
none.

Nothing in a response is trusted, and neither the key nor an image's data gets into a message:
messages end up in tables and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from transforms.models.chat import SEED, ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.client import ApiClient, Clock, Upstream
from transforms.models.http.messages import (
    FailedAttempt,
    count_of,
    data_url,
    entry,
    failed_response,
    is_json,
    quoted,
    redact,
)
from transforms.models.logprobs import value_probabilities
from transforms.models.tokens import paced_tokens


class ChatApi:
    """`POST /chat/completions`, for the model of `options`; the key is kept out of messages."""

    path = "/chat/completions"
    kept = ": answers so far are kept"
    # An answer has kilobytes.
    max_response_bytes = 8 * 2**20

    def __init__(self, options: ChatOptions, key: str = "") -> None:
        self._options, self._key = options, key

    def body(self, request: ChatRequest) -> bytes:
        return request_body(request, self._options)

    def tokens(self, request: ChatRequest) -> float:
        return paced_tokens(request)

    def parse(
        self,
        request: ChatRequest,  # noqa: ARG002 a response says all
        status: int,
        headers: Mapping[str, str],
        body: bytes,
    ) -> ChatAnswer | FailedAttempt:
        return parse_response(status, headers, body, self._key)

    def unusable(self, problem: str) -> Failure:
        return not_completion(problem, self._key)


class ChatClient(ApiClient[ChatRequest, ChatAnswer]):
    """A client of chat completions; see ApiClient."""

    def __init__(
        self,
        options: ChatOptions,
        upstream: Upstream,
        key: str = "",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(ChatApi(options, key), options, upstream, key, clock)


def request_body(request: ChatRequest, options: ChatOptions) -> bytes:
    """Return the JSON body of one chat completion.

    Reads the request's images and raises whatever that raises.
    """
    content: Any = request.text
    if request.pictures:
        # Servers for text alone accept only a string as a turn's content, so it is a list only
        # where there are images.
        pictures = [
            {"type": "image_url", "image_url": {"url": data_url(p.read())}}
            for p in request.pictures
        ]
        content = [*pictures, {"type": "text", "text": request.text}]
    body: dict[str, Any] = {
        "model": options.model,
        "messages": [
            {"role": "system", "content": request.system},
            {"role": "user", "content": content},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.schema, "strict": True},
        },
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": SEED,
    }
    # Some chat templates refuse a system turn, so an empty one is not sent.
    if not request.system:
        del body["messages"][0]
    if options.logprobs:
        body["logprobs"] = True
    return orjson.dumps(body)


def parse_completion(content_type: str, body: bytes, key: str = "") -> ChatAnswer | Failure:
    """Return the answer in a response of HTTP 200, or a Failure `model-error`.

    Content and finish_reason are passed on as they came.
    """
    if not is_json(content_type):
        return not_completion(f"content type {content_type or 'none'}: {quoted(body, key)}", key)
    try:
        completion = orjson.loads(body)
        choice = completion["choices"][0]
        content = choice["message"]["content"]
    except orjson.JSONDecodeError as error:
        return not_completion(f"not JSON ({error.msg}): {quoted(body, key)}", key)
    except (KeyError, IndexError, TypeError):
        return not_completion(f"no choices[0].message.content: {quoted(body, key)}", key)
    if not isinstance(content, str | None):
        return not_completion(f"the content is not a text but {type(content).__name__}", key)
    # Servers send null for a refusal or an empty answer.
    content = content or ""
    finish_reason = choice.get("finish_reason")
    usage = completion.get("usage")
    return ChatAnswer(
        content,
        finish_reason if isinstance(finish_reason, str) else "",
        prompt_tokens=count_of(usage, "prompt_tokens"),
        image_tokens=count_of(entry(usage, "prompt_tokens_details"), "image_tokens"),
        completion_tokens=count_of(usage, "completion_tokens"),
        probabilities=value_probabilities(content, entry(choice.get("logprobs"), "content")),
    )


def parse_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str = ""
) -> ChatAnswer | FailedAttempt:
    """Return the answer that a whole HTTP response holds, or how the attempt failed.

    `key` is kept out of every message.
    """
    if status != 200:
        return failed_response(status, headers, body, key)
    answer = parse_completion(headers.get("Content-Type", ""), body, key)
    return FailedAttempt(answer) if isinstance(answer, Failure) else answer


def not_completion(problem: str, key: str) -> Failure:
    """Return the Failure of a response that came but is not a chat completion."""
    return Failure("model-error", redact(f"the response is not a chat completion: {problem}", key))
