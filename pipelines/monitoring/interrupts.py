"""Ctrl-C, SIGTERM and SIGHUP end a command cleanly, until it is about to publish: from then on it
finishes.
"""

from __future__ import annotations

import atexit
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn

from pipelines.monitoring.guard import GRACE_SECS, Guard

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Context manager that turns the first signal into KeyboardInterrupt, and remembers that it
    came; ten seconds after it, or with a second signal, the process has ended whatever it does.

    happened: whether it was raised; Beam wraps what is raised inside a stage, so that the exception
    alone does not tell.
    grace_secs: what the end may take before the guard sees to it.
    """

    def __init__(self, grace_secs: float = GRACE_SECS) -> None:
        self._grace_secs = grace_secs
        self.happened = False
        self._is_asked = False
        self._is_held = False
        self._before: dict[signal.Signals, Any] = {}
        self._guard: Guard | None = None

    def __enter__(self) -> Interrupts:
        try:
            self._before = _handle(self._interrupt)
        except ValueError:  # only the main thread may; elsewhere whoever started the thread decides
            self._before = {}
        else:
            self._guard = Guard(self._grace_secs)
        _ACTIVE.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _ACTIVE.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._guard is not None:
            self._guard.close()

    def hold(self) -> None:
        """From here on a signal is only remembered: what follows must not be torn apart.

        Raises KeyboardInterrupt if one came before and something has swallowed it.
        """
        if self._is_asked:
            self.happened = True
            raise KeyboardInterrupt
        self._is_held = True
        self.tell("hold")

    def optionally(self, work: Callable[[], object]) -> None:
        """Do what may be left to the next command: a signal breaks it off without a word, and one
        that was remembered keeps it from beginning.
        """
        was_held, self._is_held = self._is_held, False
        try:
            if not self._is_asked:
                work()
        except KeyboardInterrupt:
            pass
        finally:
            self._is_held = was_held

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Hear at the end of the body of a signal that comes within, so that whatever is started
        there is known of when it has to be ended.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are heard by the main thread alone
            return
        was_held, was_asked, self._is_held = self._is_held, self._is_asked, True
        try:
            yield
        finally:
            self._is_held = was_held
        if self._is_asked and not (was_asked or was_held):
            self.happened = True
            raise KeyboardInterrupt

    def tell(self, line: str) -> None:
        """Tell the guard of a worker process, see guard.py."""
        if self._guard is not None:
            self._guard.tell(line)

    def _interrupt(self, *_: object) -> None:
        is_first, self._is_asked = not self._is_asked, True
        # The end that has begun is not begun again; the guard sees to it that it comes.
        if is_first and not self._is_held:
            self.happened = True
            raise KeyboardInterrupt


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Set the handler of all signals that ask for an end; returns what they had."""
    return {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        # nohup, and some schedulers, want a run to outlive its terminal
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }


_ACTIVE: list[Interrupts] = []


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Listen while the body runs; where somebody up the stack listens already, with that."""
    if _ACTIVE:
        yield _ACTIVE[-1]
        return
    with Interrupts() as interrupts:
        yield interrupts


def active() -> Interrupts:
    """Return what listens for the command that this process runs; outside of one, what never hears
    anything.
    """
    return _ACTIVE[-1] if _ACTIVE else Interrupts()


# Address space without which the program cannot be loaded, whatever the command.
LEAST_BYTES = 640 << 20
_NEEDED = "to load the program; give it 2 GB or more"
# As Python and the C library say it where a library finds no room.
_NO_MEMORY = re.compile(r"annot allocate memory|failed to map segment|can't start new thread")
# What broke off: the exit code is an interface, see pipelines/commands/exits.py.
_BROKEN_OFF = 3


def as_process(command: Callable[[], int]) -> int:
    """Do what this process was started for, and return its exit code.

    A signal ends it with the code of what broke off also while it still loads the program, and
    changes nothing about a command that is done.
    """
    _handle(_end_at_once)
    least = resource.getrlimit(resource.RLIMIT_AS)[0]
    # Libraries would end the process with words and codes of their own.
    if 0 <= least < LEAST_BYTES:
        _end(f"too little memory ({least >> 20} MB by ulimit -v) {_NEEDED}")
    try:
        code = command()
    except KeyboardInterrupt:  # in the moments before a command listens, and after
        _end("interrupted")
    except (MemoryError, ImportError, OSError, RuntimeError) as error:  # while it loads
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        _end(f"too little memory ({type(error).__name__}) {_NEEDED}")
    _handle(signal.SIG_IGN)
    if code == _BROKEN_OFF:
        # Threads may be at work on what nobody waits for any more, and Python itself would end with
        # another code where a signal came while it compiled something.
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    return code


def _end_at_once(*_: object) -> None:
    _end("interrupted while it started")


def _end(why: str) -> NoReturn:
    with suppress(OSError):
        os.write(2, f"catalog-enrich: {why}\n".encode())
    os._exit(_BROKEN_OFF)
