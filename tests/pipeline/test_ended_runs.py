"""Whole runs that no server answers: they break off soon, with one line, and the next one goes on after the remedy.

`make test` runs a few kinds; `make test-servers` all, and kills. What each kind comes to at the client is
tests/unit/transforms/models/http/test_endings.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.misbehaviour import HostileServer
from tests.misbehaviour.ends import CREDIT, ENDINGS, KEY, MODEL, WRONG_KEY
from tests.support import Run, Shop

LONG = bool(os.environ.get("CATALOG_ENRICH_HOSTILE_ITEMS"))
FEW = ("credit-insufficient-quota", "pictures-500")
ITEMS, ANSWERED = 12, 4
# A run has ended so soon after its first question, and after so many that were refused.
MOST_SECS, MOST_REFUSED = 10.0, 5
KEY_NAME = "MISBEHAVIOUR_KEY"


def options(url: str, *more: str) -> list[str]:
    model = ["--describe-backend", "openai", "--endpoint", url, "--api-key-env", KEY_NAME]
    given = [] if "--describe-model" in more else ["--describe-model", MODEL]
    return [
        *model,
        *given,
        "--no-probes",
        "--describe-image-px",
        "56",
        "--max-inflight",
        "2",
        *more,
    ]


def records(shop: Shop, name: str) -> list[dict[str, Any]]:
    return [
        {
            "sku": f"s{n:02}",
            "name": f"Thing {n:02} [server: {name}]",
            "photos": [shop.picture(f"{n:02}.png", f"rgb({n * 9}, 90, 60)")],
        }
        for n in range(ITEMS)
    ]


def timed(shop: Shop, path: Path, server: HostileServer, *given: str) -> tuple[Run, float]:
    """A run, and the seconds from its first question to its end."""
    server.first_at = 0.0
    run = shop.run(path, options=options(server.url, *given))
    return run, time.monotonic() - server.first_at


@pytest.mark.parametrize("name", ENDINGS if LONG else FEW)
def test_a_run_that_nobody_can_answer_breaks_off(
    shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 3 after five refused questions at most, within ten seconds of the first, says what to do in one
    line, publishes nothing; the next run with the remedy asks what is open, and nothing that was answered.
    """
    remedy = ENDINGS[name].remedy
    # Another model, or no pictures, is another question.
    answered = ANSWERED if remedy in (CREDIT, KEY) else 0
    path = shop.file("in.jsonl", records(shop, name))
    monkeypatch.setenv(KEY_NAME, WRONG_KEY)
    with HostileServer() as server:
        server.spared = answered
        ended, secs = timed(shop, path, server)
        assert ended.code == 3, ended.out + ended.err
        assert server.seen["ok"] == answered
        assert 0 < server.seen[name] <= MOST_REFUSED
        assert secs <= MOST_SECS
        (line,) = [line for line in ended.err.splitlines() if remedy.words in line]
        assert "broke off" in line
        assert WRONG_KEY not in ended.out + ended.err
        assert not (ended.output / "current").exists()
        server.mended = True
        server.seen.clear()
        monkeypatch.setenv(KEY_NAME, remedy.key)
        done, _ = timed(shop, path, server, *remedy.options)
        assert done.code == 0, done.out + done.err
        assert (server.seen["ok"], server.seen[name]) == (0, ITEMS - answered)
    described = done.manifest["counts"]["described"]
    assert (described["reused"], described["failed_items"]) == (answered, {})


@pytest.mark.skipif(not LONG, reason="make test-servers")
def test_two_workers_ask_no_more_than_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose parts are asked by two processes ends as soon, and says it once."""
    monkeypatch.setenv(KEY_NAME, WRONG_KEY)
    catalog = [{"sku": f"s{n}", "name": f"Thing {n} [server: credit-402]"} for n in range(1_200)]
    with HostileServer() as server:
        arguments = shop.arguments([shop.file("in.jsonl", catalog)])
        arguments[arguments.index("--workers") + 1] = "2"
        command = [sys.executable, "-m", "pipelines.enrich", *arguments, *options(server.url)]
        output = ["--output", str(shop.folder / "out"), "--no-report"]
        done = subprocess.run([*command, *output], capture_output=True, text=True, check=False)
        assert time.monotonic() - server.first_at <= MOST_SECS
        assert (done.returncode, server.seen["credit-402"] <= MOST_REFUSED) == (3, True)
    assert done.stderr.count(CREDIT.words) == 1


@pytest.mark.skipif(not LONG, reason="make test-servers")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_answers_outlive_whatever_ends_the_process(shop: Shop, number: int) -> None:
    """A run that is killed in the middle of its asking leaves all its answers to the next."""
    catalog = [{"sku": f"s{n:03}", "name": f"Thing {n:03}"} for n in range(300)]
    path = shop.file("in.jsonl", catalog)
    with HostileServer() as server:
        server.slow_secs = 0.05
        arguments = [*shop.arguments([path]), *options(server.url), "--no-report"]
        command = [sys.executable, "-m", "pipelines.enrich", *arguments]
        with subprocess.Popen([*command, "--output", str(shop.folder / "out")]) as process:
            while server.seen["ok"] < 100:
                time.sleep(0.05)
            process.send_signal(number)
            process.wait(60)
        asked = server.seen["ok"]
        done = shop.run(path, options=options(server.url))
        assert done.code == 0, done.out + done.err
        # What was on the wire is asked again.
        assert server.seen["ok"] <= len(catalog) + 2 < len(catalog) + asked
    assert done.manifest["counts"]["described"]["reused"] >= asked - 2
