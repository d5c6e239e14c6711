"""The filling cascade: PCollection[Bucket] → PCollection[Bucket], every attribute of every item with its provenance.

What the source gave stands, valid or not; what is missing is asked of the rungs in order, cheapest first, and the
first that answers wins. What stays open is unknown, with the last rung's reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apache_beam as beam

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Bucket, Evidence, Item, Record
from schemas.template import Template
from transforms.buckets import each_item
from transforms.rules import RuleRung, Rung


def fill_item(template: Template, rungs: Sequence[Rung], item: Item) -> Item:
    """The item with one AttributeValue for each attribute of the template, in template order.

    Reasons of an unknown: `given-invalid` (never replaced), `not-fillable`, or the last rung's.
    """
    values = {attribute.name: _before_filling(attribute, item.record) for attribute in template.attributes}
    open_attributes = [attribute for attribute in template.attributes if values[attribute.name].reason == "not-stated"]
    for rung in rungs:
        proposed = rung.propose(item, open_attributes) if open_attributes else {}
        for attribute in open_attributes:
            values[attribute.name] = _better(values[attribute.name], proposed.get(attribute.name))
        open_attributes = [attribute for attribute in open_attributes if values[attribute.name].value is None]
    return replace(item, values=values)


def _better(known: AttributeValue, proposed: AttributeValue | None) -> AttributeValue:
    """What a later rung proposes, unless it saw nothing and an earlier one saw something that did not suffice."""
    if proposed is None or (proposed.reason == "model-unknown" and known.reason != "not-stated"):
        return known
    return proposed


@dataclass(frozen=True)
class ModelRung:
    """What a language model has answered, where one was asked."""

    name: str = "model"

    def propose(self, item: Item, open_attributes: Sequence[Attribute]) -> dict[str, AttributeValue]:
        values = item.answer.values if item.answer is not None else {}
        return {a.name: values[a.name] for a in open_attributes if a.name in values}


def _before_filling(attribute: Attribute, record: Record) -> AttributeValue:
    """What the record settles by itself; `not-stated` marks what the rungs may fill."""
    given = record.given.get(attribute.name, "")
    column = f"column:{record.origins.get(attribute.name, attribute.name)}"
    if attribute.name in record.values:
        evidence = Evidence(column, text=given)
        return AttributeValue(record.values[attribute.name], "record", "given", 1.0, evidence)
    if attribute.name in record.given:
        return AttributeValue(None, evidence=Evidence(column, text=given), reason="given-invalid")
    return AttributeValue(None, reason="not-stated" if attribute.fill else "not-fillable")


@dataclass(eq=False)
class FillAttributes(beam.PTransform):
    """Fills what is missing, by rules, then from a model's answers; a record on which that fails joins the rejects."""

    template: Template

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        template, rungs = self.template, (RuleRung(self.template), ModelRung())
        return buckets | beam.Map(each_item, "fill", lambda item: fill_item(template, rungs, item)).with_output_types(
            Bucket
        )
