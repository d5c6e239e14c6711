"""Which process a number means, and whether it has ended."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


def process_start(pid: int) -> int:
    """Return when a process of this machine started, in clock ticks since boot.

    -1: there is no such process; 0: nobody can tell.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        # It is hidden from other users where /proc is mounted so, and some systems have none.
        return 0 if _exists(pid) else -1
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only nobody has asked how.
    return -1 if fields[0] in "ZX" else int(fields[19])


def this_machine() -> tuple[str, str, str]:
    """Return host, boot and process namespace: where all are the same, so are process numbers.

    Containers with one host's name number their processes apart.
    """
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return socket.gethostname(), boot, namespace


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
