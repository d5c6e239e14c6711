"""A chat server on the loopback that misbehaves on request, for tests of clients and of whole runs.

How a request is answered is written into its text: `[server: 500 429:0.2 ok]` answers its first attempt with HTTP
500, the second with 429 and Retry-After 0.2, and all later ones well; attempts are counted per text. A script given
to the server comes first and goes by arrival. Everything else is answered well: with the smallest object that obeys the
request's schema, the same for the same text. What else can be asked for is in BEHAVIOURS.

As a process of its own:

  python -m tests.chat_server --port 0 --latency-secs 0.2
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

MARKER = re.compile(r"(?:\[|\\u005b)server: ([\w.:, -]+)(?:\]|\\u005d)")
_TITLE = re.compile(r'"title": ?"((?:[^"\\]|\\.)*)"')
# Who reads it is certain of all values, and has seen them.
SURE = "surely"
DRIP_SECS = 0.02
MAX_BODY_BYTES = 64 * 2**20
WRONG_SHAPE = {"id": "chatcmpl-0", "object": "list", "data": []}


class ChatServer:
    """`with ChatServer() as server:` serves at `server.url` until the block ends.

    script: behaviours of the first requests by arrival; latency_secs: before every answer; key: bearer token that
    is asked for, if any; port: 0 takes a free one.
    tls: what it identifies itself by, set before the block.
    requests: the bodies that came, parsed; headers, queries: those of each; calls: how many; peak: most under way at once;
    open: under way now; answered: the others.
    """

    def __init__(
        self, script: Iterable[str] = (), latency_secs: float = 0.0, key: str = "", port: int = 0
    ) -> None:
        self._script = list(script)
        self._latency_secs = latency_secs
        self.key = key
        self._port = port
        self._seen: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.calls = 0
        self.open = 0
        self.answered = 0
        self.peak = 0
        self.url = ""
        self.tls: ssl.SSLContext | None = None
        self.queries: list[Mapping[str, str]] = []

    def __enter__(self) -> ChatServer:
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True, name="chat-server"
        )
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kill(self) -> None:
        """Stop serving and break off what is under way, as a server that dies; from any thread."""
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result()

    def attempts(self, text: str) -> int:
        """How often a request came whose text holds `text`."""
        return sum(text in self.text_of(body) for body in self.requests)

    def text_of(self, body: Mapping[str, Any]) -> str:
        """The text that a request's behaviour is read from."""
        return user_text(body)

    async def start(self) -> None:
        app = self.application()
        app.router.add_post("/v1/chat/completions", self.respond)
        await self.serve(app)

    def application(self) -> web.Application:
        """What every server offers besides its endpoint."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._models)
        return app

    async def serve(self, app: web.Application) -> None:
        """Begin to listen; sets `url`."""
        # Nobody waits for those who are left hanging.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self._port, backlog=1024, ssl_context=self.tls
        )
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'http' if self.tls is None else 'https'}://{host}:{port}/v1"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        if (
            self.key
            and request.path != "/health"
            and request.headers.get("Authorization") != f"Bearer {self.key}"
        ):
            return web.json_response({"error": {"message": "invalid api key"}}, status=401)
        return web.json_response({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    async def respond(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            body = await request.json()
            self.requests.append(body)
            self.headers.append(dict(request.headers))
            self.queries.append(dict(request.query))
            name = self._behaviour(self.text_of(body), request)
            if self._latency_secs:
                await asyncio.sleep(self._latency_secs)
            return await self.behave(name, request, body)
        finally:
            self.open -= 1
            self.answered += 1

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        return await behave(name, request, body)

    def _behaviour(self, text: str, request: web.Request) -> str:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return "401"
        if self._script:
            return self._script.pop(0)
        marker = MARKER.search(text)
        if marker is None:
            return "ok"
        names = marker[1].replace(",", " ").split()
        self._seen[text] += 1
        return names[min(self._seen[text], len(names)) - 1]


async def behave(name: str, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Answer as `name` says: a key of BEHAVIOURS, or an HTTP status of 400 and more, with `:VALUE`
    as Retry-After.
    """
    status, _, retry_after = name.partition(":")
    if status.isdigit():
        error = {
            "error": {"message": f"scripted {status}", "type": "scripted", "code": int(status)}
        }
        return web.json_response(
            error, status=int(status), headers={"Retry-After": retry_after} if retry_after else {}
        )
    return await BEHAVIOURS[name](request, body)


async def ok(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """The answer that was asked for."""
    return web.json_response(completion(body, json.dumps(answer_for(body))))


async def ok_with_logprobs(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """As `ok`, with log-probabilities also if they were not asked for."""
    return await ok(request, {**body, "logprobs": True})


async def ok_plain(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """As `ok`, without usage and log-probabilities."""
    message = {"role": "assistant", "content": json.dumps(answer_for(body))}
    return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})


async def empty(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A whole response with empty content, as a reasoning model gives it that only thought."""
    return web.json_response(completion(body, ""))


async def null(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A whole response with null for content, as a refusal."""
    return web.json_response(completion(body, None))


async def blank(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A model that wrote white space up to its token limit."""
    return web.json_response(completion(body, "\n" * body.get("max_tokens", 16), "length"))


async def length(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A model that ran into its token limit in the middle of its answer."""
    content = json.dumps(answer_for(body))
    return web.json_response(completion(body, content[: len(content) // 2], "length"))


async def prose(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A model that does not answer in JSON."""
    return web.json_response(completion(body, "Sure! Here is what I see: a shirt."))


async def off_schema(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A model whose answer is JSON, but not what was asked for."""
    return web.json_response(completion(body, '{"surprise": [1, 2, 3]}'))


async def hang(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Nothing, for an hour."""
    await asyncio.sleep(3600)
    return web.Response()


async def drip(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A right answer, one byte at a time."""
    return await dripped(request, completion(body, json.dumps(answer_for(body))))


async def whitespace(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A response of white space that never ends."""
    return await _stream(request, iter(lambda: b" " * 2**16, b""), 0)


async def huge(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A response of 32 MiB."""
    return await _stream(request, (b'"' + b"x" * (2**20 - 1) for _ in range(32)), 0)


async def cut(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A response that breaks off before the length that it announced."""
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": "4096"}
    )
    await response.prepare(request)
    await response.write(b'{"choices": [{"mess')
    _hang_up(request)
    return response


async def closed(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A connection that closes without a word."""
    _hang_up(request)
    return web.Response()


async def truncated(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A whole response with the first half of its JSON."""
    return halved(completion(body, json.dumps(answer_for(body))))


async def html(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A web page with status 200, as a portal in between gives it."""
    return web.Response(
        text="<html><body>Welcome to\nthe portal</body></html>", content_type="text/html"
    )


async def wrong_shape(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """JSON that is not a chat completion."""
    return web.json_response(WRONG_SHAPE)


async def redirect(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """HTTP 307 to this server, so that who follows it is seen in `calls`."""
    return web.Response(status=307, headers={"Location": str(request.url)})


async def echo(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """HTTP 400 that repeats the key and the whole request."""
    text = f"\x1b[2J bad request\n {request.headers.get('Authorization')} {json.dumps(body)}"
    return web.json_response({"error": {"message": text}}, status=400)


async def echo_in_answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """An answer whose texts are the key."""
    answer = dict.fromkeys(answer_for(body), request.headers.get("Authorization", "").split()[-1])
    return web.json_response(completion(body, json.dumps(answer)))


async def dripped(request: web.Request, document: Any) -> web.StreamResponse:
    """A document, one byte at a time."""
    content = json.dumps(document).encode()
    return await _stream(request, (content[n : n + 1] for n in range(len(content))), DRIP_SECS)


def halved(document: Any) -> web.Response:
    """The first half of a document, as if it were the whole."""
    content = json.dumps(document)
    return web.Response(text=content[: len(content) // 2], content_type="application/json")


BEHAVIOURS: dict[str, Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]] = {
    "ok": ok,
    "ok-with-logprobs": ok_with_logprobs,
    "ok-plain": ok_plain,
    "empty": empty,
    "null": null,
    "blank": blank,
    "length": length,
    "prose": prose,
    "off-schema": off_schema,
    "hang": hang,
    "drip": drip,
    "whitespace": whitespace,
    "huge": huge,
    "cut": cut,
    "closed": closed,
    "truncated": truncated,
    "html": html,
    "wrong-shape": wrong_shape,
    "redirect": redirect,
    "echo": echo,
    "echo-in-answer": echo_in_answer,
}


def user_text(body: Mapping[str, Any]) -> str:
    """The text of a request's user turn."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def picture_count(body: Mapping[str, Any]) -> int:
    content = body["messages"][-1]["content"]
    return 0 if isinstance(content, str) else sum(part["type"] == "image_url" for part in content)


def subject(text: str) -> str:
    """What the answer about an item depends on: of one with a marker its title, in whatever form it is asked, with
    whatever schema beside it; of others the whole text.
    """
    found = _TITLE.search(text)
    return found[1] if found and MARKER.search(found[1]) else text


def answer_for(body: Mapping[str, Any]) -> Any:
    """The smallest value that obeys the schema of a request's response_format; {} when it has none."""
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {
        "type": "object"
    }
    return instance(schema, subject(user_text(body)))


def instance(schema: Mapping[str, Any], text: str, path: str = "") -> Any:
    """The smallest value that obeys `schema`, all properties included; choices are a hash of text
    and path.

    >>> instance({"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}}, "")
    {'n': 2}
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        choices = [value for value in schema["enum"] if value not in ("unknown", None)] or schema[
            "enum"
        ]
        if SURE in text and path.endswith((".confidence", ".seen")):
            choices = [value for value in choices if value not in ("guess", "likely", "nowhere")]
        return choices[
            int(hashlib.sha256(f"{path}\0{text}".encode()).hexdigest(), 16) % len(choices)
        ]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            branches = [branch for branch in schema[union] if branch.get("type") != "null"]
            return instance(branches[0], text, path)
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next(k for k in kinds if k != "null")
    if kind == "object":
        return {
            key: instance(value, text, f"{path}/{key}")
            for key, value in schema.get("properties", {}).items()
        }
    if kind == "array":
        least = max(schema.get("minItems", 0), min(1, schema.get("maxItems", 1)))
        return [
            instance(schema.get("items", {"type": "string"}), text, f"{path}/{n}")
            for n in range(least)
        ]
    if kind == "string" and "pattern" in schema:
        return "unknown"
    if kind == "string":
        word = f"text {hashlib.sha256(f'{path}-{text}'.encode()).hexdigest()[:6]}"
        return word.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 1_000)]
    if kind in ("number", "integer"):
        return schema.get("minimum", 1)
    return True if kind == "boolean" else None


def completion(
    body: Mapping[str, Any], content: str | None, finish_reason: str = "stop"
) -> dict[str, Any]:
    """A chat completion as OpenAI's API has it, with log-probabilities if the request asks for
    them.
    """
    tokens = re.findall(r"\W|\w{1,4}", content or "")
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": finish_reason,
    }
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [_token(token) for token in tokens]}
    pictures = picture_count(body)
    system = "".join(turn["content"] for turn in body["messages"] if turn["role"] == "system")
    prompt_tokens = (len(system) + len(user_text(body))) // 4 + 16 * pictures
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(tokens),
        "total_tokens": prompt_tokens + len(tokens),
        "prompt_tokens_details": {"image_tokens": 16 * pictures},
    }
    return {
        "id": f"chatcmpl-{hashlib.sha256(repr(choice).encode()).hexdigest()[:12]}",
        "object": "chat.completion",
        "created": 1_764_500_000,
        "model": body.get("model"),
        "choices": [choice],
        "usage": usage,
    }


def _token(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.01, "bytes": list(token.encode()), "top_logprobs": []}


async def _stream(request: web.Request, chunks: Iterable[bytes], secs: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with suppress(ConnectionError):
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(secs)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


async def _serve(server: ChatServer) -> None:
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve scripted chat completions on the loopback; prints the URL."
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-secs", type=float, default=0.0)
    parser.add_argument("--key", default="")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(
            _serve(
                ChatServer(latency_secs=options.latency_secs, key=options.key, port=options.port)
            )
        )


if __name__ == "__main__":
    main()
