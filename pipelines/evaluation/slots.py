"""Decisions as arrays, and the scores that follow from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np

from pipelines.evaluation.decisions import Decision

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision = matched / predicted, recall = matched / expected, F1 = 2 matched / (predicted +
    expected).
    """

    precision: float | None
    recall: float | None
    f1: float | None


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
        """Return the slots where `mask`, an array of booleans, says so."""
        return Slots(*(getattr(self, field.name)[mask] for field in fields(self)))

    @property
    def sure(self) -> Array:
        """Which slots have a candidate with a confidence."""
        return (self.predicted > 0) & ~np.isnan(self.confidence)


def as_slots(decisions: Sequence[Decision]) -> Slots:
    """Return the decisions as columns, in their order."""
    kinds = {
        "answered": bool,
        "confidence": np.float64,
        "item_id": object,
        "attribute": object,
        "rung": object,
    }
    return Slots(
        *(
            np.array(
                list(map(attrgetter(field.name), decisions)),
                dtype=kinds.get(field.name, np.int64),
            )
            for field in fields(Slots)
        )
    )


def ratio(part: float, whole: float) -> float | None:
    """Return a share; None when nothing was counted.

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
    return Scores(
        ratio(matched, predicted),
        ratio(matched, expected),
        ratio(2 * matched, predicted + expected),
    )


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
