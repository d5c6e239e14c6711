"""Time between the calls of one server: how fast they go out, and how long its silence is borne."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The time that a client measures and waits by; tests have a clock that never really waits."""

    def now(self) -> float:
        """Return seconds since some moment; they never go back."""
        ...

    async def sleep(self, secs: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, secs: float) -> None:
        await asyncio.sleep(secs)


class Pace:
    """Spaces attempts so that no minute sees more than `per_min` units; 0 means no limit.

    Evenly and without bursts, because servers measure over seconds too; first come, first served.
    """

    def __init__(self, per_min: float, clock: Clock) -> None:
        self._clock = clock
        self._secs_per_unit = 60 / per_min if per_min else 0.0
        self._free_at = 0.0

    async def take(self, amount: float) -> None:
        """Wait until `amount` units may be sent."""
        if not self._secs_per_unit:
            return
        now = self._clock.now()
        turn = max(now, self._free_at)
        self._free_at = turn + amount * self._secs_per_unit
        try:
            await self._clock.sleep(turn - now)
        except asyncio.CancelledError:
            # What is not sent uses nothing up: those behind it move forward.
            self._free_at -= amount * self._secs_per_unit
            raise


class Breaker:
    """Whether a server counts as gone: it answered nothing for `give_up_secs` while it was asked.

    answers: signs of life so far; failures: attempts since the last one.
    """

    def __init__(self, give_up_secs: float) -> None:
        self._give_up_secs = give_up_secs
        self._since: float | None = None
        self.answers = 0
        self.failures = 0

    def answered(self) -> None:
        self.answers += 1
        self.failures = 0
        self._since = None

    def failed(self, now: float) -> None:
        self.failures += 1
        if self._since is None:
            self._since = now

    def left_secs(self, now: float) -> float:
        """Return how much longer silence is tolerated."""
        return self._give_up_secs - (0.0 if self._since is None else now - self._since)

    def silent_secs(self, now: float) -> float:
        return self._give_up_secs - self.left_secs(now)

    def pause(self, secs: float) -> None:
        """Leave out `secs` in which the server was not asked, so that they are not silence."""
        if self._since is not None:
            self._since += secs
