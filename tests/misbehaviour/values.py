"""Models whose answer is right but for single values, or right in another form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.chat_server import answer_for, completion
from tests.misbehaviour.contract import USED, Behaviour, sends
from tests.servers.emulator import schema_of

Answer = dict[str, Any]
LOST = "answer-off-schema"


def _kinds(about: Any) -> str:
    """What a property's schema allows, as text: kinds and keywords at any depth."""
    return json.dumps(about)


def _first(body: Mapping[str, Any], *words: str) -> str:
    """The first value whose schema has all these words."""
    for name, about in schema_of(body).get("properties", {}).items():
        if "." not in name and all(f'"{word}"' in _kinds(about) for word in words):
            return str(name)
    return ""


def _listed(body: Mapping[str, Any]) -> list[str]:
    """The values that are chosen from a list."""
    properties = schema_of(body).get("properties", {})
    return [name for name, about in properties.items() if '"enum"' in _kinds(about)]


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_each_text(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _written(change: Callable[[Mapping[str, Any], Answer], Any]) -> Callable[[Answer], Answer]:
    """A completion with what `change` makes of the right answer: a text as it is, else as JSON."""

    def make(body: Answer) -> Answer:
        made = change(body, answer_for(body))
        return completion(body, made if isinstance(made, str) else json.dumps(made))

    return make


def _otherwise(
    change: Callable[[str], str],
) -> Callable[[Mapping[str, Any], Answer], Answer]:
    """All listed values written otherwise."""
    return lambda body, right: (
        right | {name: _each_text(right[name], change) for name in _listed(body) if "." not in name}
    )


def _put(value: Any, *words: str) -> Callable[[Mapping[str, Any], Answer], Answer]:
    """Another value for the first that may be such; the answer as it is where there is none."""

    def change(body: Mapping[str, Any], right: Answer) -> Answer:
        name = _first(body, *words)
        return right | {name: value} if name else right

    return change


def _without(*words: str) -> Callable[[Mapping[str, Any], Answer], Answer]:
    def change(body: Mapping[str, Any], right: Answer) -> Answer:
        name = _first(body, *words)
        return {key: value for key, value in right.items() if key != name}

    return change


def _twice(second: Any) -> Callable[[Mapping[str, Any], Answer], str]:
    """The first listed value twice: the right one, then `second`, or the right one again."""

    def change(body: Mapping[str, Any], right: Answer) -> str:
        name = _first(body, "enum")
        again = json.dumps({name: right.get(name) if second is None else second})
        return f"{json.dumps(right)[:-1]}, {again[1:-1]}}}" if name else json.dumps(right)

    return change


def _behaviour(comes_to: str, does: str, change: Callable[..., Any]) -> Behaviour:
    return Behaviour(comes_to, does, sends(_written(change)))


# Comes to: USED, or the reason of the value alone; the others of its item are kept.
BEHAVIOURS: dict[str, Behaviour] = {
    "values-in-capitals": _behaviour(
        USED, "writes listed values in capitals", _otherwise(str.upper)
    ),
    "values-with-blanks": _behaviour(
        USED, "writes blanks around listed values", _otherwise(lambda text: f" {text} ")
    ),
    "key-too-many": _behaviour(
        USED, "adds a key that nobody asked for", lambda body, right: right | {"mood": "good"}
    ),
    "keys-twice": _behaviour(USED, "writes a key twice, with the same value", _twice(None)),
    "keys-twice-otherwise": _behaviour(
        LOST, "writes a key twice, with different values", _twice("Mauve")
    ),
    "value-unlisted": _behaviour(
        LOST, "gives a value that is not listed", _put("Mauve", "enum", "string")
    ),
    "value-of-wrong-type": _behaviour(
        LOST, "gives words where a number is asked for", _put("rather heavy", "pattern")
    ),
    "value-out-of-range": _behaviour(
        LOST, "gives a number beyond what is allowed", _put("123456789", "pattern")
    ),
    "value-too-long": _behaviour(
        LOST, "gives a text of 10,000 characters", _put("x" * 10_000, "maxLength")
    ),
    "value-missing": _behaviour(LOST, "leaves out a value", _without("enum")),
    "value-null": _behaviour(USED, "gives null where it does not know", _put(None, "pattern")),
}
