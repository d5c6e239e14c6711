"""Responses of OpenAI-compatible servers as bytes: what they say, and why there is no answer.
Nothing here touches the network.

Nothing in a response is trusted, and neither the key nor an image's data gets into a message:
messages end up in tables and logs.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from schemas.secrets import MIN_CHARS, masked
from schemas.texts import one_line
from transforms.models.contract import MAX_MESSAGE_CHARS
from transforms.models.http.errors import error_words
from transforms.models.metering import Size, Stated

QUOTE_CHARS = 200
# A count of tokens beyond any that a server keeps.
MOST_TOKENS = 2**53
MAX_DIGITS = 18
# Bodies of errors that are longer are not searched for what they say of tokens.
MAX_ERROR_BYTES = 2**20
_RANGE = re.compile(r"bytes 0-(?P<last>\d+)/(?P<size>\d+|\*)")
# An image's data, as a server may echo it: the whole URL, or a piece of the base64 text.
_PICTURE_DATA = re.compile(r"data:image/[^\s\"'<>]*|[A-Za-z0-9+/\\=]{64,}")


def quoted(body: bytes, key: str = "") -> str:
    """Return the start of a response's body, or the message in it, for people and without data of
    images.
    """
    text = body.decode("utf-8", "replace")
    with suppress(orjson.JSONDecodeError):
        text = error_words(parsed_json(body)) or text
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
    r"""Return the text as one line for people, without control characters and without secrets, the
    key first of all.

    >>> redact("no such key:\n sk-1", "sk-1")
    'no such key: [key]'
    """
    if key:
        text = text.replace(key, "[key]")
    # A server may answer with megabytes.
    return one_line(masked(text[: 100 * max_chars]), max_chars, " ...", invisible="spaces")


def without_key(body: bytes, key: str) -> bytes:
    """Return what a server answered without the key, which it may repeat: nothing that is kept,
    a filled value least of all, holds it. A key too short to be a secret may be a word.

    >>> without_key(b'{"brand": "sk-12345678"}', "sk-12345678")
    b'{"brand": "[key]"}'
    """
    return body.replace(key.encode(), b"[key]") if len(key) >= MIN_CHARS else body


def parsed_json(body: bytes) -> Any:
    """Return what a response holds as JSON; NaN and infinities, which some servers write among
    their numbers, are None, and a mark at the beginning is passed over.

    Raises orjson.JSONDecodeError, a ValueError.

    >>> parsed_json(b'{"logprob": -Infinity}')
    {'logprob': None}
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Such a number may stand where nobody looks, beside a right answer.
        try:
            return _LENIENT.decode(body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise error from None


def _number(digits: str) -> int | float:
    # Python refuses to read thousands of digits, and orjson what no float can hold.
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


_LENIENT = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_number)


def entry(document: Any, name: str) -> Any:
    """Return a key of a JSON object; None where there is none, or no object."""
    return document.get(name) if isinstance(document, dict) else None


def count_of(document: Any, *names: str) -> int:
    """Return a number of tokens that a response states by the first of these names that has one; 0
    where none has.

    >>> count_of({"prompt_tokens": 0, "input_tokens": 12.0}, "prompt_tokens", "input_tokens")
    12
    """
    for name in names:
        value = entry(document, name)
        # Some languages have no whole numbers. `type`, because True is an int too.
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int and 0 < value <= MOST_TOKENS:
            return value
    return 0


def stated_in(response: bytes | Mapping[str, Any], written: Size | None = None) -> Stated:
    """Return what a response says that it took, by OpenAI's names and those of its newer API.

    response: its body or the object in it; written: the size of the answer.
    """
    document: Any = response
    if isinstance(response, bytes):
        document = None
        if len(response) <= MAX_ERROR_BYTES and b'"usage"' in response:
            with suppress(orjson.JSONDecodeError):
                document = parsed_json(response)
    usage = entry(document, "usage")
    prompt = count_of(usage, "prompt_tokens", "input_tokens")
    completion = count_of(usage, "completion_tokens", "output_tokens")
    if prompt:
        # Gemini counts thoughts in the total only.
        completion = max(completion, count_of(usage, "total_tokens") - prompt)
    details = entry(usage, "prompt_tokens_details") or entry(usage, "input_tokens_details")
    return Stated(prompt, count_of(details, "image_tokens"), completion, written)


def error_code(body: bytes) -> int:
    """Return the status that an error in the response of a success stands for; 0 where there is no
    error, or a choice beside it.

    >>> error_code(b'{"error": {"message": "slow down", "code": 429}}')
    429
    """
    if len(body) > MAX_ERROR_BYTES or b'"error"' not in body:
        return 0
    try:
        document = parsed_json(body)
    except orjson.JSONDecodeError:
        return 0
    error = entry(document, "error")
    if not error or entry(document, "choices"):
        return 0
    for name in ("code", "status", "status_code"):
        code = entry(error, name)
        code = int(code) if isinstance(code, str) and code.isascii() and code.isdigit() else code
        if type(code) is int and 400 <= code <= 599:
            return code
    return 500


def is_success(status: int) -> bool:
    """Tell whether a status says that what was asked for has come.

    >>> is_success(201), is_success(304)
    (True, False)
    """
    return 200 <= status < 300


def incomplete(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Say why the response of a success cannot hold a whole answer; "" where it can: then its JSON
    tells.
    """
    if not body.strip():
        return f"HTTP {status} without a body"
    content_range = headers.get("Content-Range", "")
    if status != 206 or not content_range:
        return ""
    found = _RANGE.fullmatch(content_range.strip())
    if found is not None and found["size"] in (str(int(found["last"]) + 1), "*"):
        return ""
    return f"HTTP 206 with a part of the answer (Content-Range {content_range[:40]!r})"
