"""One writer at a time on an output: OUTPUT/lock.json says which run it is.

A run holds the lock from before it looks for the last snapshot until after it has published. A lock whose run is surely
dead is taken over: on the same machine its process is gone, or another process has its number; elsewhere it was not
renewed while somebody watched it for longer than a living run takes to. Clocks are never compared, they may be wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

LOCK = "lock.json"
RENEW_SECS = 20.0
# As long as three renewals: a busy machine may miss one.
WATCH_SECS = 60.0
# An object store has no "create if absent": whoever still reads its own lock after this has it.
SETTLE_SECS = 1.0


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds an output. token: of this holder alone; process_start: clock ticks since boot at which it started.

    beat: how often the lock was renewed; started: for people, by that machine's clock.
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

    @classmethod
    def own(cls, run_id: str, command: str) -> Lock:
        """A lock for this process."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pid = os.getpid()
        return cls(
            run_id, command, socket.gethostname(), _boot(), pid, process_start(pid), secrets.token_hex(8), started
        )


class OutputLockedError(Exception):
    """Another run is at work on the output; the message names it and says what to do."""

    def __init__(self, lock: Lock, output: str) -> None:
        self.lock = lock
        super().__init__(
            f"{output} is locked by run {lock.run_id} ({lock.command}, process {lock.pid} on {lock.host}, since "
            f"{lock.started}); wait for it, or, if it is surely dead, `catalog-enrich unlock {output}`"
        )


@contextmanager
def output_lock(output: str, run_id: str, command: str, *, watch_secs: float = WATCH_SECS) -> Iterator[list[str]]:
    """Hold the output; gives warnings for the operator. Raises OutputLockedError."""
    place = _LocalPlace(output) if "://" not in output else _RemotePlace(output)
    lock = Lock.own(run_id, command)
    warnings = _acquire(place, lock, output, watch_secs)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(place, lock, done), name="lock", daemon=True)
    renewing.start()
    try:
        yield warnings
    finally:
        done.set()
        renewing.join()
        with contextlib.suppress(OSError, BeamIOError):  # the next run takes over a lock of the dead
            place.remove(lock)


def read_lock(output: str) -> Lock | None:
    """Who holds the output, None when nobody does, or nobody can tell."""
    return (_LocalPlace(output) if "://" not in output else _RemotePlace(output)).read()


def break_lock(output: str) -> Lock | None:
    """Remove a lock whoever holds it; returns what was removed."""
    place = _LocalPlace(output) if "://" not in output else _RemotePlace(output)
    held = place.read()
    place.remove(None)
    return held


def _acquire(place: _LocalPlace | _RemotePlace, lock: Lock, output: str, watch_secs: float) -> list[str]:
    if place.create(lock):
        return []
    held = place.read()
    if held is None:  # half a lock, of somebody who died while writing it, or gone by now
        if place.take_over(None, lock):
            return ["an unreadable lock was taken over"]
    elif _is_dead(place, held, watch_secs) and place.take_over(held, lock):
        return [f"the lock of run {held.run_id}, which is dead, was taken over"]
    raise OutputLockedError(place.read() or held or lock, output)


def _is_dead(place: _LocalPlace | _RemotePlace, held: Lock, watch_secs: float) -> bool:
    if held.host == socket.gethostname():
        return held.boot != _boot() or process_start(held.pid) != held.process_start
    end = time.monotonic() + watch_secs
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_secs / 10))
        if place.read() != held:
            return False
    return True


def _renew(place: _LocalPlace | _RemotePlace, lock: Lock, done: threading.Event) -> None:
    while not done.wait(RENEW_SECS):
        lock = replace(lock, beat=lock.beat + 1)
        with contextlib.suppress(OSError, BeamIOError):
            place.renew(lock)


def process_start(pid: int) -> int:
    """When a process of this machine started, in clock ticks since boot; -1: there is none, 0: nobody can tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return -1
        return 0 if _exists(pid) else -1
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only nobody has asked how.
    return -1 if fields[0] in "ZX" else int(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _parse(text: str | bytes) -> Lock | None:
    try:
        content: dict[str, Any] = json.loads(text)
        return Lock(**content)
    except (ValueError, TypeError):
        return None


class _LocalPlace:
    """A lock file on a local disk: created only if absent, taken over by renaming it away first."""

    def __init__(self, output: str) -> None:
        self._path = Path(output) / LOCK

    def create(self, lock: Lock) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        half = self._path.with_name(f".{LOCK}.{lock.token}")
        half.write_text(json.dumps(asdict(lock)))
        try:
            # Unlike O_EXCL and a write, a link is never half there.
            os.link(half, self._path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return self._create_exclusively(lock)
        finally:
            half.unlink(missing_ok=True)
        return True

    def _create_exclusively(self, lock: Lock) -> bool:
        try:
            with self._path.open("x") as file:
                file.write(json.dumps(asdict(lock)))
        except FileExistsError:
            return False
        return True

    def read(self) -> Lock | None:
        try:
            return _parse(self._path.read_text())
        except OSError:
            return None

    def take_over(self, held: Lock | None, lock: Lock) -> bool:
        """Put `lock` in the place of `held`, unless somebody else was faster."""
        away = self._path.with_name(f".{LOCK}.stale-{lock.token}")
        try:
            self._path.rename(away)
        except FileNotFoundError:
            return self.create(lock)
        taken = _parse(away.read_text())
        if taken != held:  # somebody took over before us, and we took theirs: give it back
            with contextlib.suppress(OSError):
                os.link(away, self._path)
            away.unlink(missing_ok=True)
            return False
        away.unlink(missing_ok=True)
        return self.create(lock)

    def renew(self, lock: Lock) -> None:
        if not _is_of(self.read(), lock):
            return
        half = self._path.with_name(f".{LOCK}.{lock.token}")
        half.write_text(json.dumps(asdict(lock)))
        half.replace(self._path)

    def remove(self, lock: Lock | None) -> None:
        if lock is None or _is_of(self.read(), lock):
            self._path.unlink(missing_ok=True)


class _RemotePlace:
    """A lock object: best effort, for an object store replaces what it is given, whoever was faster."""

    def __init__(self, output: str) -> None:
        self._path = FileSystems.join(output, LOCK)

    def create(self, lock: Lock) -> bool:
        if FileSystems.exists(self._path):
            return False
        self._write(lock)
        time.sleep(SETTLE_SECS)
        return _is_of(self.read(), lock)

    def read(self) -> Lock | None:
        try:
            with FileSystems.open(self._path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                return _parse(file.read())
        except Exception:  # each object store has its own exceptions for what is missing
            return None

    def take_over(self, held: Lock | None, lock: Lock) -> bool:
        if self.read() != held:
            return False
        self._write(lock)
        time.sleep(SETTLE_SECS)
        return _is_of(self.read(), lock)

    def renew(self, lock: Lock) -> None:
        if _is_of(self.read(), lock):
            self._write(lock)

    def remove(self, lock: Lock | None) -> None:
        if lock is None or _is_of(self.read(), lock):
            FileSystems.delete([self._path])

    def _write(self, lock: Lock) -> None:
        with FileSystems.create(self._path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(json.dumps(asdict(lock)).encode())


def _is_of(found: Lock | None, lock: Lock) -> bool:
    return found is not None and found.token == lock.token
