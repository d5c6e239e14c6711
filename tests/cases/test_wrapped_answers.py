"""24: answers of a model that are right but wrapped, by a server of the loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cases.support import case, items_of, run_case

WAIT_SECS = 20


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The base URL of the case's own server, which wraps its answers by a word in the title."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(case("24-llm-wrapped-answers") / "server.py"), str(port)]
    # It writes what it was asked into its working directory.
    with subprocess.Popen(command, cwd=tmp_path) as server:
        url = f"http://127.0.0.1:{port}/v1"
        deadline = time.monotonic() + WAIT_SECS
        while time.monotonic() < deadline:
            with suppress(OSError), urlopen(f"{url}/models"):
                break
            time.sleep(0.05)
        yield url
        server.kill()


def test_every_wrapped_answer_is_read(endpoint: str, tmp_path: Path) -> None:
    """However an answer is wrapped its colour is read, a refusal is a refusal, nothing is asked
    twice, and what was in the way is counted.
    """
    folder = case("24-llm-wrapped-answers")
    options = ("--describe-backend", "openai", "--describe-model", "tiny", "--endpoint", endpoint)
    snapshot = run_case(folder / "my.yaml", [folder / "items.csv"], tmp_path / "output", *options)
    items = items_of(snapshot)
    colors = {item_id: row["color"] for item_id, row in items.items()}
    # The server answers with the first of the values that its prompt offers.
    right = dict.fromkeys(items, "Blue")
    refused = next(item_id for item_id in right if "refusal" in item_id)
    assert colors == right | {refused: None}
    assert items[refused]["color__provenance"]["reason"] == "model-refused"
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert len(calls) == len(items)
    counted = json.loads((snapshot / "manifest.json").read_text())["counts"]["described"]
    assert counted["repaired_answers"].keys() >= {
        "fence", "thinking", "prose", "invisible marks", "case", "extra keys", "null", "list",
        "content parts", "tool call", "a comma before a closing bracket",
    }  # fmt: skip
