"""Progress of a local run, from the heartbeats of its workers: stages, model calls, failures.

Pure: pipelines/monitoring/live_view.py shows it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.monitoring.stages import STAGES, Stage
from transforms.describe.ask import MICRO
from transforms.runtime.metrics import FAILED

POLL_SECS = 0.5
RATE_WINDOW_SECS = 10
MIN_RATE_WINDOW_SECS = 2

State = Literal["waiting", "running", "done"]
Beats = Mapping[str, Counter[str]]


# Stages with a line of the view.
SHOWN = tuple(stage for stage in STAGES.values() if stage.title)


@dataclass(frozen=True, slots=True)
class StageLine:
    """State of a stage as a line of the view.

    rate: per second; left_secs: until it is done; None where it is not known.
    loading: its workers load a model before they count anything.
    """

    title: str
    state: State
    count: int = 0
    total: int | None = None
    rate: float | None = None
    left_secs: float | None = None
    loading: bool = False


@dataclass(frozen=True, slots=True)
class Calls:
    """A language model's calls so far.

    in_flight: sent and not answered; waiting: for a place among these.
    cost: by --prices, in their currency.
    """

    in_flight: int
    waiting: int
    tokens: int
    cost: float


def calls_of(beats: Beats) -> Calls | None:
    """Return the calls of a language model by the heartbeats, None where none is asked."""
    counts = beats.get("describe")
    if counts is None:
        return None
    unanswered = max(0, counts["sent"] - counts["answers"])
    in_flight = min(unanswered, counts["limit"])
    return Calls(in_flight, unanswered - in_flight, counts["tokens"], counts["micro_cost"] / MICRO)


def failures_of(beats: Beats) -> dict[str, int]:
    """Return reason id → records, pictures and calls that failed, the most frequent first."""
    found: Counter[str] = Counter()
    for counts in beats.values():
        found.update(
            {name.removeprefix(FAILED): n for name, n in counts.items() if name.startswith(FAILED)}
        )
    return dict(found.most_common())


@dataclass(slots=True)
class _Pace:
    """Counts of a stage over time. recent: (seconds, count) of the last RATE_WINDOW_SECS."""

    begin_secs: float
    end_secs: float
    recent: deque[tuple[float, int]]

    def see(self, seconds: float, count: int) -> None:
        if count == 0:  # the time to load a model must not lower the rate
            self.begin_secs = seconds
            self.recent.clear()
        elif count > self.recent[-1][1]:
            self.end_secs = seconds
        self.recent.append((seconds, count))
        while seconds - self.recent[0][0] > RATE_WINDOW_SECS:
            self.recent.popleft()

    def recent_rate(self) -> float | None:
        (begin, before), (end, after) = self.recent[0], self.recent[-1]
        return (after - before) / (end - begin) if end - begin >= MIN_RATE_WINDOW_SECS else None

    def mean_rate(self) -> float:
        return self.recent[-1][1] / max(POLL_SECS, self.end_secs - self.begin_secs)


@dataclass(slots=True)
class Tracker:
    """Turns heartbeats, as they are polled, into the lines of the view."""

    _paces: dict[str, _Pace] = field(default_factory=dict)
    _polled_secs: float = 0.0

    def observe(self, beats: Beats, seconds: float, *, finished: bool = False) -> list[StageLine]:
        """Return the lines `seconds` after the start.

        finished: the run is over, so every stage is done.
        """
        for stage in SHOWN:
            if stage.name in beats:
                begun = _Pace(self._polled_secs, seconds, deque([(self._polled_secs, 0)]))
                self._paces.setdefault(stage.name, begun).see(
                    seconds, beats[stage.name][stage.counts]
                )
        self._polled_secs = seconds
        shown = [
            position
            for position, stage in enumerate(SHOWN)
            if stage.name in beats or not stage.optional
        ]
        return [self._line(position, beats, finished) for position in shown]

    def _line(self, position: int, beats: Beats, finished: bool) -> StageLine:
        stage, pace = SHOWN[position], self._paces.get(SHOWN[position].name)
        count = beats[stage.name][stage.counts] if stage.name in beats else 0
        total = _total(stage, beats)
        passed = stage.whole and any(later.name in beats for later in SHOWN[position + 1 :])
        if finished or passed or (total and count >= total):
            rate = pace.mean_rate() if pace and count and stage.steady else None
            return StageLine(stage.title, "done", count, rate=rate)
        if pace is None:
            return StageLine(stage.title, "waiting")
        if stage.loads_model and not count:
            return StageLine(stage.title, "running", count, total, loading=True)
        # Without a total the end shows only when the next stage begins, and until then the recent
        # rate would fall to 0; the mean does not.
        rate = (pace.recent_rate() if total else pace.mean_rate()) if stage.steady else None
        left_secs = (total - count) / rate if total and rate else None
        return StageLine(stage.title, "running", count, total, rate, left_secs)


def _total(stage: Stage, beats: Beats) -> int | None:
    if stage.total is None or stage.total[0] not in beats:
        return None
    source, counts = stage.total
    return beats[source][counts] - beats[source]["unusable"]
