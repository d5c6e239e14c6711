"""How far confidences can be trusted: bins, Wilson intervals, expected calibration error."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.slots import Array, Slots, mean_of

NUM_BINS = 10


# Below this many answers an interval of the reached precision says too little.
MIN_ANSWERED = 30


ECE_METHOD = (
    "expected calibration error over 10 bins of equal width, closed above, weighted by their "
    "counts (Naeini et al. "
    "2015), over every candidate with a confidence, answered or not; of a multi-valued candidate "
    "the share of its "
    "values that are right"
)


_Z_95 = statistics.NormalDist().inv_cdf(0.975)


_BIN_ENDS = np.arange(1, NUM_BINS + 1) / NUM_BINS


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates with low < confidence <= high (the first bin takes 0 too): count, mean confidence,
    share right.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected against reached precision of an attribute's answers that carry a confidence.

    expected: their mean confidence, weighted by values. reached: matched / predicted, with low and
    high of its 95 % Wilson score interval (Wilson 1927), which takes values as independent.
    difference: reached - expected.
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


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share (Wilson 1927); trials > 0.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    share, z2 = successes / trials, _Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = (
        _Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    )
    return max(0.0, centre - half), min(1.0, centre + half)


def bin_numbers(confidence: Array) -> Array:
    """Return the number of the bin of equal width that holds each confidence, 0 to NUM_BINS -
    1.

    >>> bin_numbers(np.array([0.0, 0.1, 0.11, 0.3, 0.7, 1.0])).tolist()
    [0, 0, 1, 2, 6, 9]
    """
    return np.searchsorted(_BIN_ENDS, confidence, side="left")


def confidence_bins(slots: Slots) -> tuple[Bin, ...]:
    sure = slots.only(slots.sure)
    numbers, right = bin_numbers(sure.confidence), sure.matched / sure.predicted
    return tuple(
        Bin(
            low=number / NUM_BINS,
            high=(number + 1) / NUM_BINS,
            count=int((numbers == number).sum()),
            confidence=mean_of(sure.confidence[numbers == number].tolist()),
            right=mean_of(right[numbers == number].tolist()),
        )
        for number in range(NUM_BINS)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    total = sum(each.count for each in bins)
    errors = [
        each.count * abs(each.confidence - each.right)
        for each in bins
        if each.confidence is not None and each.right is not None
    ]
    return math.fsum(errors) / total if total else None


def calibrations_of(slots: Slots) -> Iterable[Calibration]:
    answers = slots.only(slots.answered & slots.sure)
    for name in sorted(set(answers.attribute)):
        of_attribute = answers.only(answers.attribute == name)
        answered, predicted = len(of_attribute.answered), int(of_attribute.predicted.sum())
        if answered < MIN_ANSWERED:
            continue
        matched = int(of_attribute.matched.sum())
        expected = math.fsum(of_attribute.confidence * of_attribute.predicted) / predicted
        (low, high), reached = wilson(matched, predicted), matched / predicted
        yield Calibration(
            name,
            answered,
            expected,
            reached,
            low,
            high,
            reached - expected,
            low <= expected <= high,
        )
