"""What servers said most, in words that can be counted, and the option that may help. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from transforms.models.http.servers.refusals import REFUSING, Refusal

# Of the words of one failure; the rest of a long message rarely tells failures apart.
MOST_CHARS = 240
# Kept of a run, and shown of these.
MOST_KEPT, MOST_SHOWN = 40, 3
OTHER = "other words"
_ATTEMPTS = re.compile(r"^after \d+ attempts: ")
# What differs from request to request: ids, large numbers, times, what was sent. A status, a port
# or the name of a model does not.
_VARYING = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(req|request|chatcmpl|call|resp|gen|trace)[-_][\w-]{6,}\b"
    r"|\b(?=[a-zA-Z_]*\d\w*\d\w*\d)[A-Za-z0-9_]{16,}\b|(?<![\d.:/-])\d{4,}(?![\d.])"
    r"|\b\d+\.\d+ ?(ms|s)\b|(?<=')[^']{40,}(?=')|(?<=\")[^\"]{40,}(?=\")"
)
_STATUS = re.compile(r"\bHTTP (\d{3})\b")
# What helps where a refusal names a capability, as it is written on the command line.
_BY_CAPABILITY: Mapping[str, str] = {
    "temperature": "give --server-takes temperature=no",
    "seed_field": "give --server-takes seed_field=none",
    "logprobs": "give --no-logprobs",
    "length_field": "give --server-takes length_field=max_completion_tokens (or max_tokens)",
    "system_role": "give --server-takes system_role=user",
    "response_format": "give --server-takes response_format=json_object (or none)",
    "thinking_switch": "give --server-takes thinking_switch=none",
    "pictures": "give --max-pictures 0 to ask about texts alone",
}
_KEYWORDS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minimum", "maximum"}
    | {"multipleOf", "pattern", "enum"}
)
# In this order: the first that fits says what to do.
_BY_WORDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (
            r"context (length|window)|maximum context|too many tokens|prompt is too long"
            r"|input is too long|max_model_len",
            "lower --describe-image-px or --max-pictures, or give the server a longer context",
        ),
        (r"HTTP 413|(entity|payload|body) too large", "lower --describe-image-px"),
        (r"certificate", "name the certificate of its authority, --ca-file"),
        (r"proxy", "look at --proxy"),
        (
            r"HTTP 3\d\d|content type text/html|<html|not found|HTTP 404",
            "look whether --endpoint is the server's base URL, up to and with /v1",
        ),
        (
            r"content[ _]?(filter|policy|management)|moderat|flagged|safety|choices: \[\]",
            "the service withholds these items by its own rules; no option changes that",
        ),
    )
)
_BY_REASON: Mapping[str, str] = {
    "model-busy": "set --requests-per-min and --tokens-per-min to what it allows, or lower "
    "--max-inflight; a higher --busy-secs waits for longer",
    "model-timeout": "raise --request-timeout-secs, or lower --max-inflight",
    "model-error": "look at the server's log; a higher --max-retries asks more often",
    "model-unavailable": "look at the server; a higher --give-up-secs waits for longer",
    "answer-truncated": "raise --max-answer-tokens, or give --thinking off",
    "answer-empty": "give --thinking off, or raise --max-answer-tokens",
    "answer-malformed": "give --server-takes schema_in_prompt=yes",
    "answer-off-schema": "give --server-takes schema_in_prompt=yes",
}


def words_of(reason: str, message: str) -> str:
    """Return a failure's reason and words, without what differs from request to request.

    >>> words_of("model-refused", "after 2 attempts: HTTP 400: no, request req_0123456789abc")
    'model-refused: HTTP 400: no, request …'
    """
    said = _VARYING.sub("…", _ATTEMPTS.sub("", message))
    return f"{reason}: {said}"[:MOST_CHARS].rstrip(": ")


def remedy_for(words: str) -> str:
    """Return what to set where many items fail with these words of `words_of`; empty where nobody
    knows.

    >>> remedy_for("model-refused: HTTP 400: Unknown name 'seed'")
    'give --server-takes seed_field=none'
    """
    reason, _, said = words.partition(": ")
    if status := _STATUS.search(said):
        found = next(_named(Refusal(int(status[1]), (), said)), "")
        if found:
            return found
    for pattern, advice in _BY_WORDS:
        if pattern.search(said):
            return advice
    return _BY_REASON.get(reason, "")


def _named(refusal: Refusal) -> Iterator[str]:
    """Yield what to set for each capability that a refusal names."""
    if refusal.status not in REFUSING or refusal.is_about_something_else:
        return
    keywords = sorted(refusal.keywords(_KEYWORDS))
    if keywords:
        yield f"give --server-takes schema_without={','.join(keywords)}"
    for name, advice in _BY_CAPABILITY.items():
        if refusal.names(name) and (name != "pictures" or refusal.sees_nothing):
            yield advice


def commonest(counts: Mapping[str, int], most: int = MOST_KEPT) -> dict[str, int]:
    """Return the `most` commonest words, with the others together as OTHER, so that their number
    stays bounded whatever servers say.

    >>> commonest({"a": 1, "b": 3, "c": 2}, 1)
    {'b': 3, 'other words': 3}
    """
    named = {words: count for words, count in counts.items() if words != OTHER}
    ranked = sorted(named.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in ranked[most:]) + counts.get(OTHER, 0)
    return dict(ranked[:most]) | ({OTHER: rest} if rest else {})


def told(counts: Mapping[str, int], items: int) -> list[str]:
    """Return a line for each of the commonest words: how many of the items asked about failed so,
    the words, and what may help.
    """
    shown = [each for each in commonest(counts).items() if each[0] != OTHER][:MOST_SHOWN]
    return [
        f"{count:,} of {items:,} items: {words}" + (f"; {advice}" if advice else "")
        for words, count in shown
        for advice in (remedy_for(words),)
    ]
