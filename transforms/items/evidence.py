"""What a text states of an attribute, with the span that says so and how far it is trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.attributes import Attribute
from schemas.currencies import is_currency
from schemas.elements import Evidence, EvidenceText, Item, Value
from schemas.hashing import digest
from schemas.template import Template
from schemas.units import same_kind
from transforms.attribute_types.registry import operations_of
from transforms.extraction.statements import Finder, Kind, Statement

VERSION = "3"  # raise it when a rule changes what it answers: it is part of every fingerprint


IMAGE_FIELD = "image_text"


Place = Literal["title", "text", "image"]


# Priors. Title and text: the share of right answers on three catalogs with known values (groceries,
# sportswear and web offers; 11 to 2,500 answers a rule), averaged over the catalogs and rounded
# down. Prose names much that is not the product's ("a gift box", "2 kg of oranges went into it"),
# so only what a label announces passes the default threshold of 0.8 there. Not measured: labels and
# identifiers in titles, taken as in prose; text on pictures, set below prose, where only a check
# digit makes up for what may be misread.
CONFIDENCE: dict[Kind, dict[Place, float]] = {
    "term": {"title": 0.95, "text": 0.7, "image": 0.6},
    "synonym": {"title": 0.9, "text": 0.65, "image": 0.55},
    "labelled-term": {"title": 0.9, "text": 0.9, "image": 0.75},
    "content": {"title": 0.9, "text": 0.65, "image": 0.6},
    "quantity": {"title": 0.35, "text": 0.3, "image": 0.25},
    "labelled-quantity": {"title": 0.9, "text": 0.9, "image": 0.75},
    "identifier": {"title": 0.98, "text": 0.98, "image": 0.9},
}


@dataclass(frozen=True, slots=True)
class TextStatement:
    """The one statement that a text comes down to. value: None where it states several values."""

    value: Value | None
    kind: Kind
    place: Place
    text: EvidenceText
    evidence: Evidence


# How often statements of a kind were right at a place.
Confidence = Mapping[tuple[Kind, Place], float]


def evidence_texts(template: Template, item: Item) -> tuple[EvidenceText, ...]:
    """Titles, then other texts, then the text on each picture, once for each distinct picture."""
    texts: list[EvidenceText] = []
    for name in template.evidence_fields:
        value = item.record.values.get(name)
        if isinstance(value, dict):
            texts += [
                EvidenceText(f"{name}.{language}", value[language], "text")
                for language in sorted(value)
            ]
        elif isinstance(value, str):
            texts.append(EvidenceText(name, value, "text"))
    pictures = {
        image.features.digest: image.features for image in item.images if image.features is not None
    }
    texts += [
        EvidenceText(IMAGE_FIELD, p.text, "image", digest)
        for digest, p in pictures.items()
        if p.text
    ]
    return tuple(texts)


def statements_of(
    template: Template, texts: Sequence[EvidenceText], attribute: Attribute
) -> Iterator[TextStatement]:
    """Yield one statement for each text that states something of the attribute, in order."""
    if not attribute.rules:
        return
    find = rules_of(template, attribute).find
    for text in texts:
        if text.source not in attribute.evidence or not (statements := find(text.text)):
            continue
        decided = operations_of(attribute).decide(attribute, statements)
        if decided is None:
            begin, end = min(s.begin for s in statements), max(s.end for s in statements)
            yield TextStatement(
                None, statements[0].kind, _place(template, text), text, _evidence(text, begin, end)
            )
        else:
            evidence = _evidence(text, decided.begin, decided.end)
            yield TextStatement(decided.value, decided.kind, _place(template, text), text, evidence)


def find_statements(template: Template, attribute: Attribute, text: str) -> list[Statement]:
    """Return the statements of the text about the attribute, in the order in which they stand."""
    return rules_of(template, attribute).find(text)


def _evidence(text: EvidenceText, begin: int, end: int) -> Evidence:
    return Evidence(text.field, begin, end, text.text[begin:end], text.image)


@dataclass(frozen=True, slots=True)
class _Rules:
    """One attribute's rules, compiled: a digest of all that makes them up, and text →
    statements.
    """

    digest: bytes
    find: Finder


# By the hash of their template, as templates with the same hash share their rules, and attribute.
_COMPILED: dict[tuple[str, str], _Rules] = {}
_MAX_COMPILED = 1024


def rules_of(template: Template, attribute: Attribute) -> _Rules:
    """Return the rules of an attribute of the template, compiled once."""
    key = template.hash, attribute.name
    rules = _COMPILED.get(key)
    if rules is None:
        if len(_COMPILED) >= _MAX_COMPILED:
            _COMPILED.clear()
        rules = _COMPILED[key] = _compiled(template, template.by_name[attribute.name])
    return rules


def _compiled(template: Template, attribute: Attribute) -> _Rules:
    rivals = _rivals(template, attribute)
    titles = sorted(other.name for other in template.attributes if other.role == "title")
    entry = [VERSION, attribute.model_dump(mode="json", by_alias=True), sorted(rivals), titles]
    shaped = bytes.fromhex(digest(entry, sort_keys=True))
    return _Rules(shaped, operations_of(attribute).finder(attribute, alone=not rivals))


def _rivals(template: Template, attribute: Attribute) -> set[str]:
    """Other attributes that a quantity without a label may just as well belong to."""
    if attribute.unit is None:
        return set()
    if is_currency(attribute.unit):  # found behind the attribute's own name only
        return set()
    others = (other for other in template.attributes if other.unit and other.name != attribute.name)
    return {other.name for other in others if same_kind(str(other.unit), attribute.unit)}


def _place(template: Template, text: EvidenceText) -> Place:
    if text.source == "image":
        return "image"
    return "title" if text.attribute in template.titles else "text"
