"""What probes say of items whose value is missing: (probe, examples) → AttributeValue for each.

Pure.

A value is filled when its confidence reaches the probe's threshold; else it is unknown, with the
candidate. The evidence of a classifier is the word that speaks most for the answer, or the picture
when that weighs more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Evidence, EvidenceText, Example
from schemas.template import ColumnFormat, Template
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import statements_of
from transforms.probes.classifier import Classifier, decide
from transforms.probes.features import (
    VERSION,
    Features,
    featurise,
    hash_words,
    value_of,
)
from transforms.probes.spans import Tagger, passages
from transforms.probes.training import MIN_LABELLED, Probe, context_of, suggestion

_WORD = re.compile(r"(?u)\b\w+\b")
MAX_EVIDENCE_WORDS = 400
_PLAIN = ColumnFormat()


def propose(
    template: Template,
    probe: Probe,
    digest: str,
    examples: Sequence[Example],
    base: Features | None = None,
) -> list[AttributeValue]:
    """One value or unknown for each example.

    digest: of the probe's file, part of every fingerprint.

    base: base_features of the examples, where they are at hand.

    Reasons of an unknown: `too-few-labels` (nothing could be learnt), `below-threshold`, and
    `not-stated` where the probe has nothing to say.
    """
    attribute = template.by_name[probe.attribute]
    if not examples:
        return []
    if isinstance(probe.model, Classifier):
        suggestions = [
            suggestion(list(statements_of(template, e.texts, attribute))) for e in examples
        ]
        features = featurise(template, attribute.name, examples, suggestions, base)
        return _propose_classes(attribute, probe, probe.model, digest, examples, features)
    if isinstance(probe.model, Tagger):
        return _propose_spans(template, attribute, probe, probe.model, digest, examples)
    few = probe.kind != "none" and 0 < probe.labelled < MIN_LABELLED
    reason = "too-few-labels" if few else "not-stated"
    return [AttributeValue(None, reason=reason) for _ in examples]


def _propose_classes(
    attribute: Attribute,
    probe: Probe,
    model: Classifier,
    digest: str,
    examples: Sequence[Example],
    features: Features,
) -> list[AttributeValue]:
    shares = model.shares(features)
    answers, raw = decide(model.bias + sum(shares), model.names, several=model.several)
    confidences = probe.calibration(raw)
    proposed = []
    for row, (example, labels) in enumerate(zip(examples, answers, strict=True)):
        if not labels or (model.view == "image" and not example.pictures):
            proposed.append(AttributeValue(None, reason="not-stated"))
            continue
        at = model.names.index(labels[0])
        known = AttributeValue(
            None,
            method=f"probe:{probe.view}",
            confidence=round(float(confidences[row]), 4),
            evidence=_evidence(model, [float(share[row, at]) for share in shares], example, at),
            fingerprint=_fingerprint(digest, example),
            reason="below-threshold",
            candidate=value_of(attribute, labels),
        )
        proposed.append(_decided(attribute, probe, known))
    return proposed


def _decided(attribute: Attribute, probe: Probe, known: AttributeValue) -> AttributeValue:
    """Return the candidate as a value where it is sure enough."""
    confidence = known.confidence or 0.0
    if confidence < max(round(probe.cut.threshold, 4), attribute.min_confidence):
        return known
    source = "image" if known.evidence is not None and known.evidence.image is not None else "text"
    return replace(known, value=known.candidate, candidate=None, reason=None, source=source)


def _evidence(model: Classifier, shares: Sequence[float], example: Example, at: int) -> Evidence:
    """Return the word or picture that speaks most for a class.

    shares: what each block of the view adds to its score.
    """
    text, image = (sum(shares[:2]), sum(shares[2:])) if model.view != "image" else (-1.0, 0.0)
    if example.pictures and (model.view == "image" or (len(shares) > 2 and image > text)):
        return Evidence("images", image=example.pictures[0])
    word = _telling_word(model, example, at) if model.view != "image" else None
    return word or Evidence(example.texts[0].field if example.texts else "record")


def _telling_word(model: Classifier, example: Example, at: int) -> Evidence | None:
    """Return the place of the single word with the largest weight for a class."""
    found, columns = _hashed_words(example.texts)
    words = model.design.words
    if not found or not len(words.columns):
        return None
    places = np.minimum(np.searchsorted(words.columns, columns), len(words.columns) - 1)
    weights = np.where(
        words.columns[places] == columns, model.weights[0][places, at] * words.idf[places], -np.inf
    )
    best = int(weights.argmax())
    if not weights[best] > 0:
        return None
    field, begin, end, word = found[best]
    return Evidence(field, begin, end, word)


@lru_cache(maxsize=256)
def _hashed_words(texts: tuple[EvidenceText, ...]) -> tuple[list[tuple[str, int, int, str]], Any]:
    """Return the words of an item's texts as (field, begin, end, word), and their columns: the same
    for every attribute.
    """
    found: list[tuple[str, int, int, str]] = []
    for text in texts:
        if text.source == "text":
            found += [
                (text.field, m.start(), m.end(), m.group()) for m in _WORD.finditer(text.text)
            ]
    found = found[:MAX_EVIDENCE_WORDS]
    return found, hash_words([word for *_, word in found])


def _propose_spans(
    template: Template,
    attribute: Attribute,
    probe: Probe,
    model: Tagger,
    digest: str,
    examples: Sequence[Example],
) -> list[AttributeValue]:
    titles, proposed = template.titles, []
    for example in examples:
        own = passages(example, titles)
        span = model.answer(own, context_of(template, example))
        value = _read(attribute, span.text) if span else None
        if span is None or value is None:
            proposed.append(AttributeValue(None, reason="not-stated"))
            continue
        known = AttributeValue(
            None,
            method="span:crf",
            confidence=round(float(probe.calibration(np.array([span.score]))[0]), 4),
            evidence=Evidence(own[span.passage].field, span.begin, span.end, span.text),
            fingerprint=_fingerprint(digest, example),
            reason="below-threshold",
            candidate=value,
        )
        proposed.append(_decided(attribute, probe, known))
    return proposed


def _read(attribute: Attribute, text: str) -> Any:
    """Return the span as a cell of the attribute would be read; None when it breaks the attribute's
    own rules.
    """
    value, problems = _reader(attribute)(text, _PLAIN, False)
    return None if problems else value


@lru_cache(maxsize=512)
def _reader(attribute: Attribute) -> Any:
    return operations_of(attribute).reader(attribute, ())


def _fingerprint(digest: str, example: Example) -> str:
    content = hashlib.sha256(f"{VERSION}\n{digest}\n".encode())
    for text in example.texts:
        content.update(f"{text.field}\n{text.text}\n".encode("utf-8", "replace"))
    content.update("\n".join(example.pictures).encode())
    return content.hexdigest()
