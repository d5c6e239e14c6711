"""A client of one endpoint of an OpenAI-compatible server: one event loop in one thread, shared by
all callers. What is asked there, and how answers are read, is an `Api`.

A request's pictures are read and encoded when its turn comes, so memory is bounded by
`max_inflight` and never by the number of requests. What keeps a run from stalling:

- one attempt takes at most `timeout_secs`, from connecting to the last byte, and CONNECT_SECS of it
  for connecting;
- after 408, 5xx, a timeout, a broken connection or a response that is no answer the request is sent
  again, at most `max_retries` times, after a random time of up to BACKOFF_SECS that doubles up to
  BACKOFF_CAP_SECS; what the server asks for, as by Retry-After, is waited for first, up to
  LONGEST_WAIT_SECS;
- while the server only says that it is busy (409, 425, 429, 498, 503, 529), it is sent again for
  `busy_secs`; when it says nothing else to anybody for that long, it is given up;
- refusals that concern every request end the run, once several agree: no credit, no such model, no
  good key, no pictures, nothing at this address. Nothing more is sent then, and what is on the wire
  has GRACE_SECS to be answered: it is paid for, and an answer shows that the refusals were their
  requests' own;
- a refused connection is the server's doing: it counts against the request's retries only if the
  server answered others meanwhile, and the upstream is asked where the server is now;
- when nothing was answered for `give_up_secs` while the server was asked, the server is given up:
  everything open and everything later fails at once. Waiting for the upstream, and having nothing
  to ask, do not count as silence.

The server is talked to directly, or through the proxy that was named: none from the environment,
no netrc, no cookies, no redirects.
"""

from __future__ import annotations

import asyncio
import io
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure
from transforms.models.http.calls.broken import broken_off, failed
from transforms.models.http.calls.clock import Breaker, Clock, Pace, SystemClock
from transforms.models.http.calls.trial import Trial
from transforms.models.http.calls.upstream import Location, Upstream
from transforms.models.http.connection import Connection, key_headers
from transforms.models.http.encodings import EncodingError, TooLargeError, unpacked
from transforms.models.http.failures import Agreement, FailedAttempt
from transforms.models.http.messages import QUOTE_CHARS, redact, without_key
from transforms.models.metering import NoTab, Size, Stated, Tab

if TYPE_CHECKING:
    import aiohttp

BACKOFF_SECS = 0.5
BACKOFF_CAP_SECS = 30.0
CONNECT_SECS = 30.0
# Servers close idle connections after five seconds and more (uvicorn, which vLLM runs on: five).
# Closing first keeps a request from being sent into a connection that the server is just closing.
KEEPALIVE_SECS = 4.0
# How long those are waited for that are on the wire when refusals agree.
GRACE_SECS = 5.0

# Enough to hide the latency of remote storage, few enough not to fight for the interpreter.
MAX_READERS = 16
# aiohttp writes a byte string in one go, which would hold the loop up for larger ones; a file
# object is written in pieces.
LARGE_BODY_BYTES = 2**20
# Requests that one thread makes ready at a time.
SHARE = 8
_NOT_SENT = Failure("backend-failed", "it was not sent")


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
    trials: how many requests go out at once before one is answered, to find out how the server
    wants to be asked, and whether it can be asked at all; 0: no limit.
    """

    @property
    def path(self) -> str: ...

    @property
    def kept(self) -> str: ...

    @property
    def max_response_bytes(self) -> int: ...

    @property
    def trials(self) -> int: ...

    def body(self, request: RequestT) -> bytes:
        """Return the request's JSON; called in a thread that may wait for files, for each form."""
        ...

    def is_near(self, request: RequestT) -> bool:
        """Tell whether all that its body is made of lies on this machine."""
        ...

    def tokens(self, request: RequestT) -> float:
        """Return what the request counts as against --tokens-per-min."""
        ...

    def parse(
        self, request: RequestT, status: int, headers: Mapping[str, str], body: bytes
    ) -> AnswerT | FailedAttempt:
        """Return the answer in a whole response, or how the attempt failed."""
        ...

    def unusable(self, problem: str, *, too_large: bool = False) -> Failure:
        """Return the Failure of a response that is no answer."""
        ...


@dataclass(eq=False)
class _Call(Generic[Request, Answer]):
    """One call of `answer`: its requests, who pays for them, the tasks under way, and the queue
    back to the thread that waits.

    fresh: answers that go there together, at the end of this turn of the loop.
    feed: the task that turns the requests into `asks`, one by one.
    """

    requests: Sequence[Request]
    tab: Tab[Request]
    answers: SimpleQueue[list[tuple[int, Answer | Failure]] | Exception] = field(
        default_factory=SimpleQueue
    )
    fresh: list[tuple[int, Answer | Failure]] = field(default_factory=list)
    asks: set[asyncio.Task[Answer | Failure]] = field(default_factory=set)
    feed: asyncio.Task[None] | None = None


class ApiClient(Generic[Request, Answer]):
    """Sends requests to the server that `upstream` names, at most `options.max_inflight` at once.

    options: limits, and the name of the key's variable. key: kept out of all messages. connection:
    headers, query, proxy and certificates; None: the key as a bearer token, and nothing else.
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
        connection: Connection | None = None,
    ) -> None:
        self._api = api
        self._options = options
        self._key = key
        self._connection = connection or Connection(headers=key_headers(key))
        self._proxy = self._connection.proxy or None
        # Before there is a thread: it may raise.
        self._certificates = self._connection.certificates()
        self._clock = SystemClock() if clock is None else clock
        self._breaker = Breaker(options.give_up_secs)
        self._location = Location(upstream, self._breaker, self._give_up, self._clock)
        self._requests_pace = Pace(options.requests_per_min, self._clock)
        self._tokens_pace = Pace(options.tokens_per_min, self._clock)
        self._slots = asyncio.Semaphore(options.max_inflight)
        self._trial = Trial(api.trials)
        self._feeds: set[asyncio.Task[None]] = set()
        self._asks: set[asyncio.Task[Answer | Failure]] = set()
        # Of these, those that are on the wire.
        self._sent: set[asyncio.Task[Any]] = set()
        # What ends the run, as long as an answer may show that it need not; then nothing is sent.
        self._doubt: Callable[[], None] | None = None
        self._clear = asyncio.Event()
        self._clear.set()
        self._grace: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._agreement = Agreement()
        self._busy = Breaker(options.busy_secs)
        self._gone: Failure | None = None
        self._closed = False
        # Re-entrant: an iterator that is thrown away may be closed by the garbage collector, in
        # whatever thread that runs, also in one that holds the lock.
        self._lock = threading.RLock()
        self._unready: list[tuple[Request, asyncio.Future[bytes | Exception]]] = []
        self._readers = ThreadPoolExecutor(
            min(MAX_READERS, options.max_inflight), "chat-client-reader"
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True, name="chat-client"
        )
        self._thread.start()
        self._session = asyncio.run_coroutine_threadsafe(self._connect(), self._loop).result()

    def answer(
        self, requests: Sequence[Request], tab: Tab[Request] | None = None
    ) -> Iterator[tuple[int, Answer | Failure]]:
        """Yield (index of the request, its answer or Failure), each as soon as it is there.

        tab: told of each attempt without an answer that the server may have worked on, and asked
        before another follows. What is under way is cancelled when the iterator is closed early.
        Raises what iterating `requests` raises.
        """
        call: _Call[Request, Answer] = _Call(requests, NoTab() if tab is None else tab)
        with self._lock:
            # Under the lock, so that the loop sees it before the shutdown that `close` asks for.
            if not self._closed:
                self._loop.call_soon_threadsafe(self._begin, call)
            else:
                call.answers.put(RuntimeError("the client is closed"))
        left = len(requests)
        try:
            while left:
                answers = call.answers.get()
                if isinstance(answers, Exception):
                    raise answers
                left -= len(answers)
                yield from answers
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
        headers |= self._connection.headers
        return aiohttp.ClientSession(
            # The slots bound the connections.
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEPALIVE_SECS, ssl=self._certificates or True
            ),
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
        self._cancel_all()
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

    def _give_up(self, message: str, *, ends_run: bool = False, perhaps: bool = False) -> None:
        if self._gone is None:
            said = redact(message, self._key)
            self._gone = Failure("model-unavailable", said, ends_run, perhaps)
            self._cancel_all()

    def _cancel_all(self) -> None:
        for task in self._asks:
            task.cancel()

    def _end(self, message: str, *, perhaps: bool) -> None:
        """End the run when what is on the wire comes back without an answer, or does not soon."""
        give_up = partial(self._give_up, message, ends_run=True, perhaps=perhaps)
        if not self._sent:
            give_up()
        elif self._doubt is None:
            self._doubt = give_up
            self._clear.clear()
            self._grace = self._loop.call_later(GRACE_SECS, give_up)

    async def _feed(self, call: _Call[Request, Answer]) -> None:
        """Turn requests into tasks, each when there is a slot for it."""
        try:
            for index, request in enumerate(call.requests):
                await self._slots.acquire()
                if self._gone is not None:
                    self._slots.release()
                    self._hand_back(call, index, self._gone)
                    continue
                # Time without anything to ask is not the server's silence.
                if not self._asks:
                    self._breaker.pause(self._clock.now() - self._idle_since)
                    self._busy.pause(self._clock.now() - self._idle_since)
                task = self._loop.create_task(self._ask(request, call.tab))
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
            answer = (
                task.result() if error is None else failed("the client failed", error, self._key)
            )
        elif self._gone is not None:
            answer = self._gone
        else:
            return  # abandoned: nobody waits for it
        self._hand_back(call, index, answer)

    def _hand_back(
        self, call: _Call[Request, Answer], index: int, answer: Answer | Failure
    ) -> None:
        # Threads change hands of the interpreter once a turn of the loop, not once an answer: with
        # many requests under way that costs as much as sending them.
        if not call.fresh:
            self._loop.call_soon(self._flush, call)
        call.fresh.append((index, answer))

    def _flush(self, call: _Call[Request, Answer]) -> None:
        fresh, call.fresh = call.fresh, []
        call.answers.put(fresh)

    async def _ask(self, request: Request, tab: Tab[Request]) -> Answer | Failure:
        await self._trial.take_turn()
        # Given up meanwhile; a cancellation that comes with the end of the trial may be lost.
        if self._gone is not None:
            return self._gone
        try:
            return await self._ask_in_turn(request, tab)
        finally:
            self._trial.leave()

    async def _ask_in_turn(self, request: Request, tab: Tab[Request]) -> Answer | Failure:
        body = await self._make_ready(request)
        if isinstance(body, Failure):
            return body
        # charged: failed attempts that count against max_retries. answers: the breaker's count at
        # the last one of them, which tells whether the server answered others since.
        tokens, attempts, charged, answers = self._api.tokens(request), 0, 0, self._breaker.answers
        failure, begun = _NOT_SENT, self._clock.now()
        while True:
            await self._requests_pace.take(1)
            await self._tokens_pace.take(tokens)
            url, moves = await self._location.find()
            started = self._clock.now()
            if not tab.again(request):
                return self._too_dear(failure, attempts)
            await self._clear.wait()
            with self._on_the_wire():
                outcome = await self._send(url, request, body, tab)
            if not isinstance(outcome, FailedAttempt):
                self._answered()
                return outcome.timed(attempts, self._clock.now() - started)
            attempts, failure = attempts + 1, outcome.failure
            if outcome.taken is not None:
                tab.lost(request, outcome.taken)
            if outcome.reform and self._gone is None:
                self._breaker.answered()
                body = await self._make_ready(request)
                if isinstance(body, Failure):
                    return body
                continue
            self._count_failure(outcome, url)
            if self._gone is not None:
                return self._gone
            if not outcome.unreachable or self._breaker.answers != answers:
                charged, answers = charged + 1, self._breaker.answers
            if not outcome.retry or self._is_enough(outcome, charged, begun):
                return self._final_failure(failure, attempts)
            if outcome.unreachable:
                await self._location.lost(moves)
            await self._clock.sleep(self._delay_secs(outcome, attempts))

    async def _make_ready(self, request: Request) -> bytes | Failure:
        body: asyncio.Future[bytes | Exception] = self._loop.create_future()
        if not self._unready:
            self._loop.call_soon(self._hand_out)
        self._unready.append((request, body))
        made = await body
        if isinstance(made, Exception):
            return failed("the request could not be made ready", made, self._key)
        return made

    def _hand_out(self) -> None:
        """Have what this turn of the loop brought made ready by other threads, a few by each."""
        unready, self._unready = self._unready, []
        near = [each for each in unready if self._api.is_near(each[0])]
        shares = [near[begin : begin + SHARE] for begin in range(0, len(near), SHARE)]
        # What has to be fetched over a network is waited for side by side.
        shares += [[each] for each in unready if not self._api.is_near(each[0])]
        for share in shares:
            made = self._loop.run_in_executor(
                self._readers, self._bodies, [request for request, _ in share]
            )
            made.add_done_callback(partial(_share_out, [body for _, body in share]))

    def _bodies(self, requests: Sequence[Request]) -> list[bytes | Exception]:
        return list(map(self._body, requests))

    def _body(self, request: Request) -> bytes | Exception:
        try:
            return self._api.body(request)
        except Exception as error:  # whatever a file system raises concerns this request only
            return error

    @contextmanager
    def _on_the_wire(self) -> Iterator[None]:
        """Count the task among those whose request the server may be working on."""
        task = asyncio.current_task()
        if task is not None:
            self._sent.add(task)
        try:
            yield
        finally:
            if task is not None:
                self._sent.discard(task)

    async def _send(
        self, url: str, request: Request, body: bytes, tab: Tab[Request]
    ) -> Answer | FailedAttempt:
        import aiohttp

        data: Any = body if len(body) <= LARGE_BODY_BYTES else io.BytesIO(body)
        try:
            async with (
                asyncio.timeout(self._options.timeout_secs),
                self._session.post(
                    f"{url}{self._api.path}",
                    data=data,
                    params=self._connection.query or None,
                    proxy=self._proxy,
                    allow_redirects=False,
                ) as response,
            ):
                content, size = [], 0
                async for chunk in response.content.iter_any():
                    content.append(chunk)
                    size += len(chunk)
                    if size > self._api.max_response_bytes:
                        most = f"more than {self._api.max_response_bytes:,} bytes"
                        return self._unusable(most, size, too_large=True)
                return self._read(request, response.status, response.headers, b"".join(content))
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError too
            return broken_off(error, self._options.timeout_secs, self._key)
        except asyncio.CancelledError:
            tab.lost(request, Stated())
            raise

    def _read(
        self, request: Request, status: int, headers: Mapping[str, str], content: bytes
    ) -> Answer | FailedAttempt:
        """Return the answer in a whole response, or how the attempt failed."""
        try:
            body = unpacked(
                content, headers.get("Content-Encoding", ""), self._api.max_response_bytes
            )
        except EncodingError as error:
            too_large = isinstance(error, TooLargeError)
            return self._unusable(str(error), len(content), too_large=too_large)
        return self._api.parse(request, status, headers, without_key(body, self._key))

    def _unusable(self, problem: str, size: int, *, too_large: bool) -> FailedAttempt:
        failure = self._api.unusable(problem, too_large=too_large)
        return FailedAttempt(failure, taken=Stated(written=Size(size, size)))

    def _count_failure(self, outcome: FailedAttempt, url: str) -> None:
        """Count a failed attempt, and give the server up when it was one too many."""
        now = self._clock.now()
        # Also where a request was refused for its own sake, which says nothing of the form.
        if outcome.ends or not (outcome.retry or outcome.fatal):
            self._trial.pass_on()
        elif not outcome.cooling:  # which says nothing new
            self._trial.end()
        if self._doubt is not None and not self._sent:
            self._doubt()
        elif self._agreement.reached(outcome):
            self._end(self._end_of_run(outcome, url), perhaps=outcome.by_status)
        elif outcome.fatal:
            said = f"{url}: {outcome.failure.message}; {outcome.fatal}{self._api.kept}"
            self._end(said, perhaps=False)
        elif outcome.alive:
            self._breaker.answered()
            self._count_busy(outcome, url, now)
        else:
            self._breaker.failed(now)
            if self._breaker.left_secs(now) <= 0:
                self._give_up(
                    f"{url} answered nothing to {self._breaker.failures} attempts in "
                    f"{self._breaker.silent_secs(now):.1f} s and was given up (--give-up-secs); "
                    f"look at the server and its log and run again{self._api.kept}; the last "
                    "error: " + redact(outcome.failure.message, self._key, QUOTE_CHARS // 2)
                )

    def _answered(self) -> None:
        if self._doubt is not None:
            self._doubt = None
            self._clear.set()
            if self._grace is not None:
                self._grace.cancel()
        self._breaker.answered()
        self._busy.answered()
        self._agreement.answered()

    def _count_busy(self, outcome: FailedAttempt, url: str, now: float) -> None:
        """Count an answer of a server that is alive; give it up when it was busy for too long."""
        if not outcome.busy or not self._options.busy_secs:
            return
        self._busy.failed(now)
        if self._busy.left_secs(now) <= 0:
            said = redact(outcome.failure.message, self._key, QUOTE_CHARS // 2)
            self._give_up(
                f"{url} was too busy for anything in {self._busy.silent_secs(now):.0f} s and was "
                f"given up (--busy-secs); ask it less at once (--max-inflight, --requests-per-min) "
                f"and run again{self._api.kept}; the last word: {said}"
            )

    def _end_of_run(self, outcome: FailedAttempt, url: str) -> str:
        """Say why no request can be answered, and what to do."""
        if outcome.ends == "key" and not outcome.advice:
            return (
                f"{url} does not accept the key ({outcome.failure.message}): set the environment "
                f"variable {self._options.api_key_env} to a key that it accepts and run "
                f"again{self._api.kept}"
            )
        said = redact(outcome.failure.message, self._key, QUOTE_CHARS)
        return f"{url}: {said}; {outcome.advice}{self._api.kept}"

    def _is_enough(self, outcome: FailedAttempt, charged: int, begun: float) -> bool:
        """Tell whether a request was sent often enough: as often as allowed, and while the server
        is only busy, for so long.
        """
        waited = self._clock.now() - begun
        is_patient = outcome.busy and waited < self._options.busy_secs
        return charged > self._options.max_retries and not is_patient

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

    def _too_dear(self, failure: Failure, attempts: int) -> Failure:
        """Return the Failure of a request that the budget has nothing left to send again."""
        said = redact(failure.message, self._key, QUOTE_CHARS)
        message = (
            f"the run's budget was spent before this was sent again; attempt {attempts}: {said}"
        )
        return Failure("budget", message)

    def _final_failure(self, failure: Failure, attempts: int) -> Failure:
        if attempts == 1:
            return failure
        return Failure(
            failure.reason, redact(f"after {attempts} attempts: {failure.message}", self._key)
        )


def _share_out(
    bodies: Sequence[asyncio.Future[bytes | Exception]],
    made: asyncio.Future[list[bytes | Exception]],
) -> None:
    """Give each of those that wait what was made for it."""
    if made.cancelled():
        for body in bodies:
            body.cancel()
        return
    error = made.exception()
    results = made.result() if error is None else []
    for number, body in enumerate(bodies):
        if not body.done():
            body.set_result(results[number] if error is None else RuntimeError(str(error)))
