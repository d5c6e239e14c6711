"""The most memory that a command and all the processes it starts had at once.

The kernel tells the peak of each process, and how much of what processes share falls to each. Both
are asked for every 100 ms, the latter added up. The peak is the larger of that sum and of the largest
process's own peak, so that nothing is counted twice, and a short peak of one process is not missed.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECS = 0.1


@dataclass(frozen=True)
class Measured:
    """A command that has ended. peak_bytes: of all its processes; code: its exit code, negative
    for a signal; processor_secs: of the command and those that it waited for.
    """

    code: int
    out: str
    err: str
    peak_bytes: int
    processor_secs: float


def measure(
    command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run a command to its end and return what it printed and the most memory it took.

    folder: for what it prints, which may be more than a pipe holds.
    """
    out, err = folder / "measured.out", folder / "measured.err"
    together = largest = 0
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            command, stdout=to_out, stderr=to_err, env={**os.environ, **(environment or {})}
        )
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            running = _descendants(process.pid)
            together = max(together, sum(_bytes_of(pid, "smaps_rollup", "Pss") for pid in running))
            largest = max(largest, *(_bytes_of(pid, "status", "VmHWM") for pid in running))
            time.sleep(_LOOK_SECS)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    return Measured(
        code,
        out.read_text("utf-8", "replace"),
        err.read_text("utf-8", "replace"),
        # Not ru_maxrss, which begins with what the process that starts the command has itself.
        max(together, largest),
        usage.ru_utime + usage.ru_stime,
    )


def _descendants(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they are still its descendants."""
    found = [pid]
    for each in found:
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            for task in tasks:
                found += map(int, (task / "children").read_text().split())
        except OSError:  # it has ended meanwhile
            continue
    return found


def _bytes_of(pid: int, file: str, name: str) -> int:
    """Return what a file below /proc says of a process: `Pss`, its memory with its part of what it
    shares; `VmHWM`, its own peak so far.
    """
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), f"{name}: 0")
    return int(line.split()[1]) * 1024
