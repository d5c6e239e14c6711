"""Processes as a test sees them: their children, and whether they are still there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def children_of(process: int) -> dict[int, str]:
    """Number → command line of the processes that a process has started."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == process and fields[0] != "Z":
                found[int(stat.parent.name)] = command_of(int(stat.parent.name))
    return found


def workers_of(process: int) -> list[int]:
    """Beam's worker processes of a run."""
    return [child for child, command in children_of(process).items() if "sdk_worker" in command]


def command_of(process: int) -> str:
    """The command line of a process, empty where there is none or it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def wait_for(what: Callable[[], T], secs: float = 60) -> T:
    """What is asked for, as soon as it is something; fails after so many seconds."""
    end = time.monotonic() + secs
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {secs} s in vain")
