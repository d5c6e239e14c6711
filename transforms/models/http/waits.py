"""How long a server asks to be left alone, wherever and however it says so. Pure.

A busy server says it by one of some ten headers, or in words of its body, as seconds, milliseconds,
a date, a moment since 1970, or `6m0s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

# A server may ask for hours; after this time it is asked again all the same.
LONGEST_WAIT_SECS = 60.0
# In this order; LiteLLM passes on what its own upstream said under other names.
_HEADERS = (
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "retry-after",
    "llm_provider-retry-after-ms",
    "llm_provider-retry-after",
    "x-retry-after",
)
_RESET = "x-ratelimit-reset-"
_REMAINING = "x-ratelimit-remaining-"
# Keys of a body whose value is a time to wait (Google, LiteLLM, OpenRouter, Azure).
_KEYS = frozenset({"retrydelay", "retry_after", "retry-after", "retryafter", "retry_after_seconds"})
_IN_WORDS = re.compile(
    r"(?:try again|retry(?:ing)?|wait)[^\d\n]{0,40}?"
    r"((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h(?:ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
    r"(?![a-z])\s*)+)",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|h(?:ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?|d)?",
    re.IGNORECASE,
)
_UNIT_SECS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "d": 86_400.0}
# A number above this is a moment since 1970, in seconds; above the next one in milliseconds.
_LEAST_MOMENT, _LEAST_MOMENT_MSECS = 1e9, 1e12
MAX_BODY_BYTES, MAX_DEPTH, MAX_PARTS = 20_000, 6, 32


def wait_secs(headers: Mapping[str, str], body: bytes, now: datetime) -> float:
    """Return the seconds that a busy server asks to be left alone, between 0 and
    LONGEST_WAIT_SECS; 0 where it does not say.

    >>> wait_secs({"retry-after-ms": "1500"}, b"", datetime(2026, 1, 1, tzinfo=UTC))
    1.5
    """
    named = {name.lower(): value for name, value in headers.items()}
    for name in _HEADERS:
        if name in named:
            secs = _secs_of(named[name], now, "ms" if name.endswith("-ms") else "s")
            if secs is not None:
                return _bounded(secs)
    said = list(_said_in(body[:MAX_BODY_BYTES], now))
    return _bounded(max(said or _until_reset(named, now), default=0.0))


def retry_after_secs(value: str, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or an HTTP date, between 0
    and LONGEST_WAIT_SECS.

    >>> retry_after_secs("7", datetime(2026, 1, 1, tzinfo=UTC))
    7.0
    >>> retry_after_secs("Thu, 01 Jan 2026 00:00:30 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    >>> retry_after_secs("soon", datetime(2026, 1, 1, tzinfo=UTC))
    0.0
    """
    return _bounded(_secs_of(value, now) or 0.0)


def _bounded(secs: float) -> float:
    # NaN is no time either: every comparison with it is false.
    return min(secs, LONGEST_WAIT_SECS) if secs > 0 else 0.0


def _until_reset(named: Mapping[str, str], now: datetime) -> list[float]:
    """Return how long each limit takes that is used up; all of them where none says that it is."""
    found = {
        name.removeprefix(_RESET): secs
        for name, value in named.items()
        if name.startswith(_RESET) and (secs := _secs_of(value, now)) is not None
    }
    used_up = [
        secs for kind, secs in found.items() if named.get(_REMAINING + kind, "").strip() == "0"
    ]
    told = any(_REMAINING + kind in named for kind in found)
    return used_up if told else list(found.values())


def _secs_of(value: str, now: datetime, unit: str = "s") -> float | None:
    """Return what a text says: a duration, a date or a moment; None where it says none of them."""
    value = value.strip()[:60]
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value, re.ASCII):
        number = float(value)
        if unit == "s" and number >= _LEAST_MOMENT:
            moment = number / 1000 if number >= _LEAST_MOMENT_MSECS else number
            return moment - now.timestamp()
        return number * _UNIT_SECS[unit]
    if (duration := _duration(value)) is not None:
        return duration
    try:
        moment_of = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        moment_of = None
    if moment_of is None:
        with suppress(ValueError):
            moment_of = datetime.fromisoformat(value)
    if moment_of is None:
        # More digits than a number of seconds has are a very long time.
        return LONGEST_WAIT_SECS if re.fullmatch(r"\d{16,}", value, re.ASCII) else None
    return (moment_of.replace(tzinfo=moment_of.tzinfo or UTC) - now).total_seconds()


def _duration(text: str) -> float | None:
    """Return the seconds of `6m0s`, `120ms` or `1.5 seconds`."""
    secs, end = 0.0, 0
    for part in _PART.finditer(text):
        if text[end : part.start()].strip() or not part[2]:
            return None
        unit = part[2].lower()
        unit = "ms" if unit in ("ms", "millisecond", "milliseconds") else unit[0]
        secs, end = secs + float(part[1]) * _UNIT_SECS[unit], part.end()
    return secs if end == len(text) and end else None


def _said_in(body: bytes, now: datetime) -> Iterator[float]:
    """Yield the times that an error's body states, by keys or in words."""
    with suppress(orjson.JSONDecodeError):
        yield from _times_of(orjson.loads(body), now, 0)
        return
    yield from _in_words(body.decode("utf-8", "replace"))


def _times_of(document: Any, now: datetime, depth: int) -> Iterator[float]:
    if depth > MAX_DEPTH:
        return
    if isinstance(document, list):
        for each in document[:MAX_PARTS]:
            yield from _times_of(each, now, depth + 1)
    elif isinstance(document, dict):
        for name, value in list(document.items())[:MAX_PARTS]:
            if str(name).lower() in _KEYS and isinstance(value, str | int | float):
                secs = _secs_of(str(value), now)
                yield from () if secs is None else (secs,)
            elif str(name).lower() in (*_HEADERS, "x-ratelimit-reset"):
                secs = _secs_of(str(value), now, "ms" if str(name).lower().endswith("-ms") else "s")
                yield from () if secs is None else (secs,)
            else:
                yield from _times_of(value, now, depth + 1)
    elif isinstance(document, str):
        yield from _in_words(document)


def _in_words(text: str) -> Iterator[float]:
    for found in _IN_WORDS.finditer(text[:MAX_BODY_BYTES]):
        if (secs := _duration(found[1].strip())) is not None:
            yield secs
