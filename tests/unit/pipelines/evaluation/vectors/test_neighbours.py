"""Nearest neighbours of hand-made vectors: what is found, what it shares, how sure that is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from pipelines.evaluation.vectors.neighbours import (
    Space,
    agreement,
    figures_of,
    found_at,
    mean_cosine,
    mean_cosine_shift,
    nearest,
    ranks,
    recall,
    shifts_of,
)

# On a quarter of a circle: each is nearest to the angles beside it.
DEGREES = {"a": 0, "b": 10, "c": 25, "d": 60, "e": 85}
NO_GROUPS: Mapping[str, str] = {}


def on_circle(degrees: Mapping[str, float], groups: Mapping[str, str] = NO_GROUPS) -> Space:
    angles = np.radians([degrees[item_id] for item_id in sorted(degrees)])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Space("text", tuple(sorted(degrees)), vectors, groups)


def random_space(items: int, seed: int) -> Space:
    vectors = np.random.default_rng(seed).normal(size=(items, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Space("text", tuple(f"{number:03}" for number in range(items)), vectors, NO_GROUPS)


def one(values: Mapping[str, str]) -> dict[str, frozenset[str]]:
    return {item_id: frozenset([value]) for item_id, value in values.items()}


def test_neighbours_come_nearest_first() -> None:
    """The nearest come first, and nothing is its own neighbour; where there are no more, -1."""
    space = on_circle(DEGREES)
    named = [[space.ids[row] for row in rows] for rows in nearest(space, ["a", "d"], 3)]
    assert named == [["b", "c", "d"], ["e", "c", "b"]]
    assert nearest(space, ["a"], 6).tolist() == [[1, 2, 3, 4, -1, -1]]


def test_equal_neighbours_come_by_id() -> None:
    """Of equally near items the smaller id comes first, also where only some of them fit in."""
    space = on_circle({"q": 0, "z": 30, "y": 30, "x": 30, "w": 60})
    assert [space.ids[row] for row in nearest(space, ["q"], 2)[0]] == ["x", "y"]


def test_items_of_a_group_are_no_neighbours() -> None:
    """Variants of one product do not count as each other's neighbours."""
    space = on_circle(DEGREES, {"a": "mug", "b": "mug"})
    assert [space.ids[row] for row in nearest(space, ["a"], 2)[0]] == ["c", "d"]


def test_blocks_change_nothing() -> None:
    """However few cosines are in memory at once, the neighbours and the ranks are the same."""
    space, other = random_space(40, seed=1), random_space(40, seed=2)
    whole = nearest(space, space.ids, 7)
    cosines = space.vectors @ space.vectors.T
    np.fill_diagonal(cosines, -2)
    assert whole.tolist() == np.argsort(-cosines, axis=1)[:, :7].tolist()
    assert nearest(space, space.ids, 7, max_cells=90).tolist() == whole.tolist()
    at_once = ranks(space.vectors, other.vectors)
    assert ranks(space.vectors, other.vectors, max_cells=90).tolist() == at_once.tolist()


def test_agreement_is_the_share_of_neighbours_with_the_value() -> None:
    """Precision at 1 and at 3; items whose value is unknown are neither asked nor found."""
    values = one({"a": "red", "c": "red", "d": "blue", "e": "blue"})
    scores = agreement(on_circle(DEGREES), values, {"a", "b", "d"}, [1, 3])
    assert scores[1] == {"a": 1.0, "d": 1.0}
    assert scores[3] == pytest.approx({"a": 1 / 3, "d": 1 / 3})


def test_several_values_agree_by_what_they_share() -> None:
    """Two films of three genres that share one agree by a third (Jaccard index)."""
    genres = {"a": frozenset(["war", "drama"]), "b": frozenset(["drama", "crime"])}
    assert agreement(on_circle(DEGREES), genres, {"a"}, [1]) == {1: {"a": pytest.approx(1 / 3)}}


def test_recall_is_of_known_partners() -> None:
    """Half of two partners are among the two nearest; partners that the table lacks, and variants
    of the item itself, are not asked for.
    """
    pairs = {"a": frozenset(["b", "d", "gone"]), "gone": frozenset(["a"])}
    assert recall(on_circle(DEGREES), pairs, [1, 2, 3]) == {
        1: {"a": 0.5},
        2: {"a": 0.5},
        3: {"a": 1.0},
    }
    variants = on_circle(DEGREES, {"a": "mug", "b": "mug"})
    assert recall(variants, pairs, [1]) == {1: {"a": 0.0}}


def test_an_item_finds_itself_in_another_table() -> None:
    """Found at k if fewer than k others are nearer; items that share a picture are found together."""
    texts = on_circle({"a": 0, "b": 20, "c": 45})
    pictures = on_circle({"a": 5, "b": 5, "c": 90})
    found = ranks(texts.vectors, pictures.vectors)
    assert found.tolist() == [0, 0, 2]
    assert found_at(texts.ids, found, [1, 3]) == {
        1: {"a": 1.0, "b": 1.0, "c": 0.0},
        3: {"a": 1.0, "b": 1.0, "c": 1.0},
    }


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    """The mean over pairs of different items, and an interval around it; none of one item."""
    space = random_space(30, seed=3)
    cosines = space.vectors @ space.vectors.T
    expected = (cosines.sum() - np.trace(cosines)) / (30 * 29)
    figure = mean_cosine(space, seed=0)
    assert figure is not None
    assert figure.value == pytest.approx(expected, abs=1e-6)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert mean_cosine(space.of({"000"}), seed=0) is None


def test_a_figure_has_an_interval_over_items() -> None:
    """The interval holds the mean, narrows with the number of items, and comes again with the
    seed; of a single item there is none.
    """
    few = {f"{n:03}": float(n % 4 > 0) for n in range(20)}
    many = {f"{n:03}": float(n % 4 > 0) for n in range(400)}
    ends = {}
    for name, scores in (("few", few), ("many", many)):
        (figure,) = figures_of("agreement", "color", {1: scores}, str, seed=1)
        assert figure.value == 0.75
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < 0.75 < figure.high
        ends[name] = figure.high - figure.low
    assert ends["many"] < ends["few"] / 3
    assert list(figures_of("agreement", "color", {1: few}, str, seed=1)) == list(
        figures_of("agreement", "color", {1: few}, str, seed=1)
    )
    (alone,) = figures_of("agreement", "color", {1: {"a": 1.0}}, str, seed=1)
    assert (alone.value, alone.low, alone.high) == (1.0, None, None)


def test_groups_are_drawn_whole() -> None:
    """Twenty variants of two products say as much as two products: the interval is far wider."""
    scores = {f"{n:03}": float(n < 10) for n in range(20)}
    (alone,) = figures_of("agreement", "color", {1: scores}, str, seed=1)
    (grouped,) = figures_of("agreement", "color", {1: scores}, lambda i: i[:2], seed=1)
    assert (grouped.low, grouped.high) == (0.0, 1.0)
    assert alone.low is not None
    assert alone.low > 0.2


def test_differences_are_paired() -> None:
    """A table that is better on most of the same items is better; against itself nothing differs."""
    here = {1: {f"{n:03}": 1.0 for n in range(50)}}
    there = {1: {f"{n:03}": float(n % 5 > 0) for n in range(50)}}
    (shift,) = shifts_of("agreement", "color", (here, there), str, seed=1)
    assert (shift.here, shift.there, shift.queries) == (1.0, 0.8, 50)
    assert shift.difference == pytest.approx(0.2)
    assert shift.low is not None
    assert 0 < shift.low < 0.2
    assert shift.verdict == "better"
    (back,) = shifts_of("agreement", "color", (there, here), str, seed=1)
    assert back.verdict == "worse"
    (same,) = shifts_of("agreement", "color", (here, here), str, seed=1)
    assert (same.difference, same.low, same.high, same.verdict) == (0.0, 0.0, 0.0, "unclear")


def test_mean_cosines_are_lower_or_higher() -> None:
    """Which mean cosine is good nobody knows, so it is called lower, and neither better nor worse."""
    narrow = on_circle({f"{n:02}": n / 10 for n in range(30)})
    wide = on_circle({f"{n:02}": 6.0 * n for n in range(30)})
    shift = mean_cosine_shift(wide, narrow, seed=0)
    assert shift is not None
    assert shift.verdict == "lower"
    assert shift.difference < -0.3
