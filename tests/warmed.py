"""A process that has the program loaded: commands run in forks of it, watched at what they do to files.

To load the program takes seconds, and a process that has run one has threads that a fork would miss; so this one
imports what a run imports, runs nothing itself, and forks a child for each command.

  python -m tests.warmed

reads a request on each line of its standard input and answers with a line, both JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from tests.kill_points import before_each_change
from tests.processes import wait_for

ROOT = Path(__file__).resolve().parents[1]
COMMAND_SECS = 120


@dataclass(frozen=True)
class Request:
    """A command to run.

    begins_at: end of the name of the file from whose first reading on points are counted, empty for at once; copy, copies:
    a folder that is copied whenever it has changed, and where the copies go, named 1, 2, 3, ...; every: of how many
    states one is copied; stdout, stderr: a file in their place, or `closed`, or `gone` for a pipe that nobody reads;
    file_bytes: largest file that it may write, as on a disk that is almost full; more_memory: bytes of memory that it
    may take besides what it has; 0 for no limit; at, signal: the
    number of the point before which the process is sent that signal, 0 for none; is_awaited: answer
    when it has ended, not when it has begun; process: instead of all that, how this one ended.
    """

    argv: Sequence[str]
    begins_at: str = ""
    copy: str = ""
    copies: str = ""
    every: int = 1
    stdout: str = ""
    stderr: str = ""
    file_bytes: int = 0
    more_memory: int = 0
    at: int = 0
    signal: int = 0
    is_awaited: bool = True
    process: int = 0


@dataclass(frozen=True)
class Done:
    """How a command ended. code: negative for the signal that killed it; points: how many it came by; states:
    of each state of the files the point at which it was first found; secs: from the signal to the end, if there was one;
    process: its number, and no code, where it has only begun.
    """

    code: int | None
    out: str = ""
    err: str = ""
    points: int = 0
    states: list[int] = field(default_factory=list)
    secs: float = 0.0
    process: int = 0


@dataclass
class Started:
    """A command that has begun, used as a subprocess.Popen."""

    warmed: Warmed
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.warmed.ask(Request((), process=self.pid)).code
        return self.returncode

    def wait(self, secs: float = COMMAND_SECS) -> int | None:
        """Its exit code; fails after so many seconds."""
        wait_for(lambda: self.poll() is not None, secs)
        return self.returncode


class Warmed:
    """`with Warmed(argv) as warmed:` imports what the command argv imports, and runs others."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv

    def __enter__(self) -> Warmed:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warmed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self.first = self.run(*self._argv)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(COMMAND_SECS)
        self._process.stdout.close()  # type: ignore[union-attr]

    def run(self, *argv: str, **request: Any) -> Done:
        """Run a command to its end, or to the signal's; request: fields of `Request`."""
        return self.ask(Request(argv, **request))

    def start(self, *argv: str, log: Path) -> Started:
        """Begin a command in a session of its own; log: what it prints is appended to it."""
        log.touch()
        request = Request(argv, stdout=str(log), stderr=str(log), is_awaited=False)
        return Started(self, self.ask(request).process)

    def ask(self, request: Request) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    modules: set[str] = set()
    # Not one that removes itself: children would, at their end.
    folder = Path(tempfile.mkdtemp())
    try:
        for line in sys.stdin:
            request = Request(**json.loads(line))
            done = _run(request, folder, learn=not modules)
            if not modules:
                modules = set(json.loads((folder / "modules").read_text()))
                for name in sorted(filter(_is_worth_it, modules - sys.modules.keys())):
                    with suppress(Exception):
                        importlib.import_module(name)
            print(json.dumps(asdict(done)), file=answers)
    finally:
        shutil.rmtree(folder)


def _is_worth_it(name: str) -> bool:
    """Whether a module is ours, or the whole of a library."""
    root = name.partition(".")[0]
    if root in ("pipelines", "transforms", "prompts", "schemas"):
        return True
    return name == root and name.isidentifier() and name not in sys.stdlib_module_names


def _run(request: Request, folder: Path, *, learn: bool) -> Done:
    if request.process:
        ended, status = os.waitpid(request.process, os.WNOHANG)
        return Done(os.waitstatus_to_exitcode(status) if ended else None, process=request.process)
    if not request.is_awaited:
        return Done(None, process=os.fork() or _be_the_command(request, folder, learn=False))
    noted = folder / "points"
    noted.unlink(missing_ok=True)
    # Pipes, since a limit of what files may hold would cut the messages; a command prints less than they hold.
    out, err = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.dup2(out[1], 1)
        os.dup2(err[1], 2)
        _be_the_command(request, folder, learn=learn)
    os.close(out[1])
    os.close(err[1])
    _, status = os.waitpid(child, 0)
    ended = time.monotonic()
    points: dict[str, Any] = json.loads(noted.read_text()) if noted.exists() else {}
    signalled = points.pop("signalled", 0.0)
    return Done(
        os.waitstatus_to_exitcode(status),
        *(_drained(pipe[0]) for pipe in (out, err)),
        secs=ended - signalled if signalled else 0.0,
        **points,
    )


def _drained(pipe: int) -> str:
    """What a child that has ended has written to a pipe."""
    os.set_blocking(pipe, False)
    found = b""
    with suppress(BlockingIOError), os.fdopen(pipe, "rb", buffering=0) as file:
        found = file.read() or b""
    return found.decode(errors="replace")


def _be_the_command(request: Request, folder: Path, *, learn: bool) -> NoReturn:
    """Run the command as a process of its own would; never returns."""
    code = 70
    try:
        os.setsid()
        for place, number in ((request.stdout, 1), (request.stderr, 2)):
            _put(place, number)
        _limit(request)
        from pipelines import cli
        from pipelines.monitoring.interrupts import as_process
        from tests.quick_libraries import make_beam_quick, make_gate_quick

        make_beam_quick()
        if "great_expectations" in sys.modules:
            make_gate_quick()
        points = _Points(request, folder / "points")
        end = before_each_change(points.count, request.begins_at) if points.are_asked else None

        def command() -> int:
            code = cli.main(list(request.argv))
            if end is not None:
                end()
                points.write()
            if learn:
                (folder / "modules").write_text(json.dumps(sorted(sys.modules)))
            return code

        code = as_process(command)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _put(place: str, number: int) -> None:
    """Put something else in the place of a stream."""
    if place == "closed":
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)
    elif place == "gone":
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, number)
    elif place:
        os.dup2(os.open(place, os.O_WRONLY | os.O_APPEND), number)


def _limit(request: Request) -> None:
    if request.file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request.file_bytes, request.file_bytes))
    if request.more_memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + request.more_memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class _Points:
    """The points that a child comes by, and what it finds there."""

    def __init__(self, request: Request, path: Path) -> None:
        self._request = request
        self._path = path
        self._points = 0
        self._states: list[int] = []
        self._signature: Any = None
        self._signalled = 0.0
        self.are_asked = bool(request.copies or request.at or request.begins_at)

    def count(self, number: int) -> None:
        self._points = number
        if self._request.copies:
            signature = _signature(self._request.copy)
            if signature != self._signature:
                self._signature = signature
                self._states.append(number)
                if len(self._states) % self._request.every == 0 or len(self._states) == 1:
                    copy = Path(self._request.copies) / str(len(self._states))
                    shutil.copytree(self._request.copy, copy, symlinks=True)
        if number == self._request.at:
            self._signalled = time.monotonic()
            self.write()
            os.kill(os.getpid(), self._request.signal)

    def write(self) -> None:
        found = {"points": self._points, "states": self._states, "signalled": self._signalled}
        self._path.write_text(json.dumps(found))


def _signature(folder: str) -> list[tuple[Any, ...]]:
    """What tells one state of a folder from another: names, sizes, times and targets of links."""
    found: list[tuple[Any, ...]] = []
    for parent, folders, names in os.walk(folder):
        if parent.endswith("/heartbeats"):  # they come by the clock
            continue
        for name in sorted([*folders, *names]):
            path = Path(parent, name)
            about = path.lstat()
            link = str(path.readlink()) if path.is_symlink() else ""
            size = 0 if path.is_dir() else about.st_size
            changed = 0 if path.is_dir() else about.st_mtime_ns
            found.append((str(path), size, changed, about.st_ino, link))
    return sorted(found)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with who has started it
    main()
