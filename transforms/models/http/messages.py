"""Responses of OpenAI-compatible servers as bytes: what they say, and why there is no answer.
Nothing here touches the network.

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
from transforms.models.contract import MAX_MESSAGE_CHARS, Failure

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
    unauthorized: HTTP 401 or 403, else 0. fatal: what to do, where every request must fail so.
    """

    failure: Failure
    retry: bool = True
    alive: bool = False
    unreachable: bool = False
    unauthorized: int = 0
    fatal: str = ""
    after_secs: float = 0.0


def failed_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str = ""
) -> FailedAttempt:
    """Return how an attempt failed whose response has another status than 200.

    `key` is kept out of every message.
    """
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
        for message in (entry(entry(document, "error"), "message"), entry(document, "message")):
            if isinstance(message, str):
                text = message
                break
    # Long texts are shortened first, but not so that a part of the key is left over.
    text = (text.replace(key, "[key]") if key else text)[: 100 * QUOTE_CHARS]
    return redact(_PICTURE_DATA.sub("[data]", text), key, QUOTE_CHARS) or "nothing"


def is_json(content_type: str) -> bool:
    """Tell whether a response says that it is JSON: proxies and captive portals answer 200 with a
    page of HTML.
    """
    mime = content_type.partition(";")[0].strip().lower()
    return mime == "application/json" or mime.endswith("+json")


def data_url(jpeg: bytes) -> orjson.Fragment:
    """Return a JPEG file as a JSON string that holds its data URL."""
    # A fragment goes into the body as it is: base64 needs no escaping.
    return orjson.Fragment(b'"data:image/jpeg;base64,%b"' % b2a_base64(jpeg, newline=False))


def redact(text: str, key: str = "", max_chars: int = MAX_MESSAGE_CHARS) -> str:
    r"""Return the text as one line for people, without control characters and without the key.

    >>> redact("no such key:\n sk-1", "sk-1")
    'no such key: [key]'
    """
    if key:
        text = text.replace(key, "[key]")
    # A server may answer with megabytes.
    return one_line(text[: 100 * max_chars], max_chars, " ...", invisible="spaces")


def entry(document: Any, name: str) -> Any:
    """Return a key of a JSON object; None where there is none, or no object."""
    return document.get(name) if isinstance(document, dict) else None


def count_of(document: Any, name: str) -> int:
    """Return a number of tokens that a response states; 0 where it states none."""
    value = entry(document, name)
    # `type`, because True is an int too. Anything larger is not a count of one answer's tokens.
    return value if type(value) is int and 0 <= value < 2**31 else 0
