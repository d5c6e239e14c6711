"""Counting and timing of stages: Beam counters for any runner, heartbeat files for a live view.

Counter names are `<stage>_<what>` in the namespace `catalog_enrich`; `<stage>_msecs` is the time
spent in the stage summed over workers, and the distribution `<stage>_call_msecs` that of single
calls: a split, a batch, a bucket. `<stage>_failed:<reason>` counts what went wrong, by reason id.
Counters are for watching a run; the manifest counts what was written.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

NAMESPACE = "catalog_enrich"
FAILED = "failed:"
HEARTBEAT_SECS = 0.5


@dataclass(slots=True)
class Meter:
    """Counts for one stage in one worker.

    heartbeat_dir: local folder that a live view reads, or empty for none.
    """

    stage: str
    heartbeat_dir: str = ""
    _counts: Counter[str] = field(default_factory=Counter)
    # Beam's, by what they count: records are counted one by one, and making one takes a while.
    _counters: dict[str, Any] = field(default_factory=dict)
    _beat_at: float = 0.0
    _watching: RLock = field(default_factory=RLock)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def add(self, what: str, count: int = 1) -> None:
        counter = self._counters.get(what)
        if counter is None and (metrics := _of_beam()) is not None:
            counter = metrics.counter(NAMESPACE, f"{self.stage}_{what}")
            self._counters[what] = counter
        if counter is not None:
            counter.inc(count)
        self._counts[what] += count
        if self.heartbeat_dir and time.monotonic() - self._beat_at > HEARTBEAT_SECS:
            self.beat()

    def fail(self, reason: str, count: int = 1) -> None:
        """Count what went wrong, by its reason id."""
        if count:
            self.add(f"{FAILED}{reason}", count)

    def observe(self, what: str, value: int) -> None:
        """One value of the distribution `<stage>_<what>`."""
        if (metrics := _of_beam()) is not None:
            metrics.distribution(NAMESPACE, f"{self.stage}_{what}").update(value)

    def watch(self, counts: Mapping[str, int]) -> None:
        """Show counts in the live view only.

        Beam's counters belong to the thread that processes an element.
        """
        with self._watching:
            self._counts.update(counts)
            if self.heartbeat_dir and time.monotonic() - self._beat_at > HEARTBEAT_SECS:
                self.beat()

    @contextmanager
    def timed(self) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            msecs = round((time.monotonic() - begin) * 1000)
            if (metrics := _of_beam()) is not None:
                metrics.counter(NAMESPACE, f"{self.stage}_msecs").inc(msecs)
            self.observe("call_msecs", msecs)
            self._counts["msecs"] += msecs

    def beat(self) -> None:
        """Write this worker's counts where the live view finds them."""
        if not self.heartbeat_dir:
            return
        self._beat_at = time.monotonic()
        path = Path(self.heartbeat_dir) / f"{self.stage}-{os.getpid()}-{self._name}.json"
        half = path.with_suffix(".tmp")
        try:
            # One after the other, or one would put the other's half in its place and miss its own.
            with self._watching:
                half.write_text(json.dumps(self._counts))
                half.replace(path)
        except OSError:
            # A live view is a courtesy: a full or vanished disk is reported by the stage that needs
            # it.
            self.heartbeat_dir = ""


def _of_beam() -> Any:
    """Return Beam's metrics; None in a process that has not loaded Beam, which takes a second: then
    no pipeline counts there.
    """
    return getattr(sys.modules.get("apache_beam.metrics"), "Metrics", None)


def read_heartbeats(heartbeat_dir: str) -> dict[str, Counter[str]]:
    """Return counts by stage, summed over workers, as far as they got."""
    stages: dict[str, Counter[str]] = {}
    for path in Path(heartbeat_dir).glob("*.json"):
        try:
            counts = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        stages.setdefault(path.name.split("-")[0], Counter()).update(counts)
    return stages
