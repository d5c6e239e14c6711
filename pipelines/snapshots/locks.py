"""One writer at a time on an output.

A run holds the lock from before it looks for the last snapshot until after it has published.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.snapshots.lock_backends import WATCH_SECS, KernelLock, Lease, Lock, LockObject, parse
from transforms.runtime.storage import is_local


@contextmanager
def output_lock(
    output: str, run_id: str, command: str, *, watch_secs: float = WATCH_SECS
) -> Iterator[list[str]]:
    """Hold the output; gives warnings for the operator.

    watch_secs: how long a lock is watched of which nobody can tell if its run is alive. Raises
    OutputLockedError, and what the file system raises where the lock can be neither read nor
    written.
    """
    with _backend(output).hold(run_id, command, watch_secs) as warnings:
        yield warnings


def read_lock(output: str) -> Lock | None:
    """Return who holds the output, None when nobody does or the file cannot be read.

    What a run left that is known to be dead counts as nobody.
    """
    with contextlib.suppress(Exception):  # each object store has its own exceptions
        return _backend(output).holder()
    return None


def is_alive(output: str, held: Lock) -> bool | None:
    """Return whether the run of a lock is seen to be at work; None where nobody can tell."""
    return _backend(output).is_alive(held)


def break_lock(output: str) -> tuple[Lock | None, bool]:
    """Remove lock.json whoever wrote it; returns what it said, None where it was absent or could
    not be read, and whether it held something that could not. The caller has seen that no living
    run holds it.
    """
    backend = _backend(output)
    content = backend.read()
    held = parse(content)
    backend.remove()
    return held, held is None and content is not None


def _backend(output: str) -> KernelLock | Lease:
    return KernelLock(output) if is_local(output) else Lease(output, LockObject(output))
