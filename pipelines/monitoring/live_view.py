"""The live view of a local run: a table on a terminal, elsewhere a line every LOG_INTERVAL_SECS."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.monitoring.progress import (
    POLL_SECS,
    Beats,
    StageLine,
    Tracker,
    calls_of,
    failures_of,
)
from transforms.runtime.metrics import read_heartbeats

LOG_INTERVAL_SECS = 30
# The view is removed when the run ends; so long it stays, or nobody would see the last stages done.
FAREWELL_SECS = 0.5
# Reasons that fit into a line.
MAX_REASONS = 3


def render(
    lines: Sequence[StageLine], seconds: float, beats: Beats = MappingProxyType({})
) -> Group:
    """Return the view, at most 80 columns wide: a line a stage, model calls, failures, time.

    seconds: since the start of the run. Waiting stages are dimmed.
    """
    notes = [
        Text(note, style=style, overflow="ellipsis", no_wrap=True) for note, style in _notes(beats)
    ]
    return Group(_stages(lines, seconds), *notes)


def _notes(beats: Beats) -> Iterator[tuple[str, str]]:
    calls, failures = calls_of(beats), failures_of(beats)
    if calls is not None:
        spent = f"   spent {calls.cost:,.4f}" if calls.cost else ""
        sent = f"{calls.in_flight:,} in flight   {calls.waiting:,} waiting"
        yield f"model calls  {sent}   {calls.tokens:,} tokens{spent}", ""
    if failures:
        yield f"not usable   {named_failures(failures)}", "yellow"


def named_failures(failures: Mapping[str, int], most: int = MAX_REASONS) -> str:
    """Reasons with their counts, the most frequent ones.

    >>> named_failures({"image-missing": 12_000, "no-json": 3, "a": 1, "b": 1}, 2)
    'image-missing 12,000, no-json 3 and 2 more'
    """
    named = ", ".join(f"{reason} {count:,}" for reason, count in list(failures.items())[:most])
    rest = sum(list(failures.values())[most:])
    return f"{named} and {rest:,} more" if rest else named


def _stages(lines: Sequence[StageLine], seconds: float) -> Table:
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
                left = (
                    f"{_duration(max(1, line.left_secs))} left"
                    if line.left_secs is not None
                    else ""
                )
                left = "loading model" if line.loading else left
                table.add_row(line.title, _progress(line), share, rate, left)
            case "done":
                table.add_row(line.title, _progress(line), "100 %", rate, "done", style="green")
    table.add_row(
        "elapsed",
        _duration(seconds),
        "",
        "",
        "starting workers" if _starting(lines) else "",
        style="dim",
    )
    return table


def plain_line(
    lines: Sequence[StageLine], seconds: float, beats: Beats = MappingProxyType({})
) -> str:
    """Return the view as one line of a log: the stages that have begun, model calls, failures."""
    parts = [_duration(seconds), *(["starting workers"] if _starting(lines) else [])]
    for line in lines:
        if line.state == "done":
            parts.append(f"{line.title} {_progress(line)} (done)")
        elif line.state == "running":
            rate = f" ({line.rate:,.0f}/s)" if line.rate is not None else ""
            parts.append(f"{line.title} {_progress(line)}{rate}")
    parts += [" ".join(note.split()) for note, _ in _notes(beats)]
    return "  ".join(parts)


def _starting(lines: Sequence[StageLine]) -> bool:
    return all(line.state == "waiting" for line in lines)


def _progress(line: StageLine) -> str:
    return f"{line.count:,} of {line.total:,}" if line.total else f"{line.count:,}"


def _duration(seconds: float) -> str:
    """Format a duration as exactly as matters to somebody who waits.

    >>> [_duration(seconds) for seconds in (8.4, 59.6, 200, 7_500)]
    ['8 s', '1 min 00 s', '3 min 20 s', '2 h 05 min']
    """
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {secs:02} s" if minutes else f"{secs} s"


# Shows lines, given the seconds since the start; the flag: for the last time.
Show = Callable[[Sequence[StageLine], float, Beats, bool], None]


@contextmanager
def live_view(mode: str, heartbeat_dir: str, stream: TextIO) -> Iterator[None]:
    """Show the view on `stream` while the body runs.

    mode: auto (on a terminal the view, elsewhere a line of what takes longer than
    LOG_INTERVAL_SECS), always (a line of what is shorter, too), never.
    """
    if mode == "never" or not heartbeat_dir:
        yield
        return
    on_terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    surface = _on_terminal(stream) if on_terminal else as_log(stream, at_least_one=mode == "always")
    with surface as show, _polled(heartbeat_dir, show):
        yield


@contextmanager
def _on_terminal(stream: TextIO) -> Iterator[Show]:
    # Python's own stderr already goes to the workers' log, not to this terminal.
    console = Console(file=stream)
    with Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:

        def show(lines: Sequence[StageLine], seconds: float, beats: Beats, finished: bool) -> None:
            live.update(render(lines, seconds, beats), refresh=True)
            if finished:
                time.sleep(FAREWELL_SECS)

        yield show


@contextmanager
def as_log(stream: TextIO, *, at_least_one: bool) -> Iterator[Show]:
    """Show the view without a terminal: one line every LOG_INTERVAL_SECS, and a last one.

    at_least_one: whether the last line is written too where no other was.
    """
    shown_secs = 0.0

    def show(lines: Sequence[StageLine], seconds: float, beats: Beats, finished: bool) -> None:
        nonlocal shown_secs
        is_last = finished and (at_least_one or shown_secs > 0)
        if is_last or seconds - shown_secs >= LOG_INTERVAL_SECS:
            shown_secs = seconds
            print(plain_line(lines, seconds, beats), file=stream, flush=True)

    yield show


@contextmanager
def _polled(heartbeat_dir: str, show: Show) -> Iterator[None]:
    """Poll while the body runs; when it ends without an error, show the finished view."""
    begin, stop, tracker = time.monotonic(), threading.Event(), Tracker()

    def poll(*, finished: bool = False) -> None:
        seconds = time.monotonic() - begin
        beats = read_heartbeats(heartbeat_dir)
        lines = tracker.observe(beats, seconds, finished=finished)
        with suppress(OSError):  # a closed terminal must not stop the run
            show(lines, seconds, beats, finished)

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
