"""OpenAI's chat models (gpt-4o, gpt-4.1).

Strict schemas: every property required, no further ones, no `minLength` and `maxLength`, 1,000 listed values.
Sources: the guide "Structured Outputs"; pydantic-ai PR 2420; jina-ai/node-DeepResearch 79.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from tests.servers.emulator import Emulator, bound_in, listed_values, schema_error, schema_of


class OpenAIChat(Emulator):
    name = "openai"
    model = "gpt-4.1-mini"
    max_values: ClassVar[int] = 1_000
    max_properties: ClassVar[int] = 5_000

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        schema = schema_of(body)
        if not schema or not body["response_format"]["json_schema"].get("strict"):
            return None
        properties = schema.get("properties", {})
        if list(properties) != schema.get("required") or schema.get("additionalProperties", True):
            return schema_error("'required' is required to be supplied and to name every key.")
        found = bound_in(schema, ("minLength", "maxLength"))
        if found is not None:
            name, keyword = found
            return schema_error(
                f"In context=('properties', '{name}'), '{keyword}' is not permitted."
            )
        if listed_values(schema) > self.max_values:
            return schema_error(
                f"Expected at most {self.max_values} enum values in total within a schema when "
                "using structured outputs."
            )
        if len(properties) > self.max_properties:
            return schema_error(
                f"Expected at most {self.max_properties} object properties in total within a schema."
            )
        return None
