"""The questions that are certain before all pictures are prepared, asked meanwhile:
PCollection[KV[item bucket, ImageResult]] → what was asked, and Usage.

An item is put together as soon as its last picture is there. Where nothing that other items teach
can change its question, it is asked then. Answers are kept as the stage behind this one keeps them;
that stage asks everything again and finds them. Whatever is left out here is asked there, so that
nothing depends on what is certain, on the order of pictures, or on the number of workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Condition, Lock, Thread
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from schemas.elements import (
    AskedAhead,
    Bucket,
    DescribeJob,
    ImageResult,
    ImageRow,
    Record,
    Reject,
)
from schemas.hashing import digest
from transforms.describe.ask import ModelSession, job_key, run_dialogues
from transforms.describe.conversation import RequestBroker
from transforms.describe.items import DescribeConfig, count_usage, load_broker, new_session
from transforms.describe.prompts import describe_job
from transforms.describe.usage import Usage
from transforms.fill.cascade import Cascade
from transforms.items.assemble import BucketParts, assemble_bucket
from transforms.items.open_values import is_open
from transforms.normalise.combine import Combination
from transforms.runtime.bounds.admission import Source, admit
from transforms.runtime.buckets import each_item, part_of
from transforms.runtime.deadlines import within
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import Spool, SpoolRef, read_spool
from transforms.validation.rows import SOURCE_CHECKS, check_item

# Questions that run side by side, as in the stage behind this one.
LANES = 2
# Items that are put together at once, and what may be held of those that still lack a picture.
BATCH_ITEMS, MAX_HELD_BYTES, MAX_HELD_PICTURES = 8, 64 << 20, 50_000
# Each holds the answers that earlier runs have kept of it.
MAX_PARTS = 16
_USAGE = "usage"
_GONE = "model-unavailable"


@dataclass(frozen=True, slots=True)
class AheadConfig:
    """What is asked ahead, and how an item is put together for it.

    learns: whether probes will be trained, on which most questions then depend.
    max_bytes: of a bucket, see `admit`.
    """

    describe: DescribeConfig
    cascade: Cascade
    combination: Combination
    max_bytes: int
    learns: bool


def certain_jobs(config: AheadConfig, bucket: Bucket) -> Iterator[DescribeJob]:
    """Yield what will be asked of a bucket's items whatever probes and other items teach.

    Without probes that is everything. Else it is what pictures alone are asked for: the first of
    two passes, and descriptions of items that lack nothing.
    """
    cascade, secs = config.cascade, config.cascade.element_secs
    if config.learns:
        cascade = replace(cascade, rules=False)
    template = cascade.template
    filled = cascade.fill(bucket)
    checked = each_item(
        filled, "validate", lambda item: check_item(template, item, SOURCE_CHECKS), secs
    )
    for item in checked.items:
        job = None
        # The stage behind this one asks for it again, and says what is wrong with it.
        with suppress(Exception):
            job = within(secs, describe_job, template, config.describe.ask, item, bucket.number)
        if job is None:
            continue
        if not config.learns:
            yield job
        elif job.describe and (
            config.describe.ask.two_pass
            or not any(is_open(each, item) for each in template.attributes)
        ):
            yield replace(job, fields=(), known=(), attributes=())


@dataclass
class WaitingBucket:
    """A bucket's records, and the pictures that have come.

    missing: item → paths of pictures that have not; needed_by: path → items.
    """

    number: int
    records: dict[str, list[Record]]
    rows: dict[str, list[ImageRow]]
    results: dict[str, ImageResult] = field(default_factory=dict)
    missing: dict[str, set[str]] = field(default_factory=dict)
    needed_by: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for item_id, records in self.records.items():
            paths = {path for record in records for path in record.image_refs}
            paths |= {path for row in self.rows.get(item_id, ()) for path in row.paths}
            if paths:
                self.missing[item_id] = paths
            for path in paths:
                self.needed_by[path].append(item_id)

    def take(self, result: ImageResult) -> list[str]:
        """Return the items of which this was the last picture."""
        ready = []
        self.results[result.path] = result
        for item_id in self.needed_by.pop(result.path, ()):
            self.missing[item_id].discard(result.path)
            if not self.missing[item_id]:
                del self.missing[item_id]
                ready.append(item_id)
        return ready

    def parts_of(self, item_ids: Iterable[str]) -> BucketParts:
        """Return what the items are put together from."""
        ids = list(item_ids)
        records = [record for item_id in ids for record in self.records[item_id]]
        rows = [row for item_id in ids for row in self.rows.get(item_id, ())]
        paths = {path for record in records for path in record.image_refs}
        paths |= {path for row in rows for path in row.paths}
        results = [self.results[path] for path in paths]
        # Another picture of the bucket may carry the features.
        carriers = {each.same_as for each in results if each.same_as}
        if carriers:
            results += [
                each
                for path, each in self.results.items()
                if each.features is not None
                and each.features.digest in carriers
                and path not in paths
            ]
        return BucketParts(records, results, rows)


class Asker:
    """Asks jobs in threads of its own, by parts: of each part all that have come, then all that
    have come meanwhile.

    load: makes the model ready, at the first job. session_of: part → its session.
    """

    def __init__(
        self,
        load: Callable[[], RequestBroker],
        session_of: Callable[[RequestBroker, int], ModelSession],
        element_secs: float,
    ) -> None:
        self._load, self._session_of, self._secs = load, session_of, element_secs
        self._broker: RequestBroker | None = None
        self._waiting: dict[int, list[DescribeJob]] = {}
        self._seen: set[str] = set()
        self._busy: set[int] = set()
        self._sessions: dict[int, ModelSession] = {}
        self._threads: list[Thread] = []
        self._changed, self._loading = Condition(), Lock()
        self._is_over = False
        self._error: BaseException | None = None

    def put(self, part: int, job: DescribeJob) -> None:
        """Ask a job, unless another with the same content was."""
        content = digest([job.fields, job.known, job.pictures, job.attributes, job.describe])
        with self._changed:
            if content in self._seen or self._error is not None:
                return
            self._seen.add(content)
            self._waiting.setdefault(part, []).append(job)
            self._changed.notify()
        self.warm()

    def warm(self) -> None:
        """Make the model ready, if nothing was done yet."""
        with self._changed:
            if len(self._threads) < LANES:
                thread = Thread(target=self._work, name="ask-ahead", daemon=True)
                self._threads.append(thread)
                thread.start()

    def finish(self) -> dict[int, ModelSession]:
        """Wait until all is answered; return what each part took. Raises what a thread raised."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for session in self._sessions.values():
            session.cache.close()
            # What was kept before is counted where it is asked for again.
            session.usage = replace(session.usage, reused=0)
        if self._broker is not None:
            self._broker.model.close()
        if self._error is not None:
            raise self._error
        return self._sessions

    def abandon(self) -> None:
        """Ask nothing more and wait for nothing: the run has broken off. What was answered is
        kept already.
        """
        with self._changed:
            self._is_over = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._broker is not None:
            self._broker.model.close()

    def _work(self) -> None:
        try:
            self._loaded()
            while (taken := self._take()) is not None:
                part, jobs = taken
                try:
                    run_dialogues(self._loaded(), jobs, self._session(part).ask, self._secs)
                finally:
                    with self._changed:
                        self._busy.discard(part)
                        self._changed.notify_all()
        except BaseException as error:  # it is raised where the end is waited for
            with self._changed:
                self._error = self._error or error
                self._is_over = True
                self._waiting.clear()
                self._changed.notify_all()

    def _take(self) -> tuple[int, list[DescribeJob]] | None:
        """Return the part of which most is waiting; None when there is no more to come."""
        with self._changed:
            while True:
                free = {
                    part: jobs for part, jobs in self._waiting.items() if part not in self._busy
                }
                if free:
                    part = max(free, key=lambda each: len(free[each]))
                    self._busy.add(part)
                    return part, self._waiting.pop(part)
                if self._is_over and not self._waiting:
                    return None
                self._changed.wait()

    def _loaded(self) -> RequestBroker:
        with self._loading:
            if self._broker is None:
                self._broker = self._load()
            return self._broker

    def _session(self, part: int) -> ModelSession:
        broker = self._loaded()
        with self._loading:
            if part not in self._sessions:
                self._sessions[part] = self._session_of(broker, part)
            return self._sessions[part]


class _AskAhead(beam.DoFn):
    def __init__(self, config: AheadConfig, heartbeat_dir: str) -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir
        self._asker: Asker | None = None

    def setup(self) -> None:
        self._meter = Meter("describe", self._heartbeat_dir)

    def start_bundle(self) -> None:
        self._asker = None
        self._refs: dict[int, list[SpoolRef]] | None = None
        self._buckets: dict[int, WaitingBucket | None] = {}
        self._ready: dict[int, list[str]] = defaultdict(list)
        self._held_bytes = self._held_pictures = 0
        self._is_asking = False

    def process(
        self, keyed: tuple[int, ImageResult], refs: Sequence[tuple[int, SpoolRef]]
    ) -> Iterator[tuple[int, AskedAhead]]:
        number, result = keyed
        if self._refs is None:
            self._refs = defaultdict(list)
            for bucket, ref in refs:
                self._refs[bucket].append(ref)
            if not self._config.learns:
                # To connect takes as long as the first pictures do.
                self._asker = self._new_asker()
                self._asker.warm()
        waiting = self._bucket(number)
        if waiting is None or self._held_pictures >= MAX_HELD_PICTURES:
            return
        self._held_pictures += 1
        ready = self._ready[number]
        ready += waiting.take(_without_vectors(result))
        # The first ones at once: the model is waiting.
        if len(ready) >= (BATCH_ITEMS if self._is_asking else 1):
            self._ask(number)
        yield from ()

    def finish_bundle(self) -> Iterator[Any]:
        for number in list(self._ready):
            self._ask(number)
        asker, self._asker = self._asker, None
        sessions = {} if asker is None else asker.finish()
        for session in sessions.values():
            count_usage(self._meter, session.usage, session.call_msecs)
        yield from _outputs(sessions, self._config.describe.parts)

    def teardown(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.abandon()

    def _bucket(self, number: int) -> WaitingBucket | None:
        """Return a bucket that there is room for, with its records, which are read then."""
        if number not in self._buckets:
            waiting, refs = None, (self._refs or {}).get(number, ())
            if self._held_bytes < MAX_HELD_BYTES:
                waiting = read_bucket(number, refs, self._config.max_bytes)
            if waiting is not None:
                self._held_bytes += sum(
                    len(record.raw.data) for same in waiting.records.values() for record in same
                )
            self._buckets[number] = waiting
        return self._buckets[number]

    def _ask(self, number: int) -> None:
        config, waiting, ready = self._config, self._buckets[number], self._ready.pop(number, [])
        if waiting is None or not ready:
            return
        bucket = assemble_bucket(
            number, waiting.parts_of(ready), config.combination, config.cascade.element_secs
        )
        for item_id in ready:
            del waiting.records[item_id]
        for job in certain_jobs(config, bucket):
            key = job_key(job, two_pass=config.describe.ask.two_pass)
            part = part_of(key, config.describe.parts)
            if part < MAX_PARTS:
                self._asker = self._asker or self._new_asker()
                self._asker.put(part, job)
                self._is_asking = True

    def _new_asker(self) -> Asker:
        describe, meter = self._config.describe, self._meter

        def session_of(broker: RequestBroker, part: int) -> ModelSession:
            session = new_session(describe, broker, part, meter)
            session.asked = []
            return session

        return Asker(lambda: load_broker(describe, meter), session_of, describe.element_secs)


def _without_vectors(result: ImageResult) -> ImageResult:
    """Return a result without what no question needs and takes most of its memory."""
    if result.features is None:
        return result
    return replace(result, features=replace(result.features, vector=b"", style=b"", vectors={}))


def read_bucket(number: int, refs: Iterable[SpoolRef], max_bytes: int) -> WaitingBucket | None:
    """Return a bucket's records and image rows; None where not all of them will be admitted."""
    by_kind: dict[str, list[SpoolRef]] = defaultdict(list)
    for ref in refs:
        by_kind[ref[2]].append(ref)
    source = Source(
        lambda: read_spool(by_kind[Record.__name__], Record),
        lambda: read_spool(by_kind[ImageRow.__name__], ImageRow),
        lambda: read_spool(by_kind[Reject.__name__], Reject),
    )
    admitted = admit(source, max_bytes)
    if not admitted.is_whole:
        return None
    records: dict[str, list[Record]] = defaultdict(list)
    rows: dict[str, list[ImageRow]] = defaultdict(list)
    for record in admitted.records:
        records[record.item_id].append(record)
    for row in admitted.image_rows:
        rows[row.item_id].append(row)
    return WaitingBucket(number, records, rows)


def _outputs(sessions: dict[int, ModelSession], parts: int) -> Iterator[Any]:
    window = GlobalWindow()
    for part, session in sorted(sessions.items()):
        for asked in session.asked or ():
            yield WindowedValue((part, asked), window.max_timestamp(), [window])
        value = WindowedValue(session.usage, window.max_timestamp(), [window])
        yield beam.pvalue.TaggedOutput(_USAGE, value)
    gone = next(
        (
            each
            for session in sessions.values()
            for each in session.asked or ()
            if each.reason == _GONE
        ),
        None,
    )
    # A server that was given up is not asked again by others.
    if gone is not None:
        every = replace(gone, fingerprint="")
        for part in range(parts):
            yield WindowedValue((part, every), window.max_timestamp(), [window])


class AheadOutputs(NamedTuple):
    """Outputs of AskAhead: KV[part, SpoolRef] of AskedAhead, for DescribeItems."""

    asked: beam.PCollection[tuple[int, SpoolRef]]
    usage: beam.PCollection[Usage]


@dataclass(eq=False)
class AskAhead(beam.PTransform):
    """Asks what is certain while pictures come.

    spooled: references to records, image rows and rejects, by item bucket.
    """

    config: AheadConfig
    spooled: beam.pvalue.AsList
    spool_dir: str
    heartbeat_dir: str = ""

    def expand(self, images: beam.PCollection[tuple[int, ImageResult]]) -> AheadOutputs:
        asking = beam.ParDo(_AskAhead(self.config, self.heartbeat_dir), self.spooled)
        outputs = images | "Ask" >> asking.with_outputs(_USAGE, main="asked")
        return AheadOutputs(outputs.asked | "Spool" >> Spool(self.spool_dir), outputs[_USAGE])
