"""One writer at a time: who is refused, whose lock is taken over, and that of two takers one wins."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.snapshots.lock_backends import LOCK, LocalPlace, Lock, process_start
from pipelines.snapshots.locks import OutputLockedError, break_lock, is_dead, output_lock, read_lock
from tests.memory_storage import MemoryStorage

WATCH_SECS = 0.5


def leave(folder: Path, lock: Lock) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).write_text(json.dumps(asdict(lock)))


@contextmanager
def renewing(folder: Path, lock: Lock) -> Iterator[None]:
    """Somebody holds a lock and renews it all the time."""
    leave(folder, lock)
    done = threading.Event()

    def renew() -> None:
        beat = 0
        while not done.wait(0.05):
            beat += 1
            half = folder / "half"
            half.write_text(json.dumps(asdict(replace(lock, beat=beat))))
            half.replace(folder / LOCK)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def ended_process() -> int:
    """The number of a process that has ended."""
    return int(
        subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
        ).stdout
    )


def test_a_second_writer_is_refused_with_the_firsts_name(tmp_path: Path) -> None:
    """While a run holds the output, another is told which run that is and what to do; afterwards it
    may.
    """
    with output_lock(str(tmp_path / "out"), "first-run", "run") as warnings:
        assert warnings == []
        with (
            pytest.raises(
                OutputLockedError, match=r"first-run \(run, process \d+ on .*catalog-enrich unlock"
            ),
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
    """A run of another process holds the output until it is killed; its lock is then taken over,
    with a warning.
    """
    program = (
        "import sys, time\nfrom pipelines.snapshots.locks import output_lock\n"
        "with output_lock(sys.argv[1], 'other', 'run'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputLockedError, match="other"),
            output_lock(str(tmp_path), "mine", "run"),
        ):
            pass
    finally:
        process.kill()
        process.wait()
    with output_lock(str(tmp_path), "mine", "run") as warnings:
        assert warnings == ["the lock of run other, which is dead, was taken over"]


def test_a_number_that_another_process_has_by_now_is_no_holder(tmp_path: Path) -> None:
    """A lock whose process number was given to another process, or to none, is of the dead."""
    own = Lock.own("old", "run")
    for lock in (
        replace(own, process_start=own.process_start - 1),
        replace(own, pid=ended_process()),
        replace(own, pid=2**62),
    ):
        assert is_dead(lock)
        leave(tmp_path, lock)
        with output_lock(str(tmp_path), "new", "run") as warnings:
            assert len(warnings) == 1


def test_a_process_that_cannot_be_seen_is_not_taken_for_dead(tmp_path: Path) -> None:
    """A lock of another boot, or of a container with this host's name, is watched: its number says
    nothing here.
    """
    own = replace(Lock.own("far", "run"), pid=ended_process())
    for lock in (replace(own, boot="another"), replace(own, namespace="pid:[1]")):
        assert is_dead(lock) is None
        with (
            renewing(tmp_path, lock),
            pytest.raises(OutputLockedError, match="far"),
            output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS),
        ):
            pass
        with output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS) as warnings:
            assert warnings == ["the lock of run far, which is dead, was taken over"]


@pytest.mark.skipif(
    shutil.which("unshare") is None or os.geteuid() != 0, reason="needs another pid namespace"
)
def test_a_container_with_the_hosts_name_is_refused(tmp_path: Path) -> None:
    """From within another numbering of processes a living run of this machine is not taken for
    dead.
    """
    program = (
        "import sys\nfrom pipelines.snapshots.lock_backends import parse\nfrom pipelines.snapshots.locks import is_dead\n"
        "print(is_dead(parse(open(sys.argv[1], 'rb').read())))\n"
    )
    with output_lock(str(tmp_path), "living", "run"):
        held = read_lock(str(tmp_path))
        assert held is not None
        assert is_dead(held) is False
        command = [
            "unshare",
            "-pf",
            "--mount-proc",
            sys.executable,
            "-c",
            program,
            str(tmp_path / LOCK),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this machine gives no further pid namespaces")
    assert done.stdout == "None\n", done.stderr


def test_a_zombie_is_dead() -> None:
    """A process that has ended and that nobody waited for counts as dead."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(process.pid) == -1
    process.wait()
    assert process_start(os.getpid()) > 0


def test_another_machines_lock_is_watched(tmp_path: Path) -> None:
    """A lock of another machine holds while it is renewed, and is taken over when it is not; no
    clock is asked.
    """
    elsewhere = replace(
        Lock.own("far", "run"), host=f"not-{socket.gethostname()}", started="2999-01-01T00:00:00Z"
    )
    with (
        renewing(tmp_path, elsewhere),
        pytest.raises(OutputLockedError),
        output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS),
    ):
        pass
    with output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS) as warnings:
        assert "far" in warnings[0]


def test_half_a_lock_is_taken_over(tmp_path: Path) -> None:
    """A lock that makes no sense, and that nobody mends while it is watched, stops nobody."""
    (tmp_path / LOCK).write_text('{"run_id": "ha')
    with output_lock(str(tmp_path), "new", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["an unreadable lock was taken over"]


def test_a_lock_of_a_later_version_holds(tmp_path: Path) -> None:
    """A lock that says more than this version knows is read all the same."""
    (tmp_path / LOCK).write_text(
        json.dumps(asdict(Lock.own("later", "run")) | {"purpose": "unknown here"})
    )
    with pytest.raises(OutputLockedError, match="later"), output_lock(str(tmp_path), "mine", "run"):
        pass


def test_who_took_anothers_lock_by_mistake_gives_it_back(tmp_path: Path) -> None:
    """A taker who judged a lock that was replaced since gets nothing, and the new holder's lock
    stays as it was.
    """
    place, first, second = (
        LocalPlace(str(tmp_path)),
        Lock.own("first", "run"),
        Lock.own("second", "run"),
    )
    leave(tmp_path, replace(Lock.own("dead", "run"), pid=ended_process()))
    judged = place.read()
    assert judged is not None
    assert place.take_over(judged, first)
    assert not place.take_over(judged, second)
    assert read_lock(str(tmp_path)) == first
    assert list(tmp_path.glob(".*stale*")) == []


@pytest.mark.parametrize("takers", [2, 3, 6])
def test_of_many_takers_one_wins(tmp_path: Path, takers: int) -> None:
    """When several find a dead run's lock at once, exactly one gets it, however they overtake each
    other.
    """
    pid = ended_process()
    for round_number in range(30):
        output = tmp_path / str(round_number)
        leave(output, replace(Lock.own("dead", "run"), pid=pid))
        assert len(_winners(output, takers)) == 1


def _winners(output: Path, takers: int) -> list[str]:
    """Who gets the lock. The winner holds it until all others have been refused."""
    together, refused, won = threading.Barrier(takers), threading.Semaphore(0), list[str]()

    def take(name: str) -> None:
        together.wait()
        try:
            with output_lock(str(output), name, "run"):
                won.append(name)
                for _ in range(takers - 1):
                    refused.acquire(timeout=10)
        except OutputLockedError:
            refused.release()

    threads = [threading.Thread(target=take, args=(f"taker-{number}",)) for number in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


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


@pytest.fixture
def store() -> Iterator[type[MemoryStorage]]:
    """An object store with nothing in it."""
    MemoryStorage.files.clear()
    yield MemoryStorage
    MemoryStorage.files.clear()


def test_an_object_store_has_one_writer_too(store: type[MemoryStorage]) -> None:
    """On an object store a second run is refused while the first is at work, and a dead one's lock
    is taken over.
    """
    with output_lock("store://out", "first", "run") as warnings:
        assert warnings == []
        with (
            pytest.raises(OutputLockedError, match="first"),
            output_lock("store://out", "second", "run"),
        ):
            pass
    assert list(store.files) == []
    dead = replace(Lock.own("dead", "run"), host="elsewhere")
    with FileSystems.create(
        f"store://out/{LOCK}", compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(json.dumps(asdict(dead)).encode())
    with output_lock("store://out", "next", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["the lock of run dead, which is dead, was taken over"]
    assert break_lock("store://out") is None


def test_a_lock_that_cannot_be_read_now_is_not_taken(tmp_path: Path) -> None:
    """Where a lock is there and reading fails, the run breaks off instead of going on beside
    another.
    """
    (tmp_path / LOCK).mkdir()
    with (
        pytest.raises(IsADirectoryError),
        output_lock(str(tmp_path), "mine", "run", watch_secs=WATCH_SECS),
    ):
        pass
    assert (tmp_path / LOCK).is_dir()
    assert read_lock(str(tmp_path)) is None
