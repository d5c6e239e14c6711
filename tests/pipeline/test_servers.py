"""The whole job against a server that wants to be asked in its own form: it is learnt, told, and kept."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from pipelines import cli
from tests.servers.azure_deployment import API_VERSION, KEY
from tests.servers.registry import SERVERS
from tests.support import Shop


def plan(shop: Shop, *options: str) -> str:
    out = io.StringIO()
    arguments = [*shop.arguments([shop.folder / "in.jsonl"]), *options]
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert cli.main(["plan", *arguments, "--output", str(shop.folder / "out")]) == 0
    return " ".join(out.getvalue().split())


def test_a_run_learns_how_to_ask_and_the_plan_tells(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that refuses what is usual costs refused calls in one run, none in the next, and no
    item; what was learnt lies beside the answers, without any key.
    """
    monkeypatch.setenv("SHOP_AZURE_KEY", KEY)
    records = [
        {"sku": f"s{n}", "name": f"Thing {n}", "photos": [shop.picture(f"{n}.png")]}
        for n in range(4)
    ]
    path = shop.file("in.jsonl", records)
    with SERVERS["Azure OpenAI, deployments"]() as server:
        options = (
            *("--describe-backend", "openai", "--endpoint", f"{server.url}/"),
            *("--describe-model", "tiny", "--request-header", "api-key=env:SHOP_AZURE_KEY"),
            *("--request-query", f"api-version={API_VERSION}"),
        )
        assert "one that the table does not know, and to take what is usual" in plan(shop, *options)
        assert server.calls == 0
        run = shop.run(path, options=options)
        assert run.code == 0, run.out + run.err
        assert (server.calls, server.refused) == (5, 1)
        assert "schema_without=maxLength,minLength; in part learnt" in plan(
            shop, *options, "--full", "--describe-revision", "2"
        )
        records[0]["name"] = "Another thing"
        again = shop.run(shop.file("in.jsonl", records), options=options)
        assert (again.code, server.calls, server.refused) == (0, 6, 1)
    (kept,) = (run.output / "servers").iterdir()
    assert json.loads(kept.read_text())["endpoint"] == server.url
    for written in run.output.rglob("*"):
        assert written.is_dir() or KEY.encode() not in written.read_bytes()
