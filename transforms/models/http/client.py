"""A client of one endpoint of an OpenAI-compatible server: one event loop in one thread, shared by
all callers. What is asked there, and how answers are read, is an `Api`.

A request's pictures are read and encoded when its turn comes, so memory is bounded by
`max_inflight` and never by the number of requests. What keeps a run from stalling:

- one attempt takes at most `timeout_secs`, from connecting to the last byte, and CONNECT_SECS of it
  for connecting;
- after 429, 5xx, a timeout, a broken connection or a response that is no answer the request is sent
  again, at most `max_retries` times, after a random time of up to BACKOFF_SECS that doubles up to
  BACKOFF_CAP_SECS; a Retry-After is waited for first, up to RETRY_AFTER_CAP_SECS;
- a refused connection is the server's doing: it counts against the request's retries only if the
  server answered others meanwhile, and the upstream is asked where the server is now;
- when nothing was answered for `give_up_secs` while the server was asked, the server is given up:
  everything open and everything later fails at once. Waiting for the upstream, and having nothing
  to ask, do not count as silence.

The server is talked to directly: no proxy from the environment, no netrc, no cookies, no redirects.
"""

from __future__ import annotations

import asyncio
import io
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.messages import (
    QUOTE_CHARS,
    FailedAttempt,
    redact,
)

if TYPE_CHECKING:
    import aiohttp

BACKOFF_SECS = 0.5
BACKOFF_CAP_SECS = 30.0
CONNECT_SECS = 30.0
# Servers close idle connections after five seconds and more (uvicorn, which vLLM runs on: five).
# Closing first keeps a request from being sent into a connection that the server is just closing.
KEEPALIVE_SECS = 4.0

# Enough to hide the latency of remote storage, few enough not to fight for the interpreter.
MAX_READERS = 16
# aiohttp writes a byte string in one go, which would hold the loop up for larger ones; a file
# object is written in pieces.
LARGE_BODY_BYTES = 2**20


Request = TypeVar("Request")
RequestT = TypeVar("RequestT", contravariant=True)


class TimedAnswer(Protocol):
    """An answer that says what it took to get it."""

    def timed(self, retries: int, seconds: float) -> Self:
        """Return the answer with the attempts that failed before, and its duration."""
        ...


Answer = TypeVar("Answer", bound=TimedAnswer)
AnswerT = TypeVar("AnswerT", bound=TimedAnswer, covariant=True)


class Api(Protocol[RequestT, AnswerT]):
    """One endpoint of a server, without any network.

    path: below the base URL. kept: what is said of earlier answers where the server is given up.
    max_response_bytes: a server that never stops must not fill the memory.
    """

    @property
    def path(self) -> str: ...

    @property
    def kept(self) -> str: ...

    @property
    def max_response_bytes(self) -> int: ...

    def body(self, request: RequestT) -> bytes:
        """Return the request's JSON; called in a thread that may wait for files."""
        ...

    def tokens(self, request: RequestT) -> float:
        """Return what the request counts as against --tokens-per-min."""
        ...

    def parse(
        self, request: RequestT, status: int, headers: Mapping[str, str], body: bytes
    ) -> AnswerT | FailedAttempt:
        """Return the answer in a whole response, or how the attempt failed."""
        ...

    def unusable(self, problem: str) -> Failure:
        """Return the Failure of a response that is no answer."""
        ...


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


class _Location:
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


@dataclass(eq=False)
class _Call(Generic[Request, Answer]):
    """One call of `answer`: its requests, the tasks under way, and the queue back to the thread
    that waits.

    feed: the task that turns the requests into `asks`, one by one.
    """

    requests: Sequence[Request]
    answers: SimpleQueue[tuple[int, Answer | Failure] | Exception] = field(
        default_factory=SimpleQueue
    )
    asks: set[asyncio.Task[Answer | Failure]] = field(default_factory=set)
    feed: asyncio.Task[None] | None = None


class ApiClient(Generic[Request, Answer]):
    """Sends requests to the server that `upstream` names, at most `options.max_inflight` at once.

    options: limits, and the name of the key's variable. key: sent as a bearer token when not empty.
    clock: for pace, retries and giving up; the time limit of an attempt is the system's.
    All methods are safe to call from any thread.
    """

    def __init__(
        self,
        api: Api[Request, Answer],
        options: ChatOptions,
        upstream: Upstream,
        key: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._api = api
        self._options = options
        self._key = key
        self._clock = SystemClock() if clock is None else clock
        self._breaker = Breaker(options.give_up_secs)
        self._location = _Location(upstream, self._breaker, self._give_up, self._clock)
        self._requests_pace = Pace(options.requests_per_min, self._clock)
        self._tokens_pace = Pace(options.tokens_per_min, self._clock)
        self._slots = asyncio.Semaphore(options.max_inflight)
        self._feeds: set[asyncio.Task[None]] = set()
        self._asks: set[asyncio.Task[Answer | Failure]] = set()
        self._idle_since = 0.0
        self._served = False  # whether there was an answer, so that the key is known to be good
        self._gone: Failure | None = None
        self._closed = False
        # Re-entrant: an iterator that is thrown away may be closed by the garbage collector, in
        # whatever thread that runs, also in one that holds the lock.
        self._lock = threading.RLock()
        self._readers = ThreadPoolExecutor(
            min(MAX_READERS, options.max_inflight), "chat-client-reader"
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True, name="chat-client"
        )
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(self._connect(), self._loop).result()

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (index of the request, its answer or Failure), each as soon as it is there.

        What is under way is cancelled when the iterator is closed early. Raises what iterating
        `requests` raises.
        """
        call: _Call[Request, Answer] = _Call(requests)
        with self._lock:
            # Under the lock, so that the loop sees it before the shutdown that `close` asks for.
            if not self._closed:
                self._loop.call_soon_threadsafe(self._begin, call)
            else:
                call.answers.put(RuntimeError("the client is closed"))
        try:
            for _ in range(len(requests)):
                item = call.answers.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            with self._lock:
                if not self._closed:
                    self._loop.call_soon_threadsafe(self._abandon, call)

    def close(self) -> None:
        """End the thread and its connections; what is open fails with `model-unavailable`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        # A read from remote storage cannot be interrupted, and nobody needs its result any more.
        self._readers.shutdown(wait=False, cancel_futures=True)

    # Everything below runs on the loop's thread, so it needs no lock.

    async def _connect(self) -> aiohttp.ClientSession:
        import aiohttp

        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A small compressed response may stand for gigabytes.
            "Accept-Encoding": "identity",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return aiohttp.ClientSession(
            # The slots bound the connections.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECS),
            # No total: aiohttp enters its timer twice, so that a timeout and a cancellation in the
            # same turn of the loop, as when a silent server is given up, come out as a timeout and
            # the cancellation is lost.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_SECS, self._options.timeout_secs)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            # Also when the server compresses although it was asked not to.
            auto_decompress=False,
            # No proxy and no credentials from environment or netrc: the key and the catalog go to
            # the server that was named, and to nobody else.
            trust_env=False,
        )

    async def _disconnect(self) -> None:
        self._give_up("the client was closed")
        await asyncio.gather(*self._feeds, *self._asks, return_exceptions=True)
        self._location.stop()
        await self._session.close()

    def _begin(self, call: _Call[Request, Answer]) -> None:
        call.feed = self._loop.create_task(self._feed(call))
        self._feeds.add(call.feed)
        call.feed.add_done_callback(self._feeds.discard)

    def _abandon(self, call: _Call[Request, Answer]) -> None:
        for task in (call.feed, *call.asks):
            if task is not None:
                task.cancel()

    def _give_up(self, message: str) -> None:
        if self._gone is None:
            self._gone = Failure("model-unavailable", redact(message, self._key))
            for task in self._asks:
                task.cancel()

    async def _feed(self, call: _Call[Request, Answer]) -> None:
        """Turn requests into tasks, each when there is a slot for it."""
        try:
            for index, request in enumerate(call.requests):
                await self._slots.acquire()
                if self._gone is not None:
                    self._slots.release()
                    call.answers.put((index, self._gone))
                    continue
                # Time without anything to ask is not the server's silence.
                if not self._asks:
                    self._breaker.pause(self._clock.now() - self._idle_since)
                task = self._loop.create_task(self._ask(request))
                self._asks.add(task)
                call.asks.add(task)
                task.add_done_callback(partial(self._deliver, call, index))
        except Exception as error:  # of the caller's own sequence: raised where it is iterated
            call.answers.put(error)

    def _deliver(
        self, call: _Call[Request, Answer], index: int, task: asyncio.Task[Answer | Failure]
    ) -> None:
        # A callback rather than a `finally` in the task: a task that is cancelled before its first
        # step runs none of its code, and its slot would be lost.
        self._slots.release()
        self._asks.discard(task)
        call.asks.discard(task)
        if not self._asks:
            self._idle_since = self._clock.now()
        if not task.cancelled():
            error = task.exception()
            # An error here is a bug of this file; it costs one request, not the run.
            answer = task.result() if error is None else self._failed("the client failed", error)
        elif self._gone is not None:
            answer = self._gone
        else:
            return  # abandoned: nobody waits for it
        call.answers.put((index, answer))

    async def _ask(self, request: Request) -> Answer | Failure:
        try:
            body = await self._loop.run_in_executor(self._readers, self._api.body, request)
        except Exception as error:  # whatever a file system raises concerns this request only
            return self._failed("the request could not be made ready", error)
        # charged: failed attempts that count against max_retries. answers: the breaker's count at
        # the last one of them, which tells whether the server answered others since.
        tokens, attempts, charged, answers = self._api.tokens(request), 0, 0, self._breaker.answers
        while True:
            await self._requests_pace.take(1)
            await self._tokens_pace.take(tokens)
            url, moves = await self._location.find()
            started = self._clock.now()
            outcome = await self._send(url, request, body)
            if not isinstance(outcome, FailedAttempt):
                self._breaker.answered()
                self._served = True
                return outcome.timed(attempts, self._clock.now() - started)
            attempts += 1
            self._count_failure(outcome, url)
            if self._gone is not None:
                return self._gone
            if not outcome.unreachable or self._breaker.answers != answers:
                charged, answers = charged + 1, self._breaker.answers
            if not outcome.retry or charged > self._options.max_retries:
                return self._final_failure(outcome.failure, attempts)
            if outcome.unreachable:
                await self._location.lost(moves)
            await self._clock.sleep(self._delay_secs(outcome, attempts))

    async def _send(self, url: str, request: Request, body: bytes) -> Answer | FailedAttempt:
        import aiohttp

        data: Any = body if len(body) <= LARGE_BODY_BYTES else io.BytesIO(body)
        try:
            async with (
                asyncio.timeout(self._options.timeout_secs),
                self._session.post(
                    f"{url}{self._api.path}", data=data, allow_redirects=False
                ) as response,
            ):
                content, size = [], 0
                async for chunk in response.content.iter_any():
                    content.append(chunk)
                    size += len(chunk)
                    if size > self._api.max_response_bytes:
                        most = f"more than {self._api.max_response_bytes:,} bytes"
                        return FailedAttempt(self._api.unusable(most))
                return self._api.parse(
                    request, response.status, response.headers, b"".join(content)
                )
        # In this order: aiohttp's timeout of a connection is a TimeoutError too, and its refused
        # connection a ClientError.
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return FailedAttempt(
                self._failed("no connection", error, "model-error"), unreachable=True
            )
        except TimeoutError:
            message = f"no whole answer within {self._options.timeout_secs:g} s"
            return FailedAttempt(Failure("model-timeout", message))
        except (aiohttp.ClientError, OSError) as error:
            return FailedAttempt(self._failed("the connection broke", error, "model-error"))

    def _count_failure(self, outcome: FailedAttempt, url: str) -> None:
        """Count a failed attempt, and give the server up when it was one too many."""
        now = self._clock.now()
        # Once the key was accepted, a 403 is about this request: gateways that moderate content
        # answer so.
        if outcome.unauthorized == 401 or (outcome.unauthorized and not self._served):
            self._give_up(
                f"{url} does not accept the key (HTTP {outcome.unauthorized}): set the environment "
                f"variable {self._options.api_key_env} to a key that it accepts and run "
                f"again{self._api.kept}"
            )
        elif outcome.fatal:
            self._give_up(f"{url}: {outcome.failure.message}; {outcome.fatal}{self._api.kept}")
        elif outcome.alive:
            self._breaker.answered()
        else:
            self._breaker.failed(now)
            if self._breaker.left_secs(now) <= 0:
                self._give_up(
                    f"{url} answered nothing to {self._breaker.failures} attempts in "
                    f"{self._breaker.silent_secs(now):.1f} s and was given up (--give-up-secs); "
                    f"look at the server and its log and run again{self._api.kept}; the last "
                    "error: " + redact(outcome.failure.message, self._key, QUOTE_CHARS // 2)
                )

    def _delay_secs(self, outcome: FailedAttempt, attempts: int) -> float:
        """Return how long to wait before the next attempt, after `attempts` that failed."""
        # All of it random ("full jitter"): requests that failed together do not come back together.
        # The exponent is bounded only to keep the number small, the time is bounded by the cap.
        secs = random.uniform(0, min(BACKOFF_CAP_SECS, BACKOFF_SECS * 2 ** min(attempts - 1, 10)))  # noqa: S311
        if not outcome.alive:
            # A server that is about to be given up is asked once more at that moment, not long
            # after: only an attempt can find out that time is up.
            secs = min(secs, max(self._breaker.left_secs(self._clock.now()), 0.0))
        return outcome.after_secs + secs

    def _failed(
        self, problem: str, error: BaseException, reason: str = "backend-failed"
    ) -> Failure:
        return Failure(reason, redact(f"{problem}: {type(error).__name__}: {error}", self._key))

    def _final_failure(self, failure: Failure, attempts: int) -> Failure:
        if attempts == 1:
            return failure
        return Failure(
            failure.reason, redact(f"after {attempts} attempts: {failure.message}", self._key)
        )
