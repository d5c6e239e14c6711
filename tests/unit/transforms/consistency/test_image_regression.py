"""transforms.consistency.image_regression: what pictures look like, and what that tells of a
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import ImageResult
from tests.items import item, picture
from transforms.consistency.image_regression import (
    FOLDS,
    MIN_FILLED_FOLDS,
    MIN_SAMPLE,
    Look,
    PictureModel,
    Vector,
    doubt_of,
    fit_likeness,
    fit_pictures,
    look_of,
)

NONE = np.zeros(0, np.float32)
YEARS = np.linspace(1930, 1990, 240)


def styled(shown: ImageResult, *style: float) -> ImageResult:
    assert shown.features is not None
    return replace(shown, features=replace(shown.features, style=np.array(style, "<f2").tobytes()))


def model_of(looks: Sequence[Look]) -> PictureModel | None:
    return fit_pictures(YEARS.tolist(), looks, [f"p{n}" for n in range(len(looks))])


def noise(seed: int, entries: int) -> Sequence[Vector]:
    return list(
        np.random.default_rng(seed).standard_normal((len(YEARS), entries)).astype(np.float32)
    )


def test_what_pictures_show() -> None:
    """A look holds the vector and the colours of all pictures with the same weight each, and needs
    a vector; a colour
    that the palette does not know is left out."""
    shirt = item({}, picture((("red", 0.6), ("mauve", 0.4))), picture((("blue", 0.3),), digest="e"))
    assert look_of(shirt) is None
    look = look_of(replace(shirt, image_vector=np.array([0.0, -3.0, 1.0], np.float32)))
    assert look is not None
    assert look.shown[:3] == pytest.approx([0.0, -0.866, 0.5], abs=1e-3)
    assert sorted(look.shown[3:][look.shown[3:] > 0]) == pytest.approx([0.577, 0.816], abs=1e-3)
    assert len(look.style) == 0


def test_how_pictures_are_drawn() -> None:
    """The style of an item is the mean of its distinct pictures' styles; styles of unequal lengths
    are none.
    """
    vector = np.ones(3, np.float32)
    first, second = styled(picture(digest="d"), 1, 2), styled(picture(digest="e"), 3, 6)
    look = look_of(
        replace(item({}, first, second, first, picture(digest="f")), image_vector=vector)
    )
    assert look is not None
    assert look.style.tolist() == [2, 4]
    other = look_of(replace(item({}, first, styled(picture(digest="g"), 1)), image_vector=vector))
    assert other is not None
    assert len(other.style) == 0


def test_style_tells_a_number_that_the_vectors_do_not() -> None:
    """Where what is shown says nothing of the number, the way it is drawn may, however small its
    entries are.
    """
    styles = [
        np.append(1e-4 * (year - 1960), extra).astype(np.float32)
        for year, extra in zip(YEARS, noise(1, 1), strict=True)
    ]
    assert model_of([Look(shown, NONE) for shown in noise(2, 4)]) is None
    model = model_of([Look(shown, style) for shown, style in zip(noise(2, 4), styles, strict=True)])
    assert model is not None
    assert float(np.corrcoef(model.numbers, model.predictions)[0, 1]) > 0.8


def test_what_is_shown_counts_where_styles_are_missing() -> None:
    """One look without a style leaves all to what is shown, and a look of other lengths fits no
    model.
    """
    shown = [
        np.array([year - 1960, extra[0]], np.float32)
        for year, extra in zip(YEARS, noise(3, 1), strict=True)
    ]
    looks = [Look(one, style) for one, style in zip(shown, noise(4, 2), strict=True)]
    model = model_of([*looks[:-1], Look(shown[-1], NONE)])
    assert model is not None
    assert model.style is None
    assert model.fits(looks[0])
    assert model.fits(Look(shown[0], NONE))
    assert not model.fits(Look(np.ones(3, np.float32), NONE))
    whole = model_of(looks)
    assert whole is not None
    assert whole.style is not None
    assert not whole.fits(Look(shown[0], NONE))


def test_no_prediction_has_seen_its_picture() -> None:
    """The prediction for a sampled picture comes from the other folds alone: other numbers for its
    own leave it as it
    is."""
    shown = [
        np.array([year - 1960, extra[0]], np.float32)
        for year, extra in zip(YEARS, noise(5, 1), strict=True)
    ]
    looks = [Look(one, NONE) for one in shown]
    model = model_of(looks)
    assert model is not None
    fold = model.folds["p7"]
    strange = np.array(
        [YEARS[n] if model.folds[f"p{n}"] != fold else 1960.0 for n in range(len(YEARS))]
    )
    other = fit_pictures(strange.tolist(), looks, [f"p{n}" for n in range(len(YEARS))])
    assert other is not None
    assert model.predict(looks[7], "p7") == pytest.approx(other.predict(looks[7], "p7"), abs=0.5)
    assert model.predict(looks[7], "another") != model.predict(looks[7], "p7")
    assert len(model.weights) == FOLDS + 1


@pytest.mark.parametrize("pictures", [1, MIN_FILLED_FOLDS - 1, MIN_SAMPLE])
def test_a_small_sample_may_leave_folds_empty(pictures: int) -> None:
    """Few rows may leave folds empty and are learnt from all the same, but not a handful of
    pictures that all share.
    """
    years = YEARS[:MIN_SAMPLE].tolist()
    looks = [Look(np.array([year - 1960, 1.0], np.float32), NONE) for year in years]
    model = fit_pictures(years, looks, [f"p{n % pictures}" for n in range(MIN_SAMPLE)])
    assert (model is None) == (pictures < MIN_SAMPLE)


def test_what_never_varied_is_left_out() -> None:
    """An entry that was the same in the whole sample does not count, whatever a later vector has
    there.
    """
    vectors = np.array([[n, 5.0] for n in range(9)], np.float32)
    likeness = fit_likeness(vectors, standardise=True)
    assert likeness is not None
    assert likeness(np.array([3, 5.0], np.float32)) == pytest.approx(
        likeness(np.array([3, 900.0], np.float32))
    )


@given(st.integers(0, 30))
def test_likeness_is_symmetric_and_one_to_itself(seed: int) -> None:
    """A vector is as like itself as can be, and of two neither is liker to the other."""
    vectors = np.random.default_rng(seed).standard_normal((12, 3)).astype(np.float32)
    likeness = fit_likeness(vectors, standardise=bool(seed % 2))
    assert likeness is not None
    rows = np.stack([likeness(vector) for vector in vectors])
    assert rows == pytest.approx(likeness.matrix(), abs=1e-4)
    assert rows == pytest.approx(rows.T, abs=1e-4)
    assert np.diag(rows) == pytest.approx(1, abs=1e-4)


def test_vectors_that_are_all_alike_have_no_likeness() -> None:
    """Where nothing differs, there is nothing to compare."""
    assert fit_likeness(np.ones((9, 4), np.float32), standardise=True) is None


def test_predictions_are_compared_with_those_of_similar_numbers() -> None:
    """Predictions that are drawn towards the middle alike cast no doubt, nor does one that is
    nearer to its number than
    theirs; one that lies further off does, on whichever side of the catalog's middle the number is."""
    numbers = np.repeat([1930.0, 1995.0], 100)
    predictions = np.concatenate([np.linspace(1980, 1984, 100), np.linspace(1988, 1992, 100)])
    assert doubt_of(numbers, predictions, 1930.0, 1982.0) <= 0
    assert doubt_of(numbers, predictions, 1930.0, 1983.0) < 0
    assert doubt_of(numbers, predictions, 1930.0, 1992.0) > 3
    assert doubt_of(numbers, predictions, 1995.0, 1975.0) > 3
    assert doubt_of(numbers, predictions, 1995.0, 1999.0) == 0
    assert doubt_of(np.repeat([1994.0, 1996.0], 100), predictions, 1994.0, 1970.0) > 3


def test_too_few_pictures() -> None:
    """A few pictures teach nothing."""
    few = MIN_SAMPLE - 1
    looks = [Look(np.array([year], np.float32), NONE) for year in YEARS[:few]]
    assert fit_pictures(YEARS[:few].tolist(), looks, [f"p{n}" for n in range(few)]) is None
