"""How a server wants to be asked, learnt by how it answers.

A parameter that a refusal names is renamed or left out and the request is sent again; but never one
that a request was answered with before, for then the refusal is about that request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from transforms.models.answer_text import find_objects
from transforms.models.http.messages import entry
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.servers.refusals import REFUSING, Refusal, read_refusal

# How a keyword of a schema is called among what a request makes use of.
KEYWORD = "keyword "
# Keywords that are refused together: servers name the first that they come upon.
_TOGETHER = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems", "uniqueItems"),
    ("minimum", "maximum", "multipleOf"),
)
_FORMATS = ("strict", "json_object", "none")
_SIMPLE = (
    "temperature",
    "seed_field",
    "logprobs",
    "length_field",
    "system_role",
    "thinking_switch",
)
# Of a refusal that names nothing: what is left out first, what then.
_UNNAMED = (400, 422)
MAX_BLIND_TRIALS = 2


@dataclass(frozen=True, slots=True)
class Form:
    """How a request was written.

    takes: what the server was taken to accept; uses: capabilities that the request makes use of,
    and keywords of its schema; required: keys that its answer has to have.
    """

    takes: Capabilities
    uses: frozenset[str]
    required: frozenset[str]


class Learner:
    """What is known of one server and model; safe to use from any thread.

    takes: the form of the next request; sees_nothing: whether it said that it takes no pictures,
    before it took one.

    start: what is known before; fixed: names that are not learnt, since somebody has set them.
    keep: called with the capabilities once a request was answered that rests on what was learnt.
    thoughtless: whether thinking is to be switched off; settled: whether requests in this form were
    answered before.
    """

    def __init__(
        self,
        start: Capabilities,
        fixed: Collection[str] = (),
        keep: Callable[[Capabilities], None] = lambda _: None,
        *,
        thoughtless: bool = False,
        settled: bool = False,
    ) -> None:
        self.takes, self.thoughtless, self.settled = start, thoughtless, settled
        self._kept, self._keep = start if settled else None, keep
        self._fixed = frozenset(fixed)
        # Uses that requests were answered with, and values that were refused.
        self._proven: frozenset[str] = frozenset()
        self._refused: set[tuple[str, Any]] = set()
        self._before_blind: Capabilities | None = None
        self._blind_trials = 0
        self._lock = threading.Lock()
        self.sees_nothing = False

    def heard(self, sent: Form, status: int, answer: bytes, *, of_all: bool = False) -> bool:
        """Learn from a whole response; return whether to send the request again in another form.

        of_all: it says what no request gets past, in whatever form: nothing is tried out.
        """
        if status == 200 and sent.uses <= self._proven:
            return False
        if status != 200 and status not in REFUSING:
            return False
        with self._lock:
            if status != 200:
                return self._is_refused(sent, read_refusal(status, answer), of_all=of_all)
            try:
                document = orjson.loads(answer)
            except orjson.JSONDecodeError:
                return False
            return self._is_told(sent, document, answer, of_all=of_all)

    def _is_told(self, sent: Form, document: Any, answer: bytes, *, of_all: bool) -> bool:
        """Learn from a document that came with HTTP 200."""
        choices = entry(document, "choices")
        if isinstance(choices, list):
            # An empty list is a turn that was blocked.
            if choices:
                self._answered(sent, choices[0])
            return False
        error = entry(document, "error")
        if error:
            code = entry(error, "code")
            refusal = read_refusal(code if type(code) is int else 400, answer)
            return self._is_refused(sent, refusal, of_all=of_all)
        if not isinstance(document, dict) or "choices" not in document:
            return False
        # Null: some servers have no other word for a schema that they do not know.
        return self._try(sent, self._other_format(sent, ""))

    def _answered(self, sent: Form, choice: Any) -> None:
        content = entry(entry(choice, "message"), "content")
        obeys = isinstance(content, str) and _has_keys(content, sent.required)
        ignored = (
            "response_format" in sent.uses - self._proven
            and isinstance(content, str)
            and bool(content.strip())
            and entry(choice, "finish_reason") == "stop"
            and not obeys
        )
        proven = sent.uses if obeys else sent.uses - {"response_format"}
        if ignored and not self._is_fixed("schema_in_prompt"):
            self.takes = self.takes.but({"schema_in_prompt": True})
        self._proven |= proven
        if sent.takes == self.takes != self._kept:
            self._kept = self.takes
            self._keep(self.takes)

    def _is_refused(self, sent: Form, refusal: Refusal, *, of_all: bool) -> bool:
        if self._try(sent, dict(self._changes(sent, refusal))):
            return True
        if sent.takes != self.takes and self._names_difference(sent, refusal):
            return True  # another request has found it out meanwhile
        if not of_all and self._is_blind_to(sent, refusal):
            self._before_blind = self._before_blind or self.takes
            if self._try(sent, self._blind_changes(sent)):
                return True
        if "pictures" in sent.uses - self._proven and refusal.sees_nothing:
            self.sees_nothing = True
        if self._before_blind is not None and not self._proven:
            # It was not the form: no other is better.
            self.takes, self._before_blind = self._before_blind, None
            self._blind_trials += 1
        return False

    def _try(self, sent: Form, changes: dict[str, Any]) -> bool:
        """Take over changes, if there are any."""
        if not changes:
            return False
        self._refused |= {
            (name, getattr(sent.takes, name))
            for name in changes
            if name in (*_SIMPLE, "response_format")
        }
        if "schema_without" in changes:
            both = (*self.takes.schema_without, *changes["schema_without"])
            changes["schema_without"] = tuple(dict.fromkeys(both))
        self.takes = self.takes.but(changes)
        return True

    def _changes(self, sent: Form, refusal: Refusal) -> Iterator[tuple[str, Any]]:
        """Yield what a refusal says that has to be otherwise."""
        unproven = sent.uses - self._proven
        used = frozenset(u.removeprefix(KEYWORD) for u in unproven if u.startswith(KEYWORD))
        keywords = frozenset() if self._is_fixed("schema_without") else refusal.keywords(used)
        if refusal.max_values and not self._is_fixed("max_values"):
            if refusal.max_values != sent.takes.max_values:
                yield "max_values", refusal.max_values
        elif keywords:
            yield "schema_without", _with_relatives(keywords)
        elif refusal.gives_no_choices:
            yield from self._other_format(sent, "").items()
        elif refusal.names("response_format"):
            yield from self._other_format(sent, refusal.message).items()
        for name in _SIMPLE:
            if name in unproven and not self._is_fixed(name) and refusal.names(name):
                value = _other_value(name, sent.takes, refusal)
                if (name, value) not in self._refused:
                    yield name, value

    def _other_format(self, sent: Form, message: str) -> dict[str, Any]:
        """Return the next way of giving the schema, nothing where there is none."""
        refused = sent.takes.response_format
        if "response_format" not in sent.uses - self._proven or self._is_fixed("response_format"):
            return {}
        order = list(_FORMATS)
        if "missing field `value`" in message:
            order.insert(1, "value")
        elif "strict" in message:
            order.insert(1, "schema")
        elif "json_schema" in message and "json_object" not in message and refused != "strict":
            order = ["none"]
        for name in order:
            if name != refused and ("response_format", name) not in self._refused:
                return {"response_format": name}
        return {}

    def _is_blind_to(self, sent: Form, refusal: Refusal) -> bool:
        return (
            not self._proven
            and self._blind_trials < MAX_BLIND_TRIALS
            and refusal.status in _UNNAMED
            and not refusal.is_about_something_else
            and not ("pictures" in sent.uses and refusal.names("pictures"))
            and not refusal.sees_nothing
        )

    def _blind_changes(self, sent: Form) -> dict[str, Any]:
        """Return what is tried when a refusal says nothing: first without what is not needed, then
        without a schema.
        """
        keywords = frozenset(u.removeprefix(KEYWORD) for u in sent.uses if u.startswith(KEYWORD))
        bounds = keywords & frozenset().union(*map(frozenset, _TOGETHER))
        spare: dict[str, Any] = {"seed_field": "none", "logprobs": False}
        changes = {
            name: value
            for name, value in spare.items()
            if name in sent.uses and not self._is_fixed(name)
        }
        if bounds and not self._is_fixed("schema_without"):
            changes["schema_without"] = tuple(sorted(bounds))
        return changes or self._other_format(sent, "")

    def _names_difference(self, sent: Form, refusal: Refusal) -> bool:
        differing = sent.takes.differences(self.takes)
        used = frozenset(u.removeprefix(KEYWORD) for u in sent.uses if u.startswith(KEYWORD))
        if "schema_without" in differing and refusal.keywords(used):
            return True
        if "response_format" in differing and refusal.names("response_format"):
            return True
        if "max_values" in differing and refusal.max_values:
            return True
        return any(refusal.names(name) for name in _SIMPLE if name in differing)

    def _is_fixed(self, name: str) -> bool:
        return name in self._fixed


def _other_value(name: str, takes: Capabilities, refusal: Refusal) -> Any:
    """Return what is sent instead of a capability that was refused."""
    if name == "length_field":
        return "max_tokens" if takes.length_field != "max_tokens" else "max_completion_tokens"
    if name == "seed_field":
        return "random_seed" if "random_seed" in refusal.message else "none"
    if name == "thinking_switch":
        efforts = ["effort_none", "effort_minimal", "effort_low"]
        lower = (
            efforts[1 + efforts.index(takes.thinking_switch) :]
            if "effort" in takes.thinking_switch
            else []
        )
        return (*lower, "none")[0]
    return {"system_role": "user"}.get(name, False)


def _with_relatives(keywords: frozenset[str]) -> tuple[str, ...]:
    found = set(keywords)
    for group in _TOGETHER:
        if found & set(group):
            found |= set(group)
    return tuple(sorted(found))


def _has_keys(content: str, required: frozenset[str]) -> bool:
    try:
        found = find_objects(content)
    except (ValueError, RecursionError):
        return False
    return any(isinstance(each.value, dict) and required <= each.value.keys() for each in found)
