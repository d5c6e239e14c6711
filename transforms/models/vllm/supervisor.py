"""The guard of a vLLM server: starts it, restarts it once, and ends it when nobody uses it any
more.

One process a machine, run and server command, started as a file with `python -I` (it imports the
standard library only) by whoever needs the server first. Users are connections to a Unix socket in
a private folder, so the kernel
counts them: a worker that is killed is gone. One process knows everything, so nothing on disk can
go stale. Linux.

Who dies, and what then. The last user: the guard ends the server. The server: the guard restarts it
when somebody asks. The guard: the kernel kills the server. In each case the server's warden kills
what is left of its session. Guard and warden hold a lock until nothing is, so that a new server
never meets an old one on an accelerator.

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

BUSY = 75  # exit code: another guard is at work, or the folder is just being removed
PORT = "{port}"  # stands for the port in the server's command
MAX_RESTARTS = 1
MAX_PORTS = 3  # tried when another process takes the port before the server does
GRACE_SECS = 10.0  # for the server to end by itself
DOUBT_SECS = 30.0  # for a server that a user could not connect to, to show that it is well
NOBODY_SECS = 30.0  # for the first user to come
TICK_SECS, IDLE_TICK_SECS = 0.1, 1.0
PR_SET_PDEATHSIG = 1


def main(folder: Path, startup_timeout_secs: float, command: list[str]) -> int:
    """Guard until the last user is gone, and return an exit code."""
    directory = Path.cwd()
    lock = _take_lock(folder)
    if lock is None:
        return BUSY
    # So that being ended is no different from the last user's going.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    servers = Servers(command, directory, startup_timeout_secs, lock)
    guard = Guard(servers)
    try:
        guard.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # Nobody new finds the way here; who is just coming is turned away and starts a guard of its
        # own.
        guard.listener.close()
        Path("socket").unlink(missing_ok=True)
        servers.end()
        if not servers.deaths and not servers.gone:
            for log in Path().glob("*.log"):
                log.unlink()
        Path("lock").unlink()
        with contextlib.suppress(OSError):  # logs stay when something went wrong
            folder.rmdir()
    return 0


def _take_lock(folder: Path) -> int | None:
    try:
        # A socket's path holds 108 bytes at most, so it has to be reached from near by.
        os.chdir(folder)
        lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it may have removed it meanwhile.
        return lock if os.fstat(lock).st_ino == (folder / "lock").stat().st_ino else None
    except (BlockingIOError, FileNotFoundError):
        return None


class Guard:
    """Listens to users and answers each as soon as there is an answer."""

    def __init__(self, servers: Servers) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        Path("socket").unlink(missing_ok=True)  # of a guard that was killed
        self.listener.bind("socket")
        self.listener.listen(1024)
        self._servers = servers
        self._users: set[socket.socket] = set()
        self._waiting: set[socket.socket] = set()
        self._last: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Returns when the last user is gone, or when none came."""
        give_up_at = time.monotonic() + NOBODY_SECS
        while self._users or (self._last is None and time.monotonic() < give_up_at):
            for key, _ in self._selector.select(TICK_SECS if self._waiting else IDLE_TICK_SECS):
                if key.fileobj is self.listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            if self._users:
                self._servers.look(wanted=bool(self._waiting))
            if answer := self._servers.answer():
                for user in list(self._waiting):
                    self._send(user, answer)
                self._waiting.clear()

    def _accept(self) -> None:
        user, _ = self.listener.accept()
        user.settimeout(5)
        self._users.add(user)
        self._selector.register(user, selectors.EVENT_READ)
        self._send(user, {"guard": os.getpid()})  # tells users that they are counted

    def _read(self, user: socket.socket) -> None:
        question = b""
        with contextlib.suppress(OSError):
            question = user.recv(1024)
        if question:
            self._servers.hear(**json.loads(question))
            self._waiting.add(user)
        else:
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
            # The last one's connection ends with this process, which tells it that the server has
            # ended.
            self._last = user
            if self._users:
                user.close()


class Servers:
    """The server of now, and what became of those before."""

    def __init__(
        self, command: list[str], directory: Path, startup_timeout_secs: float, lock: int
    ) -> None:
        self._command, self._directory, self._lock = command, directory, lock
        self._startup_timeout_secs, self._give_up_at = startup_timeout_secs, 0.0
        self._server: Server | None = None
        self._ready = False
        self._doubted_until = 0.0
        self._starts, self._logs = 0, 0
        self._note, self._log = "", Path.cwd() / "guard.log"
        self.deaths = 0
        self.gone = ""

    @property
    def url(self) -> str:
        """Empty when there is no server that is ready."""
        return (
            f"http://127.0.0.1:{self._server.port}/v1"
            if self._server is not None and self._ready
            else ""
        )

    def hear(self, deaths: int, lost: str) -> None:
        self.deaths = max(self.deaths, deaths)
        if lost and lost == self.url and not self._doubted_until:
            # It may be dying, so that its URL is no answer before it has shown that it is well.
            self._doubted_until = time.monotonic() + DOUBT_SECS

    def answer(self) -> dict[str, object] | None:
        """None while there is nothing to say yet."""
        if self.gone:
            return {"gone": self.gone, "log": str(self._log)}
        if not self.url or self._doubted_until:
            return None
        return {"url": self.url, "deaths": self.deaths, "note": self._note, "log": str(self._log)}

    def look(self, wanted: bool) -> None:
        """See how the server is, and start one if it is wanted and may be."""
        if self.gone:
            return
        if self._server is None:
            if self.deaths > MAX_RESTARTS:
                self._give_up(f"the vLLM server or its guard died {self.deaths} times")
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
        if not self._starts:
            self._give_up_at = time.monotonic() + self._startup_timeout_secs
        self._starts, self._logs = self._starts + 1, self._logs + 1
        self._log = Path.cwd() / f"vllm-{os.getpid()}-{self._logs}.log"
        try:
            self._server = Server(self._command, self._directory, self._log, self._lock)
        except OSError as error:
            self._give_up(f"the vLLM server could not be started: {error}")

    def _died(self, server: Server) -> None:
        was_ready, how = self._ready, server.how_it_ended()
        self.end()
        if was_ready:
            self.deaths += 1
            self._note = f"the vLLM server {how}"
            if self.deaths > MAX_RESTARTS:
                self._give_up(f"the vLLM server died {self.deaths} times, the last time it {how}")
        elif (
            self._starts >= MAX_PORTS
            or b"address already in use" not in self._log.read_bytes().lower()
        ):
            self._give_up(f"the vLLM server {how} before it was ready")

    def _give_up(self, what: str) -> None:
        self.gone = what
        self.end()


class Server:
    """A server's process, in a session of its own together with all that it starts."""

    def __init__(self, command: list[str], directory: Path, log: Path, lock: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        guard, libc = os.getpid(), ctypes.CDLL(None)

        def end_with_guard() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)

        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - what the options say
                [str(self.port) if part == PORT else part for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,
                preexec_fn=end_with_guard,  # noqa: PLW1509 - the guard has one thread
            )
        self._lock = lock
        self._warden = self._call_warden()

    def healthy(self) -> bool:
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
        status = self.process.returncode
        if status is None:
            return f"was alive but not healthy for {DOUBT_SECS:g} s"
        if status >= 0:
            return f"ended with exit code {status}"
        hint = ", as the kernel does when memory runs out" if status == -signal.SIGKILL else ""
        return f"was killed by signal {-status} ({signal.Signals(-status).name}{hint})"

    def end(self) -> None:
        """Returns when nothing of it is left, or when that cannot be helped."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE_SECS)
        self._warden.communicate()
        if self._warden.returncode < 0:  # somebody killed it, so its work is still to be done
            self._call_warden().communicate()

    def _call_warden(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - a file of ours
            [
                sys.executable,
                "-I",
                str(Path(__file__).with_name("reaper.py")),
                str(self.process.pid),
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,
            pass_fds=[self._lock],
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
