"""A live view of a local run, from the heartbeats of its workers: stage, done, rate. Silent in a log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from transforms.meter import read_heartbeats

POLL_SECS = 0.5

# Stage → (what it counts, what to call it), in the order of the flow.
STAGES = {
    "read": ("records", "records read"),
    "locate": ("pictures", "pictures located"),
    "describe": ("pictures", "pictures described"),
    "assemble": ("items", "items assembled"),
    "embed": ("items", "items embedded"),
    "write": ("items", "items written"),
}
# Stages whose total is known from the stage before.
TOTALS = {
    "describe": ("locate", "pictures"),
    "assemble": ("read", "records"),
    "embed": ("read", "records"),
    "write": ("read", "records"),
}


def render(stages: dict[str, Counter[str]], seconds: float, first_seen: dict[str, float]) -> Table:
    """The view as a table: a line for each stage that has begun."""
    table = Table.grid(padding=(0, 2))
    for stage, (what, title) in STAGES.items():
        counts = stages.get(stage)
        if counts is None:
            continue
        done = counts[what]
        rate = done / max(POLL_SECS, seconds - first_seen.setdefault(stage, seconds) + POLL_SECS)
        total = stages[TOTALS[stage][0]][TOTALS[stage][1]] if stage in TOTALS and TOTALS[stage][0] in stages else None
        of = f"{done:,} of {total:,}" if total else f"{done:,}"
        table.add_row(title, of, f"{rate:,.0f}/s")
    table.add_row("[dim]elapsed[/]", f"[dim]{seconds:.0f} s[/]", "")
    return table


@contextmanager
def live_view(mode: str, heartbeat_dir: str, stream: TextIO) -> Iterator[None]:
    """Show the view on `stream` while the body runs. mode: auto (only on a terminal), always, never."""
    wanted = mode == "always" or (mode == "auto" and stream.isatty())
    if not wanted or not heartbeat_dir:
        yield
        return
    begin, stop, first_seen = time.monotonic(), threading.Event(), dict[str, float]()
    with Live(console=Console(file=stream), refresh_per_second=4, transient=True) as live:

        def poll() -> None:
            while not stop.wait(POLL_SECS):
                live.update(render(read_heartbeats(heartbeat_dir), time.monotonic() - begin, first_seen))

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
