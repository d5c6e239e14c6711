"""No secret is written or printed, whoever says it: marks are planted wherever an option, a field of a template, a
variable or an answer takes one, and looked for in everything that is left.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from pipelines import cli
from pipelines.cli import COMMANDS, command_of
from pipelines.commands.command import Command
from schemas.sections.vectors import VectorSpec
from tests import chat_server
from tests.chat_server import ChatServer, answer_for, completion, user_text
from tests.picture_server import picture_server
from tests.planted import MARK, SHAPES, found_in, holds, ways_to_write
from tests.support import Shop

# A key with what has to be escaped in addresses, in JSON and in pages.
KEY = f'sk-{MARK}/"&+%41z'
FIELDS = [
    name
    for name, field in VectorSpec.model_fields.items()
    if name not in ("name", "of") and "str" in str(field.annotation)
]


def planted(command: Command) -> Iterator[tuple[str, list[str]]]:
    """Each option of a command that takes a value, and its arguments with a mark there."""
    actions = [each for each in command.parser()._actions if each.nargs != 0]
    every = os.environ.get("CATALOG_ENRICH_ALL_SHAPES")
    for number, action in enumerate(actions):
        # In turn, so that each option of the run is tried with each shape by one of the commands.
        turn = (number + [*COMMANDS].index(command.name)) % len(SHAPES)
        for shape in SHAPES if every else [list(SHAPES)[turn]]:
            arguments = command.name.split()
            for each in actions:
                if each is action or each.required:
                    value = SHAPES[shape] if each is action else harmless(each)
                    arguments += [*each.option_strings[-1:], value]
            yield f"{action.dest} {shape}", arguments


def harmless(action: argparse.Action) -> str:
    return str(next(iter(action.choices))) if action.choices else "nothing.yaml"


@pytest.mark.parametrize("command", map(command_of, COMMANDS), ids=lambda command: command.name)
def test_no_option_takes_a_secret(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mark in any option of any command, in any shape, is refused in words that do not hold it,
    and nothing is written.
    """
    monkeypatch.chdir(tmp_path)
    for place, arguments in planted(command):
        assert cli.main(arguments) == 2, place
        told = "".join(capsys.readouterr())
        assert told.strip(), place
        assert not holds(told), (place, told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["hunter2hunter2", MARK, f"HF_{MARK}", "AKIAQQQQEEEEAAAAMMPL"])
def test_a_key_in_place_of_its_variables_name(
    name: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no name of a variable is refused before anything is written, by every command that
    takes one and by the template, whatever the backend, and it is not quoted.
    """
    space = f"\nvectors:\n  - {{name: more, of: text, api_key_env: {name}}}\n"
    template = shop.file("with-space.yaml", shop.template + space)
    plain = shop.file("plain.yaml", shop.template)
    source, output = shop.file("in.jsonl", [{"sku": "1"}]), shop.folder / "out"
    run = ["--input", str(source), "--output", str(output), "--template"]
    flags = ("--api-key-env", "--text-api-key-env", "--image-api-key-env")
    calls = [[command, *run, str(template)] for command in ("run", "plan")]
    calls += [["run", *run, str(plain), flag, name] for flag in flags]
    calls += [["run", *run, str(plain), "--proxy", f"env:{name}"]]
    calls += [["run", *run, str(plain), "--request-header", f"api-key=env:{name}"]]
    calls += [["doctor", "--quick", *each] for each in (["--api-key-env", name],)]
    calls += [["template", "check", str(template)]]
    for arguments in calls:
        assert cli.main(arguments) == 2, arguments
        told = "".join(capsys.readouterr())
        assert "write the name, not the key" in told
        assert name not in told
    assert not output.exists()


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_space_takes_a_secret(
    field: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mark in any field of a template's space that takes a text is refused with its line."""
    for shape, text in SHAPES.items():
        entry = {"name": "more", "of": "text", field: [text] if field == "parts" else text}
        space = f"\nvectors:\n  - {json.dumps(entry)}\n"
        assert cli.main(["template", "check", str(shop.file("t.yaml", shop.template + space))]) == 2
        told = "".join(capsys.readouterr())
        assert "line " in told, shape
        assert not holds(told), (shape, told)


class EchoServer(ChatServer):
    """Says the key that it is given in every way and place; `Thing N` gets the way of number N."""

    async def behave(self, name: str, request: web.Request, body: dict) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if name != "ok":
            return await chat_server.behave(name, request, body)
        ways = list(ways_to_write(key).values())
        number = int((re.search(r"Thing (\d+)", user_text(body)) or [0, 0])[1])
        written = ways[number % len(ways)]
        if number >= 2 * len(ways):
            return await ANSWERS[number % len(ANSWERS)](written, body)
        said = dict.fromkeys(answer_for(body), f"it is {written}")
        content = json.dumps(said) if number < len(ways) else f"{written} and no JSON"
        return web.json_response(completion(body, content))


async def _redirect(written: str, _: Mapping[str, object]) -> web.StreamResponse:
    place = f"https://me:{MARK}@elsewhere.example/v1?key={MARK}"
    return web.Response(status=307, headers={"Location": place}, text=written)


async def _refused(written: str, _: Mapping[str, object]) -> web.StreamResponse:
    return web.json_response({"error": {"message": f"no such key {written}"}}, status=400)


async def _page(written: str, _: Mapping[str, object]) -> web.StreamResponse:
    return web.Response(text=f"<html>{written}</html>", content_type="text/html")


ANSWERS = (_redirect, _refused, _page)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that hold marks, for stores, hubs, proxies and the server of a model."""
    for name in ("SHOP_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{MARK}@127.0.0.1:9")


def test_no_secret_is_left_by_a_run(
    shop: Shop, secrets: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that says the key in all ways, as a value, a message, an address and a page, and
    pictures whose addresses are signed, leave the key in no file and no word of any command, and
    the signatures only where the catalog's own addresses stand.
    """
    with EchoServer() as server, picture_server() as pictures:
        options = [*served_by(server.url), "--fetch-images", f"127.0.0.1:{pictures.port}"]
        options += arguments_of(shop, signed_records(pictures.port))
        for command in commands(shop, options):
            code = cli.main(command)
            told = "".join(capfd.readouterr())
            assert code == 0 or command[0] == "doctor", (command, told)
            mark = KEY if command[0] in SHOWS_ROWS else MARK
            assert not holds(told, mark), (command, told)
        assert server.answered >= TOLD
    assert found_in(shop.folder / "out", CATALOGS_OWN, never=KEY) == []


@pytest.mark.parametrize("behaviour", ["401", "closed"])
def test_no_secret_is_left_by_a_run_that_fails(
    behaviour: str, shop: Shop, secrets: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that refuses or hangs up is reported without the key, by `run` as by `doctor`, with
    several processes.
    """
    with ChatServer([behaviour] * 1000) as server:
        options = [*served_by(server.url), "--workers", "2" if behaviour == "401" else "1"]
        options += ["--give-up-secs", "1"]
        doctor = served_by(server.url)[:-2]
        records = [{"sku": f"s{n}", "name": f"Thing {n}"} for n in range(3)]
        for command in (
            ["run", *arguments_of(shop, records), *options],
            ["doctor", "--quick", *doctor],
        ):
            cli.main(command)
            told = "".join(capfd.readouterr())
            assert told.strip()
            assert not holds(told), (command, told)
        assert server.calls
    assert found_in(shop.folder / "out") == []


# Items whose answers hold the key, and further ones that have no answer.
TOLD = 2 * len(ways_to_write(KEY)) + len(ANSWERS)
# Columns that hold what the catalog says, and what refers to them; intermediate copies of records.
CATALOGS_OWN = (
    "items/images.path",
    "items/flags.field",
    "items/weight__given",
    "items/weight__provenance.evidence.text",
    "quarantine/raw",
    ".arrow",
)
# Commands that show rows of tables to whoever may read them.
SHOWS_ROWS = ("tables", "inspect", "diff")


def served_by(url: str) -> list[str]:
    return [
        *("--describe-backend", "openai", "--endpoint", url, "--describe-model", "tiny"),
        *("--api-key-env", "SHOP_KEY", "--max-retries", "0"),
    ]


def signed_records(port: int) -> list[dict[str, object]]:
    """Records whose pictures have signed addresses; one without an id, one with an odd value."""
    records: list[dict[str, object]] = [
        {"sku": f"s{n:02}", "name": f"Thing {n} .", "photos": [address(n, port)]}
        for n in range(TOLD)
    ]
    records.append({"sku": "", "name": "without an id", "photos": [address(0, port)]})
    return [*records, {"sku": "x", "name": "odd", "weight": address(1, port)}]


def address(number: int, port: int) -> str:
    """A picture's address with a mark: of one that is there, and of others."""
    return (
        f"http://127.0.0.1:{port}/p/{number}.jpg?sig={MARK}",
        f"http://127.0.0.1:{port}/status/404?sig={MARK}",
        f"http://me:{MARK}@127.0.0.1:{port}/p/1.jpg",
        f"https://elsewhere.example/{number}.jpg?token={MARK}",
    )[number % 4]


def arguments_of(shop: Shop, records: list[dict[str, object]]) -> list[str]:
    template = shop.template + "gate: {max_describe_failure_rate: 1.0}\n"
    return [
        *("--template", str(shop.file("t.yaml", template))),
        *("--input", str(shop.file("in.jsonl", records))),
        *("--images-root", str(shop.images), "--output", str(shop.folder / "out"), "--keep-work"),
    ]


def commands(shop: Shop, run: list[str]) -> Iterator[list[str]]:
    """Every command that looks at an output, first of all those that make it."""
    out = str(shop.folder / "out")
    yield ["plan", *run]
    yield ["run", *run]
    yield ["backfill", out, "--where", f"title <> 'http://a.example/?sig={MARK}'", "--ask-again"]
    yield ["diff", "previous", "current", "--output", out, "--json"]
    for name in ("tables", "snapshots", "report", "vectors show", "rollback"):
        yield [*name.split(), out]
    yield ["tables", out, "--table", "items", "--head", "3", "--json"]
    yield ["inspect", "s00", "--output", out]
    yield ["doctor", "--quick", "--output", out, "--json"]
    yield ["template", "init", str(shop.folder / "in.jsonl")]


def test_secrets_in_an_earlier_manifest(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier version remembered of keys is shown by no command, and is not used again."""
    run = shop.run(shop.file("in.jsonl", [{"sku": "1", "name": "One"}]))
    path, manifest = run.snapshot / "manifest.json", run.manifest
    manifest["options"] |= {"api_key_env": MARK, "endpoint": SHAPES["query"]}
    path.write_text(json.dumps(manifest))
    out = str(run.output)
    page = tmp_path / "page.html"
    for command in (
        ["snapshots", out, "--json"],
        ["report", out, "--out", str(page)],
        ["backfill", out, "--where", "true", "--dry-run"],
        ["run", *shop.arguments([shop.folder / "in.jsonl"]), "--output", out, "--json"],
    ):
        cli.main(command)
        assert not holds("".join(capsys.readouterr())), command
    assert not holds(page.read_text("utf-8"))
