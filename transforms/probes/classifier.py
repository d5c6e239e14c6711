"""A classifier of one attribute with a closed list: labelled rows → answers for held-back rows, and
a Classifier. Pure.

Ridge classification on hashed words, known values and the vectors of text and picture. It is solved
on the kernel
matrix of the rows: one inverse gives the answers of every fold at once, which makes the choice
between views cheap. What is kept are the weights of the features, so that answering needs numpy and
scipy alone and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from transforms.probes.features import Features, Floats, View

MIN_ROWS_WITH_COLUMN = 2
# Blocks have rows of unit length; the penalty counts in the same unit.
_PENALTY = 1.0
_BIAS = 0.1
_IMAGE_WEIGHT = 2.0
_STEEPNESS = 4.0
_MAX_MARGIN = 10.0

Doubles = np.ndarray[Any, np.dtype[np.float64]]
# One row's labels, in the order of the list; the empty tuple says that there is no value.
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The hashed columns that training has seen often enough, with their weights: rows are scaled
    to unit length.

    columns: ascending int64; idf: float32 of the same length (Spärck Jones 1972, smoothed).
    """

    columns: np.ndarray[Any, np.dtype[np.int64]]
    idf: Floats

    @classmethod
    def fit(cls, counts: Any) -> Columns:
        """From a sparse matrix (rows, hashed columns)."""
        rows_with = np.bincount(counts.indices, minlength=counts.shape[1])
        columns = np.flatnonzero(rows_with >= MIN_ROWS_WITH_COLUMN)
        idf = np.log((1 + counts.shape[0]) / (1 + rows_with[columns])) + 1
        return cls(columns, idf.astype(np.float32))

    def __call__(self, counts: Any) -> Any:
        """Sparse float32 (rows, kept columns), rows of unit length or zero."""
        from scipy.sparse import csr_matrix

        place = np.full(counts.shape[1], -1, np.int64)
        place[self.columns] = np.arange(len(self.columns))
        at = place[counts.indices]
        kept = at >= 0
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[kept]
        data = counts.data[kept] * self.idf[at[kept]]
        norms = np.sqrt(np.bincount(rows, data.astype(np.float64) ** 2, minlength=counts.shape[0]))
        data = (data / np.where(norms > 0, norms, 1)[rows]).astype(np.float32)
        return csr_matrix((data, (rows, at[kept])), shape=(counts.shape[0], len(self.columns)))


def center(vectors: Floats, mean: Floats) -> Floats:
    """Vectors without what all have in common, scaled to unit length; zero stays zero."""
    centered = np.zeros_like(vectors)
    known = np.any(vectors != 0, axis=1)
    if mean.shape[0] == vectors.shape[1]:
        centered[known] = vectors[known] - mean
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(centered / np.where(norms > 1e-6, norms, 1), np.float32)


def mean_of(vectors: Floats) -> Floats:
    """Return the mean of the rows that have a vector; float32 (dimension,)."""
    known = vectors[np.any(vectors != 0, axis=1)]
    if len(known) < 2:
        return np.zeros(vectors.shape[1], np.float32)
    mean: Floats = known.mean(axis=0)
    return mean


@dataclass(frozen=True, slots=True)
class Design:
    """Features → blocks of inputs: words and text vectors for the text, tokens and image vectors
    for the picture.
    """

    words: Columns
    text_mean: Floats
    pictures: Columns
    image_mean: Floats

    @classmethod
    def fit(cls, features: Features) -> Design:
        return cls(
            Columns.fit(features.words),
            mean_of(features.text_vectors),
            Columns.fit(features.pictures),
            mean_of(features.image_vectors),
        )

    def __call__(self, view: View, features: Features) -> list[Any]:
        """Matrices with the same rows: sparse, dense, sparse, dense float32, as the view takes
        them.
        """
        blocks: list[Any] = []
        if view != "image":
            blocks += [self.words(features.words), center(features.text_vectors, self.text_mean)]
        if view != "text":
            weight = np.float32(np.sqrt(_IMAGE_WEIGHT))
            blocks += [
                self.pictures(features.pictures),
                weight * center(features.image_vectors, self.image_mean),
            ]
        return blocks


def kernel_of(blocks: Sequence[Any]) -> Floats:
    """Return the inner products of the rows over all blocks; float32 (rows, rows), what training
    needs most memory for.
    """
    total: Floats = np.zeros((blocks[0].shape[0],) * 2, np.float32)
    for block in blocks:
        total += (block @ block.T).toarray() if hasattr(block, "toarray") else block @ block.T
    return total


@dataclass(frozen=True, slots=True)
class Targets:
    """Labelled rows as numbers.

    names: of the classes; targets: float64 (rows, classes), 1 where it holds, else -1.

    weights: of the rows, so that rare classes are heard; several: each class is decided for itself.
    """

    names: tuple[str, ...]
    targets: Doubles
    weights: Doubles
    several: bool

    @classmethod
    def of(cls, labels: Sequence[Labels], *, several: bool) -> Targets:
        rows = [row or (() if several else ("",)) for row in labels]
        names = tuple(sorted({name for row in rows for name in row}))
        column_of = {name: column for column, name in enumerate(names)}
        targets = np.full((len(rows), len(names)), -1.0)
        for number, row in enumerate(rows):
            for name in row:
                targets[number, column_of[name]] = 1.0
        weights = np.ones(len(rows))
        if not several and names:
            counts = (targets > 0).sum(axis=0)
            weights = np.sqrt(len(rows) / len(names) / counts)[targets.argmax(axis=1)]
        return cls(names, targets, weights, several)


def held_back_scores(kernel: Floats, targets: Targets, folds: Any) -> tuple[Floats, Floats]:
    """Scores of each row from the rows of other folds, and the dual weights of all rows; float32
    (rows, classes).

    The inverse C of the whole system gives both: of a fold S, score = target - inverse(C_SS) · (C ·
    targets)_S (Rasmussen & Williams 2006, eq. 5.12, for blocks). A class that no other fold has
    cannot win there.
    """
    from scipy.linalg import lapack

    system = kernel + np.float32(_BIAS)
    system[np.diag_indices_from(system)] += (_PENALTY / targets.weights).astype(np.float32)
    # Symmetric, so its transpose is the same in the order of columns that LAPACK works on in place.
    # The penalty keeps the condition number near the number of rows: single precision is enough.
    factor, _ = lapack.spotrf(system.T, lower=1, overwrite_a=1)
    duals, _ = lapack.spotrs(factor, targets.targets.astype(np.float32), lower=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)  # its lower half
    scores = np.empty_like(duals)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        block = np.tril(inverse[np.ix_(held, held)])
        block += np.tril(block, -1).T
        scores[held] = targets.targets[held] - np.linalg.solve(block, duals[held])
        if not targets.several:
            unseen = (targets.targets[folds != fold] <= 0).all(axis=0)
            scores[np.ix_(held, np.flatnonzero(unseen))] = -np.inf
    return scores, duals


def decide(scores: Any, names: Sequence[str], *, several: bool) -> tuple[list[Labels], Doubles]:
    """Return the best labels of each row, and a raw score in [0.5, 1] that grows with the margin of
    the decision.

    Of several values all with a positive score are taken, or the best one, with a raw score below
    0.5; the row's margin is its least sure one's.
    """
    # A class that no other fold has scores minus infinity; of several such the difference would be
    # none.
    scores = np.maximum(np.asarray(scores, np.float64), -_MAX_MARGIN)
    if several:
        chosen = scores > 0
        alone = ~chosen.any(axis=1)
        chosen[alone, scores[alone].argmax(axis=1)] = True
        signed = np.where(chosen, scores, -scores)
        margins = 2 * signed.min(axis=1)
        labels = [tuple(compress(names, row)) for row in chosen]
    else:
        best = scores.argmax(axis=1)
        rivals = scores.copy()
        rivals[np.arange(len(best)), best] = -np.inf
        margins = np.minimum(
            scores[np.arange(len(best)), best] - rivals.max(axis=1, initial=-np.inf), _MAX_MARGIN
        )
        labels = [(names[at],) if names[at] else () for at in best]
    return labels, 1 / (1 + np.exp(-_STEEPNESS * margins))


@dataclass(frozen=True, slots=True)
class Classifier:
    """A fitted linear model.

    weights: one float32 (inputs, classes) for each block of the view; bias: (classes,).
    """

    view: View
    design: Design
    names: tuple[str, ...]
    several: bool
    weights: tuple[Floats, ...]
    bias: Floats

    @classmethod
    def build(
        cls, view: View, design: Design, features: Features, targets: Targets, duals: Doubles
    ) -> Classifier:
        """From the dual weights of the training rows."""
        weights = tuple(np.asarray(block.T @ duals, np.float32) for block in design(view, features))
        bias = np.asarray(_BIAS * duals.sum(axis=0), np.float32)
        return cls(view, design, targets.names, targets.several, weights, bias)

    def scores(self, features: Features) -> Floats:
        """float32 (rows, classes)."""
        total: Floats = np.tile(self.bias, (len(features), 1))
        for share in self.shares(features):
            total = total + share
        return total

    def shares(self, features: Features) -> list[Floats]:
        """Return what each block of the view adds to the scores; float32 (rows, classes) each."""
        nothing = np.zeros((len(features), len(self.names)), np.float32)
        return [
            block @ weights if block.shape[1] == weights.shape[0] else nothing
            for block, weights in zip(self.design(self.view, features), self.weights, strict=True)
        ]

    def answer(self, features: Features) -> tuple[list[Labels], Doubles]:
        """As `decide`."""
        return decide(self.scores(features), self.names, several=self.several)
