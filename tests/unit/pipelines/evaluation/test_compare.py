"""Paired bootstrap: what it finds, what it leaves out, and when it refuses."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from pipelines.evaluation.compare import MEASURES, Comparison, Difference, compare
from pipelines.evaluation.metrics import measure
from tests.decisions import ATTRIBUTES, decision, run


def by_name(comparison: Comparison) -> dict[tuple[str, str | None], Difference]:
    return {(each.measure, each.attribute): each for each in comparison.differences}


def test_equal_runs_do_not_differ() -> None:
    """A run against itself differs nowhere, in no draw."""
    slots = run(60, 0.7, seed=1)
    comparison = compare(slots, slots, replicates=200)
    assert {each.difference for each in comparison.differences} == {0.0}
    assert {(each.low, each.high, each.verdict) for each in comparison.differences} == {
        (0.0, 0.0, "unclear")
    }
    assert set(by_name(comparison)) == {
        *((name, None) for name in MEASURES),
        *(("F1", name) for name in ATTRIBUTES),
    }


def test_equally_good_runs_are_not_told_apart() -> None:
    """Two runs of the same skill whose errors fall elsewhere give an interval that holds 0."""
    found = by_name(compare(run(400, 0.7, seed=1), run(400, 0.7, seed=2), replicates=500))[
        "F1", None
    ]
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.verdict == "unclear"


def test_a_clearly_better_run_is_better() -> None:
    """More skill is found better, over all and of each attribute, with the interval above 0; the
    other way round worse.
    """
    good, bad = run(400, 0.9, seed=1), run(400, 0.6, seed=2)
    for each in (
        by_name(compare(good, bad, replicates=500))[key] for key in [("F1", None), ("F1", "size")]
    ):
        assert each.low is not None
        assert 0 < each.low <= each.difference <= each.high  # type: ignore[operator]
        assert each.verdict == "better"
    assert by_name(compare(bad, good, replicates=500))["F1", None].verdict == "worse"


def test_a_smaller_calibration_error_is_better() -> None:
    """Of ECE less is better: an overconfident run is worse though its interval lies above 0."""
    honest = [
        replace(each, confidence=0.7) if each.candidate else each for each in run(300, 0.7, seed=1)
    ]
    boastful = [replace(each, confidence=1.0) if each.candidate else each for each in honest]
    found = by_name(compare(boastful, honest, replicates=300))["ECE", None]
    assert found.low is not None
    assert found.low > 0
    assert (found.verdict, found.lower_is_better) == ("worse", True)


def test_measures_are_those_of_the_metrics() -> None:
    """On slots that both hold, each measure is what `measure` says of them."""
    ours, theirs = run(80, 0.8, seed=1), run(80, 0.6, seed=2)
    found = by_name(compare(ours, theirs, replicates=1))
    for slots, side in ((ours, "here"), (theirs, "there")):
        metrics = measure(slots)
        one = metrics.micro.measures
        expected = [
            one.own.f1,
            one.own.precision,
            one.own.recall,
            one.coverage,
            one.forced.recall,
            one.ece,
        ]
        assert [getattr(found[name, None], side) for name in MEASURES] == pytest.approx(expected)
        for row in metrics.attributes:
            assert getattr(found["F1", row.name], side) == pytest.approx(row.measures.own.f1)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    """The weighted sums give the interval that resampling decisions one by one gives, but for
    chance.
    """
    ours, theirs = run(40, 0.8, seed=1), run(40, 0.6, seed=2)
    random, draws = np.random.default_rng(7), []
    for _ in range(400):
        chosen = random.integers(0, 40, 40)
        f1 = [
            measure(
                [slots[3 * item + place] for item in chosen for place in range(3)]
            ).micro.measures.own.f1
            or 0
            for slots in (ours, theirs)
        ]
        draws.append(f1[0] - f1[1])
    found = by_name(compare(ours, theirs, replicates=2000))["F1", None]
    assert (found.low, found.high) == pytest.approx(
        tuple(np.percentile(draws, [2.5, 97.5])), abs=0.03
    )


def test_only_shared_slots_are_compared() -> None:
    """Slots of one run only, and slots whose truth differs, are left out and counted; folds and
    order do not matter.
    """
    ours, theirs = run(20, 0.8, seed=1), run(20, 0.6, seed=2)
    other_truth = decision(0, "style", "x", "q")
    changed = [*(replace(each, fold=9) for each in theirs[:2]), other_truth, *theirs[3:50]][::-1]
    comparison = compare(ours[1:], changed, replicates=50)
    assert (comparison.slots, comparison.items) == (48, 17)
    assert (comparison.left_out_here, comparison.left_out_there, comparison.different_truth) == (
        10,
        1,
        1,
    )
    same = compare([ours[1], *ours[3:50]], [theirs[1], *theirs[3:50]], replicates=50)
    assert same.differences == comparison.differences


def test_equal_seeds_give_equal_results() -> None:
    """The seed decides the draws, the order of the decisions does not; the result can be written as
    JSON.
    """
    ours, theirs = run(50, 0.8, seed=1), run(50, 0.7, seed=2)
    first = compare(ours, theirs, replicates=100, seed=3)
    assert compare(ours[::-1], theirs[::-1], replicates=100, seed=3) == first
    assert compare(ours, theirs, replicates=100, seed=4) != first
    assert msgspec.json.decode(msgspec.json.encode(first), type=Comparison) == first


def test_what_no_draw_measures_has_no_interval() -> None:
    """Where a run answered nothing, its precision is unknown, and so is the difference."""
    silent = [decision(item, truth="a") for item in range(5)]
    found = by_name(
        compare([decision(item, said="a", truth="a") for item in range(5)], silent, replicates=20)
    )
    precision = found["precision", None]
    assert (precision.there, precision.difference, precision.low, precision.verdict) == (
        None,
        None,
        None,
        "unclear",
    )
    assert found["F1", None].verdict == "better"


def test_what_cannot_be_compared_is_refused() -> None:
    """Runs that share no items, or hold a slot twice, and zero draws, are a ValueError that says
    why.
    """
    ours = run(5, 0.8, seed=1)
    with pytest.raises(ValueError, match="share 0 items with the same truth"):
        compare(ours, [replace(each, item_id=f"other-{each.item_id}") for each in ours])
    with pytest.raises(ValueError, match="share 0 items"):
        compare(ours, [])
    with pytest.raises(
        ValueError,
        match=r"the run compared with decides 1 slots more than once.*'color' of item 'sku-0'",
    ):
        compare(ours, [*ours, ours[0]])
    with pytest.raises(ValueError, match="replicates is 0"):
        compare(ours, ours, replicates=0)
