"""How an output is held: by a lock of the kernel on a disk, by a lease in an object store.

In both, OUTPUT/lock.json says which run it is. On a disk that is for people only: the kernel lets
go of its lock when the process ends, however it ends. In an object store the file is the lock, and
a run that is alive renews it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from transforms.runtime import storage

LOCK = "lock.json"
# Older versions held this file for moments only, while they changed lock.json; so does whoever
# asks if a run is at work. A run that starts waits that long for it.
GUARD_SECS = 0.5
RENEW_SECS = 20.0
# As long as three renewals: a busy machine may miss one.
WATCH_SECS = 60.0
# An object store has no "create if absent": whoever still reads its own lock after this has it.
SETTLE_SECS = 1.0
# A lease that is released while somebody looks at it is looked for again, so many times.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Lock:
    """Which run holds an output: the content of lock.json.

    token: of this holder alone; started: for people, by that machine's clock; beat: how often a
    lease was renewed; kernel: the kernel holds the lock and the file only says for whom.
    """

    run_id: str
    command: str
    host: str
    pid: int
    token: str
    started: str
    beat: int = 0
    kernel: bool = False

    @classmethod
    def own(cls, run_id: str, command: str, *, kernel: bool = False) -> Lock:
        """Return a lock for this process."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        token = secrets.token_hex(8)
        return cls(
            run_id, command, socket.gethostname(), os.getpid(), token, started, kernel=kernel
        )


class OutputLockedError(Exception):
    """Another run is at work on the output; the message names it and says what to do.

    lock: None where somebody renews a lock that this version cannot read.
    """

    def __init__(self, lock: Lock | None, output: str) -> None:
        self.lock = lock
        who = "a run whose lock cannot be read"
        if lock is not None:
            who = (
                f"run {lock.run_id} ({lock.command}, process {lock.pid} on {lock.host}, since "
                f"{lock.started})"
            )
        super().__init__(
            f"{output} is locked by {who}; wait for it, or, if you are certain that run is dead, "
            f"`catalog-enrich unlock {output}`"
        )


class KernelLock:
    """A lock on a disk: a file that the kernel locks for this process.

    It reaches as far as the file system carries such locks: local disks, NFS and cluster file
    systems do so between machines.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._path = Path(output) / LOCK
        self._guard = self._path.with_name(f".{LOCK}.guard")

    @contextmanager
    def hold(self, run_id: str, command: str, watch_secs: float) -> Iterator[list[str]]:
        """Hold the output; gives warnings for the operator. Raises OutputLockedError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self._guard, timeout=GUARD_SECS, thread_local=False))
            except Timeout as error:
                raise OutputLockedError(parse(self.read()), self._output) from error
            warnings = self._take_over(watch_secs)
            self._write(Lock.own(run_id, command, kernel=True))
            try:
                yield warnings
            finally:
                with contextlib.suppress(OSError):  # it tells of a dead run, which stops nobody
                    self._path.unlink()

    def _take_over(self, watch_secs: float) -> list[str]:
        """Return a warning if a run left its lock.json; called while the kernel lock is held."""
        found = self.read()
        if found is None:
            return []
        held = parse(found)
        # Without a lock of the kernel it is of an older version, which may be alive.
        if held is None or not held.kernel:
            _expect_no_renewal(self.read, found, watch_secs, self._output)
        return [_taken_over(held)]

    def read(self) -> bytes | None:
        """Return the content of lock.json, None where there is none."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def holder(self) -> Lock | None:
        """Return who holds the output; what a dead run of this version left counts as nobody."""
        held = parse(self.read())
        return None if held is not None and held.kernel and not self._is_held() else held

    def _is_held(self) -> bool:
        try:
            with FileLock(self._guard, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True
        except OSError:  # another user's file, which only readers look at: nobody can tell
            return True

    def _write(self, lock: Lock) -> None:
        half = self._path.with_name(f".{LOCK}.{lock.token}")
        try:
            half.write_bytes(msgspec.json.encode(lock))
            half.replace(self._path)
        finally:
            half.unlink(missing_ok=True)  # of a full disk

    def remove(self) -> None:
        """Remove lock.json, whoever wrote it."""
        self._path.unlink(missing_ok=True)


class Lease:
    """A lock object in a store: best effort, for a store replaces what it is given, whoever was
    faster.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._path = storage.join(output, LOCK)

    @contextmanager
    def hold(self, run_id: str, command: str, watch_secs: float) -> Iterator[list[str]]:
        """Hold the output and renew the lease; gives warnings for the operator, to which one is
        added if the lease is lost on the way. Raises OutputLockedError, and what the store raises
        where it cannot be reached.
        """
        lock = Lock.own(run_id, command)
        warnings = self._acquire(lock, watch_secs)
        done = threading.Event()
        renewing = threading.Thread(
            target=self._renew, args=(lock, done, warnings), name="lease", daemon=True
        )
        renewing.start()
        try:
            yield warnings
        finally:
            done.set()
            renewing.join()
            with contextlib.suppress(Exception):  # the next run takes over a lease of the dead
                if self._is_ours(lock):
                    self.remove()

    def _acquire(self, lock: Lock, watch_secs: float) -> list[str]:
        for _ in range(ATTEMPTS):
            found = self.read()
            if found is None:
                if self._settle(lock):
                    return []
                continue
            _expect_no_renewal(self.read, found, watch_secs, self._output)
            if self.read() == found and self._settle(lock):
                return [_taken_over(parse(found))]
        raise OutputLockedError(parse(self.read()), self._output)

    def _renew(self, lock: Lock, done: threading.Event, warnings: list[str]) -> None:
        while not done.wait(RENEW_SECS):
            lock = replace(lock, beat=lock.beat + 1)
            # A store that fails for a moment must not look like our death.
            with contextlib.suppress(Exception):
                if not self._is_ours(lock):
                    warnings.append(
                        "the lock was broken or taken over while this run was at work; was another "
                        "run?"
                    )
                    return
                self._write(lock)

    def read(self) -> bytes | None:
        """Return the content of lock.json, None where there is none."""
        try:
            return storage.read_bytes(self._path)
        except Exception:  # each object store has its own exceptions for what is missing
            if storage.exists(self._path):
                raise
            return None

    def holder(self) -> Lock | None:
        """Return whose lease it is; nobody can tell if that run is alive."""
        return parse(self.read())

    def remove(self) -> None:
        """Remove lock.json, whoever wrote it."""
        if self.read() is not None:
            storage.delete_files([self._path])

    def _settle(self, lock: Lock) -> bool:
        self._write(lock)
        time.sleep(SETTLE_SECS)
        return self._is_ours(lock)

    def _is_ours(self, lock: Lock) -> bool:
        held = parse(self.read())
        return held is not None and held.token == lock.token

    def _write(self, lock: Lock) -> None:
        storage.write_bytes(self._path, msgspec.json.encode(lock))


def parse(content: bytes | None) -> Lock | None:
    """Return the lock in a file; None for no file, and for what is not a lock."""
    try:
        return None if content is None else msgspec.json.decode(content, type=Lock)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _expect_no_renewal(
    read: Callable[[], bytes | None], found: bytes, watch_secs: float, output: str
) -> None:
    """Watch a lock for longer than a living run takes to renew it; raise OutputLockedError then.

    Clocks are never compared: those of two machines may differ by more than that.
    """
    end = time.monotonic() + watch_secs
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_secs / 10))
        if read() != found:
            raise OutputLockedError(parse(read()), output)


def _taken_over(held: Lock | None) -> str:
    if held is None:
        return "an unreadable lock was taken over"
    return f"the lock of run {held.run_id}, which is dead, was taken over"
