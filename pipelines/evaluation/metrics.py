"""Pure metrics over decisions: how good filled values are, and how far their confidence can be trusted.

Everything is a sum of value counts (`matched`, `predicted`, `expected`) over slots, so single-valued and multi-valued
attributes are judged alike. A division by zero gives None. The order of the decisions never matters: counts are whole
numbers and means are exactly rounded sums (math.fsum).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pipelines.evaluation.decisions import Decision

TARGETS = (0.90, 0.95, 0.99)
NUM_BINS = 10
# Below this many answers an interval of the reached precision says too little.
MIN_ANSWERED = 30
FIXED_THRESHOLD = 0.5
MAX_CURVE_POINTS = 200
ECE_METHOD = (
    "expected calibration error over 10 bins of equal width, closed above, weighted by their counts (Naeini et al. "
    "2015), over every candidate with a confidence, answered or not; of a multi-valued candidate the share of its "
    "values that are right"
)

_Z_95 = statistics.NormalDist().inv_cdf(0.975)
_BIN_ENDS = np.arange(1, NUM_BINS + 1) / NUM_BINS
# So that 0.95 * 20 asks for 19 right ones, whatever binary fractions make of it.
_TOLERANCE = 1e-9

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision = matched / predicted, recall = matched / expected, F1 = 2 matched / (predicted + expected)."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class CoverageAt:
    """The largest share of the slots with a truth that can be answered at a precision of at least `target`.

    One threshold on the confidence is lowered; answers of equal confidence come together, and wrong answers where
    there is no truth count too. 0.0 without a threshold: no threshold reaches the target.
    threshold: the highest one that gives this coverage; None also for a mean over attributes.
    """

    target: float
    coverage: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured alike of one attribute, of all slots together (micro), and as a mean over attributes (macro).

    own: at the cascade's own threshold. forced: every candidate counts as answered; its recall is, for single-valued
    slots, the accuracy on slots with a truth. baseline: the majority value given to every slot.
    coverage: answered slots with a truth / slots with a truth. invented_rate: answered slots without a truth / such
    slots. ece: see ECE_METHOD.
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
    """Counts of slots and the measures over them. with_truth + absent = slots; answered <= candidates <= slots."""

    name: str
    slots: int
    with_truth: int
    absent: int
    candidates: int
    answered: int
    measures: Measures


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates with low < confidence <= high (the first bin takes 0 too): count, mean confidence, share right."""

    low: float
    high: float
    count: int
    confidence: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What answering every candidate of at least `threshold` gives: coverage of the truth, and precision."""

    threshold: float
    coverage: float
    precision: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected against reached precision of an attribute's answers that carry a confidence.

    expected: their mean confidence, weighted by values. reached: matched / predicted, with low and high of its 95 %
    Wilson score interval (Wilson 1927), which takes values as independent. difference: reached - expected.
    holds: whether the interval holds `expected`.
    """

    attribute: str
    answered: int
    expected: float
    reached: float
    low: float
    high: float
    difference: float
    holds: bool


@dataclass(frozen=True, slots=True)
class Rung:
    """Answers that one rung of the cascade gave: how many, their precision, and the mean confidence they came with."""

    rung: str
    answered: int
    precision: float | None
    expected: float | None


@dataclass(frozen=True, slots=True)
class Classes:
    """The five classes of WDC-PAVE (Brinkmann et al. 2024), a slot each: truth, then answer; N is none, V a value.

    nn: rightly none. nv: invented. vn: missed. vc: correct, of a multi-valued slot exactly. vw: wrong.
    precision = vc / (nv + vc + vw), recall = vc / (vn + vc + vw).
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
    """Micro F1 by fold, with mean and standard deviation (of a sample, n - 1) over the folds that have one."""

    folds: tuple[Fold, ...]
    mean: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Everything that is measured of one table of decisions; attributes, rungs and folds are sorted by name.

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


@dataclass(frozen=True, slots=True)
class Slots:
    """Decisions as columns, arrays of one length. confidence: NaN where none was given."""

    fold: Array
    item_id: Array
    attribute: Array
    rung: Array
    answered: Array
    confidence: Array
    matched: Array
    predicted: Array
    expected: Array
    baseline_matched: Array
    baseline_predicted: Array

    def only(self, mask: Array) -> Slots:
        """The slots where `mask`, an array of booleans, says so."""
        return Slots(*(getattr(self, field.name)[mask] for field in fields(self)))

    @property
    def sure(self) -> Array:
        """Which slots have a candidate with a confidence."""
        return (self.predicted > 0) & ~np.isnan(self.confidence)


def as_slots(decisions: Sequence[Decision]) -> Slots:
    """The decisions as columns, in their order."""
    kinds = {"answered": bool, "confidence": np.float64, "item_id": object, "attribute": object, "rung": object}
    return Slots(
        *(
            np.array([getattr(each, field.name) for each in decisions], dtype=kinds.get(field.name, np.int64))
            for field in fields(Slots)
        )
    )


def measure(decisions: Sequence[Decision]) -> Metrics:
    """All metrics of the decisions, which may come in any order."""
    slots = as_slots(decisions)
    attributes = tuple(_row(name, slots.only(slots.attribute == name)) for name in sorted(set(slots.attribute)))
    sweep = _sweep(slots)
    bins = _bins(slots)
    return Metrics(
        items=len(set(slots.item_id)),
        unsure=int(((slots.predicted > 0) & np.isnan(slots.confidence)).sum()),
        micro=_row("all", slots),
        macro=_mean_measures([row.measures for row in attributes]),
        attributes=attributes,
        bins=bins,
        ece_method=ECE_METHOD,
        calibration=tuple(_calibrations(slots)),
        rungs=tuple(_rung(name, slots) for name in sorted(set(slots.rung[slots.answered]))),
        classes=_all_classes(slots, sweep),
        folds=_folds(slots),
        curve=_curve(sweep, int((slots.expected > 0).sum())),
    )


def ratio(part: float, whole: float) -> float | None:
    """A share, None when there is no whole.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, None)
    """
    return float(part / whole) if whole else None


def scores(matched: int, predicted: int, expected: int) -> Scores:
    """Scores of value counts. F1 is 0 where values were expected and none was predicted.

    >>> scores(1, 2, 4)
    Scores(precision=0.5, recall=0.25, f1=0.3333333333333333)
    >>> scores(0, 0, 4)
    Scores(precision=None, recall=0.0, f1=0.0)
    """
    return Scores(ratio(matched, predicted), ratio(matched, expected), ratio(2 * matched, predicted + expected))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share (Wilson 1927); trials > 0.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, z2 = successes / trials, _Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def bin_numbers(confidence: Array) -> Array:
    """Number of the bin of equal width that holds each confidence, 0 to NUM_BINS - 1.

    >>> bin_numbers(np.array([0.0, 0.1, 0.11, 0.3, 0.7, 1.0])).tolist()
    [0, 0, 1, 2, 6, 9]
    """
    return np.searchsorted(_BIN_ENDS, confidence, side="left")


def _row(name: str, slots: Slots) -> Row:
    with_truth, absent = slots.expected > 0, slots.expected == 0
    answered, expected = slots.answered, int(slots.expected.sum())
    sweep, num_with_truth = _sweep(slots), int(with_truth.sum())
    measures = Measures(
        own=_own_scores(slots),
        forced=scores(int(slots.matched.sum()), int(slots.predicted.sum()), expected),
        baseline=scores(int(slots.baseline_matched.sum()), int(slots.baseline_predicted.sum()), expected),
        coverage=ratio(int((answered & with_truth).sum()), num_with_truth),
        invented_rate=ratio(int((answered & absent).sum()), int(absent.sum())),
        coverage_at=tuple(_coverage_at(target, sweep, num_with_truth) for target in TARGETS),
        ece=_ece(_bins(slots)),
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
    return scores(int(answers.matched.sum()), int(answers.predicted.sum()), int(slots.expected.sum()))


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _mean_measures(each: Sequence[Measures]) -> Measures:
    """The mean of every measure over the attributes where it is defined."""

    def mean(get: Callable[[Measures], float | None]) -> float | None:
        return _mean(map(get, each))

    def mean_scores(get: Callable[[Measures], Scores]) -> Scores:
        return Scores(
            mean(lambda one: get(one).precision), mean(lambda one: get(one).recall), mean(lambda one: get(one).f1)
        )

    return Measures(
        own=mean_scores(lambda one: one.own),
        forced=mean_scores(lambda one: one.forced),
        baseline=mean_scores(lambda one: one.baseline),
        coverage=mean(lambda one: one.coverage),
        invented_rate=mean(lambda one: one.invented_rate),
        coverage_at=tuple(
            CoverageAt(target, _mean(one.coverage_at[place].coverage for one in each), None)
            for place, target in enumerate(TARGETS)
        ),
        ece=mean(lambda one: one.ece),
    )


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What lowering one threshold gives: an entry for every distinct confidence, falling; counts add up.

    covered, right, invented: answered slots that have a truth, are exactly right, have no truth.
    matched, predicted: values.
    """

    threshold: Array
    matched: Array
    predicted: Array
    covered: Array
    right: Array
    invented: Array


def _exactly_right(slots: Slots) -> Array:
    return (slots.matched > 0) & (slots.matched == slots.predicted) & (slots.matched == slots.expected)


def _sweep(slots: Slots) -> _Sweep:
    sure = slots.only(slots.sure)
    order = np.argsort(-sure.confidence, kind="stable")
    sure = sure.only(order)
    # Ties are taken together: only the last of equal confidences ends a step.
    ends = np.flatnonzero(np.append(np.diff(sure.confidence) != 0, True)[: len(order)])

    def summed(counts: Array) -> Array:
        return np.cumsum(counts, dtype=np.int64)[ends]

    return _Sweep(
        threshold=sure.confidence[ends],
        matched=summed(sure.matched),
        predicted=summed(sure.predicted),
        covered=summed(sure.expected > 0),
        right=summed(_exactly_right(sure)),
        invented=summed(sure.expected == 0),
    )


def _coverage_at(target: float, sweep: _Sweep, with_truth: int) -> CoverageAt:
    reached = np.flatnonzero(sweep.matched + _TOLERANCE >= target * sweep.predicted)
    if not with_truth or not len(reached):
        return CoverageAt(target, 0.0 if with_truth else None, None)
    best = reached[np.argmax(sweep.covered[reached])]
    return CoverageAt(target, float(sweep.covered[best] / with_truth), float(sweep.threshold[best]))


def _curve(sweep: _Sweep, with_truth: int) -> tuple[CurvePoint, ...]:
    """Precision against coverage, thinned evenly to MAX_CURVE_POINTS, the ends kept."""
    if not with_truth:
        return ()
    last = len(sweep.threshold) - 1
    chosen = np.unique(np.linspace(0, last, min(last + 1, MAX_CURVE_POINTS)).round().astype(int))
    return tuple(
        CurvePoint(
            float(sweep.threshold[at]),
            float(sweep.covered[at] / with_truth),
            float(sweep.matched[at] / sweep.predicted[at]),
        )
        for at in chosen
    )


def _bins(slots: Slots) -> tuple[Bin, ...]:
    sure = slots.only(slots.sure)
    numbers, right = bin_numbers(sure.confidence), sure.matched / sure.predicted
    return tuple(
        Bin(
            low=number / NUM_BINS,
            high=(number + 1) / NUM_BINS,
            count=int((numbers == number).sum()),
            confidence=_mean(sure.confidence[numbers == number].tolist()),
            right=_mean(right[numbers == number].tolist()),
        )
        for number in range(NUM_BINS)
    )


def _ece(bins: Sequence[Bin]) -> float | None:
    total = sum(each.count for each in bins)
    errors = [
        each.count * abs(each.confidence - each.right)
        for each in bins
        if each.confidence is not None and each.right is not None
    ]
    return math.fsum(errors) / total if total else None


def _calibrations(slots: Slots) -> Iterable[Calibration]:
    answers = slots.only(slots.answered & slots.sure)
    for name in sorted(set(answers.attribute)):
        of_attribute = answers.only(answers.attribute == name)
        answered, predicted = len(of_attribute.answered), int(of_attribute.predicted.sum())
        if answered < MIN_ANSWERED:
            continue
        matched = int(of_attribute.matched.sum())
        expected = math.fsum(of_attribute.confidence * of_attribute.predicted) / predicted
        (low, high), reached = wilson(matched, predicted), matched / predicted
        yield Calibration(name, answered, expected, reached, low, high, reached - expected, low <= expected <= high)


def _rung(name: str, slots: Slots) -> Rung:
    answers = slots.only(slots.answered & (slots.rung == name))
    confidence = answers.confidence[~np.isnan(answers.confidence)].tolist()
    precision = ratio(int(answers.matched.sum()), int(answers.predicted.sum()))
    return Rung(name, len(answers.answered), precision, _mean(confidence))


def _all_classes(slots: Slots, sweep: _Sweep) -> tuple[Classes, ...]:
    def at(threshold: float) -> Array:
        return slots.sure & (slots.confidence >= threshold)  # NaN is never at least anything

    oracle = _oracle_threshold(slots, sweep)
    return (
        _classes("own threshold", None, slots, slots.answered),
        _classes(f"fixed threshold {FIXED_THRESHOLD:g}", FIXED_THRESHOLD, slots, at(FIXED_THRESHOLD)),
        _classes(
            "oracle threshold, chosen on the truth, for orientation only",
            oracle,
            slots,
            at(math.inf if oracle is None else oracle),
        ),
    )


def _oracle_threshold(slots: Slots, sweep: _Sweep) -> float | None:
    """The threshold of the best F1 over the classes, the highest of equals; None without any candidate."""
    if not len(sweep.threshold):
        return None
    f1 = 2 * sweep.right / (sweep.covered + sweep.invented + (slots.expected > 0).sum())
    return float(sweep.threshold[np.argmax(f1)])


def _classes(name: str, threshold: float | None, slots: Slots, answered: Array) -> Classes:
    truth, right = slots.expected > 0, answered & _exactly_right(slots)
    nn, nv, vn, vc, vw = (
        int(mask.sum())
        for mask in (~truth & ~answered, ~truth & answered, truth & ~answered, right, truth & answered & ~right)
    )
    reached = scores(vc, nv + vc + vw, vn + vc + vw)
    return Classes(name, threshold, nn, nv, vn, vc, vw, reached.precision, reached.recall, reached.f1)


def _folds(slots: Slots) -> Folds:
    parts = [(int(fold), slots.only(slots.fold == fold)) for fold in np.unique(slots.fold)]
    each = tuple(Fold(fold, len(part.fold), _own_scores(part).f1) for fold, part in parts)
    known = [fold.f1 for fold in each if fold.f1 is not None]
    return Folds(each, _mean(known), statistics.stdev(known) if len(known) > 1 else None)
