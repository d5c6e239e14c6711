"""One vLLM server a machine, for all processes of a run: started by the first that needs it, ended
with the last.

Linux only. The supervisor (supervisor.py) owns the server; what is here is a user's side: finding
the supervisor or starting it, asking it where the server is, and telling people what went wrong.

The supervisor's socket and logs lie in `<temporary folder>/catalog-enrich-<user id>/<run and
command>`, which nobody else can enter. Logs stay there after a failure. Other users of the machine
can reach the port, so the server requires a key. It is derived from a secret in that folder, so
that it is the same for all processes and after a restart, and it is in no option, command line or
log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.secrets import MASK, masked
from transforms.models.chat_options import ChatOptions
from transforms.models.http.calls.upstream import UpstreamGoneError
from transforms.models.vllm import supervisor
from transforms.models.vllm.command import server_command, server_environment

# Beyond the time that the server may take: for an earlier server to be gone, and for the supervisor
# itself to start.
PATIENCE_SECS = 90.0
CONNECT_SECS = 10.0
RETRY_SECS = 0.1
CLOSED = "this process has left its vLLM server"
# A message on a SOCK_SEQPACKET socket is read whole or cut off; the supervisor's have a few hundred
# bytes.
MAX_ANSWER_BYTES = 65536
# Of a log only the end is read: one of a long run may have gigabytes.
TAIL_BYTES, TAIL_LINES, LINE_CHARS = 256 * 1024, 15, 300
# vLLM's log ends with where a failure was noticed; what failed is named earlier, by the first line
# like this.
_CAUSE = re.compile(r"\b\w*(?:Error|Exception): \S|\berror: ")
# The process that wrote a line, and when: `(EngineCore pid=7) ERROR 01-31 12:00:00 [core.py:1] `.
_LINE_START = re.compile(r"^(?:\(.*? pid=\d+\) )?(?:[A-Z]+ \d\d-\d\d [\d:]+ \[.*?\] )?")

_log = logging.getLogger(__name__)


class VllmServer:
    """This process's share of a server; an Upstream of ApiClient.

    command: of the server, by default that of the chat model that `options` describe.

    Nothing is started before `url`. All methods are safe to call from any thread. Processes share a
    server when session, command and visible accelerators are equal.
    """

    def __init__(self, options: ChatOptions, command: Sequence[str] = ()) -> None:
        self._startup_timeout_secs = options.startup_timeout_secs
        self._command = list(command) or server_command(options)
        # All that has to be equal for a server to be shared. The hash names the folder of the
        # socket, so it must be the same in every process of a run.
        named = [options.session, *self._command, os.environ.get("CUDA_VISIBLE_DEVICES", "")]
        self._name = hashlib.sha256("\0".join(named).encode()).hexdigest()[:16]
        self._connection: socket.socket | None = None
        self._url, self._note, self._deaths = "", "", 0
        self._closed = False
        self._lock = threading.Lock()

    def key(self) -> str:
        """Return the bearer token that the server requires.

        Raises UpstreamGoneError when the private folder cannot be made.
        """
        return hmac.digest(_secret(_home()), self._name.encode(), "sha256").hex()

    def url(self) -> str:
        """Return the base URL, up to and with `/v1`; wait while the server starts.

        Raises UpstreamGoneError.
        """
        with self._lock:
            return self._url or self._ask()

    def lost(self, url: str) -> str:
        """Return the base URL from now on, after connecting to `url` failed; wait for a restart.

        Raises UpstreamGoneError.
        """
        with self._lock:
            # A thread that asks late, with an old URL, gets the one that another thread has learnt.
            return self._ask(url) if url == self._url else self._url or self._ask()

    def close(self) -> None:
        """Give this share up.

        When it was the last, return after the server has ended, or PATIENCE_SECS at most.
        """
        # Before the lock is taken: a thread that waits for a server under it looks at this.
        self._closed = True
        connection = self._connection
        if connection is not None:
            # Not under the lock: it also ends the waiting of another thread.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        with self._lock:
            self._url = ""
            if self._connection is not None:
                # What comes is an answer that nobody waits for any more, then the end. The
                # supervisor closes the last user's connection only after the server has ended.
                deadline = time.monotonic() + PATIENCE_SECS
                with suppress(UpstreamGoneError):
                    while self._receive(self._connection, deadline) is not None:
                        pass
                self._drop()

    def _ask(self, lost: str = "") -> str:
        deadline = time.monotonic() + self._startup_timeout_secs + PATIENCE_SECS
        self._url = ""
        while True:
            if self._connection is None:
                self._connection = self._join(deadline)
            if self._closed:
                raise UpstreamGoneError(CLOSED)
            # A supervisor that has died shows in the receiving, below.
            with suppress(OSError):
                self._connection.send(json.dumps({"deaths": self._deaths, "lost": lost}).encode())
            answer = self._receive(self._connection, deadline)
            if answer is not None:
                break
            if not self._closed:
                # The supervisor was killed, which ends the server too. Its successor knows nothing
                # of earlier deaths but what its users tell, so the count is kept here.
                self._deaths += 1
                self._drop()
        if "gone" in answer:
            message = self._explanation(answer["gone"], answer["log"])
            _log.error("%s", message)
            raise UpstreamGoneError(message)
        # The note stays the same until the next death: one warning a restart, not one a question.
        if answer["note"] != self._note:
            _log.warning(
                "%s; it was restarted at %s; its log: %s",
                answer["note"],
                answer["url"],
                answer["log"],
            )
        self._url, self._note, self._deaths = answer["url"], answer["note"], answer["deaths"]
        return self._url

    def _join(self, deadline: float) -> socket.socket:
        """Return a connection to a supervisor that counts this process as a user; start one if
        there is none.
        """
        process: subprocess.Popen[bytes] | None = None
        while not self._closed and time.monotonic() < deadline:
            # Again in each round, because a supervisor that ends removes its folder.
            folder = _private(_home() / self._name)
            connection = self._connected(folder)
            if connection is not None:
                return connection
            # BUSY: another process's supervisor holds the lock, and listens soon or has just ended.
            status = None if process is None else process.poll()
            if status not in (None, 0, supervisor.BUSY):
                raise UpstreamGoneError(
                    f"the vLLM server's guard failed; look into {folder / 'guard.log'}"
                )
            if process is None or status is not None:
                process = self._start_supervisor(folder)
            time.sleep(RETRY_SECS)
        raise UpstreamGoneError(
            CLOSED
            if self._closed
            else "the vLLM server's supervisor could not be reached; run again"
        )

    def _connected(self, folder: Path) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # A socket's path holds 108 bytes at most; this one is short, however deep the folder
            # lies. Changing into the folder, as the supervisor does, would change it for all
            # threads of the job.
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                connection.connect(f"/proc/self/fd/{handle}/socket")
            finally:
                os.close(handle)
            # A connection waits in the kernel's queue before it is accepted, also that of a
            # supervisor that is just ending. Only its first message says that this user counts.
            if self._receive(connection, time.monotonic() + CONNECT_SECS) is not None:
                return connection
        except OSError:
            pass
        connection.close()
        return None

    def _receive(self, connection: socket.socket, deadline: float) -> dict[str, Any] | None:
        """Return the supervisor's next message; None when there will be none.

        Raises UpstreamGoneError when none comes before the deadline.
        """
        try:
            connection.settimeout(max(deadline - time.monotonic(), RETRY_SECS))
            message = connection.recv(MAX_ANSWER_BYTES)
        except TimeoutError:
            raise UpstreamGoneError(
                "the vLLM server's supervisor does not answer; run again"
            ) from None
        except OSError:
            return None
        answer: dict[str, Any] | None = json.loads(message) if message else None
        return answer

    def _start_supervisor(self, folder: Path) -> subprocess.Popen[bytes]:
        try:
            with (folder / "guard.log").open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - a file of ours
                    [
                        sys.executable,
                        "-I",
                        supervisor.__file__,
                        folder,
                        str(self._startup_timeout_secs),
                        *self._command,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **server_environment(self.key())},
                    # The key is in the environment, not on the command line: that one is
                    # everybody's to read. The new session keeps what ends this process's group
                    # (Ctrl-C for one) from the supervisor, which other processes still need.
                    start_new_session=True,
                )
        except OSError as error:
            raise UpstreamGoneError(
                f"the vLLM server's supervisor could not be started: {error}"
            ) from error
        # It may end long before this process does, and would stay as a zombie until then.
        threading.Thread(target=process.wait, daemon=True, name="vllm-supervisor").start()
        return process

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _explanation(self, what: str, log: str) -> str:
        """Return what happened, where to look and what to do, and then the log's own words."""
        cause, tail = log_excerpt(Path(log))
        message = (
            f"{what}; the whole log: {log}; look there, put it right and run again: answers so far "
            "are kept."
        )
        if cause:
            message += f" The log's first error: {cause}"
        # The log is the server's: it may print its own key.
        return masked(f"{message}\nIts last lines:\n{tail}".replace(self.key(), MASK))


def log_excerpt(log: Path) -> tuple[str, str]:
    """Return of a server's log, with long lines shortened: (first line that names an error or "",
    last TAIL_LINES lines).
    """
    content = b""
    with suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL_BYTES, 0))
        content = file.read()
    lines = [
        _LINE_START.sub("", line).strip()[:LINE_CHARS]
        for line in content.decode("utf-8", "replace").split("\n")
    ]
    lines = [line for line in lines if line]
    cause = next((line for line in lines if _CAUSE.search(line)), "")
    return cause, "\n".join(lines[-TAIL_LINES:]) or "(it is empty)"


def _home() -> Path:
    return _private(Path(tempfile.gettempdir()).absolute() / f"catalog-enrich-{os.getuid()}")


def _private(folder: Path) -> Path:
    """Return the folder, created if need be.

    Raises UpstreamGoneError when it is not this user's alone: the temporary folder is everybody's,
    and whoever created this one first could put a socket of their own into it.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # lstat: a link to a folder of this user's is not a private folder either.
        status = folder.lstat()
    except OSError as error:
        raise UpstreamGoneError(
            f"{folder} cannot be made: {error}; set TMPDIR to a folder that can be written"
        ) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UpstreamGoneError(
            f"{folder} is not a folder of this user alone; remove it or set TMPDIR to another place"
        )
    return folder


def _secret(home: Path) -> bytes:
    """Return this user's secret on this machine, 32 bytes; the first process writes it."""
    path = home / "secret"
    if not path.exists():
        draft = home / f"secret-{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        # Linking is all or nothing, and never replaces what another process wrote meanwhile: two
        # processes with different keys could not share a server.
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes()
