"""The warden of a vLLM server: kills all that is left of its session once the guard lets go, or has
been killed.

Started by the guard as a file, with the session's number; what the guard holds is the other end of
its standard input. vLLM's engine processes outlive their parent, so ending the server's first
process is not enough. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# For killed processes to be gone: letting go of an accelerator takes a while.
GONE_SECS = 30.0
TICK_SECS = 0.02


def main(session: int) -> int:
    """Wait for the end of standard input, then kill. Returns 0 when nothing is left."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.buffer.read()
    give_up_at = time.monotonic() + GONE_SECS
    while left := list(_members(session)):
        if time.monotonic() > give_up_at:
            return 1
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(TICK_SECS)
    return 0


def _members(session: int) -> Iterator[int]:
    """The session's processes, without those that are dead and only wait for their parent to
    notice.
    """
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The command's name, in parentheses, may hold anything.
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                yield int(path.parent.name)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
