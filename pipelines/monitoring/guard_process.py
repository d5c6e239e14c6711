"""The guard of a command: a process that ends it, and its workers, when it does not end by itself.

  python guard_process.py PID GRACE_SECS

A process that is busy in one long call of C code hears of no signal until the call returns. This
one does: the kernel's handler writes the signal's number to its standard input before Python knows
of it. There it also reads which processes work for the command (`+PID`, `-PID`), and that the
command must not be torn apart from now on (`hold`). It imports nothing but small modules of Python:
every command starts one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

STOPS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
# Some programs (GNU timeout, terminals) send two signals at once for one wish.
TWICE_SECS = 0.5
# From the polite end to the one that nothing outlives.
LAST_SECS = 1.0


class Guard:
    """What the guard knows of the command. first, deadline: by the monotonic clock, 0 for never."""

    def __init__(self, process: int, grace_secs: float) -> None:
        self._process = process
        self._grace_secs = grace_secs
        self._workers: set[int] = set()
        self._line = b""
        self._first = self._deadline = 0.0
        self._is_held = False

    def watch(self) -> None:
        """Return when the command has ended, by itself or by us."""
        while True:
            wait = None
            if self._deadline:
                wait = max(0.0, self._deadline - time.monotonic())
            if not select.select([0], [], [], wait)[0]:
                self._end()
                return
            data = os.read(0, 4096)
            if not data:  # it has ended, whoever did it
                self._end_workers()
                return
            for byte in data:
                if byte in STOPS:
                    self._stop()
                elif byte >= ord(" ") or byte == ord("\n"):  # no other signal, as that of a timer
                    self._line += bytes([byte])
            *lines, self._line = self._line.split(b"\n")
            for line in lines:
                self._obey(line)
            if b"end" in lines:
                self._end_workers()  # those that an end in the midst of their start has left
                return

    def _obey(self, line: bytes) -> None:
        if line == b"hold":
            self._is_held, self._deadline = True, 0.0
        elif line[:1] == b"+":
            self._workers.add(int(line[1:]))
        elif line[:1] == b"-":
            self._workers.discard(int(line[1:]))

    def _stop(self) -> None:
        now = time.monotonic()
        if self._is_held:
            return
        if not self._first:
            self._first, self._deadline = now, now + self._grace_secs
        elif now - self._first >= TWICE_SECS:
            self._deadline = now

    def _end(self) -> None:
        self._end_workers()
        with contextlib.suppress(OSError):
            os.write(
                2,
                b"catalog-enrich: it was asked to end, was busy and has been ended at once; "
                b"readers keep what they had, the next run removes what is left\n",
            )
        # The command has it end the process with the exit code that belongs to it, see guard.py.
        _kill(self._process, signal.SIGQUIT)
        while select.select([0], [], [], LAST_SECS)[0]:
            if not os.read(0, 4096):
                return
        _kill(self._process, signal.SIGKILL)

    def _end_workers(self) -> None:
        for worker in self._workers:
            _kill(worker, signal.SIGKILL)


def _kill(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(process, number)


if __name__ == "__main__":
    # Service managers send the signal to all processes of a command; this one ends with it.
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    Guard(int(sys.argv[1]), float(sys.argv[2])).watch()
