"""Work aside in a thread, whose start ends also where there is no memory for it.

`threading.Thread.start` waits for the new thread to say that it runs, for ever where that one dies
of want of memory before. A run that holds its output would then hold it until somebody kills it.
"""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable

# A machine that is busy may take seconds; one that has the memory never takes as long.
START_SECS = 30.0


class Aside:
    """Work in a thread of its own, which no process waits for at its end."""

    def __init__(self, work: Callable[[], object], start_secs: float = START_SECS) -> None:
        self._work, self._start_secs = work, start_secs
        self._begun, self._ended = threading.Event(), threading.Event()
        self._is_given_up, self._process = False, 0

    def start(self) -> None:
        """Begin the work; raises MemoryError or RuntimeError where there is no thread for it."""
        self._process = os.getpid()
        _thread.start_new_thread(self._run, ())
        if not self._begun.wait(self._start_secs):
            self._is_given_up = True
            raise MemoryError("can't start new thread")

    def join(self) -> None:
        """Wait for the work to end."""
        self._ended.wait()

    def is_alive(self) -> bool:
        """Tell whether the work is under way, in this process and not in one it was forked from."""
        is_under_way = self._begun.is_set() and not self._ended.is_set()
        return is_under_way and self._process == os.getpid()

    def _run(self) -> None:
        self._begun.set()
        try:
            if not self._is_given_up:
                self._work()
        finally:
            self._ended.set()
