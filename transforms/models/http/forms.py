"""A ChatRequest as the JSON of one chat completion, in the form that a server and its model take.

What is asked is the request's; how it is written follows from Capabilities. What a server is not
held to by a schema is checked after the answer, whatever the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from transforms.models.chat import SEED, ChatRequest
from transforms.models.http.messages import data_url
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
    schema = sent_schema(request.schema, takes)
    body: dict[str, Any] = {"model": model, "messages": _messages(request, schema, takes)}
    body |= _response_format(schema, takes.response_format)
    body[takes.length_field] = request.max_tokens
    if takes.temperature:
        body["temperature"] = request.temperature
    if takes.seed_field != "none":
        body[takes.seed_field] = SEED
    if takes.logprobs:
        body["logprobs"] = True
    uses = frozenset(_uses(request, schema, takes))
    if thoughtless and takes.thinking_switch != "none":
        body |= _THOUGHTLESS[takes.thinking_switch]
        uses |= {"thinking_switch"}
    form = Form(takes, uses, frozenset(request.schema.get("required", ())))
    return orjson.dumps(body | dict(further or {})), form


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


def _messages(
    request: ChatRequest, schema: Mapping[str, Any], takes: Capabilities
) -> list[dict[str, Any]]:
    system, text = request.system, request.text
    if takes.prompts_schema:
        text += "\n\n" + _BY_SCHEMA.format(schema=orjson.dumps(schema).decode())
    if takes.system_role == "user" and system:
        system, text = "", f"{system}\n\n{text}"
    content: Any = text
    if request.pictures:
        # Servers for text alone accept only a string as a turn's content, so it is a list only
        # where there are images.
        content = [
            {"type": "image_url", "image_url": {"url": data_url(p.read())}}
            for p in request.pictures
        ]
        content.append({"type": "text", "text": text})
    user = {"role": "user", "content": content}
    # Some chat templates refuse a system turn, so an empty one is not sent.
    return [{"role": takes.system_role, "content": system}, user] if system else [user]


def _response_format(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind == "none":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if kind == "value":
        return {"response_format": {"type": "json_object", "value": schema}}
    strict = {"strict": True} if kind == "strict" else {}
    form = {"name": "answer", "schema": schema, **strict}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _uses(request: ChatRequest, schema: Mapping[str, Any], takes: Capabilities) -> list[str]:
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
        uses += [KEYWORD + keyword for keyword in _keywords(schema) - _ALWAYS]
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
