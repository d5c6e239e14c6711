"""Servers that can answer no request of a run at all, until somebody does something about it.

Each with the remedy: the server mended (credit bought, the model put there), or an option of the next run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from tests.chat_server import picture_count
from tests.misbehaviour.providers import gemini_says, openai_says

RIGHT_KEY, RIGHT_MODEL = "sk-right-0123456789", "tiny-2"
# What a run is given in the first place: neither is right where it matters.
WRONG_KEY, MODEL = "sk-wrong-0123456789", "tiny"


def _always(request: web.Request, body: Mapping[str, Any]) -> bool:
    return True


def _has_wrong_key(request: web.Request, body: Mapping[str, Any]) -> bool:
    return request.headers.get("Authorization") != f"Bearer {RIGHT_KEY}"


def _has_wrong_model(request: web.Request, body: Mapping[str, Any]) -> bool:
    return bool(body.get("model") != RIGHT_MODEL)


def _shows_pictures(request: web.Request, body: Mapping[str, Any]) -> bool:
    return picture_count(body) > 0


class Remedy(NamedTuple):
    """What lets a run go on.

    met: whether a request meets the ending; words: of the message, which tell what to do;
    options: of the next run; key: that it has; mends: the server has to be mended.
    """

    met: Callable[[web.Request, Mapping[str, Any]], bool]
    words: str
    options: tuple[str, ...] = ()
    key: str = WRONG_KEY
    mends: bool = False


CREDIT = Remedy(_always, "top it up or use another key", mends=True)
KEY = Remedy(_has_wrong_key, "to a key that it accepts", key=RIGHT_KEY)
KEY_BEHIND = Remedy(_always, "the key that the gateway has", mends=True)
UNKNOWN = Remedy(_has_wrong_model, "--describe-model", ("--describe-model", RIGHT_MODEL))
PICTURES = Remedy(_shows_pictures, "--max-pictures 0", ("--max-pictures", "0"))
ADDRESS = Remedy(_always, "write the server's base URL", mends=True)
MOVED = Remedy(_always, "name the server itself", mends=True)
SCHEME = Remedy(_always, "write https://", mends=True)
PROXY = Remedy(_always, "--proxy env:VARIABLE", mends=True)


class Ending(NamedTuple):
    """One way of saying it: status, body (bytes as they are, else JSON), headers."""

    does: str
    remedy: Remedy
    status: int
    said: Any
    source: str = ""
    headers: Mapping[str, str] = {}

    def response(self) -> web.Response:
        content = self.said if isinstance(self.said, bytes) else json.dumps(self.said).encode()
        return web.Response(
            body=content,
            status=self.status,
            headers={"Content-Type": "application/json", **self.headers},
        )


def _lite(message: str, type_: str = "", code: str = "400") -> Any:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


_LITELLM = "LiteLLM 1.108 as it ran here"
_PAGE = b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>"

ENDINGS: dict[str, Ending] = {
    "credit-402": Ending("has no credit, HTTP 402", CREDIT, 402, openai_says("Insufficient credits"), "openrouter.ai/docs, Errors"),
    "credit-402-balance": Ending("has no balance, HTTP 402", CREDIT, 402, {"error": {"message": "Insufficient Balance"}}, "api-docs.deepseek.com, Error Codes"),
    "credit-insufficient-quota": Ending("has no quota left: 429 with `insufficient_quota`", CREDIT, 429, openai_says("You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota"), "OpenAI, guide Error codes"),
    "credit-balance-too-low": Ending("has no credit: 400 in words", CREDIT, 400, openai_says("Your credit balance is too low to access the API."), "docs.anthropic.com, Errors"),
    "credit-usage-limit": Ending("has reached its limit of the month: 400 in words", CREDIT, 400, openai_says("You have reached your specified API usage limits."), "docs.anthropic.com, Errors"),
    "credit-budget-422": Ending("has spent its budget: 422 `budget_exceeded`", CREDIT, 422, _lite("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded"), _LITELLM),
    "credit-budget-400": Ending("has spent its budget: 400 `budget_exceeded`", CREDIT, 400, _lite("ExceededBudget: User has exceeded their budget.", "budget_exceeded"), "LiteLLM, earlier versions"),
    "credit-budget-429": Ending("has spent its budget: 429 `budget_exceeded`", CREDIT, 429, _lite("Budget has been exceeded!", "budget_exceeded"), "LiteLLM, earlier versions"),
    "credit-in-200": Ending("has no credit, said with HTTP 200", CREDIT, 200, {"error": {"code": 402, "message": "Insufficient credits"}}, "openrouter.ai/docs, Errors"),
    "credit-in-500": Ending("wraps its provider's lack of credit in HTTP 500", CREDIT, 500, _lite("litellm.APIError: insufficient_quota", code="500"), _LITELLM),
    "key-401": Ending("does not accept the key, HTTP 401", KEY, 401, openai_says("Incorrect API key provided", code="invalid_api_key"), "OpenAI, guide Error codes"),
    "key-401-detail": Ending("does not accept the key, HTTP 401 and a word", KEY, 401, {"detail": "Unauthorized"}, "Mistral"),
    "key-403": Ending("does not accept the key, HTTP 403", KEY, 403, openai_says("Forbidden")),
    "key-400-gemini": Ending("does not accept the key: 400 `API_KEY_INVALID`", KEY, 400, gemini_says("API key not valid. Please pass a valid API key.", details=[{"reason": "API_KEY_INVALID"}]), "mscraftsman/generative-ai 135"),
    "key-400-expired": Ending("says that the key has expired, HTTP 400", KEY, 400, gemini_says("API key expired. Please renew the API key."), "ai.google.dev, Troubleshooting"),
    "key-400-no-database": Ending("does not accept the key: 400 `No connected db.`", KEY, 400, _lite("No connected db.", "no_db_connection"), _LITELLM),
    "key-400-proxy-token": Ending("does not accept the key: 400 in words", KEY, 400, _lite("Authentication Error, Invalid proxy server token passed", "auth_error"), _LITELLM),
    "key-in-200": Ending("does not accept the key, said with HTTP 200", KEY, 200, {"error": {"code": 401, "message": "No auth credentials found"}}, "openrouter.ai/docs, Errors"),
    "key-in-500": Ending("wraps its provider's refusal of the key in HTTP 500", KEY_BEHIND, 500, _lite("litellm.AuthenticationError: Incorrect API key provided", code="500"), _LITELLM),
    "model-404": Ending("does not know the model, HTTP 404", UNKNOWN, 404, openai_says("The model `tiny` does not exist or you do not have access to it.", code="model_not_found"), "OpenAI, guide Error codes"),
    "model-404-vllm": Ending("does not know the model, HTTP 404", UNKNOWN, 404, {"object": "error", "message": "The model `tiny` does not exist.", "type": "NotFoundError", "code": 404}, "vLLM"),
    "model-404-ollama": Ending("does not have the model, HTTP 404", UNKNOWN, 404, openai_says('model "tiny" not found, try pulling it first'), "docs.ollama.com"),
    "model-400-alias": Ending("does not know the model, HTTP 400", UNKNOWN, 400, _lite("/chat/completions: Invalid model name passed in model=tiny. Call `/v1/models` to view available models for your key."), _LITELLM),
    "model-deployment": Ending("has no such deployment, HTTP 404", UNKNOWN, 404, openai_says("The API deployment for this resource does not exist.", code="DeploymentNotFound"), "Microsoft Learn, Azure OpenAI"),
    "model-retired": Ending("has retired the model, HTTP 400", UNKNOWN, 400, openai_says("The model `tiny` has been decommissioned and is no longer supported.", code="model_decommissioned"), "console.groq.com/docs/deprecations"),
    "pictures-500": Ending("has no projector: 500 in words", PICTURES, 500, {"error": {"code": 500, "message": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"}}, "ggml-org/llama.cpp 13566, 15377"),
    "pictures-400": Ending("sees nothing: 400 in words", PICTURES, 400, openai_says("tiny is not a multimodal model"), "vLLM"),
    "pictures-at-most-0": Ending("sees nothing: at most 0 pictures", PICTURES, 400, openai_says("At most 0 image(s) may be provided in one prompt."), "vLLM"),
    "pictures-404-endpoints": Ending("has no provider that sees, HTTP 404", PICTURES, 404, openai_says("No endpoints found that support image input"), "openrouter.ai/docs, Errors"),
    "pictures-variant": Ending("knows no pictures: an unknown variant, HTTP 422", PICTURES, 422, b"Failed to deserialize the JSON body into the target type: messages[1]: unknown variant `image_url`, expected `text`", "api-docs.deepseek.com"),
    "pictures-string": Ending("takes texts only: 422, the content must be a string", PICTURES, 422, {"detail": [{"loc": ["body", "messages", 1, "content"], "msg": "Input should be a valid string"}]}, "FastAPI servers"),
    "address-404-page": Ending("has nothing at this address: a page, HTTP 404", ADDRESS, 404, _PAGE, "", {"Content-Type": "text/html"}),
    "address-405": Ending("takes no POST here", ADDRESS, 405, b"Method Not Allowed"),
    "address-410": Ending("has something else than before here, HTTP 410", ADDRESS, 410, b"Gone"),
    "moved-301": Ending("leads elsewhere", MOVED, 301, b"", "", {"Location": "https://models.example/v1/chat/completions"}),
    "moved-308": Ending("leads to https", MOVED, 308, b"", "", {"Location": "https://127.0.0.1/v1/chat/completions"}),
    "scheme-nginx": Ending("wants https: 400 in words", SCHEME, 400, b"<html>400 The plain HTTP request was sent to HTTPS port</html>", "nginx", {"Content-Type": "text/html"}),
    "scheme-go": Ending("wants https: 400 in words", SCHEME, 400, b"Client sent an HTTP request to an HTTPS server.", "Go's net/http", {"Content-Type": "text/plain"}),
    "proxy-407": Ending("stands behind a proxy that asks for a password", PROXY, 407, b"Proxy Authentication Required"),
}  # fmt: skip
