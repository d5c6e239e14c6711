"""Items compared with themselves and with each other: KV[bucket, SpoolRefs] → spooled buckets, and
what was found of their items.

A bucket is put together once, compared, and spooled for the stages behind. What counts of a finding
depends on the whole catalog: such statistics are a file, which the stages that show findings read.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam

from schemas.elements import Bucket, Contradiction, Finding, Flag, Item, ItemDigest, decoder, encode
from schemas.template import Template
from transforms.consistency.outliers import (
    MAX_NUMBERS,
    MAX_VECTORS,
    Norms,
    Sample,
    find_outliers,
    fit_norms,
    merge_samples,
    sample_items,
)
from transforms.consistency.reliability import Tally, add_tallies, reliable_checks
from transforms.consistency.shared_content import (
    MIN_TWINS,
    find_shared,
    group_digests,
    is_reliable,
    item_digests,
)
from transforms.consistency.within_item import check_item, tally
from transforms.items.bucket_files import elements_of, open_bucket
from transforms.runtime import storage
from transforms.runtime.buckets import bucket_of
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, within
from transforms.runtime.json_files import write_json
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import (
    BucketWriter,
    SpoolRef,
    SpoolRefs,
    SpoolWriter,
    Together,
    at_end,
    read_spool,
)
from transforms.runtime.stages.fused import FusedStep, in_one
from transforms.runtime.stages.reports import Given, named

STAGE = "contradict"
_DIGESTS = "digests"
# The tag of what each bundle adds to what is known of the whole catalog, and the names of it.
STATISTICS = "statistics"
_SAMPLES, _TALLY, _OF_TWINS = "samples", "tally", "tally of twins"

Kinds = frozenset[tuple[str, str]]
ByBucket: TypeAlias = "beam.PCollection[tuple[int, SpoolRefs]]"


@dataclass(frozen=True, slots=True)
class CatalogStatistics:
    """What the whole catalog says of comparisons.

    trusted: (reason, field) of comparisons within an item that are reliable here; trusted_twins:
    the same of items with one title and content; norms: what numbers are usual.
    """

    trusted: Kinds = frozenset()
    trusted_twins: Kinds = frozenset()
    norms: Norms = field(default_factory=Norms)


def save_statistics(folder: str, statistics: CatalogStatistics) -> str:
    """Write statistics into a file of their own in `folder`; returns its path."""
    path = storage.join(folder, f"statistics-{uuid.uuid4().hex}.msgpack")
    storage.write_bytes(path, encode(statistics))
    return path


@lru_cache(maxsize=2)
def load_statistics(path: str) -> CatalogStatistics:
    """Return the statistics in a file, which is read once a process."""
    statistics: CatalogStatistics = decoder(CatalogStatistics).decode(storage.read_bytes(path))
    return statistics


def flags_that_count(
    statistics: CatalogStatistics,
    contradictions: Sequence[Contradiction],
    findings: Sequence[Finding],
) -> list[Flag]:
    """Return the flags of what was found of an item that are worth one in this catalog."""
    flags = [
        each.flag
        for each in contradictions
        if (each.flag.reason, each.flag.field) in statistics.trusted
    ]
    flags += [each.flag for each in findings if is_reliable(each, statistics.trusted_twins)]
    return flags


@dataclass(frozen=True, slots=True)
class Comparisons:
    """How items are compared.

    parts: of all shared content, as many as buckets of items. statistics: path of those of a
    catalog of which these items are a part; items are not compared with each other then, as that
    takes all of them.
    """

    template: Template
    spool_dir: str
    parts: int
    element_secs: float = DEFAULT_ELEMENT_SECS
    statistics: str = ""


class CompareBucket(beam.DoFn):
    """Bucket → references to its spooled parts, with the contradictions of its items."""

    def __init__(self, comparisons: Comparisons) -> None:
        self._how = comparisons
        self._buckets = BucketWriter(comparisons.spool_dir)
        self._digests = SpoolWriter(comparisons.spool_dir)

    def setup(self) -> None:
        self._meter = Meter(STAGE)

    def start_bundle(self) -> None:
        self._buckets.begin()
        self._digests.begin()
        self._tally: Tally = Counter()
        self._samples = Samples()

    def process(self, bucket: Bucket) -> Iterator[tuple[int, SpoolRefs] | beam.pvalue.TaggedOutput]:
        with self._meter.timed():
            checks = [(item.item_id, self._tried(check_item, item)) for item in bucket.items]
        for _, made in checks:
            self._tally.update(tally(made))
        contradictions = (
            Contradiction(item_id, check.flag)
            for item_id, made in checks
            for check in made
            if check.flag is not None
        )
        yield from self._buckets.add(bucket.number, chain(elements_of(bucket), contradictions))
        if not self._how.statistics:
            yield from self._across_items(bucket)

    def _across_items(self, bucket: Bucket) -> Iterator[beam.pvalue.TaggedOutput]:
        with self._meter.timed():
            digests = [
                each
                for item in bucket.items
                for each in self._tried(partial(_digests_of, bucket.number), item)
            ]
            self._samples = self._samples.adding(self._how.template, bucket.items)
        for digest in digests:
            part = bucket_of(digest.content, self._how.parts)
            for ref in self._digests.add(part, digest):
                yield beam.pvalue.TaggedOutput(_DIGESTS, ref)

    def finish_bundle(self) -> Iterator[Any]:
        yield from map(at_end, self._buckets.flush())
        made: list[tuple[str, Any]] = [(_DIGESTS, each) for each in self._digests.flush()]
        if self._tally:
            made.append((STATISTICS, (_TALLY, self._tally)))
        if self._samples:
            made.append((STATISTICS, (_SAMPLES, self._samples.save(self._how.spool_dir))))
        yield from (beam.pvalue.TaggedOutput(tag, at_end(each)) for tag, each in made)

    def _tried(self, function: Callable[[Template, Item], list[Any]], item: Item) -> list[Any]:
        try:
            return within(self._how.element_secs, function, self._how.template, item)
        except Exception:  # a defect that shows on one item must not stop the run
            self._meter.add("failures")
            return []


def _digests_of(number: int, template: Template, item: Item) -> list[ItemDigest]:
    return item_digests(template, item, number)


@dataclass(frozen=True, slots=True)
class Samples:
    """Numbers of items, and those of items with the look of their pictures."""

    numbers: Sample = field(default_factory=dict)
    pictures: Sample = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether anything was sampled."""
        return bool(self.numbers or self.pictures)

    def adding(self, template: Template, items: Sequence[Item]) -> Samples:
        """Return the samples of these items too."""
        numbers = sample_items(template, items, vectors=False, size=MAX_NUMBERS)
        pictures = sample_items(template, items, vectors=True, size=MAX_VECTORS)
        return self.merged(Samples(numbers, pictures))

    def merged(self, other: Samples) -> Samples:
        """Return the samples of all that these two sampled."""
        return Samples(
            merge_samples((self.numbers, other.numbers), MAX_NUMBERS),
            merge_samples((self.pictures, other.pictures), MAX_VECTORS),
        )

    def save(self, folder: str) -> str:
        """Write the samples into a file of their own; returns its path."""
        path = storage.join(folder, f"samples-{uuid.uuid4().hex}.msgpack")
        storage.write_bytes(path, encode(self))
        return path


class _FindShared(beam.DoFn):
    """Reads a part of all contents twice: for who holds what, then for findings about each item.

    Only bounded groups are in memory, never all digests of a part.
    """

    def __init__(self, spool_dir: str) -> None:
        self._writer = SpoolWriter(spool_dir)

    def start_bundle(self) -> None:
        self._writer.begin()

    def process(
        self, spooled: tuple[int, Iterable[SpoolRef]]
    ) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
        refs = list(spooled[1])
        groups = group_digests(read_spool(refs, ItemDigest))
        for bucket, finding in find_shared(read_spool(refs, ItemDigest), groups):
            yield from self._writer.add(bucket, finding)
        counts = add_tallies(group.counts for group in groups.values())
        if counts:
            yield beam.pvalue.TaggedOutput(STATISTICS, (_OF_TWINS, counts))

    def finish_bundle(self) -> Iterator[Any]:
        yield from map(at_end, self._writer.flush())


class Compared(NamedTuple):
    """What comparing gives.

    buckets: their spooled parts, with contradictions; findings: of items that share content, None
    where items were not compared with each other. statistics: one path, see `load_statistics`.
    counted: what the steps before comparing gave with the tag STATISTICS, among other such pairs.
    """

    buckets: ByBucket
    findings: beam.PCollection[tuple[int, SpoolRef]] | None
    statistics: beam.PCollection[str]
    counted: beam.PCollection[tuple[str, Any]]


@dataclass(eq=False)
class CompareBuckets(beam.PTransform):
    """Elements of which `first` makes buckets → these buckets spooled, compared.

    report: path at which the comparisons that are reliable are written.
    """

    comparisons: Comparisons
    first: Sequence[FusedStep] = ()
    report: str = ""

    def expand(self, elements: beam.PCollection[Any]) -> Compared:
        how = self.comparisons
        steps = in_one(*self.first, FusedStep(CompareBucket(how)))
        made = elements | "Compare" >> steps.with_outputs(_DIGESTS, STATISTICS, main="buckets")
        counted = made[STATISTICS]
        if how.statistics:
            known = elements.pipeline | "Statistics" >> Given([how.statistics])
            return Compared(made.buckets, None, known, counted)
        shared = (
            (made[_DIGESTS],)
            | "Contents" >> Together()
            | "Find" >> beam.ParDo(_FindShared(how.spool_dir)).with_outputs(STATISTICS, main="refs")
        )
        settling = beam.Map(
            _settle,
            how,
            self.report,
            beam.pvalue.AsIter(counted),
            beam.pvalue.AsIter(shared[STATISTICS]),
        )
        statistics = elements.pipeline | "Once" >> beam.Impulse() | "Settle" >> settling
        return Compared(made.buckets, shared.refs, statistics, counted)


def _settle(
    _: bytes,
    how: Comparisons,
    report: str,
    counted: Iterable[tuple[str, Any]],
    of_twins: Iterable[tuple[str, Any]],
) -> str:
    """Write what the whole catalog says of comparisons; once, and not in every worker."""
    trusted = reliable_checks(add_tallies(named(_TALLY, counted)))
    if report:
        write_json(report, sorted(trusted))
    samples = Samples()
    for path in named(_SAMPLES, counted):
        samples = samples.merged(decoder(Samples).decode(storage.read_bytes(path)))
    norms = fit_norms(how.template, samples.numbers, samples.pictures)
    twins = reliable_checks(add_tallies(named(_OF_TWINS, of_twins)), MIN_TWINS)
    return save_statistics(how.spool_dir, CatalogStatistics(trusted, twins, norms))


class _Open(beam.DoFn):
    """KV[bucket, SpoolRefs] → Bucket, with the flags of findings where statistics are given."""

    def __init__(self, opening: OpenBuckets) -> None:
        self._how = opening

    def setup(self) -> None:
        self._meter = Meter("assemble", self._how.heartbeat_dir)
        self._judging = Meter(STAGE)

    def process(
        self, spooled: tuple[int, Iterable[SpoolRef | SpoolRefs]], statistics: str = ""
    ) -> Iterator[Bucket]:
        number, refs = spooled
        judge = partial(self._judge, load_statistics(statistics)) if statistics else None
        with self._meter.timed():
            bucket = open_bucket(number, refs, judge, is_answered=self._how.is_answered)
        self._meter.add("items", len(bucket.items))
        self._meter.beat()
        yield bucket

    def _judge(
        self,
        statistics: CatalogStatistics,
        item: Item,
        contradictions: Sequence[Contradiction],
        findings: Sequence[Finding],
    ) -> Iterable[Flag]:
        flags = flags_that_count(statistics, contradictions, findings)
        find = partial(_outliers, self._how.template, statistics.norms, item)
        try:
            return flags + within(self._how.element_secs, find)
        except Exception:  # a defect that shows on one item must not stop the run
            self._judging.add("failures")
            return flags


def _outliers(template: Template, norms: Norms, item: Item) -> list[Flag]:
    return [each.flag for each in find_outliers(template, norms, item)]


@dataclass(frozen=True, slots=True)
class OpenBuckets:
    """How buckets that were spooled are read again.

    is_answered: whether a language model was asked about their items.
    """

    template: Template
    element_secs: float = DEFAULT_ELEMENT_SECS
    heartbeat_dir: str = ""
    is_answered: bool = False

    def step(self, statistics: beam.PCollection[str] | None = None) -> FusedStep:
        """Return the step for KV[bucket, SpoolRefs]; statistics: as of CompareBuckets."""
        sides = () if statistics is None else (beam.pvalue.AsSingleton(statistics),)
        return FusedStep(_Open(self), sides)
