"""A live view of a local run, from the heartbeats of its workers: each stage with done, share, rate, time left.

A table on a terminal, a plain line every LOG_INTERVAL_SECS elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from transforms.meter import read_heartbeats

POLL_SECS = 0.5
LOG_INTERVAL_SECS = 10
RATE_WINDOW_SECS = 10
MIN_RATE_WINDOW_SECS = 2
# How long the finished view stays, or the last stages would never be seen done.
FAREWELL_SECS = 0.5

State = Literal["waiting", "running", "done"]
Beats = Mapping[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A line of the view.

    total: what its count ends at, at most: stage and what that counts.
    whole: ends before the next stage begins; the others run bucket by bucket, side by side.
    optional: not shown before it begins, since not every run has it.
    steady: counts one by one, so that a rate can be told while it runs; the others count a bucket at once.
    """

    name: str
    counts: str
    title: str
    total: tuple[str, str] | None = None
    whole: bool = False
    steady: bool = True
    loads_model: bool = False
    optional: bool = False


_RECORDS = ("read", "records")
# In the order of the flow.
STAGES = (
    Stage("read", "records", "records read", whole=True),
    Stage("locate", "pictures", "pictures located", whole=True),
    Stage("prepare", "pictures", "pictures prepared", ("locate", "pictures"), whole=True, loads_model=True),
    Stage("describe", "answers", "model answers", whole=True, loads_model=True, optional=True),
    Stage("assemble", "items", "items assembled", _RECORDS, steady=False),
    Stage("embed", "items", "items embedded", _RECORDS, loads_model=True),
    Stage("write", "items", "items written", _RECORDS, steady=False),
)


@dataclass(frozen=True, slots=True)
class StageLine:
    """What the view says of a stage. rate: per second; left_secs: until it is done; None where it cannot be told.

    loading: its workers load a model before they count anything.
    """

    title: str
    state: State
    count: int = 0
    total: int | None = None
    rate: float | None = None
    left_secs: float | None = None
    loading: bool = False


@dataclass(slots=True)
class _Pace:
    """(seconds, count) of a stage as they were seen, those within RATE_WINDOW_SECS."""

    begin_secs: float
    end_secs: float
    recent: deque[tuple[float, int]]

    def see(self, seconds: float, count: int) -> None:
        if count == 0:  # loading a model is no part of the rate
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
        """The lines `seconds` after the start; finished: the run is over, so every stage is done."""
        for stage in STAGES:
            if stage.name in beats:
                begun = _Pace(self._polled_secs, seconds, deque([(self._polled_secs, 0)]))
                self._paces.setdefault(stage.name, begun).see(seconds, beats[stage.name][stage.counts])
        self._polled_secs = seconds
        shown = [position for position, stage in enumerate(STAGES) if stage.name in beats or not stage.optional]
        return [self._line(position, beats, finished) for position in shown]

    def _line(self, position: int, beats: Beats, finished: bool) -> StageLine:
        stage, pace = STAGES[position], self._paces.get(STAGES[position].name)
        count = beats[stage.name][stage.counts] if stage.name in beats else 0
        total = _total(stage, beats)
        passed = stage.whole and any(later.name in beats for later in STAGES[position + 1 :])
        if finished or passed or (total and count >= total):
            rate = pace.mean_rate() if pace and count and stage.steady else None
            return StageLine(stage.title, "done", count, rate=rate)
        if pace is None:
            return StageLine(stage.title, "waiting")
        if stage.loads_model and not count:
            return StageLine(stage.title, "running", count, total, loading=True)
        # Without a total the end shows only when the next stage begins: the mean stands still until then.
        rate = (pace.recent_rate() if total else pace.mean_rate()) if stage.steady else None
        left_secs = (total - count) / rate if total and rate else None
        return StageLine(stage.title, "running", count, total, rate, left_secs)


def _total(stage: Stage, beats: Beats) -> int | None:
    if stage.total is None or stage.total[0] not in beats:
        return None
    source, counts = stage.total
    return beats[source][counts] - beats[source]["unusable"]


def render(lines: Sequence[StageLine], seconds: float) -> Table:
    """The view as a table of at most 80 columns: a line a stage, waiting ones dimmed, and the time elapsed."""
    table = Table.grid(padding=(0, 2))
    # Wide enough from the start, so that columns do not move while counts grow.
    table.add_column(no_wrap=True)
    for min_width in (18, 5, 7):
        table.add_column(justify="right", no_wrap=True, min_width=min_width)
    table.add_column(no_wrap=True)
    for line in lines:
        share = f"{100 * line.count // line.total} %" if line.total else ""
        rate = f"{line.rate:,.0f}/s" if line.rate is not None else ""
        match line.state:
            case "waiting":
                table.add_row(line.title, "", "", "", "waiting", style="dim")
            case "running":
                left = f"{_duration(max(1, line.left_secs))} left" if line.left_secs is not None else ""
                left = "loading model" if line.loading else left
                table.add_row(line.title, _progress(line), share, rate, left)
            case "done":
                table.add_row(line.title, _progress(line), "100 %", rate, "done", style="green")
    table.add_row("elapsed", _duration(seconds), "", "", "starting workers" if _starting(lines) else "", style="dim")
    return table


def plain_line(lines: Sequence[StageLine], seconds: float) -> str:
    """The view as one line for a log: the stages that have begun."""
    parts = [_duration(seconds), *(["starting workers"] if _starting(lines) else [])]
    for line in lines:
        if line.state == "done":
            parts.append(f"{line.title} {_progress(line)} (done)")
        elif line.state == "running":
            rate = f" ({line.rate:,.0f}/s)" if line.rate is not None else ""
            parts.append(f"{line.title} {_progress(line)}{rate}")
    return "  ".join(parts)


def _starting(lines: Sequence[StageLine]) -> bool:
    return all(line.state == "waiting" for line in lines)


def _progress(line: StageLine) -> str:
    return f"{line.count:,} of {line.total:,}" if line.total else f"{line.count:,}"


def _duration(seconds: float) -> str:
    """As exact as it matters to who waits.

    >>> [_duration(seconds) for seconds in (8.4, 59.6, 200, 7_500)]
    ['8 s', '1 min 00 s', '3 min 20 s', '2 h 05 min']
    """
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {secs:02} s" if minutes else f"{secs} s"


# Shows lines at a time in seconds; finished: for the last time.
Show = Callable[[Sequence[StageLine], float, bool], None]


@contextmanager
def live_view(mode: str, heartbeat_dir: str, stream: TextIO) -> Iterator[None]:
    """Show the view on `stream` while the body runs. mode: auto (only on a terminal), always, never."""
    on_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if mode == "never" or not heartbeat_dir or (mode == "auto" and not on_terminal):
        yield
        return
    surface = _on_terminal(stream) if on_terminal else _as_log(stream)
    with surface as show, _polled(heartbeat_dir, show):
        yield


@contextmanager
def _on_terminal(stream: TextIO) -> Iterator[Show]:
    # Python's own stderr already goes to the workers' log, not to this terminal.
    console = Console(file=stream)
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:

        def show(lines: Sequence[StageLine], seconds: float, finished: bool) -> None:
            live.update(render(lines, seconds), refresh=True)
            if finished:
                time.sleep(FAREWELL_SECS)

        yield show


@contextmanager
def _as_log(stream: TextIO) -> Iterator[Show]:
    shown_secs = 0.0

    def show(lines: Sequence[StageLine], seconds: float, finished: bool) -> None:
        nonlocal shown_secs
        if finished or seconds - shown_secs >= LOG_INTERVAL_SECS:
            shown_secs = seconds
            print(plain_line(lines, seconds), file=stream, flush=True)

    yield show


@contextmanager
def _polled(heartbeat_dir: str, show: Show) -> Iterator[None]:
    """Poll while the body runs; when it ends well, show the end."""
    begin, stop, tracker = time.monotonic(), threading.Event(), Tracker()

    def poll(*, finished: bool = False) -> None:
        seconds = time.monotonic() - begin
        lines = tracker.observe(read_heartbeats(heartbeat_dir), seconds, finished=finished)
        with suppress(OSError):  # a terminal that has gone must not stop the run
            show(lines, seconds, finished)

    def poll_until_stopped() -> None:
        poll()
        while not stop.wait(POLL_SECS):
            poll()

    thread = threading.Thread(target=poll_until_stopped, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    poll(finished=True)
