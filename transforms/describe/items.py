"""Items are put to a language model: PCollection[Bucket] → PCollection[KV[item bucket, ItemAnswer]] and Usage.

What is open is asked once for each distinct content, in parts of all jobs that are contiguous ranges of their keys.
A part's earlier answers are read from the store, the rest is sent, and every answer is kept as it comes.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import apache_beam as beam
import orjson
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import Bucket, DescribeJob, Example, Item, ItemAnswer
from schemas.template import Template
from transforms.caching.answers import AnswerStore, bounds_of, part_of
from transforms.describe.budget import UNLIMITED, Budget, OwnPurse, Purse, SharedPurse, Usage, reckon, share
from transforms.describe.conversation import Asker, converse
from transforms.describe.demonstrations import Pool
from transforms.describe.prompts import AskOptions, describe_job, effort_of
from transforms.describe.taxonomy import NearestByVector
from transforms.models import build_chat_model, build_text_encoder
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest, answer_all
from transforms.models.contract import Failure, ModelOptions
from transforms.models.fake.dry_run import Rates, RehearsedChatModel
from transforms.runtime.metrics import FAILED, Meter
from transforms.runtime.spool import Spool, SpoolRef, read_spool

# Parts under way at once in a worker: the last answers of one come in while the next is being asked, so that the
# model is never left without work.
PARTS_AT_ONCE = 2
# Heartbeats count in whole numbers; money in millionths.
MICRO = 1_000_000
_USAGE, _FAILED = "usage", "failed"

Answered = tuple[list[tuple[int, ItemAnswer]], Usage]
# What a part gave, and the milliseconds of each call.
_Part = tuple[list[tuple[int, ItemAnswer]], Usage, list[int]]


@dataclass(frozen=True, slots=True)
class DescribeConfig:
    """All that the stage is told. Places: pictures, answers, purse (a local file, or empty without a shared disk).

    rehearsal: nothing is sent and no answer kept, what would be is counted, at these rates.
    """

    template: Template
    models: ModelOptions
    ask: AskOptions
    budget: Budget
    parts: int
    run_id: str
    pictures_dir: str
    answers_dir: str
    purse_file: str = ""
    rehearsal: Rates | None = None


def job_key(job: DescribeJob, *, two_pass: bool) -> str:
    """What is asked, whatever the item, as 64 hexadecimal digits; in two passes what the first one asks.

    Demonstrations do not count: a job must come to the part that holds its answer when its neighbours have changed.
    """
    content: list[Any] = [job.pictures] if job.describe else [job.pictures, "described"]
    if not (two_pass and job.pictures):
        content += [job.fields, job.known, job.attributes]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()


@dataclass
class Teller:
    """Answers requests: from the store, else within the budget from the model. Counts what it took.

    told: called with what happened, for a live view: requests `sent`, `answers`, and what they took.
    took_msecs: of each call that was answered.
    """

    model: ChatModel
    store: AnswerStore
    budget: Budget
    purse: Purse
    image_px: int
    told: Callable[[Mapping[str, int]], None] = lambda _: None
    usage: Usage = field(default_factory=Usage)
    took_msecs: list[int] = field(default_factory=list)

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        """One answer or Failure per request, in order; of requests with one address the first is sent."""
        fingerprints = [request.fingerprint(self.model) for request in requests]
        distinct: dict[str, ChatRequest] = {}
        for fingerprint, request in zip(fingerprints, requests, strict=True):
            distinct.setdefault(fingerprint, request)  # the first one's demonstrations are shown
        answers: dict[str, ChatAnswer | Failure] = {f: a for f in distinct if (a := self.store.get(f)) is not None}
        self.usage += Usage(reused=len(answers))
        waiting = [f for f in distinct if f not in answers]
        while waiting:
            sent, waiting = self._affordable(distinct, waiting)
            if not sent:
                answers |= dict.fromkeys(waiting, Failure("budget", "the run's budget was spent before this was asked"))
                break
            self.told({"sent": len(sent)})
            for index, answer in answer_all(self.model, [distinct[f] for f in sent]):
                answers[sent[index]] = answer
                self._account(sent[index], distinct[sent[index]], answer)
        return [answers[f] for f in fingerprints]

    def _affordable(self, requests: dict[str, ChatRequest], waiting: list[str]) -> tuple[list[str], list[str]]:
        """The first of the waiting that may be sent, and the rest, which may be affordable once these are settled."""
        if self.budget.limit == UNLIMITED:
            return waiting, []
        count = 0
        while count < len(waiting):
            if not self.purse.reserve(self.budget.estimate(requests[waiting[count]], self.image_px)):
                break
            count += 1
        return waiting[:count], waiting[count:]

    def _account(self, fingerprint: str, request: ChatRequest, answer: ChatAnswer | Failure) -> None:
        spent = self.budget.spent(answer)
        if isinstance(answer, ChatAnswer):
            self.store.put(fingerprint, request, answer)
        if self.budget.limit != UNLIMITED:
            self.purse.settle(self.budget.estimate(request, self.image_px), spent)
        self.usage = self.usage.with_call(answer, spent.cost, reckon(request, self.image_px).prompt_tokens)
        if isinstance(answer, ChatAnswer):
            self.took_msecs.append(round(answer.seconds * 1000))
            tokens = answer.prompt_tokens + answer.completion_tokens
            self.told({"answers": 1, "tokens": tokens, "micro_cost": round(spent.cost * MICRO)})
        else:
            self.told({"answers": 1, f"{FAILED}{answer.reason}": 1})


def hold_conversations(
    asker: Asker, jobs: Sequence[DescribeJob], ask: Callable[[Sequence[ChatRequest]], Sequence[ChatAnswer | Failure]]
) -> list[ItemAnswer]:
    """The answer to each job, in order. All that can be asked at a time is asked together."""
    results: dict[int, ItemAnswer] = {}
    conversations = [converse(asker, job) for job in jobs]
    said: dict[int, ChatAnswer | Failure | None] = dict.fromkeys(range(len(jobs)))
    while said:
        requests: dict[int, ChatRequest] = {}
        for number, answer in said.items():
            try:
                # None starts a conversation.
                requests[number] = conversations[number].send(answer)  # type: ignore[arg-type]
            except StopIteration as done:
                results[number] = done.value
            except Exception as error:  # a fault of this program met on one item must not stop the others
                results[number] = _fault(jobs[number].item_id, error)
        said = dict(zip(requests, ask(list(requests.values())), strict=True)) if requests else {}
    return [results[number] for number in range(len(jobs))]


def _fault(item_id: str, error: Exception) -> ItemAnswer:
    return ItemAnswer(item_id, reason="backend-failed", message=f"{type(error).__name__}: {error}")


def describe_part(asker: Asker, jobs: Iterable[DescribeJob], teller: Teller) -> Answered:
    """(item bucket, answer) for each job of a part, each content asked once, and what it took.

    Of jobs with equal content the first by item id is asked, with its demonstrations.
    """
    sharing: dict[tuple[Any, ...], list[DescribeJob]] = {}
    for job in jobs:
        sharing.setdefault((job.fields, job.known, job.pictures, job.attributes, job.describe), []).append(job)

    # What costs least a value first; in the same order in every run, so that a budget is spent alike.
    def effort(shared: tuple[Any, list[DescribeJob]]) -> tuple[float, str]:
        return effort_of(asker.template, asker.options, shared[1][0]), repr(shared[0])

    groups = [sorted(group, key=lambda job: job.item_id) for _, group in sorted(sharing.items(), key=effort)]
    answers = hold_conversations(asker, [group[0] for group in groups], teller.ask)
    answered = [
        (job.item_bucket, replace(answer, item_id=job.item_id))
        for group, answer in zip(groups, answers, strict=True)
        for job in group
    ]
    failed: dict[str, int] = {}
    for _, answer in answered:
        if answer.reason is not None:
            failed[answer.reason] = failed.get(answer.reason, 0) + 1
    return answered, teller.usage + Usage(jobs=len(groups), items=len(answered), failed_items=failed)


class _Jobs(beam.DoFn):
    """Buckets → KV[part, DescribeJob]; an item on which this program fails gets its answer, a failure, at once."""

    def __init__(self, config: DescribeConfig, heartbeat_dir: str = "") -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir
        self._shared = Shared()
        self._pool: Pool | None = None

    def setup(self) -> None:
        self._meter = Meter("question", self._heartbeat_dir)

    def process(self, bucket: Bucket, pool_refs: Sequence[SpoolRef] = ()) -> Iterator[Any]:
        config = self._config
        self._pool = self._load(pool_refs)
        for item in bucket.items:
            try:
                job = self._job(bucket, item)
            except Exception as error:  # a defect met on one record must not stop the run
                yield beam.pvalue.TaggedOutput(_FAILED, (bucket.number, _fault(item.item_id, error)))
                continue
            if job is not None:
                self._meter.add("items")
                yield part_of(job_key(job, two_pass=config.ask.two_pass), config.parts), job
        self._meter.beat()

    def _job(self, bucket: Bucket, item: Item) -> DescribeJob | None:
        ask = self._config.ask
        job = describe_job(self._config.template, ask, item, bucket.number)
        example = bucket.examples.get(item.item_id)
        if job is None or example is None or self._pool is None:
            return job
        chosen = self._pool.choose(example, job.attributes, ask.shown_demonstrations, item.item_id)
        return replace(job, demonstrations=chosen)

    def _load(self, refs: Sequence[SpoolRef]) -> Pool | None:
        """The pool that the references name, read once a worker process."""
        if not refs or not self._config.ask.shown_demonstrations:
            return None
        # Beam lists a side input in any order.
        name = tuple(sorted(refs))
        pool: Pool = self._shared.acquire(lambda: Pool(read_spool(name, Example)), name)
        return pool


class _Describe(beam.DoFn):
    """Loads the model once a worker process and keeps it busy with up to PARTS_AT_ONCE parts."""

    def __init__(self, config: DescribeConfig, heartbeat_dir: str) -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir
        self._asker: Asker | None = None
        self._under_way: deque[Future[_Part]] = deque()

    def setup(self) -> None:
        self._meter = Meter("describe" if self._config.rehearsal is None else "rehearse", self._heartbeat_dir)

    def start_bundle(self) -> None:
        self._under_way = deque()

    def process(self, spooled: tuple[int, Iterable[SpoolRef]]) -> Iterator[Any]:
        part, refs = spooled
        asker = self._load()
        jobs = list(read_spool(refs, DescribeJob))
        self._under_way.append(_in_thread(lambda: self._describe(asker, part, jobs)))
        while len(self._under_way) >= (PARTS_AT_ONCE if asker.model.concurrent else 1):
            yield from self._finish()

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        while self._under_way:
            for element in self._finish():
                tagged = isinstance(element, beam.pvalue.TaggedOutput)
                value = WindowedValue(element.value if tagged else element, window.max_timestamp(), [window])
                yield beam.pvalue.TaggedOutput(element.tag, value) if tagged else value

    def teardown(self) -> None:
        if self._asker is not None:
            self._asker.model.close()
            self._asker = None

    def _load(self) -> Asker:
        # Not in setup: a worker that gets no item need not load a model.
        if self._asker is None:
            config = self._config
            self._meter.watch({"limit": config.models.chat.max_inflight})
            self._meter.beat()
            model = build_chat_model(config.models)
            if config.rehearsal is not None:
                model = RehearsedChatModel(model, config.rehearsal, config.ask.image_px)
            model.load()
            nearest = NearestByVector(lambda: build_text_encoder(config.models))
            self._asker = Asker(config.template, config.ask, model, config.pictures_dir, nearest)
        return self._asker

    def _describe(self, asker: Asker, part: int, jobs: list[DescribeJob]) -> _Part:
        config = self._config
        bounds, is_rehearsal = bounds_of(part, config.parts), config.rehearsal is not None
        store = AnswerStore(config.answers_dir, *bounds, config.run_id, asker.model.model, read_only=is_rehearsal)
        store.load()
        teller = Teller(asker.model, store, config.budget, self._purse(), config.ask.image_px, self._meter.watch)
        try:
            answered, usage = describe_part(asker, jobs, teller)
            return answered, usage, teller.took_msecs
        finally:
            store.close()

    def _purse(self) -> Purse:
        limit = self._config.budget.limit
        if self._config.purse_file:
            return SharedPurse(Path(self._config.purse_file), limit)
        return OwnPurse(share(limit, self._config.parts))

    def _finish(self) -> Iterator[Any]:
        answered, usage, took_msecs = self._under_way.popleft().result()
        self._meter.add("items", len(answered))
        for counter in ("calls", "reused", "retries", "prompt_tokens", "completion_tokens"):
            self._meter.add(counter, getattr(usage, counter))
        for msecs in took_msecs:
            self._meter.observe("request_msecs", msecs)
        self._meter.beat()
        yield from answered
        yield beam.pvalue.TaggedOutput(_USAGE, usage)


def _in_thread(call: Callable[[], _Part]) -> Future[_Part]:
    """Run `call` in a thread that, unlike an executor's, does not keep an interrupted run from ending."""
    future: Future[_Part] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, name="describe", daemon=True).start()
    return future


class DescribeOutputs(NamedTuple):
    """What DescribeItems gives."""

    answers: beam.PCollection
    usage: beam.PCollection


@dataclass(eq=False)
class DescribeItems(beam.PTransform):
    """Asks a language model about every item of which something is open.

    pool: references to spooled Examples, some ten thousand at most, of which the nearest to an item are shown with
    its question; every worker process holds all of them.
    """

    config: DescribeConfig
    spool_dir: str
    heartbeat_dir: str = ""
    pool: beam.pvalue.AsList | None = None

    def expand(self, buckets: beam.PCollection) -> DescribeOutputs:
        asking = beam.ParDo(_Describe(self.config, self.heartbeat_dir)).with_outputs(_USAGE, main="answers")
        sides = () if self.pool is None else (self.pool,)
        making = beam.ParDo(_Jobs(self.config, self.heartbeat_dir), *sides)
        jobs = buckets | "Jobs" >> making.with_outputs(_FAILED, main="jobs")
        outputs = jobs.jobs | "SpoolJobs" >> Spool(self.spool_dir) | "ByKey" >> beam.GroupByKey() | "Ask" >> asking
        answers = (outputs.answers, jobs[_FAILED]) | "AllAnswers" >> beam.Flatten()
        return DescribeOutputs(answers, outputs[_USAGE])
