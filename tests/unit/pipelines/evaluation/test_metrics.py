"""Metrics of an evaluation: small cases counted by hand, and laws that hold for any decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.calibration import MIN_ANSWERED, Bin, wilson
from pipelines.evaluation.curves import MAX_CURVE_POINTS
from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.metrics import TARGETS, Metrics, measure
from pipelines.evaluation.slots import Scores
from tests.decisions import CASE, decision


def test_scores_counted_by_hand() -> None:
    """Counts, scores at the own threshold, of every candidate and of the majority value are what a
    hand counts.
    """
    row = measure(CASE).micro
    assert (row.slots, row.with_truth, row.absent, row.candidates, row.answered) == (7, 5, 2, 5, 4)
    assert row.measures.own == Scores(2 / 4, 2 / 5, 4 / 9)
    assert row.measures.forced == Scores(3 / 5, 3 / 5, 3 / 5)
    assert row.measures.baseline == Scores(2 / 7, 2 / 5, 4 / 12)
    assert row.measures.coverage == 3 / 5
    assert row.measures.invented_rate == 1 / 2


def test_several_values_count_each() -> None:
    """A multi-valued slot counts its values: two of three right and one missed is 2/3 and 2/3, and
    no whole slot.
    """
    metrics = measure([decision(said="abx", truth="abc")])
    assert metrics.micro.measures.own == Scores(2 / 3, 2 / 3, 2 / 3)
    assert [(each.vc, each.vw) for each in metrics.classes] == [(0, 1)] * 3


def test_nothing_to_divide_by_is_none() -> None:
    """Without decisions, answers, truths or absent slots the measures that need them are None, and
    nothing fails.
    """
    empty = measure([])
    assert (empty.micro.measures.own, empty.macro.own, empty.curve) == (
        Scores(None, None, None),
    ) * 2 + ((),)
    assert (empty.folds.mean, empty.folds.std, empty.micro.measures.ece) == (None, None, None)
    silent = measure([decision(truth="a")])
    assert silent.micro.measures.own == Scores(None, 0.0, 0.0)
    assert [each.coverage for each in silent.micro.measures.coverage_at] == [0.0] * len(TARGETS)
    assert silent.classes[2].threshold is None
    absent = measure([decision(said="a")])
    assert (absent.micro.measures.coverage, absent.micro.measures.invented_rate) == (None, 1.0)
    assert [each.coverage for each in absent.micro.measures.coverage_at] == [None] * len(TARGETS)


def test_coverage_at_a_precision_by_hand() -> None:
    """A later recovery of the precision counts, a tie is taken whole, and an invented value breaks
    the precision.
    """
    # 18 right at 0.9, one wrong at 0.8: 18/19 < 0.95; one more right at 0.7: 19/20 = 0.95 again.
    falling = [decision(n, said="a", truth="a", sure=0.9) for n in range(18)]
    recovers = [
        *falling,
        decision(18, said="b", truth="a", sure=0.8),
        decision(19, said="a", truth="a", sure=0.7),
    ]
    found = {each.target: each for each in measure(recovers).micro.measures.coverage_at}
    assert (found[0.95].coverage, found[0.95].threshold) == (1.0, 0.7)
    assert (found[0.99].coverage, found[0.99].threshold) == (18 / 20, 0.9)

    tie = [decision(0, said="a", truth="a", sure=0.9), decision(1, said="b", truth="a", sure=0.9)]
    assert measure(tie).micro.measures.coverage_at[0].coverage == 0.0

    invented = [decision(0, said="a", truth="a", sure=0.5), decision(1, said="a", sure=0.9)]
    assert measure(invented).micro.measures.coverage_at[0].coverage == 0.0


def test_a_threshold_does_not_answer_what_has_no_confidence() -> None:
    """A candidate without a confidence counts at the own threshold, and under no other."""
    metrics = measure([decision(said="a", truth="a", sure=None)])
    assert metrics.unsure == 1
    assert [each.vc for each in metrics.classes] == [1, 0, 0]
    assert metrics.micro.measures.coverage_at[0].coverage == 0.0
    assert metrics.micro.measures.ece is None


def test_reliability_by_hand() -> None:
    """A bin is closed above, answered or not; ECE weighs each bin's error by its count."""
    metrics = measure(CASE)
    filled = {each.high: each for each in metrics.bins if each.count}
    assert filled[0.9] == Bin(0.8, 0.9, 1, 0.9, 1.0)
    assert filled[0.8] == Bin(0.7, 0.8, 1, 0.8, 0.0)
    assert filled[0.4] == Bin(0.3, 0.4, 1, 0.4, 1.0)
    assert sorted(filled) == [0.4, 0.7, 0.8, 0.9, 1.0]
    assert metrics.micro.measures.ece == pytest.approx((0.05 + 0.1 + 0.8 + 0.7 + 0.6) / 5)


def test_expected_precision_is_held_against_what_was_reached() -> None:
    """From 30 answers on, mean confidence and precision are compared by Wilson's interval; below,
    not at all.
    """
    many = [
        decision(n, said="a", truth="a" if n < 24 else "b", sure=0.95) for n in range(MIN_ANSWERED)
    ]
    few = [decision(n, "size", said="a", truth="a") for n in range(MIN_ANSWERED - 1)]
    (found,) = measure(many + few).calibration
    assert (found.attribute, found.answered, found.reached) == ("color", 30, 0.8)
    assert found.expected == pytest.approx(0.95)
    assert found.difference == pytest.approx(-0.15)
    assert (found.low, found.high) == wilson(24, 30)
    assert not found.holds


def test_wilson_interval_of_a_textbook() -> None:
    """The interval agrees with published values (Newcombe 1998, table I: 81/263, 15/148, 0/20,
    1/29).
    """
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for counts, ends in published.items():
        assert wilson(*counts) == pytest.approx(ends, abs=5e-5)


def test_answers_by_rung() -> None:
    """Each rung has its answers, their precision and mean confidence; what was not answered has
    none.
    """
    rungs = {each.rung: each for each in measure(CASE).rungs}
    assert (rungs["rules"].answered, rungs["rules"].precision) == (2, 1.0)
    assert rungs["rules"].expected == pytest.approx(0.925)
    assert (rungs["probe"].answered, rungs["probe"].precision) == (2, 0.0)
    assert set(rungs) == {"rules", "probe"}


def test_five_classes_by_hand() -> None:
    """Each slot has one class, at the own, the fixed and the oracle threshold; the oracle is named
    as such.
    """
    own, fixed, oracle = measure(CASE).classes
    assert (own.nn, own.nv, own.vn, own.vc, own.vw) == (1, 1, 2, 2, 1)
    assert (own.precision, own.recall, own.f1) == (2 / 4, 2 / 5, 4 / 9)
    assert (fixed.nn, fixed.nv, fixed.vn, fixed.vc, fixed.vw) == (1, 1, 2, 2, 1)
    # F1 by threshold: 0.95 → 2/6, 0.9 → 4/7, 0.8 → 4/8, 0.7 → 4/9, 0.4 → 6/10.
    assert (oracle.threshold, oracle.f1) == (0.4, 6 / 10)
    assert "chosen on the truth, for orientation only" in oracle.name


def test_macro_is_the_mean_over_attributes_that_have_the_measure() -> None:
    """Each attribute weighs the same, and one that answered nothing has no precision to be
    averaged.
    """
    right = [decision(n, "color", said="a", truth="a") for n in range(9)]
    wrong = decision(0, "size", said="b", truth="a")
    macro = measure([*right, wrong, decision(0, "style", truth="a")]).macro
    assert macro.own == Scores(1 / 2, 1 / 3, 1 / 3)


def test_folds_have_a_mean_and_a_spread() -> None:
    """F1 by fold, mean and sample standard deviation; one fold has no spread."""
    folds = measure(
        [decision(0, said="a", truth="a"), decision(1, said="b", truth="a", fold=1)]
    ).folds
    assert [(each.fold, each.slots, each.f1) for each in folds.folds] == [(0, 1, 1.0), (1, 1, 0.0)]
    assert (folds.mean, folds.std) == (0.5, pytest.approx(0.5**0.5))
    assert measure(CASE).folds.std is None


def test_metrics_are_json() -> None:
    """Metrics can be written as JSON and read back into the same metrics."""
    metrics = measure(CASE)
    assert msgspec.json.decode(msgspec.json.encode(metrics), type=Metrics) == metrics


def test_the_curve_is_thinned_with_its_ends_kept() -> None:
    """Many thresholds give a bounded curve from the first answer to all of them."""
    many = [decision(n, said="a", truth="a" if n % 3 else "b", sure=n / 1000) for n in range(1000)]
    curve = measure(many).curve
    assert len(curve) == MAX_CURVE_POINTS
    assert (curve[0].threshold, curve[-1].threshold, curve[-1].coverage) == (0.999, 0.0, 1.0)


VALUES = st.sampled_from(["", "a", "b", "ab", "abc"])
SLOT = st.builds(
    decision,
    item=st.integers(0, 5),
    attribute=st.sampled_from(["color", "size"]),
    said=VALUES,
    truth=VALUES,
    sure=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99, 1.0]) | st.floats(0, 1),
    fold=st.integers(0, 2),
)
SLOTS = st.lists(SLOT, max_size=30)


@given(SLOTS, st.randoms())
def test_the_order_changes_nothing(slots: list[Decision], random: Any) -> None:
    """Decisions in any order give the very same metrics."""
    shuffled = slots.copy()
    random.shuffle(shuffled)
    assert measure(shuffled) == measure(slots)


@given(SLOTS)
def test_more_precision_never_covers_more(slots: list[Decision]) -> None:
    """Coverage falls, or stays, as the target precision rises."""
    covered = [each.coverage for each in measure(slots).micro.measures.coverage_at]
    assert covered == sorted(covered, key=lambda value: -(value or 0))


@given(SLOTS)
def test_a_named_threshold_gives_its_coverage(slots: list[Decision]) -> None:
    """Answering at the threshold that is named reaches the target and covers what was said."""
    for each in measure(slots).micro.measures.coverage_at:
        if each.threshold is not None:
            at = measure(
                [
                    replace(
                        slot, answered=bool(slot.candidate) and slot.confidence >= each.threshold
                    )
                    for slot in slots
                ]
            )  # type: ignore[operator]
            assert at.micro.measures.own.precision >= each.target - 1e-9  # type: ignore[operator]
            assert at.micro.measures.coverage == pytest.approx(each.coverage)


@given(SLOTS, st.floats(0, 1))
def test_no_threshold_beats_the_oracle(slots: list[Decision], threshold: float) -> None:
    """Whatever one threshold the cascade has, F1 of the classes is at most the oracle's, and the
    fixed one's too.
    """
    own, fixed, oracle = measure(
        [
            replace(slot, answered=bool(slot.candidate) and slot.confidence >= threshold)
            for slot in slots
        ]  # type: ignore[operator]
    ).classes
    assert (oracle.f1 or 0) >= max(own.f1 or 0, fixed.f1 or 0)


@given(SLOTS)
def test_every_slot_has_one_class(slots: list[Decision]) -> None:
    """The five classes add up to the slots, at every threshold."""
    assert {each.nn + each.nv + each.vn + each.vc + each.vw for each in measure(slots).classes} == {
        len(slots)
    }


@given(SLOTS)
def test_shares_are_shares(slots: list[Decision]) -> None:
    """Every score lies between 0 and 1, counts add up, and answering more never lowers the recall."""
    metrics = measure(slots)
    for row in (metrics.micro, *metrics.attributes):
        one = row.measures
        for each in (one.own, one.forced, one.baseline):
            assert all(
                value is None or 0 <= value <= 1 for value in (each.precision, each.recall, each.f1)
            )
        assert row.with_truth + row.absent == row.slots
        assert row.answered <= row.candidates <= row.slots
        assert (one.own.recall or 0) <= (one.forced.recall or 0)
        assert one.ece is None or 0 <= one.ece <= 1
    assert sum(row.slots for row in metrics.attributes) == len(slots)
    assert sum(each.count for each in metrics.bins) == metrics.micro.candidates - metrics.unsure


@given(SLOTS, st.integers(2, 4))
def test_saying_all_again_changes_no_share(slots: list[Decision], times: int) -> None:
    """The same decisions several times over leave every share as it is."""
    once, again = measure(slots).micro.measures, measure(slots * times).micro.measures
    assert (once.own, once.forced, once.coverage, once.coverage_at) == (
        again.own,
        again.forced,
        again.coverage,
        again.coverage_at,
    )


def test_scores_agree_with_scikit_learn() -> None:
    """On random slots, precision, recall and F1 are scikit-learn's micro scores over (item, value)
    pairs.
    """
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    letters = ["", "a", "b", "ab"]
    slots = [
        decision(n, said=letters[random.integers(4)], truth=letters[random.integers(4)])
        for n in range(200)
    ]
    pairs = [(value in each.accepted, value in each.candidate) for each in slots for value in "ab"]
    truth, said = np.array(pairs).T
    expected = precision_recall_fscore_support(truth, said, average="binary")[:3]
    own = measure(slots).micro.measures.own
    assert (own.precision, own.recall, own.f1) == pytest.approx(expected)
