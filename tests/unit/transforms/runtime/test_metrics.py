"""Counts of stages, as a live view reads them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from transforms.runtime.metrics import Meter, read_heartbeats


def test_threads_that_beat_at_once_go_on_beating(tmp_path: Path) -> None:
    """A stage whose threads write its counts at the same moment is still seen by the live view."""
    meter = Meter("describe", str(tmp_path))

    def work(_: int) -> None:
        for _ in range(300):
            meter.watch({"answers": 1})
            meter.beat()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    meter.watch({"answers": 1})
    meter.beat()
    assert read_heartbeats(str(tmp_path))["describe"]["answers"] == 1_201
