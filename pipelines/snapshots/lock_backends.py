"""How an output is held: by a lock of the kernel on a disk, by a lease in an object store.

On a disk the kernel lets go of its lock when the process ends, however it ends. In an object store,
and on a disk that has no such locks, lock.json alone is the lock (lock_files.py).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipelines.snapshots.lock_files import (
    LOCK,
    Lock,
    LockFile,
    LockObject,
    OutputLockedError,
    parse,
)
from pipelines.snapshots.processes import this_machine

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
    renewing = threading.Thread(
        target=_renew, args=(place, lock, done, warnings), name="lock", daemon=True
    )
    renewing.start()
    try:
        yield
    finally:
        done.set()
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
