"""OUTPUT/lock.json: which run holds the output, and the file on a disk or in an object store.

A run that is alive renews it.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipelines.snapshots.processes import process_start, this_machine
from transforms.runtime import storage

LOCK = "lock.json"


@dataclass(frozen=True, slots=True)
class Lock:
    """Which run holds an output: the content of lock.json.

    token: of this holder alone; started: for people, by that machine's clock; beat: how often it
    was renewed; kernel: the kernel holds the lock and the file only says for whom; boot, namespace
    and process_start (clock ticks since boot): which process that number means.
    """

    run_id: str
    command: str
    host: str
    pid: int
    token: str
    started: str
    beat: int = 0
    kernel: bool = False
    boot: str = ""
    namespace: str = ""
    process_start: int = 0

    @classmethod
    def own(cls, run_id: str, command: str, *, kernel: bool = False) -> Lock:
        """Return a lock for this process."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        host, boot, namespace = this_machine()
        return cls(
            run_id,
            command,
            host,
            os.getpid(),
            secrets.token_hex(8),
            started,
            kernel=kernel,
            boot=boot,
            namespace=namespace,
            process_start=process_start(os.getpid()),
        )

    def is_alive(self) -> bool | None:
        """Return whether the process is at work; None where it cannot be seen from here."""
        if (self.host, self.boot, self.namespace) != this_machine():
            return None
        started = process_start(self.pid)
        return started == self.process_start if started else None


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


class LockFile:
    """The lock.json on a disk."""

    def __init__(self, output: str) -> None:
        self._path = Path(output) / LOCK

    def read(self) -> bytes | None:
        """Return the content, None where there is no file."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def create(self, lock: Lock) -> bool:
        """Write the lock unless there is one; returns whether it was written."""
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

    def write(self, lock: Lock) -> None:
        """Put the lock in the place of what is there; no reader sees half of it."""
        half = self._path.with_name(f".{LOCK}.{lock.token}")
        try:
            half.write_bytes(msgspec.json.encode(lock))
            half.replace(self._path)
        finally:
            half.unlink(missing_ok=True)  # of a full disk

    def remove(self) -> None:
        """Remove the file, whoever wrote it."""
        self._path.unlink(missing_ok=True)


class LockObject:
    """The lock.json in an object store, which replaces what it is given, whoever was faster."""

    def __init__(self, output: str) -> None:
        self._path = storage.join(output, LOCK)

    def read(self) -> bytes | None:
        """Return the content, None where there is no object."""
        try:
            return storage.read_bytes(self._path)
        except Exception:  # each object store has its own exceptions for what is missing
            if storage.exists(self._path):
                raise
            return None

    def create(self, lock: Lock) -> bool:
        """Write the lock unless there is one; another run may do so at the same moment."""
        if self.read() is not None:
            return False
        self.write(lock)
        return True

    def write(self, lock: Lock) -> None:
        """Put the lock in the place of what is there."""
        storage.write_bytes(self._path, msgspec.json.encode(lock))

    def remove(self) -> None:
        """Remove the object, whoever wrote it."""
        if self.read() is not None:
            storage.delete_files([self._path])


def parse(content: bytes | None) -> Lock | None:
    """Return the lock in a file; None for no file, and for what is not a lock."""
    try:
        return None if content is None else msgspec.json.decode(content, type=Lock)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
