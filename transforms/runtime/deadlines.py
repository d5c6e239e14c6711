"""A limit of time for one element, whatever Python code is at work on it.

A thread looks at the processor time of those that work on elements; one that is over its limit gets
an exception at the next line of Python. What C code does in one call is not interrupted: what such
calls are given is bounded by size instead. Processor time is what counts, so that a busy machine
sets nothing aside, and waiting (for a disk, a server) has limits of its own.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from schemas.reasons import TOO_LONG
from transforms.runtime.bounds.aside import Aside

# A thousand times what usual records, pictures and answers take.
DEFAULT_ELEMENT_SECS = 60.0
_LOOKS_PER_LIMIT, _LONGEST_PAUSE_SECS = 8, 0.5


P = ParamSpec("P")
T = TypeVar("T")


class TookTooLongError(Exception):
    """An element took longer than its limit."""


class _Expired(BaseException):
    """Raised in the middle of anything; no `except Exception` on the way holds it up."""


def fault_of(error: Exception) -> tuple[str, str]:
    """Return the reason id and the message by which an element is set aside that met an error.

    >>> fault_of(KeyError("a"))
    ('internal-error', "KeyError: 'a'")
    """
    if isinstance(error, TookTooLongError):
        return TOO_LONG, str(error)
    return "internal-error", f"{type(error).__name__}: {error}"


def within(seconds: float, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Return what the function returns; one call within another has the limit of the outer one.

    Raises TookTooLongError once it took more than `seconds` of this thread's processor time.

    >>> within(60.0, sum, range(10))
    45
    """
    work = _WATCH.begin(seconds)
    if work is None:
        return function(*given, **named)
    try:
        try:
            return function(*given, **named)
        finally:
            _WATCH.end(work)
    except _Expired:
        _WATCH.end_surely(work)
        raise TookTooLongError(
            f"took longer than {seconds:g} s of processor time; look at what it holds, or raise "
            "--max-element-secs"
        ) from None


@dataclass(slots=True, eq=False)
class _Work:
    """A thread at work on an element.

    since: reading of the thread's clock when the element was first looked at; is_over: whether it
    was sent an exception; is_done: it needs no more of them.
    """

    thread: int
    seconds: float
    since: float | None = None
    is_over: bool = False
    is_done: bool = False


@dataclass(eq=False)
class _Watch:
    """The thread that looks at the others, started with the first element of a process."""

    work: dict[int, _Work] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    looker: Aside | None = None

    def begin(self, seconds: float) -> _Work | None:
        """Watch this thread; None where it is watched already."""
        thread = threading.get_ident()
        if thread in self.work:
            return None
        if self.looker is None or not self.looker.is_alive():
            self._start()
        # No lock and no clock: there are elements by the million, and hardly one is looked at.
        work = self.work[thread] = _Work(thread, seconds)
        return work

    def end(self, work: _Work) -> None:
        """Watch this thread no longer; an exception that was meant for it comes no more."""
        with self.lock:
            self.work.pop(work.thread, None)
            if work.is_over:
                _receive(work.thread)

    def end_surely(self, work: _Work) -> None:
        """Do the same while a second exception may be on its way."""
        for _ in range(3):
            work.is_done = True
            with suppress(_Expired):
                self.end(work)
                break

    def _start(self) -> None:
        with self.lock:
            if self.looker is None or not self.looker.is_alive():
                self.looker = Aside(self._look)
                self.looker.start()

    def _look(self) -> None:
        while True:
            with self.lock:  # so that no thread ends while its clock is read
                present = list(self.work.values())
                for each in present:
                    now = _clock_of(each.thread)
                    each.since = now if each.since is None else each.since
                    if each.is_done or now - each.since < each.seconds:
                        continue
                    if not _is_importing(each.thread):
                        each.is_over = True
                        _raise_in(each.thread, _Expired)
            pauses = [each.seconds / _LOOKS_PER_LIMIT for each in present]
            time.sleep(min([*pauses, _LONGEST_PAUSE_SECS]))


def _clock_of(thread: int) -> float:
    """Return the processor time of a thread; the time of day on macOS, which does not tell it."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return time.monotonic() if find is None else time.clock_gettime(find(thread))


def _is_importing(thread: int) -> bool:
    """Tell whether a thread loads a module, half of which would be of no use to anybody."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _receive(thread: int) -> None:
    """Let what was sent to this thread come, and nothing after it.

    What is only taken back leaves the interpreter looking for it at every call, for good; CPython
    3.11 then never gets through the first call that a profiler or tracer watches.
    """
    with suppress(_Expired):
        _raise_in(thread, _Expired)  # in the place of one that has not come yet
        while True:
            pass


_WATCH = _Watch()
