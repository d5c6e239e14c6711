"""Draws of items with replacement, as weights: how often each item was drawn (Efron and Tibshirani
1993).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.evaluation.slots import Array

REPLICATES = 2_000

# Bounds the weights of one matrix product: cells of float64, 32 MB.
_MAX_CELLS = 4_000_000


def drawn_weights(items: int, replicates: int, seed: int) -> Iterator[Array]:
    """Yield float64 weights of shape (draws, items) until there were `replicates` draws."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _MAX_CELLS // items)
    for begin in range(0, replicates, at_once):
        count = min(at_once, replicates - begin)
        drawn = generator.integers(0, items, (count, items)) + items * np.arange(count)[:, None]
        yield (
            np.bincount(drawn.ravel(), minlength=count * items)
            .reshape(count, items)
            .astype(np.float64)
        )


def interval_of(draws: Array) -> tuple[float, float] | None:
    """Return the 2.5th and the 97.5th percentile of the draws that have a value; None of fewer
    than two.
    """
    known = draws[~np.isnan(draws)]
    if len(known) < 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
