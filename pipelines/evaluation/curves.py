"""Precision against coverage when the threshold moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.slots import Array, Slots

MAX_CURVE_POINTS = 200


# So that 0.95 * 20 asks for 19 right ones, whatever binary fractions make of it.
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class CoverageAt:
    """The largest share of the slots with a truth that can be answered at a precision of at least
    `target`.

    One threshold on the confidence is lowered; answers of equal confidence come together, and wrong
    answers where there is no truth count too. 0.0 without a threshold: no threshold reaches the
    target.
    threshold: the highest one that gives this coverage; None also for a mean over attributes.
    """

    target: float
    coverage: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What answering every candidate of at least `threshold` gives: coverage of the truth, and
    precision.
    """

    threshold: float
    coverage: float
    precision: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """What lowering one threshold gives: an entry for every distinct confidence, falling; counts
    add up.

    covered, right, invented: answered slots that have a truth, are exactly right, have no truth.
    matched, predicted: values.
    """

    threshold: Array
    matched: Array
    predicted: Array
    covered: Array
    right: Array
    invented: Array


def exactly_right(slots: Slots) -> Array:
    return (
        (slots.matched > 0) & (slots.matched == slots.predicted) & (slots.matched == slots.expected)
    )


def sweep_thresholds(slots: Slots) -> Sweep:
    sure = slots.only(slots.sure)
    order = np.argsort(-sure.confidence, kind="stable")
    sure = sure.only(order)
    # Ties are taken together: only the last of equal confidences ends a step.
    ends = np.flatnonzero(np.append(np.diff(sure.confidence) != 0, True)[: len(order)])

    def summed(counts: Array) -> Array:
        return np.cumsum(counts, dtype=np.int64)[ends]

    return Sweep(
        threshold=sure.confidence[ends],
        matched=summed(sure.matched),
        predicted=summed(sure.predicted),
        covered=summed(sure.expected > 0),
        right=summed(exactly_right(sure)),
        invented=summed(sure.expected == 0),
    )


def coverage_at(target: float, sweep: Sweep, with_truth: int) -> CoverageAt:
    reached = np.flatnonzero(sweep.matched + _TOLERANCE >= target * sweep.predicted)
    if not with_truth or not len(reached):
        return CoverageAt(target, 0.0 if with_truth else None, None)
    best = reached[np.argmax(sweep.covered[reached])]
    return CoverageAt(target, float(sweep.covered[best] / with_truth), float(sweep.threshold[best]))


def curve_points(sweep: Sweep, with_truth: int) -> tuple[CurvePoint, ...]:
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
