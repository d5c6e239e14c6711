"""Scores of a model → probabilities of being right, and the threshold that keeps a precision. Pure.

Both are fitted on answers for rows that were held back from training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

MIN_ISOTONIC = 100
SHORTFALL, SHORTFALL_PROBABILITY = 0.05, 0.1
_FOLDS = 5
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from raw scores to probabilities.

    isotonic: linear between the points (x, y) (Zadrozny & Elkan 2002); sigmoid: 1 / (1 +
    exp(-(a·logit + b))) with x = (a,), y = (b,) (Platt 1999); constant: y[0] whatever the score.
    ceiling: no probability is above it: n right answers in a row do not make the next one certain.
    floor: the lowest score that was measured; below it the probability falls in proportion, and
    none is ever answered
      (Cut.threshold is never below what the floor maps to).
    """

    kind: Literal["isotonic", "sigmoid", "constant"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    ceiling: float = 1.0
    floor: float = 0.0

    def __call__(self, scores: Any) -> Array:
        """Probabilities, float64 of the shape of `scores`."""
        scores = np.asarray(scores, np.float64)
        if self.kind == "isotonic":
            mapped = np.interp(scores, self.x, self.y)
        elif self.kind == "sigmoid":
            mapped = 1 / (1 + np.exp(-(self.x[0] * _logit(scores) + self.y[0])))
        else:
            mapped = np.full(scores.shape, self.y[0])
        below = (
            np.clip(np.minimum(scores, self.floor) / self.floor, 0.0, 1.0)
            if self.floor > 0
            else 1.0
        )
        return np.clip(mapped, 0.0, self.ceiling) * below


def fit_calibration(scores: Any, right: Any, groups: Any) -> Calibration:
    """Return the map that predicts best, by log loss on groups of rows that it has not seen,
    whether an answer is right.

    scores: (n,) between 0 and 1; right: (n,) booleans; groups: (n,) integers, a group is held back
    as a whole.
    """
    scores, right, groups = (
        np.asarray(scores, np.float64),
        np.asarray(right, np.float64),
        np.asarray(groups),
    )
    ceiling, floor = 1 - 1 / (len(right) + 2), float(scores.min(initial=1.0))
    if len(right) == 0 or right.min() == right.max():
        # Laplace's rule of succession: nothing tells good scores from bad ones.
        return Calibration(
            "constant", (), (float((right.sum() + 1) / (len(right) + 2)),), ceiling, floor
        )
    kinds = ["sigmoid"] + (["isotonic"] if len(right) >= MIN_ISOTONIC else [])
    losses = {kind: _held_back_loss(kind, scores, right, groups, ceiling) for kind in kinds}
    return replace(
        _fit(min(kinds, key=lambda kind: losses[kind]), scores, right, ceiling), floor=floor
    )


def _held_back_loss(kind: str, scores: Array, right: Array, groups: Array, ceiling: float) -> float:
    if len(set(groups.tolist())) < 2:
        return 0.0 if kind == "sigmoid" else 1.0
    losses = np.zeros(len(right))
    for fold in range(_FOLDS):
        held = groups % _FOLDS == fold
        if not held.any() or held.all() or right[~held].min() == right[~held].max():
            continue
        mapped = np.clip(
            _fit(kind, scores[~held], right[~held], ceiling)(scores[held]), 0.005, 0.995
        )
        losses[held] = -(right[held] * np.log(mapped) + (1 - right[held]) * np.log(1 - mapped))
    return float(losses.mean())


def _fit(kind: str, scores: Array, right: Array, ceiling: float) -> Calibration:
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, right)
        x, y = fitted.X_thresholds_, fitted.y_thresholds_
        return Calibration("isotonic", tuple(map(float, x)), tuple(map(float, y)), ceiling)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0).fit(_logit(scores)[:, None], right)
    slope = max(0.0, float(model.coef_[0, 0]))
    return Calibration("sigmoid", (slope,), (float(model.intercept_[0]),), ceiling)


def _logit(scores: Array) -> Array:
    clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
    odds: Array = np.log(clipped / (1 - clipped))
    return odds


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold on confidence with what held-back rows say of the answers above it.

    threshold: above 1 when no threshold keeps the target; precision: right answers among `answers`;
    coverage: share of the rows with a value that are answered.
    """

    threshold: float
    answers: int = 0
    precision: float = 0.0
    coverage: float = 0.0


def choose_cut(confidences: Any, right: Any, target: float, least: float, with_value: int) -> Cut:
    """Return the lowest threshold, not below `least`, above which a precision of `target` is
    expected.

    What held-back answers say of the precision is Beta(right + 1/2, wrong + 1/2), Jeffreys' prior:
    its mean must reach the target, and all but SHORTFALL_PROBABILITY of it lie above target -
    SHORTFALL, or a dozen lucky answers would do.
    """
    from scipy.stats import beta

    confidences, right = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    order = np.argsort(-confidences, kind="stable")
    sorted_confidences, hits = confidences[order], np.cumsum(right[order])
    counts = np.arange(1, len(order) + 1)
    # Rows of equal confidence stand or fall together.
    last_of_ties = (
        np.append(sorted_confidences[1:] < sorted_confidences[:-1], True)
        if len(order)
        else np.array([], bool)
    )
    fits = (
        last_of_ties.astype(bool)
        & (sorted_confidences >= least)
        & ((hits + 0.5) / (counts + 1) >= target)
    )
    fits &= beta.ppf(SHORTFALL_PROBABILITY, hits + 0.5, counts - hits + 0.5) >= target - SHORTFALL
    if not fits.any():
        return Cut(2.0)
    at = int(np.flatnonzero(fits)[-1])
    return Cut(
        float(sorted_confidences[at]),
        int(counts[at]),
        float(hits[at] / counts[at]),
        min(1.0, float(counts[at] / max(1, with_value))),
    )
