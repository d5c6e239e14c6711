"""The filling cascade: PCollection[Bucket] → PCollection[Bucket], every attribute of every item
with its provenance.

What the source gave stands, valid or not; what is missing is asked of the steps in order, cheapest
first (rules, probes, a language model's answers), and the first that answers wins. What stays open
is unknown, with the reason of the step that saw most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TypeAlias

import apache_beam as beam

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Bucket, Evidence, Example, Flag, Item, Record
from schemas.template import Template
from transforms.fill.rules import RuleStep, Step
from transforms.items.open_values import is_open
from transforms.items.text import format_value
from transforms.probes.features import Features, base_features, label_of, value_of
from transforms.probes.predict import propose
from transforms.probes.report import ProbeReport
from transforms.probes.store import StoredProbe, load_probe
from transforms.probes.training import Probe
from transforms.runtime.buckets import each_item
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, fault_of, within
from transforms.runtime.stages.fused import FusedStep, in_one

STAGE = "fill"
# What a probe says of examples, with what all probes see alike of them.
Ask: TypeAlias = Callable[[Sequence[Example], Features | None], Sequence[AttributeValue]]
# Few enough that what span probes see of an item is still at hand for the next one's question.
BATCH_ITEMS = 128
# Of most attributes of most items: the source says nothing.
_NOT_STATED = AttributeValue(None, reason="not-stated")
_NOT_FILLABLE = AttributeValue(None, reason="not-fillable")
# Reasons of a step that saw nothing.
_SAW_NOTHING = frozenset(["not-stated", "too-few-labels", "model-unknown"])


def fill_item(template: Template, steps: Sequence[Step], item: Item) -> Item:
    """Return the item with one AttributeValue for each attribute of the template, in template
    order.

    Reasons of an unknown: `given-invalid` and `stated-absent` (never replaced), `not-fillable`, or
    those of the steps.
    """
    values = {
        attribute.name: _before_filling(attribute, item.record) for attribute in template.attributes
    }
    return item.with_values(_filled(template, steps, item, values))


def fill_open(template: Template, steps: Sequence[Step], item: Item) -> Item:
    """Return the item with what further steps make of the attributes that are still open."""
    values = _filled(template, steps, item, item.values)
    return item if values is item.values else item.with_values(values)


def _filled(
    template: Template, steps: Sequence[Step], item: Item, values: dict[str, AttributeValue]
) -> dict[str, AttributeValue]:
    """Return the item's values after further steps; the very same where none of them proposes
    any.
    """
    for step in steps:
        open_attributes = [
            attribute for attribute in template.attributes if is_open(attribute, item, values)
        ]
        proposed = step.propose(item, open_attributes) if open_attributes else {}
        better = {
            attribute.name: _better(values[attribute.name], proposed[attribute.name])
            for attribute in open_attributes
            if attribute.name in proposed
        }
        values = {**values, **better} if better else values
    return values


def _better(known: AttributeValue, proposed: AttributeValue) -> AttributeValue:
    """Return what a later step proposes, unless it saw nothing, or less than an earlier one that
    did not suffice either.
    """
    if proposed.reason in _SAW_NOTHING and known.reason != "not-stated":
        return known
    if proposed.reason == known.reason == "below-threshold" and (known.confidence or 0) >= (
        proposed.confidence or 0
    ):
        return known
    return proposed


@dataclass(frozen=True)
class ModelStep:
    """What a language model has answered, where one was asked."""

    name: str = "model"

    def propose(
        self, item: Item, open_attributes: Sequence[Attribute]
    ) -> dict[str, AttributeValue]:
        values = item.answer.values if item.answer is not None else {}
        return {a.name: values[a.name] for a in open_attributes if a.name in values}


def _before_filling(attribute: Attribute, record: Record) -> AttributeValue:
    """Return what the record settles by itself; `not-stated` marks what the steps may fill."""
    given = record.given.get(attribute.name)
    is_known = attribute.name in record.values or attribute.name in record.absent
    if given is None and not is_known:
        return _NOT_STATED if attribute.fill else _NOT_FILLABLE
    given, column = given or "", f"column:{record.origins.get(attribute.name, attribute.name)}"
    if attribute.name in record.values:
        evidence = Evidence(column, text=given)
        return AttributeValue(record.values[attribute.name], "record", "given", 1.0, evidence)
    if attribute.name in record.absent:
        return AttributeValue(None, evidence=Evidence(column, text=given), reason="stated-absent")
    return AttributeValue(None, evidence=Evidence(column, text=given), reason="given-invalid")


def apply_probes(
    template: Template,
    probes: Sequence[tuple[Probe, str]],
    bucket: Bucket,
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> Bucket:
    """Return the bucket with what probes say of open attributes, and flags where they are sure of
    another value than given.

    probes: with the digest of each. A record on which a probe fails joins the rejects, with reason
    `internal-error`, or `took-too-long`.
    """
    items, failed = {item.item_id: item for item in bucket.items}, dict[str, Exception]()
    for ids in _batches(probes, [item_id for item_id in items if item_id in bucket.examples]):
        base = _base(template, [bucket.examples[item_id] for item_id in ids], element_secs)
        for probe, digest in probes:
            attribute = template.by_name[probe.attribute]
            rows = [row for row, item_id in enumerate(ids) if is_open(attribute, items[item_id])]
            waiting = [(ids[row], bucket.examples[ids[row]]) for row in rows]
            at_hand = base.rows(rows) if base is not None and probe.kind == "classes" else None
            ask = partial(_asked, element_secs, partial(propose, template, probe, digest))
            for item_id, proposed in _proposals(ask, waiting, at_hand):
                if isinstance(proposed, Exception):
                    failed[item_id] = proposed
                    continue
                values = items[item_id].values
                better = _better(values[attribute.name], proposed)
                items[item_id] = replace(items[item_id], values={**values, attribute.name: better})
    for probe, _ in probes:
        for item_id in probe.disagreements.keys() & items.keys():
            items[item_id] = _with_disagreement(
                template.by_name[probe.attribute], probe, items[item_id]
            )
    rejects = [
        items[i].record.rejected(reason, STAGE, message)
        for i, e in sorted(failed.items())
        for reason, message in [fault_of(e)]
    ]
    kept = tuple(item for item_id, item in items.items() if item_id not in failed)
    return replace(bucket, items=kept, rejects=(*bucket.rejects, *rejects))


def _asked(
    element_secs: float, ask: Ask, examples: Sequence[Example], base: Features | None
) -> Sequence[AttributeValue]:
    return within(element_secs, ask, examples, base)


def _batches(probes: Sequence[tuple[Probe, str]], ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Item ids in the sizes that probes take at a time; none where there are no probes."""
    for begin in range(0, len(ids) if probes else 0, BATCH_ITEMS):
        yield ids[begin : begin + BATCH_ITEMS]


def _base(template: Template, examples: Sequence[Example], element_secs: float) -> Features | None:
    """Return what all probes see alike, made once; None where one of the examples breaks it, to be
    found one by one.
    """
    try:
        return within(element_secs, base_features, template, examples)
    except Exception:  # met again, and reported, where the culprit is asked about alone
        return None


def _proposals(
    ask: Ask,
    waiting: Sequence[tuple[str, Example]],
    base: Features | None = None,
) -> Iterator[tuple[str, AttributeValue | Exception]]:
    """Yield what a probe says of each, together; one by one where that fails, so that only the
    culprit fails.
    """
    try:
        proposed = ask([example for _, example in waiting], base) if waiting else []
        yield from zip((item_id for item_id, _ in waiting), proposed, strict=True)
    except Exception as error:  # a defect met on one record must not stop the run
        if len(waiting) == 1:
            yield waiting[0][0], error
            return
        for one in waiting:
            yield from _proposals(ask, [one])


def _with_disagreement(attribute: Attribute, probe: Probe, item: Item) -> Item:
    known, other = item.values[attribute.name], probe.disagreements[item.item_id]
    if known.source != "record" or label_of(known.value) == other.value:
        return item
    predicted, given = (
        format_value(attribute, value)
        for value in (value_of(attribute, other.value), known.value)
        if value is not None
    )
    detail = (
        f"given is {given!r}; rows like this one have {predicted!r} ({probe.view}, confidence "
        f"{other.confidence:.2f})"
    )
    return replace(item, flags=(*item.flags, Flag("rows-contradict-value", attribute.name, detail)))


@lru_cache(maxsize=512)
def _loaded(stored: StoredProbe) -> Probe:
    return load_probe(stored)


@dataclass(frozen=True)
class Cascade:
    """The steps of a run.

    rules: whether they are asked; probes are those of the reports; a model's answers count.
    element_secs: processor time for one item.
    """

    template: Template
    rules: bool = True
    element_secs: float = DEFAULT_ELEMENT_SECS

    def fill(self, bucket: Bucket, reports: Sequence[ProbeReport] = ()) -> Bucket:
        """Return the bucket with every attribute settled or unknown.

        reports: of the probes that were trained for this run.
        """
        template = self.template
        probes = [
            (_loaded(report.stored), report.digest)
            for report in sorted(reports, key=lambda r: r.attribute)
        ]
        measured = {probe.attribute: probe.rule_confidence() for probe, _ in probes}
        rules = [RuleStep(template, measured)] if self.rules else []
        secs = self.element_secs
        bucket = each_item(bucket, STAGE, lambda item: fill_item(template, rules, item), secs)
        bucket = apply_probes(template, probes, bucket, secs)
        return each_item(bucket, STAGE, lambda item: fill_open(template, [ModelStep()], item), secs)


class _Fill(beam.DoFn):
    def __init__(self, cascade: Cascade) -> None:
        self._cascade = cascade

    def process(self, bucket: Bucket, reports: Sequence[ProbeReport] = ()) -> Iterator[Bucket]:
        yield self._cascade.fill(bucket, reports)


@dataclass(eq=False)
class FillAttributes(beam.PTransform):
    """Fills what is missing, step by step; a record on which that fails joins the rejects.

    reports: PCollection[ProbeReport] of the probes, None where none are asked.
    """

    cascade: Cascade
    reports: beam.PCollection[ProbeReport] | None = None

    def step(self) -> FusedStep:
        """Return Bucket → Bucket."""
        sides = () if self.reports is None else (beam.pvalue.AsList(self.reports),)
        return FusedStep(_Fill(self.cascade), sides)

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | in_one(self.step()).with_output_types(Bucket)
