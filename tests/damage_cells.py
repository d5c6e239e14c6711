"""Commands on damaged outputs, and what is wrong with how one of them ended.

A cell is a damage (tests/damages.py) and a command. It is judged by what the same command does on
the same output without the damage.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines import cli
from pipelines.snapshots.history import named_snapshot
from schemas.tables.specs import TABLES
from tests.damages import FOREIGN, ON, World, damages, inflict
from tests.support import RUN_COLUMNS, read_rows

Arguments = Callable[[World], list[str]]


def _run(catalog: Callable[[World], Path], *options: str) -> Arguments:
    def arguments(world: World) -> list[str]:
        given = world.shop.arguments([catalog(world)])
        return [*given, *ON, *options, "--output", str(world.output)]

    return arguments


def _of_output(*options: str) -> Arguments:
    return lambda world: [str(world.output), *options]


def _part(*options: str) -> Arguments:
    return lambda world: [str(world.output), "--workers", "1", *options, "--no-report", "--quiet"]


def _ids(world: World) -> str:
    path = world.output.with_name("ids.txt")
    path.write_text("s003\ns004\n")
    return str(path)


# Name of a column → command, its arguments. Those that make items take seconds.
QUICK: Mapping[str, tuple[str, Arguments]] = {
    "tables": ("tables", _of_output("--columns", "--head", "1", "--json")),
    "report": ("report", lambda w: [str(w.output), "--out", str(_page(w)), "--json"]),
    "inspect": ("inspect", lambda w: ["s003", "--output", str(w.output), "--json"]),
    "diff": ("diff", lambda w: ["previous", "current", "--output", str(w.output), "--json"]),
    "snapshots": ("snapshots", _of_output("--json")),
    "vectors show": ("vectors show", _of_output("--json")),
    "vectors check": ("vectors check", _of_output("--json")),
    "neighbours": ("evaluate", lambda w: [*_neighbours(w), "--tables", str(w.output), "--json"]),
    "rollback": ("rollback", _of_output("--json")),
    "prune": ("prune", _of_output("--keep", "1", "--json")),
    "prune --dry-run": ("prune", _of_output("--keep", "1", "--dry-run", "--json")),
    "unlock": ("unlock", _of_output("--json")),
}
SLOW: Mapping[str, tuple[str, Arguments]] = {
    "doctor": ("doctor", lambda w: ["--output", str(w.output), "--quick", "--json"]),
    "run": ("run", _run(lambda world: world.catalog, "--no-report", "--quiet")),
    "run changed": ("run", _run(lambda world: world.changed, "--no-report", "--quiet")),
    "run --full": ("run", _run(lambda world: world.changed, "--no-report", "--quiet", "--full")),
    "plan": ("plan", _run(lambda world: world.changed, "--quiet", "--json")),
    "backfill": ("backfill", lambda w: _part("--ids", _ids(w))(w)),
    "replay": ("replay", _part("--reason", "missing-id")),
}
COMMANDS = {**QUICK, **SLOW}
MAKES_ITEMS = frozenset({"run", "run changed", "run --full", "backfill", "replay"})
WRITES = MAKES_ITEMS | {"rollback", "prune", "plan"}
SEEN_AT_ONCE = frozenset({"missing"})
# What says which snapshot readers see, and who writes, moves with every command that writes.
MOVING = frozenset({"current.json", "current", "lock.json", ".lock.json.guard"})
REMEDIES = ("`catalog-enrich", "upgrade catalog-enrich", "name a decisions file")
_VOLATILE = re.compile(
    r'"(seconds|rehearsal_secs|msecs|pid|token)": [^,\n}]+|\d{8}T\d{6}Z-[0-9a-f]{6}'
    # What the machine has left, which others use too.
    r"|[\d.,]+ GiB (of memory )?free"
)
# The report links to Data Docs where there are any, and is that much larger: a run need not make them.
_DOCS = re.compile(
    r' <a href="data_docs/index\.html">.*?detail\.|(?<=page\.html",\n )"size_bytes": \d+'
)


def _page(world: World) -> Path:
    return world.output.with_name("page.html")


def _neighbours(world: World) -> list[str]:
    return ["--protocol", "neighbours", "--template", str(world.shop.folder / "template.yaml")]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    out: what it printed, and the page that it wrote; files: path below the output → digest,
    afterwards; tables: rows of the current snapshot where the command makes items; calls: of a
    language model; fault: what is wrong with the snapshot that it published.
    """

    code: int
    out: str
    err: str
    files: Mapping[str, str]
    tables: Mapping[str, list[str]]
    calls: int = 0
    fault: str = ""


def do(world: World, name: str) -> Ended:
    """Call a command on the world's output."""
    command, arguments = COMMANDS[name]
    _page(world).unlink(missing_ok=True)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main([*command.split(), *arguments(world)])
    page = _page(world).read_text() if _page(world).exists() else ""
    shown = [
        text.replace(str(world.output), "OUT").replace(str(world.shop.folder), "SHOP")
        for text in (out.getvalue() + page, err.getvalue())
    ]
    ended = Ended(code, *shown, contents(world.output), {})
    if name not in MAKES_ITEMS or code:
        return ended
    current = named_snapshot(str(world.output), "current")
    fault = next(iter(current.faults()), "").replace(str(world.output), "OUT")
    tables = {
        table: sorted(_said(row) for row in read_rows(Path(current.path) / table, RUN_COLUMNS))
        for table in (() if fault else TABLES)
    }
    return replace(ended, tables=tables, calls=current.manifest.counts.described.calls, fault=fault)


def _said(row: Mapping[str, Any]) -> str:
    """A row without the ids of answers: what is asked again is asked in other company."""
    return re.sub(r"'fingerprint': '[0-9a-f]+'", "", repr(row))


def contents(output: Path) -> dict[str, str]:
    """Path below the output → digest of the file, or where the link leads."""
    found = {}
    for path in sorted(output.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(output))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(output))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@dataclass(frozen=True)
class Cell:
    """A command on a damaged output. wrong: what is wrong with how it ended, empty for nothing."""

    kind: str
    harm: str
    command: str
    code: int
    told: str
    wrong: tuple[str, ...]


def cells(commands: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Every damage with every one of these commands.

    Left out is who writes where the lock says nothing that can be read: it is watched for a minute,
    since a run on another machine may hold it. So is what sees nothing of a file that is gone: a
    lock to remove, a mark by which the work of a killed run is told from what was kept.
    """
    for kind, harm in damages():
        for command in commands:
            waits = kind == "lock" and command in WRITES and harm not in SEEN_AT_ONCE
            sees_nothing = (kind == "lock" and command == "unlock") or (
                kind == "kept work" and command in {*WRITES, "prune --dry-run"}
            )
            if not (waits or (harm == "missing" and sees_nothing)):
                yield kind, harm, command


@dataclass
class Judge:
    """Judges cells in a folder of its own, by how commands end on the sound world."""

    world: World
    folder: Path
    _sound: dict[str, Ended] = field(default_factory=dict)

    def cell(self, kind: str, harm: str, command: str) -> Cell:
        """Inflict a damage, call a command, and judge."""
        expected, world = self.sound(command), self._copied()
        damaged = inflict(world, kind, harm)
        before = contents(world.output)
        try:
            ended = do(world, command)
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
            return Cell(kind, harm, command, -1, told, (f"it raised {told}",))
        wrong = [*_of_ending(ended), *self._lost(ended, expected, before)]
        if ended.code == 0 and command in MAKES_ITEMS:
            wrong += self._made_otherwise(ended, command, kind)
        else:
            wrong += _silent(ended, expected, _names(damaged, harm))
        return Cell(kind, harm, command, ended.code, _first_line(ended), tuple(wrong))

    @cached_property
    def _originally(self) -> Mapping[str, str]:
        return contents(self.world.output)

    def sound(self, command: str) -> Ended:
        """How the command ends where nothing is damaged."""
        if command not in self._sound:
            self._sound[command] = do(self._copied(), command)
        return self._sound[command]

    def _copied(self) -> World:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self.world.copied(self.folder / "out")

    def _lost(self, ended: Ended, expected: Ended, before: Mapping[str, str]) -> Iterator[str]:
        """Yield files that are gone or other, though the command leaves them where all is sound."""
        for name, content in before.items():
            now = ended.files.get(name)
            changes_anyway = expected.files.get(name) != self._originally.get(name)
            # Caches are merged: what they held shows as calls that are paid again.
            is_cache = name.startswith(("answers/", "picture-features/")) and name not in FOREIGN
            if now != content and not (name in MOVING or changes_anyway or is_cache):
                yield f"{name} is {'gone' if now is None else 'other'}"

    def _rebuilt(self, command: str) -> Ended:
        """How the command ends where nothing but the answers is known."""
        name = f"{command}, rebuilt"
        if name not in self._sound:
            world = self._copied()
            (world.output / "current.json").unlink()
            self._sound[name] = do(world, command)
        return self._sound[name]

    def _made_otherwise(self, ended: Ended, command: str, kind: str) -> Iterator[str]:
        """Yield how a new snapshot differs from that of a sound output, and from a rebuilt one."""
        expected = self.sound(command)
        rebuilt = self._rebuilt(command)
        if ended.fault and ended.fault not in ended.err:
            yield f"it published what is damaged: {ended.fault}"
        for table, rows in ended.tables.items():
            if rows not in (expected.tables[table], rebuilt.tables.get(table)):
                yield f"{table} has other rows than without the damage"
        if ended.calls > max(expected.calls, rebuilt.calls) and kind != "answers":
            yield f"it paid for {ended.calls} calls"


def _of_ending(ended: Ended) -> Iterator[str]:
    if ended.code not in (0, 1, 2, 3):
        yield f"it ended with {ended.code}"
    if "Traceback" in ended.err:
        yield "it printed a traceback"


def _silent(ended: Ended, expected: Ended, names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with what it said, if that is not what it says where all is sound."""
    if (ended.code, _plain(ended.out)) == (expected.code, _plain(expected.out)):
        return
    if not any(name in ended.err + ended.out for name in names):
        yield f"it does not name {names[0]}"
    if ended.code == 0 or ended.out:
        return
    lines = [line for line in ended.err.splitlines() if "warning: " not in line]
    if len(lines) != 1:
        yield f"it printed {len(lines)} lines, not one"
    if not any(each in ended.err for each in REMEDIES):
        yield "it does not say what to do"


def _plain(text: str) -> str:
    # What the link leads to may be named by it, or by its own folder.
    return _VOLATILE.sub("X", _DOCS.sub("", text)).replace("OUT/current", "OUT/snapshots/X")


def _first_line(ended: Ended) -> str:
    lines = [line for line in ended.err.splitlines() if "warning: " not in line]
    return next(iter([*lines, *ended.err.splitlines(), ""])).removeprefix("catalog-enrich: ")


def _names(damaged: Path, harm: str) -> list[str]:
    """What a message may call the file; of two that were swapped either."""
    parts = damaged.parts if harm != "swapped" else damaged.parent.parts
    return ["/".join(parts[2:])] if parts[0] == "snapshots" else [str(damaged), parts[-1]]
