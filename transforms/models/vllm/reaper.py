"""The reaper of a vLLM server: kills all that is left of its session once the supervisor lets go,
or has been killed.

Started by the supervisor as a file, with the session's number as its argument. The supervisor holds
the other end of its standard input, so end of file tells that the supervisor is done or dead: the
kernel closes the pipe in both cases. vLLM's engine processes outlive their parent, so ending the
server's first process is not enough. Linux only; standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# For killed processes to be gone: giving an accelerator's memory back takes a while.
GONE_SECS = 30.0
TICK_SECS = 0.02


def main(session: int) -> int:
    """Wait for the end of standard input, then kill; return 0 when nothing is left, else 1."""
    # Whoever ends the whole job must not end the one process that cleans up after it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.buffer.read()
    give_up_at = time.monotonic() + GONE_SECS
    # In rounds, because a process may fork between being listed and being killed.
    while left := list(_members(session)):
        if time.monotonic() > give_up_at:
            return 1
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(TICK_SECS)
    return 0


def _members(session: int) -> Iterator[int]:
    """Yield the ids of the session's processes, without those that are dead and only wait for their
    parent to notice.
    """
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the last parenthesis: the command's name stands in parentheses and may hold
            # anything, spaces and parentheses too.
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                yield int(path.parent.name)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
