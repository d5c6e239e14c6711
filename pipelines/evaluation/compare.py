"""Whether one run is better than another on the same items: a paired bootstrap over items.

Items are drawn with replacement, and both runs are measured on the same draws; the 2.5th and 97.5th
percentile of the difference are its interval (Efron and Tibshirani 1993, chapters 13 and 16.4).
Items and not slots are drawn, because the slots of an item share its texts and pictures. Every
measure is a function of sums over items, so a draw is a weighted sum, and all draws are a few
matrix products.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.bootstrap import REPLICATES, drawn_weights, interval_of
from pipelines.evaluation.calibration import NUM_BINS, bin_numbers
from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.slots import Array, Slots, as_slots

METHOD = (
    "paired bootstrap over items, 95 % percentile intervals of the difference (Efron and "
    "Tibshirani 1993); intervals "
    "are not corrected for how many measures are looked at"
)
# Measure → whether less of it is better.
MEASURES = {
    "F1": False,
    "precision": False,
    "recall": False,
    "coverage": False,
    "accuracy, forced": False,
    "ECE": True,
}

# Columns of sums over items, in this order; then a column of errors a bin, then two columns an
# attribute.
_MATCHED, _PREDICTED, _EXPECTED, _COVERED, _WITH_TRUTH, _FORCED, _SURE = range(7)
_FIRST_BIN = 7
_FIRST_ATTRIBUTE = _FIRST_BIN + NUM_BINS


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of both runs on the shared slots, and the interval of here - there.

    attribute: None for all attributes together (micro).
    low, high: None where too few draws have a value. replicates: draws in which both runs have a
    value.
    verdict: "better" or "worse" (here against there) when the interval holds no 0, else "unclear".
    """

    measure: str
    attribute: str | None
    here: float | None
    there: float | None
    difference: float | None
    low: float | None
    high: float | None
    replicates: int
    lower_is_better: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the slots that both hold with the same truth.

    left_out_here, left_out_there: slots that only one run holds. different_truth: slots that both
    hold, left out because their truths differ.
    """

    method: str
    replicates: int
    seed: int
    items: int
    slots: int
    left_out_here: int
    left_out_there: int
    different_truth: int
    differences: tuple[Difference, ...]


def compare(
    here: Sequence[Decision],
    there: Sequence[Decision],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Comparison:
    """Compare two runs on the slots (item and attribute, whatever the fold) that both hold.

    Equal arguments give equal results, in whatever order the decisions come.
    Raises ValueError when a run holds a slot twice, or when the runs share fewer than two items.
    """
    if replicates < 1:
        raise ValueError(f"replicates is {replicates}; at least 1 is needed")
    ours, theirs = _by_slot(here, "this run"), _by_slot(there, "the run compared with")
    common = sorted(ours.keys() & theirs.keys())
    shared = [slot for slot in common if set(ours[slot].accepted) == set(theirs[slot].accepted)]
    items = sorted({item for item, _ in shared})
    if len(items) < 2:
        raise ValueError(
            f"the runs share {len(items)} items with the same truth, at least 2 are needed; "
            "compare runs over the same"
            " catalog and truth"
        )
    attributes = sorted({attribute for _, attribute in shared})
    our_slots = as_slots([ours[slot] for slot in shared])
    their_slots = as_slots([theirs[slot] for slot in shared])
    differences = _differences(
        _sums_by_item(our_slots, items, attributes),
        _sums_by_item(their_slots, items, attributes),
        attributes,
        replicates,
        seed,
    )
    return Comparison(
        method=METHOD,
        replicates=replicates,
        seed=seed,
        items=len(items),
        slots=len(shared),
        left_out_here=len(ours) - len(common),
        left_out_there=len(theirs) - len(common),
        different_truth=len(common) - len(shared),
        differences=tuple(differences),
    )


def _by_slot(decisions: Sequence[Decision], whose: str) -> dict[tuple[str, str], Decision]:
    times = Counter((each.item_id, each.attribute) for each in decisions)
    twice = sorted(slot for slot, count in times.items() if count > 1)
    if twice:
        item, attribute = twice[0]
        raise ValueError(
            f"{whose} decides {len(twice):,} slots more than once, for example {attribute!r} of "
            f"item {item!r}; "
            "compare runs that hold each item back once"
        )
    return {(each.item_id, each.attribute): each for each in decisions}


def _sums_by_item(slots: Slots, items: Sequence[str], attributes: Sequence[str]) -> Array:
    """Return what the measures are made of, float64 of shape (items, _FIRST_ATTRIBUTE + 2 *
    attributes).
    """
    sums = np.zeros((len(items), _FIRST_ATTRIBUTE + 2 * len(attributes)))
    row_of = {name: row for row, name in enumerate(items)}
    place_of = {name: place for place, name in enumerate(attributes)}
    rows = np.array([row_of[name] for name in slots.item_id])
    places = np.array([place_of[name] for name in slots.attribute])
    matched, predicted = slots.matched * slots.answered, slots.predicted * slots.answered
    with_truth = slots.expected > 0

    def add(columns: Array | int, values: Array, mask: Array | slice = slice(None)) -> None:
        cells: Array = rows * sums.shape[1] + columns
        np.add.at(sums.reshape(-1), cells[mask], values[mask])

    add(_MATCHED, matched)
    add(_PREDICTED, predicted)
    add(_EXPECTED, slots.expected)
    add(_COVERED, slots.answered & with_truth)
    add(_WITH_TRUTH, with_truth)
    add(_FORCED, slots.matched)
    add(_SURE, slots.sure)
    # The error of a bin is |sum of confidence - sum of shares right|; only candidates with a
    # confidence have one.
    errors = slots.confidence - slots.matched / np.maximum(slots.predicted, 1)
    add(_FIRST_BIN + np.minimum(bin_numbers(slots.confidence), NUM_BINS - 1), errors, slots.sure)
    add(_FIRST_ATTRIBUTE + 2 * places, matched)
    add(_FIRST_ATTRIBUTE + 2 * places + 1, predicted + slots.expected)
    return sums


def _measures(sums: Array) -> Array:
    """(draws, sums) → (draws, MEASURES, then the F1 of each attribute); NaN where a measure is not
    defined.
    """
    errors = np.abs(sums[:, _FIRST_BIN:_FIRST_ATTRIBUTE]).sum(axis=1)
    matched, predicted, expected = sums[:, _MATCHED], sums[:, _PREDICTED], sums[:, _EXPECTED]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all = [
            2 * matched / (predicted + expected),
            matched / predicted,
            matched / expected,
            sums[:, _COVERED] / sums[:, _WITH_TRUTH],
            sums[:, _FORCED] / expected,
            errors / sums[:, _SURE],
        ]
        of_attributes = 2 * sums[:, _FIRST_ATTRIBUTE::2] / sums[:, _FIRST_ATTRIBUTE + 1 :: 2]
    return np.column_stack([*of_all, of_attributes])


def _differences(
    ours: Array, theirs: Array, attributes: Sequence[str], replicates: int, seed: int
) -> list[Difference]:
    here, there = (_measures(sums.sum(axis=0, keepdims=True))[0] for sums in (ours, theirs))
    draws = _drawn_differences(ours, theirs, replicates, seed)
    names: list[tuple[str, str | None]] = [
        *((name, None) for name in MEASURES),
        *(("F1", each) for each in attributes),
    ]
    return [
        _difference(measure, attribute, float(here[place]), float(there[place]), draws[:, place])
        for place, (measure, attribute) in enumerate(names)
    ]


def _drawn_differences(ours: Array, theirs: Array, replicates: int, seed: int) -> Array:
    """Differences of the measures in each draw of items, shape (replicates, measures)."""
    parts = [
        _measures(weights @ ours) - _measures(weights @ theirs)
        for weights in drawn_weights(len(ours), replicates, seed)
    ]
    return np.concatenate(parts)


def _difference(
    measure: str, attribute: str | None, here: float, there: float, draws: Array
) -> Difference:
    lower_is_better = MEASURES[measure]
    known = draws[~np.isnan(draws)]
    low = high = None
    verdict = "unclear"
    ends = None if np.isnan(here - there) else interval_of(draws)
    if ends is not None:
        low, high = ends
        if low > 0 or high < 0:
            verdict = "worse" if (low > 0) == lower_is_better else "better"
    return Difference(
        measure=measure,
        attribute=attribute,
        here=_known(here),
        there=_known(there),
        difference=_known(here - there),
        low=low,
        high=high,
        replicates=len(known),
        lower_is_better=lower_is_better,
        verdict=verdict,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
