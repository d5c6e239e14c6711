"""Ollama.

Takes everything that is sent, and no key. `NAME` is `NAME:latest`, which is what its list says.
Source: docs.ollama.com, "OpenAI compatibility".
"""

from __future__ import annotations

from aiohttp import web

from tests.servers.emulator import Emulator


class Ollama(Emulator):
    name = "ollama"
    model = "qwen2.5vl"

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": f"{self.model}:latest"}]})
