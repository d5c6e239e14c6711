"""What stands between a bare aiohttp loop and the product's client of language models.

A stub server in a process of its own answers at once (or after --latency-secs), with any
concurrency, and parses nothing. Ways to send the same bodies take turns in one run, 128 under way:

- bare: 128 coroutines around one aiohttp session with bodies that were made before the clock
  started; nothing is read, checked or kept;
- loop: the same, but pictures are read and encoded, bodies made and answers parsed as a script
  would do it, each for each call;
- client: ChatClient, from requests that name picture files to parsed answers;
- ask: all of the stage, from jobs to values in two parts at once: prompts, schemas, fingerprints,
  bodies, answers kept in a journal and counted, values checked and judged;
- plain: as client, of the same requests without their pictures.

Then what each step of a call costs in processor time, one after the other in one thread, and peak
memory of a process that sends N and of one that sends 4N. Prints tables, then JSON.

  python -m benchmarks.client
  python -m benchmarks.client --picture-px 672 --latency-secs 0.2
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from PIL import Image

from benchmarks.stub_server import completion, stub_server
from schemas.elements import DescribeJob
from schemas.loading import load_template
from tests.chat_server import answer_for
from transforms.caching.answers import AnswerCodec
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.ask import ModelSession, describe_part
from transforms.describe.conversation import RequestBroker, run_dialogue
from transforms.describe.prompts import AskOptions
from transforms.images.prepare import Preparation
from transforms.models.budget import Budget, OwnBudgetShare
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions, Picture
from transforms.models.http.chat import ChatApi, parse_response
from transforms.models.http.openai import OpenAIChatModel
from transforms.models.http.servers.kept import KeptCapabilities
from transforms.models.http.servers.known import known_capabilities

REQUESTS, ROUNDS, MAX_INFLIGHT = 3_000, 5, 128
PICTURES, PICTURE_PX, TARGET, TARGET_MS = 64, 380, 0.8, 1.0
ATTRIBUTES = ("brand", "category", "flavour", "dietary", "country", "net_weight")


@dataclass(frozen=True)
class Setting:
    """The same questions as jobs, requests and bodies, of a server at `url`."""

    url: str
    folder: Path
    jobs: list[DescribeJob]
    requests: list[ChatRequest]
    plain: list[ChatRequest]
    bodies: list[bytes]


def make_pictures(folder: Path, side_px: int) -> list[str]:
    """Digests of JPEG files: coarse noise, which compresses as photographs do."""
    digests = []
    for number in range(PICTURES):
        small = side_px // 4
        noise = Image.frombytes(
            "RGB", (small, small), random.Random(number).randbytes(small * small * 3)
        )
        Preparation(str(folder), side_px).prepare(
            Picture(f"{number:064x}", noise.resize((side_px, side_px), Image.Resampling.BICUBIC))
        )
        digests.append(f"{number:064x}")
    return digests


def make_jobs(count: int, digests: Sequence[str]) -> list[DescribeJob]:
    about = "Pressed from ripe fruit, kept cool, one litre, made in Sweden. " * 8
    return [
        DescribeJob(
            f"item-{n:06}",
            0,
            (("title", f"Juice number {n}"), ("description", about)),
            (("record_type", "offer"),),
            (digests[n % len(digests)],),
            ATTRIBUTES,
        )
        for n in range(count)
    ]


def model_for(url: str, folder: Path) -> OpenAIChatModel:
    """A model of whose server it is known what it takes, as in every run but the first."""
    chat = ChatOptions(
        model="stub", endpoint=url, max_inflight=MAX_INFLIGHT, learnt_dir=str(folder / "servers")
    )
    KeptCapabilities(chat.learnt_dir, url, chat.model).save(
        known_capabilities(chat, url).takes(None), frozenset()
    )
    return OpenAIChatModel(ModelOptions(describe_backend="openai", chat=chat))


def broker_for(model: OpenAIChatModel, folder: Path) -> RequestBroker:
    return RequestBroker(
        load_template("grocery"),
        AskOptions(),
        model,
        str(folder / "pictures"),
        lambda _, names: tuple(names),
    )


def first_requests(broker: RequestBroker, jobs: Sequence[DescribeJob]) -> list[ChatRequest]:
    return [next(run_dialogue(broker, job)) for job in jobs]


def chat_api(setting: Setting) -> ChatApi:
    chat = ChatOptions(model="stub", endpoint=setting.url)
    return ChatApi(chat, learner=known_capabilities(chat, setting.url).learner())


def run_client(setting: Setting, requests: Sequence[ChatRequest]) -> float:
    model = model_for(setting.url, setting.folder)
    model.load()
    started = time.perf_counter()
    answered = sum(isinstance(answer, ChatAnswer) for _, answer in model.answer(requests))
    seconds = time.perf_counter() - started
    model.close()
    assert answered == len(requests), f"{answered} answers for {len(requests)} requests"
    return seconds


def run_ask(setting: Setting, jobs: Sequence[DescribeJob]) -> float:
    """Seconds for the jobs in parts, two at once, as a worker of the stage has them."""
    model = model_for(setting.url, setting.folder)
    model.load()
    broker, answers = broker_for(model, setting.folder), setting.folder / "answers"

    def part(number: int) -> int:
        own = jobs[number::PARTS]
        cache = KeyRangeCache(str(answers / str(number)), "0000", "ffff", AnswerCodec("r", "stub"))
        cache.load()
        session = ModelSession(model, cache, Budget(), OwnBudgetShare(Budget().limit), 672)
        answered, usage = describe_part(broker, own, session)
        cache.close()
        assert usage.calls == len(own), usage
        return sum(answer.reason is None for _, answer in answered)

    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        answered = sum(pool.map(part, range(PARTS)))
    seconds = time.perf_counter() - started
    model.close()
    shutil.rmtree(answers)
    assert answered == len(jobs), f"{answered} answers for {len(jobs)} jobs"
    return seconds


PARTS = 4


async def send_all(bodies: Iterator[bytes], url: str, *, parse: bool) -> float:
    """Seconds until MAX_INFLIGHT coroutines have sent what `bodies` yields."""

    async def work() -> None:
        for body in bodies:
            async with session.post(f"{url}/chat/completions", data=body) as response:
                content = await response.read()
            assert response.status == 200
            if parse:
                assert orjson.loads(content)["choices"][0]["message"]["content"]

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), headers={"Content-Type": "application/json"}
    ) as session:
        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(MAX_INFLIGHT)))
        return time.perf_counter() - started


def script_body(request: ChatRequest) -> bytes:
    """The body as a script makes it, anew for each call."""
    data = b64encode(request.pictures[0].read()).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    turns = [
        {"role": "system", "content": request.system},
        {"role": "user", "content": [picture, {"type": "text", "text": request.text}]},
    ]
    form = {"name": "answer", "schema": request.schema, "strict": True}
    return orjson.dumps(
        {
            "model": "stub",
            "messages": turns,
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": request.max_tokens,
            "temperature": 0.0,
            "seed": 0,
            "logprobs": True,
        }
    )


WAYS: dict[str, Callable[[Setting], float]] = {
    "bare": lambda s: asyncio.run(
        send_all((s.bodies[n % len(s.bodies)] for n in range(len(s.jobs))), s.url, parse=False)
    ),
    "loop": lambda s: asyncio.run(send_all(map(script_body, s.requests), s.url, parse=True)),
    "client": lambda s: run_client(s, s.requests),
    "ask": lambda s: run_ask(s, s.jobs),
    "plain": lambda s: run_client(s, s.plain),
}


def steps_ms(setting: Setting) -> dict[str, float]:
    """Milliseconds of processor time of each step of a call, in one thread; best of three."""
    jobs, requests = setting.jobs[:400], setting.requests[:400]
    model = model_for(setting.url, setting.folder)
    broker = broker_for(model, setting.folder)
    api, headers = chat_api(setting), {"Content-Type": "application/json"}
    content = answer_for(orjson.loads(setting.bodies[0]))
    response = completion(json.dumps(content))
    answer = parse_response(200, headers, response)
    assert isinstance(answer, ChatAnswer)
    folder = setting.folder / "steps"

    def keep() -> None:
        cache = KeyRangeCache(str(folder), "0000", "ffff", AnswerCodec("r", "stub"))
        session = ModelSession(model, cache, Budget(), OwnBudgetShare(Budget().limit), 672)
        for n, request in enumerate(requests):
            session._reservations.reserve(request)
            session._accounted(f"{n:064}", request, answer)
        shutil.rmtree(folder)

    def judge() -> None:
        for dialogue in dialogues.pop():
            try:
                dialogue.send(answer)
            except StopIteration:
                continue
            raise AssertionError("a second question")

    def open_dialogues() -> list[Any]:
        opened = [run_dialogue(broker, job) for job in jobs]
        for each in opened:
            next(each)
        return opened

    def parse() -> None:
        for request in requests:
            api.body(request)
            assert isinstance(api.parse(request, 200, headers, response), ChatAnswer)

    dialogues = [open_dialogues() for _ in range(3)]
    body = [
        lambda: [api.body(r) for r in requests],
        lambda: [api.body(r) for r in setting.plain[:400]],
    ]
    timed = {
        "prompt": open_dialogues,
        "fingerprint": lambda: [request.fingerprint(model) for request in requests],
        "body": body[0],
        "body without picture": body[1],
        "body and parse": parse,
        "validation": judge,
        "ledger": keep,
    }
    found = {name: min(cpu_ms(call) for _ in range(3)) / len(jobs) for name, call in timed.items()}
    found["picture"] = found["body"] - found["body without picture"]
    found["parse"] = found.pop("body and parse") - found.pop("body")
    return found


def cpu_ms(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return 1_000 * (time.process_time() - started)


def peak_mib(count: int, setting: Setting, side_px: int) -> float:
    """Peak resident memory of a process that sends `count` requests through the client."""
    command = [sys.executable, "-m", "benchmarks.client", "--send", str(count)]
    command += ["--picture-px", str(side_px), "--url", setting.url]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def set_up(folder: Path, url: str, count: int, side_px: int) -> Setting:
    jobs = make_jobs(count, make_pictures(folder / "pictures", side_px))
    broker = broker_for(model_for(url, folder), folder)
    requests = first_requests(broker, jobs)
    plain = first_requests(broker, [replace_pictures(job) for job in jobs])
    return Setting(url, folder, jobs, requests, plain, list(map(script_body, requests[:PICTURES])))


def replace_pictures(job: DescribeJob) -> DescribeJob:
    return DescribeJob(
        job.item_id, 0, job.fields, job.known, (), job.attributes, describe=job.describe
    )


def send_and_print_peak(options: argparse.Namespace, folder: Path) -> None:
    setting = set_up(folder, options.url, options.send, options.picture_px)
    run_client(setting, setting.requests)
    # Not getrusage: its maximum outlives exec, so a child would report its parent's size.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    first = set_up(folder, "http://127.0.0.1/v1", 1, options.picture_px)
    with stub_server(
        json.dumps(answer_for(orjson.loads(first.bodies[0]))), options.latency_secs
    ) as url:
        setting = set_up(folder, url, options.requests, options.picture_px)
        warm = Setting(
            url,
            folder,
            *(
                [*each[:256]]
                for each in (setting.jobs, setting.requests, setting.plain, setting.bodies)
            ),
        )
        for run in WAYS.values():  # imports and caches are warm before the clock counts
            run(warm)
        for number in range(options.rounds):
            for name in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
                started = time.process_time()
                seconds[name].append(WAYS[name](setting))
                cpu[name].append(1_000 * (time.process_time() - started) / options.requests)
        steps = steps_ms(setting)
        peaks = {
            count: peak_mib(count, setting, options.picture_px)
            for count in ((options.requests, 4 * options.requests) if options.peak else ())
        }
    return {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, aiohttp "
        f"{aiohttp.__version__}",
        "requests": options.requests,
        "body_bytes": round(statistics.mean(map(len, setting.bodies))),
        "requests_per_sec": {
            n: options.requests / statistics.median(s) for n, s in seconds.items()
        },
        "cpu_ms": {name: statistics.median(times) for name, times in cpu.items()},
        # Of the rounds, not of the medians: neighbours in time share the machine's speed.
        "to_bare": {
            name: statistics.median(b / own for b, own in zip(seconds["bare"], times, strict=True))
            for name, times in seconds.items()
        },
        "steps_ms": steps,
        "peak_mib": peaks,
        "seconds": seconds,
    }


def report(found: dict[str, Any]) -> None:
    print(f"{found['machine']}; {found['requests']:,} bodies of {found['body_bytes']:,} bytes")
    for name, rate in found["requests_per_sec"].items():
        print(
            f"{name:8}{rate:8.0f} calls/s {found['to_bare'][name]:8.2f} of bare"
            f"{found['cpu_ms'][name]:8.2f} ms of processor each"
        )
    print(f"target of client: {TARGET} of bare")
    picture_ms = found["cpu_ms"]["client"] - found["cpu_ms"]["plain"]
    print(f"a picture: {picture_ms:.2f} ms a call, target {TARGET_MS}")
    for name, ms in found["steps_ms"].items():
        print(f"  {name:22}{ms:8.3f} ms")
    for count, peak in found["peak_mib"].items():
        print(f"peak memory at {count:6,} requests {peak:8.0f} MiB")
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the client against a bare aiohttp loop.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--picture-px", type=int, default=PICTURE_PX)
    parser.add_argument(
        "--latency-secs", type=float, default=0.0, help="what the stub takes for an answer"
    )
    parser.add_argument("--peak", action="store_true", help="measure memory too")
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.send:
            send_and_print_peak(options, Path(folder))
        else:
            report(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
