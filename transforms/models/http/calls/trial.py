"""The first calls of a client: few at a time, until the server has answered one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

# How long the others wait at most, and for how many that were refused for their own sake.
TRIAL_SECS, MAX_TRIALS = 10.0, 4


class Trial:
    """Lets one request find out how the server wants to be asked, while the others wait: else each
    of them would be refused for the same reason. Where the form is known a few may go, to find out
    whether there is credit, the model, a good key.

    at_once: how many; 0: there is no trial.
    """

    def __init__(self, at_once: int) -> None:
        self._over = asyncio.Event()
        self._turns = asyncio.Semaphore(at_once)
        self._is_passed, self._trials = False, 1
        if not at_once:
            self._over.set()

    async def take_turn(self) -> None:
        """Return at once for the first request, for the others when the trial is over, or has taken
        so long that the server's form is not what keeps it from answering.
        """
        if self._over.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(
                self._turns.acquire(), TRIAL_SECS if self._turns.locked() else None
            )
            if not self._over.is_set():
                return
            self._turns.release()
        self.end()

    def pass_on(self) -> None:
        """Let the next one try: what the server said would concern it too, or says nothing of the
        form; after MAX_TRIALS of them the others go.
        """
        self._is_passed = self._trials < MAX_TRIALS
        self._trials += 1

    def leave(self) -> None:
        """End the turn of a request, and the trial with it, unless it was passed on."""
        if not self._is_passed:
            self.end()
        elif not self._over.is_set():
            self._is_passed = False
            self._turns.release()

    def end(self) -> None:
        """Let the others go: the server said something that another form would not change."""
        if not self._over.is_set():
            self._over.set()
            # Each that waits hands its turn on.
            self._turns.release()
