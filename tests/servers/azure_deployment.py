"""Azure OpenAI by its old path, `/openai/deployments/NAME`.

Every request names an `api-version`; the key stands in the header `api-key`. Schemas hold 100 properties and 500
listed values. There is no list of deployments.
Sources: Microsoft Learn, "Azure OpenAI API version lifecycle" and "Structured outputs"; SnapLogic's documentation.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.servers.openai_chat import OpenAIChat

KEY = "azure-key-0123456789"
API_VERSION = "2024-10-21"


class AzureDeployment(OpenAIChat):
    name = "azure"
    base = "/openai/deployments/tiny"
    model = "tiny"
    lists_models = False
    max_values = 500
    max_properties = 100

    def complaint(self, message: str) -> web.Response:
        return web.json_response(
            {"error": {"code": "content_filter", "message": message}}, status=400
        )

    def refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if request.headers.get("api-key") != KEY:
            message = "Access denied due to invalid subscription key or wrong API endpoint."
            return web.json_response({"error": {"code": "401", "message": message}}, status=401)
        if request.query.get("api-version") != API_VERSION:
            return web.json_response(
                {"error": {"code": "404", "message": "Resource not found"}}, status=404
            )
        return super().refusal(request, body)
