"""What single servers do otherwise than OpenAI's documentation says, one habit each, with who has met it.

Whole servers, with all their habits at once, are emulated in tests/servers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.chat_server import completion, instance, subject, user_text
from tests.misbehaviour.contract import USED, Behaviour, Respond, sends
from tests.servers.emulator import PROSE, bound_in, by_prompt, listed_values, obedient, schema_of

Body = dict[str, Any]
_OPENAI = "OpenAI community, parameters of o1 and o3-mini; pydantic-ai PR 2420"
_OPENAI_SCHEMA = "pydantic-ai PR 2420; jina-ai/node-DeepResearch 79"
_ANTHROPIC = "docs.anthropic.com, OpenAI SDK compatibility; steilerDev/cornerstone PR 1561"
_GEMINI = "ChatterUI 227; mcpchecker 188; mscraftsman/generative-ai 135"
_MISTRAL = "crewAI 60; mistralai/platform-docs 7; editor-code-assistant/eca 231"
_GROQ = "console.groq.com/docs/openai"
_OPENROUTER = "openrouter.ai/docs, Errors"
_LITELLM = "LiteLLM 1.108 as it ran here"
_AZURE = "Microsoft Learn, quota of Azure OpenAI, by way of developersdigest.tech"
_LLAMA = "ggml-org/llama.cpp 27087, 25923"
_LM_STUDIO = "lmstudio-bug-tracker 189, 307"
_TGI = "huggingface/text-generation-inference 2899, PR 3276"
MOST_VALUES = 25


def openai_says(message: str, param: str | None = None, code: str | None = None) -> Any:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}  # fmt: skip


def gemini_says(message: str, code: int = 400, **more: Any) -> Any:
    return [{"error": {"code": code, "message": message, "status": "INVALID_ARGUMENT", **more}}]


def mistral_says(*fields: str) -> Any:
    detail = [{"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"} for field in fields]  # fmt: skip
    return {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}


def always(status: int, said: Any, **headers: str) -> Respond:
    """A server that answers nothing else. said: bytes as they are, else as JSON."""
    return sends(lambda body: said, status, **headers)


def where(met: Callable[[Body], Any], status: int, said: Any) -> Respond:
    """A server that refuses what `met` finds in a request, and answers the others."""

    async def respond(request: web.Request, body: Body) -> web.StreamResponse:
        if met(body):
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            return web.Response(body=content, status=status, content_type="application/json")
        return web.json_response(completion(body, obedient(body)))

    return respond


def _form(body: Body) -> str:
    return str((body.get("response_format") or {}).get("type", "text"))


def _bounds(*keywords: str) -> Callable[[Body], Any]:
    return lambda body: bound_in(schema_of(body), keywords)


def _repeats(body: Body) -> bool:
    return any(about.get("maxLength", 0) > 2_000 for about in schema_of(body).get("properties", {}).values())  # fmt: skip


def _written(body: Body) -> Body:
    """What a model writes that nobody holds to a schema."""
    return completion(body, by_prompt(body))


def _by_value(body: Body) -> Body:
    form = body.get("response_format") or {}
    schema = form.get("value")
    return completion(
        body, PROSE if schema is None else json.dumps(instance(schema, subject(user_text(body))))
    )


async def tgi(request: web.Request, body: Body) -> web.StreamResponse:
    """A schema is taken under `response_format.value` only; else HTTP 422 in plain text."""
    form = body.get("response_format")
    if form is not None and "value" not in form:
        return web.Response(text="Failed to deserialize the JSON body into the target type: response_format: missing field `value`", status=422)  # fmt: skip
    return web.json_response(_by_value(body))


async def modelscope(request: web.Request, body: Body) -> web.StreamResponse:
    """`choices: null` where a schema is asked for."""
    document = _written(body)
    if _form(body) == "json_schema":
        document["choices"] = None
    return web.json_response(document)


_LATE = {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream closed", "provider_name": "A"}}}  # fmt: skip
_QUOTA = [{"error": {"code": 429, "message": "Resource exhausted", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.05s"}]}}]  # fmt: skip

# Of a whole server: whoever meets them once meets them with every question, unless they are learnt.
HABITS: dict[str, Behaviour] = {
    "openai-max-tokens": Behaviour(USED, "refuses `max_tokens`: it is called `max_completion_tokens`", where(lambda b: "max_tokens" in b, 400, openai_says("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter")), _OPENAI),
    "openai-temperature": Behaviour(USED, "refuses any temperature but 1", where(lambda b: b.get("temperature", 1) != 1, 400, openai_says("Unsupported value: 'temperature' does not support 0 with this model.", "temperature", "unsupported_value")), _OPENAI),
    "openai-logprobs": Behaviour(USED, "refuses log-probabilities, HTTP 403", where(lambda b: b.get("logprobs"), 403, openai_says("You are not allowed to request logprobs from this model")), _OPENAI),
    "openai-logprobs-400": Behaviour(USED, "refuses log-probabilities, HTTP 400", where(lambda b: b.get("logprobs"), 400, openai_says("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs", "unsupported_parameter")), _OPENAI),
    "openai-lengths": Behaviour(USED, "takes no `minLength` and `maxLength` in a strict schema", where(_bounds("minLength", "maxLength"), 400, openai_says("Invalid schema for response_format 'answer': 'maxLength' is not permitted.", "response_format")), _OPENAI_SCHEMA),
    "openai-values": Behaviour(USED, f"takes {MOST_VALUES} listed values in a schema, as others 500 or 1,000", where(lambda b: listed_values(schema_of(b)) > MOST_VALUES, 400, openai_says(f"Invalid schema for response_format 'answer': Expected at most {MOST_VALUES} enum values in total within a schema.", "response_format")), "OpenAI, guide Structured Outputs; SnapLogic, Azure OpenAI"),
    "anthropic-strict": Behaviour(USED, "takes `strict: true` only", where(lambda b: _form(b) == "json_schema" and b["response_format"]["json_schema"].get("strict") is not True, 400, openai_says("json_schema.strict: Input should be True")), _ANTHROPIC),
    "anthropic-ignores": Behaviour(USED, "takes a schema and ignores it", sends(_written), _ANTHROPIC),
    "anthropic-bounds": Behaviour(USED, "takes no bounds of lengths and numbers in a schema", where(_bounds("minLength", "maxLength", "maxItems", "minimum", "maximum"), 400, openai_says("output_format.schema: For 'string' type, property 'maxLength' is not supported; nor are maxItems, minimum, maximum")), "systemprompt-models; pydantic-ai"),
    "gemini-seed": Behaviour(USED, "refuses `seed`, with a list for an error", where(lambda b: "seed" in b, 400, gemini_says('Invalid JSON payload received. Unknown name "seed": Cannot find field.')), _GEMINI),
    "gemini-logprobs": Behaviour(USED, "refuses log-probabilities, with a list for an error", where(lambda b: b.get("logprobs"), 400, gemini_says("Logprobs is not enabled for models/gemini-2.5-flash")), _GEMINI),
    "gemini-bounds": Behaviour(USED, "knows no bounds in a schema", where(_bounds("maxLength", "minimum", "minItems"), 400, gemini_says("Unknown name \"maxLength\" at 'generation_config.response_schema': Cannot find field.")), "openinterviewer PR 21"),
    "mistral-fields": Behaviour(USED, "refuses fields that it does not know, HTTP 422, `message` an object", where(lambda b: {"seed", "logprobs"} & set(b), 422, mistral_says("seed", "logprobs")), _MISTRAL),
    "mistral-random-seed": Behaviour(USED, "refuses `seed`: it is called `random_seed`", where(lambda b: "seed" in b, 422, {"object": "error", "message": "seed: extra field, did you mean random_seed?"}), "langchain-azure 82"),
    "groq-logprobs": Behaviour(USED, "refuses log-probabilities, HTTP 400", where(lambda b: b.get("logprobs"), 400, openai_says("property 'logprobs' is unsupported")), _GROQ),
    "litellm-parameters": Behaviour(USED, "refuses `seed` and `logprobs` in one message", where(lambda b: {"seed", "logprobs"} & set(b), 400, openai_says("litellm.UnsupportedParamsError: anthropic does not support parameters: ['seed', 'logprobs'], for model=claude. To drop these, set `litellm.drop_params=True`")), _LITELLM),
    "llama-repetitions": Behaviour(USED, "takes 2,000 repetitions in a grammar", where(_repeats, 400, openai_says("failed to parse grammar: number of repetitions exceeds sane defaults")), _LLAMA),
    "lm-studio-format": Behaviour(USED, "takes `json_schema` or `text` only", where(lambda b: _form(b) == "json_object", 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}), "tada 16"),
    "tgi-value": Behaviour(USED, "takes a schema under `response_format.value` only, HTTP 422 in plain text", tgi, _TGI),
    "modelscope-null": Behaviour(USED, "answers `choices: null` where a schema is asked for", modelscope, "modelscope/modelscope 1801"),
    "deepseek-json-mode": Behaviour(USED, "has a JSON mode and no schema", where(lambda b: _form(b) == "json_schema", 400, openai_says("This response_format type is unavailable now")), "api-docs.deepseek.com, JSON Output; developersdigest.tech"),
}  # fmt: skip
# Of single questions.
BEHAVIOURS: dict[str, Behaviour] = {
    "azure-waits": Behaviour("model-busy", "is busy, and says for how long in `retry-after-ms`", always(429, openai_says("slow down"), retry_after_ms="50"), _AZURE, passes=True),
    "anthropic-overloaded": Behaviour("model-error", "is overloaded, HTTP 529", always(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), "docs.anthropic.com, Errors", passes=True),
    "gemini-list": Behaviour("model-refused", "refuses a picture of one item, with a list for an error", always(400, gemini_says("Unable to process input image")), "BerriAI/litellm 40252"),
    "gemini-quota-a-minute": Behaviour("model-busy", "has no quota left this minute, and does not say how long", always(429, gemini_says("Resource exhausted", 429)), "page-assist 406", passes=True),
    "gemini-retry-delay": Behaviour("model-busy", "says how long in `details[].retryDelay`", always(429, _QUOTA), "Google, native API", passes=True),
    "groq-capacity": Behaviour("model-busy", "has no capacity, HTTP 498", always(498, openai_says("Flex tier capacity exceeded")), _GROQ, passes=True),
    "groq-json": Behaviour("model-refused", "fails on one item with `json_validate_failed`", always(400, openai_says("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")), _GROQ),
    "openrouter-late": Behaviour("model-error", "fails amid its answer: an error 502 with HTTP 200", always(200, _LATE), _OPENROUTER, passes=True),
    "openrouter-timeout": Behaviour("model-timeout", "has waited too long for its provider, HTTP 408", always(408, openai_says("Request timed out")), _OPENROUTER, passes=True),
    "openrouter-no-provider": Behaviour("model-error", "finds no provider, HTTP 503 with Retry-After", always(503, openai_says("No available provider"), Retry_After="0.05"), _OPENROUTER, passes=True),
    "litellm-hidden-wait": Behaviour("model-busy", "says how long in `llm_provider-retry-after` only", always(429, openai_says("litellm.RateLimitError"), **{"llm_provider-retry-after": "0.05"}), _LITELLM, passes=True),
    "litellm-timeout": Behaviour("model-timeout", "makes HTTP 408 of its provider's timeout", always(408, openai_says("litellm.Timeout: APITimeoutError - Request timed out.")), _LITELLM, passes=True),
    "litellm-upstream-500": Behaviour("model-error", "passes on its provider's HTTP 500", always(500, openai_says("litellm.InternalServerError: upstream")), _LITELLM, passes=True),
    "waits-by-reset": Behaviour("model-busy", "says how long in `x-ratelimit-reset-requests` only", always(429, openai_says("slow down"), x_ratelimit_reset_requests="50ms"), "OpenAI, guide Rate limits", passes=True),
    "llama-loads": Behaviour("model-error", "loads its model, HTTP 503", always(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}), "llama.cpp, README of the server", passes=True),
    "lm-studio-words": Behaviour("model-refused", "refuses one item, the error is a text", always(400, {"error": "The image could not be decoded"}), _LM_STUDIO),
    "tgi-plain": Behaviour("model-refused", "refuses one item in plain text, HTTP 422", always(422, b"Input validation error: `inputs` must be shorter"), _TGI),
}  # fmt: skip
