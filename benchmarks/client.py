"""ChatClient against a bare aiohttp loop, and its memory as requests grow.

A stub server in a process of its own answers every request 200 ms after its last byte came, with
any concurrency, and parses nothing. Three ways to send the same requests take turns in one run, 256
under way at once:

- client: ChatClient, from requests that name picture files to checked answers;
- bare: 256 coroutines around one aiohttp session that read the same files with open(), encode the
  same bodies and
  parse the answers as JSON; no retries, limits, checks or failures;
- ready: the same 256 coroutines with bodies that were made before the clock started, nothing read,
  nothing parsed.

With 256 under way at 200 ms nothing can be faster than 1,280 requests a second, so the processor
time that each request costs is stated too; with --latency-secs 0 the processor is the limit. Peak
memory is that of a process that sends N, then of one that sends 4N; of the difference, the list of
requests itself is the most. Prints a table, then JSON.

  python benchmarks/client.py
  python benchmarks/client.py --latency-secs 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from PIL import Image

from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.chat_options import ChatOptions
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.chat import ChatClient, request_body

REQUESTS, ROUNDS, MAX_INFLIGHT, LATENCY_SECS = 4_000, 5, 256, 0.2
PICTURES, PICTURE_SIDE_PX = 64, 248
TARGET = 0.9
SCHEMA = {
    "type": "object",
    "properties": {
        "description": {"type": "string", "maxLength": 300},
        "color": {"enum": ["red", "green", "blue", "black", "white", "unknown"]},
    },
    "required": ["description", "color"],
    "additionalProperties": False,
}
SYSTEM = "Describe the product on the pictures and answer for its attributes. " * 12


class Stub(asyncio.Protocol):
    """Counts a request's bytes and answers later; everything it sends was made once."""

    response = b""
    latency_secs = LATENCY_SECS

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
            asyncio.get_running_loop().call_later(self.latency_secs, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self.response)


def stub_response() -> bytes:
    content = json.dumps(
        {"description": "A red shirt with short sleeves, on white. " * 4, "color": "red"}
    )
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
    }
    body = json.dumps(
        {"choices": [choice], "usage": {"prompt_tokens": 800, "completion_tokens": 60}}
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def serve(latency_secs: float) -> None:
    Stub.response, Stub.latency_secs = stub_response(), latency_secs
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextmanager
def stub_server(latency_secs: float) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", "--latency-secs", str(latency_secs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def make_pictures(folder: Path) -> list[Path]:
    """JPEG files of about 40 kB each: noise, because it does not compress."""
    paths = []
    for number in range(PICTURES):
        noise = random.Random(number).randbytes(PICTURE_SIDE_PX * PICTURE_SIDE_PX * 3)
        path = folder / f"{number:064x}.jpg"
        Image.frombytes("RGB", (PICTURE_SIDE_PX, PICTURE_SIDE_PX), noise).save(path, quality=78)
        paths.append(path)
    return paths


def make_requests(count: int, paths: Sequence[Path]) -> list[ChatRequest]:
    pictures = [PreparedPicture(path.stem, str(path)) for path in paths]
    return [
        ChatRequest(SYSTEM, f"Record {n}: a shirt. " * 20, SCHEMA, (pictures[n % len(pictures)],))
        for n in range(count)
    ]


def options_for(url: str) -> ChatOptions:
    return ChatOptions(model="stub", endpoint=url, max_inflight=MAX_INFLIGHT, logprobs=False)


def run_client(requests: Sequence[ChatRequest], url: str) -> float:
    """Seconds until everything was answered."""
    client = ChatClient(options_for(url), FixedUpstream(url))
    started = time.perf_counter()
    answered = sum(isinstance(answer, ChatAnswer) for _, answer in client.answer(requests))
    seconds = time.perf_counter() - started
    client.close()
    assert answered == len(requests), f"{answered} answers for {len(requests)} requests"
    return seconds


@asynccontextmanager
async def bare_session() -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers=headers
    ) as session:
        yield session


async def send_all(bodies: Iterator[bytes], url: str, parse: bool) -> float:
    """Seconds until MAX_INFLIGHT coroutines have sent what `bodies` yields."""

    async def work() -> None:
        for body in bodies:
            async with session.post(f"{url}/chat/completions", data=body) as response:
                content = await response.read()
            assert response.status == 200
            if parse:
                assert orjson.loads(content)["choices"][0]["message"]["content"]

    async with bare_session() as session:
        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(MAX_INFLIGHT)))
        return time.perf_counter() - started


def bare_body(request: ChatRequest) -> bytes:
    data = b64encode(Path(request.pictures[0].path).read_bytes()).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    turns = [
        {"role": "system", "content": request.system},
        {"role": "user", "content": [picture, {"type": "text", "text": request.text}]},
    ]
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": request.schema, "strict": True},
    }
    return orjson.dumps(
        {
            "model": "stub",
            "messages": turns,
            "response_format": schema,
            "max_tokens": 512,
            "temperature": 0.0,
        }
    )


def run_bare(requests: Sequence[ChatRequest], url: str) -> float:
    return asyncio.run(send_all(map(bare_body, requests), url, parse=True))


def run_ready(requests: Sequence[ChatRequest], url: str) -> float:
    ready = [request_body(request, options_for(url)) for request in requests[:PICTURES]]
    return asyncio.run(
        send_all((ready[n % len(ready)] for n in range(len(requests))), url, parse=False)
    )


WAYS: dict[str, Callable[[Sequence[ChatRequest], str], float]] = {
    "client": run_client,
    "bare": run_bare,
    "ready": run_ready,
}


def peak_mib(count: int, folder: Path, url: str) -> float:
    """Peak resident memory of a process that sends `count` requests through the client."""
    command = [
        sys.executable,
        __file__,
        "--send",
        str(count),
        "--pictures",
        str(folder),
        "--url",
        url,
    ]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def send_and_print_peak(options: argparse.Namespace) -> None:
    run_client(make_requests(options.send, sorted(Path(options.pictures).iterdir())), options.url)
    # Not getrusage: its maximum outlives exec, so a child would report its parent's size.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = make_pictures(folder)
    requests = make_requests(options.requests, paths)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu_ms: dict[str, list[float]] = {name: [] for name in WAYS}
    with stub_server(options.latency_secs) as url:
        for run in WAYS.values():  # imports and caches are warm before the clock counts
            run(requests[:MAX_INFLIGHT], url)
        for number in range(options.rounds):
            order = list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]
            for name in order:
                cpu_started = time.process_time()
                seconds[name].append(WAYS[name](requests, url))
                cpu_ms[name].append(1_000 * (time.process_time() - cpu_started) / options.requests)
        peaks = {
            count: peak_mib(count, folder, url)
            for count in (options.requests, 4 * options.requests)
        }
    rates = {name: options.requests / statistics.median(times) for name, times in seconds.items()}
    return {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, aiohttp "
        f"{aiohttp.__version__}",
        "requests": options.requests,
        "picture_bytes": round(statistics.mean(path.stat().st_size for path in paths)),
        "requests_per_sec": rates,
        "cpu_ms_per_request": {name: statistics.median(times) for name, times in cpu_ms.items()},
        "latency_secs": options.latency_secs,
        "seconds": seconds,
        # Of the rounds, not of the medians: neighbours in time share the machine's speed.
        "client_to_bare": statistics.median(
            b / c for b, c in zip(seconds["bare"], seconds["client"], strict=True)
        ),
        "client_to_ready": statistics.median(
            r / c for r, c in zip(seconds["ready"], seconds["client"], strict=True)
        ),
        "peak_mib": peaks,
    }


def report(found: dict[str, Any]) -> None:
    print(
        f"{found['machine']}; {found['requests']:,} requests of one picture of "
        f"{found['picture_bytes']:,} bytes"
    )
    for name, rate in found["requests_per_sec"].items():
        print(
            f"{name:8}{rate:8.0f} requests/s {found['cpu_ms_per_request'][name]:8.2f} ms of "
            "processor each"
        )
    if found["latency_secs"]:
        print(f"{'ceiling':8}{MAX_INFLIGHT / found['latency_secs']:8.0f} requests/s")
    print(f"client / bare  (equal work)    {found['client_to_bare']:.3f}   target {TARGET}")
    print(f"client / ready (bodies ready)  {found['client_to_ready']:.3f}")
    for count, peak in found["peak_mib"].items():
        print(f"peak memory at {count:6,} requests {peak:8.0f} MiB")
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure ChatClient against a bare aiohttp loop.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--latency-secs", type=float, default=LATENCY_SECS, help="what the stub takes for an answer"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pictures", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.latency_secs))
    elif options.send:
        send_and_print_peak(options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
