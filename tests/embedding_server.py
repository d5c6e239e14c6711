"""A server of embeddings on the loopback that misbehaves on request, for tests of encoders and of whole runs.

How a request is answered is written into one of its texts, or given to the server as a script, exactly as for the
chat server; attempts are counted per text, so the halves of a batch go on where the batch was. What else can be asked
for is in BEHAVIOURS. Everything else is answered well: a vector is drawn from a hash of its text, so that equal texts
have equal vectors, whatever the batch.

As a process of its own:

  python -m tests.embedding_server --port 0 --dimension 64
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from aiohttp import web

from tests import chat_server
from tests.chat_server import ChatServer, dripped, halved

MODEL = "tiny-embedder"


class EmbeddingServer(ChatServer):
    """`with EmbeddingServer() as server:` serves at `server.url` until the block ends.

    dimension: of the vectors, where a request does not ask for another; model: the only one there is; max_inputs,
    max_chars: of a request, and of one text; scale: length of the vectors; pictures: whether it takes them;
    weights: other ones give other vectors.
    Further arguments and all counts are those of ChatServer.
    """

    def __init__(
        self,
        script: Iterable[str] = (),
        *,
        dimension: int = 8,
        max_inputs: int = 2048,
        max_chars: int = 100_000,
        scale: float = 1.0,
        pictures: bool = True,
        weights: str = "",
        **arguments: Any,
    ) -> None:
        super().__init__(script, **arguments)
        self.dimension, self.scale, self.weights = dimension, scale, weights
        self.max_inputs, self.max_chars, self.pictures = max_inputs, max_chars, pictures

    async def start(self) -> None:
        app = self.application()
        app.router.add_post("/v1/embeddings", self.respond)
        await self.serve(app)

    def text_of(self, body: Mapping[str, Any]) -> str:
        """All texts of a request; a picture's is its data URL."""
        return "\n".join(inputs_of(body))

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        if name in BEHAVIOURS:
            return web.json_response(BEHAVIOURS[name](self.answer(body)))
        if name in ("nan", "zeros"):
            return web.json_response(spoilt(self.answer(body), name))
        if name == "drip":
            return await dripped(request, self.answer(body))
        if name == "truncated":
            return halved(self.answer(body))
        if name != "ok":
            return await chat_server.behave(name, request, body)
        if refusal := self.refusal(body):
            status, message = refusal
            return web.json_response({"error": {"message": message}}, status=status)
        return web.json_response(self.answer(body))

    def refusal(self, body: Mapping[str, Any]) -> tuple[int, str] | None:
        """Status and message for what the server does not take, in words of real servers."""
        inputs = inputs_of(body)
        if body["model"] != MODEL:
            return 404, f"The model `{body['model']}` does not exist."
        if "messages" in body and not self.pictures:
            return 400, "'input' is a required property"
        if len(inputs) > self.max_inputs:
            return 422, f"batch size {len(inputs)} > maximum allowed batch size {self.max_inputs}"
        if not all(inputs):
            return 400, "'$.input' is invalid: an input cannot be an empty string."
        if "messages" not in body and max(map(len, inputs)) > self.max_chars:
            return (
                400,
                "This model's maximum context length is 512 tokens, however you requested more",
            )
        return None

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The response to a request, in OpenAI's shape."""
        dimension = body.get("dimensions", self.dimension)
        inputs = inputs_of(body)
        tokens = sum(max(1, len(text) // 4) for text in inputs)
        return {
            "object": "list",
            "model": body["model"],
            "data": [
                {
                    "object": "embedding",
                    "index": n,
                    "embedding": [
                        self.scale * x for x in unit_vector(self.weights + text, dimension)
                    ],
                }
                for n, text in enumerate(inputs)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def inputs_of(body: Mapping[str, Any]) -> Sequence[str]:
    """The texts that a request holds; of one with messages its picture's URL."""
    if "messages" in body:
        return [part["image_url"]["url"] for part in body["messages"][0]["content"]]
    return [body["input"]] if isinstance(body["input"], str) else body["input"]


def unit_vector(text: str, dimension: int) -> list[float]:
    """A vector of length one that a text alone decides."""
    drawn = random.Random(hashlib.sha256(text.encode()).digest())
    vector = np.array([drawn.gauss(0, 1) for _ in range(dimension)])
    return list(vector / np.linalg.norm(vector))


def shuffled(answer: dict[str, Any]) -> dict[str, Any]:
    """As `ok`, in another order than the request's."""
    return {**answer, "data": answer["data"][::-1]}


def without_index(answer: dict[str, Any]) -> dict[str, Any]:
    """As `ok`, without usage and indexes, as simpler servers answer."""
    return {"data": [{"embedding": each["embedding"]} for each in answer["data"]]}


def as_base64(answer: dict[str, Any]) -> dict[str, Any]:
    """As `ok`, with vectors as base64 of little-endian float32."""
    return with_vectors(answer, lambda v: base64.b64encode(np.asarray(v, "<f4").tobytes()).decode())


def one_less(answer: dict[str, Any]) -> dict[str, Any]:
    """A vector is missing."""
    return {**answer, "data": answer["data"][1:]}


def one_more(answer: dict[str, Any]) -> dict[str, Any]:
    """There is a vector too many."""
    return {
        **answer,
        "data": [*answer["data"], {**answer["data"][0], "index": len(answer["data"])}],
    }


def same_index(answer: dict[str, Any]) -> dict[str, Any]:
    """All vectors have one index."""
    return {**answer, "data": [{**each, "index": 1} for each in answer["data"]]}


def spoilt(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """Vectors that have no length: of numbers that are none, in base64 because JSON has none, or of zeros."""
    number = float("nan") if name == "nan" else 0.0
    return as_base64(with_vectors(answer, lambda v: [number] * len(v)))


def with_vectors(answer: dict[str, Any], change: Any) -> dict[str, Any]:
    data = [{**each, "embedding": change(each["embedding"])} for each in answer["data"]]
    return {**answer, "data": data}


BEHAVIOURS: dict[str, Any] = {
    "shuffled": shuffled,
    "without-index": without_index,
    "base64": as_base64,
    "one-less": one_less,
    "one-more": one_more,
    "same-index": same_index,
    "words": lambda answer: with_vectors(answer, lambda _: "no base64!"),
    "empty-vectors": lambda answer: with_vectors(answer, lambda _: []),
    "nested": lambda answer: with_vectors(answer, lambda v: [v, v]),
    "longer": lambda answer: with_vectors(answer, lambda v: [*v, 0.5]),
}


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--latency-secs", type=float, default=0.0)
    options = parser.parse_args()
    server = EmbeddingServer(
        dimension=options.dimension, port=options.port, latency_secs=options.latency_secs
    )
    await server.start()
    print(json.dumps({"url": server.url}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
