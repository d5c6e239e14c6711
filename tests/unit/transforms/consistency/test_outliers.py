"""transforms.consistency.outliers: numbers that the rest of the catalog speaks against."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Item
from schemas.template import Template
from tests.items import item, picture
from transforms.consistency.image_regression import MAX_DOUBTED, MIN_SAMPLE
from transforms.consistency.outliers import (
    MAX_OUTLIERS,
    Norms,
    find_outliers,
    fit_norms,
    fit_spread,
    merge_samples,
    outlier_cut,
    sample_items,
)

FILMS = Template.model_validate(
    {
        "name": "films",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "year", "type": "number", "integer": True, "evidence": ["image"]},
            {"name": "runtime", "type": "number", "unit": "minute", "integer": True},
        ],
    }
)
MANY = 10_000


def films(
    count: int = 400, seed: int = 0, odd: Sequence[int] = (), short: Sequence[int] = ()
) -> list[Item]:
    """Films whose pictures tell the year; `odd` have the picture of a film of another time, `short`
    last 11 minutes.
    """
    source = np.random.default_rng(seed)
    years = np.round(1995 - 25 * source.beta(1, 2, count))
    runtimes = np.round(100 * np.exp(0.12 * source.standard_normal(count)))
    made = []
    for n in range(count):
        shown = 1970.0 if n in odd else years[n]
        year = 1995.0 if n in odd else years[n]
        angle = (shown - 1970) / 25 * np.pi / 2
        vector = np.array(
            [np.cos(angle), np.sin(angle), *(0.15 * source.standard_normal(4))], np.float32
        )
        values = {"year": float(year), "runtime": 11.0 if n in short else float(runtimes[n])}
        film = item({"title": f"Film {n}", **values}, picture(digest=f"d{n}"), item_id=f"{n:04}")
        made.append(replace(film, image_vector=vector / np.linalg.norm(vector)))
    return made


def norms_of(items: Sequence[Item]) -> Norms:
    numbers = sample_items(FILMS, items, vectors=False, size=MANY)
    return fit_norms(FILMS, numbers, sample_items(FILMS, items, vectors=True, size=MANY))


def findings_of(items: Sequence[Item], reason: str) -> dict[str, str]:
    norms = norms_of(items)
    found = [finding for one in items for finding in find_outliers(FILMS, norms, one)]
    return {f.item_id: f.flag.detail for f in found if f.flag.reason == reason}


def test_a_number_far_from_all_others() -> None:
    """A film of eleven minutes among features is flagged, with the catalog's median; features are
    not.
    """
    found = findings_of(films(short=[7, 70]), "value-outlier")
    assert found.keys() == {"0007", "0070"}
    assert found["0007"].startswith("the source says '11 minute', ")
    assert found["0007"].endswith(
        " robust standard deviations below this catalog's median of '101 minute'"
    )


def test_a_long_tail_holds_no_outliers() -> None:
    """Where many numbers lie far away, they are a part of the catalog: old films among new ones."""
    years = [*[1995.0, 1996.0, 1997.0] * 60, *map(float, range(1930, 1960))]
    spread = fit_spread(years, amounts=False)
    assert spread is not None
    assert spread.cut is None


@pytest.mark.parametrize("values", [[1.0] * (MIN_SAMPLE - 1), []])
def test_too_few_numbers(values: list[float]) -> None:
    """A few numbers do not say what is usual."""
    assert fit_spread(values, amounts=True) is None


def test_one_usual_value_makes_no_outliers() -> None:
    """Where most numbers are one and the same, nothing says how far others may lie."""
    spread = fit_spread([5.0] * 300 + [900.0], amounts=True)
    assert spread is not None
    assert spread.cut is None


def test_few_false_discoveries() -> None:
    """Of numbers that follow the normal law, hardly a catalog has one that is called an outlier."""
    source = np.random.default_rng(5)
    called = sum(outlier_cut(np.abs(source.standard_normal(1000))) is not None for _ in range(200))
    assert called <= 8


@given(st.lists(st.floats(0.01, 1e6), min_size=MIN_SAMPLE, max_size=150), st.booleans())
def test_outliers_are_few(values: list[float], amounts: bool) -> None:
    """Whatever the numbers are, no more than the stated share is called outliers, and scores rise
    with the numbers.
    """
    spread = fit_spread(values, amounts=amounts)
    assert spread is not None
    scores = [spread.score(value) for value in sorted(values)]
    assert all(first <= second for first, second in pairwise(scores))
    if spread.cut is not None:
        assert sum(abs(score) >= spread.cut for score in scores) <= MAX_OUTLIERS * len(values) + 1


def test_a_picture_of_another_time() -> None:
    """A new film under an old picture is flagged with both years, and few films under their own
    pictures are.
    """
    found = findings_of(films(odd=[3, 30, 300]), "picture-contradicts-value")
    assert {"0003", "0030", "0300"} <= found.keys()
    assert len(found) <= MAX_DOUBTED * 400 + 1
    assert found["0003"].startswith("the source says '1995'; the picture looks like '19")


def test_colors_of_another_time() -> None:
    """Colours tell the number where the vectors do not: a new film under a grey picture is flagged."""
    source = np.random.default_rng(2)
    painted = []
    for n, film in enumerate(films()):
        gray = (
            float(np.clip((1995 - float(str(film.record.values["year"]))) / 25, 0, 0.9))
            if n != 3
            else 0.9
        )
        year = film.record.values["year"] if n != 3 else 1995.0
        shown = picture((("gray", gray), ("red", 1 - gray)), digest=f"d{n}")
        one = item({**film.record.values, "year": year}, shown, item_id=film.record.item_id)
        painted.append(replace(one, image_vector=source.standard_normal(6).astype(np.float32)))
    assert "0003" in findings_of(painted, "picture-contradicts-value")


def test_few_rows_are_doubted() -> None:
    """Of rows with their own pictures no more than the stated share is flagged, however little the
    pictures tell.
    """
    source = np.random.default_rng(4)
    blurred = [
        replace(
            film,
            image_vector=film.image_vector + 0.3 * source.standard_normal(6).astype(np.float32),
        )
        for film in films()
        if film.image_vector is not None
    ]
    assert len(findings_of(blurred, "picture-contradicts-value")) <= MAX_DOUBTED * 400 + 1


def test_pictures_that_tell_nothing() -> None:
    """Where predictions do not correlate with the number, pictures contradict nothing."""
    source = np.random.default_rng(1)
    blind = [
        replace(film, image_vector=source.standard_normal(6).astype(np.float32)) for film in films()
    ]
    assert norms_of(blind).pictures == {}


def test_pictures_are_asked_only_where_the_template_takes_them_as_evidence() -> None:
    """The runtime is not on a picture, so pictures do not contradict it."""
    assert norms_of(films()).pictures.keys() == {"year"}


def test_a_shared_picture_does_not_vouch_for_itself() -> None:
    """A record and its copy with the same wrong picture are both flagged: neither is predicted from
    the other.
    """
    items = films(odd=[3])
    copy = replace(items[3], record=replace(items[3].record, item_id="copy"))
    assert {"0003", "copy"} <= findings_of([*items, copy], "picture-contradicts-value").keys()


@given(seed=st.integers(0, 50), parts=st.integers(1, 9), size=st.sampled_from([5, 30]))
def test_a_sample_does_not_depend_on_order_and_parts(seed: int, parts: int, size: int) -> None:
    """The sample is the same in whatever order and parts the items come, and no larger than it may
    be.
    """
    items = [item({"title": str(n), "runtime": float(n)}, item_id=str(n)) for n in range(40)]
    whole = sample_items(FILMS, items, vectors=False, size=size)
    random.Random(seed).shuffle(items)
    samples = [
        sample_items(FILMS, items[part::parts], vectors=False, size=size) for part in range(parts)
    ]
    assert merge_samples(samples, size) == whole
    assert len(whole["runtime"]) == min(size, len(items))


def test_vectors_of_another_length_are_left_alone() -> None:
    """An item whose vector does not fit the model's is not judged by its picture."""
    norms = norms_of(films(odd=[3]))
    other = replace(films(odd=[3])[3], image_vector=np.ones(9, np.float32))
    assert [f.flag.reason for f in find_outliers(FILMS, norms, other)] == []
