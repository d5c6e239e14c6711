"""A ChatRequest as the JSON of one chat completion, in the form that a server and its model take.

What is asked is the request's; how it is written follows from Capabilities. What a server is not
held to by a schema is checked after the answer, whatever the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from transforms.models.chat import SEED, ChatRequest
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.servers.learning import KEYWORD, Form

# Names and types make a schema; without them it says nothing.
_ALWAYS = frozenset({"type", "properties", "required", "items"})
_THOUGHTLESS: Mapping[str, Mapping[str, Any]] = {
    "effort_none": {"reasoning_effort": "none"},
    "effort_minimal": {"reasoning_effort": "minimal"},
    "effort_low": {"reasoning_effort": "low"},
    "chat_template_kwargs": {"chat_template_kwargs": {"enable_thinking": False}},
    "enable_thinking": {"enable_thinking": False},
    "thinking": {"thinking": {"type": "disabled"}},
}
_BY_SCHEMA = (
    "Answer with one JSON object that obeys this JSON Schema, and with nothing else:\n{schema}"
)


def write_request(
    request: ChatRequest,
    model: str,
    takes: Capabilities,
    further: Mapping[str, Any] | None = None,
    *,
    thoughtless: bool = False,
) -> tuple[bytes, Form]:
    """Return the body of one chat completion, and how it is written.

    further: fields of the body that somebody has set, over those that are made here. thoughtless:
    whether thinking is switched off, where there is a switch. Reads the request's images and raises
    whatever that raises.
    """
    schema = _written(orjson.dumps(request.schema), takes)
    rest: dict[str, Any] = _response_format(orjson.Fragment(schema.json), takes.response_format)
    rest[takes.length_field] = request.max_tokens
    if takes.temperature:
        rest["temperature"] = request.temperature
    if takes.seed_field != "none":
        rest[takes.seed_field] = SEED
    if takes.logprobs:
        rest["logprobs"] = True
    uses = frozenset(_uses(request, schema, takes))
    if thoughtless and takes.thinking_switch != "none":
        rest |= _THOUGHTLESS[takes.thinking_switch]
        uses |= {"thinking_switch"}
    form = Form(takes, uses, frozenset(request.schema.get("required", ())))
    rest |= further or {}
    pieces = [orjson.dumps({"model": model})[:-1], b',"messages":[']
    pieces += _messages(request, schema, takes)
    # Joined, not written as one: pictures are most of a body, and need no second look.
    return b"".join([*pieces, b"],", orjson.dumps(rest)[1:]]), form


@dataclass(frozen=True, slots=True)
class _Written:
    """A schema as it is sent, and what a request with it makes use of: its keywords."""

    json: bytes
    uses: tuple[str, ...]


# Of many items the same is asked, and to go through a schema takes longer than to send it.
@lru_cache(maxsize=64)
def _written(schema: bytes, takes: Capabilities) -> _Written:
    sent = sent_schema(orjson.loads(schema), takes)
    return _Written(
        orjson.dumps(sent), tuple(KEYWORD + keyword for keyword in _keywords(sent) - _ALWAYS)
    )


def sent_schema(schema: Mapping[str, Any], takes: Capabilities) -> dict[str, Any]:
    """Return the schema without the keywords that the server does not take, and without its
    longest lists where all of them together hold more values than it takes: the prompt lists them,
    and what is not in them is no value.
    """
    sent: dict[str, Any] = _without(schema, frozenset(takes.schema_without) - _ALWAYS)
    lists = sorted(_lists(sent), key=lambda each: len(each["enum"]))
    while lists and takes.max_values and sum(len(x["enum"]) for x in lists) > takes.max_values:
        del lists.pop()["enum"]
    return sent


def _messages(request: ChatRequest, schema: _Written, takes: Capabilities) -> Iterator[bytes]:
    """Yield the turns as JSON, in pieces."""
    system, text = request.system, request.text
    if takes.prompts_schema:
        text += "\n\n" + _BY_SCHEMA.format(schema=schema.json.decode())
    if takes.system_role == "user" and system:
        system, text = "", f"{system}\n\n{text}"
    # Some chat templates refuse a system turn, so an empty one is not sent.
    if system:
        yield orjson.dumps({"role": takes.system_role, "content": system})
        yield b","
    if not request.pictures:
        yield orjson.dumps({"role": "user", "content": text})
        return
    # Servers for text alone accept only a string as a turn's content, so it is a list only where
    # there are images.
    yield b'{"role":"user","content":['
    for picture in request.pictures:
        # Base64 needs no escaping.
        yield b'{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,'
        yield picture.read_text()
        yield b'"}},'
    yield orjson.dumps({"type": "text", "text": text})
    yield b"]}"


def _response_format(schema: orjson.Fragment, kind: str) -> dict[str, Any]:
    if kind == "none":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if kind == "value":
        return {"response_format": {"type": "json_object", "value": schema}}
    strict = {"strict": True} if kind == "strict" else {}
    form = {"name": "answer", "schema": schema, **strict}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _uses(request: ChatRequest, schema: _Written, takes: Capabilities) -> list[str]:
    """Return what the request makes use of, by the names of capabilities."""
    there = {
        "length_field": True,
        "temperature": takes.temperature,
        "seed_field": takes.seed_field != "none",
        "logprobs": takes.logprobs,
        "response_format": takes.response_format != "none",
        "pictures": bool(request.pictures),
        "system_role": bool(request.system) and takes.system_role != "user",
    }
    uses = [name for name, is_used in there.items() if is_used]
    if there["response_format"] and takes.response_format != "json_object":
        uses += schema.uses
    return uses


def _without(schema: Any, dropped: frozenset[str]) -> Any:
    """Return a schema without keywords, at any depth; names of properties are none."""
    if isinstance(schema, list):
        return [_without(each, dropped) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _without(each, dropped) for name, each in value.items()}
        elif key not in dropped:
            kept[key] = _without(value, dropped)
    return kept


def _lists(schema: Any) -> list[dict[str, Any]]:
    """Return the parts of a schema that list their values."""
    if not isinstance(schema, dict):
        return []
    found = [schema] if "enum" in schema else []
    for part in (*schema.get("properties", {}).values(), schema.get("items")):
        found += _lists(part)
    return found


def _keywords(schema: Any) -> frozenset[str]:
    if isinstance(schema, list):
        return frozenset().union(*map(_keywords, schema))
    if not isinstance(schema, Mapping):
        return frozenset()
    found = frozenset(schema)
    for key, value in schema.items():
        found |= _keywords(list(value.values()) if key == "properties" else value)
    return found
