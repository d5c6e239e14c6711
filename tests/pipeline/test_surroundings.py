"""Every command in broken surroundings: full or closed streams, a full disk, names that are too long, too little memory,
a store that does not answer. One line, the documented exit code, no traceback, nothing lost.

`make test` tries some commands, `make test-kill` all of them (CATALOG_ENRICH_KILLS).
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.cli import main
from tests.readers import linked, named, problems_of
from tests.support import Shop, read_rows
from tests.warmed import Done, Warmed

IS_LONG = bool(int(os.environ.get("CATALOG_ENRICH_KILLS", "0")))
LONG = "n" * 300
STORE_SECS = 30
# Command → its arguments on an output; whether it does something that stays done if nothing can be printed.
COMMANDS: dict[str, tuple[tuple[str, ...], bool]] = {
    "run": (("{run}",), True),
    "plan": (("{run}",), False),
    "backfill": (("{out}", "--where", "true", "--quiet"), True),
    "backfill --dry-run": (("{out}", "--where", "true", "--dry-run"), False),
    "replay": (("{out}", "--reason", "missing-id", "--quiet"), True),
    "report": (("{out}",), True),
    "tables": (("{out}",), False),
    "inspect": (("s1", "--output", "{out}"), False),
    "vectors show": (("{out}",), False),
    "snapshots": (("{out}",), False),
    "diff": (("previous", "current", "--output", "{out}"), False),
    "rollback": (("{out}",), True),
    "prune": (("{out}", "--keep", "1"), True),
    "unlock": (("{out}",), True),
    "template list": ((), False),
    "template check": (("{template}",), False),
    "template show": (("grocery",), False),
    "template init": (("{input}", "--out", "{fresh}"), True),
    "completion": (("bash",), False),
}
WRITING = ("run", "backfill", "replay", "report", "rollback", "prune", "template init")
# Those that each run of the tests tries.
FEW = ("run", "tables", "snapshots", "diff", "rollback", "prune", "template init")
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@dataclass(frozen=True)
class World:
    """An output with two snapshots, made of a small catalog, and where it is restored to."""

    shop: Shop
    base: Path
    warmed: Warmed

    @property
    def out(self) -> Path:
        return self.shop.folder / "out"

    def restored(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.base, self.out, symlinks=True)
        (self.shop.folder / "fresh.yaml").unlink(missing_ok=True)

    def argv(self, command: str) -> list[str]:
        """The command line of a command on the output."""
        given, folder = COMMANDS[command][0], self.shop.folder
        if given == ("{run}",):
            return [command, *self.run_arguments(self.out)]
        places = {
            "out": self.out,
            "template": folder / "template.yaml",
            "input": folder / "in.jsonl",
        }
        values = {name: str(path) for name, path in places.items()}
        return [
            *command.removesuffix(" --dry-run").split(),
            *(each.format(fresh=folder / "fresh.yaml", **values) for each in given),
        ]

    def run_arguments(self, output: Path | str) -> list[str]:
        arguments = self.shop.arguments([self.shop.folder / "in.jsonl"])
        return [*arguments, "--no-report", "--output", str(output), "--full"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    shop = Shop(tmp_path_factory.mktemp("surroundings"))
    records = [{"sku": f"s{number}", "name": f"Thing {number}"} for number in range(6)]
    shop.file("in.jsonl", [*records, {"name": "without an id"}])
    base = shop.folder / "base"
    world = World(shop, base, Warmed(()))
    first = ["run", *world.run_arguments(base)]
    with Warmed(first) as warmed:
        assert warmed.first.code == 0, warmed.first.err
        assert warmed.run(*first).code == 0
        yield World(shop, base, warmed)


def one_line(done: Done) -> bool:
    """Whether stderr says what went wrong in a line, warnings aside; what is indented belongs to the one before."""
    lines = [line for line in done.err.splitlines() if "warning:" not in line and line[:1] != " "]
    return len(lines) == 1 and lines[0].startswith("catalog-enrich: ")


def check_readers(world: World) -> None:
    """Readers find a whole snapshot, by pointer and by link."""
    pointed = named(world.out)
    assert pointed is not None
    assert pointed == linked(world.out)
    assert list(problems_of(pointed)) == []


@pytest.mark.parametrize("command", COMMANDS if IS_LONG else FEW)
def test_streams_that_take_nothing(world: World, command: str) -> None:
    """What was done stays done with 0, what was to be printed and is not ends with 3; a reader who has gone is no
    fault; nothing is said of it but in one line.
    """
    argv, (_, stays) = world.argv(command), COMMANDS[command]
    world.restored()
    done = world.warmed.run(*argv, stdout="/dev/full")
    assert done.code == (0 if stays else 3), done.err
    assert "Traceback" not in done.err
    assert stays or one_line(done), done.err
    for streams in (
        {"stdout": "gone"},
        {"stdout": "closed", "stderr": "closed"},
        {"stderr": "/dev/full"},
    ):
        world.restored()
        done = world.warmed.run(*argv, **streams)
        assert done.code == 0, (streams, done.err)
        assert done.err == "" or "Traceback" not in done.err
    check_readers(world)


@pytest.mark.parametrize("command", WRITING if IS_LONG else ("run", "rollback", "template init"))
def test_a_full_disk(world: World, command: str) -> None:
    """It is named, with 3, and never called the gate's refusal; readers keep what they had."""
    world.restored()
    done = world.warmed.run(*world.argv(command), file_bytes=100)
    assert done.code == 3, done.out + done.err
    assert one_line(done), done.err
    assert "File too large" in done.err
    assert "make room" in done.err
    check_readers(world)


@pytest.mark.parametrize("command", COMMANDS if IS_LONG else ("run", "snapshots", "template init"))
def test_names_that_are_too_long(world: World, command: str) -> None:
    """A name of 300 characters in any place ends with 2, in one line."""
    world.restored()
    argv = world.argv(command)
    for number, argument in enumerate(argv):
        if "/" not in argument:
            continue
        long = [*argv[:number], str(Path(argument).with_name(LONG)), *argv[number + 1 :]]
        done = world.warmed.run(*long)
        assert done.code == 2, (long, done.out, done.err)
        assert one_line(done), done.err
    check_readers(world)


def test_a_picture_whose_name_is_too_long_costs_only_itself(world: World) -> None:
    """A record that names such a picture keeps all else, and says what is wrong."""
    world.restored()
    names = [f"{LONG}.png", world.shop.picture("red.png")]
    path = world.shop.file("long.jsonl", [{"sku": "s1", "name": "Thing", "photos": names}])
    arguments = [*world.shop.arguments([path]), "--no-report", "--output", str(world.out)]
    done = world.warmed.run("run", *arguments)
    assert done.code == 0, done.out + done.err
    (row,) = read_rows(world.out / "current" / "items")
    assert [flag["reason"] for flag in row["flags"]] == ["image-path-invalid"]


@pytest.mark.parametrize("more_mb", [1, 8, 30] if IS_LONG else [8])
def test_too_little_memory(world: World, more_mb: int) -> None:
    """A run that gets no memory ends with 3 in one line that says so; readers keep what they had."""
    world.restored()
    done = world.warmed.run(*world.argv("run"), more_memory=more_mb << 20)
    assert done.code == 3, done.err
    assert one_line(done), done.err
    assert "memory" in done.err
    check_readers(world)


STORE_COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("{run}",),
    "plan": ("{run}",),
    "doctor": ("--output", "{store}"),
    "snapshots": ("{store}",),
    "tables": ("{store}",),
    "prune": ("{store}", "--keep", "1"),
    "backfill": ("{store}", "--where", "true"),
}


@pytest.mark.parametrize(
    "command", STORE_COMMANDS if IS_LONG else ("run", "plan", "doctor", "snapshots", "tables")
)
def test_a_store_that_refuses_connections(
    world: World,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is reported within half a minute, with its address, in one line."""
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        check_store(world, command, f"http://127.0.0.1:{closed.getsockname()[1]}", monkeypatch)
    (line,) = capsys.readouterr().err.splitlines()
    assert "s3://bucket does not answer at http://127.0.0.1:" in line


@pytest.mark.skipif(
    not IS_LONG, reason="make test-kill; tests/unit/transforms/runtime/test_reach.py"
)
def test_a_store_that_never_answers(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same of one that takes connections and is silent."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        check_store(world, "snapshots", f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
    (line,) = capsys.readouterr().err.splitlines()
    assert "s3://bucket does not answer at http://127.0.0.1:" in line


def check_store(world: World, command: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in {
        **keys,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    given = STORE_COMMANDS[command]
    argv = [each.format(run="", store="s3://bucket/out") for each in given]
    if given == ("{run}",):
        argv = world.run_arguments("s3://bucket/out")
    began = time.monotonic()
    assert main([*command.split(), *argv]) == 3
    assert time.monotonic() - began < STORE_SECS
