"""Colour names of whole pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from transforms.extraction.colors import (
    MIN_SHARE,
    PALETTE,
    dominant_colors,
    foreground,
    srgb_to_lab,
)


def shirt(color, background="white", size=(300, 360)):
    picture = Image.new("RGB", size, background)
    ImageDraw.Draw(picture).rectangle((80, 60, 220, 300), fill=color)
    return picture


def names(picture):
    return [name for name, _ in dominant_colors(picture)]


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ("red", "red"),
        ("maroon", "burgundy"),
        ("orange", "orange"),
        ("gold", "yellow"),
        ("forestgreen", "green"),
        ("olive", "olive"),
        ("teal", "teal"),
        ("turquoise", "turquoise"),
        ("blue", "blue"),
        ("skyblue", "blue"),
        ("navy", "navy"),
        ("indigo", "purple"),
        ("hotpink", "pink"),
        ("saddlebrown", "brown"),
        ("tan", "beige"),
        ("gray", "gray"),
        ("black", "black"),
        ("white", "white"),
    ],
)
def test_web_colors_get_everyday_names(rgb, expected):
    """A picture of one web colour is called what a shop would call it."""
    assert dominant_colors(Image.new("RGB", (50, 50), rgb)) == ((expected, 1.0),)


def test_background_is_left_out():
    """A red shirt on white is red and nothing else."""
    assert dominant_colors(shirt("#d01020")) == (("red", 1.0),)


def test_print_in_the_background_color_is_kept():
    """White inside the shirt is not connected to the white around it, so it counts."""
    picture = shirt("#d01020")
    ImageDraw.Draw(picture).rectangle((120, 120, 180, 240), fill="white")
    assert names(picture) == ["red", "white"]


def test_picture_of_nothing_but_background():
    """A picture that is all background is named by it, not left without a colour."""
    assert dominant_colors(Image.new("RGB", (120, 80), "white")) == (("white", 1.0),)


def test_speck_below_two_percent_is_no_foreground():
    """A speck of dirt on a white picture does not become its main colour."""
    picture = Image.new("RGB", (300, 300), "white")
    picture.paste((255, 0, 0), (150, 150, 158, 158))
    assert names(picture)[0] == "white"


def test_gradient_has_no_background():
    """Where the border has many colours the whole picture counts, and the ends of a ramp are both
    named.
    """
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], (200, 1, 3))
    picture = Image.fromarray(ramp)
    assert foreground(srgb_to_lab(ramp)).all()
    assert set(names(picture)) == {"black", "gray", "white"}


def test_shares_follow_the_areas():
    """Where no colour rules the border, each colour's share is that of its area."""
    picture = Image.new("RGB", (200, 200), "#1e3c96")
    picture.paste((250, 225, 30), (0, 0, 90, 200))
    (first, share), (second, rest) = dominant_colors(picture)
    assert (first, second) == ("blue", "yellow")
    assert share == pytest.approx(0.55, abs=0.02)
    assert rest == pytest.approx(0.45, abs=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_tiny_and_thin_pictures(size):
    """A picture of any size has a colour."""
    assert dominant_colors(Image.new("RGB", size, "#208040")) == (("green", 1.0),)


def test_lab_of_reference_colors():
    """sRGB primaries, white and black have their published L*a*b* values under D65."""
    rgb = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]], dtype=np.uint8
    )
    published = [
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
        [100, 0, 0],
        [0, 0, 0],
    ]
    assert srgb_to_lab(rgb) == pytest.approx(np.array(published), abs=0.05)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.integers(1, 6))
def test_shares_are_a_ranking(seed, width, height, limit):
    """Whatever the picture: known names, each once, largest first, at most `limit`, shares within 0
    and 1.
    """
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = dominant_colors(Image.fromarray(pixels), limit)
    shares = [share for _, share in found]
    assert 1 <= len(found) <= limit
    assert len({name for name, _ in found}) == len(found)
    assert {name for name, _ in found} <= set(PALETTE)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.005
    assert len(found) == 1 or min(shares) >= MIN_SHARE


def test_other_modes_are_read():
    """Palette and gray pictures are converted, not refused."""
    assert names(Image.new("L", (20, 20), 0)) == ["black"]
    assert names(shirt("#d01020").convert("P")) == ["red"]
