"""Questions go out while pictures are still being prepared, and nothing else changes by that."""

from __future__ import annotations

import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from tests.chat_server import ChatServer, user_text
from tests.support import Run, Shop, all_rows

# A limit that no run reaches: within a budget nothing is asked ahead.
TOGETHER = ("--max-model-calls", "100000")


def asked(url: str, *more: str) -> tuple[str, ...]:
    return (
        *("--describe-backend", "openai", "--endpoint", url, "--describe-model", "tiny"),
        *("--request-timeout-secs", "30", "--max-retries", "1", "--busy-secs", "0"),
        *more,
    )


def records(shop: Shop) -> list[dict[str, Any]]:
    """Things with pictures of their own, shared, none, broken and missing ones, and failures."""
    (shop.images / "broken.png").write_bytes(b"no picture")
    own = [shop.picture(f"{n:02}.png", f"rgb({n * 9}, 9, 9)") for n in range(24)]
    made = [{"sku": f"s{n:02}", "name": f"Thing {n}", "photos": [own[n]]} for n in range(24)]
    made[1]["photos"] = [own[1], own[2]]
    made[2]["photos"] = [own[2], "missing.png"]
    made[3]["photos"] = ["broken.png"]
    made[4]["photos"] = []
    made[5]["name"] = "Thing [server: 500]"
    made[6]["name"] = "Thing [server: prose]"
    made[7]["name"] = "Thing [server: off-schema ok]"
    made[8]["color"] = "Red"
    return [*made, {**made[0], "sku": "twin"}]


def kept(run: Run) -> list[str]:
    """The answers that are kept, without when they came."""
    rows = [
        {**row, "answered_ts": None, "run_id": None}
        for path in sorted((run.output / "answers").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    return sorted(map(repr, rows))


def counts(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {**run.manifest["counts"]["described"], "seconds": None}
    return found


def asked_about(server: ChatServer) -> list[str]:
    """What was asked, a short line a request: what is read first where two runs differ."""
    asked_of = [(user_text(body), len(str(body["messages"][0]))) for body in server.requests]
    return sorted(f"{text[text.find('title') :][:40]} {chars}" for text, chars in asked_of)


@pytest.mark.parametrize(
    "more", [("--no-probes",), ("--no-probes", "--workers", "2"), ("--two-pass",), ()]
)
def test_what_is_asked_ahead_changes_nothing(shop: Shop, more: tuple[str, ...]) -> None:
    """Tables, kept answers, counts and the requests themselves are those of a run that asks all at
    the end.
    """
    path = shop.file("in.jsonl", records(shop))
    with ChatServer() as one, ChatServer() as other:
        ahead = shop.run(path, options=asked(one.url, *more), output="ahead")
        together = shop.run(path, options=asked(other.url, *more, *TOGETHER), output="together")
    assert ahead.code == together.code == 0, ahead.out + ahead.err + together.err
    assert asked_about(one) == asked_about(other)
    assert all_rows(ahead) == all_rows(together)
    assert kept(ahead) == kept(together)
    assert counts(ahead) == counts(together)
    assert sorted(map(repr, one.requests)) == sorted(map(repr, other.requests))


class Watch(ChatServer):
    """Looks at how many pictures were ready when each question came."""

    ready: list[int]
    shop: Shop

    async def respond(self, request: web.Request) -> web.StreamResponse:
        folder = self.shop.folder
        self.ready.append(len(list(folder.glob("out*/_work/*/pictures/*/*.b64"))))
        return await super().respond(request)


def test_the_first_question_does_not_wait_for_the_last_picture(shop: Shop) -> None:
    """Where no probe has a say, questions come while most pictures still have to be prepared."""
    many = [
        {
            "sku": f"{n:03}",
            "name": f"T {n}",
            "photos": [shop.picture(f"{n}.png", f"rgb({n},1,{n})")],
        }
        for n in range(150)
    ]
    with Watch() as server:
        server.shop, server.ready = shop, []
        run = shop.run(shop.file("in.jsonl", many), options=asked(server.url, "--no-probes"))
    assert run.code == 0, run.err
    assert server.calls == 150
    assert min(server.ready) < 75


def test_a_server_that_is_gone_is_asked_no_second_time(shop: Shop) -> None:
    """A bad key found out ahead ends the run after as many calls as it would at the end."""
    calls = []
    for more in ((), TOGETHER):
        with ChatServer(key="another") as server:
            begun = time.monotonic()
            run = shop.run(
                shop.file("in.jsonl", records(shop)),
                options=asked(server.url, "--no-probes", *more),
                output=f"out{len(calls)}",
            )
            calls.append((run.code, server.calls))
            assert time.monotonic() - begun < 60
    assert calls[0] == calls[1]
