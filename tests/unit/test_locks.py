"""One writer at a time: who is refused, whose lock is taken over, and that of two takers one wins."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.locks import LOCK, Lock, OutputLockedError, break_lock, output_lock, process_start, read_lock

WATCH_SECS = 0.5


def leave(folder: Path, lock: Lock) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).write_text(json.dumps(asdict(lock)))


def ended_process() -> int:
    """The number of a process that has ended."""
    return int(
        subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True).stdout
    )


def test_a_second_writer_is_refused_with_the_firsts_name(tmp_path: Path) -> None:
    """While a run holds the output, another is told which run that is and what to do; afterwards it may."""
    with output_lock(str(tmp_path / "out"), "first-run", "run") as warnings:
        assert warnings == []
        with (
            pytest.raises(OutputLockedError, match=r"first-run \(run, process \d+ on .*catalog-enrich unlock"),
            output_lock(str(tmp_path / "out"), "second-run", "run"),
        ):
            pass
        held = read_lock(str(tmp_path / "out"))
        assert held is not None
        assert held.run_id == "first-run"
    with output_lock(str(tmp_path / "out"), "second-run", "run") as warnings:
        assert warnings == []
    assert read_lock(str(tmp_path / "out")) is None


def test_another_process_is_refused_and_a_killed_one_is_taken_over(tmp_path: Path) -> None:
    """A run of another process holds the output until it is killed; its lock is then taken over, with a warning."""
    program = (
        "import sys, time\nfrom pipelines.locks import output_lock\n"
        "with output_lock(sys.argv[1], 'other', 'run'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputLockedError, match="other"), output_lock(str(tmp_path), "mine", "run"):
            pass
    finally:
        process.kill()
        process.wait()
    with output_lock(str(tmp_path), "mine", "run") as warnings:
        assert warnings == ["the lock of run other, which is dead, was taken over"]


def test_a_number_that_another_process_has_by_now_is_no_holder(tmp_path: Path) -> None:
    """A lock whose process number was given to another process, or of before the machine's start, is of the dead."""
    own = Lock.own("old", "run")
    for lock in (
        replace(own, process_start=own.process_start - 1),
        replace(own, boot="another"),
        replace(own, pid=ended_process()),
    ):
        leave(tmp_path, lock)
        with output_lock(str(tmp_path), "new", "run") as warnings:
            assert len(warnings) == 1


def test_a_zombie_is_dead() -> None:
    """A process that has ended and that nobody waited for counts as dead."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) == -1
    process.wait()
    assert process_start(os.getpid()) > 0


def test_another_machines_lock_is_watched(tmp_path: Path) -> None:
    """A lock of another machine holds while it is renewed, and is taken over when it is not; no clock is asked."""
    elsewhere = replace(Lock.own("far", "run"), host=f"not-{socket.gethostname()}", started="2999-01-01T00:00:00Z")
    leave(tmp_path, elsewhere)
    done = threading.Event()

    def renew() -> None:
        beat = 0
        while not done.wait(0.05):
            beat += 1
            half = tmp_path / "half"
            half.write_text(json.dumps(asdict(replace(elsewhere, beat=beat))))
            half.replace(tmp_path / LOCK)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        with pytest.raises(OutputLockedError), output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS):
            pass
    finally:
        done.set()
        renewing.join()
    with output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS) as warnings:
        assert "far" in warnings[0]


def test_half_a_lock_is_taken_over(tmp_path: Path) -> None:
    """A lock file that cannot be read stops nobody."""
    (tmp_path / LOCK).write_text('{"run_id": "ha')
    with output_lock(str(tmp_path), "new", "run") as warnings:
        assert warnings == ["an unreadable lock was taken over"]


def test_of_many_takers_one_wins(tmp_path: Path) -> None:
    """When several find a dead run's lock at once, exactly one gets it."""
    for round_number in range(10):
        output = tmp_path / str(round_number)
        leave(output, replace(Lock.own("dead", "run"), pid=ended_process()))
        together, release, won = threading.Barrier(4), threading.Event(), []

        def take(name: str, output: Path = output, start: threading.Barrier = together) -> None:
            start.wait()
            try:
                with output_lock(str(output), name, "run"):
                    won.append(name)  # noqa: B023
                    release.wait(10)  # noqa: B023
            except OutputLockedError:
                pass

        takers = [threading.Thread(target=take, args=(f"taker-{number}",)) for number in range(4)]
        for taker in takers:
            taker.start()
        for _ in range(200):
            if sum(taker.is_alive() for taker in takers) <= 1:
                break
            threading.Event().wait(0.01)
        release.set()
        for taker in takers:
            taker.join()
        assert len(won) == 1


def test_a_lock_is_only_removed_by_its_holder(tmp_path: Path) -> None:
    """A run whose lock was broken by hand, and is another's now, leaves it alone when it ends."""
    with output_lock(str(tmp_path), "first", "run"):
        held = break_lock(str(tmp_path))
        assert held is not None
        assert held.run_id == "first"
        leave(tmp_path, Lock.own("second", "run"))
    after = read_lock(str(tmp_path))
    assert after is not None
    assert after.run_id == "second"
    assert break_lock(str(tmp_path / "nothing")) is None
