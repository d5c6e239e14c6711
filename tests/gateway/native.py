"""Emulators of APIs that are not OpenAI's: a gateway is needed to ask them in its words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from tests.chat_server import completion, user_text
from tests.servers.emulator import BOUNDS, Emulator, bound_in, schema_of


class NativeEmulator(Emulator):
    """An emulator whose requests are understood by `told`, and whose answers `wrapped` writes."""

    base = ""
    lists_models = False

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/{path:.*}", self.respond)
        await self.serve(app)
        self.url = self.url.removesuffix("/v1")

    def told(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request as OpenAI's API has it."""
        raise NotImplementedError

    def wrapped(self, body: Mapping[str, Any], content: str, usage: Mapping[str, int]) -> Any:
        """The document of an answer."""
        raise NotImplementedError

    def text_of(self, body: Mapping[str, Any]) -> str:
        return user_text(self.told(body))

    def answer(self, body: dict[str, Any]) -> Any:
        told = self.told(body)
        content = self.content(told)
        return self.wrapped(body, content, completion(told, content)["usage"])


class AnthropicMessages(NativeEmulator):
    """Anthropic's Messages API: a schema stands in `output_format`, and may hold no bounds; older models are
    given it as a tool that they have to call.

    Sources: docs.anthropic.com, "Messages" and "Structured outputs".
    """

    name = "anthropic"
    model = "claude-sonnet-4-5"

    def told(self, body: Mapping[str, Any]) -> dict[str, Any]:
        tools = body.get("tools") or [{}]
        schema = (body.get("output_format") or {}).get("schema") or tools[0].get("input_schema")
        system = "".join(part["text"] for part in body.get("system", ()))
        return chat(system, body["messages"][-1]["content"], schema)

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if "output_format" not in body:
            return None
        found = bound_in(schema_of(self.told(body)), BOUNDS)
        if found is None:
            return None
        return self.complaint(f"output_format.schema: property '{found[1]}' is not supported")

    def complaint(self, message: str) -> web.Response:
        error = {"type": "invalid_request_error", "message": message}
        return web.json_response({"type": "error", "error": error}, status=400)

    def wrapped(self, body: Mapping[str, Any], content: str, usage: Mapping[str, int]) -> Any:
        part: dict[str, Any] = {"type": "text", "text": content}
        if body.get("tools"):
            name, values = body["tools"][0]["name"], json.loads(content)
            part = {"type": "tool_use", "id": "toolu_1", "name": name, "input": values}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [part],
            "stop_reason": "tool_use" if body.get("tools") else "end_turn",
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "output_tokens": usage["completion_tokens"],
            },
        }


class OlderAnthropicMessages(AnthropicMessages):
    model = "claude-3-5-sonnet-20240620"


class GeminiContents(NativeEmulator):
    """Gemini's own API, `:generateContent`: log-probabilities are not enabled.

    Sources: ai.google.dev, "Generating content"; mscraftsman/generative-ai 135.
    """

    name = "gemini"
    model = "gemini-2.5-flash"

    def told(self, body: Mapping[str, Any]) -> dict[str, Any]:
        system = "".join(part["text"] for part in body["system_instruction"]["parts"])
        return chat(
            system,
            body["contents"][-1]["parts"],
            body["generationConfig"].get("response_json_schema"),
        )

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if "responseLogprobs" in body["generationConfig"]:
            return self.complaint(f"Logprobs is not enabled for models/{self.model}")
        return None

    def complaint(self, message: str) -> web.Response:
        error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
        return web.json_response({"error": error}, status=400)

    def wrapped(self, body: Mapping[str, Any], content: str, usage: Mapping[str, int]) -> Any:
        said = {"role": "model", "parts": [{"text": content}]}
        return {
            "candidates": [{"content": said, "finishReason": "STOP", "index": 0}],
            "modelVersion": self.model,
            "usageMetadata": {
                "promptTokenCount": usage["prompt_tokens"],
                "candidatesTokenCount": usage["completion_tokens"],
                "totalTokenCount": usage["total_tokens"],
            },
        }


class OllamaChat(NativeEmulator):
    """Ollama's own API, `/api/chat`: the schema is the `format`.

    Source: docs.ollama.com, "Chat".
    """

    name = "ollama"
    model = "qwen2.5vl"

    def told(self, body: Mapping[str, Any]) -> dict[str, Any]:
        system, user = body["messages"]
        form = body.get("format")
        text = [{"type": "text", "text": user["content"]}]
        return chat(system["content"], text, form if isinstance(form, dict) else None)

    def complaint(self, message: str) -> web.Response:
        return web.json_response({"error": message}, status=400)

    def wrapped(self, body: Mapping[str, Any], content: str, usage: Mapping[str, int]) -> Any:
        return {
            "model": body["model"],
            "created_at": "2026-11-30T12:00:00Z",
            "message": {"role": "assistant", "content": content},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": usage["prompt_tokens"],
            "eval_count": usage["completion_tokens"],
        }


def chat(system: str, parts: Iterable[Mapping[str, Any]], schema: Any) -> dict[str, Any]:
    """A request of these parts as OpenAI's API has it."""
    texts = [{"type": "text", "text": part["text"]} for part in parts if "text" in part]
    turns = [{"role": "system", "content": system}, {"role": "user", "content": texts}]
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    return {"messages": turns, **({"response_format": form} if schema else {})}


NATIVE: dict[str, type[NativeEmulator]] = {
    "Anthropic, its own API": AnthropicMessages,
    "Anthropic, its own API and an older model": OlderAnthropicMessages,
    "Gemini, its own API": GeminiContents,
    "Ollama, its own API": OllamaChat,
}
