"""Whole commands, killed at every call that changes a file from the gate to their end: readers see a whole snapshot,
all commands tell the same story, the next run mends it and pays nothing again.

What a kill leaves is what lies on the disk at that moment. So each command runs once, as `main([...])` in a process
of its own, and all it writes to is copied before each call: one copy for each state of the files. Some points are
tried with SIGKILL itself, and leave the same files; some with SIGTERM, which the command has to answer.

`make test` looks at a share of the states, `make test-kill` at all (CATALOG_ENRICH_KILLS).
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.chat_server import ChatServer
from tests.readers import linked, named, problems_of
from tests.support import RUN_COLUMNS, TABLES, Shop, read_rows
from tests.warmed import Warmed

IS_LONG = bool(int(os.environ.get("CATALOG_ENRICH_KILLS", "0")))
# Of how many states readers look at one, and every command; how many points are tried with a signal.
EVERY, CLOSELY, SIGNALS = (1, 4, 8) if IS_LONG else (8, 80, 1)
# The gate is the first to read it.
GATE = "reports/splits.json"
ITEMS = 24
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
# Names by chance: of journals, and of a lock's file that is not yet in its place.
TOKEN = re.compile(r"[0-9a-f]{32}|(?<=lock\.json\.)[0-9a-f]{16}")
DEAD = "20260101T000000Z-dead00"
DEADLINE_SECS = 10
# Command → its arguments without the output, and where points begin to count.
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "run": (("--full",), GATE),
    "backfill": (("--ids", "{ids}", "--attributes", "color", "--ask-again"), GATE),
    "replay": (("--reason", "record-too-large", "--max-record-bytes", "100000"), GATE),
    "rollback": ((), ""),
    "prune": (("--keep", "2"), ""),
    "unlock": ((), ""),
}


@dataclass(frozen=True)
class History:
    """An output with three published snapshots, what a dead run left, and how it is written to.

    base: the output as made; place: where commands run; arguments: of `run`, without an output;
    tables: what a run makes of it.
    """

    base: Path
    place: Path
    arguments: tuple[str, ...]
    server: ChatServer
    warmed: Warmed
    tables: dict[str, list[str]]

    @property
    def runs(self) -> list[str]:
        """Run ids of the three, oldest first."""
        published: list[str] = json.loads((self.base / "current.json").read_text())["published"]
        return published

    def restored(self) -> Path:
        """The output in its place, as it was made."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.base, self.place, symlinks=True)
        return self.place

    def argv(self, command: str) -> list[str]:
        """The command line of a command on the place."""
        more = [each.format(ids=self.base.parent / "ids") for each in COMMANDS[command][0]]
        if command == "run":
            return self.run_on(self.place, *more)
        return [command, str(self.place), *more]

    def run_on(self, output: Path, *more: str) -> list[str]:
        return ["run", *self.arguments, "--output", str(output), *more]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("killed-commands")
    shop = Shop(folder)
    (folder / "template.yaml").write_text(shop.template)
    (folder / "ids").write_text("s01\ns02\n")
    records = [
        {
            "sku": f"s{number:02}",
            "name": f"Thing {number}",
            "photos": [shop.picture(f"{number}.png", f"rgb({number * 9}, 9, 9)")],
        }
        for number in range(ITEMS)
    ]
    rest = [{"name": "without an id"}, {"sku": "big", "name": "x" * 3000}]
    arguments = ["--template", str(folder / "template.yaml"), "--images-root", str(shop.images)]
    arguments += ["--image-encoder", "fake", "--text-encoder", "fake", "--no-ocr"]
    arguments += ["--describe-backend", "openai", "--describe-model", "tiny", "--workers", "1"]
    arguments += ["--buckets", "2", "--max-record-bytes", "2000"]
    arguments += ["--input", str(shop.file("in.jsonl", [*records, *rest]))]
    arguments += [] if IS_LONG else ["--no-report"]
    base, place = folder / "base", folder / "out"
    with ChatServer() as server:
        arguments += ["--endpoint", server.url]
        first = ["run", *arguments, "--output", str(base)]
        with Warmed(first) as warmed:
            assert warmed.first.code == 0, warmed.first.out + warmed.first.err
            for number in (1, 2):
                records[number]["name"] = f"Another thing {number}"
                shop.file("in.jsonl", [*records, *rest])
                done = warmed.run(*first)
                assert done.code == 0, done.out + done.err
            for left in (base / "snapshots" / DEAD / "items", base / "_work" / DEAD / "spool"):
                left.mkdir(parents=True)
                (left / "half").write_bytes(b"half")
            yield History(base, place, tuple(arguments), server, warmed, tables(base))


def told(*argv: str) -> tuple[int, Any]:
    """Exit code of a command in this process, and the JSON that it printed, else what it said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main([*argv, "--json"])
    return code, json.loads(out.getvalue()) if out.getvalue() else err.getvalue()


def tables(output: Path) -> dict[str, list[str]]:
    return {
        table: sorted(repr(row) for row in read_rows(output / "current" / table, RUN_COLUMNS))
        for table in TABLES
    }


def listing(output: Path) -> list[str]:
    """Names and sizes of what lies in an output, whatever its runs are called."""
    found = []
    for path in output.rglob("*"):
        if "_work" in path.parts:  # names by chance, and files that come by the clock
            continue
        size = -1 if path.is_dir() or path.is_symlink() else path.stat().st_size
        if path.suffix in (".json", ".txt", ".html", ".guard", ".log") or "lock" in path.name:
            size = -1  # times, numbers of processes and how many digits they have
        name = TOKEN.sub("", RUN_ID.sub("RUN", str(path.relative_to(output))))
        found.append(f"{name} {size}")
    return sorted(found)


def before(history: History, run_id: str) -> str:
    """The snapshot that readers had before this one."""
    known = history.runs
    return known[known.index(run_id) - 1] if run_id in known else known[-1]


def check_readers(history: History, output: Path, *, is_rollback: bool) -> str:
    """Pointer and link name whole snapshots, of before or of after; returns what the pointer names."""
    pointed, followed = named(output), linked(output)
    assert pointed is not None
    assert followed is not None
    for snapshot in {pointed, followed}:
        assert list(problems_of(snapshot)) == [], snapshot
        is_new = snapshot.name not in history.runs
        allowed = history.runs[1:] if is_rollback else history.runs[2:]
        assert is_new or snapshot.name in allowed, snapshot
    code, rows = told("snapshots", str(output))
    assert code == 0
    assert [row["run_id"] for row in rows if row["is_current"]] == [pointed.name]
    return pointed.name


def check_commands(history: History, output: Path, current: str, folder: Path) -> None:
    """`diff`, `rollback` and `prune` agree on which snapshots readers have seen."""
    earlier = before(history, current)
    assert told("diff", "previous", "current", "--output", str(output))[0] == 0
    for command in (("rollback",), ("prune", "--keep", "2")):
        copy = folder / "copy"
        shutil.copytree(output, copy, symlinks=True)
        code, document = told(command[0], str(copy), *command[1:])
        assert code == 0, document
        pointed, followed = named(copy), linked(copy)
        assert pointed is not None
        assert followed == pointed
        assert pointed.name == (earlier if command[0] == "rollback" else current)
        assert list(problems_of(pointed)) == []
        left = {path.name for path in (copy / "snapshots").iterdir()}
        newest = [each for each in history.runs if each != current][-1]
        assert {current, earlier if command[0] == "rollback" else newest} <= left
        if command[0] == "prune":
            assert not left & {DEAD}
            assert not (copy / "_work").exists() or not list((copy / "_work").iterdir())
        shutil.rmtree(copy)


def check_mended(history: History, output: Path, expected: Sequence[dict[str, list[str]]]) -> None:
    """The next run publishes what an unbroken one would have, pays nothing again, and leaves nothing."""
    paid = history.server.calls
    done = history.warmed.run(*history.run_on(output))
    assert done.code == 0, done.out + done.err
    assert history.server.calls == paid
    pointed = named(output)
    assert pointed is not None
    assert pointed == linked(output)
    assert list(problems_of(pointed)) == []
    assert tables(output) in expected
    assert not (output / "lock.json").exists()
    assert not (output / "_work").exists() or not list((output / "_work").iterdir())
    code, rows = told("snapshots", str(output))
    assert code == 0
    assert {path.name for path in (output / "snapshots").iterdir()} == {
        row["run_id"] for row in rows
    }


def prepare(history: History, command: str) -> Path:
    """The output in its place, as the command finds it."""
    place = history.restored()
    if command == "unlock":  # of a machine that is gone
        lock = {"run_id": DEAD, "command": "run", "host": "gone", "pid": 1, "token": "t"}
        (place / "lock.json").write_text(json.dumps({**lock, "started": "2026-01-01T00:00:00Z"}))
        (place / "current").unlink()
    return place


@pytest.mark.parametrize("command", COMMANDS if IS_LONG else ["run", "rollback", "prune"])
def test_a_command_may_be_killed_anywhere(
    history: History, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever call it is killed before: readers, all commands and the next run find one whole history."""
    argv, (_, begins_at) = history.argv(command), COMMANDS[command]
    place, copies = prepare(history, command), tmp_path / "copies"
    copies.mkdir()
    frozen = history.warmed.run(
        *argv, begins_at=begins_at, copy=str(place), copies=str(copies), every=EVERY
    )
    assert frozen.code == 0, frozen.out + frozen.err
    done = history.warmed.run(*history.run_on(place))
    assert done.code == 0, done.out + done.err
    expected, close = (history.tables, tables(place)), 0
    states = sorted(int(path.name) for path in copies.iterdir())
    for number in states:
        state = copies / str(number)
        if command == "unlock" and not (state / "current").exists():
            (state / "current").symlink_to(named(state).relative_to(state))  # type: ignore[union-attr]
        current = check_readers(history, state, is_rollback=command == "rollback")
        if number % CLOSELY == 0 or number == states[-1]:
            close += 1
            if (state / "lock.json").exists() and command == "unlock":
                told("unlock", str(state))
            check_commands(history, state, current, tmp_path)
            check_mended(history, state, expected)
        shutil.rmtree(state)
    with capsys.disabled():
        print(
            f"\n{command}: {frozen.points} calls that change files, {len(frozen.states)} states of "
            f"the files; readers looked at {len(states)}, all commands and a run at {close}"
        )
    assert frozen.points > 5


@pytest.mark.parametrize("command", ["run", "rollback", "prune"] if IS_LONG else ["run"])
def test_a_killed_command_leaves_what_lay_there(
    history: History, tmp_path: Path, command: str
) -> None:
    """SIGKILL at a point leaves the files as they are copied at this point, and all holds for them too."""
    argv, (_, begins_at) = history.argv(command), COMMANDS[command]
    place, copies = prepare(history, command), tmp_path / "copies"
    copies.mkdir()
    frozen = history.warmed.run(*argv, begins_at=begins_at, copy=str(place), copies=str(copies))
    for chosen in range(1, SIGNALS + 1):
        state = round(chosen * len(frozen.states) / (SIGNALS + 1))
        prepare(history, command)
        at = frozen.states[state - 1]
        killed = history.warmed.run(*argv, begins_at=begins_at, at=at, signal=signal.SIGKILL)
        assert killed.code == -signal.SIGKILL
        assert listing(place) == listing(copies / str(state))
        current = check_readers(history, place, is_rollback=command == "rollback")
        check_commands(history, place, current, tmp_path)


@pytest.mark.parametrize(
    "command", ["run", "rollback", "prune"] if IS_LONG else ["run", "rollback"]
)
def test_a_command_may_be_stopped_anywhere(history: History, command: str) -> None:
    """SIGTERM at a point: it ends in time, with 0 if readers see what it did, else with 3 and as if it had not
    begun; its lock and its work are gone.
    """
    argv, (_, begins_at) = history.argv(command), COMMANDS[command]
    place = prepare(history, command)
    whole = history.warmed.run(*argv, begins_at=begins_at, at=10**6, signal=0)
    assert whole.code == 0
    for chosen in range(1, 2 * SIGNALS + 1):
        at = round(chosen * whole.points / (2 * SIGNALS + 1))
        prepare(history, command)
        stopped = history.warmed.run(*argv, begins_at=begins_at, at=at, signal=signal.SIGTERM)
        current = check_readers(history, place, is_rollback=command == "rollback")
        assert stopped.secs < DEADLINE_SECS
        assert "Traceback" not in stopped.err
        assert not (place / "lock.json").exists()
        if stopped.code == 0:
            assert command == "prune" or current != history.runs[-1], at
            continue
        assert stopped.code == 3, stopped.err
        assert "interrupted" in stopped.err
        if command == "run":
            assert current == history.runs[-1], at
            left = {path.name for path in (place / "snapshots").iterdir()}
            assert left == set(history.runs)
            assert not (place / "_work").exists()
