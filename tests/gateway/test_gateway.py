"""Whole runs through a real LiteLLM proxy: `make test-gateway`. What is behind it are emulators."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.commands.exits import Exit
from tests.gateway.proxy import KEY, PYTHON, UPSTREAMS, Gateway, alias_of, dropping, serving
from tests.misbehaviour import HostileServer
from tests.servers.__main__ import kept_of_gateway, through_gateway
from tests.servers.emulator import Emulator
from tests.servers.registry import SERVERS, needed_options
from tests.support import Run, Shop, flags, read_rows

pytestmark = [
    pytest.mark.skipif(
        not PYTHON,
        reason="CATALOG_ENRICH_GATEWAY_PYTHON names no interpreter; run `make test-gateway`",
    ),
    pytest.mark.timeout(300),
]
ITEMS = 3
BLIND = "llama.cpp without a projector"
SEEING = [name for name in UPSTREAMS if name != BLIND]
# LiteLLM does not know TGI's word for a schema, so it stands in the prompt.
ASKED_OTHERWISE = {"TGI"}
# A run that cannot succeed stops after so many calls; the seconds are under ten on a quiet machine.
MOST_CALLS, MOST_SECS = 5, 40


@dataclass(frozen=True)
class Served:
    """The proxy, and who is behind it: emulators by their names, and a server that misbehaves as `misbehaving`."""

    gateway: Gateway
    servers: dict[str, Emulator]
    hostile: HostileServer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with HostileServer() as hostile:
        behind = {"model": "openai/tiny", "api_base": hostile.url, "api_key": "upstream-key-01234"}
        price = {"input_cost_per_token": 0.01, "output_cost_per_token": 0.01}
        further = {
            "misbehaving": behind,
            "slow/misbehaving": {**behind, "timeout": 1},
            "dear": {**behind, **price, "max_budget": 1e-6, "budget_duration": "1d"},
        }
        with serving(tmp_path_factory.mktemp("gateway"), **further) as (gateway, servers):
            yield Served(gateway, servers, hostile)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_GATEWAY_KEY", KEY)


def catalog(shop: Shop, *marked: str, items: int = ITEMS) -> Path:
    """So many things with a picture each; the first have these words in their names."""
    names = [f"Thing {n} {marked[n] if n < len(marked) else ''}" for n in range(items)]
    records = [
        {"sku": f"s{n}", "name": name, "photos": [shop.picture(f"{n}.png")]}
        for n, name in enumerate(names)
    ]
    return shop.file("in.jsonl", records)


def through(gateway: Gateway, alias: str, *more: str) -> list[str]:
    """The options of a run that asks this model of the gateway."""
    endpoint = ["--describe-backend", "openai", "--endpoint", gateway.url]
    named = ["--describe-model", alias, "--api-key-env", "SHOP_GATEWAY_KEY", "--no-probes"]
    return [*endpoint, *named, *more]


def directly(server: Emulator) -> list[str]:
    options = ["--describe-backend", "openai", "--endpoint", server.url, "--no-probes"]
    options += ["--describe-model", server.model]
    for name, entries in needed_options(server).items():
        options += [word for e in entries for word in (f"--{name.replace('_', '-')}", e)]
    return options


def answers(run: Run) -> list[str]:
    """What the model said, whoever passed it on, in one order."""
    said = [json.loads(row["content"]) for row in read_rows(run.output / "answers")]
    return sorted(json.dumps(each, sort_keys=True) for each in said)


def told(run: Run) -> str:
    """What a run says on the terminal, as one line."""
    return " ".join((run.out + run.err).split())


def model_flags(run: Run) -> dict[str, set[str]]:
    return {row["item_id"]: flags(row) for row in run.rows("items")}


@pytest.mark.parametrize("name", SEEING)
def test_all_items_are_kept_as_directly(name: str, shop: Shop, served: Served) -> None:
    """Whoever is behind the proxy, and whether it drops parameters or refuses them: each item is
    answered, and in the words in which the same server answers where it is asked directly.
    """
    path = catalog(shop)
    ways = {alias: through(served.gateway, alias) for alias in (alias_of(name), dropping(name))}
    if name in SERVERS:
        ways["direct"] = directly(served.servers[name])
    runs = [shop.run(path, options=options, output=output) for output, options in ways.items()]
    for run in runs:
        assert run.code == 0, run.out + run.err
        described = run.manifest["counts"]["described"]
        assert (described["items"], described["failed_items"]) == (ITEMS, {})
        assert not any(model_flags(run).values())
    said = [answers(run) for run in runs]
    assert {len(each) for each in said} == {ITEMS}
    # The emulator answers by what it reads: another question where the schema stands in it.
    if name not in ASKED_OTHERWISE:
        assert all(each == said[0] for each in said)


def test_who_sees_no_pictures_ends_the_run_with_the_remedy(shop: Shop, served: Served) -> None:
    """A model behind the proxy that takes no pictures ends the run with its first refusal; with
    --max-pictures 0 it answers.
    """
    path, before = catalog(shop), served.gateway.calls
    run = shop.run(path, options=through(served.gateway, BLIND))
    assert run.code == Exit.BROKEN_OFF, run.out
    assert "--max-pictures 0" in told(run)
    assert served.gateway.calls - before == 1
    again = shop.run(path, options=through(served.gateway, BLIND, "--max-pictures", "0"))
    assert again.code == 0, again.out + again.err


def test_a_wait_that_the_proxy_hides_is_kept(shop: Shop, served: Served) -> None:
    """The proxy passes its upstream's Retry-After on under another name only; the item is asked
    again after that time, not before, and is kept.
    """
    path = catalog(shop, "[server: 429:3 ok]")
    started, before = time.monotonic(), served.gateway.calls
    run = shop.run(path, options=through(served.gateway, "misbehaving", "--max-retries", "0"))
    assert run.code == 0, run.out + run.err
    assert not any(model_flags(run).values())
    assert time.monotonic() - started >= 3
    assert served.gateway.calls - before == ITEMS + 1


def test_a_timeout_of_the_proxy_is_asked_again(shop: Shop, served: Served) -> None:
    """HTTP 408, which the proxy makes of an upstream that is too slow for it, is sent again; an item
    that never gets through costs itself alone.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    path = catalog(shop, "[server: hang ok]", "[server: hang]", items=4)
    run = shop.run(path, options=through(served.gateway, "slow/misbehaving", "--max-retries", "1"))
    assert run.code == 0, run.out + run.err
    found = model_flags(run)
    assert found == {"s0": set(), "s1": {"model-timeout"}, "s2": set(), "s3": set()}


@pytest.mark.parametrize(
    "marker", ["status-400-filtered", "status-403-moderated", "400", "403 ok", "content-filter"]
)
def test_a_refused_item_costs_itself(marker: str, shop: Shop, served: Served) -> None:
    """What a filter behind the proxy withholds, by any status, costs its own item; the others are
    kept, and the run goes on.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    path = catalog(shop, "", f"[server: {marker}]", items=4)
    run = shop.run(path, options=through(served.gateway, "misbehaving"))
    assert run.code == 0, run.out + run.err
    found = model_flags(run)
    assert [found[f"s{n}"] for n in (0, 2, 3)] == [set()] * 3
    assert len(found["s1"]) == 1


def ended(
    shop: Shop, served: Served, *more: str, marker: str = "", alias: str = "misbehaving"
) -> Run:
    """A run that has to end early: in few calls, and soon."""
    path, before = catalog(shop, *[marker] * 8, items=8), served.gateway.calls
    started = time.monotonic()
    run = shop.run(path, options=through(served.gateway, alias, *more))
    took, calls = time.monotonic() - started, served.gateway.calls - before
    print(f"{marker or alias}: {calls} calls, {took:.1f} s")
    assert run.code == Exit.BROKEN_OFF, run.out + run.err
    assert calls <= MOST_CALLS
    assert took <= MOST_SECS
    return run


def test_a_wrong_key_ends_the_run(
    shop: Shop, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the proxy does not know, which without a database it says with HTTP 400, ends the
    run; with the right one it continues.
    """
    monkeypatch.setenv("SHOP_GATEWAY_KEY", "sk-somebody-else-0123456789")
    run = ended(shop, served, alias="slow/misbehaving")
    assert "does not accept the key" in told(run)
    assert "SHOP_GATEWAY_KEY" in told(run)
    monkeypatch.setenv("SHOP_GATEWAY_KEY", KEY)
    path = catalog(shop, items=8)
    assert shop.run(path, options=through(served.gateway, "misbehaving")).code == 0


def test_an_unknown_model_ends_the_run(shop: Shop, served: Served) -> None:
    """A model that is no alias of the proxy's ends the run with the option that names it."""
    run = ended(shop, served, alias="nobody")
    assert "--describe-model" in told(run)


# What all items have in their names → what the message has to say.
REFUSED = {
    "[server: 401]": "the key that the gateway has",
    "[server: 403]": "the key that the gateway has",
    "[server: 402]": "credit",
    "[server: 404]": "mend its entry for this model there",
}


@pytest.mark.parametrize("marker", REFUSED)
def test_what_the_upstream_refuses_for_all_ends_the_run(
    marker: str, shop: Shop, served: Served
) -> None:
    """A key, credit or address that is wrong behind the proxy ends the run in as few calls, also
    though the proxy asks nobody for some seconds after a refusal; a key is said to be the proxy's.
    """
    time.sleep(5.5)  # until it asks again whom the test before had refuse
    run = ended(shop, served, marker=marker)
    assert REFUSED[marker] in told(run)
    time.sleep(5.5)


def test_a_spent_budget_of_a_model_ends_the_run(shop: Shop, served: Served) -> None:
    """A budget that the proxy holds for a model ends the run once it is spent, and what was answered
    before is kept.
    """
    path, before = catalog(shop, items=8), served.hostile.calls
    run = shop.run(path, options=through(served.gateway, "dear", "--max-inflight", "1"))
    assert run.code == Exit.BROKEN_OFF, run.out
    assert "credit" in told(run)
    paid = served.hostile.calls - before
    assert 0 < paid < 8
    again = shop.run(path, options=through(served.gateway, "misbehaving"))
    assert again.code == 0


AUTH = """
import litellm
from litellm.proxy._types import UserAPIKeyAuth


async def by_name(request, api_key: str) -> UserAPIKeyAuth:
    if "poor" in api_key:
        raise litellm.BudgetExceededError(current_cost=2.0, max_budget=1.0)
    return UserAPIKeyAuth(api_key=api_key)
"""


def test_a_spent_budget_of_a_key_ends_the_run(
    shop: Shop,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A virtual key whose budget is spent ends the run; another key's run is answered. Keys come
    from a function, as there is no database, which finds the budget spent; the proxy says so.
    """
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys.py").write_text(AUTH)
    behind = {"model": "openai/tiny", "api_base": served.hostile.url, "api_key": "upstream-key-01"}
    keys = {"custom_auth": "keys.by_name"}
    with Gateway(folder, {"misbehaving": behind}, general_settings=keys) as gateway:
        here = Served(gateway, {}, served.hostile)
        monkeypatch.setenv("SHOP_GATEWAY_KEY", "sk-poor-0123456789")
        assert "credit" in told(ended(shop, here))
        monkeypatch.setenv("SHOP_GATEWAY_KEY", "sk-rich-0123456789")
        path = catalog(shop, items=8)
        assert shop.run(path, options=through(gateway, "misbehaving")).code == 0


def test_doctor_asks_the_proxy(shop: Shop, served: Served, capsys: Any) -> None:
    """`doctor` finds the alias in the proxy's list, puts its question, and says how the server wants
    to be asked.
    """
    options = through(served.gateway, alias_of("OpenAI, reasoning models"))[:-1]
    code = cli.main(["doctor", *options])
    out = " ".join(capsys.readouterr().out.split())
    assert code == 0, out
    assert "temperature=no" in out


def test_the_page_tells_what_the_proxy_shows() -> None:
    """The row of the proxy, and the table of who is behind it, are those of runs today; `python -m
    tests.servers` writes them.
    """
    assert through_gateway() == kept_of_gateway()
