"""How good a vector space is: what its nearest neighbours share, and what they find.

Pure: vectors, values and pairs → figures with intervals. The search is exact, in blocks of queries
against all vectors; one space is in memory at a time. Neighbours of equal cosine come in the order
of their ids. A query's own item is none of its neighbours, nor are items of its group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.evaluation.bootstrap import REPLICATES, drawn_weights, interval_of
from pipelines.evaluation.slots import Array
from transforms.models.contract import Vector

# Bounds the cosines of one block of queries: cells of float32, 64 MB.
MAX_CELLS = 16_000_000
# Of an attribute, or of two languages, that fewer items have, nothing is said.
MIN_ITEMS = 10
# A cosine that is lower by less is no lower: sums of float32 in another order.
TIE = 1e-6

# Measures.
MEAN_COSINE, AGREEMENT, PAIRS_FOUND = "mean cosine", "agreement", "pairs found"
METHOD = (
    "bootstrap over items (over groups, where there are some), 95 % percentile intervals (Efron "
    "and Tibshirani 1993); intervals are not corrected for how many figures are looked at"
)

Places = np.ndarray[Any, np.dtype[np.int64]]
# Item id → what was measured of it as a query.
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors of one table. ids: sorted; vectors: float32 (items, dimension), of length one.

    groups: item id → group; an item without an entry is a group of its own.
    """

    name: str
    ids: tuple[str, ...]
    vectors: Vector
    groups: Mapping[str, str]

    def of(self, wanted: Collection[str]) -> Space:
        """Return the part of the space that these items make."""
        rows = [row for row, item_id in enumerate(self.ids) if item_id in wanted]
        ids = tuple(self.ids[row] for row in rows)
        return Space(self.name, ids, self.vectors[rows], self.groups)

    def group_of(self, item_id: str) -> str:
        """Return the item's group; an id and a group's name are never the same."""
        group = self.groups.get(item_id)
        return f"item {item_id}" if group is None else f"group {group}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one space. k: how many neighbours were looked at, 0 where that says nothing.

    measure: MEAN_COSINE, AGREEMENT, PAIRS_FOUND, `item found` or `text found`. of: the attribute,
    the file of pairs, or who finds whom. queries: items that were asked about.
    low, high: 95 % interval; None of fewer than two queries.
    """

    measure: str
    of: str
    k: int
    queries: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Shift:
    """A measure of both tables over the same queries and the same possible neighbours.

    verdict: "better" or "worse" (here against there) where the interval of here - there holds no
    0, else "unclear"; of the mean cosine, of which less is not always better, "lower" or "higher".
    """

    measure: str
    of: str
    k: int
    queries: int
    here: float
    there: float
    difference: float
    low: float | None
    high: float | None
    verdict: str


# Search


def nearest(space: Space, queries: Sequence[str], k: int, max_cells: int = MAX_CELLS) -> Places:
    """Return the rows of the k nearest neighbours of each query, best first; shape (queries, k).

    queries: ids of items of the space. -1: there is no further neighbour. max_cells: cosines that
    are in memory at once.
    """
    row_of = {item_id: row for row, item_id in enumerate(space.ids)}
    rows = np.array([row_of[item_id] for item_id in queries], dtype=np.int64)
    groups = _numbered(space)
    found = np.full((len(rows), k), -1, dtype=np.int64)
    at_once = max(1, max_cells // max(1, len(space.ids)))
    for begin in range(0, len(rows), at_once):
        block = rows[begin : begin + at_once]
        cosines = space.vectors[block] @ space.vectors.T
        cosines[groups[block][:, None] == groups[None, :]] = -np.inf
        for number, line in enumerate(cosines, start=begin):
            best = _best(line, k)
            found[number, : len(best)] = best
    return found


def _numbered(space: Space) -> Places:
    """Return the number of each row's group."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(space.group_of(each), len(numbers)) for each in space.ids],
        dtype=np.int64,
    )


def _best(cosines: Vector, k: int) -> Places:
    """Return the places of the k highest cosines, those of equal ones in their order."""
    # Only what is above the k-th highest, or equal to it, has to be sorted.
    least = np.partition(cosines, -k)[-k] if len(cosines) > k else -np.inf
    places = np.flatnonzero((cosines >= least) & (cosines > -np.inf))
    chosen: Places = places[np.argsort(-cosines[places], kind="stable")[:k]]
    return chosen


def ranks(queries: Vector, candidates: Vector, max_cells: int = MAX_CELLS) -> Places:
    """Return how many other candidates are nearer to each query than its own, the one of its row.

    queries, candidates: float32 (items, dimension). Candidates that are as near as the own one are
    not nearer: items that share a picture are found together.
    """
    found = np.empty(len(queries), dtype=np.int64)
    at_once = max(1, max_cells // max(1, len(candidates)))
    for begin in range(0, len(queries), at_once):
        block = queries[begin : begin + at_once]
        cosines = block @ candidates.T
        own = cosines[np.arange(len(block)), np.arange(begin, begin + len(block))]
        found[begin : begin + len(block)] = (cosines > own[:, None] + TIE).sum(axis=1)
    return found


# Measures


def agreement(
    space: Space, values: Mapping[str, frozenset[str]], queries: Collection[str], ks: Sequence[int]
) -> dict[int, Scores]:
    """How far the values of the k nearest neighbours agree with the query's, for each k.

    Only items with a value count, as queries and as neighbours. Two sets of values agree by their
    Jaccard index: 1 or 0 where there is one value.
    """
    known = space.of(values.keys())
    asked = [item_id for item_id in known.ids if item_id in queries]
    found = nearest(known, asked, max(ks))
    scores: dict[int, dict[str, float]] = {k: {} for k in ks}
    for item_id, rows in zip(asked, found, strict=True):
        own = values[item_id]
        shares = [_jaccard(own, values[known.ids[row]]) for row in rows if row >= 0]
        for k in ks if shares else ():
            scores[k][item_id] = math.fsum(shares[:k]) / len(shares[:k])
    return dict(scores)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def recall(
    space: Space, pairs: Mapping[str, frozenset[str]], ks: Sequence[int]
) -> dict[int, Scores]:
    """Share of an item's known partners among its k nearest neighbours, for each k.

    Partners without a vector, or of the item's own group, are not asked for.
    """
    there = frozenset(space.ids)
    wanted: dict[str, set[str]] = {}
    for item_id in sorted(pairs.keys() & there):
        own = space.group_of(item_id)
        partners = {each for each in pairs[item_id] & there if space.group_of(each) != own}
        if partners:
            wanted[item_id] = partners
    found = nearest(space, list(wanted), max(ks))
    scores: dict[int, dict[str, float]] = {k: {} for k in ks}
    for (item_id, partners), rows in zip(wanted.items(), found, strict=True):
        neighbours = [space.ids[row] for row in rows if row >= 0]
        for k in ks:
            scores[k][item_id] = len(partners & set(neighbours[:k])) / len(partners)
    return dict(scores)


def found_at(ids: Sequence[str], found: Places, ks: Sequence[int]) -> dict[int, Scores]:
    """Whether fewer than k others were nearer than the own one, for each k."""
    return {k: dict(zip(ids, (found < k).astype(float).tolist(), strict=True)) for k in ks}


def by_item(measured: Iterable[Mapping[int, Scores]]) -> dict[int, Scores]:
    """Return k → item → mean of what was measured of the item."""
    every: dict[int, dict[str, list[float]]] = {}
    for scores in measured:
        for k, of_k in scores.items():
            for item_id, score in of_k.items():
                every.setdefault(k, {}).setdefault(item_id, []).append(score)
    return {k: _means(of_k) for k, of_k in every.items()}


def _means(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {item_id: sum(each) / len(each) for item_id, each in scores.items()}


# Figures


def figures_of(
    measure: str, of: str, scores: Mapping[int, Scores], groups: Callable[[str], str], seed: int
) -> Iterator[Figure]:
    """Yield a figure for each k that has any score."""
    for k, of_k in sorted(scores.items()):
        if of_k:
            value, draws = _mean(of_k, groups, seed)
            low, high = interval_of(draws) or (None, None)
            yield Figure(measure, of, k, len(of_k), value, low, high)


def shifts_of(
    measure: str,
    of: str,
    scores: tuple[Mapping[int, Scores], Mapping[int, Scores]],
    groups: Callable[[str], str],
    seed: int,
) -> Iterator[Shift]:
    """Yield the paired difference for each k; scores: here and there, of the same queries."""
    here, there = scores
    for k in sorted(here.keys() & there.keys()):
        both = here[k].keys() & there[k].keys()
        if both:
            differences = {item_id: here[k][item_id] - there[k][item_id] for item_id in both}
            difference, draws = _mean(differences, groups, seed)
            low, high = interval_of(draws) or (None, None)
            before, after = (_mean_of(of_k, both) for of_k in (there[k], here[k]))
            verdict = _verdict(low, high, ("better", "worse"))
            yield Shift(measure, of, k, len(both), after, before, difference, low, high, verdict)


def _verdict(low: float | None, high: float | None, names: tuple[str, str]) -> str:
    if low is None or high is None or low <= 0 <= high:
        return "unclear"
    return names[0] if low > 0 else names[1]


def _mean_of(scores: Scores, chosen: Collection[str]) -> float:
    return math.fsum(scores[item_id] for item_id in chosen) / len(chosen)


def _mean(scores: Scores, groups: Callable[[str], str], seed: int) -> tuple[float, Array]:
    """Return the mean over the queries, and of each draw of groups, float64 (REPLICATES,)."""
    members: dict[str, list[float]] = {}
    for item_id in sorted(scores):
        members.setdefault(groups(item_id), []).append(scores[item_id])
    sums = np.array([[math.fsum(each), len(each)] for each in members.values()])
    drawn = np.concatenate(
        [weights @ sums for weights in drawn_weights(len(sums), REPLICATES, seed)]
    )
    # A single group tells nothing of how another one would have come out.
    draws = drawn[:, 0] / drawn[:, 1] if len(sums) > 1 else np.array([])
    return math.fsum(scores.values()) / len(scores), draws


def mean_cosine(space: Space, seed: int) -> Figure | None:
    """Return the mean cosine of any two items, near 1 where vectors hardly tell items apart.

    None of one item alone.
    """
    if len(space.ids) < 2:
        return None
    value = float(_mean_cosines(space.vectors, np.ones((1, len(space.ids))))[0])
    low, high = interval_of(_cosine_draws(space, seed)) or (None, None)
    return Figure(MEAN_COSINE, "any two items", 0, len(space.ids), value, low, high)


def mean_cosine_shift(here: Space, there: Space, seed: int) -> Shift | None:
    """Compare the mean cosines of the same items in two spaces."""
    ones, count = np.ones((1, len(here.ids))), len(here.ids)
    if count < 2:
        return None
    before, after = (float(_mean_cosines(each.vectors, ones)[0]) for each in (there, here))
    draws = _cosine_draws(here, seed) - _cosine_draws(there, seed)
    low, high = interval_of(draws) or (None, None)
    verdict = _verdict(low, high, ("higher", "lower"))
    shift = after - before
    return Shift(MEAN_COSINE, "any two items", 0, count, after, before, shift, low, high, verdict)


def _cosine_draws(space: Space, seed: int) -> Array:
    weights = drawn_weights(len(space.ids), REPLICATES, seed)
    return np.concatenate([_mean_cosines(space.vectors, each) for each in weights])


def _mean_cosines(vectors: Vector, weights: Array) -> Array:
    """Return the mean cosine of two different items, drawn by each row of weights.

    weights: float64 (draws, items). The sum over all pairs is the squared length of the sum.
    """
    sums = weights @ vectors
    own = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    same_squared = weights**2
    pairs = weights.sum(axis=1) ** 2 - same_squared.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Array = ((sums**2).sum(axis=1) - same_squared @ own) / pairs
    return means
