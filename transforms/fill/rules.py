"""The first step of the cascade: values that the record's own texts, or text on its pictures,
state.

Item → texts that may state something → AttributeValue for each open attribute: a value with the
span that states it, or a reason. Nothing is inferred: a name of the closed list, a quantity, an
identifier with its check digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, EvidenceText, Item
from schemas.hashing import digest
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import (
    CONFIDENCE,
    Confidence,
    RulesKey,
    compiled_rules,
    evidence_texts,
    statements_of,
)


class Step(Protocol):
    """One step of the filling cascade.

    It answers for the open attributes that it can say anything about.
    """

    @property
    def name(self) -> str: ...

    def propose(
        self, item: Item, open_attributes: Sequence[Attribute]
    ) -> dict[str, AttributeValue]: ...


@dataclass(frozen=True)
class RuleStep:
    """The rules of this module as a step.

    confidence: attribute name → confidences that were measured.
    """

    template: Template
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    name: str = "rules"

    def propose(
        self, item: Item, open_attributes: Sequence[Attribute]
    ) -> dict[str, AttributeValue]:
        texts = evidence_texts(self.template, item)
        return {
            attribute.name: fill_by_rules(
                self.template, texts, attribute, self.confidence.get(attribute.name)
            )
            for attribute in open_attributes
        }


def fill_by_rules(
    template: Template,
    texts: Sequence[EvidenceText],
    attribute: Attribute,
    confidence: Confidence | None = None,
) -> AttributeValue:
    """Return the value that the first text states which states one surely enough, with its span; or
    unknown, with the reason.

    Reasons: `not-stated`, `ambiguous` (several values in a text, which ends the search) and
    `below-threshold` (the first statement that was not sure enough); the last two with what was
    seen.

    confidence: (kind, place) → confidence, where it was measured; the priors count elsewhere.
    """
    rules = compiled_rules(RulesKey(template.hash, attribute.name, template))
    usable = tuple(text for text in texts if text.source in attribute.evidence)
    fingerprint = _fingerprint(rules.digest, usable)
    seen = AttributeValue(None, reason="not-stated", fingerprint=fingerprint)
    method = operations_of(attribute).rule_method
    for said in statements_of(template, usable, attribute):
        known = AttributeValue(
            None,
            method=method,
            reason="ambiguous",
            fingerprint=fingerprint,
        )
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


def _fingerprint(rules_digest: bytes, texts: tuple[EvidenceText, ...]) -> str:
    return hashlib.sha256(rules_digest + _texts_digest(texts)).hexdigest()


# All attributes of an item are filled from the same texts, one item after the other.
@lru_cache(maxsize=8)
def _texts_digest(texts: tuple[EvidenceText, ...]) -> bytes:
    content = [[text.field, text.text, text.source, text.image] for text in texts]
    return bytes.fromhex(digest(content))
