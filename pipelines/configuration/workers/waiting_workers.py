"""Worker processes that were started before anybody knows what they will be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from pipelines.monitoring import interrupts

_WAITING: list[subprocess.Popen[bytes]] = []


@contextmanager
def waiting_workers(number: int) -> Iterator[None]:
    """Have so many processes load what workers need while the body builds and runs a pipeline.

    Those that are not taken end with it.
    """
    try:
        for _ in range(number):
            with interrupts.active().delayed():
                _WAITING.append(_start_worker())
        yield
    finally:
        for process in _WAITING:
            process.kill()
            process.wait()
            interrupts.active().tell(f"-{process.pid}")
        _WAITING.clear()


def take_worker() -> subprocess.Popen[bytes]:
    """Return a process that waits, or one that is started now."""
    while _WAITING:
        process = _WAITING.pop()
        if process.poll() is None:
            return process
        interrupts.active().tell(f"-{process.pid}")
    return _start_worker()


def tell_worker(process: subprocess.Popen[bytes], environment: Mapping[str, str]) -> None:
    """Tell a worker whom it works for, by what Beam's worker finds in its environment."""
    if process.stdin is None:
        raise RuntimeError("a pipe was asked for")
    # That one has just died is found by who watches it.
    with suppress(BrokenPipeError), process.stdin as told:
        told.write(json.dumps(environment).encode() + b"\n")


def _start_worker() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.configuration.workers.sdk_worker"], stdin=subprocess.PIPE
    )
    interrupts.active().tell(f"+{process.pid}")
    return process
