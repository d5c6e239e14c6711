"""A probe is trained: labelled examples of one attribute → Probe with calibration, threshold and
what was held back.

Pure. Every figure comes from rows that were held back: rows that share a picture or a long text are
near copies and are held back together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from schemas.attributes import Attribute
from schemas.elements import Example
from schemas.hashing import stable_hash, stable_share
from schemas.template import Template
from transforms.attribute_types.contract import ProbeKind
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import CONFIDENCE, Confidence, TextStatement, statements_of
from transforms.probes.calibration import Calibration, Cut, choose_cut, fit_calibration
from transforms.probes.classifier import (
    Classifier,
    Design,
    Labels,
    Targets,
    decide,
    held_back_scores,
    kernel_of,
)
from transforms.probes.features import Features, View, featurise, label_of
from transforms.probes.spans import Span, SpanRow, Tagger, fit_tagger, passages

FOLDS = 5
# A tagger is trained again for each fold, which takes longer than a classifier's one inverse.
SPAN_FOLDS = 3
# Fewer rows with the value than these say too little to learn from, or to measure on.
MIN_LABELLED = 10
MAX_LABELLED = 3_000
MAX_SPAN_ROWS = 1_000
MAX_CONTEXT = 2
MIN_SHARED_TEXT_CHARS = 80
MAX_SHARE_OF_COPIES = 0.1
# An item's id begins so where it is of another catalog, whose ids may be the same as this one's.
REFERENCE_MARK = "reference\n"
# How many answers the prior of a rule weighs against those that were measured.
PRIOR_ANSWERS = 10


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A labelled row for which the probe, which had not seen it, is sure of another value."""

    value: Labels
    confidence: float


@dataclass(frozen=True)
class Probe:
    """All that is learnt about one attribute.

    labelled, absent: training rows with a value, and with the statement that there is none;
    classes: distinct values.
    view: the features that did best; right: of the held-back rows with a value, the share answered
    rightly if all are.
    calibration, cut: raw score → confidence, and from which confidence on a value is filled.
    rules: (kind, place) → (right, all) statements of the rules on the training rows.
    note: why the probe abstains, or what its precision was measured on instead of this catalog's
    rows, or empty;
    disagreements: item id → what it would have answered.
    """

    attribute: str
    kind: ProbeKind = "none"
    labelled: int = 0
    absent: int = 0
    classes: int = 0
    majority: Labels = ()
    view: View = "text"
    model: Classifier | Tagger | None = None
    calibration: Calibration = field(default_factory=lambda: Calibration("constant", (), (0.0,)))
    cut: Cut = field(default_factory=lambda: Cut(2.0))
    right: float = 0.0
    rules: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    note: str = ""
    disagreements: Mapping[str, Disagreement] = field(default_factory=dict)

    def rule_confidence(self) -> Confidence:
        """Measured confidences of the rules, drawn towards the priors where little was measured."""
        measured: dict[Any, float] = {}
        for (kind, place), (right, trials) in self.rules.items():
            prior = CONFIDENCE[kind][place]  # type: ignore[index]
            measured[kind, place] = round(
                (right + PRIOR_ANSWERS * prior) / (trials + PRIOR_ANSWERS), 4
            )
        return measured


def is_learnable(attribute: Attribute) -> bool:
    """Return whether known values of the attribute teach anything: how sure its rules are, or a
    probe.
    """
    return attribute.fill


def train_probe(template: Template, attribute: Attribute, examples: Sequence[Example]) -> Probe:
    """Return a probe from examples that have a value of the attribute, or say that there is none;
    their order is no matter.

    With too little to learn from it abstains, and its note says why.
    """
    rows = sorted(examples, key=lambda example: example.item_id)
    labels: list[Labels] = [example.known.get(attribute.name, ()) for example in rows]
    statements_by_row = [
        list(statements_of(template, example.texts, attribute)) for example in rows
    ]
    counts = Counter(row for row in labels if row)
    majority = min(counts, key=lambda row: (-counts[row], row), default=())
    probe = Probe(
        attribute.name,
        operations_of(attribute).probe_kind(attribute),
        labelled=sum(counts.values()),
        absent=sum(not row for row in labels),
        classes=len({label for row in counts for label in row}),
        majority=majority,
        rules=rule_record(statements_by_row, labels),
    )
    if probe.kind == "none":
        return probe
    if probe.labelled < MIN_LABELLED:
        note = f"{probe.labelled} rows have a value, {MIN_LABELLED} are needed to learn from"
        return replace(probe, note=note)
    if len(set(folds_of(rows).tolist())) < 2:
        return replace(
            probe,
            note="all rows share a picture or a long text: none can be held back to measure on",
        )
    if probe.kind == "spans":
        trained = _train_spans(template, attribute, probe, rows, labels)
    elif probe.classes < 2 and not probe.absent:
        return replace(
            probe, note="all rows have the same value: nothing tells when it does not hold"
        )
    else:
        trained = _train_classes(template, attribute, probe, rows, labels, statements_by_row)
    return trained if trained.note else replace(trained, note=_foreign(rows, labels))


def _foreign(rows: Sequence[Example], labels: Sequence[Labels]) -> str:
    """Return what to know of a precision that other catalogs' rows had the larger part in."""
    of_own = [
        not row.item_id.startswith(REFERENCE_MARK)
        for row, label in zip(rows, labels, strict=True)
        if label
    ]
    if 2 * sum(of_own) >= len(of_own):
        return ""
    return (
        f"{sum(of_own):,} of {len(of_own):,} rows with a value are this catalog's own: how often "
        "it is right was "
        "measured mostly on other catalogs, which may name the same thing otherwise"
    )


def rule_record(
    statements_by_row: Sequence[Sequence[TextStatement]], labels: Sequence[Labels]
) -> dict[tuple[str, str], tuple[int, int]]:
    """(kind, place) → (right, all) of the statements in texts of labelled rows; of each row the
    first at each place.
    """
    record: dict[tuple[str, str], tuple[int, int]] = {}
    for statements, known in zip(statements_by_row, labels, strict=True):
        first: dict[tuple[str, str], TextStatement] = {}
        for statement in statements:
            if statement.value is not None:
                first.setdefault((statement.kind, statement.place), statement)
        for key, statement in first.items():
            right, trials = record.get(key, (0, 0))
            record[key] = (right + (label_of(statement.value) == known), trials + 1)
    return record


def folds_of(rows: Sequence[Example], folds: int = FOLDS) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the fold of each row, 0 to `folds` - 1; rows that share a picture or a long text are
    in one fold.
    """
    leader = list(range(len(rows)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    holders: dict[str, list[int]] = defaultdict(list)
    for at, example in enumerate(rows):
        texts = (text.text for text in example.texts if len(text.text) >= MIN_SHARED_TEXT_CHARS)
        for content in {*example.pictures, *texts}:
            holders[content].append(at)
    for sharing in holders.values():
        # What so many rows hold is a stand-in ("no picture"), and makes no copies of them.
        if len(sharing) <= max(FOLDS, MAX_SHARE_OF_COPIES * len(rows)):
            for at in sharing[1:]:
                first, second = find(sharing[0]), find(at)
                leader[max(first, second)] = min(first, second)
    leaders = (rows[find(at)].item_id for at in range(len(rows)))
    return np.array([stable_hash(each, purpose="fold") % folds for each in leaders], np.int64)


def suggestion(statements: Sequence[TextStatement]) -> str | None:
    """Return what the rules would say of a row, as a feature."""
    for statement in statements:
        if statement.value is not None:
            return f"{statement.kind}|{statement.place}|{'|'.join(label_of(statement.value))}"
    return None


def _train_classes(
    template: Template,
    attribute: Attribute,
    probe: Probe,
    rows: Sequence[Example],
    labels: Sequence[Labels],
    statements_by_row: Sequence[Sequence[TextStatement]],
) -> Probe:
    several = attribute.spec.is_list
    suggestions = [suggestion(statements) for statements in statements_by_row]
    features = featurise(template, attribute.name, rows, suggestions)
    design, targets, folds = (
        Design.fit(features),
        Targets.of(labels, several=several),
        folds_of(rows),
    )
    best: tuple[int, View, list[Labels], Any, Any] | None = None
    for view, kernel in _kernels(design, features, attribute):
        scores, duals = held_back_scores(kernel, targets, folds)
        answers, raw = decide(scores, targets.names, several=several)
        right = sum(answer == known for answer, known in zip(answers, labels, strict=True) if known)
        if best is None or right > best[0]:
            best = (right, view, answers, raw, duals)
    if best is None:
        return replace(probe, note="no row has a text or picture to learn from")
    right, view, answers, raw, duals = best
    judged = _judge(attribute, labels, answers, raw, folds)
    return replace(
        probe,
        view=view,
        model=Classifier.build(view, design, features, targets, duals),
        calibration=judged.calibration,
        cut=judged.cut,
        right=right / probe.labelled,
        note=_abstention(attribute, judged.cut),
        disagreements=_disagreements(rows, labels, answers, judged, several=several),
    )


def _kernels(
    design: Design, features: Features, attribute: Attribute
) -> Iterator[tuple[View, Any]]:
    """Yield the kernel of each view that shows something; of both together only where each does, in
    the memory of one.
    """
    together = None
    for view in ("text", "image"):
        kernel = kernel_of(design(view, features)) if view in attribute.evidence else None
        if kernel is None or not kernel.any():
            continue
        yield view, kernel
        if together is not None:
            together += kernel
            yield "both", together
        together = kernel


@dataclass(frozen=True, slots=True)
class _Judged:
    calibration: Calibration
    cut: Cut
    confidences: Any


def _judge(
    attribute: Attribute, labels: Sequence[Labels], answers: Sequence[Labels], raw: Any, folds: Any
) -> _Judged:
    """Calibration and threshold from held-back answers."""
    raw = np.asarray(raw, np.float64)
    answered = np.array([bool(answer) for answer in answers])
    right = np.array([answer == known for answer, known in zip(answers, labels, strict=True)])
    calibration = fit_calibration(raw[answered], right[answered], np.asarray(folds)[answered])
    confidences = np.where(answered, calibration(raw), 0.0)
    with_value = sum(bool(known) for known in labels)
    least = attribute.min_confidence
    cut = choose_cut(
        confidences[answered], right[answered], attribute.target_precision, least, with_value
    )
    return _Judged(calibration, cut, confidences)


def _abstention(attribute: Attribute, cut: Cut) -> str:
    if cut.threshold <= 1:
        return ""
    return (
        f"no threshold keeps a precision of {attribute.target_precision:.0%} on the held-back rows"
    )


def _disagreements(
    rows: Sequence[Example],
    labels: Sequence[Labels],
    answers: Sequence[Labels],
    judged: _Judged,
    *,
    several: bool,
) -> dict[str, Disagreement]:
    """Return rows whose own value the probe denies (after Northcutt et al. 2021, "confident
    learning").
    """
    found = {}
    for row, known, answer, confidence in zip(
        rows, labels, answers, judged.confidences, strict=True
    ):
        differs = not set(answer) & set(known) if several else answer != known
        if known and answer and differs and confidence >= judged.cut.threshold:
            found[row.item_id] = Disagreement(answer, round(float(confidence), 4))
    return found


def context_of(template: Template, example: Example) -> tuple[str, ...]:
    """Return known values that may tell which words mean what: of closed lists, the first
    MAX_CONTEXT of the template.
    """
    names = (
        a.name for a in template.attributes if a.spec.has_closed_list and a.name in example.known
    )
    return tuple(
        f"{name}={value}" for name in islice(names, MAX_CONTEXT) for value in example.known[name]
    )


def _train_spans(
    template: Template,
    attribute: Attribute,
    probe: Probe,
    rows: Sequence[Example],
    labels: Sequence[Labels],
) -> Probe:
    titles = template.titles
    shares = [stable_share(row.item_id, purpose="sample") for row in rows]
    chosen = sorted(sorted(range(len(rows)), key=shares.__getitem__)[:MAX_SPAN_ROWS])
    rows, labels = [rows[at] for at in chosen], [labels[at] for at in chosen]
    folds = folds_of(rows, SPAN_FOLDS)
    span_rows = [
        SpanRow.of(passages(row, titles), context_of(template, row), known[0] if known else None)
        for row, known in zip(rows, labels, strict=True)
    ]
    spans: dict[int, Span] = {}
    for fold in range(SPAN_FOLDS):
        tagger = fit_tagger(
            [row for row, other in zip(span_rows, folds, strict=True) if other != fold]
        )
        for at in np.flatnonzero(folds == fold) if tagger else ():
            span = tagger.answer(span_rows[at].passages, span_rows[at].context) if tagger else None
            if span is not None:
                spans[int(at)] = span
    model = fit_tagger(span_rows)
    if model is None:
        return replace(probe, note="no row's texts say its value")
    answers = [(spans[at].text,) if at in spans else () for at in range(len(rows))]
    raw = [spans[at].score if at in spans else 0.0 for at in range(len(rows))]
    # A row whose texts say its value is answered rightly by another writing of it too.
    unified = [_same_writing(answer, known) for answer, known in zip(answers, labels, strict=True)]
    judged = _judge(attribute, labels, unified, raw, folds)
    right = sum(answer == known for answer, known in zip(unified, labels, strict=True) if known)
    return replace(
        probe,
        model=model,
        calibration=judged.calibration,
        cut=judged.cut,
        right=right / max(1, sum(map(bool, labels))),
        note=_abstention(attribute, judged.cut),
    )


def _same_writing(answer: Labels, known: Labels) -> Labels:
    """Return the known value where the answer differs from it in case and spaces only."""
    folded = ["".join(value.casefold().split()) for value in (*answer, *known)]
    return known if len(folded) == 2 and folded[0] == folded[1] else answer


def choose_examples(attribute: str, share: float, examples: Sequence[Example]) -> Iterator[Example]:
    """Of the examples with a value, or without any by their source, the part that is learnt from:
    by hash of the id.
    """
    for example in examples:
        labelled = attribute in example.known or attribute in example.absent
        if labelled and (share >= 1 or stable_share(example.item_id, purpose="sample") < share):
            yield example


def label_counts(template: Template, examples: Sequence[Example]) -> dict[str, Counter[str]]:
    """Attribute → label → rows, of those that probes learn from; "" for rows without any value."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    fillable = {attribute.name for attribute in template.attributes if is_learnable(attribute)}
    for example in examples:
        for name in fillable & example.known.keys():
            counts[name].update(example.known[name])
        for name in example.absent:
            counts[name][""] += 1
    return dict(counts)
