"""The real catalogs as plain records, and the items that the product makes of any form of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from schemas.elements import AttributeValue, Item, Record, Reject
from schemas.loading import load_template
from schemas.sections.inputs import parse_description
from schemas.template import Template
from tests.catalogs import CATALOGS
from tests.support import DATA
from tests.variants.contract import Records
from transforms.fill.cascade import fill_item
from transforms.fill.rules import RuleStep
from transforms.items.text import compose_item
from transforms.normalise.records import Normaliser
from transforms.readers import ParsedRecord, SplitReport, plan_splits, read_split, rebuild
from transforms.readers.dialect import decimals_of
from transforms.readers.read import normalise_parsed

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """One file of a real catalog. number: of it among the catalog's own."""

    catalog: str
    number: int = 0

    @property
    def path(self) -> Path:
        return DATA / CATALOGS[self.catalog].inputs[self.number]

    @property
    def template(self) -> Template:
        return _template(CATALOGS[self.catalog].template)

    def records(self, limit: int) -> Records:
        """Return the first records as other programs than the product read them."""
        if self.path.suffix == ".jsonl":
            return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()[:limit]]
        with self.path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))[:limit]


SOURCES = {
    **{name: Source(name) for name in CATALOGS},
    "magento gear": Source("magento", 1),
}


@lru_cache
def _template(name: str) -> Template:
    return load_template(name)


@dataclass
class Reading:
    """What the product made of a file: items by id, and what went wrong."""

    items: dict[str, Row] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)


def read(
    path: Path, template: Template, said: Sequence[str] = (), input_format: str | None = None
) -> Reading:
    """Return the items of a file, each of them through reader, normaliser, rules and texts, and
    each record also as it comes back from its kept bytes.
    """
    reading = Reading()
    normalisers: dict[str, Normaliser] = {}
    description = parse_description(said)
    for split in plan_splits([str(path)], description=description, input_format=input_format):
        for element in read_split(split):
            if isinstance(element, SplitReport):
                continue
            if isinstance(element, ParsedRecord):
                spelled = element.raw.format
                if spelled not in normalisers:
                    normalisers[spelled] = Normaliser(template, decimals_of(spelled))
                if repr(rebuild(element.raw)) != repr(element.cells):
                    reading.problems.append(f"{element.raw.position}: other cells from kept bytes")
                read_one = normalise_parsed(element, normalisers[spelled], template)
            else:
                read_one = element
            if isinstance(read_one, Reject):
                reading.rejects.append(f"{read_one.reason}: {read_one.message}")
            elif isinstance(read_one, Record):
                if read_one.item_id in reading.items:
                    reading.problems.append(f"{read_one.item_id} comes twice")
                reading.items[read_one.item_id] = _row(template, read_one)
    return reading


def _row(template: Template, record: Record) -> Row:
    """Return what the items table says of a record but for where it stood and how it was written:
    `__given` cells, the details of flags and the fingerprint quote the file itself.
    """
    item: Item = compose_item(template, fill_item(template, [RuleStep(template)], Item(record)))
    row: Row = {name: _value(value) for name, value in item.values.items()}
    row["text_source"], row["text_enriched"] = item.text_source, item.text_enriched
    row["images"] = record.image_refs
    row["flags"] = [(flag.reason, flag.field) for flag in item.flags]
    row["event_ts"] = record.event_ts_us
    return row


def _value(value: AttributeValue) -> tuple[Any, ...]:
    seen: tuple[Any, ...] = ()
    if (evidence := value.evidence) is not None:
        seen = (evidence.field,)
        if not evidence.field.startswith("column:"):
            seen = (evidence.field, evidence.begin, evidence.end, evidence.text)
    value_type = type(value.value).__name__
    return (value_type, value.value, value.method, value.confidence, value.reason, *seen)


def differences(wanted: Reading, got: Reading) -> Iterator[str]:
    """Yield what is not the same, item by item."""
    yield from got.problems
    for item_id, there in wanted.items.items():
        if item_id not in got.items:
            yield f"{item_id} is not there"
            continue
        here = got.items[item_id]
        for name, value in there.items():
            if repr(here[name]) != repr(value):
                yield f"{item_id} {name}: {here[name]!r} instead of {value!r}"
    for item_id in got.items:
        if item_id not in wanted.items:
            yield f"{item_id!r} was never written"
