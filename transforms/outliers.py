"""Numbers that the rest of the catalog speaks against: far from all others, or far from what the picture looks like.

PCollection[Bucket], twice → PCollection[KV[item bucket, Finding]]. What is known of the others is learnt from a sample
of bounded size, the items with the smallest hashes, which is the same in whatever order and buckets the catalog comes.

Far from all others: the modified z-score (Iglewicz and Hoaglin 1993), with a scale of its own on each side of the
median, and Benjamini and Hochberg's limit on false discoveries (1995, doi:10.1111/j.2517-6161.1995.tb02031.x).

Far from what the picture looks like: the number is predicted from the picture's vector and colours by kernel ridge
regression (Saunders et al. 1998), never from a fit that saw the same picture. Predictions are drawn towards the middle,
so they are compared with each other: a prediction is doubted as far as it is likelier among all of the catalog's than
among those of items with about the same number: what tells a picture put there at random (Neyman and Pearson 1933).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from statistics import NormalDist
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from schemas.attributes import Attribute, AttributeType
from schemas.elements import Bucket, Finding, Flag, Item
from schemas.template import Template
from transforms.contradictions import look_of
from transforms.meter import Meter
from transforms.text import format_value

Floats = np.ndarray[Any, np.dtype[np.float64]]
Matrix = np.ndarray[Any, np.dtype[np.float32]]

MAX_NUMBERS, MAX_VECTORS = 20_000, 2_000
MIN_SAMPLE = 100
# Of the values called outliers, this share may be called so by chance. The tails of real numbers are heavier than
# the normal law's, so it is stricter than the usual 5 %.
FALSE_DISCOVERIES = 0.01
# Beyond, "outliers" are a part of the catalog: old films among new ones.
MAX_OUTLIERS = 0.02
# The reader's time: doubts about more than one in 25 of the rows with a number and a picture are not raised.
MAX_DOUBTED = 0.04
# A picture tells of a number when out-of-fold predictions correlate with it as much as Cohen (1988) calls medium.
MIN_CORRELATION = 0.3
FOLDS = 5
PENALTIES = (0.3, 1.0, 3.0, 10.0)
SIMILAR_ITEMS = 60
MAD_TO_SIGMA = 1.4826
_TRIM = 0.01
_STAGE = "contradict"


class Sampled(NamedTuple):
    """One number of one item. rank: of the item, from a hash; picture: digest of its first; vector: of its look."""

    rank: str
    value: float
    picture: str = ""
    vector: bytes = b""


Sample = dict[str, tuple[Sampled, ...]]  # attribute → the smallest ranks, in order


def sample_items(template: Template, items: Iterable[Item], *, vectors: bool, size: int) -> Sample:
    """Source values of each number attribute.

    vectors: only of items with a picture, with its look, and of attributes for which the template takes pictures as
      evidence: a thing's price, say, is not on its picture.
    """
    numbers = [attribute for attribute in template.attributes if attribute.type is AttributeType.NUMBER]
    names = [attribute.name for attribute in numbers if not vectors or "image" in attribute.evidence]
    entries: dict[str, list[Sampled]] = {name: [] for name in names}
    for item in items:
        look = look_of(item) if vectors and names else None
        if vectors and look is None:
            continue
        vector = b"" if look is None else look.astype("<f4").tobytes()
        picture = first_picture(item) if vectors else ""
        for name in names:
            value = item.record.values.get(name)
            if isinstance(value, float):
                entries[name].append(Sampled(rank_of(item.item_id), value, picture, vector))
    return {name: tuple(nsmallest(size, found)) for name, found in entries.items() if found}


def first_picture(item: Item) -> str:
    return next((image.features.digest for image in item.images if image.features is not None), "")


def merge_samples(samples: Iterable[Sample], size: int) -> Sample:
    """The sample of all that was sampled, whatever the order."""
    merged: Sample = {}
    for sample in samples:
        for name, entries in sample.items():
            merged[name] = tuple(nsmallest(size, (*merged.get(name, ()), *entries)))
    return dict(sorted(merged.items()))


def rank_of(item_id: str) -> str:
    return hashlib.blake2b(item_id.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Spread:
    """How an attribute's numbers lie. scales: below and above the median, as a normal law's σ; cut: |z| from which a
    number is an outlier, None where there are none; logarithmic: what was measured are logarithms.
    """

    median: float
    scales: tuple[float, float]
    logarithmic: bool
    cut: float | None

    def score(self, value: float) -> float:
        """The modified z-score; 0 where the measure says nothing."""
        if self.logarithmic and value <= 0:
            return 0.0
        distance = (float(np.log(value)) if self.logarithmic else value) - self.median
        scale = self.scales[distance > 0]
        return distance / scale if scale > 0 else 0.0

    @property
    def center(self) -> float:
        return float(np.exp(self.median)) if self.logarithmic else self.median


def fit_spread(values: Sequence[float], *, amounts: bool) -> Spread | None:
    """The spread of at least MIN_SAMPLE numbers, or None.

    amounts: they have a unit, so that ratios count and not differences; then positive ones are measured by logarithm.
    """
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    if len(numbers) < MIN_SAMPLE:
        return None
    logarithmic = amounts and bool(numbers[0] > 0)
    if logarithmic:
        numbers = np.log(numbers)
    median = float(np.median(numbers))
    both = MAD_TO_SIGMA * float(np.median(np.abs(numbers - median)))
    sides = (median - numbers[numbers < median], numbers[numbers > median] - median)
    scales = [MAD_TO_SIGMA * float(np.median(side)) if len(side) else both for side in sides]
    spread = Spread(median, (scales[0], scales[1]), logarithmic, None)
    if both == 0:  # most have one and the same value, which says nothing of how far others may lie
        return spread
    scores = np.abs((numbers - median) / np.where(numbers > median, scales[1], scales[0]))
    return Spread(median, (scales[0], scales[1]), logarithmic, outlier_cut(scores))


def outlier_cut(scores: Floats) -> float | None:
    """The smallest |z| that is an outlier by Benjamini and Hochberg's procedure, or None.

    None too where so many would be outliers that they are a part of what is usual.
    """
    ordered = np.sort(scores)[::-1]
    normal = NormalDist()
    limit = int(MAX_OUTLIERS * len(ordered)) + 1
    p_values = np.array([2 * normal.cdf(-float(score)) for score in ordered[: limit + 1]])
    allowed = FALSE_DISCOVERIES * np.arange(1, len(p_values) + 1) / len(ordered)
    passing = np.flatnonzero(p_values <= allowed)
    if not len(passing) or passing[-1] >= limit:
        return None
    return float(ordered[passing[-1]])


@dataclass(frozen=True, slots=True)
class PictureModel:
    """Predicts a number from a picture's vector and knows how predictions of similar numbers lie.

    vectors: (n, dimension), looks; norms: (n,), their squared lengths; weights: (FOLDS + 1, n), of the fit without each
      fold, zero for its members, and of the fit with all; offsets: (FOLDS + 1,), what is added; width: of the kernel.
    numbers, predictions: (n,) sorted by number, out of fold; folds: picture → the fold that it is in.
    error: the root mean square of what predictions out of fold are off; limits: to which numbers were drawn in.
    cut: the doubt from which a number is called contradicted.
    """

    vectors: Matrix
    norms: Matrix
    weights: Floats
    offsets: Floats
    width: float
    numbers: Floats
    predictions: Floats
    folds: dict[str, int] = field(repr=False)
    error: float
    limits: tuple[float, float]
    cut: float

    def predict(self, vector: Matrix, picture: str) -> float:
        """By the fit that did not see the picture. One vector at a time: the same answer in whatever company."""
        fold = self.folds.get(picture, FOLDS)
        own = np.asarray(vector, np.float32)
        squares = np.maximum(self.norms + own @ own - 2 * (self.vectors @ own), 0)
        return round(float(np.exp(-squares / self.width) @ self.weights[fold] + self.offsets[fold]), 3)

    def doubt(self, value: float, prediction: float) -> float:
        """0 too where the prediction is off no more than is usual."""
        usual = abs(value - prediction) < self.error
        return 0.0 if usual else doubt_of(self.numbers, self.predictions, value, prediction)


def doubt_of(numbers: Floats, predictions: Floats, value: float, prediction: float) -> float:
    """Logarithm of how much likelier the prediction is among all than among those of the numbers next to `value`.

    Both are taken for normal laws with robust centres and scales. 0 where it is nearer to the value than is usual.
    numbers: (n,) sorted; predictions: (n,) in the same order.
    """
    distances = np.abs(numbers - value)
    reach = np.partition(distances, min(SIMILAR_ITEMS, len(distances) - 1))[min(SIMILAR_ITEMS, len(distances) - 1)]
    (center, scale), (middle, spread) = map(_normal_law, (predictions[distances <= reach], predictions))
    if scale == 0 or spread == 0 or abs(prediction - value) <= abs(center - value):
        return 0.0
    own, other = (prediction - center) / scale, (prediction - middle) / spread
    return float((own**2 - other**2) / 2 + np.log(scale / spread))


def _normal_law(numbers: Floats) -> tuple[float, float]:
    center = float(np.median(numbers))
    return center, MAD_TO_SIGMA * float(np.median(np.abs(numbers - center)))


def fit_pictures(sample: Sequence[Sampled]) -> PictureModel | None:
    """The model of at least MIN_SAMPLE numbers with vectors, or None where pictures do not tell the number.

    The penalty is the one of PENALTIES with the least out-of-fold error; numbers beyond the outer percentiles are
    drawn in for the fit. Pictures that several items share are in one fold.
    """
    if len(sample) < MIN_SAMPLE:
        return None
    vectors = np.stack([np.frombuffer(entry.vector, "<f4") for entry in sample])
    raw = np.array([entry.value for entry in sample])
    low, high = (float(limit) for limit in np.quantile(raw, [_TRIM, 1 - _TRIM]))
    if low == high:
        return None
    numbers = np.clip(raw, low, high)
    folds = np.array([int(hashlib.blake2b(entry.picture.encode()).hexdigest(), 16) % FOLDS for entry in sample])
    squares = _squared_distances(vectors, vectors)
    width = float(np.median(squares[np.triu_indices(len(squares), 1)]))
    if width == 0 or len(set(folds.tolist())) < FOLDS:
        return None
    kernel = np.exp(-squares / width)
    fits = [_fit_folds(kernel, numbers, folds, penalty) for penalty in PENALTIES]
    predicted, weights, offsets = min(fits, key=lambda fit: float(((fit[0] - numbers) ** 2).sum()))
    if float(predicted.std()) == 0 or float(np.corrcoef(predicted, numbers)[0, 1]) < MIN_CORRELATION:
        return None
    order = np.lexsort((predicted, numbers))
    error = float(np.sqrt(((predicted - numbers) ** 2).mean()))
    numbers, predicted = numbers[order], predicted[order].round(3)
    doubts = np.array([doubt_of(numbers, predicted, n, p) for n, p in zip(numbers, predicted, strict=True)])
    doubts[np.abs(numbers - predicted) < error] = 0
    cut = max(0.0, float(np.quantile(doubts, 1 - MAX_DOUBTED)))
    by_picture = {entry.picture: int(fold) for entry, fold in zip(sample, folds, strict=True)}
    lengths = (vectors**2).sum(axis=1)
    return PictureModel(
        vectors, lengths, weights, offsets, width, numbers, predicted, by_picture, error, (low, high), cut
    )


def _fit_folds(
    kernel: Floats, numbers: Floats, folds: np.ndarray[Any, np.dtype[np.int64]], penalty: float
) -> tuple[Floats, Floats, Floats]:
    """Out-of-fold predictions (n,), weights (FOLDS + 1, n) and offsets (FOLDS + 1,) of kernel ridge regression."""
    weights, offsets = np.zeros((FOLDS + 1, len(numbers))), np.zeros(FOLDS + 1)
    predicted = np.zeros(len(numbers))
    for fold in range(FOLDS + 1):
        seen = folds != fold
        offsets[fold] = numbers[seen].mean()
        within = kernel[np.ix_(seen, seen)] + penalty * np.eye(int(seen.sum()))
        weights[fold, seen] = np.linalg.solve(within, numbers[seen] - offsets[fold])
        predicted[~seen] = kernel[~seen] @ weights[fold] + offsets[fold]
    return predicted, weights, offsets


def _squared_distances(one: Matrix, other: Matrix) -> Floats:
    first, second = one.astype(np.float64), other.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    distances: Floats = np.maximum(squares, 0)
    return distances


@dataclass(frozen=True, slots=True)
class Norms:
    """What is usual in a catalog: attribute → spread of its numbers, and what pictures tell of them."""

    spreads: dict[str, Spread] = field(default_factory=dict)
    pictures: dict[str, PictureModel] = field(default_factory=dict)


def fit_norms(template: Template, numbers: Sample, with_vectors: Sample) -> Norms:
    """What a sample teaches; attributes of which it teaches nothing are left out."""
    spreads, pictures = {}, {}
    for name, entries in numbers.items():
        amounts = template.by_name[name].unit is not None
        spread = fit_spread([entry.value for entry in entries], amounts=amounts)
        if spread is not None and spread.cut is not None:
            spreads[name] = spread
    for name, entries in with_vectors.items():
        model = fit_pictures(entries)
        if model is not None:
            pictures[name] = model
    return Norms(spreads, pictures)


def find_outliers(template: Template, norms: Norms, item: Item) -> Iterator[Finding]:
    """The item's numbers that what is usual in the catalog speaks against."""
    for name in sorted(norms.spreads.keys() | norms.pictures.keys()):
        value = item.record.values.get(name)
        if not isinstance(value, float):
            continue
        attribute = template.by_name[name]
        if (spread := norms.spreads.get(name)) is not None and (flag := _far_off(attribute, spread, value)):
            yield Finding(item.item_id, flag)
        model = norms.pictures.get(name)
        if model is not None and (flag := _unlike(attribute, model, value, item)):
            yield Finding(item.item_id, flag)


def _far_off(attribute: Attribute, spread: Spread, value: float) -> Flag | None:
    score = spread.score(value)
    if spread.cut is None or abs(score) < spread.cut:
        return None
    side = "below" if score < 0 else "above"
    detail = (
        f"the source says {format_value(attribute, value)!r}, {abs(score):.1f} robust standard deviations {side} this "
        f"catalog's median of {_amount(attribute, spread.center)!r}"
    )
    return Flag("value-outlier", attribute.name, detail)


def _unlike(attribute: Attribute, model: PictureModel, value: float, item: Item) -> Flag | None:
    look = look_of(item)
    if look is None or look.shape[-1] != model.vectors.shape[1]:
        return None
    prediction = model.predict(look, first_picture(item))
    number = min(max(value, model.limits[0]), model.limits[1])
    doubt = model.doubt(number, prediction)
    if doubt <= 0 or doubt < model.cut:
        return None
    detail = (
        f"the source says {format_value(attribute, value)!r}; the picture looks like {_amount(attribute, prediction)!r}"
        f", and this catalog's pictures do so {min(np.exp(doubt), 1000):.1f} times as often as those of items with "
        "about the source's number"
    )
    return Flag("picture-contradicts-value", attribute.name, detail)


def _amount(attribute: Attribute, number: float) -> str:
    return format_value(attribute, float(round(number)) if attribute.integer else float(f"{number:.3g}"))


class _Merge(beam.CombineFn):
    """Samples → the sample of all."""

    def __init__(self, size: int) -> None:
        self._size = size

    def create_accumulator(self) -> Sample:
        return {}

    def add_input(self, accumulator: Sample, sample: Sample) -> Sample:
        return merge_samples((accumulator, sample), self._size)

    def merge_accumulators(self, accumulators: Iterable[Sample]) -> Sample:
        return merge_samples(accumulators, self._size)

    def extract_output(self, accumulator: Sample) -> Sample:
        return accumulator


class _Score(beam.DoFn):
    def __init__(self, template: Template) -> None:
        self._template = template

    def setup(self) -> None:
        self._meter = Meter(_STAGE)

    def process(self, bucket: Bucket, norms: Norms) -> Iterator[tuple[int, Finding]]:
        with self._meter.timed():
            found = [finding for item in bucket.items for finding in self._find(norms, item)]
        for finding in found:
            yield bucket.number, finding

    def _find(self, norms: Norms, item: Item) -> list[Finding]:
        try:
            return list(find_outliers(self._template, norms, item))
        except Exception:  # a defect met on one record must not stop the run
            self._meter.add("failures")
            return []


@dataclass(eq=False)
class FindOutliers(beam.PTransform):
    """PCollection[Bucket], twice → PCollection[KV[item bucket, Finding]] of numbers that the catalog speaks against.

    The second is scored by what the first teaches. They hold the same, put together anew: one that waited for the
    other would be held in memory as a whole.
    """

    template: Template

    def expand(self, twice: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        template, (buckets, again) = self.template, twice
        samples = [
            buckets
            | f"Sample {what}"
            >> beam.Map(lambda b, v, n: sample_items(template, b.items, vectors=v, size=n), vectors, size)
            | f"Merge {what}" >> beam.CombineGlobally(_Merge(size))
            for what, vectors, size in (("numbers", False, MAX_NUMBERS), ("pictures", True, MAX_VECTORS))
        ]
        numbers, pictures = map(beam.pvalue.AsSingleton, samples)
        seed = buckets.pipeline | "Once" >> beam.Create([None])
        norms = seed | "Fit" >> beam.Map(lambda _, n, p: fit_norms(template, n, p), numbers, pictures)
        return again | "Score" >> beam.ParDo(_Score(template), beam.pvalue.AsSingleton(norms))
