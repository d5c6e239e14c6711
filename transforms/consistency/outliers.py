"""Numbers that the rest of the catalog speaks against: far from all others, or far from what the
picture looks like.

Item → Findings, by what is usual in its catalog. That is learnt from a
sample of bounded size, the items with the smallest hashes, which is the same in whatever order and
buckets the catalog comes.

Far from all others: the modified z-score (Iglewicz and Hoaglin 1993), with a scale of its own on
each side of the median, and Benjamini and Hochberg's limit on false discoveries (1995,
doi:10.1111/j.2517-6161.1995.tb02031.x).

Far from what the picture looks like: transforms/consistency/image_regression.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from schemas.attributes import Attribute
from schemas.elements import Finding, Flag, Item
from schemas.template import Template
from transforms.consistency.image_regression import (
    MAD_TO_SIGMA,
    MIN_SAMPLE,
    Floats,
    Look,
    PictureModel,
    fit_pictures,
    look_of,
)
from transforms.items.text import format_value

# Items of a sample. A regression takes memory with the square of their number and time with its
# cube, so there are fewer with vectors.
MAX_NUMBERS, MAX_VECTORS = 20_000, 2_000
# Of the values called outliers, this share may be called so by chance. The tails of real numbers
# are heavier than the normal law's, so it is stricter than the usual 5 %.
FALSE_DISCOVERIES = 0.01
# A larger share of the values is a part of the catalog, such as old films among new ones, and none
# of it is called an outlier.
MAX_OUTLIERS = 0.02
_STAGE = "contradict"


class Sampled(NamedTuple):
    """One number of one item.

    rank: of the item, from a hash; picture: digest of the item's first; shown, style: its look, as
    little-endian float32 and float16, since samples travel between workers.
    """

    rank: str
    value: float
    picture: str = ""
    shown: bytes = b""
    style: bytes = b""

    @property
    def look(self) -> Look:
        return Look(
            np.frombuffer(self.shown, "<f4"), np.frombuffer(self.style, "<f2").astype(np.float32)
        )


# Attribute → the smallest ranks, in order.
Sample: TypeAlias = dict[str, tuple[Sampled, ...]]


def sample_items(template: Template, items: Iterable[Item], *, vectors: bool, size: int) -> Sample:
    """Return the source's values of each number attribute.

    vectors: take only items with a picture, with its look, and attributes for which the template
    takes pictures as evidence: a thing's price, say, is not on its picture.
    """
    numbers = [attribute for attribute in template.attributes if attribute.spec.is_number]
    names = [
        attribute.name for attribute in numbers if not vectors or "image" in attribute.evidence
    ]
    entries: dict[str, list[Sampled]] = {name: [] for name in names}
    for item in items:
        look = look_of(item) if vectors and names else None
        if vectors and look is None:
            continue
        picture, packed = (
            (first_picture(item), _pack(look)) if look is not None else ("", (b"", b""))
        )
        for name in names:
            value = item.record.values.get(name)
            # What the pipeline filled itself is no evidence of what is usual: the record alone is.
            if isinstance(value, float):
                entries[name].append(Sampled(rank_of(item.item_id), value, picture, *packed))
    return {name: tuple(nsmallest(size, found)) for name, found in entries.items() if found}


def _pack(look: Look) -> tuple[bytes, bytes]:
    return look.shown.astype("<f4").tobytes(), look.style.astype("<f2").tobytes()


def first_picture(item: Item) -> str:
    """Return the digest of the item's first readable picture, or "" without one."""
    return next((image.features.digest for image in item.images if image.features is not None), "")


def merge_samples(samples: Iterable[Sample], size: int) -> Sample:
    """Return the one sample of what these sampled, the same in whatever order they come."""
    merged: Sample = {}
    for sample in samples:
        for name, entries in sample.items():
            merged[name] = tuple(nsmallest(size, (*merged.get(name, ()), *entries)))
    return dict(sorted(merged.items()))


def rank_of(item_id: str) -> str:
    """Return a hash by which items are drawn: random, and the same in every run."""
    return hashlib.blake2b(item_id.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of an attribute's numbers.

    scales: below and above the median, as a normal law's σ; cut: |z| from which a number is an
    outlier, None where there are none; logarithmic: median and scales are of logarithms.
    """

    median: float
    scales: tuple[float, float]
    logarithmic: bool
    cut: float | None

    def score(self, value: float) -> float:
        """Return the modified z-score of a number; 0 where it cannot be measured."""
        if self.logarithmic and value <= 0:
            return 0.0
        distance = (float(np.log(value)) if self.logarithmic else value) - self.median
        scale = self.scales[distance > 0]
        return distance / scale if scale > 0 else 0.0

    @property
    def center(self) -> float:
        """The median as a number of the catalog, not as a logarithm."""
        return float(np.exp(self.median)) if self.logarithmic else self.median


def fit_spread(values: Sequence[float], *, amounts: bool) -> Spread | None:
    """Return the spread of the numbers, or None of fewer than MIN_SAMPLE.

    amounts: they have a unit, so that ratios count and not differences: 2 kg differ from 1 kg as
    200 g from 100 g. Where all are positive, their logarithms are measured.
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
    # A scale for each side: prices, say, reach much farther up than down.
    scales = [MAD_TO_SIGMA * float(np.median(side)) if len(side) else both for side in sides]
    spread = Spread(median, (scales[0], scales[1]), logarithmic, None)
    # Most have one and the same value, which says nothing of how far off others may be.
    if both == 0:
        return spread
    scores = np.abs((numbers - median) / np.where(numbers > median, scales[1], scales[0]))
    return Spread(median, (scales[0], scales[1]), logarithmic, outlier_cut(scores))


def outlier_cut(scores: Floats) -> float | None:
    """Return the smallest |z| that is an outlier by Benjamini and Hochberg's procedure, or
    None.

    None too where so many would be outliers that they are a part of what is usual.
    """
    # One more p-value than may be outliers is enough to see whether there would be too many.
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
class Norms:
    """What is usual in a catalog: attribute → spread of its numbers, and attribute → what pictures
    say about them.
    """

    spreads: dict[str, Spread] = field(default_factory=dict)
    pictures: dict[str, PictureModel] = field(default_factory=dict)


def fit_norms(template: Template, numbers: Sample, with_vectors: Sample) -> Norms:
    """Return what is usual by these samples, for the attributes of which they say something."""
    spreads, pictures = {}, {}
    for name, entries in numbers.items():
        amounts = template.by_name[name].unit is not None
        spread = fit_spread([entry.value for entry in entries], amounts=amounts)
        if spread is not None and spread.cut is not None:
            spreads[name] = spread
    for name, entries in with_vectors.items():
        model = fit_pictures(
            *zip(*((entry.value, entry.look, entry.picture) for entry in entries), strict=True)
        )
        if model is not None:
            pictures[name] = model
    return Norms(spreads, pictures)


def find_outliers(template: Template, norms: Norms, item: Item) -> Iterator[Finding]:
    """Yield a finding for each of the item's numbers that is unusual for the catalog."""
    for name in sorted(norms.spreads.keys() | norms.pictures.keys()):
        value = item.record.values.get(name)
        if not isinstance(value, float):
            continue
        attribute = template.by_name[name]
        if (spread := norms.spreads.get(name)) is not None and (
            flag := _far_off(attribute, spread, value)
        ):
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
        f"the source says {format_value(attribute, value)!r}, {abs(score):.1f} robust standard "
        f"deviations {side} this "
        f"catalog's median of {_amount(attribute, spread.center)!r}"
    )
    return Flag("value-outlier", attribute.name, detail)


def _unlike(attribute: Attribute, model: PictureModel, value: float, item: Item) -> Flag | None:
    look = look_of(item)
    if look is None or not model.fits(look):
        return None
    prediction = model.predict(look, first_picture(item))
    doubt = model.doubt(value, prediction)
    if doubt <= 0 or doubt < model.cut:
        return None
    detail = (
        f"the source says {format_value(attribute, value)!r}; the picture looks like "
        f"{_amount(attribute, prediction)!r}"
        f", and this catalog's pictures do so {min(np.exp(doubt), 1000):.1f} times as often as "
        "those of items with "
        "about the source's number"
    )
    return Flag("picture-contradicts-value", attribute.name, detail)


def _amount(attribute: Attribute, number: float) -> str:
    return format_value(
        attribute, float(round(number)) if attribute.integer else float(f"{number:.3g}")
    )
