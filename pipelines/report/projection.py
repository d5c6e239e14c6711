"""A map of the items: the sample's vectors in two dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WIDTH, HEIGHT, MARGIN = 800, 520, 14
MAX_COLORS = 8
OTHER, NO_VALUE = "other values", "no value"
MIN_POINTS = 3
TSNE_FROM = 40


@dataclass(frozen=True, slots=True)
class Point:
    """An item on the map.

    x, y: in the drawing; values: one for each attribute that it may be coloured by.
    """

    item_id: str
    x: float
    y: float


def project(vectors: Mapping[str, np.ndarray[Any, Any]], seed: int) -> tuple[list[Point], str]:
    """Return where each item lies, and by which method; the same vectors give the same places."""
    if len(vectors) < MIN_POINTS:
        return [], ""
    ids, matrix = list(vectors), np.stack(list(vectors.values())).astype(np.float32)
    method, places = "PCA", _principal(matrix)
    if len(ids) >= TSNE_FROM and np.ptp(places) > 0:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        method = "t-SNE"
        model = TSNE(
            init=places / places.std() * 1e-4,
            perplexity=min(30, len(ids) // 4),
            random_state=seed,
            n_jobs=1,
        )
        # So few points are no work to divide: threads that wait for each other busily take many
        # times as long on a machine that does anything else.
        with threadpool_limits(limits=1):
            places = model.fit_transform(matrix)
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), 1e-9)
    size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    scaled = MARGIN + (places - low) / span * size
    return [
        Point(key, round(float(x), 1), round(float(y), 1))
        for key, (x, y) in zip(ids, scaled, strict=True)
    ], method


def _principal(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    centred = matrix - matrix.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    places: np.ndarray[Any, Any] = (left * scale)[:, :2].astype(np.float32)
    return places if places.shape[1] > 1 else np.hstack([places, np.zeros_like(places)])


def colorable(rows: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> dict[str, list[str]]:
    """Attribute → its most frequent values, of attributes whose values recur in the sample, the
    best covered first.
    """
    found: dict[str, tuple[int, list[str]]] = {}
    for name in attributes:
        counts = Counter(value for row in rows if (value := value_of(row, name)))
        recurring = [value for value, count in counts.most_common(MAX_COLORS) if count > 1]
        if len(recurring) > 1 and len(counts) <= max(30, len(rows) // 8):
            found[name] = (counts.total(), recurring)
    best = sorted(found.items(), key=lambda each: -each[1][0])[:6]
    return {name: values for name, (_, values) in best}


def value_of(row: Mapping[str, Any], name: str) -> str:
    """Return a value as one word for the map; empty where there is none or it is no word."""
    value = row.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return str(value) if isinstance(value, (str, bool)) else ""
