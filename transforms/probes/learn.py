"""Probes are trained on the catalog's own rows: PCollection[Bucket] → examples,
PCollection[StoredProbe].

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
from transforms.runtime.reports import Gather
from transforms.runtime.spool import Spool, SpoolRef, read_spool

OWN, REFERENCE = "own", "reference"
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
    """Bucket → KV[bucket, Example], with the vectors of the items' own texts where `embed`
    says so.
    """

    def __init__(self, config: LearnConfig, heartbeat_dir: str, *, embed: bool) -> None:
        self._config, self._heartbeat_dir, self._embed = config, heartbeat_dir, embed
        self._encoder: Shared[TextEncoder] | None = None

    def setup(self) -> None:
        self._meter = Meter("learn", self._heartbeat_dir)

    def process(self, bucket: Bucket) -> Iterator[tuple[int, Example]]:
        items: Sequence[Item] = bucket.items
        with self._meter.timed():
            if self._embed and items:
                items = self._with_vectors(items)
            examples = [
                (bucket.number, example)
                for item in items
                if (example := self._example(item)) is not None
            ]
        self._meter.beat()
        yield from examples

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


class _Count(beam.DoFn):
    """KV[kind, SpoolRef] → counts of labels. ROWS counts rows, whatever labels they have."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def process(self, spooled: tuple[str, SpoolRef]) -> Iterator[Counts]:
        kind, ref = spooled
        examples = list(read_spool([ref], Example))
        counts = label_counts(self._template, examples)
        for name, labels in counts.items():
            labels[ROWS] = sum(
                name in example.known or name in example.absent for example in examples
            )
        yield {kind: _few(counts)}


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
    """KV[kind, SpoolRef] → KV[0, Example] of what any probe learns from."""

    def __init__(self, config: LearnConfig) -> None:
        self._config = config

    def process(
        self, spooled: tuple[str, SpoolRef], counts: Counts
    ) -> Iterator[tuple[int, Example]]:
        kind, ref = spooled
        names = [a.name for a in self._config.template.attributes if is_learnable(a)]
        shares = {name: share_of(counts, kind, name, self._config.max_labelled) for name in names}
        for example in read_spool([ref], Example):
            if any(
                any(choose_examples(name, share, [example]))
                for name, share in shares.items()
                if share > 0
            ):
                yield (
                    0,
                    example
                    if kind == OWN
                    else replace(example, item_id=REFERENCE_MARK + example.item_id),
                )


class _Train(beam.DoFn):
    """Attribute name → ProbeReport, from the chosen examples of all catalogs."""

    def __init__(self, config: LearnConfig, heartbeat_dir: str) -> None:
        self._config, self._heartbeat_dir = config, heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("train", self._heartbeat_dir)

    def process(
        self, name: str, counts: Counts, refs: Sequence[tuple[int, SpoolRef]]
    ) -> Iterator[ProbeReport]:
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

    def _examples(
        self, name: str, counts: Counts, refs: Sequence[tuple[int, SpoolRef]]
    ) -> Iterator[Example]:
        most = self._config.max_labelled
        shares = {kind: share_of(counts, kind, name, most) for kind in (OWN, REFERENCE)}
        for example in read_spool([ref for _, ref in refs], Example):
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

    pool: KV[0, SpoolRef] of the chosen examples; reports: ProbeReport an attribute.
    """

    reports: beam.PCollection[ProbeReport]
    pool: beam.PCollection[tuple[int, SpoolRef]]


@dataclass(eq=False)
class MakeExamples(beam.PTransform):
    """PCollection[Bucket] → PCollection[KV[bucket, Example]]."""

    config: LearnConfig
    heartbeat_dir: str = ""
    embed: bool = True

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[tuple[int, Example]]:
        making = beam.ParDo(_MakeExamples(self.config, self.heartbeat_dir, embed=self.embed))
        return buckets | making.with_output_types(tuple[int, Example])


@dataclass(eq=False)
class LearnProbes(beam.PTransform):
    """PCollection[KV[OWN or REFERENCE, SpoolRef]] of examples → trained probes, and the pool they
    were trained on.
    """

    config: LearnConfig
    spool_dir: str
    heartbeat_dir: str = ""

    def expand(self, examples: beam.PCollection[tuple[str, SpoolRef]]) -> LearnOutputs:
        config = self.config
        labels = examples | "Count" >> beam.ParDo(_Count(config.template))
        counts = beam.pvalue.AsSingleton(labels | "Merge" >> Gather(merge_counts))
        picked = examples | "Pick" >> beam.ParDo(_Pick(config), counts).with_output_types(
            tuple[int, Example]
        )
        pool = picked | "SpoolPicked" >> Spool(self.spool_dir)
        names = [
            attribute.name for attribute in config.template.attributes if is_learnable(attribute)
        ]
        reports = (
            examples.pipeline
            | "Attributes" >> beam.Create(names, reshuffle=False)
            | "OneByOne" >> beam.Reshuffle()
            | "Train"
            >> beam.ParDo(
                _Train(config, self.heartbeat_dir), counts, beam.pvalue.AsList(pool)
            ).with_output_types(ProbeReport)
        )
        return LearnOutputs(reports, pool)
