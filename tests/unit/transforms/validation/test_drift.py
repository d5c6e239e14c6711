"""Drift: counts that add up bucket by bucket, distances without what chance makes, and what may be
compared.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.loading import parse_template
from schemas.template import Gate
from tests.support import TEMPLATE
from transforms.validation.distributions import Distributions, distance
from transforms.validation.drift import Compared, mean_shift, shifts

SHOP = parse_template(TEMPLATE, "test")
COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 500), min_size=1)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "Red", "Blue", "Green"]),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.lists(st.sampled_from(["new", "sale", "eco"]), max_size=2),
    ),
    max_size=20,
)


def counted(rows: list[tuple[str | None, float | None, list[str]]]) -> Distributions:
    found = Distributions()
    columns = {
        "title": pa.array(["x"] * len(rows), pa.string()),
        "about": pa.array([None] * len(rows), pa.string()),
        "color": pa.array([row[0] for row in rows], pa.string()),
        "weight": pa.array([row[1] for row in rows], pa.float64()),
        "tags": pa.array([row[2] for row in rows], pa.list_(pa.string())),
    }
    found.add_items(SHOP, pa.table(columns))
    vectors = np.array([[len(row[2]), row[1] or 0.0] for row in rows], np.float32).reshape(-1, 2)
    found.add_vectors("text", np.sign(vectors))
    return found


def as_row(found: Distributions) -> dict[str, object]:
    return {name: value for name, value in found.as_row().items() if value or name == "items"}


@given(ROWS, ROWS)
def test_buckets_add_up_and_come_off_again(
    one: list[tuple[str | None, float | None, list[str]]],
    other: list[tuple[str | None, float | None, list[str]]],
) -> None:
    """Counting two buckets is counting their rows, and taking one off leaves the other."""
    both = counted(one).combined(counted(other), 1)
    whole = counted([*one, *other])
    assert (both.items, both.known, both.vectors) == (whole.items, whole.known, whole.vectors)
    assert {k: v for k, v in both.values.items() if v} == {
        k: v for k, v in whole.values.items() if v
    }
    left = both.combined(counted(other), -1)
    assert left.items == len(one)
    assert +left.known == +counted(one).known
    assert np.allclose(left.sums["text"], counted(one).sums["text"])


@given(ROWS)
def test_counts_survive_being_kept(rows: list[tuple[str | None, float | None, list[str]]]) -> None:
    """What is written as JSON and read again is the same."""
    found = counted(rows)
    again = Distributions.of_row(json.loads(json.dumps(found.as_row())))
    assert again.as_row() == found.as_row()


@given(COUNTS, COUNTS)
def test_the_distance_is_one(one: dict[str, int], other: dict[str, int]) -> None:
    """It is symmetric, between 0 and 1, and 0 between equals."""
    assert 0 <= distance(one, other) <= 1
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert distance(one, one) == 0


def test_chance_is_no_drift() -> None:
    """Two samples of one distribution of many values are closer than any limit; another
    distribution is not.
    """
    draw = np.random.default_rng(3)
    shares = draw.dirichlet(np.ones(60))
    one, two = (Counter(map(str, draw.choice(60, 300, p=shares))) for _ in range(2))
    other = Counter(map(str, draw.choice(60, 300, p=draw.dirichlet(np.ones(60)))))
    assert distance(one, two) < 0.15
    assert distance(one, other) > 0.3


@pytest.mark.parametrize(
    ("numbers", "bins"), [([1.0, 1.1], 1), ([1.0, 2.0], 2), ([0.0, -1.0, 1.0], 3)]
)
def test_numbers_of_one_size_share_a_bin(numbers: list[float], bins: int) -> None:
    """Bins are as wide as a fourth of a doubling; zero and negative numbers have their own."""
    assert len(counted([(None, number, []) for number in numbers]).values["weight"]) == bins


def test_means_of_random_vectors_have_not_moved() -> None:
    """Unit vectors without a direction have means that differ by chance alone; a common direction
    is a move.
    """
    draw = np.random.default_rng(5)
    samples = [draw.standard_normal((400, 64)) for _ in range(2)]
    units = [sample / np.linalg.norm(sample, axis=1, keepdims=True) for sample in samples]
    assert mean_shift([unit.mean(axis=0) for unit in units], [400, 400]) < 0.05
    turned = units[1] + np.eye(1, 64)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    assert mean_shift([units[0].mean(axis=0), turned.mean(axis=0)], [400, 400]) > 0.3


def compared(items: int, red: int, **changes: object) -> Compared:
    found = Distributions(
        items, Counter(color=items), {"color": Counter(Red=red, Blue=items - red)}
    )
    return replace(Compared(found, 0.0, {"color": "as it is"}, {}), **changes)  # type: ignore[arg-type]


def kinds(before: Compared, now: Compared) -> set[str]:
    return {each.kind for each in shifts(Gate(), before, now) if each.value > each.limit}


def test_only_what_can_be_compared_is() -> None:
    """Small catalogs, attributes whose entry changed, and catalogs that have outgrown the last one
    are not judged.
    """
    assert kinds(compared(200, 180), compared(200, 20)) == {"drift-values"}
    assert kinds(compared(99, 90), compared(99, 9)) == set()
    assert kinds(compared(200, 180), compared(200, 20, entries={"color": "another"})) == set()
    assert kinds(compared(200, 180), compared(2_000, 20)) == {"drift-items-gained"}
    assert kinds(compared(200, 180), compared(120, 108)) == {"drift-items-lost"}


def test_the_template_decides() -> None:
    """Limits and severities are those of the template; what is accepted is a warning."""
    gate = Gate.model_validate(
        {"severities": {"drift-values": "warning"}, "drift": {"values": 0.9}}
    )
    (values,) = [
        each
        for each in shifts(gate, compared(200, 180), compared(200, 20))
        if each.kind == "drift-values"
    ]
    assert (values.severity, values.limit) == ("warning", 0.9)
    accepted = shifts(Gate(), compared(200, 180), compared(20, 2), accepted=True)
    assert {each.severity for each in accepted} == {"warning"}
    assert all(math.isfinite(each.value) for each in accepted)


def test_a_kind_that_there_is_not_is_refused_with_the_right_one() -> None:
    """A typo in gate.severities is an error that names what was meant."""
    with pytest.raises(ValueError, match="did you mean coverage"):
        Gate.model_validate({"severities": {"coverag": "critical"}})
