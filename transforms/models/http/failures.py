"""What a response that is no answer means: for its request, for the others, and for the run. Pure.

Sent again is what is about load, as long as the server is only busy, and what may have been chance.
Its own item costs what a content filter withholds. The run ends where servers agree that no request
can be answered: no credit, no such model, no good key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from transforms.models.contract import Failure
from transforms.models.http.messages import QUOTE_CHARS, quoted, redact, stated_in
from transforms.models.http.servers.refusals import ENDING, SEES_NOTHING
from transforms.models.http.waits import wait_secs
from transforms.models.metering import Stated

# Gateways that gave up waiting: what they asked may have worked, and be charged for.
GAVE_UP_WAITING = frozenset({408, 504, 522, 524})
# About load: 409 and 425 ask to come again, 498 and 529 are the words of Groq and Anthropic.
BUSY = frozenset({409, 425, 429, 498, 503, 529})
# A server that says so is at work: it loads its model.
_LOADING = re.compile(r"\bloading\b|warm(ing)? up|starting up|not (yet )?ready", re.IGNORECASE)
_FILTERED = re.compile(
    r"content[ _]?(filter|policy|management)|responsible ?ai|moderat|flagged|\bsafety\b"
    r"|prompt (was )?blocked|blocked by|data_inspection_failed|inappropriate content",
    re.IGNORECASE,
)
# What to do where a model takes no pictures; there is no other way to ask about them.
NO_PICTURES = (
    "it takes no pictures: give --max-pictures 0 to ask about texts alone, or take a model that "
    "sees pictures, and run again"
)
# Kind of what no request gets past → how servers say it, and what to do.
_ENDS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "credit": (
        ENDING["credit"],
        "its account has no credit or its quota is used up: waiting does not help; top it up or "
        "use another key, and run again",
    ),
    "model": (
        ENDING["model"],
        "it does not know the model: name one of its own (--describe-model, or the encoder's "
        "model) and run again",
    ),
    "key": (ENDING["key"], ""),
    "pictures": (SEES_NOTHING, NO_PICTURES),
    "scheme": (
        re.compile(r"http request (was sent )?to (an )?https (port|server)", re.IGNORECASE),
        "it wants to be asked with TLS: write https:// in its base URL and run again",
    ),
}
_ENDING_STATUSES = {
    401: "key",
    402: "credit",
    403: "key",
    404: "address",
    405: "address",
    407: "proxy",
    410: "address",
}
_ADVICE = {kind: advice for kind, (_, advice) in _ENDS.items()} | {
    "address": "there is nothing at this address: write the server's base URL, up to and with "
    "/v1, and run again",
    "moved": "name the server itself: write its base URL, up to and with /v1, and run again",
    "proxy": "the proxy wants to know who asks: name the variable that holds its URL with user "
    "and password, --proxy env:VARIABLE, and run again",
}
# Says a gateway of what the service behind it answered, which is not its own client's to mend.
_BEHIND = re.compile(r"\blitellm\.\w+Error\b")
_ADVICE_BEHIND = {
    "key": "the service behind this gateway does not accept the key that the gateway has for it: "
    "mend it there, and run again",
    "address": "what this gateway asks for it is not there: mend its entry for this model there, "
    "or name another model (--describe-model), and run again",
}
# Says a gateway for some seconds after a refusal, without asking whom it refused.
_COOLING = re.compile(r"deployments?\b.{0,60}\bin cooldown", re.IGNORECASE)
# Of these, those that services also give for what single requests hold.
_PERHAPS = frozenset({403, 404, 405, 410})
# So many answers in a row, with none between that is better, speak for all that would follow.
AGREEING = 3
# So many where nothing was answered yet: each worker process asks by itself.
AGREEING_AT_FIRST = 2
# A page may be long; what an error says stands at its beginning.
MAX_SEARCHED_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Why an attempt brought no answer.

    retry: whether sending again may help; after_secs: the server's wish, from now. busy: it is
    about load, so that sending again is bounded by time; cooling: a gateway asks nobody for a
    while, because of a refusal before.
    alive: the server answered, if not as hoped; unreachable: there was no connection.
    ends: the kind of what concerns every request, if others meet it too; advice: what to do then;
    sure: nothing else can be meant as long as nothing was answered; by_status: only the status says
    so.
    fatal: what to do, where this attempt alone says that every request must fail so.
    reform: the request has to be made anew, in the form that the server takes, and sent again.
    taken: what it took, as far as it is known, where the server may have worked on it; None where
    it did not, or refused.
    """

    failure: Failure
    retry: bool = True
    busy: bool = False
    cooling: bool = False
    alive: bool = False
    unreachable: bool = False
    ends: str = ""
    sure: bool = False
    by_status: bool = False
    advice: str = ""
    fatal: str = ""
    reform: bool = False
    after_secs: float = 0.0
    taken: Stated | None = None


def failed_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str = ""
) -> FailedAttempt:
    """Return how an attempt failed whose response has a status that is no success, or stands for
    one.

    `key` is kept out of every message.
    """
    # Who refuses says so if it costs something all the same.
    stated = stated_in(body)
    taken = stated if stated.says_something or status in GAVE_UP_WAITING else None
    return replace(_failed_response(status, headers, body, key), taken=taken)


def _failed_response(
    status: int, headers: Mapping[str, str], body: bytes, key: str
) -> FailedAttempt:
    words = body[:MAX_SEARCHED_BYTES].decode("utf-8", "replace")
    if 300 <= status < 400:
        # Following would send the key and the catalog to a server that nobody chose.
        target = headers.get("Location", "")[:QUOTE_CHARS]
        message = f"HTTP {status} leads to {target!r}, which is not followed"
        failure = Failure("model-error", redact(message, key))
        ends = "moved" if target else ""
        return FailedAttempt(
            failure, retry=False, ends=ends, by_status=True, advice=_ADVICE["moved"]
        )
    message = redact(f"HTTP {status}: {quoted(body, key)}", key)
    if 400 <= status < 500 and status not in BUSY and _FILTERED.search(words):
        return FailedAttempt(Failure("model-refused", message), retry=False, alive=True)
    if kind := _kind(status, words):
        if kind == "key":
            # The body is not quoted: this is where servers repeat keys.
            message = f"HTTP {status}"
        advice = _ADVICE[kind]
        if _BEHIND.search(words):
            advice = _ADVICE_BEHIND.get(kind, advice)
        return FailedAttempt(
            Failure("model-refused", message),
            retry=False,
            alive=True,
            ends=kind,
            sure=kind == "key" and status in (401, 403),
            by_status=status in _PERHAPS and not _is_said(kind, words),
            advice=advice,
        )
    return _by_status(status, headers, body, message)


def _is_said(kind: str, words: str) -> bool:
    """Tell whether it is in the words too."""
    return kind in _ENDS and _ENDS[kind][0].search(words) is not None


def _kind(status: int, words: str) -> str:
    """Return the kind of what concerns every request, "" where it may be this one's own."""
    possible = list(_ENDS)
    if status in BUSY:
        possible = ["credit"]
    elif status >= 500:
        # Who fails says many things; what is wrong with a request is said with 4xx, but for these:
        # gateways wrap what their own provider said.
        possible = ["pictures", "credit", "key"]
    for kind in possible:
        if _ENDS[kind][0].search(words):
            return kind
    return _ENDING_STATUSES.get(status, "")


def _by_status(status: int, headers: Mapping[str, str], body: bytes, message: str) -> FailedAttempt:
    if status in BUSY:
        after_secs = wait_secs(headers, body, datetime.now(UTC))
        # Who says when to come again, or that it is loading, is at work.
        alive = status < 500 or after_secs > 0 or bool(_LOADING.search(message))
        reason = "model-busy" if status < 500 else "model-error"
        return FailedAttempt(
            Failure(reason, message),
            busy=True,
            cooling=bool(_COOLING.search(message)),
            alive=alive,
            after_secs=after_secs,
        )
    if status == 408:
        return FailedAttempt(Failure("model-timeout", message))
    if 400 <= status < 500:
        return FailedAttempt(Failure("model-refused", message), retry=False, alive=True)
    return FailedAttempt(
        Failure("model-error", message), after_secs=wait_secs(headers, body, datetime.now(UTC))
    )


class Agreement:
    """Whether refusals agree that no request can be answered: several of one kind in a row, or a
    single one that can mean nothing else.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        # Kind of the last refusal, which a gateway stands by while it cools down.
        self._last = ""
        self._was_answered = False

    def answered(self) -> None:
        """Note that a request was answered: what others met before was their own."""
        self._was_answered = True
        self._counts.clear()

    def reached(self, outcome: FailedAttempt) -> bool:
        """Count a failed attempt; return whether it ends the run."""
        kind = outcome.ends
        if outcome.cooling and not self._was_answered:
            kind = self._last
        if not kind:
            return False
        self._last = kind
        self._counts[kind] += 1
        # A gateway that cools down has no word of its own to end with.
        if outcome.cooling:
            return False
        is_plain = outcome.sure and not self._was_answered
        needed = AGREEING if self._was_answered else AGREEING_AT_FIRST
        return is_plain or self._counts[kind] >= needed
