"""llama.cpp's server.

A grammar may repeat up to 2,000 times. Without a projector (`--mmproj`) a picture is refused with HTTP **500**.
Sources: ggml-org/llama.cpp 13566, 15377, 27087, 25923.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from tests.servers.emulator import Emulator, pictures_in


class LlamaCpp(Emulator):
    name = "llama.cpp"
    model = "qwen2.5-vl.gguf"
    sees: ClassVar[bool] = True

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if not self.sees and pictures_in(body):
            message = (
                "image input is not supported - hint: if this is unexpected, you may need to "
                "provide the mmproj"
            )
            error = {"code": 500, "message": message, "type": "server_error"}
            return web.json_response({"error": error}, status=500)
        return None


class BlindLlamaCpp(LlamaCpp):
    """The same without a projector."""

    sees = False
