"""Where a lock lies: a file on a disk or an object in a store, and what it says of who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from transforms.runtime import storage

LOCK = "lock.json"
# An object store has no "create if absent": whoever still reads its own lock after this has it.
SETTLE_SECS = 1.0


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds an output.

    token: of this holder alone; process_start: clock ticks since boot at which it started.

    beat: how often the lock was renewed; started: for people, by that machine's clock; namespace:
    within which the process has its number, since containers with one host's name number theirs
    apart.
    """

    run_id: str
    command: str
    host: str
    boot: str
    pid: int
    process_start: int
    token: str
    started: str
    beat: int = 0
    namespace: str = ""

    @classmethod
    def own(cls, run_id: str, command: str) -> Lock:
        """A lock for this process."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pid, (host, boot, namespace) = os.getpid(), here()
        token = secrets.token_hex(8)
        return cls(
            run_id,
            command,
            host,
            boot,
            pid,
            process_start(pid),
            token,
            started,
            namespace=namespace,
        )


def parse(text: bytes | None) -> Lock | None:
    try:
        return None if text is None else msgspec.json.decode(text, type=Lock)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def process_start(pid: int) -> int:
    """When a process of this machine started, in clock ticks since boot; -1: there is none, 0:
    nobody can tell.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        # It is hidden from other users where /proc is mounted so, and some systems have none.
        return 0 if _exists(pid) else -1
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only nobody has asked how.
    return -1 if fields[0] in "ZX" else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def here() -> tuple[str, str, str]:
    """Host, boot and numbering of processes: where all are the same, a process number means the
    same process.
    """
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return socket.gethostname(), boot, namespace


class LocalPlace:
    """A lock file on a disk: created only if absent, taken over by renaming it away first.

    Who looks at it and then changes it holds a guard of the system meanwhile. Without that, a third
    run could create a lock just while a second one puts back what it took by mistake. A file system
    that has no such guards leaves that gap.
    """

    def __init__(self, output: str) -> None:
        self._path = Path(output) / LOCK

    @contextmanager
    def _guard(self) -> Iterator[None]:
        with self._path.with_name(f".{LOCK}.guard").open("ab") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def create(self, lock: Lock) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._guard():
            return self._create(lock)

    def _create(self, lock: Lock) -> bool:
        try:
            file = self._path.open("xb")
        except FileExistsError:
            return False
        try:
            with file:
                file.write(msgspec.json.encode(lock))
        except OSError:  # a full disk: half a lock would keep the next run waiting
            self._path.unlink(missing_ok=True)
            raise
        return True

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def take_over(self, found: bytes, lock: Lock) -> bool:
        """Put `lock` in the place of what was found, unless somebody else was faster."""
        away = self._path.with_name(f".{LOCK}.stale-{lock.token}")
        with self._guard():
            try:
                self._path.rename(away)
            except FileNotFoundError:
                return self._create(lock)
            if away.read_bytes() == found:
                away.unlink()
                return self._create(lock)
            # Somebody took over before us, and we took theirs: give it back.
            away.unlink() if self._path.exists() else away.rename(self._path)
            return False

    def renew(self, lock: Lock) -> bool:
        """Whether it is still ours."""
        with self._guard():
            if not _is_of(self.read(), lock):
                return False
            half = self._path.with_name(f".{LOCK}.{lock.token}")
            half.write_bytes(msgspec.json.encode(lock))
            half.replace(self._path)
            return True

    def remove(self, lock: Lock | None) -> None:
        if not self._path.parent.is_dir():
            return
        with self._guard():
            if lock is None or _is_of(self.read(), lock):
                self._path.unlink(missing_ok=True)


class RemotePlace:
    """A lock object: best effort, for an object store replaces what it is given, whoever was
    faster.
    """

    def __init__(self, output: str) -> None:
        self._path = storage.join(output, LOCK)

    def create(self, lock: Lock) -> bool:
        if storage.exists(self._path):
            return False
        return self._settle(lock)

    def read(self) -> bytes | None:
        try:
            return storage.read_bytes(self._path)
        except Exception:  # each object store has its own exceptions for what is missing
            if storage.exists(self._path):
                raise
            return None

    def take_over(self, found: bytes, lock: Lock) -> bool:
        return self.read() == found and self._settle(lock)

    def renew(self, lock: Lock) -> bool:
        """Whether it is still ours."""
        if not _is_of(self.read(), lock):
            return False
        self._write(lock)
        return True

    def remove(self, lock: Lock | None) -> None:
        found = self.read()
        if found is not None and (lock is None or _is_of(found, lock)):
            storage.delete_files([self._path])

    def _settle(self, lock: Lock) -> bool:
        self._write(lock)
        time.sleep(SETTLE_SECS)
        return _is_of(self.read(), lock)

    def _write(self, lock: Lock) -> None:
        storage.write_bytes(self._path, msgspec.json.encode(lock))


def _is_of(found: bytes | None, lock: Lock) -> bool:
    held = parse(found)
    return held is not None and held.token == lock.token
