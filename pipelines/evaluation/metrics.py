"""Pure metrics over decisions: how good filled values are, and how far their confidence can be
trusted.

Everything is a sum of value counts (`matched`, `predicted`, `expected`) over slots, so
single-valued and multi-valued attributes are judged alike. A division by zero gives None. The order
of the decisions never matters: counts are whole numbers and means are exactly rounded sums
(math.fsum).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.calibration import (
    ECE_METHOD,
    Bin,
    Calibration,
    calibrations_of,
    confidence_bins,
    expected_calibration_error,
)
from pipelines.evaluation.curves import (
    CoverageAt,
    CurvePoint,
    Sweep,
    coverage_at,
    curve_points,
    exactly_right,
    sweep_thresholds,
)
from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.slots import Array, Scores, Slots, as_slots, mean_of, ratio, scores

TARGETS = (0.90, 0.95, 0.99)
FIXED_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured alike of one attribute, of all slots together (micro), and as a mean over
    attributes (macro).

    own: at the cascade's own threshold. forced: every candidate counts as answered; its recall is,
    for single-valued slots, the accuracy on slots with a truth. baseline: the majority value given
    to every slot.
    coverage: answered slots with a truth / slots with a truth. invented_rate: answered slots
    without a truth / such slots. ece: see ECE_METHOD.
    """

    own: Scores
    forced: Scores
    baseline: Scores
    coverage: float | None
    invented_rate: float | None
    coverage_at: tuple[CoverageAt, ...]
    ece: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """Counts of slots and the measures over them.

    with_truth + absent = slots; answered <= candidates <= slots.
    """

    name: str
    slots: int
    with_truth: int
    absent: int
    candidates: int
    answered: int
    measures: Measures


@dataclass(frozen=True, slots=True)
class Rung:
    """Answers that one rung of the cascade gave: how many, their precision, and the mean confidence
    they came with.
    """

    rung: str
    answered: int
    precision: float | None
    expected: float | None


@dataclass(frozen=True, slots=True)
class Classes:
    """The five classes of WDC-PAVE (Brinkmann et al. 2024), a slot each: truth, then answer; N is
    none, V a value.

    nn: rightly none. nv: invented. vn: missed. vc: correct, of a multi-valued slot exactly. vw:
    wrong. precision = vc / (nv + vc + vw), recall = vc / (vn + vc + vw).
    threshold: on the confidence; None for the cascade's own.
    """

    name: str
    threshold: float | None
    nn: int
    nv: int
    vn: int
    vc: int
    vw: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Fold:
    """F1 over the slots of one fold."""

    fold: int
    slots: int
    f1: float | None


@dataclass(frozen=True, slots=True)
class Folds:
    """Micro F1 by fold, with mean and standard deviation (of a sample, n - 1) over the folds that
    have one.
    """

    folds: tuple[Fold, ...]
    mean: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that is measured of one table of decisions; attributes, rungs and folds are sorted
    by name.

    unsure: candidates without a confidence; no threshold answers them, and no bin holds them.
    """

    items: int
    unsure: int
    micro: Row
    macro: Measures
    attributes: tuple[Row, ...]
    bins: tuple[Bin, ...]
    ece_method: str
    calibration: tuple[Calibration, ...]
    rungs: tuple[Rung, ...]
    classes: tuple[Classes, ...]
    folds: Folds
    curve: tuple[CurvePoint, ...]


def measure(decisions: Sequence[Decision]) -> Metrics:
    """All metrics of the decisions, which may come in any order."""
    slots = as_slots(decisions)
    attributes = tuple(
        _row(name, slots.only(slots.attribute == name)) for name in sorted(set(slots.attribute))
    )
    sweep = sweep_thresholds(slots)
    bins = confidence_bins(slots)
    return Metrics(
        items=len(set(slots.item_id)),
        unsure=int(((slots.predicted > 0) & np.isnan(slots.confidence)).sum()),
        micro=_row("all", slots),
        macro=_mean_measures([row.measures for row in attributes]),
        attributes=attributes,
        bins=bins,
        ece_method=ECE_METHOD,
        calibration=tuple(calibrations_of(slots)),
        rungs=tuple(_rung(name, slots) for name in sorted(set(slots.rung[slots.answered]))),
        classes=_all_classes(slots, sweep),
        folds=_folds(slots),
        curve=curve_points(sweep, int((slots.expected > 0).sum())),
    )


def _row(name: str, slots: Slots) -> Row:
    with_truth, absent = slots.expected > 0, slots.expected == 0
    answered, expected = slots.answered, int(slots.expected.sum())
    sweep, num_with_truth = sweep_thresholds(slots), int(with_truth.sum())
    measures = Measures(
        own=_own_scores(slots),
        forced=scores(int(slots.matched.sum()), int(slots.predicted.sum()), expected),
        baseline=scores(
            int(slots.baseline_matched.sum()), int(slots.baseline_predicted.sum()), expected
        ),
        coverage=ratio(int((answered & with_truth).sum()), num_with_truth),
        invented_rate=ratio(int((answered & absent).sum()), int(absent.sum())),
        coverage_at=tuple(coverage_at(target, sweep, num_with_truth) for target in TARGETS),
        ece=expected_calibration_error(confidence_bins(slots)),
    )
    return Row(
        name=name,
        slots=len(slots.answered),
        with_truth=num_with_truth,
        absent=int(absent.sum()),
        candidates=int((slots.predicted > 0).sum()),
        answered=int(answered.sum()),
        measures=measures,
    )


def _own_scores(slots: Slots) -> Scores:
    answers = slots.only(slots.answered)
    return scores(
        int(answers.matched.sum()), int(answers.predicted.sum()), int(slots.expected.sum())
    )


def _mean_measures(each: Sequence[Measures]) -> Measures:
    """Return the mean of every measure over the attributes where it is defined."""

    def mean(get: Callable[[Measures], float | None]) -> float | None:
        return mean_of(map(get, each))

    def mean_scores(get: Callable[[Measures], Scores]) -> Scores:
        return Scores(
            mean(lambda one: get(one).precision),
            mean(lambda one: get(one).recall),
            mean(lambda one: get(one).f1),
        )

    def mean_coverage_at(place: int) -> CoverageAt:
        coverage = mean(lambda one: one.coverage_at[place].coverage)
        return CoverageAt(TARGETS[place], coverage, None)

    return Measures(
        own=mean_scores(lambda one: one.own),
        forced=mean_scores(lambda one: one.forced),
        baseline=mean_scores(lambda one: one.baseline),
        coverage=mean(lambda one: one.coverage),
        invented_rate=mean(lambda one: one.invented_rate),
        coverage_at=tuple(mean_coverage_at(place) for place in range(len(TARGETS))),
        ece=mean(lambda one: one.ece),
    )


def _rung(name: str, slots: Slots) -> Rung:
    answers = slots.only(slots.answered & (slots.rung == name))
    confidence = answers.confidence[~np.isnan(answers.confidence)].tolist()
    precision = ratio(int(answers.matched.sum()), int(answers.predicted.sum()))
    return Rung(name, len(answers.answered), precision, mean_of(confidence))


def _all_classes(slots: Slots, sweep: Sweep) -> tuple[Classes, ...]:
    def at(threshold: float) -> Array:
        return slots.sure & (slots.confidence >= threshold)  # NaN is never at least anything

    oracle = _oracle_threshold(slots, sweep)
    return (
        _classes("own threshold", None, slots, slots.answered),
        _classes(
            f"fixed threshold {FIXED_THRESHOLD:g}", FIXED_THRESHOLD, slots, at(FIXED_THRESHOLD)
        ),
        _classes(
            "oracle threshold, chosen on the truth, for orientation only",
            oracle,
            slots,
            at(math.inf if oracle is None else oracle),
        ),
    )


def _oracle_threshold(slots: Slots, sweep: Sweep) -> float | None:
    """Return the threshold of the best F1 over the classes, the highest of equals; None without
    any candidate.
    """
    if not len(sweep.threshold):
        return None
    f1 = 2 * sweep.right / (sweep.covered + sweep.invented + (slots.expected > 0).sum())
    return float(sweep.threshold[np.argmax(f1)])


def _classes(name: str, threshold: float | None, slots: Slots, answered: Array) -> Classes:
    truth, right = slots.expected > 0, answered & exactly_right(slots)
    nn, nv, vn, vc, vw = (
        int(mask.sum())
        for mask in (
            ~truth & ~answered,
            ~truth & answered,
            truth & ~answered,
            right,
            truth & answered & ~right,
        )
    )
    reached = scores(vc, nv + vc + vw, vn + vc + vw)
    return Classes(
        name, threshold, nn, nv, vn, vc, vw, reached.precision, reached.recall, reached.f1
    )


def _folds(slots: Slots) -> Folds:
    parts = [(int(fold), slots.only(slots.fold == fold)) for fold in np.unique(slots.fold)]
    each = tuple(Fold(fold, len(part.fold), _own_scores(part).f1) for fold, part in parts)
    known = [fold.f1 for fold in each if fold.f1 is not None]
    return Folds(each, mean_of(known), statistics.stdev(known) if len(known) > 1 else None)
