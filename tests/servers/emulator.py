"""What all emulators share: a server with its own path, key, errors and rules, and a model that is honest.

The model behind an emulator answers as its server makes it: by the schema where the server holds it to one, by a
schema that it finds in the prompt, and else in prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from aiohttp import web

from tests.chat_server import (
    ChatServer,
    answer_for,
    completion,
    instance,
    picture_count,
    subject,
    user_text,
)

COMPLAINT = "this one is not liked"
_QUOTED = r'((?:"[^"]+"(?:, )?)+)'
PROSE = "Sure! Here is what I see: a shirt."
# Keywords of JSON Schema that bound a length or a size.
BOUNDS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "multipleOf")


class Emulator(ChatServer):
    """`with Emulator() as server:` serves at `server.url`; a marker in the text still has its way (tests.chat_server).

    name: of the row in the table of servers; base: of the URL; model: that it serves, as its `/models` lists it.
    refused: answers that it gave with an error.
    """

    name: ClassVar[str]
    base: ClassVar[str] = "/v1"
    model: ClassVar[str] = "tiny"
    lists_models: ClassVar[bool] = True

    refused = 0

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post(f"{self.base}/chat/completions", self.respond)
        if self.lists_models:
            app.router.add_get(f"{self.base}/models", self.models)
        await self.serve(app)
        self.url = self.url.removesuffix("/v1") + self.base

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": self.model, "object": "model"}]}
        )

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        if name == "complain":
            return self.complaint(COMPLAINT)
        if name != "ok":
            return await super().behave(name, request, body)
        refusal = self.refusal(request, body)
        if refusal is not None:
            self.refused += 1
            return refusal
        return web.json_response(self.answer(body))

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """What it answers instead, where it does not take the request."""
        return None

    def complaint(self, message: str) -> web.Response:
        """An error about one request, as this server writes errors."""
        return openai_error(message)

    def answer(self, body: dict[str, Any]) -> Any:
        """The document that it answers with."""
        return completion(body, self.content(body))

    def content(self, body: dict[str, Any]) -> str:
        """What the model writes."""
        return obedient(body)


def obedient(body: Mapping[str, Any]) -> str:
    """The answer of a model that is held to the schema of `response_format`, where there is one."""
    kind = (body.get("response_format") or {}).get("type")
    if kind != "json_schema":
        return by_prompt(body)
    answer = answer_for(body)
    for name, about in schema_of(body).get("properties", {}).items():
        if '"enum"' not in json.dumps(about) and name.endswith((".confidence", ".seen")):
            answer[name] = "certain" if name.endswith(".confidence") else "title"
        # Where a schema does not list the values, the prompt does.
        listed = re.search(
            rf'"{re.escape(name)}": [^"\n]*?(?:One|up to \d+) of {_QUOTED}', user_text(body)
        )
        if listed and '"enum"' not in json.dumps(about):
            offered = {"enum": re.findall(r'"([^"]+)"', listed[1])}
            is_list = about.get("type") == "array"
            filled = {"type": "array", "items": offered} if is_list else offered
            answer[name] = instance(filled, subject(user_text(body)), f"/{name}")
    return json.dumps(answer)


def by_prompt(body: Mapping[str, Any]) -> str:
    """The answer of a model that nobody holds to anything: by a schema in the prompt, else prose."""
    schema = next(_schemas(body), None)
    return PROSE if schema is None else json.dumps(instance(schema, subject(user_text(body))))


def _schemas(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in body["messages"]:
        content = message["content"]
        parts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        for text in parts:
            yield from _schemas_in(text)


def _schemas_in(text: str) -> Iterator[Mapping[str, Any]]:
    position = text.find("{")
    while position >= 0:
        try:
            found, position = json.JSONDecoder().raw_decode(text, position)
        except ValueError:
            position += 1
        else:
            if isinstance(found, dict) and "properties" in found:
                yield found
        position = text.find("{", position)


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a request asks to be held to; {} where there is none."""
    form = (body.get("response_format") or {}).get("json_schema") or {}
    schema: Mapping[str, Any] = form.get("schema") or {}
    return schema


def keywords_of(schema: Any) -> set[str]:
    """The keywords of a schema, at any depth; names of properties are none."""
    if isinstance(schema, list):
        return set().union(*map(keywords_of, schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, value in schema.items():
        found |= keywords_of(list(value.values()) if key == "properties" else value)
    return found


def bound_in(schema: Mapping[str, Any], keywords: tuple[str, ...]) -> tuple[str, str] | None:
    """The first property that uses one of the keywords, and which."""
    for name, about in schema.get("properties", {}).items():
        for keyword in keywords:
            if keyword in keywords_of(about):
                return name, keyword
    return None


def listed_values(schema: Mapping[str, Any]) -> int:
    """How many values all lists of a schema have together."""
    if not schema:
        return 0
    inner = [*schema.get("properties", {}).values(), schema.get("items", {})]
    return len(schema.get("enum", ())) + sum(map(listed_values, inner))


def openai_error(
    message: str, param: str | None = None, code: str | None = None, status: int = 400
) -> web.Response:
    """An error as OpenAI writes it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return web.json_response({"error": error}, status=status)


def schema_error(problem: str) -> web.Response:
    """An error about a schema as OpenAI writes it."""
    message = f"Invalid schema for response_format 'answer': {problem}"
    return openai_error(message, "response_format")


def pictures_in(body: Mapping[str, Any]) -> int:
    """How many pictures a request shows."""
    return picture_count(body)
