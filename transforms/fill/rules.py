"""The first rung of the cascade: values that the record's own texts, or text on its pictures, state.

Item → texts that may state something → AttributeValue for each open attribute: a value with the span that states
it, or a reason. Nothing is inferred: a name of the closed list, a quantity, an identifier with its check digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, Protocol

import orjson

from schemas.attributes import PATH_SEPARATOR, Attribute, AttributeType
from schemas.elements import AttributeValue, Evidence, EvidenceText, Item, Value
from schemas.template import Template
from schemas.units import same_kind
from transforms.extraction.statements import Finder, Kind, Statement, finder

VERSION = "3"  # raise it when a rule changes what it answers: it is part of every fingerprint
IMAGE_FIELD = "image_text"

Place = Literal["title", "text", "image"]

# Priors. Title and text: the share of right answers on three catalogs with known values (groceries, sportswear and
# web offers; 11 to 2,500 answers a rule), averaged over the catalogs and rounded down. Prose names much that is not
# the product's ("a gift box", "2 kg of oranges went into it"), so only what a label announces passes the default
# threshold of 0.8 there. Not measured: labels and identifiers in titles, taken as in prose; text on pictures, set
# below prose, where only a check digit makes up for what may be misread.
CONFIDENCE: dict[Kind, dict[Place, float]] = {
    "term": {"title": 0.95, "text": 0.7, "image": 0.6},
    "synonym": {"title": 0.9, "text": 0.65, "image": 0.55},
    "labelled-term": {"title": 0.9, "text": 0.9, "image": 0.75},
    "content": {"title": 0.9, "text": 0.65, "image": 0.6},
    "quantity": {"title": 0.35, "text": 0.3, "image": 0.25},
    "labelled-quantity": {"title": 0.9, "text": 0.9, "image": 0.75},
    "identifier": {"title": 0.98, "text": 0.98, "image": 0.9},
}
_METHOD: dict[AttributeType, str] = {
    AttributeType.ENUM: "rule:closed-list",
    AttributeType.MULTI_ENUM: "rule:closed-list",
    AttributeType.CATEGORY: "rule:closed-list",
    AttributeType.BOOLEAN: "rule:term",
    AttributeType.NUMBER: "rule:quantity",
    AttributeType.IDENTIFIER: "rule:identifier",
}
_SAME_AMOUNT = 0.02  # relative: "500 ml / 16.9 fl oz" is said once


@dataclass(frozen=True, slots=True)
class Said:
    """What a text comes down to. value: None where it states several."""

    value: Value | None
    kind: Kind
    place: Place
    text: EvidenceText
    evidence: Evidence


# How often statements of a kind were right at a place.
Confidence = Mapping[tuple[Kind, Place], float]


class Rung(Protocol):
    """One step of the filling cascade. It answers for the open attributes that it can say anything about."""

    @property
    def name(self) -> str: ...

    def propose(self, item: Item, open_attributes: Sequence[Attribute]) -> dict[str, AttributeValue]: ...


@dataclass(frozen=True)
class RuleRung:
    """The rules of this module as a rung. confidence: attribute name → confidences that were measured."""

    template: Template
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    name: str = "rules"

    def propose(self, item: Item, open_attributes: Sequence[Attribute]) -> dict[str, AttributeValue]:
        texts = evidence_texts(self.template, item)
        return {
            attribute.name: fill_by_rules(self.template, texts, attribute, self.confidence.get(attribute.name))
            for attribute in open_attributes
        }


def evidence_texts(template: Template, item: Item) -> tuple[EvidenceText, ...]:
    """Titles, then other texts, then the text on each picture, once for each distinct picture."""
    texts: list[EvidenceText] = []
    for name in template.evidence_fields:
        value = item.record.values.get(name)
        if isinstance(value, dict):
            texts += [EvidenceText(f"{name}.{language}", value[language], "text") for language in sorted(value)]
        elif isinstance(value, str):
            texts.append(EvidenceText(name, value, "text"))
    pictures = {image.features.digest: image.features for image in item.images if image.features is not None}
    texts += [EvidenceText(IMAGE_FIELD, p.text, "image", digest) for digest, p in pictures.items() if p.text]
    return tuple(texts)


def fill_by_rules(
    template: Template, texts: Sequence[EvidenceText], attribute: Attribute, confidence: Confidence | None = None
) -> AttributeValue:
    """The value that the first text states which states one surely enough, with its span; or unknown, with the reason.

    Reasons: `not-stated`, `ambiguous` (several values in a text, which ends the search) and `below-threshold` (the
    first statement that was not sure enough); the last two with what was seen.

    confidence: (kind, place) → confidence, where it was measured; the priors count elsewhere.
    """
    rules = _rules(_RulesKey(template.hash, attribute.name, template))
    usable = tuple(text for text in texts if text.source in attribute.evidence)
    fingerprint = _fingerprint(rules.digest, usable)
    seen = AttributeValue(None, reason="not-stated", fingerprint=fingerprint)
    for said in statements_of(template, usable, attribute):
        known = AttributeValue(None, method=_METHOD[attribute.type], reason="ambiguous", fingerprint=fingerprint)
        if said.value is None:
            ambiguous = replace(known, evidence=said.evidence)
            return ambiguous if seen.reason == "not-stated" else seen
        sure = (confidence or {}).get((said.kind, said.place), CONFIDENCE[said.kind][said.place])
        known = replace(known, confidence=sure, evidence=said.evidence)
        if sure >= attribute.min_confidence:
            return replace(known, value=said.value, source=said.text.source, reason=None)
        if seen.reason == "not-stated":
            seen = replace(known, reason="below-threshold", candidate=said.value)
    return seen


def statements_of(template: Template, texts: Sequence[EvidenceText], attribute: Attribute) -> Iterator[Said]:
    """What each text comes down to, in order; texts that state nothing are left out."""
    if not attribute.rules:
        return
    find = _rules(_RulesKey(template.hash, attribute.name, template)).find
    for text in texts:
        if text.source not in attribute.evidence or not (statements := find(text.text)):
            continue
        decided = _decide(attribute, statements)
        if decided is None:
            begin, end = min(s.begin for s in statements), max(s.end for s in statements)
            yield Said(None, statements[0].kind, _place(template, text), text, _evidence(text, begin, end))
        else:
            evidence = _evidence(text, decided.begin, decided.end)
            yield Said(decided.value, decided.kind, _place(template, text), text, evidence)


def find_statements(template: Template, attribute: Attribute, text: str) -> list[Statement]:
    """What the text states about the attribute, in order of place."""
    return _rules(_RulesKey(template.hash, attribute.name, template)).find(text)


def _evidence(text: EvidenceText, begin: int, end: int) -> Evidence:
    return Evidence(text.field, begin, end, text.text[begin:end], text.image)


@dataclass(frozen=True, slots=True)
class _Rules:
    """One attribute's rules, compiled: a digest of all that makes them up, and text → statements."""

    digest: bytes
    find: Finder


@dataclass(frozen=True, slots=True)
class _RulesKey:
    """Templates with the same hash share their compiled rules."""

    template_hash: str
    attribute: str
    template: Template = field(compare=False)


@lru_cache(maxsize=1024)
def _rules(key: _RulesKey) -> _Rules:
    attribute = key.template.by_name[key.attribute]
    rivals = _rivals(key.template, attribute)
    titles = sorted(other.name for other in key.template.attributes if other.role == "title")
    entry = [VERSION, attribute.model_dump(mode="json", by_alias=True), sorted(rivals), titles]
    digest = hashlib.sha256(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)).digest()
    return _Rules(digest, finder(attribute, alone=not rivals))


def _rivals(template: Template, attribute: Attribute) -> set[str]:
    """Other attributes that a quantity without a label may just as well belong to."""
    if attribute.unit is None:
        return set()
    others = (other for other in template.attributes if other.unit and other.name != attribute.name)
    return {other.name for other in others if same_kind(str(other.unit), attribute.unit)}


def _decide(attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
    """The one statement that all of a text's statements come down to, or None when they differ."""
    match attribute.type:
        case AttributeType.MULTI_ENUM:
            return _all_of(attribute, statements)
        case AttributeType.NUMBER:
            amounts = [float(str(statement.value)) for statement in statements]
            agreed = max(amounts) - min(amounts) <= _SAME_AMOUNT * abs(amounts[0])
            return statements[0] if agreed else None
        case AttributeType.CATEGORY:
            # "Fruit: apples" names Food > Fruit and Food > Fruit > Apple, and means the latter
            paths = {str(statement.value) for statement in statements}
            above = {path for path in paths if any(other.startswith(f"{path}{PATH_SEPARATOR}") for other in paths)}
            statements = [statement for statement in statements if statement.value not in above]
    if any(statement.value != statements[0].value for statement in statements):
        return None
    # the value's own name outranks a synonym of it
    return min(statements, key=lambda statement: (statement.kind == "synonym", statement.begin))


def _all_of(attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
    """All stated values, in the order of the list, over the span from the first to the last."""
    if len({statement.begin for statement in statements}) < len(statements):
        return None  # a name that two values share
    stated = {str(statement.value) for statement in statements}
    values = [choice.value for choice in attribute.values if choice.value in stated]
    kind: Kind = "synonym" if any(statement.kind == "synonym" for statement in statements) else statements[0].kind
    return Statement(values, statements[0].begin, statements[-1].end, kind)


def _place(template: Template, text: EvidenceText) -> Place:
    if text.source == "image":
        return "image"
    return "title" if template.by_name[text.field.split(".")[0]].role == "title" else "text"


def _fingerprint(rules_digest: bytes, texts: tuple[EvidenceText, ...]) -> str:
    return hashlib.sha256(rules_digest + _texts_digest(texts)).hexdigest()


@lru_cache(maxsize=8)
def _texts_digest(texts: tuple[EvidenceText, ...]) -> bytes:
    content = [[text.field, text.text, text.source, text.image] for text in texts]
    return hashlib.sha256(orjson.dumps(content)).digest()
