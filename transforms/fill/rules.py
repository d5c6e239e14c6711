"""The first step of the cascade: values that the record's own texts, or text on its pictures,
state.

Item → texts that may state something → AttributeValue for each open attribute: a value with the
span that states it, or a reason. Nothing is inferred: a name of the closed list, a quantity, an
identifier with its check digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, EvidenceText, Item
from schemas.hashing import digest
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import (
    CONFIDENCE,
    Confidence,
    evidence_texts,
    rules_of,
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
        # Most attributes may be found in the same texts.
        wanted = {tuple(attribute.evidence) for attribute in open_attributes}
        usable = {sources: _Texts.usable(texts, sources) for sources in wanted}
        return {
            attribute.name: _fill(
                self.template,
                usable[tuple(attribute.evidence)],
                attribute,
                self.confidence.get(attribute.name),
            )
            for attribute in open_attributes
        }


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts that an attribute may be found in, and the digest of their content."""

    texts: tuple[EvidenceText, ...]
    digest: bytes

    @classmethod
    def usable(cls, texts: Sequence[EvidenceText], sources: Collection[str]) -> _Texts:
        """Return those of the texts that are of these sources."""
        chosen = tuple(text for text in texts if text.source in sources)
        content = [[text.field, text.text, text.source, text.image] for text in chosen]
        return cls(chosen, bytes.fromhex(digest(content)))


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
    usable = _Texts.usable(texts, attribute.evidence)
    return _fill(template, usable, attribute, confidence)


def _fill(
    template: Template, usable: _Texts, attribute: Attribute, confidence: Confidence | None
) -> AttributeValue:
    rules = rules_of(template, attribute)
    fingerprint = hashlib.sha256(rules.digest + usable.digest).hexdigest()
    seen = AttributeValue(None, reason="not-stated", fingerprint=fingerprint)
    method = operations_of(attribute).rule_method
    for said in statements_of(template, usable.texts, attribute):
        if said.value is None:
            ambiguous = AttributeValue(
                None,
                method=method,
                evidence=said.evidence,
                fingerprint=fingerprint,
                reason="ambiguous",
            )
            return ambiguous if seen.reason == "not-stated" else seen
        sure = (confidence or {}).get((said.kind, said.place), CONFIDENCE[said.kind][said.place])
        if sure >= attribute.min_confidence:
            return AttributeValue(
                said.value, said.text.source, method, sure, said.evidence, fingerprint=fingerprint
            )
        if seen.reason == "not-stated":
            seen = AttributeValue(
                None,
                method=method,
                confidence=sure,
                evidence=said.evidence,
                fingerprint=fingerprint,
                reason="below-threshold",
                candidate=said.value,
            )
    return seen
