"""The supervisor of a vLLM server: starts it, restarts it once, and ends it when nobody uses it any
more.

One process for each machine, run and server command, started as a file with `python -I` (it imports
the standard library only) by whoever needs the server first. Users are connections to a Unix socket
in a private folder, so the kernel counts them: a worker that is killed is gone. One process knows
everything, so nothing on disk can go stale. Linux only.

What happens when a process ends or is killed:

- the last user: the supervisor ends the server;
- the server: the supervisor restarts it as soon as a user needs it;
- the supervisor: the kernel kills the server.

In each case the server's reaper kills what is left of its session. Supervisor and reaper hold a
lock until nothing is left, so that a new server never meets an old one on an accelerator.

Questions and answers are JSON: {"deaths": that a user knows of, "lost": URL that it could not
connect to, or ""} gets {"url", "deaths", "note", "log"} or, when there will be no server any more,
{"gone": why, "log"}.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, cast

BUSY = 75  # exit code: another supervisor runs, or the folder is just being removed
# Takes secrets out of the server's log; a program of its own that needs nothing either.
PUMP = str(Path(__file__).parents[3] / "schemas" / "secrets" / "pump.py")
PORT = "{port}"  # stands for the port in the server's command
# A server that has died twice most likely dies of what it is asked or of where it runs; each
# further restart would cost minutes.
MAX_RESTARTS = 1
MAX_PORTS = 3  # tried when another process takes the port before the server does
GRACE_SECS = 10.0  # for the server to end by itself
DOUBT_SECS = 30.0  # for a server that a user could not connect to, to show that it is well
NOBODY_SECS = 30.0  # for the first user to come
# How often the server is looked at: while somebody waits for it, and else.
TICK_SECS, IDLE_TICK_SECS = 0.1, 1.0
# From <linux/prctl.h>: the signal that a process gets when its parent dies.
PR_SET_PDEATHSIG = 1


def main(folder: Path, startup_timeout_secs: float, command: list[str]) -> int:
    """Run the server until the last user is gone; return an exit code."""
    # Before the lock is taken, which changes the working folder: relative paths in the command
    # are relative to where the job was started.
    directory = Path.cwd()
    lock = _take_lock(folder)
    if lock is None:
        return BUSY
    # As an exception, so that SIGTERM ends the server in the same order as the last user's going.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    servers = Servers(command, directory, startup_timeout_secs, lock)
    supervisor = Supervisor(servers)
    try:
        supervisor.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # First the socket, so that nobody new comes in; who is just connecting is turned away and
        # starts a supervisor of its own, which waits for the lock.
        supervisor.listener.close()
        Path("socket").unlink(missing_ok=True)
        servers.end()
        if not servers.deaths and not servers.gone:
            for log in Path().glob("*.log"):
                log.unlink()
        # Removed while it is held: a process that has opened it before notices (_take_lock), one
        # that comes later creates a new file.
        Path("lock").unlink()
        with contextlib.suppress(OSError):  # logs stay when something went wrong
            folder.rmdir()
    return 0


def _take_lock(folder: Path) -> int | None:
    try:
        # A socket's path holds 108 bytes at most, so it has to be a relative one.
        os.chdir(folder)
        lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder may have removed it between the opening and the locking: then this is a lock
        # on a file that nobody else will ever see.
        return lock if os.fstat(lock).st_ino == (folder / "lock").stat().st_ino else None
    except (BlockingIOError, FileNotFoundError):
        return None


class Supervisor:
    """Listens to users and answers each as soon as there is an answer."""

    def __init__(self, servers: Servers) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        Path("socket").unlink(missing_ok=True)  # of a supervisor that was killed
        self.listener.bind("socket")
        self.listener.listen(1024)
        self._servers = servers
        self._users: set[socket.socket] = set()
        self._waiting: set[socket.socket] = set()  # those that have asked and have no answer yet
        self._last: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve users; return when the last one is gone, or when none came."""
        give_up_at = time.monotonic() + NOBODY_SECS
        while self._users or (self._last is None and time.monotonic() < give_up_at):
            for key, _ in self._selector.select(TICK_SECS if self._waiting else IDLE_TICK_SECS):
                if key.fileobj is self.listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            if self._users:
                self._servers.check(wanted=bool(self._waiting))
            if answer := self._servers.answer():
                for user in list(self._waiting):
                    self._send(user, answer)
                self._waiting.clear()

    def _accept(self) -> None:
        user, _ = self.listener.accept()
        # There is one thread: a user that is stopped must not hold up the others for long.
        user.settimeout(5)
        self._users.add(user)
        self._selector.register(user, selectors.EVENT_READ)
        self._send(user, {"supervisor": os.getpid()})  # tells users that they are counted

    def _read(self, user: socket.socket) -> None:
        question = b""
        with contextlib.suppress(OSError):
            question = user.recv(1024)
        if question:
            self._servers.take_question(**json.loads(question))
            self._waiting.add(user)
        else:  # end of file, or an error: in both cases the user is gone
            self._leave(user)

    def _send(self, user: socket.socket, message: dict[str, object]) -> None:
        try:
            user.sendall(json.dumps(message).encode())
        except OSError:
            self._leave(user)

    def _leave(self, user: socket.socket) -> None:
        if user in self._users:
            self._users.discard(user)
            self._waiting.discard(user)
            self._selector.unregister(user)
            # The last one's connection stays open until this process ends: closing tells a user
            # that the server has ended, and its `close` waits for that.
            self._last = user
            if self._users:
                user.close()


class Servers:
    """The current server, and what became of those before.

    deaths: of servers that had been ready, also under supervisors before this one. gone: why there
    will be no server any more; empty while there may be one.
    """

    def __init__(
        self, command: list[str], directory: Path, startup_timeout_secs: float, lock: int
    ) -> None:
        self._command, self._directory, self._lock = command, directory, lock
        self._startup_timeout_secs, self._give_up_at = startup_timeout_secs, 0.0
        self._server: Server | None = None
        self._ready = False
        self._doubted_until = 0.0
        self._starts, self._logs = 0, 0
        # Until the first server has a log, this process's own says what went wrong.
        self._note, self._log = "", Path.cwd() / "guard.log"
        self.deaths = 0
        self.gone = ""

    @property
    def url(self) -> str:
        """The base URL; empty when there is no server that is ready."""
        return (
            f"http://127.0.0.1:{self._server.port}/v1"
            if self._server is not None and self._ready
            else ""
        )

    def take_question(self, deaths: int, lost: str) -> None:
        """Take over what a user knows: the deaths that it saw, and the URL that it cannot reach."""
        # The supervisor's own death ends its memory; its users remember.
        self.deaths = max(self.deaths, deaths)
        if lost and lost == self.url and not self._doubted_until:
            # It may be dying, so its URL is not given out again before it has answered a health
            # check. Only the URL of now counts: a late user may speak of the server before.
            self._doubted_until = time.monotonic() + DOUBT_SECS

    def answer(self) -> dict[str, object] | None:
        """Return the answer to every question that is open; None while there is none yet."""
        if self.gone:
            return {"gone": self.gone, "log": str(self._log)}
        if not self.url or self._doubted_until:
            return None
        return {"url": self.url, "deaths": self.deaths, "note": self._note, "log": str(self._log)}

    def check(self, wanted: bool) -> None:
        """Look at the state of the server; start one if one is wanted and allowed."""
        if self.gone:
            return
        if self._server is None:
            if self.deaths > MAX_RESTARTS:
                self._give_up(f"the vLLM server or its supervisor died {self.deaths} times")
            elif wanted:
                self._start()
        elif self._server.process.poll() is not None:
            self._died(self._server)
        elif not self._ready and self._server.healthy():
            self._ready, self._starts = True, 0
        elif not self._ready and time.monotonic() > self._give_up_at:
            secs = self._startup_timeout_secs
            self._give_up(
                f"the vLLM server was not ready within {secs:g} s (--startup-timeout-secs)"
            )
        elif self._doubted_until and self._server.healthy():
            self._doubted_until = 0.0
        elif self._doubted_until and time.monotonic() > self._doubted_until:
            self._died(self._server)

    def end(self) -> None:
        if self._server is not None:
            self._server.end()
        self._server, self._ready, self._doubted_until = None, False, 0.0

    def _start(self) -> None:
        # One time limit for all tries of a start: a port that was taken gives no more time.
        if not self._starts:
            self._give_up_at = time.monotonic() + self._startup_timeout_secs
        self._starts, self._logs = self._starts + 1, self._logs + 1
        self._log = Path.cwd() / f"vllm-{os.getpid()}-{self._logs}.log"
        try:
            self._server = Server(self._command, self._directory, self._log, self._lock)
        except OSError as error:
            self._give_up(f"the vLLM server could not be started: {error}")

    def _died(self, server: Server) -> None:
        # Read before `end`, which changes both.
        was_ready, how = self._ready, server.how_it_ended()
        self.end()
        if was_ready:
            self.deaths += 1
            self._note = f"the vLLM server {how}"
            if self.deaths > MAX_RESTARTS:
                self._give_up(f"the vLLM server died {self.deaths} times, the last time it {how}")
        # A start that failed is not a death: it fails again in the same way, except when it only
        # lost the race for its port.
        elif (
            self._starts >= MAX_PORTS
            or b"address already in use" not in self._log.read_bytes().lower()
        ):
            self._give_up(f"the vLLM server {how} before it was ready")

    def _give_up(self, what: str) -> None:
        self.gone = what
        self.end()


class Server:
    """A server's process, in a session of its own together with all that it starts.

    lock: descriptor of the locked file, handed to the reaper, so that the lock outlives this
    process until nothing of the server is left.
    """

    def __init__(self, command: list[str], directory: Path, log: Path, lock: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            # Free now; another process may take it before the server does (MAX_PORTS).
            self.port = probe.getsockname()[1]
        supervisor, libc = os.getpid(), ctypes.CDLL(None)

        def end_with_supervisor() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            # It may have died before the signal was asked for, which then never comes.
            if os.getppid() != supervisor:
                os._exit(1)

        with log.open("wb") as output:
            # It ends with the last process of the server's that may write a line.
            self._pump = subprocess.Popen(  # noqa: S603 - a file of ours
                [sys.executable, "-I", "-S", PUMP],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        with cast(IO[bytes], self._pump.stdin) as pipe:
            self.process = subprocess.Popen(  # noqa: S603 - what the options say
                [str(self.port) if part == PORT else part for part in command],
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,
                preexec_fn=end_with_supervisor,  # noqa: PLW1509 - the supervisor has one thread
            )
        self._lock = lock
        self._reaper = self._start_reaper()

    def healthy(self) -> bool:
        """Return whether the server answers its health check with HTTP 200."""
        # Not urllib: it would ask a proxy that the environment names.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()  # or closing would reset the connection, which servers log
        except (OSError, http.client.HTTPException):
            return False
        else:
            return response.status == 200
        finally:
            connection.close()

    def how_it_ended(self) -> str:
        """Return the end of a sentence that begins with the server: "ended with exit code 1"."""
        status = self.process.returncode
        if status is None:
            return f"was alive but not healthy for {DOUBT_SECS:g} s"
        if status >= 0:
            return f"ended with exit code {status}"
        hint = ", as the kernel does when memory runs out" if status == -signal.SIGKILL else ""
        return f"was killed by signal {-status} ({signal.Signals(-status).name}{hint})"

    def end(self) -> None:
        """End the server; return when nothing of it is left, or when that cannot be helped."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE_SECS)
        # Closes its standard input, which is the sign to kill, and waits for its end.
        self._reaper.communicate()
        if self._reaper.returncode < 0:  # somebody killed it, so its work is still to be done
            self._start_reaper().communicate()
        # Now that no process of the server's is left it has seen the end of the log.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._pump.wait(GRACE_SECS)
        self._pump.kill()

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - a file of ours
            [
                sys.executable,
                "-I",
                str(Path(__file__).with_name("reaper.py")),
                str(self.process.pid),
            ],
            stdin=subprocess.PIPE,
            # So that a signal to the supervisor's process group does not end the reaper too.
            start_new_session=True,
            pass_fds=[self._lock],
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
