"""OpenAI-compatible chat completions as bytes: ChatRequest → body, response → ChatAnswer or why
there is none. Nothing here touches the network.

Nothing in a response is trusted, and neither the key nor an image's data gets into a message:
messages end up in tables and logs.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from schemas.texts import one_line
from transforms.models.chat import SEED, ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import MAX_MESSAGE_CHARS, Failure
from transforms.models.logprobs import value_probabilities

# A server may ask for hours; after this time it is asked again all the same.
RETRY_AFTER_CAP_SECS = 60.0
QUOTE_CHARS = 200
# An image's data, as a server may echo it: the whole URL, or a piece of the base64 text.
_PICTURE_DATA = re.compile(r"data:image/[^\s\"'<>]*|[A-Za-z0-9+/\\=]{64,}")


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Why an attempt brought no answer.

    retry: whether sending again may help; after_secs: the server's wish, from now.
    alive: the server answered, if not as hoped; unreachable: there was no connection.
    unauthorized: HTTP 401 or 403, else 0.
    """

    failure: Failure
    retry: bool = True
    alive: bool = False
    unreachable: bool = False
    unauthorized: int = 0
    after_secs: float = 0.0


def request_body(request: ChatRequest, options: ChatOptions) -> bytes:
    """Return the JSON body of one chat completion.

    Reads the request's images and raises whatever that raises.
    """
    content: Any = request.text
    if request.pictures:
        # Servers for text alone accept only a string as a turn's content, so it is a list only
        # where there are images.
        pictures = [
            {"type": "image_url", "image_url": {"url": _data_url(p.read())}}
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
    # Proxies and captive portals answer 200 with a page of HTML.
    mime = content_type.partition(";")[0].strip().lower()
    if mime != "application/json" and not mime.endswith("+json"):
        return not_completion(f"content type {mime or 'none'}: {quoted(body, key)}", key)
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
        prompt_tokens=_count(usage, "prompt_tokens"),
        image_tokens=_count(_entry(usage, "prompt_tokens_details"), "image_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        probabilities=value_probabilities(content, _entry(choice.get("logprobs"), "content")),
    )


def parse_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str = ""
) -> ChatAnswer | FailedAttempt:
    """Return the answer that a whole HTTP response holds, or how the attempt failed.

    `key` is kept out of every message.
    """
    if status == 200:
        answer = parse_completion(headers.get("Content-Type", ""), body, key)
        return FailedAttempt(answer) if isinstance(answer, Failure) else answer
    if status in (401, 403):
        # The body is not quoted: this is where servers repeat keys.
        return FailedAttempt(
            Failure("model-refused", f"HTTP {status}"), retry=False, alive=True, unauthorized=status
        )
    message = redact(f"HTTP {status}: {quoted(body, key)}", key)
    if 300 <= status < 400:
        # Following would send the key and the catalog to a server that nobody chose.
        target = headers.get("Location", "")[:QUOTE_CHARS]
        message = redact(
            f"HTTP {status} leads to {target!r}, which is not followed; name the server itself", key
        )
        return FailedAttempt(Failure("model-error", message), retry=False)
    after_secs = retry_after_secs(headers.get("Retry-After", ""), datetime.now(UTC))
    if status == 429:
        return FailedAttempt(Failure("model-busy", message), alive=True, after_secs=after_secs)
    if 400 <= status < 500:
        return FailedAttempt(Failure("model-refused", message), retry=False, alive=True)
    return FailedAttempt(Failure("model-error", message), after_secs=after_secs)


def retry_after_secs(value: str, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or an HTTP date, between 0
    and RETRY_AFTER_CAP_SECS.

    >>> retry_after_secs("7", datetime(2026, 1, 1, tzinfo=UTC))
    7.0
    >>> retry_after_secs("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    >>> retry_after_secs("soon", datetime(2026, 1, 1, tzinfo=UTC))
    0.0
    """
    value = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
        return min(float(value), RETRY_AFTER_CAP_SECS)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return 0.0
    secs = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(secs, 0.0), RETRY_AFTER_CAP_SECS)


def quoted(body: bytes, key: str = "") -> str:
    """Return the start of a response's body, or the message of its error object, for people and
    without data of images.
    """
    text = body.decode("utf-8", "replace")
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
        for message in (_entry(_entry(document, "error"), "message"), _entry(document, "message")):
            if isinstance(message, str):
                text = message
                break
    # Long texts are shortened first, but not so that a part of the key is left over.
    text = (text.replace(key, "[key]") if key else text)[: 100 * QUOTE_CHARS]
    return redact(_PICTURE_DATA.sub("[data]", text), key, QUOTE_CHARS) or "nothing"


def redact(text: str, key: str = "", max_chars: int = MAX_MESSAGE_CHARS) -> str:
    r"""Return the text as one line for people, without control characters and without the key.

    >>> redact("no such key:\n sk-1", "sk-1")
    'no such key: [key]'
    """
    if key:
        text = text.replace(key, "[key]")
    # A server may answer with megabytes.
    return one_line(text[: 100 * max_chars], max_chars, " ...", invisible="spaces")


def _data_url(jpeg: bytes) -> orjson.Fragment:
    # A fragment goes into the body as it is: base64 needs no escaping.
    return orjson.Fragment(b'"data:image/jpeg;base64,%b"' % b2a_base64(jpeg, newline=False))


def not_completion(problem: str, key: str) -> Failure:
    """Return the Failure of a response that came but is not a chat completion."""
    return Failure("model-error", redact(f"the response is not a chat completion: {problem}", key))


def _entry(document: Any, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None


def _count(document: Any, name: str) -> int:
    value = _entry(document, name)
    # `type`, because True is an int too. Anything larger is not a count of one answer's tokens.
    return value if type(value) is int and 0 <= value < 2**31 else 0
