"""Workers that wait: taken by a pipeline, or ended without one."""

from __future__ import annotations

import os
import signal

from pipelines.configuration.workers.waiting_workers import take_worker, waiting_workers
from tests.processes import children_of, command_of, wait_for


def test_a_worker_that_nobody_takes_ends_with_the_work() -> None:
    """One is taken and works for nobody, as the process that had it is gone: it ends by itself; one has
    died meanwhile and is not taken; what is left ends with the body.
    """
    with waiting_workers(3):
        begun = [pid for pid, line in children_of(os.getpid()).items() if "sdk_worker" in line]
        assert len(begun) == 3
        taken = take_worker()
        assert taken.pid in begun
        dead, left = (pid for pid in begun if pid != taken.pid)
        os.kill(dead, signal.SIGKILL)
        wait_for(lambda: not command_of(dead))
        other = take_worker()
        assert other.pid == left
        other.kill()
        other.wait()
        taken.stdin.close()  # type: ignore[union-attr]
        assert taken.wait(60) == 0
    assert not any("sdk_worker" in line for line in children_of(os.getpid()).values())
