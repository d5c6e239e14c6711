"""The main colours of a picture by name: decoded picture -> ((colour name, share of the
foreground), ...).

Pixels are compared in CIE 1976 L*a*b* (CIE 15:2004, section 8.2.1) under D65, reached from sRGB by
IEC 61966-2-1. Distances are ΔE*ab, in which about 2.3 is just noticeable.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import ThreadpoolController

from schemas.hashing import digest
from schemas.vocabularies import Rgb, basic_colors

Lab = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

WORK_SIDE_PX = 96
MIN_SHARE = 0.08
BACKGROUND_DELTA_E = 9.0
UNIFORM_BORDER_SHARE = 0.6
MIN_FOREGROUND_SHARE = 0.02

# Name → sRGB anchors, as the vocabulary of colours has them: a picture and a word are called alike.
PALETTE: dict[str, tuple[Rgb, ...]] = {
    name: anchors for color in basic_colors() for name, anchors in color.anchors.items()
}

_NAMES = tuple(PALETTE)
_ANCHOR_NAME = np.array([_NAMES.index(name) for name, anchors in PALETTE.items() for _ in anchors])
_ANCHOR_RGB = np.array(
    [anchor for anchors in PALETTE.values() for anchor in anchors], dtype=np.uint8
)

# What shapes the answer, for the content address of descriptions.
PARAMETERS: dict[str, Any] = {
    "side_px": WORK_SIDE_PX,
    "min_share": MIN_SHARE,
    "background_delta_e": BACKGROUND_DELTA_E,
    "uniform_border_share": UNIFORM_BORDER_SHARE,
    "min_foreground_share": MIN_FOREGROUND_SHARE,
    "palette": digest(PALETTE)[:16],
}

_LINEAR_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], dtype=np.float32
)
_WHITE_D65 = _LINEAR_TO_XYZ.sum(axis=1)
_SRGB_STEPS = np.arange(256, dtype=np.float32) / 255
_SRGB_TO_LINEAR = np.where(
    _SRGB_STEPS <= 0.04045, _SRGB_STEPS / 12.92, ((_SRGB_STEPS + 0.055) / 1.055) ** 2.4
)


def dominant_colors(image: Image.Image, limit: int = 4) -> tuple[tuple[str, float], ...]:
    """Named colours of the thing shown with their share of it, largest first; at least one.

    image: any mode; converted to RGB. Where most of the border has one colour, what is connected to
    it is background and left out, unless nothing but background would remain. Colours below 8 % are
    dropped, so the shares (0 to 1, rounded to 3 digits) need not add up to 1.
    """
    small = image.convert("RGB")
    small.thumbnail((WORK_SIDE_PX, WORK_SIDE_PX), Image.Resampling.BOX)
    lab = srgb_to_lab(np.asarray(small))
    names = nearest_names(lab[foreground(lab)])
    shares = np.bincount(names, minlength=len(_NAMES)) / len(names)
    ranked = np.argsort(-shares, kind="stable")[:limit]
    kept = tuple((_NAMES[i], round(float(shares[i]), 3)) for i in ranked if shares[i] >= MIN_SHARE)
    return kept or ((_NAMES[ranked[0]], round(float(shares[ranked[0]]), 3)),)


def srgb_to_lab(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> Lab:
    """uint8 sRGB of shape (..., 3) to float32 L*a*b* of the same shape.

    >>> srgb_to_lab(np.array([[255, 0, 0]], dtype=np.uint8)).round().astype(int).tolist()
    [[53, 80, 67]]
    """
    xyz = _SRGB_TO_LINEAR[rgb] @ _LINEAR_TO_XYZ.T / _WHITE_D65
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def nearest_names(lab: Lab) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Index into the palette's names of the nearest anchor for each pixel of shape (n, 3)."""
    anchors = srgb_to_lab(_ANCHOR_RGB)
    # So small a product takes five times the processor time when it is divided among threads.
    with _threads().limit(limits=1, user_api="blas"):
        # |p - a|² without |p|², which is the same for every anchor
        distance = (anchors**2).sum(axis=1) - 2 * (lab @ anchors.T)
    return _ANCHOR_NAME[distance.argmin(axis=1)]


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def foreground(lab: Lab) -> Mask:
    """Return which of (height, width, 3) pixels belong to the thing shown, bool (height, width)."""
    # Imported here: readers of texts use this module's palette only.
    from scipy import ndimage

    edge = np.zeros(lab.shape[:2], dtype=np.bool_)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    border = np.median(lab[edge], axis=0)
    near = ((lab - border) ** 2).sum(axis=-1) < BACKGROUND_DELTA_E**2
    everything = np.ones_like(edge)
    if near[edge].mean() < UNIFORM_BORDER_SHARE:
        return everything
    # The four neighbours of a pixel are joined to it.
    background: Mask = ndimage.binary_propagation(near & edge, mask=near)
    # The rim is a mixture of both sides, a colour that nothing shown has.
    rim: Mask = ndimage.binary_dilation(background)
    for kept in (~rim, ~background):
        if kept.mean() >= MIN_FOREGROUND_SHARE:
            return kept
    return everything
