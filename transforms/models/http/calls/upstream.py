"""Where the server is: always at one address, or wherever its supervisor has started it anew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from transforms.models.http.calls.clock import Breaker, Clock


class UpstreamGoneError(Exception):
    """There will be no server any more; the message says what happened and what to do."""


class Upstream(Protocol):
    """Where the server is.

    Both methods may block; they are called in a thread of their own, one at a time.
    """

    def url(self) -> str:
        """Return the base URL, up to and with `/v1`; wait while a server starts.

        Raises UpstreamGoneError.
        """
        ...

    def lost(self, url: str) -> str:
        """Return the base URL from now on, after connecting to `url` failed; wait for a restart.

        Raises UpstreamGoneError.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedUpstream:
    """A server that is somebody else's: always at the same base URL."""

    endpoint: str

    def url(self) -> str:
        return self.endpoint

    def lost(self, url: str) -> str:
        return url


class Location:
    """Where the server is, asked of the upstream once, however many requests want to know.

    moves: how often the upstream has named an address. A request remembers it with the URL, so that
    many requests that lose one server cause one question, not one each.
    """

    def __init__(
        self,
        upstream: Upstream,
        breaker: Breaker,
        give_up: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._upstream = upstream
        self._breaker = breaker
        self._give_up = give_up
        self._lookup: asyncio.Task[None] | None = None
        self.url = ""
        self.moves = 0

    async def find(self) -> tuple[str, int]:
        """Return (base URL, `moves`); wait for both while the upstream is being asked."""
        while self._lookup is not None or not self.url:
            await self._ask()
        return self.url, self.moves

    async def lost(self, moves: int) -> None:
        """Return when it is known where the server is now, after connecting failed where it was
        after `moves`.
        """
        if moves == self.moves:
            await self._ask()

    def stop(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()

    async def _ask(self) -> None:
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up())
        # The request that asked first may be cancelled; the others still need the address.
        await asyncio.shield(self._lookup)

    async def _look_up(self) -> None:
        started = self._clock.now()
        try:
            question = partial(self._upstream.lost, self.url) if self.url else self._upstream.url
            self.url = (await _in_daemon_thread(question)).rstrip("/")
            self.moves += 1
        except UpstreamGoneError as error:
            self._give_up(str(error))
        # Without an address nothing can be sent, whatever the upstream raised.
        except Exception as error:
            self._give_up(
                f"the server's address could not be found: {type(error).__name__}: {error}"
            )
        finally:
            self._breaker.pause(self._clock.now() - started)
            self._lookup = None


async def _in_daemon_thread(call: Callable[[], str]) -> str:
    """Return or raise what `call` does, called in a daemon thread.

    Not in an executor's: the interpreter waits for those when it ends, and `call` may block for as
    long as a server takes to start.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()

    def settle(setter: Callable[[Any], None], value: object) -> None:
        # It is done before when it was cancelled.
        if not future.done():
            setter(value)

    def run() -> None:
        try:
            outcome = partial(settle, future.set_result, call())
        except Exception as error:  # whatever it is, it belongs to the coroutine that waits
            outcome = partial(settle, future.set_exception, error)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(outcome)

    threading.Thread(target=run, daemon=True, name="chat-client-upstream").start()
    return await future
