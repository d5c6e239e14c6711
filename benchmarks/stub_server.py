"""A chat server as a process of its own that costs next to nothing: it counts a request's bytes,
parses none, and answers all with the same bytes.

  with stub_server(content, latency_secs=0.2) as url: ...
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stub(asyncio.Protocol):
    """Counts a request's bytes and answers later; everything it sends was made once."""

    response = b""
    latency_secs = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._head = b""
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = self._head[:end].lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            self._left = int(length) - (len(self._head) - end - 4)
            self._head = b""
        if self._left <= 0:
            self._left = 0
            if self.latency_secs:
                asyncio.get_running_loop().call_later(self.latency_secs, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self.response)


def completion(content: str) -> bytes:
    """Return the body of a response whose answer is `content`."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 3_000, "completion_tokens": 120}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


async def serve(content: str, latency_secs: float) -> None:
    body = completion(content)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    Stub.response, Stub.latency_secs = head % len(body) + body, latency_secs
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextmanager
def stub_server(content: str, latency_secs: float = 0.0) -> Iterator[str]:
    """Yield the base URL of a server that answers everything with `content`."""
    command = [sys.executable, __file__, "--latency-secs", str(latency_secs)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(content)
            process.stdin.close()
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-secs", type=float, default=0.0)
    asyncio.run(serve(sys.stdin.read(), parser.parse_args().latency_secs))
