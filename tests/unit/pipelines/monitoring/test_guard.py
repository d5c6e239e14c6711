"""A command ends when it is asked to, whatever it is busy with, and its workers end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.monitoring.guard import GRACE_SECS
from pipelines.monitoring.guard_process import LAST_SECS, TWICE_SECS
from tests.processes import command_of, wait_for

# Says when it is ready; `busy` is one call of C code that lets no other Python run.
PROGRAM = """
import itertools, subprocess, sys, time
from pipelines.monitoring.interrupts import Interrupts, as_process

def busy():
    sum(itertools.repeat(1, 10**12))

def command():
    with Interrupts(grace_secs={grace_secs}) as interrupts:
        worker = subprocess.Popen(["sleep", "100"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        interrupts.tell(f"+{{worker.pid}}")
        print(worker.pid, flush=True)
        {work}
        worker.kill()
    return 0

sys.exit(as_process(command))
"""
# What schedulers grant, and the guard's own last second.
DEADLINE_SECS = 10
needs_linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="reads what processes there are from /proc"
)


@contextmanager
def started(
    work: str, grace_secs: float = GRACE_SECS
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that does this work, and the number of its worker."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work, grace_secs=grace_secs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[str], worker: int) -> tuple[int, str]:
    """Exit code and stderr of a process that has ended in time, whose worker is gone."""
    _, err = process.communicate(timeout=DEADLINE_SECS + 5)
    wait_for(lambda: not command_of(worker), 5)
    return process.returncode, err


@needs_linux
def test_a_process_that_is_busy_in_c_code_ends_in_time() -> None:
    """Python hears of no signal there; the guard ends it with 3 after its grace, and says so."""
    with started("busy()", grace_secs=1) as (process, worker):
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, err = ended(process, worker)
        assert code == 3
        assert 1 <= time.monotonic() - began < DEADLINE_SECS - GRACE_SECS + 1
        assert err.splitlines() == [
            "catalog-enrich: it was asked to end, was busy and has been ended at once; readers "
            "keep what they had, the next run removes what is left"
        ]


def test_the_guard_is_done_before_a_scheduler_kills() -> None:
    """Grace and the guard's last second leave something of the ten seconds that schedulers grant."""
    assert GRACE_SECS + LAST_SECS < DEADLINE_SECS


@needs_linux
def test_a_second_signal_ends_it_at_once() -> None:
    """Whoever asks twice does not want to wait; two signals in a moment are one wish."""
    with started("busy()") as (process, worker):
        time.sleep(0.5)
        for _ in range(2):  # as GNU timeout does
            process.send_signal(signal.SIGTERM)
        time.sleep(TWICE_SECS + 0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert ended(process, worker)[0] == 3


@needs_linux
def test_what_must_not_be_torn_apart_is_not() -> None:
    """While a command publishes a signal is remembered, and it ends as if there had been none."""
    with started("interrupts.hold(); print('held', flush=True); time.sleep(1.5)") as (process, _):
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.6)
        assert process.wait(DEADLINE_SECS) == 0


@needs_linux
def test_workers_of_a_killed_process_end_with_it() -> None:
    """Nobody else would end them."""
    with started("time.sleep(100)") as (process, worker):
        process.kill()
        assert ended(process, worker)[0] == -signal.SIGKILL


@needs_linux
def test_a_worker_that_nobody_ends_ends_with_the_command() -> None:
    """A stop in the midst of its start leaves one that the guard alone knows of."""
    with started("raise KeyboardInterrupt") as (process, worker):
        assert ended(process, worker)[0] == 3


def test_a_signal_is_heard_behind_what_must_be_known_of() -> None:
    """What is started is noted before the end begins; without a signal nothing is changed."""
    program = (
        "import os, signal\n"
        "from pipelines.monitoring.interrupts import Interrupts\n"
        "with Interrupts() as interrupts:\n"
        "    with interrupts.delayed():\n"
        "        print('started')\n"
        "    try:\n"
        "        with interrupts.delayed():\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            print('noted')\n"
        "        print('no')\n"
        "    except KeyboardInterrupt:\n"
        "        print(interrupts.happened)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["started", "noted", "True"]


def test_optional_work_is_left_out_after_a_signal() -> None:
    """What is left to the next command does not begin, or is broken off without a word."""
    program = (
        "import os, signal, sys\n"
        "from pipelines.monitoring.interrupts import Interrupts\n"
        "with Interrupts() as interrupts:\n"
        "    interrupts.hold()\n"
        "    interrupts.optionally(lambda: print('before'))\n"
        "    interrupts.optionally(lambda: (os.kill(os.getpid(), signal.SIGTERM), print('no')))\n"
        "    interrupts.optionally(lambda: print('no'))\n"
        "    print('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, ["before", "after"])


def test_a_signal_while_the_program_loads_has_its_exit_code() -> None:
    """Modules take seconds to load; an end in between says 3 as well, in one line."""
    program = (
        "import os, signal, sys, time\n"
        "from pipelines.monitoring.interrupts import as_process\n"
        "sys.exit(as_process(lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(9)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (3, "catalog-enrich: interrupted while it started\n")


def test_a_signal_beside_a_command_has_its_exit_code() -> None:
    """Between the listening and the command's own care for errors no traceback is seen either."""
    program = (
        "import os, signal, sys\n"
        "from pipelines.monitoring.interrupts import Interrupts, as_process\n"
        "def command():\n"
        "    with Interrupts():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(as_process(command))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (3, "catalog-enrich: interrupted\n")


@pytest.mark.parametrize("limit", ["ulimit -v 200000", "true"])
def test_too_little_memory_to_load_the_program_is_said(limit: str) -> None:
    """A limit below what any command needs, and a library that finds no memory: one line and 3."""
    program = (
        "import sys\n"
        "from pipelines.monitoring.interrupts import as_process\n"
        "def load():\n"
        "    raise MemoryError\n"
        "sys.exit(as_process(load))\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'{limit}; exec "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("catalog-enrich: too little memory (")
    assert "give it 2 GB or more" in line
