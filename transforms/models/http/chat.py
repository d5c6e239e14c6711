"""OpenAI-compatible chat completions: ChatRequest → body, response → ChatAnswer or why there is
none.

Nothing in a response is trusted, and neither the key nor an image's data gets into a message:
messages end up in tables and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from transforms.models.chat import REFUSED, ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.calls.clock import Clock
from transforms.models.http.calls.upstream import Upstream
from transforms.models.http.client import ApiClient
from transforms.models.http.connection import Connection, key_headers
from transforms.models.http.failures import (
    AGREEING_AT_FIRST,
    NO_PICTURES,
    FailedAttempt,
    failed_response,
)
from transforms.models.http.forms import write_request
from transforms.models.http.messages import (
    entry,
    error_code,
    incomplete,
    is_json,
    is_success,
    parsed_json,
    quoted,
    redact,
    stated_in,
)
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.servers.learning import Form, Learner
from transforms.models.logprobs import value_probabilities
from transforms.models.metering import Size, Stated, size_of
from transforms.models.tokens import paced_tokens
from transforms.runtime.storage import is_local

# A token with its log-probability is about thirty times as long as the token itself.
RESPONSE_FACTOR = 32
# Requests that go out before one is answered, where it is known how to ask: so many as it takes to
# agree that none will be answered.
KNOWN_AT_ONCE = AGREEING_AT_FIRST


class ChatApi:
    """`POST /chat/completions`, for the model of `options`; the key is kept out of messages.

    learner: what the server accepts; None: what is usual, and nothing is learnt. further: fields of
    each body.
    """

    path = "/chat/completions"
    kept = ": answers so far are kept"

    def __init__(
        self,
        options: ChatOptions,
        key: str = "",
        learner: Learner | None = None,
        further: Mapping[str, Any] | None = None,
    ) -> None:
        self._options, self._key, self._learner = options, key, learner
        self._further = further or {}
        # A server that is known may have no credit, or not the model, all the same.
        self.trials = 0 if learner is None else KNOWN_AT_ONCE if learner.settled else 1
        self._usual = Capabilities(logprobs=options.logprobs)
        # How each request under way was written, by its identity: one request is sent once at a
        # time.
        self._sent: dict[int, Form] = {}

    @property
    def max_response_bytes(self) -> int:
        return RESPONSE_FACTOR * self._options.max_answer_bytes

    def body(self, request: ChatRequest) -> bytes:
        takes = self._usual if self._learner is None else self._learner.takes
        thoughtless = self._learner is not None and self._learner.thoughtless
        body, self._sent[id(request)] = write_request(
            request, self._options.model, takes, self._further, thoughtless=thoughtless
        )
        return body

    def is_near(self, request: ChatRequest) -> bool:
        return all(is_local(picture.path) for picture in request.pictures)

    def tokens(self, request: ChatRequest) -> float:
        return paced_tokens(request)

    def parse(
        self,
        request: ChatRequest,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
    ) -> ChatAnswer | FailedAttempt:
        form = self._sent[id(request)]
        outcome = parse_response(status, headers, body, self._key)
        of_all = isinstance(outcome, FailedAttempt) and bool(outcome.ends)
        again = self._learner is not None and self._learner.heard(form, status, body, of_all=of_all)
        if again and isinstance(outcome, FailedAttempt):
            return replace(outcome, reform=True)
        is_blind = self._learner is not None and self._learner.sees_nothing
        if is_blind and request.pictures and isinstance(outcome, FailedAttempt):
            return replace(outcome, retry=False, fatal=NO_PICTURES)
        if isinstance(outcome, ChatAnswer) or not outcome.retry:
            del self._sent[id(request)]
        if isinstance(outcome, FailedAttempt):
            return outcome
        return outcome.within(self._options.max_answer_bytes)

    def unusable(self, problem: str, *, too_large: bool = False) -> Failure:
        limit = f", {RESPONSE_FACTOR} times --max-answer-bytes" if too_large else ""
        return not_completion(problem + limit, self._key)


class ChatClient(ApiClient[ChatRequest, ChatAnswer]):
    """A client of chat completions; see ApiClient."""

    def __init__(
        self,
        options: ChatOptions,
        upstream: Upstream,
        key: str = "",
        clock: Clock | None = None,
        learner: Learner | None = None,
        connection: Connection | None = None,
    ) -> None:
        connection = connection or Connection(headers=key_headers(key))
        api = ChatApi(options, key, learner, connection.body)
        super().__init__(api, options, upstream, key, clock, connection)


def parse_completion(content_type: str, body: bytes, key: str = "") -> ChatAnswer | Failure:
    """Return the answer in the response of a success, or a Failure: `model-refused` where nothing
    was given for the prompt, else `model-error`.

    Content and finish_reason are passed on as they came.
    """
    try:
        completion = parsed_json(body)
    except orjson.JSONDecodeError as error:
        # Proxies and captive portals answer 200 with a page.
        problem = (
            f"not JSON ({error.msg})"
            if is_json(content_type)
            else f"content type {content_type or 'none'}"
        )
        return not_completion(f"{problem}: {quoted(body, key)}", key)
    choices = entry(completion, "choices")
    if choices == []:
        # Gemini and gateways to it have no choice for a prompt that was blocked.
        message = f"the server gave no answer to this prompt (choices: []): {quoted(body, key)}"
        return Failure("model-refused", redact(message, key))
    choice = choices[0] if isinstance(choices, list) else None
    message = entry(choice, "message")
    if not isinstance(choice, dict) or not isinstance(message, dict) or not message:
        return not_completion(f"no choices[0].message.content: {quoted(body, key)}", key)
    # Some leave out what others send as null.
    message.setdefault("content", None)
    finish_reason = choice.get("finish_reason")
    content, repairs = _said(message)
    if content is None:
        kind = type(message["content"]).__name__
        return not_completion(f"the content is not a text but {kind}", key)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal and not content.strip():
        content, finish_reason = refusal, REFUSED
    stated = stated_in(completion)
    return ChatAnswer(
        content,
        finish_reason if isinstance(finish_reason, str) else "",
        prompt_tokens=stated.prompt_tokens,
        image_tokens=stated.image_tokens,
        completion_tokens=stated.completion_tokens,
        thoughts=_thoughts(message),
        probabilities=value_probabilities(content, entry(choice.get("logprobs"), "content")),
        repairs=repairs if is_json(content_type) else ("content type", *repairs),
    )


def _said(message: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return the text of a message, wherever the server put it, and where that was if not in its
    content; None where the content is no text at all.
    """
    content = message["content"]
    if isinstance(content, list):
        texts = [_part_text(part) for part in content]
        if None in texts:
            return None, ()
        return "".join(text for text in texts if text), ("content parts",)
    # Servers send null for a refusal or an empty answer.
    content = "" if content is None else content
    if not isinstance(content, str):
        return None, ()
    if content.strip():
        return content, ()
    if arguments := _arguments(message):
        return "\n".join(arguments), ("tool call",)
    # A server that parses thoughts, of a model that was not allowed any, puts the answer there.
    for name in ("reasoning_content", "reasoning"):
        thought = message.get(name)
        if isinstance(thought, str) and thought.strip()[:1] + thought.strip()[-1:] == "{}":
            return thought, ("reasoning",)
    return content, ()


def _thoughts(message: Mapping[str, Any]) -> Size:
    """Return the size of what stands beside the content, for which tokens were spent too."""
    thoughts = [message.get(name) for name in ("reasoning_content", "reasoning")]
    if isinstance(message["content"], list):
        thoughts += [
            entry(part, name) for part in message["content"] for name in ("thinking", "reasoning")
        ]
    # A server may write the same under both names.
    return size_of(*dict.fromkeys(thought for thought in thoughts if isinstance(thought, str)))


def _part_text(part: Any) -> str | None:
    """Return the text of a part of a message's content: "" for a thought, None for what is none."""
    if isinstance(part, str):
        return part
    if entry(part, "type") in ("reasoning", "thinking", "redacted_thinking"):
        return ""
    # `output_text` is what OpenAI's newer API calls it.
    text = entry(part, "text")
    return text if isinstance(text, str) else entry(part, "refusal") and ""


def _arguments(message: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a message's tool calls, each once, as texts."""
    calls = message.get("tool_calls")
    functions = [entry(call, "function") for call in calls] if isinstance(calls, list) else []
    found = [entry(f, "arguments") for f in [*functions, message.get("function_call")]]
    texts = [orjson.dumps(a).decode() if isinstance(a, dict) else a for a in found]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))


def parse_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str = ""
) -> ChatAnswer | FailedAttempt:
    """Return the answer that a whole HTTP response holds, or how the attempt failed.

    `key` is kept out of every message.
    """
    if not is_success(status):
        return failed_response(status, headers, body, key)
    if code := error_code(body):
        # Where generation had begun, gateways can say no other way that it failed.
        failed = failed_response(code, headers, body, key)
        return failed if failed.taken else replace(failed, taken=_worked_on(body))
    if problem := incomplete(status, headers, body):
        answer: ChatAnswer | Failure = not_completion(problem, key)
    else:
        answer = parse_completion(headers.get("Content-Type", ""), body, key)
    if isinstance(answer, ChatAnswer):
        return answer
    # The same prompt is blocked again.
    blocked = answer.reason == "model-refused"
    return FailedAttempt(answer, retry=not blocked, alive=blocked, taken=_worked_on(body))


def _worked_on(body: bytes) -> Stated:
    """Return what a response took that is no answer: the model may have worked for it, and what
    came is taken for what it wrote.
    """
    return stated_in(body, Size(len(body), len(body)))


def not_completion(problem: str, key: str) -> Failure:
    """Return the Failure of a response that came but is not a chat completion."""
    return Failure("model-error", redact(f"the response is not a chat completion: {problem}", key))
