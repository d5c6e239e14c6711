"""A process that is watched, or killed, before each of the calls by which it changes files."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

# Of `os`, and of the files that `open` gives.
CHANGING = frozenset(
    (
        *("open", "write", "flush", "close", "fsync", "truncate", "ftruncate"),
        *("rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"),
    )
)
MODULES = frozenset({"posix", "_io", "io", "fcntl"})


def before_each_change(at: Callable[[int], None], begins_at: str = "") -> Callable[[], None]:
    """Call `at` with 1, 2, 3, ... before each call of this process that changes files, in whatever
    thread; returns what ends it.

    begins_at: end of the name of the file from whose first reading on calls are counted; empty for at once.
    """
    seen, state, is_told = 0, "waits", threading.Lock()

    def watch(frame: Any, event: str, called: Any) -> None:
        nonlocal seen
        if event == "c_call" and _changes_files(called):
            with is_told:
                sys.setprofile(None)
                seen += 1
                at(seen)
                sys.setprofile(watch)

    def begin() -> None:
        nonlocal state
        state = "counts"
        threading.setprofile(watch)
        sys.setprofile(watch)

    def opened(event: str, details: tuple[Any, ...]) -> None:
        if event != "open" or state != "waits" or "w" in str(details[1]):
            return
        if str(details[0]).endswith(begins_at):
            begin()

    def end() -> None:
        nonlocal state
        state = "ended"
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    if begins_at:  # watching takes several times as long as the work
        sys.addaudithook(opened)
    else:
        begin()
    return end


def kill_points(work: Callable[[int], None], begins_at: str = "") -> Iterator[int]:
    """Yield 1, 2, 3, ... after a child process did `work(number)` and was killed before as many
    calls that change files; ends with the child that came to its end.

    begins_at: as of `before_each_change`.
    """
    for number in count(1):
        child = os.fork()
        if not child:
            _be_killed(lambda: work(number), number, begins_at)  # noqa: B023
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the work failed in the child"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield number


def _be_killed(work: Callable[[], None], number: int, begins_at: str) -> None:
    """Do the work, be killed at that call, or end; never returns."""

    def kill(seen: int) -> None:
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        end = before_each_change(kill, begins_at)
        work()
        end()
        code = 0
    finally:
        os._exit(code)


def _changes_files(called: Any) -> bool:
    if getattr(called, "__name__", "") not in CHANGING:
        return False
    owner = getattr(called, "__self__", None)
    if isinstance(owner, io.StringIO | io.BytesIO):
        return False
    module = getattr(called, "__module__", None) or type(owner).__module__
    return module in MODULES
