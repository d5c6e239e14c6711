"""transforms.probes.calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from transforms.probes.calibration import MIN_ISOTONIC, Calibration, choose_cut, fit_calibration

UNIT = st.floats(0, 1)


def drawn(count: int, chance: object, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, whether each answer is right with the given chance, and groups."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.5, 1, count)
    return scores, rng.uniform(size=count) < chance(scores), rng.integers(0, 5, count)  # type: ignore[operator]


def test_each_kind_maps_as_it_says() -> None:
    """Isotonic is linear between points and flat outside, sigmoid is Platt's, constant does not
    look; all are capped.
    """
    isotonic = Calibration("isotonic", (0.2, 0.6), (0.1, 0.9), 0.8)
    assert isotonic([0.0, 0.4, 0.6]).tolist() == pytest.approx([0.1, 0.5, 0.8])
    sigmoid = Calibration("sigmoid", (2.0,), (-1.0,), 0.99)
    assert sigmoid([0.5, 0.7]).tolist() == pytest.approx(
        [1 / (1 + np.e), 1 / (1 + np.exp(1 - 2 * np.log(7 / 3)))]
    )
    assert Calibration("constant", (), (0.7,))([[0.0, 1.0]]).tolist() == [[0.7, 0.7]]


@pytest.mark.parametrize(
    ("right", "expected"), [([], 1 / 2), ([True] * 8, 9 / 10), ([False] * 8, 1 / 10)]
)
def test_all_alike_is_a_constant(right: list[bool], expected: float) -> None:
    """Where no answer was wrong, or none right, or none given, scores say nothing and Laplace's
    rule counts.
    """
    calibration = fit_calibration(np.linspace(0.5, 1, len(right)), right, range(len(right)))
    assert (calibration.kind, calibration.y) == ("constant", (pytest.approx(expected),))
    assert calibration([1.0]).tolist() == pytest.approx([expected])


def test_scores_below_all_that_were_measured_count_less() -> None:
    """Of a lower score than any held-back answer had, nothing was measured: it never gets what
    those got.
    """
    for right in ([True] * 200, [True] * 199 + [False]):
        calibration = fit_calibration(np.linspace(0.8, 1, 200), right, np.arange(200) % 5)
        nothing, low, lowest, high = calibration([0.0, 0.79, 0.8, 1.0])
        assert nothing == 0
        assert low < lowest <= high
        assert lowest > 0.9


def test_the_kind_that_predicts_unseen_groups_best_is_taken() -> None:
    """A jump is followed by steps, a smooth rise by a curve; few rows, or one group, allow no
    steps.
    """
    jump = drawn(600, lambda scores: np.where(scores < 0.75, 0.1, 0.97))
    assert fit_calibration(*jump).kind == "isotonic"
    assert fit_calibration(*drawn(150, lambda scores: scores)).kind == "sigmoid"
    few = [part[: MIN_ISOTONIC - 1] for part in jump]
    assert fit_calibration(*few).kind == "sigmoid"
    assert fit_calibration(jump[0], jump[1], np.zeros(600, int)).kind == "sigmoid"


@settings(max_examples=20, deadline=None)
@given(
    answers=st.lists(st.tuples(UNIT, st.booleans(), st.integers(0, 4)), min_size=1, max_size=150),
    asked=st.lists(UNIT, min_size=2, max_size=20),
)
def test_probabilities_rise_with_scores_and_never_reach_one(
    answers: list[tuple[float, bool, int]], asked: list[float]
) -> None:
    """Whatever was held back, a higher score gets no lower probability, and none is above 1 - 1 /
    (n + 2).
    """
    calibration = fit_calibration(*zip(*answers, strict=True))
    probabilities = calibration(sorted(asked))
    assert np.all(np.diff(probabilities) >= 0)
    assert probabilities[0] >= 0
    assert probabilities[-1] <= calibration.ceiling == 1 - 1 / (len(answers) + 2) < 1


@pytest.mark.parametrize("count", [80, 2_000])
def test_probabilities_are_about_right(count: int) -> None:
    """Of new answers with a probability about p, about p are right."""
    calibration = fit_calibration(*drawn(count, lambda scores: scores**2))
    asked = np.linspace(0.55, 0.95, 9)
    assert np.abs(calibration(asked) - asked**2).max() < 4 / np.sqrt(count)


def fits(count: int, hits: int, target: float) -> bool:
    return (hits + 0.5) / (count + 1) >= target and beta.ppf(
        0.1, hits + 0.5, count - hits + 0.5
    ) >= target - 0.05


@settings(max_examples=200, deadline=None)
@given(
    answers=st.lists(
        st.tuples(st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]), st.integers(0, 9)), max_size=120
    ),
    target=st.sampled_from([0.5, 0.8, 0.9, 0.95]),
    least=st.sampled_from([0.0, 0.9, 1.0]),
)
def test_the_cut_is_the_lowest_that_is_expected_to_keep_the_target(
    answers: list[tuple[float, int]], target: float, least: float
) -> None:
    """Of all thresholds from `least` on, the lowest whose answers, ties together, reach the target;
    else none.
    """
    confidences = [confidence for confidence, _ in answers]
    right = [luck > 0 for _, luck in answers]
    cut = choose_cut(confidences, right, target, least, len(answers) + 10)
    above = {
        threshold: [
            hit
            for confidence, hit in zip(confidences, right, strict=True)
            if confidence >= threshold
        ]
        for threshold in confidences
        if threshold >= least
    }
    keeping = [threshold for threshold, hits in above.items() if fits(len(hits), sum(hits), target)]
    assert cut.threshold == min(keeping, default=2.0)
    if keeping:
        hits = above[cut.threshold]
        assert (cut.answers, cut.precision) == (len(hits), pytest.approx(sum(hits) / len(hits)))
        assert cut.coverage == pytest.approx(len(hits) / (len(answers) + 10))


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
def test_new_answers_reach_the_target(target: float) -> None:
    """Over many catalogs, new answers above the cut are right as often as was asked for."""
    rng, right_share = np.random.default_rng(3), []
    for _ in range(300):
        confidences = rng.uniform(0.5, 1, 300)
        cut = choose_cut(confidences, rng.uniform(size=300) < confidences, target, 0.0, 300)
        if cut.threshold <= 1:
            right_share.append(
                (1 + cut.threshold) / 2
            )  # what a confidence promises comes true here
    assert len(right_share) > 30
    assert np.mean(right_share) >= target - 0.02


def test_a_dozen_lucky_answers_do_not_suffice() -> None:
    """Twelve right answers of twelve do not show a precision of 95 %; forty do."""
    assert choose_cut([0.99] * 12, [True] * 12, 0.95, 0.8, 12).threshold > 1
    assert choose_cut([0.99] * 40, [True] * 40, 0.95, 0.8, 40).threshold == 0.99


def test_none_fits() -> None:
    """Where answers are wrong too often, not sure enough, or missing, the threshold is out of
    reach.
    """
    for confidences, right in (
        ([0.9] * 50, [True, False] * 25),
        ([0.7] * 50, [True] * 50),
        ([], []),
    ):
        cut = choose_cut(confidences, right, 0.9, 0.8, 50)
        assert (cut.threshold, cut.answers, cut.coverage) == (2.0, 0, 0.0)
