"""The client against a real server on the loopback that misbehaves on script."""

import asyncio
import json
import math
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chat_server import ChatServer
from tests.support import least_cpu_secs
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture, answer_all
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import MAX_MESSAGE_CHARS, Failure
from transforms.models.http.calls.clock import Breaker
from transforms.models.http.calls.upstream import FixedUpstream, UpstreamGoneError
from transforms.models.http.chat import ChatClient, parse_completion, parse_response
from transforms.models.http.client import BACKOFF_CAP_SECS, BACKOFF_SECS
from transforms.models.http.forms import write_request
from transforms.models.http.messages import quoted, redact
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.waits import LONGEST_WAIT_SECS, retry_after_secs
from transforms.models.logprobs import value_probabilities
from transforms.models.tokens import paced_tokens

KEY = "sk-very-secret-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["red", "blue", "unknown"]}, "name": {"type": "string"}},
    "required": ["color", "name"],
    "additionalProperties": False,
}
TIMEOUT_SECS = 0.3
NEIGHBOURS = 6


def ask(text="a shirt", pictures=(), **changes):
    return ChatRequest("Answer.", text, SCHEMA, tuple(pictures), **changes)


def options(**changes):
    return ChatOptions(
        **{
            "model": "tiny",
            "timeout_secs": TIMEOUT_SECS,
            "max_retries": 1,
            "busy_secs": 0,
            **changes,
        }
    )


class FastClock:
    """A clock that jumps to the end of every wait. secs: how late it is."""

    def __init__(self):
        self.secs = 0.0

    def now(self):
        return self.secs

    async def sleep(self, secs):
        until = self.secs + secs
        await asyncio.sleep(0)
        self.secs = max(self.secs, until)


@contextmanager
def client_for(upstream, key=KEY, clock=None, **changes):
    upstream = FixedUpstream(upstream) if isinstance(upstream, str) else upstream
    client = ChatClient(options(**changes), upstream, key, clock)
    try:
        yield client
    finally:
        client.close()


def answers_of(client, requests):
    found = dict(client.answer(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[index] for index in range(len(requests))]


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture
def nowhere():
    """The URL of a server that has been shut down."""
    with ChatServer() as server:
        return server.url


class Album:
    """Pictures that know how many of them were read; each is a JPEG as far as anyone looks."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.reads = 0
        self.peak = 0

    def read(self):
        with self.lock:
            self.reads += 1
            self.peak = max(self.peak, self.reads - self.server.answered)
        return b64encode(b"\xff\xd8\xff" + b"picture" * 100)


@dataclass(frozen=True)
class CountedPicture(PreparedPicture):
    album: Album = field(default=None, compare=False)

    def read_text(self):
        return self.album.read()


# What each misbehaviour comes to, and how often the request is sent with one retry.
MISBEHAVIOURS = {
    "500": ("model-error", 2),
    "503": ("model-error", 2),
    "429": ("model-busy", 2),
    "429:0.1": ("model-busy", 2),
    "hang": ("model-timeout", 2),
    "drip": ("model-timeout", 2),
    "whitespace": ("model-error", 2),
    "huge": ("model-error", 2),
    "cut": ("model-error", 2),
    "closed": ("model-error", 2),
    "truncated": ("model-error", 2),
    "html": ("model-error", 2),
    "wrong-shape": ("model-error", 2),
    "redirect": ("model-error", 1),
    "400": ("model-refused", 1),
    "404": ("model-refused", 1),
    "413": ("model-refused", 1),
}


@pytest.mark.timeout(60)  # a request that is waited for without end
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_misbehaviour_costs_one_request(server, name):
    """A request that the server treats badly is given up with its own reason, and its neighbours
    are answered.
    """
    reason, attempts = MISBEHAVIOURS[name]
    texts = [f"item {n}" for n in range(NEIGHBOURS)]
    texts[2] = f"bad [server: {name}]"
    with client_for(server.url) as client:
        found = answers_of(client, [ask(text) for text in texts])
    assert isinstance(found[2], Failure)
    assert found[2].reason == reason
    assert "\n" not in found[2].message
    assert len(found[2].message) <= MAX_MESSAGE_CHARS
    assert all(isinstance(answer, ChatAnswer) for index, answer in enumerate(found) if index != 2)
    assert server.attempts("bad") == attempts
    assert server.calls == NEIGHBOURS - 1 + attempts


@pytest.mark.parametrize(
    "name", [name for name, (_, attempts) in MISBEHAVIOURS.items() if attempts == 2]
)
def test_one_retry_mends_what_passes(server, name):
    """What goes well the second time is an answer that counts one retry."""
    with client_for(server.url) as client:
        (answer,) = answers_of(client, [ask(f"[server: {name} ok]")])
    assert isinstance(answer, ChatAnswer)
    assert answer.retries == 1
    assert 0 < answer.seconds < TIMEOUT_SECS


@pytest.mark.parametrize(
    ("name", "content", "finish_reason"),
    [
        ("empty", "", "stop"),
        ("null", "", "stop"),
        ("blank", "\n" * 512, "length"),
        ("prose", None, "stop"),
    ],
)
def test_answers_are_passed_on_as_they_came(server, name, content, finish_reason):
    """Empty, blank and shapeless contents are answers: judging them is not the client's business."""
    with client_for(server.url) as client:
        (answer,) = answers_of(client, [ask(f"[server: {name}]")])
    assert isinstance(answer, ChatAnswer)
    assert answer.finish_reason == finish_reason
    assert answer.content == content if content is not None else answer.content.startswith("Sure!")
    assert answer.probabilities == {}
    assert server.calls == 1


def test_a_good_answer_carries_everything(server):
    """Content, tokens, image tokens, seconds and probabilities of an answer arrive."""
    picture = CountedPicture("0" * 64, "", Album(server))
    with client_for(server.url, timeout_secs=5) as client:
        (answer,) = answers_of(client, [ask("a shirt", [picture, picture])])
    content = json.loads(answer.content)
    assert set(content) == {"color", "name"}
    assert answer.finish_reason == "stop"
    assert (answer.prompt_tokens, answer.image_tokens) == (len("Answer.a shirt") // 4 + 32, 32)
    assert answer.completion_tokens > 0
    assert answer.retries == 0
    assert answer.seconds > 0
    assert set(answer.probabilities) == {"color", "name"}
    assert all(0.8 < probability < 1 for probability in answer.probabilities.values())


def test_the_request_is_what_the_api_asks_for(server):
    """Model, turns, pictures before the text, schema, limits and key are sent as OpenAI's API has
    them.
    """
    picture = CountedPicture("0" * 64, "", Album(server))
    with client_for(server.url, timeout_secs=5) as client:
        answers_of(client, [ask("a shirt", [picture], max_tokens=77, temperature=0.5)])
    (body,) = server.requests
    system, user = body.pop("messages")
    assert system == {"role": "system", "content": "Answer."}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert user["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    assert user["content"][1]["text"] == "a shirt"
    schema = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert body.pop("response_format") == {"type": "json_schema", "json_schema": schema}
    assert body == {
        "model": "tiny",
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 0,
        "logprobs": True,
    }
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Cookie" not in server.headers[0]


def test_the_schemas_order_is_kept():
    """Properties are sent in the order of the schema, because they shape the answer."""
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
    takes = Capabilities(logprobs=False)
    body = json.loads(write_request(ChatRequest("", "t", schema), "tiny", takes)[0])
    assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == ["z", "a"]
    assert body["messages"] == [{"role": "user", "content": "t"}]
    assert "logprobs" not in body


def test_without_a_key_no_header_is_sent(server):
    """A server that asks for no key gets none."""
    with client_for(server.url, key="") as client:
        answers_of(client, [ask()])
    assert "Authorization" not in server.headers[0]


def test_a_large_body_arrives_whole(server):
    """A request of several megabytes is sent as it is."""
    text = "word " * 600_000
    with client_for(server.url, timeout_secs=5) as client:
        (answer,) = answers_of(client, [ask(text)])
    assert isinstance(answer, ChatAnswer)
    assert server.requests[0]["messages"][1]["content"] == text


def test_retry_after_is_waited_for(server):
    """A request is not sent again before the time that the server asked for."""
    clock = FastClock()
    with client_for(server.url, clock=clock) as client:
        (answer,) = answers_of(client, [ask("[server: 429:20 ok]")])
    assert answer.retries == 1
    assert clock.secs >= 20


def test_retry_after_takes_dates_and_is_capped():
    """Dates count from now, nonsense and the past are nothing, and nobody makes a run wait for
    years.
    """
    now = datetime(2026, 1, 1, tzinfo=UTC)
    cases = {
        "Thu, 01 Jan 2026 00:00:20 GMT": 20,
        "2": 2,
        " 0.5 ": 0.5,
        "": 0,
        "-5": 0,
        "soon": 0,
        "nan": 0,
        "inf": 0,
    }
    assert {value: retry_after_secs(value, now) for value in cases} == cases
    assert retry_after_secs("Thu, 01 Jan 1970 00:00:00 GMT", now) == 0
    for hostile in ("9" * 400, "1000000", "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert retry_after_secs(hostile, now) == LONGEST_WAIT_SECS
    assert retry_after_secs("Fri, 99 Foo 9999 99:99:99 +9999", now) == 0


def test_max_retries_is_kept(server):
    """With no retries allowed a request is sent once; with two, three times."""
    with client_for(server.url, max_retries=0) as client:
        answers_of(client, [ask("none [server: 500]")])
    with client_for(server.url, max_retries=2) as client:
        (failure,) = answers_of(client, [ask("two [server: 500]")])
    assert (server.attempts("none"), server.attempts("two")) == (1, 3)
    assert "after 3 attempts" in failure.message


def test_a_redirect_is_not_followed(server):
    """The address that a server points to is never asked."""
    with client_for(server.url) as client:
        answers_of(client, [ask("[server: redirect]")])
    assert server.calls == 1


@pytest.mark.timeout(60)  # requests that each wait for a server that is gone
@pytest.mark.parametrize("count", [1, 2_000])
def test_a_silent_server_is_given_up(nowhere, count):
    """When nothing answers for give_up_secs everything fails at once, and the message says what was
    tried.
    """
    clock = FastClock()
    # Patient attempts: on a busy machine a refusal takes its time, and is to be the last error.
    patient = {"timeout_secs": 30, "give_up_secs": 10, "max_retries": 0}
    with client_for(nowhere, clock=clock, **patient) as client:
        found = answers_of(client, [ask(str(n)) for n in range(count)])
        assert 10 <= clock.secs < 10 + BACKOFF_CAP_SECS
        assert {failure.reason for failure in found} == {"model-unavailable"}
        for part in (nowhere, "attempts", "--give-up-secs", "run again", "ClientConnectorError"):
            assert part in found[0].message
        assert answers_of(client, [ask(), ask()]) == [found[0], found[0]], "nothing is tried again"


@pytest.mark.parametrize("name", ["500", "hang", "closed", "html"])
def test_a_server_that_only_fails_is_given_up(name):
    """A server counts as gone also when it takes connections and answers nothing with them."""
    with (
        ChatServer([name] * 1_000) as server,
        client_for(server.url, give_up_secs=0.2, max_retries=100) as client,
    ):
        found = answers_of(client, [ask(str(n)) for n in range(8)])
    assert {failure.reason for failure in found} == {"model-unavailable"}
    assert server.url in found[0].message


def test_giving_up_stops_also_who_times_out_at_that_moment():
    """Timeouts and the giving up that meet in the same moment leave nobody sending and nobody
    waiting.
    """
    with (
        ChatServer(["hang"] * 1_000) as server,
        client_for(server.url, timeout_secs=0.2, give_up_secs=0, max_retries=1_000) as client,
    ):
        waiting = threading.Thread(
            target=lambda: found.extend(client.answer([ask(str(n)) for n in range(8)])), daemon=True
        )
        found = []
        waiting.start()
        assert wait_until(lambda: server.open == 8)
        # Held up beyond the timeout, the loop finds all eight due in one turn; the first to step gives up the others.
        client._loop.call_soon_threadsafe(time.sleep, 0.4)
        waiting.join(1.5)
        assert {failure.reason for _, failure in found} == {"model-unavailable"}
        assert len(found) == 8
        assert wait_until(lambda: server.open == 0)
    assert server.calls == 8


@pytest.mark.parametrize("name", ["429", "400"])
def test_a_server_that_says_no_is_alive(name):
    """429 and 4xx are signs of life: they fail their request and nothing else."""
    with (
        ChatServer([name] * 4) as server,
        client_for(server.url, give_up_secs=0, max_retries=0) as client,
    ):
        refused = answers_of(client, [ask(str(n)) for n in range(4)])
        assert {failure.reason for failure in refused} == {
            "model-busy" if name == "429" else "model-refused"
        }
        assert isinstance(answers_of(client, [ask()])[0], ChatAnswer)


def test_silence_counts_only_while_the_server_is_asked():
    """Time in which there was nothing to ask, or in which an upstream was waited for, opens no
    breaker.
    """
    breaker = Breaker(10)
    breaker.failed(100)
    assert (breaker.left_secs(104), breaker.silent_secs(104)) == (6, 4)
    breaker.pause(3)
    breaker.failed(104)
    assert breaker.left_secs(104) == 9
    breaker.answered()
    assert (breaker.left_secs(200), breaker.failures, breaker.answers) == (10, 0, 1)


def test_a_pause_between_calls_is_no_silence():
    """A failure now and one long after, with nothing asked in between, do not add up."""
    with (
        ChatServer(["500", "500"]) as server,
        client_for(server.url, give_up_secs=0.3, max_retries=0) as client,
    ):
        first = answers_of(client, [ask()])
        time.sleep(0.5)
        second = answers_of(client, [ask()])
        third = answers_of(client, [ask()])
    assert [found.reason for found in first + second] == ["model-error", "model-error"]
    assert isinstance(third[0], ChatAnswer)


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_wrong_key_fails_everything_at_once(status):
    """A key that is not accepted stops the run; the message names the variable and never the key."""
    with ChatServer([status] * 1_000) as server:
        with client_for(server.url, max_inflight=4, api_key_env="SHOP_KEY") as client:
            found = answers_of(client, [ask(str(n)) for n in range(200)])
        assert server.calls <= 8
    # Those that were under way at once have the refusal itself.
    assert {failure.reason for failure in found[4:]} == {"model-unavailable"}
    assert "SHOP_KEY" in found[-1].message
    assert not any(KEY in failure.message for failure in found)


def test_a_late_403_costs_one_request(server):
    """Once the key was accepted, a 403 speaks of its request, as gateways that moderate do."""
    with client_for(server.url) as client:
        answers_of(client, [ask()])
        refused, fine = answers_of(client, [ask("[server: 403]"), ask()])
    assert refused.reason == "model-refused"
    assert isinstance(fine, ChatAnswer)


def test_messages_keep_secrets(server):
    """A server that repeats key and request gets neither into a message, nor anything that steers a
    terminal.
    """
    picture = CountedPicture("0" * 64, "", Album(server))
    with client_for(server.url) as client:
        (failure,) = answers_of(client, [ask("[server: echo]", [picture])])
    assert failure.reason == "model-refused"
    assert KEY not in failure.message
    assert "[key]" in failure.message
    assert "/9j/" not in failure.message
    assert failure.message.isprintable()


@pytest.mark.parametrize("filler", ["", " " * 30_000, " " * 19_990, "x" * 19_990, "y" * 195])
def test_no_part_of_a_key_is_left_over(filler):
    """Wherever a body is cut off, no piece of the key stands at the end of the quotation."""
    message = quoted(f"{filler}{KEY}".encode(), KEY)
    assert not any(KEY[:length] in message for length in range(6, len(KEY) + 1))
    assert "cGljdHVyZ" not in quoted(b"cannot decode " + b"cGljdHVyZXBpY3R1cmVwaWN0dXJl" * 9)


def test_a_key_that_a_server_answers_with_is_no_value():
    """A server that writes the key into its answer has written nothing that is kept."""
    with ChatServer(["echo-in-answer"]) as server, client_for(server.url) as client:
        (answer,) = answers_of(client, [ask()])
    assert isinstance(answer, ChatAnswer)
    assert KEY not in repr(answer)
    assert "[key]" in repr(answer)


def test_a_message_is_bounded():
    """However long a text is, its message is one line of at most so many characters."""
    assert redact("a\r\n\tb\x1b[31m\u202ec") == "a b [31m c"
    assert len(redact("x" * 10_000)) == MAX_MESSAGE_CHARS


def test_an_unreadable_picture_costs_its_own_request(server, tmp_path):
    """A picture that has gone fails its request, says where it was, and is never sent."""
    (tmp_path / "there.jpg").write_bytes(b"\xff\xd8")
    there = PreparedPicture("a" * 64, str(tmp_path / "there.jpg"))
    gone = PreparedPicture("b" * 64, str(tmp_path / "gone.jpg"))
    with client_for(server.url) as client:
        good, bad, plain = answers_of(
            client, [ask("1", [there]), ask("2", [there, gone]), ask("3")]
        )
    assert isinstance(good, ChatAnswer)
    assert isinstance(plain, ChatAnswer)
    assert bad.reason == "backend-failed"
    assert "gone.jpg" in bad.message
    assert server.calls == 2


def test_a_text_that_cannot_be_encoded_costs_its_own_request(server):
    """Half a surrogate pair in a text is that request's failure."""
    with client_for(server.url) as client:
        bad, good = answers_of(client, [ask("\ud800"), ask()])
    assert bad.reason == "backend-failed"
    assert isinstance(good, ChatAnswer)


def test_pictures_are_read_when_their_turn_comes(server):
    """Of 2,000 requests never more pictures than max_inflight are read and unanswered."""
    album = Album(server)
    requests = [ask(str(n), [CountedPicture("0" * 64, "", album)]) for n in range(2_000)]
    with client_for(server.url, max_inflight=16, timeout_secs=10) as client:
        assert all(isinstance(answer, ChatAnswer) for _, answer in client.answer(requests))
    assert album.reads == 2_000
    assert album.peak <= 16
    assert server.peak <= 16


def test_all_slots_are_used_and_no_more():
    """As many requests as max_inflight are under way at once."""
    with (
        ChatServer(latency_secs=0.1) as server,
        client_for(server.url, max_inflight=12, timeout_secs=5) as client,
    ):
        answers_of(client, [ask(str(n)) for n in range(40)])
    assert server.peak == 12


def test_threads_share_the_slots():
    """Two threads that ask at once get their own answers, and together never exceed max_inflight."""
    found = {}
    with (
        ChatServer(latency_secs=0.1) as server,
        client_for(server.url, max_inflight=8, timeout_secs=5) as client,
    ):

        def work(name):
            found[name] = answers_of(client, [ask(f"{name} {n}") for n in range(16)])

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (alone,) = answers_of(client, [ask("a 5")])
    assert server.peak == 8
    assert all(isinstance(answer, ChatAnswer) for answers in found.values() for answer in answers)
    assert found["a"][5].content == alone.content != found["b"][5].content


def test_answers_come_as_they_are_there(server):
    """A slow request does not hold up the answers of those behind it."""
    with client_for(server.url, timeout_secs=0.5, max_retries=0) as client:
        order = [index for index, _ in client.answer([ask("[server: hang]"), ask("1"), ask("2")])]
    assert order[-1] == 0


def test_an_abandoned_iterator_cancels(server):
    """Closing the iterator ends what is under way, sends nothing more, and leaves the client
    usable.
    """
    requests = [ask("first"), *(ask(f"{n} [server: hang]") for n in range(50))]
    with client_for(server.url, max_inflight=4, timeout_secs=30) as client:
        answers = client.answer(requests)
        assert next(answers)[0] == 0
        assert wait_until(lambda: server.open == 4)
        answers.close()
        assert wait_until(lambda: server.open == 0)
        assert isinstance(answers_of(client, [ask()])[0], ChatAnswer)
    assert server.calls == 1 + 4 + 1


def test_close_ends_the_thread_and_what_is_open(server):
    """After close there is no thread, whoever waited has a failure for everything, and asking again
    is an error.
    """
    found = []
    with client_for(server.url, timeout_secs=30, max_inflight=2) as client:
        requests = [ask(f"{n} [server: hang]") for n in range(5)]
        waiting = threading.Thread(target=lambda: found.extend(client.answer(requests)))
        waiting.start()
        assert wait_until(lambda: server.open == 2)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "chat-client"]
        client.close()
        waiting.join(2)
        assert not thread.is_alive()
        assert sorted(index for index, _ in found) == [0, 1, 2, 3, 4]
        assert {failure.reason for _, failure in found} == {"model-unavailable"}
        with pytest.raises(RuntimeError, match="closed"):
            next(client.answer([ask()]))


def test_nothing_asked_nothing_done(server):
    """No requests, no answers, no call."""
    with client_for(server.url) as client:
        assert list(client.answer([])) == []
    assert server.calls == 0


def test_errors_of_the_sequence_reach_who_asked(server):
    """A sequence that cannot be iterated raises where the answers are waited for, and nobody hangs."""

    class Broken(list):
        def __iter__(self):
            yield self[0]
            raise OSError("the spool is gone")

    with client_for(server.url) as client, pytest.raises(OSError, match="the spool is gone"):
        list(client.answer(Broken([ask(), ask()])))


class Moving:
    """An upstream whose server is found elsewhere after `lost`."""

    def __init__(self, first, then, secs=0.0):
        self.first, self.then, self.secs = first, then, secs
        self.asked, self.losses, self.threads = 0, [], set()

    def url(self):
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        return self.first

    def lost(self, url):
        self.losses.append(url)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.secs)
        if self.then is None:
            raise UpstreamGoneError("the server died twice; look at /tmp/server.log")
        return self.then


def test_a_lost_server_is_found_again(server, nowhere):
    """All requests that could not connect wait for one question, and are then sent to the new
    address.
    """
    upstream = Moving(nowhere, server.url + "/", secs=0.2)
    with client_for(upstream, max_retries=0) as client:
        found = answers_of(client, [ask(str(n)) for n in range(20)])
    assert all(isinstance(answer, ChatAnswer) and answer.retries == 1 for answer in found)
    assert (upstream.asked, upstream.losses) == (1, [nowhere])
    assert server.calls == 20
    assert "chat-client" not in upstream.threads


def test_waiting_for_a_restart_is_no_silence(nowhere):
    """A restart may take longer than give_up_secs, also when the first attempt after it fails."""
    with ChatServer(["500"]) as server:
        upstream = Moving(nowhere, server.url, secs=0.75)
        with client_for(upstream, give_up_secs=0.7) as client:
            (answer,) = answers_of(client, [ask()])
    assert isinstance(answer, ChatAnswer)
    assert answer.retries == 2


def test_a_server_that_dies_under_way_loses_nothing():
    """What was under way when a server died is sent again to the one that replaces it."""
    with ChatServer() as second, ChatServer(latency_secs=30) as first:
        upstream = Moving(first.url, second.url)
        with client_for(upstream, timeout_secs=5, max_retries=1) as client:
            killer = threading.Thread(
                target=lambda: wait_until(lambda: first.open == 12) and first.kill()
            )
            killer.start()
            found = answers_of(client, [ask(str(n)) for n in range(12)])
            killer.join()
    assert all(isinstance(answer, ChatAnswer) for answer in found)
    assert (first.calls, second.calls) == (12, 12)
    assert set(upstream.losses) == {first.url}


def test_an_upstream_that_is_gone_fails_everything(nowhere):
    """When there will be no server any more, this and everything later fails at once with its
    message.
    """
    with client_for(Moving(nowhere, None)) as client:
        found = answers_of(client, [ask(str(n)) for n in range(100)])
        later = answers_of(client, [ask()])
    assert set(found + later) == {
        Failure("model-unavailable", "the server died twice; look at /tmp/server.log")
    }


def test_an_upstream_that_raises_fails_everything():
    """An upstream without an address is a server that is not there, not a run that hangs."""

    class Nothing:
        def url(self):
            raise OSError("no such socket")

        def lost(self, url):
            return url

    with client_for(Nothing()) as client:
        (failure,) = answers_of(client, [ask()])
    assert failure.reason == "model-unavailable"
    assert "no such socket" in failure.message


def test_requests_are_spaced(server):
    """At 600 requests a minute a tenth of a second lies between two attempts, retries included."""
    clock = FastClock()
    with client_for(server.url, clock=clock, requests_per_min=600) as client:
        answers_of(client, [ask("[server: 500 ok]"), *(ask(str(n)) for n in range(5))])
    assert server.calls == 7
    assert 0.6 <= round(clock.secs, 6) <= 0.6 + BACKOFF_SECS


def test_tokens_are_spaced(server):
    """What a request is estimated at has to pass before the next is sent, also when it is above the
    limit itself.
    """
    request = ask("x" * 393, max_tokens=100)
    assert paced_tokens(request) == 200
    clock = FastClock()
    with client_for(server.url, clock=clock, tokens_per_min=60_000, max_retries=0) as client:
        answers_of(client, [request] * 4)
    assert clock.secs == pytest.approx(3 * 200 * 60 / 60_000)


def test_a_picture_counts_as_tokens(server):
    """Pictures add a flat number to the estimate."""
    plain, pictured = ask(), ask(pictures=[CountedPicture("0" * 64, "", Album(server))])
    assert paced_tokens(pictured) - paced_tokens(plain) == 1_000


@pytest.mark.timeout(60)  # the turns of 256 requests take two minutes
def test_abandoned_waiting_gives_its_turn_back(server):
    """Requests that were cancelled while they waited for the rate limit do not hold up later ones."""
    with client_for(server.url, requests_per_min=120, max_inflight=256) as client:
        answers = client.answer([ask(str(n)) for n in range(256)])
        next(answers)
        answers.close()
        answers_of(client, [ask("later")])
    assert server.calls < 256


def test_answer_all_is_satisfied(server):
    """The client keeps the contract of a ChatModel's answer: one outcome per request, nothing asked
    twice.
    """
    with client_for(server.url) as client:
        found = dict(answer_all(client, [ask("[server: 400]"), ask("1"), ask("2")]))
    assert sorted(found) == [0, 1, 2]
    assert server.calls == 3


def completion(content="{}", **choice):
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop", **choice}]}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        7,
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {}}]},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": {"content": [7]}}]},
        {"choices": [{"message": {"content": [{"type": "image"}]}}]},
        {"error": {"message": "out of memory"}},
    ],
)
def test_shapeless_responses_are_failures(document):
    """JSON that is not a chat completion is `model-error`, whatever it is."""
    failure = parse_completion("application/json", json.dumps(document).encode())
    assert isinstance(failure, Failure)
    assert failure.reason == "model-error"


def test_a_prompt_that_was_blocked_is_refused():
    """Without any choice there is no answer to this prompt, and asking again would change nothing."""
    failed = parse_response(
        200, {}, b'{"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}'
    )
    assert (failed.failure.reason, failed.retry, failed.alive) == ("model-refused", False, True)
    assert "SAFETY" in failed.failure.message


def test_the_servers_own_words_are_quoted():
    """An error object inside of a 200 is what the message says."""
    failure = parse_completion("application/json", b'{"error": {"message": "out of memory"}}')
    assert "out of memory" in failure.message
    assert "HTTP 507: nothing" in parse_response(507, {}, b"").failure.message


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream", "json"])
def test_json_is_read_whatever_it_is_called(content_type):
    """A completion that calls itself something else is one, and that is said; a page is none."""
    answer = parse_completion(content_type, json.dumps(completion()).encode())
    assert isinstance(answer, ChatAnswer)
    assert answer.repairs == ("content type",)
    page = parse_completion(content_type, b"<html>Welcome</html>")
    assert page.reason == "model-error"
    assert "content type" in page.message


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_content_types_are_read(content_type):
    """JSON may be announced in upper case, with parameters, or as a kind of JSON."""
    assert isinstance(parse_completion(content_type, json.dumps(completion()).encode()), ChatAnswer)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        7,
        [],
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"prompt_tokens": "9"},
        {"prompt_tokens": 9.5},
        {"prompt_tokens": 1e300},
        {"prompt_tokens": 10**400},
    ],
)
def test_nonsense_in_the_usage_counts_nothing(usage):
    """Token counts that are none are 0 and cost no answer."""
    body = json.dumps({**completion(finish_reason=None), "usage": usage}).encode()
    answer = parse_completion("application/json", body)
    assert (answer.prompt_tokens, answer.image_tokens, answer.completion_tokens) == (0, 0, 0)
    assert answer.finish_reason == ""


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(body):
    """Whatever bytes a server sends, there is an answer or a failure with one short line."""
    found = parse_response(200, {"Content-Type": "application/json"}, body)
    assert isinstance(found, ChatAnswer) or len(found.failure.message) <= MAX_MESSAGE_CHARS


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.recursive(
        JSON_VALUES,
        lambda v: st.fixed_dictionaries({"choices": st.lists(v, max_size=2)}),
        max_leaves=4,
    )
)
def test_any_logprobs_are_survived(document):
    """Whatever stands where log-probabilities should, an answer stays an answer."""
    body = json.dumps(completion('{"a": 1}', logprobs={"content": document})).encode()
    answer = parse_completion("application/json", body)
    assert answer.content == '{"a": 1}'
    assert all(0 <= probability <= 1 for probability in answer.probabilities.values())


def split(content, lengths):
    """Tokens of the given byte lengths, over and over, with log-probabilities that differ."""
    raw, tokens, position, n = content.encode(), [], 0, 0
    while position < len(raw):
        piece = raw[position : position + lengths[n % len(lengths)]]
        tokens.append(
            {
                "token": piece.decode("utf-8", "replace"),
                "bytes": list(piece),
                "logprob": -0.01 * (n + 1),
            }
        )
        position += len(piece)
        n += 1
    return tokens


def test_probabilities_are_products_over_the_values_tokens():
    """A value's probability is that of all tokens that overlap it, quotes included and the key's
    not.
    """
    tokens = [
        {"token": '{"', "logprob": -9.0},
        {"token": 'color": "', "logprob": -0.1},
        {"token": "red", "logprob": -0.2},
        {"token": '", "n"', "logprob": -0.4},
        {"token": ":", "logprob": -9.0},
        {"token": "12", "logprob": -0.8},
        {"token": "}", "logprob": -9.0},
    ]
    found = value_probabilities('{"color": "red", "n":12}', tokens)
    assert found == {"color": pytest.approx(math.exp(-0.7)), "n": pytest.approx(math.exp(-0.8))}


def test_tokens_that_do_not_add_up_are_found_out_at_once():
    """Two megabytes of one letter that nearly hold the answer take no hours."""
    tokens = [{"token": "b" + "a" * 999_999, "logprob": -1.0}] * 2
    assert value_probabilities("a" * 1_000_000, tokens) == {}


@given(
    st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=4),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.booleans(),
)
def test_every_key_has_a_probability_however_tokens_are_cut(document, lengths, ascii_only):
    """All top-level keys and no others get the brute-force product, also when tokens cut characters
    in two.
    """
    content = json.dumps(document, ensure_ascii=ascii_only)
    tokens = split(content, lengths)
    found = value_probabilities(content, tokens)
    assert set(found) == set(document)
    decode = json.JSONDecoder().raw_decode
    position = 1
    while content[position : position + 1] not in ("}", ""):
        key, position = decode(content, position + (content[position] == " "))
        value_at = position + 2
        _, position = decode(content, value_at)
        first, last = len(content[:value_at].encode()), len(content[:position].encode())
        logarithm = offset = 0
        for token in tokens:
            end = offset + len(token["bytes"])
            logarithm += token["logprob"] if offset < last and end > first else 0
            offset = end
        assert found[key] == pytest.approx(math.exp(logarithm))
        position += content[position : position + 2] == ", "


def test_what_surrounds_the_content_is_passed_over():
    """A reasoning part before the content and an end-of-turn token after it have no part in it."""
    content = '{"a": "b"}'
    tokens = [
        {"token": "<think>hm</think>", "logprob": -5.0},
        *split(content, [3]),
        {"token": "<|end|>", "logprob": -5},
    ]
    assert value_probabilities(content, tokens) == pytest.approx(
        value_probabilities(content, split(content, [3]))
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("```json\n", "\n```"),
        ("<think>é {1}?</think>\n", ""),
        ("Here:\n", "<|im_end|>"),
        ("\ufeff", ""),
    ],
)
def test_a_wrapped_object_has_its_probabilities(before, after):
    """The values of an object in a fence, behind thoughts or amid prose are as likely as alone."""
    content = '{"a": "é", "b": [1]}'
    alone = value_probabilities(content, split(content, [6]))
    around = [{"token": part, "logprob": -3.0} for part in (before, after)]
    tokens = [around[0], *split(content, [6]), around[1]]
    assert alone
    assert value_probabilities(before + content + after, tokens) == pytest.approx(alone)


MESSAGES = {
    "content parts": {"content": [{"type": "text", "text": '{"a":'}, {"type": "text", "text": " 1}"}]},
    "a list of texts": {"content": ['{"a": 1}']},
    "thoughts as a part": {"content": [{"type": "reasoning", "summary": []}, {"type": "output_text", "text": '{"a": 1}'}]},
    "tool call": {"content": None, "tool_calls": [{"function": {"name": "answer", "arguments": '{"a": 1}'}}]},
    "tool call as an object": {"content": "", "tool_calls": [{"function": {"arguments": {"a": 1}}}]},
    "twice the same call": {"content": None, "tool_calls": [{"function": {"arguments": '{"a": 1}'}}] * 2},
    "function call": {"content": None, "function_call": {"name": "answer", "arguments": '{"a": 1}'}},
    "where thoughts belong": {"content": None, "reasoning_content": '\n{"a": 1}'},
    "where thoughts belong, by its newer name": {"content": "", "reasoning": '{"a": 1}'},
}  # fmt: skip


@pytest.mark.parametrize("how", MESSAGES)
def test_an_answer_is_found_wherever_the_server_puts_it(how):
    """Content in parts, arguments of a tool call, an answer taken for a thought: each is the text
    of the answer, and that it was elsewhere is said.
    """
    document = {"choices": [{"message": {"role": "assistant"} | MESSAGES[how]}]}
    answer = parse_completion("application/json", json.dumps(document).encode())
    assert json.loads(answer.content) == {"a": 1}
    assert len(answer.repairs) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I will not."},
        {"content": [{"type": "refusal", "refusal": "I will not."}], "refusal": "I will not."},
    ],
)
def test_a_refusal_says_so(message):
    """A message that refuses is an answer with that finish reason, whose text is the refusal."""
    answer = parse_completion(
        "application/json", json.dumps({"choices": [{"message": message}]}).encode()
    )
    assert (answer.content, answer.finish_reason) == ("I will not.", "refusal")


@pytest.mark.parametrize("thought", ["It may be red.", "{maybe", 7, None])
def test_thoughts_are_no_answer(thought):
    """What a model thought does not stand in for an answer that is missing."""
    document = {"choices": [{"message": {"content": None, "reasoning_content": thought}}]}
    assert parse_completion("application/json", json.dumps(document).encode()).content == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "7",
        "{",
        '{"a"}',
        '{"a": }',
        '{"a": 1',
        '{"a": 1} {"a": 2}',
        '{"a": 1,}',
        "{1: 2}",
    ],
)
def test_what_is_no_object_has_no_probabilities(content):
    """Content that is not a JSON object, or not only one, has none."""
    assert value_probabilities(content, split(content, [2])) == {}


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        7,
        [None],
        [{"token": '{"a": 1}'}],
        [{"token": '{"a": 1}', "logprob": None}],
        [{"token": '{"a": 2}', "logprob": 0.0}],
        [{"token": '{"a": 1}', "bytes": [999], "logprob": 0.0}],
        [{"token": 7, "logprob": 0.0}],
    ],
)
def test_tokens_that_do_not_add_up_give_nothing(tokens):
    """Tokens that are missing, malformed or of another text give no probabilities."""
    assert value_probabilities('{"a": 1}', tokens) == {}


def test_impossible_tokens_are_nearly_impossible():
    """A log-probability of minus 9,999, which servers write for minus infinity, is 0; one above 0
    is 1.
    """
    assert value_probabilities(
        '{"a":1}', [{"token": '{"a":', "logprob": 0}, {"token": "1}", "logprob": -9999.0}]
    ) == {"a": 0.0}
    assert value_probabilities('{"a":1}', [{"token": '{"a":1}', "logprob": 3.0}]) == {"a": 1.0}


def test_deep_and_wide_contents_are_survived():
    """Contents made to be slow or deep cost a moment and no answer."""
    deep = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert value_probabilities(deep, [{"token": deep, "logprob": 0.0}]) == {}

    def secs_for(values: int) -> float:
        wide = json.dumps({f"é{n}": n for n in range(values)}, ensure_ascii=False)
        tokens = split(wide, [4])
        assert len(value_probabilities(wide, tokens)) == values
        return least_cpu_secs(lambda: value_probabilities(wide, tokens))

    # Quadratic code takes a hundred times as long.
    assert secs_for(30_000) < 40 * secs_for(3_000)


def wait_until(condition, secs=1.5):
    deadline = time.monotonic() + secs
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
