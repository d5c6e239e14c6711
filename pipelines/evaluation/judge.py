"""Rows of the folds' items tables and the truth → decisions, which the metrics are made of.

A slot is judged in the fold that holds it back. What a fold does not hide is a labelled row there:
it gives the majority value that the cascade must beat.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.evaluation.decisions import Decision
from schemas.attributes import Attribute
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.extraction.cells import as_text, is_null
from transforms.extraction.plain_text import to_single_line
from transforms.items.mask import Mask

# (item id, attribute name)
Slot = tuple[str, str]
# Slot → accepted values; empty where the truth is that there is none.
Truth = Mapping[Slot, tuple[str, ...]]
# What texts of an attribute must share to count as the same value.
Key = Callable[[Attribute, str], str]
# Attribute name → its sets of values among labelled rows, counted.
Labels = Mapping[str, Counter[tuple[str, ...]]]

_RUNGS = {"rule": "rules", "probe": "probe", "span": "spans", "mllm": "model"}
_MAX_EVIDENCE_CHARS = 200
_BATCH_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of the held-back slots.

    given: slots left out because the catalog gives something itself; missing: because no table has
    the item.
    """

    decisions: tuple[Decision, ...]
    given: int
    missing: int

    def notes(self) -> Iterator[str]:
        """Yield what was left out, in sentences for the report."""
        if self.given:
            yield (
                "Slots of the truth left out, as the catalog gives something there itself: "
                f"{self.given:,}"
            )
        if self.missing:
            yield f"Slots of the truth left out, as the tables have no such item: {self.missing:,}"


# Values as texts


def texts_of(attribute: Attribute, value: Any) -> tuple[str, ...]:
    """Return a value of the tables or of a record as texts: none for no value, several for a
    multi-valued attribute.

    A number is written with ten digits, a boolean as yes or no; a localized text has none, as
    nothing fills it.
    """
    return () if value is None else operations_of(attribute).texts(value)


def texts_of_candidate(attribute: Attribute, candidate: str | None) -> tuple[str, ...]:
    """Return the values of `candidate` in a provenance, where a multi-valued one is a JSON list."""
    if candidate is None or not candidate.strip():
        return ()
    return operations_of(attribute).candidate_texts(candidate)


def same_text(_attribute: Attribute, text: str) -> str:
    """Key of the exact comparison: white space at the ends apart, texts must be equal."""
    return text.strip()


def same_value(attribute: Attribute, text: str) -> str:
    """Key of the usual comparison: numbers to six digits, other texts without case and spacing.

    >>> weight = Attribute(name="weight", type="number", unit="g")
    >>> brand = Attribute(name="brand", type="string")
    >>> same_value(weight, "453.59237"), same_value(brand, " Arla  KO")
    ('453.592', 'arla ko')
    """
    return operations_of(attribute).comparison_key(text)


def rung_of(method: str | None) -> str:
    """Return the rung of the cascade that a method belongs to.

    >>> [rung_of(m) for m in ("rule:enum", "probe:text", "span:exact", "mllm:Qwen", "given")]
    ['rules', 'probe', 'spans', 'model', 'given']
    """
    first = (method or "").partition(":")[0]
    return _RUNGS.get(first, first)


# Tables


def truth_of_source(
    template: Template, tables: Sequence[Path], masks: Sequence[Mask | None]
) -> Truth:
    """Return what the source gave of all that any fold hides, each read from a fold that does
    not hide it.

    A cell by which the source says that there is none is the truth that there is none; a value that
    does not fit the template is no truth.
    """
    truth: dict[Slot, tuple[str, ...]] = {}
    attributes = _hidden_attributes(template, masks)
    for items, mask in list(zip(tables, masks, strict=True))[
        :2
    ]:  # no value is hidden in two of them
        for row in _rows(template, items, attributes, describing=False):
            for attribute in attributes:
                if mask is None or not mask.hides(row["item_id"], attribute.name):
                    accepted = _given(attribute, row)
                    if accepted is not None:
                        truth[row["item_id"], attribute.name] = accepted
    return truth


def _hidden_attributes(template: Template, masks: Sequence[Mask | None]) -> list[Attribute]:
    names = {name for mask in masks if mask is not None for name in mask.attributes}
    return [attribute for attribute in template.attributes if attribute.name in names]


def _given(attribute: Attribute, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the source's own values; empty when it says that there is none, None when it gives
    nothing that can be used.
    """
    if (row[attribute.name + PROVENANCE_SUFFIX] or {}).get("source") == "record":
        return texts_of(attribute, row[attribute.name]) or None
    absent = frozenset(text.strip().casefold() for text in attribute.absent)
    cell = row[attribute.name + GIVEN_SUFFIX]
    return () if cell is not None and absent and is_null(cell, absent) else None


def _rows(
    template: Template, items: Path, attributes: Sequence[Attribute], *, describing: bool = True
) -> Iterator[dict[str, Any]]:
    """Rows of an items table with the columns of these attributes, and with those that tell people
    what the item is.
    """
    names = {"item_id", *template.titles, "images"} if describing else {"item_id"}
    for attribute in attributes:
        names |= {attribute.name, attribute.name + GIVEN_SUFFIX, attribute.name + PROVENANCE_SUFFIX}
    for path in sorted(items.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=sorted(names)):
                yield from batch.to_pylist()


# Decisions


def judge(
    template: Template,
    tables: Sequence[Path],
    masks: Sequence[Mask | None],
    truth: Truth,
    key: Key = same_value,
    labels: Labels | None = None,
) -> Judged:
    """Return the decision on each slot of the truth, from the table of the fold that holds it
    back.

    tables: folder of each fold's items; masks: of each fold, None where nothing is hidden and all
    slots are judged.
    labels: further labelled rows, of a reference catalog.
    """
    names = {attribute for _, attribute in truth}
    attributes = [attribute for attribute in template.attributes if attribute.name in names]
    judged: dict[tuple[int, Slot], Decision] = {}
    seen: set[Slot] = set()
    for fold, (items, mask) in enumerate(zip(tables, masks, strict=True)):
        counted = {a.name: Counter((labels or {}).get(a.name, {})) for a in attributes}
        held_back: list[_HeldBack] = []
        for row in _rows(template, items, attributes):
            for attribute in attributes:
                slot = row["item_id"], attribute.name
                known = _given(attribute, row)
                if known:
                    counted[attribute.name][tuple(sorted(known))] += 1
                if slot in truth and (mask is None or mask.hides(*slot)):
                    seen.add(slot)
                    if row[attribute.name + GIVEN_SUFFIX] is None:
                        held_back.append(_HeldBack(fold, attribute, row, truth[slot]))
        majority = {name: _majority(counts) for name, counts in counted.items()}
        for each in held_back:
            judged[fold, each.slot] = _decide(template, each, key, majority[each.attribute.name])
    decisions = tuple(judged[place] for place in sorted(judged))
    return Judged(decisions, len(seen) - len({slot for _, slot in judged}), len(truth) - len(seen))


def _majority(counts: Counter[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the most frequent set of values, the first by name of several."""
    return min(counts, key=lambda values: (-counts[values], values)) if counts else ()


@dataclass(frozen=True, slots=True)
class _HeldBack:
    """A slot that a fold held back. row: of its items table; accepted: the true values."""

    fold: int
    attribute: Attribute
    row: Mapping[str, Any]
    accepted: tuple[str, ...]

    @property
    def slot(self) -> Slot:
        return self.row["item_id"], self.attribute.name


def _decide(
    template: Template, held_back: _HeldBack, key: Key, baseline: tuple[str, ...]
) -> Decision:
    """Return the decision on a slot. baseline: the most frequent values among labelled rows."""
    attribute, row, accepted = held_back.attribute, held_back.row, held_back.accepted
    provenance = row[attribute.name + PROVENANCE_SUFFIX] or {}
    value = texts_of(attribute, row[attribute.name])
    candidate = value or texts_of_candidate(attribute, provenance.get("candidate"))
    several = attribute.spec.is_list
    return Decision(
        fold=held_back.fold,
        item_id=row["item_id"],
        attribute=attribute.name,
        accepted=accepted,
        candidate=candidate,
        answered=bool(value),
        confidence=_confidence(provenance) if candidate else None,
        rung=rung_of(provenance.get("method")) if candidate else "",
        source=provenance.get("source") if candidate else None,
        method=provenance.get("method") if candidate else None,
        evidence=_evidence(provenance, row) if candidate else "",
        reason=None if value else provenance.get("reason"),
        matched=_overlap(attribute, candidate, accepted, key),
        predicted=_size(attribute, candidate, key),
        expected=_size(attribute, accepted, key) if several else min(1, len(accepted)),
        baseline=baseline,
        baseline_matched=_overlap(attribute, baseline, accepted, key),
        baseline_predicted=_size(attribute, baseline, key),
        title=_title(template, row),
        images=tuple(image["path"] for image in row["images"] or ()),
    )


def _overlap(attribute: Attribute, values: Iterable[str], accepted: Iterable[str], key: Key) -> int:
    return len(
        {key(attribute, text) for text in values} & {key(attribute, text) for text in accepted}
    )


def _size(attribute: Attribute, values: Iterable[str], key: Key) -> int:
    return len({key(attribute, text) for text in values})


def _confidence(provenance: Mapping[str, Any]) -> float | None:
    confidence = provenance.get("confidence")
    return None if confidence is None or math.isnan(confidence) else min(1.0, max(0.0, confidence))


def _evidence(provenance: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Return the span and its field, or the picture, short and for people."""
    evidence = provenance.get("evidence") or {}
    picture = evidence.get("image")
    where = evidence.get("field") or ""
    if picture:
        paths = {image["digest"]: image["path"] for image in row["images"] or ()}
        where = (
            f"{where} of {paths.get(picture, picture[:12])}"
            if evidence.get("text")
            else paths.get(picture, where)
        )
    text = to_single_line(evidence.get("text") or "")[:_MAX_EVIDENCE_CHARS]
    return f"{where}: {text}" if where and text else where or text


def _title(template: Template, row: Mapping[str, Any]) -> str:
    for name in template.titles:
        value = row[name]
        texts = [text for _, text in value] if isinstance(value, list) else [value]
        for text in texts:
            if text:
                return as_text(text) or ""
    return ""
