"""Azure OpenAI by its new path, `/openai/v1`.

No api-version; the key works as a bearer token, the model is the deployment's name. `/models` lists base models, not
deployments (not verified). Schemas hold 100 properties and 500 listed values.
Sources: Microsoft Learn, "Azure OpenAI API version lifecycle" and "Structured outputs".
"""

from __future__ import annotations

from aiohttp import web

from tests.servers.openai_chat import OpenAIChat


class AzureV1(OpenAIChat):
    name = "azure"
    base = "/openai/v1"
    model = "my-deployment"
    max_values = 500
    max_properties = 100

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "gpt-4.1-mini-2025-04-14"}]})
