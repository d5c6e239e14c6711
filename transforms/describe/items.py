"""The Beam stage that asks a language model about items: PCollection[Bucket] →
PCollection[KV[item bucket, SpoolRef]] of ItemAnswers, and Usage.

What is open is asked once for each distinct content, in parts of all jobs that are contiguous
ranges of their keys. A part's earlier answers are read from the store, the rest is sent, and every
answer is kept as it comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.utils.shared import Shared

from schemas.elements import AskedAhead, Bucket, DescribeJob, Example, Item, ItemAnswer
from schemas.template import Template
from transforms.caching.answers import AnswerCodec
from transforms.caching.key_range import DAMAGED, KeyRangeCache
from transforms.describe.ask import ModelSession, describe_part, fault_answer, job_key
from transforms.describe.conversation import RequestBroker
from transforms.describe.demonstrations import Pool
from transforms.describe.prompts import AskOptions, describe_job
from transforms.describe.splitting import SchemaLimits
from transforms.describe.taxonomy import NearestByVector
from transforms.describe.usage import Usage
from transforms.models import build_chat_model
from transforms.models.budget import Spending
from transforms.models.contract import ModelGoneError, ModelOptions
from transforms.models.fake.dry_run import DryRunChatModel, Rates
from transforms.models.http.servers.known import schema_limits
from transforms.models.spaces import own_text_options, shared_text_encoder
from transforms.runtime.buckets import bounds_of, part_of
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, within
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import (
    SpoolRef,
    SpoolWriter,
    Together,
    at_end,
    by_kind,
    read_spool,
)
from transforms.runtime.stages.fused import FusedStep, in_one

# Parts under way at once in a worker: the last answers of one come in while the next is being
# asked, so that the model is never left without work.
PARTS_AT_ONCE = 2
_USAGE, _FAILED = "usage", "failed"
# Of a part's usage, what metrics tell too.
_COUNTED = (
    "calls",
    "reused",
    "retries",
    "prompt_tokens",
    "completion_tokens",
    "estimated_tokens",
    "lost_attempts",
    "lost_tokens",
)

# What a part gave, the milliseconds of each call, and how many files of answers were no use.
_Part = tuple[list[tuple[int, ItemAnswer]], Usage, list[int], int]


@dataclass(frozen=True, slots=True)
class DescribeConfig:
    """The configuration of the stage.

    parts: of all jobs, by ranges of their keys; pictures_dir: prepared pictures; answers_dir: the
    store of answers.
    dry_run: nothing is sent and no answer kept; what would be is counted, at these rates.
    """

    template: Template
    models: ModelOptions
    ask: AskOptions
    parts: int
    run_id: str
    pictures_dir: str
    answers_dir: str
    dry_run: Rates | None = None
    element_secs: float = DEFAULT_ELEMENT_SECS


class MakeJobs(beam.DoFn):
    """Bucket → KV[part, SpoolRef] of DescribeJobs; an item on which this program fails gets its
    answer, a failure, at once: KV[bucket, SpoolRef] of ItemAnswers, tagged.
    """

    def __init__(self, config: DescribeConfig, spool_dir: str, heartbeat_dir: str = "") -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir
        self._jobs, self._failed = (SpoolWriter(spool_dir) for _ in range(2))
        self._shared = Shared()
        self._pool: Pool | None = None

    def setup(self) -> None:
        self._meter = Meter("question", self._heartbeat_dir)

    def start_bundle(self) -> None:
        self._jobs.begin()
        self._failed.begin()

    def finish_bundle(self) -> Iterator[Any]:
        yield from map(at_end, self._jobs.flush())
        for ref in self._failed.flush():
            yield beam.pvalue.TaggedOutput(_FAILED, at_end(ref))

    def process(
        self, bucket: Bucket, pool_refs: Sequence[SpoolRef] = ()
    ) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
        config = self._config
        self._pool = self._load(pool_refs)
        for item in bucket.items:
            try:
                job = within(config.element_secs, self._job, bucket, item)
            except Exception as error:  # a defect that shows on one item must not stop the run
                for ref in self._failed.add(bucket.number, fault_answer(item.item_id, error)):
                    yield beam.pvalue.TaggedOutput(_FAILED, ref)
                continue
            if job is not None:
                self._meter.add("items")
                part = part_of(job_key(job, two_pass=config.ask.two_pass), config.parts)
                yield from self._jobs.add(part, job)
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
        """Return the pool that the references name, read once a worker process."""
        if not refs or not self._config.ask.shown_demonstrations:
            return None
        # Beam lists a side input in any order, but the name under which the pool is shared must be
        # the same for every bundle.
        name = tuple(sorted(refs))
        pool: Pool = self._shared.acquire(lambda: Pool(read_spool(name, Example)), name)
        return pool


class _Describe(beam.DoFn):
    """Asks about the jobs of parts, up to PARTS_AT_ONCE at a time; loads the model at the first."""

    def __init__(self, how: DescribeItems) -> None:
        self._config, self._heartbeat_dir = how.config, how.heartbeat_dir
        self._answers = SpoolWriter(how.spool_dir)
        self._broker: RequestBroker | None = None
        self._under_way: deque[Future[_Part]] = deque()

    def setup(self) -> None:
        self._meter = Meter(
            "describe" if self._config.dry_run is None else "rehearse", self._heartbeat_dir
        )

    def start_bundle(self) -> None:
        self._under_way = deque()
        self._answers.begin()

    def process(
        self, spooled: tuple[int, Iterable[SpoolRef]]
    ) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
        part, refs = spooled[0], by_kind(spooled[1])
        broker = self._load()
        jobs = list(read_spool(refs["DescribeJob"], DescribeJob))
        asked = read_spool(refs["AskedAhead"], AskedAhead)
        ahead = {each.fingerprint: each for each in asked}
        self._under_way.append(_in_thread(lambda: self._describe(broker, part, jobs, ahead)))
        # A model that cannot be called from several threads at once gets one part at a time.
        while len(self._under_way) >= (PARTS_AT_ONCE if broker.model.concurrent else 1):
            yield from self._finish()

    def finish_bundle(self) -> Iterator[Any]:
        while self._under_way:
            for element in self._finish():
                if isinstance(element, beam.pvalue.TaggedOutput):
                    yield beam.pvalue.TaggedOutput(element.tag, at_end(element.value))
                else:
                    yield at_end(element)
        yield from map(at_end, self._answers.flush())

    def teardown(self) -> None:
        if self._broker is not None:
            self._broker.model.close()
            self._broker = None

    def _load(self) -> RequestBroker:
        # Not in setup: a worker that gets no item need not load a model.
        if self._broker is None:
            self._broker = load_broker(self._config, self._meter)
        return self._broker

    def _describe(
        self,
        broker: RequestBroker,
        part: int,
        jobs: list[DescribeJob],
        ahead: Mapping[str, AskedAhead],
    ) -> _Part:
        session = new_session(self._config, broker, part, self._meter)
        session.ahead = ahead
        # Answers are kept also when the part fails: what was paid for is not asked again.
        try:
            answered, usage = describe_part(broker, jobs, session, self._config.element_secs)
            return answered, usage, session.call_msecs, len(session.cache.unreadable)
        finally:
            session.cache.close()

    def _finish(self) -> Iterator[Any]:
        """Yield what the oldest part under way gave; an error of its thread is raised here."""
        try:
            answered, usage, call_msecs, damaged = self._under_way.popleft().result()
        except ModelGoneError:
            # The others end as soon, and keep what was answered.
            for other in self._under_way:
                other.exception()
            raise
        if damaged:
            self._meter.add(DAMAGED, damaged)
        self._meter.add("items", len(answered))
        count_usage(self._meter, usage, call_msecs)
        self._meter.beat()
        for bucket, answer in answered:
            yield from self._answers.add(bucket, answer)
        yield beam.pvalue.TaggedOutput(_USAGE, usage)


def load_broker(config: DescribeConfig, meter: Meter) -> RequestBroker:
    """Return what all dialogues of a worker share, with the model loaded."""
    meter.watch({"limit": config.models.chat.max_inflight})
    meter.beat()
    model = build_chat_model(config.models)
    if config.dry_run is not None:
        model = DryRunChatModel(model, config.dry_run, config.ask.image_px)
    model.load()
    nearest = NearestByVector(
        lambda: shared_text_encoder(config.models, own_text_options(config.models))
    )
    return RequestBroker(
        config.template,
        config.ask,
        model,
        config.pictures_dir,
        nearest,
        SchemaLimits(*schema_limits(config.models)),
    )


def new_session(
    config: DescribeConfig, broker: RequestBroker, part: int, meter: Meter
) -> ModelSession:
    """Return what asks the questions of a part, with its earlier answers; its cache is closed by
    whoever has asked.
    """
    first, last = bounds_of(part, config.parts)
    cache = KeyRangeCache(
        config.answers_dir,
        first,
        last,
        AnswerCodec(config.run_id, broker.model.model),
        read_only=config.dry_run is not None,
    )
    cache.load()
    spending = config.models.spending or Spending()
    return ModelSession(
        broker.model, cache, spending.budget, spending.share(), config.ask.image_px, meter.watch
    )


def count_usage(meter: Meter, usage: Usage, call_msecs: Iterable[int]) -> None:
    """Count among a run's metrics what calls took."""
    for counter in _COUNTED:
        meter.add(counter, getattr(usage, counter))
    for msecs in call_msecs:
        meter.observe("request_msecs", msecs)


def _in_thread(call: Callable[[], _Part]) -> Future[_Part]:
    """Run `call` in a thread that, unlike an executor's, does not keep an interrupted run from
    ending.
    """
    future: Future[_Part] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, name="describe", daemon=True).start()
    return future


class DescribeOutputs(NamedTuple):
    """Outputs of DescribeItems: KV[item bucket, SpoolRef] of ItemAnswer, and what it took."""

    answers: beam.PCollection[tuple[int, SpoolRef]]
    usage: beam.PCollection[Usage]


@dataclass(eq=False)
class DescribeItems(beam.PTransform):
    """Asks a language model about every item of which something is open.

    first: steps that make buckets of the elements. pool: references to spooled Examples, some ten
    thousand at most, of which the nearest to an item are shown with its question; every worker
    process holds all of them. ahead: references to spooled AskedAhead by part.
    """

    config: DescribeConfig
    spool_dir: str
    heartbeat_dir: str = ""
    pool: beam.pvalue.AsList | None = None
    ahead: beam.PCollection[tuple[int, SpoolRef]] | None = None
    first: Sequence[FusedStep] = ()

    def expand(self, elements: beam.PCollection[Any]) -> DescribeOutputs:
        asking = beam.ParDo(_Describe(self)).with_outputs(_USAGE, main="answers")
        sides = () if self.pool is None else (self.pool,)
        making = FusedStep(MakeJobs(self.config, self.spool_dir, self.heartbeat_dir), sides)
        jobs = elements | "Jobs" >> in_one(*self.first, making).with_outputs(_FAILED, main="jobs")
        spooled = (jobs.jobs,) if self.ahead is None else (jobs.jobs, self.ahead)
        outputs = spooled | "ByKey" >> Together() | "Ask" >> asking
        answers = (outputs.answers, jobs[_FAILED]) | "AllAnswers" >> beam.Flatten()
        return DescribeOutputs(answers, outputs[_USAGE])
