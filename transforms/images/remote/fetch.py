"""Fetching pictures of http and https addresses, and keeping them by their content.

addresses → contents beside the output, and what is known of each address.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from transforms.images.contents import Contents
from transforms.images.remote.hosts import ascii_name
from transforms.images.remote.http import HttpClient, Resolve
from transforms.images.remote.known import Kept, KnownAddresses
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import (
    MAX_FAILURES,
    ProblemError,
    Progress,
    failed,
    has_failed,
    unwatched,
)
from transforms.models.http.calls.clock import Pace, SystemClock

if TYPE_CHECKING:
    import aiohttp

_HOSTS_AT_ONCE = 64
# Addresses whose state is held in memory.
_WINDOW = 100_000


@dataclass(frozen=True)
class _Round:
    """What those who fetch at the same time share."""

    session: aiohttp.ClientSession
    before: Mapping[str, Kept]
    slots: asyncio.Semaphore
    done: Progress


class HttpFetcher:
    """Fetches what was not asked for yet in this run. resolve: as `loop.getaddrinfo`, for tests."""

    def __init__(
        self, options: FetchOptions, known: KnownAddresses, resolve: Resolve | None = None
    ) -> None:
        self._options, self._known = options, known
        self._contents = Contents(options.kept)
        self._client = HttpClient(options, resolve)
        self._failures: Counter[str] = Counter()

    def check(self, address: str) -> None:
        """Raise ProblemError for an address that must not be asked."""
        self._client.check(address)

    def fetch(self, addresses: Iterable[str], done: Progress = unwatched) -> None:
        """Ask for all addresses that this run has not asked for, several at once."""
        left = iter(dict.fromkeys(addresses))
        while window := list(islice(left, _WINDOW)):
            self._fetch(window, done)

    def _fetch(self, addresses: list[str], done: Progress) -> None:
        known = self._known.of_all(addresses)
        left = {each: kept for each, kept in known.items() if kept.run != self._options.run}
        done(len(known) - len(left))
        if left:
            # On a thread of its own: the caller may stand in a running loop (a notebook).
            with ThreadPoolExecutor(1, "fetch-images") as thread:
                thread.submit(asyncio.run, self._fetch_all(left, done)).result()

    def known(self, address: str) -> Kept:
        """Return what this run knows of an address; asks for it where it has not yet."""
        self.fetch([address])
        return self._known.of(address)

    async def _fetch_all(self, before: Mapping[str, Kept], done: Progress) -> None:
        by_host: dict[str, list[str]] = defaultdict(list)
        for address in before:
            by_host[ascii_name(urlsplit(address).hostname or "")].append(address)
        slots = asyncio.Semaphore(self._options.at_once)
        threads = ThreadPoolExecutor(self._options.at_once, "fetch-images")
        asyncio.get_running_loop().set_default_executor(threads)
        # Whoever is free takes the next host, so that one that is slow holds nobody else up.
        hosts = iter(by_host.items())
        async with self._client.session() as session:
            a_round = _Round(session, before, slots, done)
            runners = min(_HOSTS_AT_ONCE, len(by_host))
            await asyncio.gather(*(self._of_hosts(a_round, hosts) for _ in range(runners)))

    async def _of_hosts(self, a_round: _Round, hosts: Iterator[tuple[str, list[str]]]) -> None:
        for host, addresses in hosts:
            pace, left = Pace(self._options.per_min, SystemClock()), iter(addresses)
            count = min(self._options.per_host, len(addresses))
            runners = (self._of_host(a_round, host, left, pace) for _ in repeat(None, count))
            await asyncio.gather(*runners)

    async def _of_host(
        self, a_round: _Round, host: str, addresses: Iterator[str], pace: Pace
    ) -> None:
        for address in addresses:
            before = a_round.before[address]
            try:
                if self._failures[host] >= MAX_FAILURES:
                    fault = f"was not asked for: {host} failed {MAX_FAILURES} times in a row"
                    raise ProblemError("image-fetch-failed", fault)
                await pace.take(1)
                async with a_round.slots:
                    now = await self._ask(a_round.session, address, before)
            except ProblemError as problem:
                now = failed(self._options.run, address, before, problem)
            self._failures[host] = self._failures[host] + 1 if has_failed(now) else 0
            # What waits for a disk or a store keeps no other picture waiting.
            await asyncio.to_thread(self._known.put, address, now)
            a_round.done(1)

    async def _ask(self, session: aiohttp.ClientSession, address: str, before: Kept) -> Kept:
        answer = await self._client.ask(session, address, before)
        if answer.data is None:
            if await asyncio.to_thread(self._contents.has, before.digest):
                return msgspec.structs.replace(before, run=self._options.run, note="")
            # Somebody has removed the picture.
            answer = await self._client.ask(session, address, Kept(""))
        digest = await asyncio.to_thread(self._contents.keep, answer.data or b"")
        etag, modified, final = answer.etag, answer.modified, answer.final
        return Kept(self._options.run, digest, etag, modified, final=final)
