"""Regression of a number on what an item's pictures look like. Pure.

The number is predicted from what the pictures show and how they are drawn by kernel ridge
regression (Saunders et al. 1998), never from a fit that saw the same picture. Such predictions lie
nearer to the mean than the numbers do, so a prediction is not compared with the item's number but
with other predictions: the number is doubted as far as the prediction is likelier among all of the
catalog's than among those of items with about the same number. This likelihood ratio tells best
whether the picture might as well be one drawn at random (Neyman and Pearson 1933).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from schemas.elements import Item
from schemas.hashing import stable_hash
from transforms.extraction.colors import PALETTE
from transforms.models.contract import Vector

Floats = np.ndarray[Any, np.dtype[np.float64]]
Matrix = np.ndarray[Any, np.dtype[np.float32]]

MIN_SAMPLE = 100
# Somebody has to look at what is flagged: at most one in 20 of the rows with a number and a
# picture.
MAX_DOUBTED = 0.05
# Pictures say something about a number when out-of-fold predictions correlate with it at least as
# much as Cohen (1988) calls medium.
MIN_CORRELATION = 0.3
# Each prediction is made from nearly all the others: of 850 films' years, 5 folds predict with a
# correlation of 0.45, 20 with 0.47.
FOLDS = 20
# Folds that hold a picture: fewer pictures than that say little of any other.
MIN_FILLED_FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0, 10.0)
SIMILAR_ITEMS = 60  # with the nearest numbers, whose predictions a prediction is compared with
MAD_TO_SIGMA = 1.4826  # the median absolute deviation of a normal law is its σ divided by this
_TRIM = 0.01  # of the numbers on each side, so that a wrong one does not bend the fit
_LEAST_DEVIATION = 1e-6  # below, an entry is constant up to float32's rounding


class Look(NamedTuple):
    """An item's pictures as vectors.

    shown: float32 (dimension,), what is on them and in which colours; style: float32 (dimension,),
    how they are drawn, (0,) where the image encoder does not say.
    """

    shown: Vector
    style: Vector


def look_of(item: Item) -> Look | None:
    """Return the look of an item's pictures, or None without a vector.

    shown: their vector and the mean shares of their colours. Of both the signed square roots, each
    of unit length: few strong entries do not outweigh the many weak ones (Perronnin et al. 2010,
    doi:10.1007/978-3-642-15561-1_11).
    style: the mean of their styles.
    """
    if item.image_vector is None:
        return None
    shares = dict.fromkeys(PALETTE, 0.0)
    styles: dict[str, Vector] = {}
    for features in (image.features for image in item.images if image.features is not None):
        for name, share in features.colors:
            # Features kept from an earlier release may name a colour that is gone.
            if name in shares:
                shares[name] += share
        # By digest: a picture that the item lists twice counts once.
        if features.style:
            styles[features.digest] = np.frombuffer(features.style, "<f2").astype(np.float32)
    parts = (np.asarray(item.image_vector, np.float32), np.array(list(shares.values()), np.float32))
    shown = np.concatenate(
        [np.sign(part) * np.sqrt(np.abs(part) / max(np.abs(part).sum(), 1e-9)) for part in parts]
    )
    # Styles of different lengths come from different encoders and have no mean.
    alike = len({len(style) for style in styles.values()}) == 1
    return Look(shown, np.mean([*styles.values()], axis=0) if alike else np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Likeness:
    """A Gaussian kernel: how like a vector is to each sampled one, exp(-squared distance / width).

    vectors: (n, dimension), without `mean` and divided by `scale`; lengths: (n,), their squares;
    width: the median squared distance between any two.
    """

    vectors: Matrix
    lengths: Matrix
    mean: Vector
    scale: Vector
    width: float

    def __call__(self, vector: Vector) -> Floats:
        """Return the likenesses, float64 (n,).

        One vector at a time: products of whole matrices round differently with their size, and an
        item must get the same flags in whatever bucket it comes.
        """
        own = (np.asarray(vector, np.float32) - self.mean) / self.scale
        squares = np.maximum(self.lengths + own @ own - 2 * (self.vectors @ own), 0)
        return np.exp(-squares.astype(np.float64) / self.width)

    def matrix(self) -> Floats:
        """Return the likenesses of the sampled vectors among themselves, float64 (n, n)."""
        return np.exp(-_squared_distances(self.vectors) / self.width)


def fit_likeness(vectors: Matrix, *, standardise: bool) -> Likeness | None:
    """Return the likeness to these vectors, or None where they hardly differ.

    standardise: bring each entry to the same mean and spread, for vectors whose entries are of
    different kinds and sizes.
    """
    mean, scale = np.zeros(vectors.shape[1], np.float32), np.ones(vectors.shape[1], np.float32)
    if standardise:
        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        # An entry that is the same in all of the sample says nothing, not even where a later vector
        # differs in it: divided by infinity it becomes 0.
        scale = np.where(
            deviation > _LEAST_DEVIATION, deviation * np.sqrt(vectors.shape[1]), np.inf
        ).astype(np.float32)
    scaled = np.asarray((vectors - mean) / scale, np.float32)
    squares = _squared_distances(scaled)
    # The median heuristic: half of the pairs then have a likeness above exp(-1), whatever the
    # dimension and the scale of the vectors.
    width = float(np.median(squares[np.triu_indices(len(squares), 1)]))
    return Likeness(scaled, (scaled**2).sum(axis=1), mean, scale, width) if width > 0 else None


def _squared_distances(vectors: Matrix) -> Floats:
    wide = vectors.astype(np.float64)
    lengths = (wide**2).sum(axis=1)
    distances: Floats = np.maximum(lengths[:, None] + lengths[None] - 2 * wide @ wide.T, 0)
    return distances


@dataclass(frozen=True, slots=True)
class PictureModel:
    """Predicts a number from the look of pictures and knows how predictions of similar numbers lie.

    shown, style: likeness to the sampled looks; style is None where they have none.
    weights: (FOLDS + 1, n), of the fit without each fold, zero for its members, and of the fit with
    all; offsets: (FOLDS + 1,), what is added.
    numbers, predictions: (n,) sorted by number, out of fold; folds: picture → its fold.
    error: root mean square error of predictions out of fold; limits: that numbers were clipped to.
    cut: the doubt from which a number is called contradicted.
    """

    shown: Likeness
    style: Likeness | None
    weights: Floats
    offsets: Floats
    numbers: Floats
    predictions: Floats
    folds: dict[str, int] = field(repr=False)
    error: float
    limits: tuple[float, float]
    cut: float

    def fits(self, look: Look) -> bool:
        """Whether the look has vectors of the dimensions that the model was fitted with."""
        style = 0 if self.style is None else len(self.style.mean)
        return len(look.shown) == len(self.shown.mean) and (style == 0 or len(look.style) == style)

    def predict(self, look: Look, picture: str) -> float:
        """Return the number that the look predicts, by a fit that did not see the picture."""
        # A picture outside the sample is in no fold: the last row is of the fit with all of them.
        fold = self.folds.get(picture, FOLDS)
        likeness = self.shown(look.shown)
        if self.style is not None:
            likeness = likeness + self.style(look.style)
        return round(float(likeness @ self.weights[fold] + self.offsets[fold]), 3)

    def doubt(self, value: float, prediction: float) -> float:
        """Return how much the prediction speaks against the value; 0 also where it is off no more
        than is usual.
        """
        number = min(max(value, self.limits[0]), self.limits[1])
        usual = abs(number - prediction) < self.error
        return 0.0 if usual else doubt_of(self.numbers, self.predictions, number, prediction)


def doubt_of(numbers: Floats, predictions: Floats, value: float, prediction: float) -> float:
    """Return the logarithm of how much likelier the prediction is among all than among those of the
    numbers next to `value`.

    Both are taken for normal laws with robust centres and scales. 0 where the prediction is nearer
    to the value than is usual.
    numbers: (n,) sorted; predictions: (n,) in the same order.
    """
    distances = np.abs(numbers - value)
    reach = np.partition(distances, min(SIMILAR_ITEMS, len(distances) - 1))[
        min(SIMILAR_ITEMS, len(distances) - 1)
    ]
    (center, scale), (middle, spread) = map(
        _normal_law, (predictions[distances <= reach], predictions)
    )
    # Without a spread nothing can be likelier. And a wide law may make a good prediction unlikely
    # among its own kind, which is nothing to doubt.
    if scale == 0 or spread == 0 or abs(prediction - value) <= abs(center - value):
        return 0.0
    own, other = (prediction - center) / scale, (prediction - middle) / spread
    return float((own**2 - other**2) / 2 + np.log(scale / spread))


def _normal_law(numbers: Floats) -> tuple[float, float]:
    center = float(np.median(numbers))
    return center, MAD_TO_SIGMA * float(np.median(np.abs(numbers - center)))


def fit_pictures(
    values: Sequence[float], looks: Sequence[Look], pictures: Sequence[str]
) -> PictureModel | None:
    """Return the model of at least MIN_SAMPLE numbers with looks, or None where pictures say
    nothing about the number.

    pictures: which picture each look is of; those that several items share are in one fold.
    The penalty is the one of PENALTIES with the least out-of-fold error; numbers beyond the outer
    percentiles are clipped for the fit.
    """
    if len(values) < MIN_SAMPLE or len({len(look.shown) for look in looks}) > 1:
        return None
    raw = np.array(values)
    low, high = (float(limit) for limit in np.quantile(raw, [_TRIM, 1 - _TRIM]))
    shown = fit_likeness(np.stack([look.shown for look in looks]), standardise=False)
    numbers = np.clip(raw, low, high)
    # By a hash, so that a picture is in the same fold in whatever order the sample comes.
    folds = np.array([stable_hash(picture, size_bytes=64) % FOLDS for picture in pictures])
    if low == high or shown is None or len(set(folds.tolist())) < MIN_FILLED_FOLDS:
        return None
    lengths = {len(look.style) for look in looks}
    styled = len(lengths) == 1 and lengths != {0}
    style = (
        fit_likeness(np.stack([look.style for look in looks]), standardise=True) if styled else None
    )
    # A sum of kernels is a kernel: pictures are alike by what they show, by their style or both.
    kernel = shown.matrix() if style is None else shown.matrix() + style.matrix()
    fits = [_fit_folds(kernel, numbers, folds, penalty) for penalty in PENALTIES]
    predicted, weights, offsets = min(fits, key=lambda fit: float(((fit[0] - numbers) ** 2).sum()))
    if (
        float(predicted.std()) == 0
        or float(np.corrcoef(predicted, numbers)[0, 1]) < MIN_CORRELATION
    ):
        return None
    # By number, and among equals by prediction: the sample's order must not show in the result.
    order = np.lexsort((predicted, numbers))
    error = float(np.sqrt(((predicted - numbers) ** 2).mean()))
    numbers, predicted = numbers[order], predicted[order].round(3)
    doubts = np.array(
        [doubt_of(numbers, predicted, n, p) for n, p in zip(numbers, predicted, strict=True)]
    )
    # As `PictureModel.doubt` has it, or the cut would be that of another measure.
    doubts[np.abs(numbers - predicted) < error] = 0
    cut = max(0.0, float(np.quantile(doubts, 1 - MAX_DOUBTED)))
    by_picture = {picture: int(fold) for picture, fold in zip(pictures, folds, strict=True)}
    return PictureModel(
        shown, style, weights, offsets, numbers, predicted, by_picture, error, (low, high), cut
    )


def _fit_folds(
    kernel: Floats, numbers: Floats, folds: np.ndarray[Any, np.dtype[np.int64]], penalty: float
) -> tuple[Floats, Floats, Floats]:
    """Return out-of-fold predictions (n,), weights (FOLDS + 1, n) and offsets (FOLDS + 1,) of
    kernel ridge regression.

    The inverse C of the whole system gives the weights without a fold S: with a = C · numbers, they
    are a - C_:S · inverse(C_SS) · a_S for the others (the inverse of a matrix without some rows and
    columns, by blocks).
    """
    inverse = np.linalg.inv(kernel + penalty * np.eye(len(numbers)))
    weights, offsets = np.zeros((FOLDS + 1, len(numbers))), np.zeros(FOLDS + 1)
    predicted = np.zeros(len(numbers))
    # No picture is in the last fold, so that its fit is the one with all of them.
    for fold in range(FOLDS + 1):
        held = np.flatnonzero(folds == fold)
        offsets[fold] = np.delete(numbers, held).mean()
        whole = inverse @ (numbers - offsets[fold])
        weights[fold] = whole - inverse[:, held] @ np.linalg.solve(
            inverse[np.ix_(held, held)], whole[held]
        )
        weights[fold, held] = 0
        predicted[held] = kernel[held] @ weights[fold] + offsets[fold]
    return predicted, weights, offsets
