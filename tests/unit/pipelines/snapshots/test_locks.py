"""One writer at a time: who is refused, whose lock is taken over, and that of two takers one wins."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.snapshots import lock_backends
from pipelines.snapshots.lock_backends import LOCK, Lock, OutputLockedError
from pipelines.snapshots.locks import break_lock, is_alive, output_lock, read_lock
from tests.memory_storage import MemoryStorage

WATCH_SECS = 0.5
HOLDER = """
import sys, time
from pipelines.snapshots.locks import output_lock
with output_lock(sys.argv[1], 'other', 'run'):
    print('held', flush=True)
    time.sleep(60)
"""


def far(run_id: str, *, kernel: bool = False) -> Lock:
    """A lock of another machine, of which nobody can tell from here if its run is alive."""
    return replace(Lock.own(run_id, "run", kernel=kernel), host="far-away", boot="another")


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


def test_a_second_writer_is_refused_with_the_firsts_name(tmp_path: Path) -> None:
    """While a run holds the output, another learns which run that is and what to do; afterwards it
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


def test_a_killed_run_leaves_the_output_usable_at_once(tmp_path: Path) -> None:
    """A run of another process holds the output until it is killed; the next one has it at once,
    and says whose lock it was.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        held = read_lock(str(tmp_path))
        assert held is not None
        assert (held.run_id, held.pid) == ("other", process.pid)
        with (
            pytest.raises(OutputLockedError, match="other"),
            output_lock(str(tmp_path), "mine", "run"),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_lock(str(tmp_path)) is None, "a dead run is not at work"
    with output_lock(str(tmp_path), "mine", "run") as warnings:
        assert warnings == ["the lock of run other, which is dead, was taken over"]


def test_a_lock_of_an_older_version_is_watched(tmp_path: Path) -> None:
    """A lock.json without a lock of the kernel holds while somebody renews it, and is taken over
    when nobody does; no clock is asked.
    """
    older = replace(far("far"), started="2999-01-01T00:00:00Z")
    written = asdict(older)
    del written["kernel"]
    with (
        renewing(tmp_path, older),
        pytest.raises(OutputLockedError, match="far"),
        output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS),
    ):
        pass
    (tmp_path / LOCK).write_text(json.dumps(written))
    assert read_lock(str(tmp_path)) == older
    with output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["the lock of run far, which is dead, was taken over"]


def test_half_a_lock_is_taken_over(tmp_path: Path) -> None:
    """A lock that makes no sense, and that nobody mends while it is watched, stops nobody."""
    (tmp_path / LOCK).write_text('{"run_id": "ha')
    with output_lock(str(tmp_path), "new", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["an unreadable lock was taken over"]


def test_who_is_at_work_can_be_asked_at_any_time(tmp_path: Path) -> None:
    """Asking neither breaks the lock, nor makes a folder, nor keeps a run that starts from its
    lock.
    """
    assert read_lock(str(tmp_path / "nothing")) is None
    assert not (tmp_path / "nothing").exists()
    output, done = str(tmp_path / "out"), threading.Event()

    def ask() -> None:
        while not done.is_set():
            read_lock(output)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(20):
            with output_lock(output, f"run-{number}", "run") as warnings:
                assert warnings == []
                held = read_lock(output)
                assert held is not None
                assert held.run_id == f"run-{number}"
    finally:
        done.set()
        asking.join()


@pytest.mark.parametrize("takers", [2, 4])
def test_of_many_takers_one_wins(tmp_path: Path, takers: int) -> None:
    """When several find a dead run's lock at once, exactly one gets it."""
    for round_number in range(5):
        output = tmp_path / str(round_number)
        leave(output, replace(Lock.own("dead", "run", kernel=True), process_start=7))
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


def test_what_is_left_of_a_lock_can_be_removed(tmp_path: Path) -> None:
    """Removing a lock returns what it said, and nothing where there is none."""
    leave(tmp_path, far("older"))
    held, was_unreadable = break_lock(str(tmp_path))
    assert held is not None
    assert not was_unreadable
    assert held.run_id == "older"
    assert not (tmp_path / LOCK).exists()
    assert break_lock(str(tmp_path / "nothing")) == (None, False)
    (tmp_path / LOCK).write_text("{half of a lo")
    assert break_lock(str(tmp_path)) == (None, True), "somebody's, nobody knows whose"


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
    dead = far("dead")
    with FileSystems.create(
        f"store://out/{LOCK}", compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(json.dumps(asdict(dead)).encode())
    with output_lock("store://out", "next", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["the lock of run dead, which is dead, was taken over"]
    assert break_lock("store://out") == (None, False)


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


def test_an_older_version_can_renew_while_it_is_watched(tmp_path: Path) -> None:
    """An older version renews its lock under the guard, for which it has to wait: whoever watches
    it leaves it the guard, and is refused.
    """
    older = far("old")
    leave(tmp_path, older)
    done = threading.Event()

    def renew() -> None:
        beat = 0
        while not done.wait(0.1):
            beat += 1
            with (tmp_path / f".{LOCK}.guard").open("ab") as guard:
                fcntl.flock(guard, fcntl.LOCK_EX)
                leave(tmp_path, replace(older, beat=beat))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with (
            pytest.raises(OutputLockedError, match="is locked by"),
            output_lock(str(tmp_path), "new", "run", watch_secs=2),
        ):
            pass
    finally:
        done.set()
        thread.join()


def test_a_process_of_this_machine_is_seen(tmp_path: Path) -> None:
    """The lock of an older version is judged at once where its process can be seen: one at work is
    refused, another process with its number frees the output.
    """
    alive = Lock.own("old", "run")
    leave(tmp_path, alive)
    assert is_alive(str(tmp_path), alive)
    start = time.monotonic()
    with (
        pytest.raises(OutputLockedError, match="old"),
        output_lock(str(tmp_path), "new", "run"),
    ):
        pass
    leave(tmp_path, replace(alive, process_start=7))
    assert read_lock(str(tmp_path)) is None
    with output_lock(str(tmp_path), "new", "run") as warnings:
        assert warnings == ["the lock of run old, which is dead, was taken over"]
    assert time.monotonic() - start < lock_backends.WATCH_SECS / 2


@pytest.mark.parametrize("number", sorted(lock_backends.NO_KERNEL_LOCKS))
def test_a_disk_without_locks_of_the_kernel_gets_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where the disk refuses to lock, also a guard that an older version left, one run at a time is
    at work all the same, and a dead one is taken over.
    """

    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lock_backends, "SETTLE_SECS", 0.05)
    (tmp_path / f".{LOCK}.guard").touch()
    with output_lock(str(tmp_path), "first", "run") as warnings:
        assert warnings == []
        with (
            pytest.raises(OutputLockedError, match="first"),
            output_lock(str(tmp_path), "second", "run"),
        ):
            pass
    assert not (tmp_path / LOCK).exists()
    leave(tmp_path, far("dead"))
    with output_lock(str(tmp_path), "next", "run", watch_secs=WATCH_SECS) as warnings:
        assert warnings == ["the lock of run dead, which is dead, was taken over"]


def test_a_kernel_lock_of_another_machine_is_watched(tmp_path: Path) -> None:
    """A network disk may keep kernel locks to each machine: a run of another one that renews its
    lock.json is alive.
    """
    with (
        renewing(tmp_path, far("far", kernel=True)),
        pytest.raises(OutputLockedError, match="far"),
        output_lock(str(tmp_path), "near", "run", watch_secs=WATCH_SECS),
    ):
        pass


def test_a_run_renews_its_lock_and_notices_when_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk, too, the holder renews lock.json, and warns and leaves it alone once it is another
    run's.
    """
    monkeypatch.setattr(lock_backends, "RENEW_SECS", 0.05)
    deadline = time.monotonic() + 10
    with output_lock(str(tmp_path), "mine", "run") as warnings:
        while json.loads((tmp_path / LOCK).read_text())["beat"] == 0:
            assert time.monotonic() < deadline
        while not warnings:
            leave(tmp_path, far("theirs"))
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert "was broken or taken over" in warnings[0]
    assert json.loads((tmp_path / LOCK).read_text())["run_id"] == "theirs"


def test_a_guard_that_only_may_be_read_is_asked_all_the_same() -> None:
    """Whoever may not write another user's guard still learns whether that run is dead."""
    # No mode keeps root from writing; and others may not enter pytest's folders.
    as_nobody = "os.setuid(65534)" if os.getuid() == 0 else "pass"
    # Imported first: nobody may not read an interpreter below root's home.
    asking = f"import os, sys; from pipelines.snapshots.locks import read_lock; {as_nobody}; "
    with tempfile.TemporaryDirectory() as name:
        folder, guard = Path(name), Path(name) / f".{LOCK}.guard"
        leave(folder, replace(Lock.own("theirs", "run", kernel=True), namespace="pid:[1]"))
        guard.touch()
        guard.chmod(0o444)
        folder.chmod(0o755)
        command = [sys.executable, "-c", asking + "print(read_lock(sys.argv[1]))", name]
        assert subprocess.check_output(command, text=True) == "None\n"
        with guard.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert "theirs" in subprocess.check_output(command, text=True)
