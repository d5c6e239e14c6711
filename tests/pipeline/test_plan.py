"""`catalog-enrich plan`: what it foretells is what a run then does, and it changes nothing that
readers see.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.catalogs import CATALOGS, arguments
from tests.chat_server import ChatServer
from tests.support import FAKE_MODELS, Run, Shop, needs_data

RECORDS = [
    {
        "sku": f"s{number:02}",
        "name": f"Mug {number}",
        "text": f"A mug for {number} cups.",
        "photos": f"{number % 4}.png",
    }
    for number in range(12)
]
COUNTED = ("calls", "prompt_tokens", "image_tokens", "completion_tokens")


def call(*arguments_: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(list(arguments_))
    return code, out.getvalue(), err.getvalue()


def foretold(*given: str) -> dict[str, Any]:
    code, out, err = call("plan", *given, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture
def mugs(shop: Shop) -> Shop:
    for number in range(4):
        shop.picture(f"{number}.png", ("red", "blue", "green", "white")[number])
    return shop


def given(shop: Shop, catalog: Path, *options: str) -> list[str]:
    return [*shop.arguments([catalog]), *options, "--output", str(shop.folder / "out")]


# From the other end than tests/pipeline/test_real_catalogs.py, which may be building the catalogs
# at the same time: then no worker waits for the other.
@needs_data
@pytest.mark.parametrize("whole", [*CATALOGS][::-1], indirect=True)
def test_calls_and_tokens_are_those_of_the_run(whole: tuple[str, Run], tmp_path: Path) -> None:
    """On each real catalog plan foretells the calls that the run makes exactly, and its tokens
    within 20 %.
    """
    name, run = whole
    found = foretold(
        *arguments(name, *FAKE_MODELS, "--workers", "1"), "--output", str(tmp_path / "out")
    )
    made = run.manifest["counts"]["described"]
    assert found["calls"] == made["calls"] > 0
    assert found["asked"] == made["jobs"]
    for tokens in COUNTED[1:]:
        assert found[tokens] == pytest.approx(made[tokens], rel=0.2)
    assert found["records_in"] == found["to_make"] == run.manifest["counts"]["records_in"]


def test_a_plan_is_no_run(mugs: Shop) -> None:
    """A plan asks no server, publishes nothing, keeps no answer and leaves no snapshot or work
    behind.
    """
    catalog = mugs.file("in.jsonl", RECORDS)
    with ChatServer() as server:
        found = foretold(*given(mugs, catalog, *asking(server)))
        assert server.calls == 0
    assert found["calls"] == len(RECORDS)
    left = {
        path.relative_to(mugs.folder / "out").parts[0]
        for path in (mugs.folder / "out").rglob("*.*")
    }
    assert left <= {"picture-features", ".lock.json.guard"}


def asking(server: ChatServer, *options: str) -> list[str]:
    return [
        "--describe-backend",
        "openai",
        "--endpoint",
        server.url,
        "--describe-model",
        "M",
        *options,
    ]


@pytest.mark.parametrize(
    "options", [(), ("--two-pass",), ("--max-model-calls", "5"), ("--max-pictures", "0")]
)
def test_calls_to_a_server_are_foretold(options: tuple[str, ...], mugs: Shop) -> None:
    """In one pass, in two, within a budget or without pictures: as many calls as were foretold
    reach the server.
    """
    catalog = mugs.file("in.jsonl", RECORDS)
    with ChatServer() as server:
        found = foretold(*given(mugs, catalog, *asking(server, *options)))
        code, _, err = call("run", *given(mugs, catalog, *asking(server, *options)), "--quiet")
        assert code in (0, 1), err  # the gate may refuse what the budget left open
        assert server.calls == found["calls"] > 0


def test_the_next_run_is_foretold_from_the_last(mugs: Shop) -> None:
    """After a run: nothing to do is said as such; changes are counted; kept answers are not paid
    for again.
    """
    catalog = mugs.file("in.jsonl", RECORDS)
    with ChatServer() as server:
        options = asking(server)
        assert call("run", *given(mugs, catalog, *options))[0] == 0
        paid = server.calls
        found = foretold(*given(mugs, catalog, *options))
        assert (found["to_make"], found["calls"], found["because"]) == (0, 0, [])
        changed = [*RECORDS[1:], {**RECORDS[0], "sku": "s99", "name": "Jug"}]
        mugs.file("in.jsonl", changed)
        found = foretold(*given(mugs, catalog, *options))
        assert found["records"] == {
            "new": 1,
            "changed": 0,
            "made_again": 0,
            "unchanged": 11,
            "deleted": 1,
        }
        assert found["rates"].startswith("run ")
        assert call("run", *given(mugs, catalog, *options))[0] == 0
        made = json.loads((mugs.folder / "out" / "current" / "manifest.json").read_text())[
            "counts"
        ]["described"]
        assert server.calls - paid == found["calls"] == made["calls"] == 1
        for tokens in COUNTED[1:]:
            assert found[tokens] == pytest.approx(made[tokens], rel=0.2, abs=5)
        full = foretold(*given(mugs, catalog, *options), "--full")
        assert (full["calls"], full["because"]) == (0, ["--full was given"])


def test_without_a_language_model_records_and_pictures_are_counted(mugs: Shop) -> None:
    """Where no model is asked a plan counts records and picture references, and looks at no
    picture.
    """
    catalog = mugs.file("in.jsonl", [*RECORDS, {"name": "no id"}])
    found = foretold(*given(mugs, catalog, "--describe-backend", "embedded"))
    assert (found["model"], found["calls"], found["records_in"], found["pictures"]) == (
        None,
        0,
        13,
        4,
    )
    assert not list((mugs.folder / "out").rglob("*.parquet"))


def test_what_is_printed_fits_a_screen(mugs: Shop) -> None:
    """For people: at most 80 columns, with calls, tokens, cost, and how to learn a model's rates."""
    catalog = mugs.file("in.jsonl", RECORDS)
    prices = ("--prices", "prompt=1", "completion=2")
    with ChatServer() as server:
        code, out, err = call("plan", *given(mugs, catalog, *asking(server), *prices))
    assert code == 0, err
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "model calls to M" in out
    assert "--max-model-calls 50" in out
    assert "a first run" in out


def test_a_plan_waits_for_no_run(mugs: Shop) -> None:
    """Options that make no sense are reported as for a run, with exit code 2."""
    code, _, err = call("plan", *given(mugs, mugs.folder / "missing.jsonl"))
    assert code == 2
    assert "matches no file" in err
