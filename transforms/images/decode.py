"""Decoding: from a file's bytes to an image that a model can take, or the reason for none.

(bytes, digest, limits) → DecodedPicture | PictureProblem. What the header announces is checked
against the limits before any pixel is decoded; whatever the decoder raises becomes a
PictureProblem.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

import imagehash
import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageFile, TiffImagePlugin, UnidentifiedImageError

from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.formats import (
    READ_FORMATS,
    count_gif_frames,
    count_tiff_pages,
    read_format,
    riff_ends_early,
    unread_format,
    without_further_exif,
)
from transforms.models.contract import Picture

Pixels = np.ndarray[Any, np.dtype[Any]]

# What Pillow warns of (large headers, odd metadata) either has a reason id here or leaves the
# pixels sound. Once a process and not around each call, because warnings.catch_warnings is not safe
# between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_WHITE_IS_ZERO = 0

# A hostile file can make a decoder work or store far more than its pixels need; sound files stay
# far below.
_MAX_READS = 8  # of each byte of the file
_MAX_SCANS = (
    500  # of a progressive JPEG, each a pass over all pixels; the libjpeg-turbo project's own limit
)
_MAX_EXIF_CHARS = 1 << 17  # a JPEG segment of 64 KiB, also when written in hexadecimal


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture with what its file says of it.

    width_px, height_px: of the original, after rotation by its EXIF orientation.
    format: one of READ_FORMATS.
    frames: of an animation, or pages of a TIFF file; the first one was decoded.
    phash: 64-bit perceptual hash (DCT, imagehash.phash) of `picture`, 16 hexadecimal digits.
    """

    picture: Picture
    width_px: int
    height_px: int
    format: str
    frames: int
    phash: str


def decode(
    data: bytes, digest: str, limits: ImageLimits, max_side_px: int = 736
) -> DecodedPicture | PictureProblem:
    """Return the picture in `data` with no side longer than `max_side_px`, or why there is none;
    never an exception.

    digest: SHA-256 of `data`, hexadecimal.
    """
    stream = _Stream(without_further_exif(data))
    try:
        with Image.open(stream, formats=READ_FORMATS) as image:
            frames = _count_frames(image, data, limits.max_frames)
            problem = _limit_problem(*image.size, frames, limits) or _scan_problem(data)
            return problem or _decode_first_frame(image, len(data), digest, frames, max_side_px)
    except Image.DecompressionBombError as error:
        announced = re.search(r"\d+", str(error))
        return _too_many_pixels(f"{int(announced[0]):,}" if announced else "too many", limits)
    except Exception as error:  # Pillow's decoders raise almost any kind on damaged data
        return _decode_problem(data, stream, error)


class _Stream(io.BytesIO):
    """Remembers whether a reader of headers and chunks asked for more than there was, and bounds
    what is read.

    Pixel data is read in blocks of MAXBLOCK bytes, of which the last is always short.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.ended_early = False
        self.budget_bytes = _MAX_READS * len(data) + ImageFile.MAXBLOCK

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if size is not None and len(content) < size < ImageFile.MAXBLOCK:
            self.ended_early = True
        # Thousands of TIFF tags may name the same megabytes, and Pillow keeps a copy for each.
        self.budget_bytes -= len(content)
        if self.budget_bytes < 0:
            raise ValueError("its directory names the same bytes over and over")
        return content


def _count_frames(image: Image.Image, data: bytes, most: int) -> int:
    """Frames of the file, counted no further than `most` + 1."""
    if image.format == "GIF":
        return max(1, count_gif_frames(data, most))
    if image.format == "TIFF":
        return max(1, count_tiff_pages(data, most))
    return int(getattr(image, "n_frames", 1))


def _limit_problem(
    width_px: int, height_px: int, frames: int, limits: ImageLimits
) -> PictureProblem | None:
    if width_px * height_px > limits.max_pixels:
        return _too_many_pixels(f"{width_px:,} x {height_px:,} = {width_px * height_px:,}", limits)
    if max(width_px, height_px) > limits.max_side_ratio * min(width_px, height_px):
        fault = (
            f"{width_px:,} x {height_px:,} pixels: one side is more than "
            f"{limits.max_side_ratio:g} times the other"
        )
        return PictureProblem(
            "image-side-ratio", f"{fault}; crop it or raise --max-image-side-ratio"
        )
    if frames > limits.max_frames:
        fault = (
            f"more than {limits.max_frames:,} frames; keep the first or raise --max-image-frames"
        )
        return PictureProblem("image-too-many-frames", fault)
    return None


def _too_many_pixels(announced: str, limits: ImageLimits) -> PictureProblem:
    message = (
        f"{announced} pixels, at most {limits.max_pixels:,} are allowed; shrink it or raise "
        "--max-image-pixels"
    )
    return PictureProblem("image-too-many-pixels", message)


def _scan_problem(data: bytes) -> PictureProblem | None:
    if read_format(data) == "JPEG" and data.count(b"\xff\xda") > _MAX_SCANS:
        fault = f"the JPEG data has more than {_MAX_SCANS} scans; export the picture again"
        return PictureProblem("image-decode-failed", fault)
    return None


def _decode_first_frame(
    image: Image.Image, file_bytes: int, digest: str, frames: int, max_side_px: int
) -> DecodedPicture:
    # An MPO file is a JPEG with further views appended; every JPEG reader shows the first.
    file_format = "JPEG" if image.format == "MPO" else str(image.format)
    width_px, height_px = image.size
    shrink = min(1.0, max_side_px / max(image.size))
    image.draft(None, (max(1, round(width_px * shrink)), max(1, round(height_px * shrink))))
    _load(image, file_bytes)
    # Asked only now: PNG may keep it behind the pixels, and Pillow turns TIFF itself while it
    # loads.
    orientation = _orientation(image)
    if orientation in _SIDEWAYS:
        width_px, height_px = height_px, width_px
    eight_bit = _to_eight_bit(image)
    eight_bit.thumbnail((max_side_px, max_side_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
    rgb = _on_white(eight_bit)
    if orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[orientation])
    rgb.info = {}
    return DecodedPicture(
        Picture(digest, rgb), width_px, height_px, file_format, frames, str(imagehash.phash(rgb))
    )


def _load(image: Image.Image, file_bytes: int) -> None:
    try:
        image.load()
    except OSError as error:
        # Of most TIFF compressions Pillow says only that the decoder failed.
        if isinstance(image, TiffImagePlugin.TiffImageFile) and _strips_end(image) > file_bytes:
            raise EOFError("image file is truncated") from error
        raise


def _strips_end(image: TiffImagePlugin.TiffImageFile) -> int:
    """Return the offset in bytes at which the last strip or tile ends, as the file's directory has
    it.
    """
    ends = [0]
    for offsets, counts in (
        (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS),
        (TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.TILEBYTECOUNTS),
    ):
        ends += map(
            sum, zip(image.tag_v2.get(offsets, ()), image.tag_v2.get(counts, ()), strict=False)
        )
    return max(ends)


def _orientation(image: Image.Image) -> int | None:
    if any(
        len(image.info.get(key, "")) > _MAX_EXIF_CHARS for key in ("exif", "Raw profile type exif")
    ):
        return None
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata says nothing of the pixels
        return None
    return orientation if isinstance(orientation, int) else None


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Convert to mode L, RGB or RGBA, with the same pixels."""
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        gray = (pixels >> 8).astype(np.uint8)
        gray[pixels == image.info.get("transparency", -1)] = 255
        return _from_gray(gray, image)
    if image.mode in ("I", "F"):
        full_scales = (0xFFFF,) if image.mode == "I" else (1, 0xFF, 0xFFFF)
        return _from_gray(_scaled(np.asarray(image, np.float64), full_scales), image)
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # Only Adobe's CMYK is stored inverted; Pillow takes every CMYK JPEG for Adobe's.
        return ImageChops.invert(image).convert("RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_gray(gray: Pixels, image: Image.Image) -> Image.Image:
    # Pillow turns WhiteIsZero round for 8 bits and fewer only.
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        photometric = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
        if photometric == _WHITE_IS_ZERO:
            gray = 255 - gray
    return Image.fromarray(gray)


def _scaled(pixels: Pixels, full_scales: tuple[int, ...]) -> Pixels:
    """Bytes from float64 values: by the smallest full scale that holds all of them, else by their
    own range.
    """
    pixels = np.nan_to_num(pixels, posinf=0.0, neginf=0.0)
    low, high = float(pixels.min()), float(pixels.max())
    full: float | None = next((scale for scale in full_scales if low >= 0 and high <= scale), None)
    if full is None:
        pixels, full = pixels - low, (high - low) or 1.0
    return (pixels * (255 / full)).round().astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _decode_problem(data: bytes, stream: _Stream, error: Exception) -> PictureProblem:
    allowed = ", ".join(READ_FORMATS)
    if unread := unread_format(data):
        return PictureProblem(
            "image-unsupported", f"{unread} is not read; convert it to one of {allowed}"
        )
    name = read_format(data)
    if name is None:
        fault = (
            f"starts with {data[:16]!r}, which no picture does; download it again as one of "
            f"{allowed}"
        )
        return PictureProblem("image-not-an-image", fault)
    if (
        stream.ended_early
        or "truncated" in str(error).lower()
        or (name == "WEBP" and riff_ends_early(data))
    ):
        fault = f"the {name} data ends early, after {len(data):,} bytes; export the picture again"
        return PictureProblem("image-truncated", fault)
    # Pillow's text for a header that it cannot use holds a memory address, which differs from run
    # to run.
    cause = (
        "its header is damaged"
        if isinstance(error, UnidentifiedImageError)
        else f"{type(error).__name__}: {error}"
    )
    fault = f"the {name} decoder refused the data ({cause}); export the picture again"
    return PictureProblem("image-decode-failed", fault)
