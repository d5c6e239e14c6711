"""Probes are trained on the catalog's own rows: Bucket → Bucket with examples; spooled examples →
PCollection[ProbeReport].

Every item becomes an Example with the vector of its own texts. Of each attribute's labelled
examples a part is chosen by hash, as many as a probe needs and may hold, so that memory does not
grow with the catalog; rows of other catalogs fill up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import apache_beam as beam

from schemas.attributes import Attribute
from schemas.elements import Bucket, Example, Item
from schemas.hashing import digest, stable_hash
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.consistency.compare import STATISTICS
from transforms.embed.documents import Document, Embedded, embed_documents
from transforms.items.evidence import evidence_texts
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import TextEncoder
from transforms.models.spaces import (
    Shared,
    own_image_options,
    own_text_options,
    shared_text_encoder,
)
from transforms.probes.features import VERSION, example_of
from transforms.probes.report import ProbeReport, report_of
from transforms.probes.spans import MAX_TEXT_CHARS
from transforms.probes.store import StoredProbe, load_probe, save_probe
from transforms.probes.training import (
    MAX_LABELLED,
    REFERENCE_MARK,
    Probe,
    choose_examples,
    is_learnable,
    label_counts,
    train_probe,
)
from transforms.runtime.bounds.admission import COPIES, ELEMENT_BYTES, UNBOUNDED
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, within
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import (
    SpoolRef,
    SpoolRefs,
    SpoolWriter,
    at_end,
    by_kind,
    read_spool,
)
from transforms.runtime.stages.fused import FusedStep
from transforms.runtime.stages.reports import Gather, Given, named

OWN, REFERENCE = "own", "reference"
# The name of counts of labels among other things that bundles count.
LABELS = "labels"
ROWS = "\n"  # no label
_HASHED = "\n#"  # begins what stands for all labels of one hash: no label either
# Labels that moved by less than this share leave an earlier probe in use.
MAX_MOVED = 0.05
# Distinct labels of an open-valued attribute are too many to count one by one.
MAX_COUNTED_LABELS = 512

# kind of rows → attribute → label → rows
Counts = dict[str, dict[str, Counter[str]]]


@dataclass(frozen=True, slots=True)
class EarlierProbe:
    """A probe of an earlier snapshot.

    key: of all that shapes training but the rows; labels: label → rows.
    """

    stored: StoredProbe
    key: str
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LearnConfig:
    """All that training is given.

    folder: where probes are written; earlier: attribute → probe of the last snapshot. max_bytes: of
    the rows that one attribute's probe is trained on.
    """

    template: Template
    models: ModelOptions
    folder: str
    max_labelled: int = MAX_LABELLED
    earlier: Mapping[str, EarlierProbe] = field(default_factory=dict)
    element_secs: float = DEFAULT_ELEMENT_SECS
    max_bytes: int = UNBOUNDED


def training_key(
    template: Template, attribute: Attribute, models: ModelOptions, max_labelled: int
) -> str:
    """SHA-256 of what shapes a probe besides the rows: its attribute's entry, the evidence fields
    and the encoders.
    """
    content = [
        VERSION,
        attribute.model_dump(mode="json", by_alias=True),
        template.evidence_fields,
        _named(own_text_options(models)),
        _named(own_image_options(models)),
        max_labelled,
    ]
    return digest(content, sort_keys=True)


def _named(options: EncoderOptions) -> Any:
    """Return the backend where nothing else was chosen, as keys of earlier versions have it."""
    return options.backend if options == EncoderOptions(options.backend) else asdict(options)


def moved(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Return how far labels have moved: the share of rows by which their number or their
    distribution differs, 0 to 1.
    """
    total_before, total_now = sum(before.values()), sum(now.values())
    if not total_before or not total_now:
        return 0.0 if total_before == total_now else 1.0
    shares = (
        (before.get(label, 0) / total_before, now.get(label, 0) / total_now)
        for label in {*before, *now}
    )
    distance = sum(abs(was - has) for was, has in shares) / 2
    return max(distance, abs(total_now - total_before) / max(total_now, total_before))


def folded(labels: Mapping[str, int]) -> dict[str, int]:
    """Return labels as they are counted: the most frequent by name, where they are many all by
    hash.
    """
    named = (
        (label.removeprefix("\n") if label.startswith(_HASHED) else label, rows)
        for label, rows in few_of(labels).items()
    )
    return dict(sorted(named))


def few_of(labels: Mapping[str, int]) -> Counter[str]:
    """Return counts of labels under few names: where they are many, those of one hash together.

    The sum of such counts is that of all labels, whenever they are brought under few names.
    """
    known = len(labels) - (ROWS in labels)
    if known <= MAX_COUNTED_LABELS and not any(map(_is_hashed, labels)):
        return Counter(labels)
    counts: Counter[str] = Counter()
    for label, rows in labels.items():
        counts[label if label == ROWS or _is_hashed(label) else _hashed(label)] += rows
    return counts


def _is_hashed(label: str) -> bool:
    return label.startswith(_HASHED)


def _hashed(label: str) -> str:
    number = stable_hash(label.encode("utf-8", "replace"), size_bytes=4) % MAX_COUNTED_LABELS
    return f"{_HASHED}{number}"


def share_of(counts: Counts, kind: str, attribute: str, most: int) -> float:
    """Return which share of the labelled rows is learnt from: own rows first, other catalogs' fill
    up.
    """
    own, other = (rows_with(counts, each, attribute) for each in (OWN, REFERENCE))
    if kind == OWN:
        return min(1.0, most / own) if own else 0.0
    return min(1.0, max(0, most - own) / other) if other else 0.0


def rows_with(counts: Counts, kind: str, attribute: str) -> int:
    """Return rows with a label, or with none by their source."""
    return counts.get(kind, {}).get(attribute, Counter())[ROWS]


class _MakeExamples(beam.DoFn):
    """Bucket → Bucket with its examples, with the vectors of the items' own texts where `embed`
    says so; at a bundle's end, tagged, the counts of their labels.
    """

    def __init__(self, how: MakeExamples) -> None:
        self._config, self._heartbeat_dir = how.config, how.heartbeat_dir
        self._embed, self._kind = how.embed, how.kind
        self._encoder: Shared[TextEncoder] | None = None

    def setup(self) -> None:
        self._meter = Meter("learn", self._heartbeat_dir)

    def start_bundle(self) -> None:
        self._counts: Counts = {}

    def process(self, bucket: Bucket) -> Iterator[Bucket]:
        items: Sequence[Item] = bucket.items
        with self._meter.timed():
            if self._embed and items:
                items = self._with_vectors(items)
            examples = [example for item in items if (example := self._example(item)) is not None]
            counts = counts_of(self._config.template, self._kind, examples)
            self._counts = merge_counts((self._counts, counts))
        self._meter.beat()
        yield replace(bucket, examples={example.item_id: example for example in examples})

    def finish_bundle(self) -> Iterator[Any]:
        yield beam.pvalue.TaggedOutput(STATISTICS, at_end((LABELS, self._counts)))

    def _example(self, item: Item) -> Example | None:
        try:
            return within(self._config.element_secs, example_of, self._config.template, item)
        except Exception:  # a defect met on one record must not stop the run: no probe sees it
            self._meter.add("failures")
            return None

    def _with_vectors(self, items: Sequence[Item]) -> list[Item]:
        if self._encoder is None:
            models = self._config.models
            self._encoder = shared_text_encoder(models, own_text_options(models))
        self._meter.beat()  # loading takes seconds, in which the stage already shows
        documents = [Document(own_text(self._config.template, item)) for item in items]
        # Probes read the beginning of a text, whatever the tables do with the rest of it.
        options = replace(own_text_options(self._config.models), long_texts="cut")
        with self._encoder.loaded() as encoder:
            found = embed_documents(
                documents, encoder, options, count=lambda count: self._meter.add("items", count)
            )
        return [
            replace(item, text_vector=each.vector if isinstance(each, Embedded) else None)
            for item, each in zip(items, map(found.get, documents), strict=True)
        ]


def own_text(template: Template, item: Item) -> str:
    """Return what an item's vector for probes is made of: its own texts alone, or a value would be
    learnt from itself.
    """
    texts = (text.text for text in evidence_texts(template, item) if text.source == "text")
    return "\n".join(texts)[:MAX_TEXT_CHARS]


def counts_of(template: Template, kind: str, examples: Sequence[Example]) -> Counts:
    """Return how many examples have which labels; ROWS counts rows, whatever labels they have."""
    counts = label_counts(template, examples)
    for name, labels in counts.items():
        labels[ROWS] = sum(name in example.known or name in example.absent for example in examples)
    return {kind: _few(counts)}


def merge_counts(many: Iterable[Counts]) -> Counts:
    """Return the sum of counts, in which no more labels have names than are told apart."""
    total: Counts = {}
    for counts in many:
        for kind, by_attribute in counts.items():
            known = total.setdefault(kind, {})
            for name, labels in by_attribute.items():
                known.setdefault(name, Counter()).update(labels)
                if len(known[name]) > 2 * MAX_COUNTED_LABELS:
                    known[name] = few_of(known[name])
    return {kind: _few(by_attribute) for kind, by_attribute in total.items()}


def _few(by_attribute: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[str]]:
    return {name: few_of(labels) for name, labels in by_attribute.items()}


class _Pick(beam.DoFn):
    """KV[kind of catalog, SpoolRefs of a bucket] → SpoolRefs of those of its examples that any
    probe learns from.
    """

    def __init__(self, config: LearnConfig, spool_dir: str) -> None:
        self._config, self._writer = config, SpoolWriter(spool_dir)

    def start_bundle(self) -> None:
        self._writer.begin()

    def process(self, spooled: tuple[str, SpoolRefs], counts: Counts) -> Iterator[SpoolRef]:
        kind, most = spooled[0], self._config.max_labelled
        names = [a.name for a in self._config.template.attributes if is_learnable(a)]
        shares = {name: share_of(counts, kind, name, most) for name in names}
        wanted = {name: share for name, share in shares.items() if share > 0}
        refs = by_kind(spooled[1])["Example"]
        for example in read_spool(refs, Example) if wanted else ():
            if any(any(choose_examples(*each, [example])) for each in wanted.items()):
                if kind != OWN:
                    example = replace(example, item_id=REFERENCE_MARK + example.item_id)
                yield from (ref for _, ref in self._writer.add(0, example))

    def finish_bundle(self) -> Iterator[Any]:
        yield from (at_end(ref) for _, ref in self._writer.flush())


class _Train(beam.DoFn):
    """Attribute name → ProbeReport, from the chosen examples of all catalogs."""

    def __init__(self, config: LearnConfig, heartbeat_dir: str) -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("train", self._heartbeat_dir)

    def process(self, name: str, counts: Counts, refs: Sequence[SpoolRef]) -> Iterator[ProbeReport]:
        config, template = self._config, self._config.template
        attribute = template.by_name[name]
        labels: Counter[str] = Counter()
        for kind in (OWN, REFERENCE):
            labels.update(counts.get(kind, {}).get(name, {}))
        del labels[ROWS]
        key, now = (
            training_key(template, attribute, config.models, config.max_labelled),
            folded(labels),
        )
        self._meter.beat()
        with self._meter.timed():
            report = self._reuse(name, key, now)
            if report is None:
                chosen = partial(self._examples, name, counts, refs)
                probe = self._train(attribute, *smallest_examples(chosen, config.max_bytes))
                report = report_of(template, probe, save_probe(config.folder, probe), key, now)
        self._meter.add("probes")
        self._meter.beat()
        yield report

    def _train(self, attribute: Attribute, examples: Sequence[Example], left_out: int) -> Probe:
        try:
            probe = train_probe(self._config.template, attribute, examples)
            return _telling(probe, left_out)
        except Exception as error:  # a defect met on one attribute's rows must not stop the run
            self._meter.add("failures")
            note = f"training failed, please report it: {type(error).__name__}: {error}"
            kind = operations_of(attribute).probe_kind(attribute)
            return Probe(attribute.name, kind, labelled=len(examples), note=note)

    def _reuse(self, name: str, key: str, labels: Mapping[str, int]) -> ProbeReport | None:
        """Return the earlier probe, copied into this snapshot, where it still fits."""
        earlier = self._config.earlier.get(name)
        if earlier is None or earlier.key != key or moved(earlier.labels, labels) > MAX_MOVED:
            return None
        try:
            probe = load_probe(earlier.stored)
        except (OSError, ValueError):
            return None  # vanished or damaged since: it can be trained again
        stored = save_probe(self._config.folder, probe)
        return replace(
            report_of(self._config.template, probe, stored, key, earlier.labels), reused=True
        )

    def _examples(self, name: str, counts: Counts, refs: Sequence[SpoolRef]) -> Iterator[Example]:
        most = self._config.max_labelled
        shares = {kind: share_of(counts, kind, name, most) for kind in (OWN, REFERENCE)}
        for example in read_spool(refs, Example):
            kind = REFERENCE if example.item_id.startswith(REFERENCE_MARK) else OWN
            plain = replace(example, item_id=example.item_id.removeprefix(REFERENCE_MARK))
            if any(choose_examples(name, shares[kind], [plain])):
                yield example


def smallest_examples(
    examples: Callable[[], Iterable[Example]], max_bytes: int
) -> tuple[list[Example], int]:
    """Return the examples that fit together into `max_bytes`, and how many do not: where not all
    do, the smallest, so that it does not matter in which order they come.

    examples: reads them again at each call.
    """
    held, left = [], max_bytes
    for example in examples():
        left -= size_of(example)
        if left < 0:
            break
        held.append(example)
    if left >= 0:
        return held, 0
    held.clear()
    sizes = sorted((size_of(example), example.item_id) for example in examples())
    fitting = bisect_right(list(accumulate(size for size, _ in sizes)), max_bytes)
    # Of equal size the first by id: whatever comes behind is what is left out.
    first_out = sizes[fitting]
    held += (each for each in examples() if (size_of(each), each.item_id) < first_out)
    return held, len(sizes) - len(held)


def size_of(example: Example) -> int:
    """Return about how many bytes an example takes, the features made of it included."""
    texts = sum(len(text.text) for text in example.texts)
    return COPIES * texts + len(example.text_vector) + len(example.image_vector) + ELEMENT_BYTES


def _telling(probe: Probe, left_out: int) -> Probe:
    if not left_out:
        return probe
    said = f"{left_out:,} rows are too large to be learnt from together (--max-bucket-bytes)"
    return replace(probe, note=f"{probe.note}; {said}" if probe.note else said)


class LearnOutputs(NamedTuple):
    """What LearnProbes gives.

    pool: references to the chosen examples; reports: ProbeReport an attribute.
    """

    reports: beam.PCollection[ProbeReport]
    pool: beam.PCollection[SpoolRef]


@dataclass(frozen=True, slots=True)
class MakeExamples:
    """How examples are made of a catalog's items. kind: of the catalog, OWN or REFERENCE."""

    config: LearnConfig
    heartbeat_dir: str = ""
    kind: str = OWN
    embed: bool = True

    def step(self) -> FusedStep:
        """Return Bucket → Bucket with examples, and pairs of LABELS and Counts, tagged
        STATISTICS.
        """
        return FusedStep(_MakeExamples(self))


def examples_of(bucket: Bucket) -> Iterable[Example]:
    """Return what is spooled of a bucket where only examples are wanted."""
    return bucket.examples.values()


class Examples(NamedTuple):
    """The examples of a catalog.

    spooled: by bucket, among other elements; counted: pairs of LABELS and Counts among others.
    """

    spooled: beam.PCollection[tuple[int, SpoolRefs]]
    counted: beam.PCollection[tuple[str, Any]]


@dataclass(eq=False)
class LearnProbes(beam.PTransform):
    """Examples by kind of catalog → trained probes, and the pool they were trained on."""

    config: LearnConfig
    examples: Mapping[str, Examples]
    spool_dir: str
    heartbeat_dir: str = ""

    def expand(self, pipeline: beam.Pipeline | beam.pvalue.PBegin) -> LearnOutputs:
        config, examples = self.config, self.examples
        counted = tuple(each.counted for each in examples.values())
        counts = beam.pvalue.AsSingleton(counted | "Merge" >> Gather(_merged))
        by_catalog = [
            each.spooled | f"Of {kind}" >> beam.Map(_of_kind, kind)
            for kind, each in examples.items()
        ]
        # Flattened before it is picked from: what side inputs are made of must not be.
        picking = beam.ParDo(_Pick(config, self.spool_dir), counts).with_output_types(SpoolRef)
        pool = by_catalog | "All" >> beam.Flatten() | "Pick" >> picking
        names = [
            attribute.name for attribute in config.template.attributes if is_learnable(attribute)
        ]
        reports = (
            pipeline
            | "Attributes" >> Given(names).with_output_types(str)
            | "OneByOne" >> beam.Reshuffle()
            | "Train"
            >> beam.ParDo(
                _Train(config, self.heartbeat_dir), counts, beam.pvalue.AsList(pool)
            ).with_output_types(ProbeReport)
        )
        return LearnOutputs(reports, pool)


def _of_kind(spooled: tuple[int, SpoolRefs], kind: str) -> tuple[str, SpoolRefs]:
    return kind, spooled[1]


def _merged(counted: Iterable[tuple[str, Any]]) -> Counts:
    return merge_counts(named(LABELS, counted))
