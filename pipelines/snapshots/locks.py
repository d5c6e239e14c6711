"""One writer at a time on an output: OUTPUT/lock.json says which run it is.

A run holds the lock from before it looks for the last snapshot until after it has published. A lock
whose run is surely
dead is taken over: where its process can be seen it is gone, or another process has its number;
elsewhere (another machine, another container) it was not renewed while somebody watched it for
longer than a living run takes to. Clocks are never compared, they may be wrong. Whoever cannot read
a lock has not found it dead.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pipelines.snapshots.lock_backends import (
    LocalPlace,
    Lock,
    RemotePlace,
    here,
    parse,
    process_start,
)
from transforms.runtime.storage import is_local

RENEW_SECS = 20.0
# As long as three renewals: a busy machine may miss one.
WATCH_SECS = 60.0
# A lock that is released while somebody looks at it is looked for again, so many times.
ATTEMPTS = 3


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
            f"{output} is locked by {who}; wait for it, or, if it is surely dead, `catalog-enrich "
            f"unlock {output}`"
        )


@contextmanager
def output_lock(
    output: str, run_id: str, command: str, *, watch_secs: float = WATCH_SECS
) -> Iterator[list[str]]:
    """Hold the output; gives warnings for the operator, to which one is added if the lock is lost
    on the way.

    Raises OutputLockedError, and what the file system raises where the lock can be neither read nor
    written.
    """
    place = _place(output)
    lock = Lock.own(run_id, command)
    warnings = _acquire(place, lock, output, watch_secs)
    done = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(place, lock, done, warnings), name="lock", daemon=True
    )
    renewing.start()
    try:
        yield warnings
    finally:
        done.set()
        renewing.join()
        with contextlib.suppress(Exception):  # the next run takes over a lock of the dead
            place.remove(lock)


def read_lock(output: str) -> Lock | None:
    """Who holds the output, None when nobody does, or nobody can tell."""
    with contextlib.suppress(Exception):  # each object store has its own exceptions
        return parse(_place(output).read())
    return None


def break_lock(output: str) -> Lock | None:
    """Remove a lock whoever holds it; returns what was removed, None where it was absent or could
    not be read.
    """
    place = _place(output)
    held = parse(place.read())
    place.remove(None)
    return held


def is_dead(held: Lock) -> bool | None:
    """Whether a lock's process has ended; None where it cannot be seen from here."""
    if (held.host, held.boot, held.namespace) != here():
        return None
    started = process_start(held.pid)
    return started != held.process_start if started else None


def _place(output: str) -> LocalPlace | RemotePlace:
    return LocalPlace(output) if is_local(output) else RemotePlace(output)


def _acquire(
    place: LocalPlace | RemotePlace, lock: Lock, output: str, watch_secs: float
) -> list[str]:
    for _ in range(ATTEMPTS):
        if place.create(lock):
            return []
        found = place.read()
        if found is None:  # released by now
            continue
        held = parse(found)
        dead = None if held is None else is_dead(held)
        if dead is None:
            dead = _stands_still(place, found, watch_secs)
        if dead and place.take_over(found, lock):
            whose = (
                "an unreadable lock"
                if held is None
                else f"the lock of run {held.run_id}, which is dead,"
            )
            return [f"{whose} was taken over"]
        break
    raise OutputLockedError(parse(place.read()), output)


def _stands_still(place: LocalPlace | RemotePlace, found: bytes, watch_secs: float) -> bool:
    """Whether nobody renews a lock."""
    end = time.monotonic() + watch_secs
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_secs / 10))
        if place.read() != found:
            return False
    return True


def _renew(
    place: LocalPlace | RemotePlace, lock: Lock, done: threading.Event, warnings: list[str]
) -> None:
    while not done.wait(RENEW_SECS):
        lock = replace(lock, beat=lock.beat + 1)
        with contextlib.suppress(
            Exception
        ):  # an object store that fails for a moment must not look like our death
            if not place.renew(lock):
                warnings.append(
                    "the lock was broken or taken over while this run was at work; was another run?"
                )
                return
