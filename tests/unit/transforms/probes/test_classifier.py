"""transforms.probes.classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tests.support import clean_example, example, learning_template
from transforms.probes.classifier import (
    Classifier,
    Columns,
    Design,
    Labels,
    Targets,
    center,
    decide,
    held_back_scores,
    kernel_of,
    mean_of,
)
from transforms.probes.features import VIEWS, Features, View, featurise

SHOP = learning_template()
BIAS, PENALTY = 0.1, 1.0  # as the module has them: what a refit must assume


def refitted(kernel: np.ndarray, targets: Targets, folds: np.ndarray, fold: int) -> np.ndarray:
    """Scores of a fold's rows from a system that is solved again without them."""
    held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
    penalties = np.diag(PENALTY / targets.weights[rest])
    duals = np.linalg.solve(kernel[np.ix_(rest, rest)] + BIAS + penalties, targets.targets[rest])
    return (kernel[np.ix_(held, rest)] + BIAS) @ duals


LABELS = st.sampled_from([("a",), ("b",), ("c",), ()])


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.tuples(LABELS, LABELS), min_size=4, max_size=30),
    folds=st.lists(st.integers(0, 4), min_size=30, max_size=30),
    seed=st.integers(0, 99),
    several=st.booleans(),
)
def test_held_back_scores_are_those_of_a_refit(
    labels: list[tuple[Labels, Labels]], folds: list[int], seed: int, several: bool
) -> None:
    """Each row's scores are those of a model fitted again without its fold; of a class only that
    fold has, none.
    """
    known = [tuple(sorted({*one, *other})) if several else one for one, other in labels]
    if not any(known):
        known[0] = ("a",)
    at = np.array(folds[: len(known)])
    rows = np.random.default_rng(seed).normal(size=(len(known), 6))
    kernel = rows @ rows.T
    targets = Targets.of(known, several=several)
    scores, _ = held_back_scores(kernel.copy(), targets, at)
    for fold in set(at.tolist()):
        rest = [
            row or (() if several else ("",))
            for row, other in zip(known, at, strict=True)
            if other != fold
        ]
        seen = np.array([several or any(name in row for row in rest) for name in targets.names])
        assert np.all(scores[at == fold][:, ~seen] == -np.inf)
        if rest:
            expected = refitted(kernel, targets, at, fold)
            np.testing.assert_allclose(scores[at == fold][:, seen], expected[:, seen], atol=1e-4)


@pytest.mark.parametrize("attribute", ["color", "tags"])
def test_the_law_holds_on_real_features(attribute: str) -> None:
    """The same on words of rows: the fast way and the refit agree."""
    rows = [clean_example(n) for n in range(40)]
    labels, folds = [row.known[attribute] for row in rows], np.arange(40) % 5
    features = featurise(SHOP, attribute, rows, [None] * 40)
    kernel = kernel_of(Design.fit(features)("text", features))
    targets = Targets.of(labels, several=attribute == "tags")
    scores, _ = held_back_scores(kernel, targets, folds)
    for fold in range(5):
        np.testing.assert_allclose(
            scores[folds == fold], refitted(kernel, targets, folds, fold), atol=1e-4
        )


def test_a_class_of_one_fold_does_not_win_there() -> None:
    """Rows of a class that no other fold has are answered with another class, however alike they
    are.
    """
    labels = [("rare",)] * 4 + [("a",), ("b",)] * 4
    folds = np.array([0] * 4 + [1, 2] * 4)
    kernel = np.zeros((12, 12))
    kernel[:4, :4] = 5.0
    targets = Targets.of(labels, several=False)
    answers, raw = decide(held_back_scores(kernel, targets, folds)[0], targets.names, several=False)
    assert set(answers[:4]) <= {("a",), ("b",)}
    assert np.all(np.isfinite(raw))


def test_rare_classes_are_heard() -> None:
    """Rows of rare classes weigh more, by the root of how rare they are; several values each weigh
    the same.
    """
    targets = Targets.of([("a",)] * 9 + [()], several=False)
    assert targets.names == ("", "a")
    assert targets.weights[9] / targets.weights[0] == pytest.approx(3)
    several = Targets.of([("a", "b"), (), ("b",)], several=True)
    assert several.names == ("a", "b")
    assert several.targets.tolist() == [[1, 1], [-1, -1], [-1, 1]]
    assert several.weights.tolist() == [1, 1, 1]


def test_decisions_of_one_value() -> None:
    """The best class wins, the empty class says none, and a larger margin gives a larger score from
    0.5 up.
    """
    answers, raw = decide(
        [[0.1, 0.2, 0.1], [0.9, -0.5, 0.0], [0.1, 0.1, 0.9]], ["", "a", "b"], several=False
    )
    assert answers == [("a",), (), ("b",)]
    assert 0.5 < raw[0] < raw[2] < raw[1] < 1
    tied, even = decide([[0.3, 0.3]], ["a", "b"], several=False)
    assert (tied, even.tolist()) == ([("a",)], [0.5])
    alone, sure = decide([[-0.2]], ["a"], several=False)
    assert alone == [("a",)]
    assert sure[0] == pytest.approx(1)


def test_decisions_of_several_values() -> None:
    """All with a positive score are taken, the best where none is; the least sure one decides how
    sure all are.
    """
    answers, raw = decide(
        [[0.8, 0.7, -0.9], [0.8, 0.1, -0.9], [-0.9, -0.2, -0.8]], ["a", "b", "c"], several=True
    )
    assert answers == [("a", "b"), ("a", "b"), ("b",)]
    assert raw[0] > raw[1] > 0.5 > raw[2] > 0


def test_columns_keep_what_was_seen_twice() -> None:
    """A column of one row is dropped, rarer ones weigh more, rows have length one or zero, unseen
    columns are left.
    """
    counts = csr_matrix(np.array([[1, 1, 0, 2], [1, 1, 1, 0], [1, 0, 0, 0]], np.float32))
    columns = Columns.fit(counts)
    assert columns.columns.tolist() == [0, 1]
    assert columns.idf[1] > columns.idf[0] == 1
    rows = columns(
        csr_matrix(np.array([[1, 1, 9, 9], [0, 0, 9, 9], [0, 4, 0, 0]], np.float32))
    ).toarray()
    assert np.linalg.norm(rows, axis=1).tolist() == pytest.approx([1, 0, 1])
    assert rows.shape == (3, 2)


def test_no_column_at_all() -> None:
    """Where nothing was seen twice there are no columns, and a kernel of zeros."""
    columns = Columns.fit(csr_matrix(np.eye(3, dtype=np.float32)))
    rows = columns(csr_matrix(np.eye(3, dtype=np.float32)))
    assert rows.shape == (3, 0)
    assert not kernel_of([rows]).any()


def test_vectors_are_centered() -> None:
    """What all vectors share is taken off and length set to one; none stays none, and so does one
    of other length.
    """
    vectors = np.array([[3, 1], [3, -1], [0, 0]], np.float32)
    assert mean_of(vectors).tolist() == [3, 0]
    assert center(vectors, mean_of(vectors)).tolist() == [[0, 1], [0, -1], [0, 0]]
    assert not center(vectors, np.zeros(3, np.float32)).any()
    assert mean_of(vectors[1:]).tolist() == [0, 0]
    assert mean_of(np.zeros((2, 0), np.float32)).shape == (0,)
    assert center(np.zeros((2, 0), np.float32), np.zeros(0, np.float32)).shape == (2, 0)


def features_of(numbers: Sequence[int]) -> Features:
    """Rows with words, a vector and what a picture shows; every fourth without either."""
    rows = []
    for n in numbers:
        row, color = clean_example(n), float(n % 3)
        shown = {f"p{n}": [(f"color={n % 3}", 0.5), ("label=mug", 0.3)]} if n % 4 else {}
        vector = (color, 1.0, n / 10) if n % 4 else ()
        rows.append(
            example(row.item_id, row.texts[0].text, row.texts[1].text, row.known, (), shown, vector)
        )
    return featurise(SHOP, "color", rows, [None] * len(rows))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("attribute", ["color", "tags"])
def test_weights_answer_as_the_kernel_does(view: View, attribute: str) -> None:
    """The weights of the features give the training rows the scores that the kernel gives them."""
    labels = [clean_example(n).known[attribute] for n in range(30)]
    features = features_of(range(30))
    design, targets = Design.fit(features), Targets.of(labels, several=attribute == "tags")
    kernel = kernel_of(design(view, features))
    _, duals = held_back_scores(kernel, targets, np.arange(30) % 5)
    model = Classifier.build(view, design, features, targets, duals)
    np.testing.assert_allclose(model.scores(features), (kernel + BIAS) @ duals, atol=1e-4)


def test_rows_without_vectors_are_answered() -> None:
    """A model that learnt from vectors answers for rows that have none, or nothing at all."""
    features = features_of(range(30))
    design, targets = (
        Design.fit(features),
        Targets.of([clean_example(n).known["color"] for n in range(30)], several=False),
    )
    duals = held_back_scores(kernel_of(design("both", features)), targets, np.arange(30) % 5)[1]
    model = Classifier.build("both", design, features, targets, duals)
    bare = featurise(
        SHOP, "color", [example("x", "scarlet ruby shirt"), example("y")], [None, None]
    )
    answers, raw = model.answer(bare)
    assert answers[0] == ("Red",)
    assert raw[0] > raw[1] >= 0.5
    np.testing.assert_allclose(model.scores(bare)[1], model.bias)
