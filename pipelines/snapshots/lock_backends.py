"""How an output is held: by a lock of the kernel on a disk, by a lease in an object store.

In both, OUTPUT/lock.json says which run it is, and a run that is alive renews it. On a disk the
kernel lets go of its lock when the process ends, however it ends. In an object store, and on a disk
that has no such locks, the file alone is the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pipelines.snapshots.processes import process_start, this_machine
from transforms.runtime import storage
from transforms.runtime.bounds.aside import Aside

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
# What a disk answers that carries no locks of the kernel: NFS without its lock service, FUSE.
NO_KERNEL_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EIO}
)
# NFS answers EACCES where a local disk says that somebody else has the lock.
HELD_ELSEWHERE = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK})


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


class KernelLock:
    """A lock on a disk: a file that the kernel locks for this process.

    Some network file systems keep such locks to each machine, so a run of another machine is
    believed dead only when it does not renew its lock.json either. A disk without such locks gets a
    lease.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._file = LockFile(output)
        self._guard = Path(output) / f".{LOCK}.guard"

    @contextmanager
    def hold(self, run_id: str, command: str, watch_secs: float) -> Iterator[list[str]]:
        """Hold the output; gives warnings for the operator, to which one is added if the lock is
        lost on the way. Raises OutputLockedError.
        """
        self._guard.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            warnings = None
            try:
                warnings = self._acquire(stack, watch_secs)
            except OSError as error:
                if error.errno not in NO_KERNEL_LOCKS:
                    raise
            if warnings is None:
                lease = Lease(self._output, self._file)
                yield stack.enter_context(lease.hold(run_id, command, watch_secs))
                return
            lock = Lock.own(run_id, command, kernel=True)
            self._file.write(lock)
            with _renewed(self._file, lock, warnings):
                yield warnings

    def _acquire(self, stack: contextlib.ExitStack, watch_secs: float) -> list[str]:
        """Leave the kernel lock on the stack; returns a warning if a run left its lock.json."""
        stack.enter_context(self._locked())
        found = self._file.read()
        if found is None:
            return []
        held = parse(found)
        alive = None if held is None else self._is_alive(held, kernel_holds=False)
        if alive:
            raise OutputLockedError(held, self._output)
        if alive is None:
            # An older version renews its lock only while it has the guard: it must be able to.
            stack.close()
            _expect_no_renewal(self._file.read, found, watch_secs, self._output)
            stack.enter_context(self._locked())
            if self._file.read() != found:
                raise OutputLockedError(parse(self._file.read()), self._output)
        return [_taken_over(held)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._guard, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            end = time.monotonic() + GUARD_SECS
            while not _try_lock(descriptor, fcntl.LOCK_EX):
                if time.monotonic() >= end:
                    raise OutputLockedError(parse(self._file.read()), self._output)
                time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> Lock | None:
        """Return who holds the output; a run that is known to be dead counts as nobody."""
        held = parse(self._file.read())
        return None if held is None or self.is_alive(held) is False else held

    def is_alive(self, held: Lock) -> bool | None:
        """Return whether the run of a lock.json is at work; None where nobody can tell."""
        return self._is_alive(held, kernel_holds=self._is_held() if held.kernel else None)

    def _is_alive(self, held: Lock, *, kernel_holds: bool | None) -> bool | None:
        if kernel_holds:
            return True
        alive = held.is_alive()
        # Another machine's kernel may hold a lock that ours does not know of.
        ours = held.kernel and held.host == this_machine()[0]
        return False if alive is None and kernel_holds is False and ours else alive

    def _is_held(self) -> bool | None:
        """Whether the kernel holds the lock for anybody; None where it does not say."""
        try:
            # A lock to be shared needs no right to write: it may be another user's file.
            descriptor = os.open(self._guard, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def read(self) -> bytes | None:
        """Return the content of lock.json, None where there is none."""
        return self._file.read()

    def remove(self) -> None:
        """Remove lock.json, whoever wrote it."""
        self._file.remove()


class Lease:
    """A lock.json that is renewed. Best effort in an object store, where of two runs that start in
    one moment both may write it.
    """

    def __init__(self, output: str, place: LockFile | LockObject) -> None:
        self._output = output
        self._place = place

    @contextmanager
    def hold(self, run_id: str, command: str, watch_secs: float) -> Iterator[list[str]]:
        """Hold the output and renew the lease; gives warnings for the operator, to which one is
        added if the lease is lost on the way. Raises OutputLockedError, and what the store raises
        where it cannot be reached.
        """
        lock = Lock.own(run_id, command)
        warnings = self._acquire(lock, watch_secs)
        with _renewed(self._place, lock, warnings):
            yield warnings

    def _acquire(self, lock: Lock, watch_secs: float) -> list[str]:
        for _ in range(ATTEMPTS):
            if self._place.create(lock):
                if self._settled(lock):
                    return []
                continue
            found = self._place.read()
            if found is None:  # released by now
                continue
            held = parse(found)
            alive = None if held is None else held.is_alive()
            if alive:
                break
            if alive is None:
                _expect_no_renewal(self._place.read, found, watch_secs, self._output)
            if self._place.read() == found:
                self._place.write(lock)
                if self._settled(lock):
                    return [_taken_over(held)]
        raise OutputLockedError(parse(self._place.read()), self._output)

    def holder(self) -> Lock | None:
        """Return whose lease it is; a run that is known to be dead counts as nobody."""
        held = parse(self._place.read())
        return None if held is None or self.is_alive(held) is False else held

    def is_alive(self, held: Lock) -> bool | None:
        """Return whether the run of a lease is at work; None where nobody can tell."""
        return held.is_alive()

    def read(self) -> bytes | None:
        """Return the content of lock.json, None where there is none."""
        return self._place.read()

    def remove(self) -> None:
        """Remove lock.json, whoever wrote it."""
        self._place.remove()

    def _settled(self, lock: Lock) -> bool:
        time.sleep(SETTLE_SECS)
        return _is_ours(self._place, lock)


@contextmanager
def _renewed(place: LockFile | LockObject, lock: Lock, warnings: list[str]) -> Iterator[None]:
    """Renew a lock.json and remove it at the end; one that is no longer ours stays."""
    done = threading.Event()
    renewing = Aside(lambda: _renew(place, lock, done, warnings))
    try:
        renewing.start()
        yield
    finally:
        done.set()
        if renewing.is_alive():
            renewing.join()
        with contextlib.suppress(Exception):  # the next run takes over a lock of the dead
            if _is_ours(place, lock):
                place.remove()


def _renew(
    place: LockFile | LockObject, lock: Lock, done: threading.Event, warnings: list[str]
) -> None:
    while not done.wait(RENEW_SECS):
        lock = replace(lock, beat=lock.beat + 1)
        # A store that fails for a moment must not look like our death.
        with contextlib.suppress(Exception):
            if not _is_ours(place, lock):
                warnings.append(
                    "the lock was broken or taken over while this run was at work; was another run?"
                )
                return
            place.write(lock)


def _is_ours(place: LockFile | LockObject, lock: Lock) -> bool:
    held = parse(place.read())
    return held is not None and held.token == lock.token


def _try_lock(descriptor: int, how: int) -> bool:
    """Lock an open file if nobody else has; raises OSError where the disk has no such locks."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD_ELSEWHERE:
            raise
        return False
    return True


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
