"""From bytes to a picture: every kind that is read, every reason why one is not."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from schemas.reasons import REASONS
from tests.support import ROOT
from transforms.images.decode import DecodedPicture, decode
from transforms.images.files import ImageLimits, PictureProblem, read_picture
from transforms.images.formats import READ_FORMATS

# pytest resets the filter that the module sets for the whole process.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")

LIMITS = ImageLimits()
DIGEST = "0" * 64
RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 200, 30), (30, 30, 200), (255, 255, 255)
LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
}
SRC = ROOT


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plain(color: object = RED, mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    return Image.new(mode, size, color)


def scene(size: tuple[int, int] = (80, 60)) -> Image.Image:
    """A picture that has no symmetry."""
    image = Image.new("RGB", size, "lightgray")
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.ellipse((width * 0.1, height * 0.1, width * 0.6, height * 0.7), fill=RED)
    draw.rectangle((width * 0.5, height * 0.6, width * 0.9, height * 0.9), fill=BLUE)
    return image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def tiff(order: str, tags: dict[int, tuple[int, int]], pixels: bytes) -> bytes:
    """A TIFF file of one strip; `tags` maps a tag to (type, value) with a value that fits its
    entry.
    """
    tags = {**tags, 273: (4, 8), 279: (4, len(pixels))}
    mark = b"II" if order == "<" else b"MM"
    file = (
        mark
        + struct.pack(order + "HI", 42, 8 + len(pixels))
        + pixels
        + struct.pack(order + "H", len(tags))
    )
    for tag, (kind, value) in sorted(tags.items()):
        entry = (
            struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        )
        file += struct.pack(order + "HHI", tag, kind, 1) + entry
    return file + bytes(4)


def gray_tiff(pixels: np.ndarray, sample_format: int = 1, photometric: int = 1) -> bytes:
    height, width = pixels.shape
    bits = pixels.dtype.itemsize * 8
    tags = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        277: 1,
        278: height,
        339: sample_format,
    }
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    return tiff(order, {tag: (3, value) for tag, value in tags.items()}, pixels.tobytes())


def decoded(data: bytes, max_side_px: int = 736, limits: ImageLimits = LIMITS) -> DecodedPicture:
    result = decode(data, DIGEST, limits, max_side_px)
    assert isinstance(result, DecodedPicture), result
    assert type(result.picture.image) is Image.Image
    assert result.picture.image.mode == "RGB"
    assert result.picture.image.info == {}
    assert result.picture.digest == DIGEST
    return result


def color_of(data: bytes) -> tuple[int, ...]:
    image = decoded(data).picture.image
    return image.getpixel((image.width // 2, image.height // 2))


def problem(data: bytes, limits: ImageLimits = LIMITS) -> PictureProblem:
    result = decode(data, DIGEST, limits)
    assert isinstance(result, PictureProblem), result
    return result


def _number(value: object) -> str | None:
    """A short name for a file among a test's parameters."""
    return f"{len(value)}-bytes" if isinstance(value, bytes) else None


# What is read


@pytest.mark.parametrize("file_format", READ_FORMATS)
def test_every_format(file_format: str) -> None:
    """Each format gives an RGB picture of the same size and colours, with its name and one frame."""
    result = decoded(saved(plain(), file_format))
    assert (result.format, result.frames, result.width_px, result.height_px) == (
        file_format,
        1,
        40,
        20,
    )
    assert result.picture.image.size == (40, 20)
    assert np.abs(np.subtract(result.picture.image.getpixel((20, 10)), RED)).max() <= 12


MODES = {
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "PNG": ["1", "L", "P", "RGB", "LA", "RGBA", "I;16"],
    "WEBP": ["L", "P", "RGB", "CMYK", "LA", "RGBA"],
    "GIF": ["1", "L", "P", "RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "P", "RGB", "CMYK", "LAB", "LA", "RGBA", "I;16", "I", "F"],
}


@pytest.mark.parametrize(
    ("file_format", "mode"), [(key, mode) for key, modes in MODES.items() for mode in modes]
)
def test_every_mode_that_a_format_can_hold(file_format: str, mode: str) -> None:
    """Whatever pixel layout a format can hold comes out as RGB of the same size."""
    image = plain(0, mode) if mode in ("I;16", "I", "F", "LAB") else scene().convert(mode)
    assert decoded(saved(image, file_format)).picture.image.size == image.size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(file_format: str, orientation: int) -> None:
    """A picture stored turned or mirrored comes out upright, and so do its sides."""
    turn = Image.Transpose
    undo = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    upright = scene()
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decoded(
        saved(
            stored,
            file_format,
            exif=exif,
            **LOSSLESS.get(file_format, {"quality": 95, "subsampling": 0}),
        )
    )
    assert (result.width_px, result.height_px) == upright.size == result.picture.image.size
    assert np.abs(np.asarray(result.picture.image, int) - np.asarray(upright, int)).mean() < 3


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0" + bytes(range(256)) * 9]
)
def test_damaged_exif_costs_the_orientation_only(exif: bytes) -> None:
    """EXIF data that cannot be read does not cost the picture."""
    assert decoded(saved(scene(), "JPEG", exif=exif)).width_px == 80
    assert decoded(saved(scene(), "PNG", exif=exif)).width_px == 80


CYAN = (255, 0, 0, 0)


def without_adobe_mark(jpeg: bytes) -> bytes:
    begin = jpeg.index(b"\xff\xee")
    return jpeg[:begin] + jpeg[begin + 2 + int.from_bytes(jpeg[begin + 2 : begin + 4]) :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved(plain(CYAN, "CMYK"), "JPEG"), id="adobe-inverted"),
        pytest.param(
            without_adobe_mark(saved(ImageChops.invert(plain(CYAN, "CMYK")), "JPEG")), id="plain"
        ),
        pytest.param(saved(plain(CYAN, "CMYK"), "TIFF"), id="tiff"),
    ],
)
def test_cmyk(data: bytes) -> None:
    """Cyan ink is cyan on the screen, both as Adobe stores it (inverted) and as others do."""
    red, green, blue = color_of(data)
    assert red < 10
    assert min(green, blue) > 245


RAMP = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            png(16, 16, 16, 0, b"".join(b"\0" + row.astype(">u2").tobytes() for row in RAMP)),
            id="PNG 16-bit gray",
        ),
        pytest.param(
            png(
                16,
                16,
                16,
                2,
                b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in RAMP),
            ),
            id="PNG 16-bit RGB",
        ),
        pytest.param(gray_tiff(RAMP.astype("<u2")), id="TIFF little endian"),
        pytest.param(gray_tiff(RAMP.astype(">u2")), id="TIFF big endian"),
        pytest.param(
            gray_tiff((65535 - RAMP).astype("<u2"), photometric=0), id="TIFF white is zero"
        ),
        pytest.param(gray_tiff(RAMP.astype("<i4"), sample_format=2), id="TIFF 32-bit integers"),
        pytest.param(
            gray_tiff(RAMP.astype("<i4") * 30000 - 9, sample_format=2), id="TIFF 32-bit, own range"
        ),
        pytest.param(
            gray_tiff((RAMP / 65535).astype("<f4"), sample_format=3), id="TIFF floats from 0 to 1"
        ),
        pytest.param(
            gray_tiff((RAMP / 257).astype("<f4"), sample_format=3), id="TIFF floats from 0 to 255"
        ),
        pytest.param(
            gray_tiff(RAMP.astype("<f4"), sample_format=3), id="TIFF floats from 0 to 65,535"
        ),
        pytest.param(
            gray_tiff((RAMP * 3.0 - 70000).astype("<f4"), sample_format=3),
            id="TIFF floats, own range",
        ),
    ],
)
def test_deep_pixels_are_scaled_to_eight_bits(data: bytes) -> None:
    """Sixteen bits, 32 bits and floats keep their gradient: darkest 0, brightest 255, even steps
    between.
    """
    gray = np.asarray(decoded(data).picture.image)[:, :, 1].astype(int)
    assert np.abs(gray - np.arange(256).reshape(16, 16)).max() <= 1


def test_floats_that_are_no_numbers_or_all_the_same() -> None:
    """NaN, infinities and a picture of one value far out of range still give a picture."""
    assert color_of(gray_tiff(np.full((4, 4), np.nan, "<f4"), sample_format=3)) == (0, 0, 0)
    assert color_of(gray_tiff(np.full((4, 4), -3e38, "<f4"), sample_format=3)) == (0, 0, 0)
    mixed = np.array([[np.nan, np.inf], [-np.inf, 1.0]], "<f4")
    assert decoded(gray_tiff(mixed, sample_format=3)).picture.image.getpixel((1, 1)) == WHITE


def _palette(transparency: object = None) -> Image.Image:
    image = plain(3, "P")
    image.putpalette([0, 0, 0] * 3 + list(RED))
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(plain((*RED, 255), "RGBA"), "PNG"), RED),
        (saved(plain((*RED, 0), "RGBA"), "PNG"), WHITE),
        (saved(plain((0, 0, 0, 128), "RGBA"), "PNG"), (127, 127, 127)),
        (saved(plain((*RED, 0), "RGBA"), "WEBP", lossless=True), WHITE),
        (saved(plain((*RED, 0), "RGBA"), "TIFF"), WHITE),
        (saved(plain((0, 0), "LA"), "PNG"), WHITE),
        (saved(plain((7, 255), "LA"), "PNG"), (7, 7, 7)),
        (saved(_palette(), "PNG"), RED),
        (saved(_palette(), "BMP"), RED),
        (saved(_palette(), "GIF"), RED),
        (saved(_palette(3), "PNG", transparency=3), WHITE),
        (saved(_palette(3), "GIF", transparency=3), WHITE),
        (saved(_palette(), "PNG", transparency=b"\xff\xff\xff\x00"), WHITE),
        (saved(plain(0, "L"), "PNG", transparency=0), WHITE),
        (saved(plain(RED), "PNG", transparency=RED), WHITE),
        (saved(plain(1, "1"), "PNG"), WHITE),
        (saved(plain(0, "1"), "TIFF", compression="group4"), (0, 0, 0)),
        (saved(plain(0, "1"), "PNG", transparency=0), WHITE),
        (png(1, 1, 16, 0, b"\0\x12\x34", chunk(b"tRNS", b"\x12\x34")), WHITE),
        (png(1, 1, 16, 0, b"\0\x12\x34", chunk(b"tRNS", b"\x12\x35")), (18, 18, 18)),
    ],
    ids=_number,
)
def test_transparency_lies_on_white(data: bytes, expected: tuple[int, int, int]) -> None:
    """Alpha channels, transparent palette entries and transparent colours show white; the rest its
    colour.
    """
    assert color_of(data) == expected


def test_hidden_colors_do_not_bleed_when_a_picture_shrinks() -> None:
    """The colour under full transparency has no part in the smaller picture."""
    image = plain((0, 255, 0, 0), "RGBA", (400, 400))
    image.paste((*RED, 255), (0, 0, 201, 400))
    pixels = np.asarray(decoded(saved(image, "PNG"), max_side_px=100).picture.image).astype(int)
    assert (pixels[:, :, 1] <= pixels[:, :, 0]).all()


def animation(file_format: str, frames: int) -> bytes:
    pictures = [plain((index % 256, index // 256, 0)) for index in range(1, frames)]
    options: dict[str, object] = {"lossless": True} if file_format == "WEBP" else {}
    return saved(plain(), file_format, save_all=True, append_images=pictures, **options)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame(file_format: str) -> None:
    """Of an animation or a TIFF file with pages the first is taken and all are counted."""
    data = animation(file_format, 7)
    assert decoded(data).frames == 7
    assert color_of(data) == RED


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "TIFF"])
def test_a_later_frame_that_breaks_off_costs_nothing(file_format: str) -> None:
    """Damage behind the first frame does not cost the picture."""
    data = animation(file_format, 7)
    assert color_of(data[: int(len(data) * 0.7)]) == RED


def test_multi_picture_jpeg_is_a_jpeg() -> None:
    """A camera's JPEG with further views appended (MPO) is a JPEG of its first view."""
    data = saved(plain(), "MPO", save_all=True, append_images=[plain(BLUE)])
    assert decoded(data).format == "JPEG"
    assert np.abs(np.subtract(color_of(data), RED)).max() <= 12


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    max_side_px=st.integers(1, 200),
    file_format=st.sampled_from(["JPEG", "PNG"]),
)
def test_size(width: int, height: int, max_side_px: int, file_format: str) -> None:
    """No side is longer than asked, a smaller picture keeps its size, the sides keep their ratio,
    the original's
    size is reported.
    """
    data = saved(plain(size=(width, height)), file_format)
    result = decoded(data, max_side_px, replace(LIMITS, max_side_ratio=300))
    image = result.picture.image
    assert (result.width_px, result.height_px) == (width, height)
    if max(width, height) <= max_side_px:
        assert image.size == (width, height)
    else:
        assert max(image.size) == max_side_px
        assert (
            abs(min(image.size) - max(1.0, max_side_px * min(width, height) / max(width, height)))
            <= 1
        )


def test_perceptual_hash() -> None:
    """Sixteen hexadecimal digits that stay close for the same scene in another size, format and
    quality.
    """

    def bits(data: bytes) -> int:
        phash = decoded(data).phash
        assert len(phash) == 16
        return int(phash, 16)

    original = bits(saved(scene((800, 600)), "PNG"))
    assert (original ^ bits(saved(scene((2000, 1500)), "JPEG", quality=60))).bit_count() <= 6
    assert (original ^ bits(saved(scene((800, 600)).rotate(180), "PNG"))).bit_count() > 16
    assert original == bits(saved(scene((800, 600)), "BMP"))


# What is refused before a pixel is decoded


def test_too_many_pixels() -> None:
    """A picture at the limit is read; one row more is not, and the message names sides, limit and
    option.
    """
    limits = replace(LIMITS, max_pixels=40 * 20)
    assert decoded(saved(plain(), "PNG"), limits=limits)
    refused = problem(saved(plain(size=(40, 21)), "PNG"), limits)
    assert refused.reason == "image-too-many-pixels"
    assert refused.message == (
        "40 x 21 = 840 pixels, at most 800 are allowed; shrink it or raise --max-image-pixels"
    )


@pytest.mark.parametrize("size", [(41, 2), (2, 41)])
def test_side_ratio(size: tuple[int, int]) -> None:
    """A picture more than 20 times as long as wide, or as wide as long, is refused; exactly 20
    times is read.
    """
    assert problem(saved(plain(size=size), "PNG")).reason == "image-side-ratio"
    assert decoded(saved(plain(size=(40, 2)), "PNG")).width_px == 40


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_too_many_frames(file_format: str) -> None:
    """An animation at the limit is read, one frame more is refused."""
    limits = replace(LIMITS, max_frames=5)
    assert decoded(animation(file_format, 5), limits=limits).frames == 5
    assert problem(animation(file_format, 6), limits).reason == "image-too-many-frames"


def gif(width: int, height: int, frames: int = 1) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2D\1\0") * frames + b";"


def jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header was changed to another size."""
    data = saved(plain(), "JPEG")
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def tag_bomb() -> bytes:
    """A TIFF directory of 2,000 tags that all name the same two megabytes."""
    first = 8 + 2 + 2000 * 12 + 4
    tags = b"".join(struct.pack("<HHII", 40000 + tag, 7, 2_000_000, first) for tag in range(2000))
    return b"II*\0" + struct.pack("<IH", 8, 2000) + tags + bytes(4 + 2_000_000)


def exif_bomb() -> bytes:
    """The tag bomb as EXIF data of a JPEG, in as many segments as it takes."""
    exif, data = tag_bomb(), saved(plain(), "JPEG")
    parts = [b"Exif\0\0" + exif[begin : begin + 65000] for begin in range(0, len(exif), 65000)]
    return (
        data[:2]
        + b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
        + data[20:]
    )


def bombs() -> dict[str, tuple[bytes, str]]:
    """Files that announce or unpack to far more than they hold, and the reason for which each is
    refused.
    """
    side = {256: (3, 50_000), 257: (3, 50_000), 258: (3, 1), 259: (3, 1), 262: (3, 1), 277: (3, 1)}
    bmp = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    webp = b"VP8X" + struct.pack("<IB3x", 10, 2) + (16_382).to_bytes(3, "little") * 2
    webp += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    frame = saved(plain(), "WEBP")[12:]
    place = bytes(6) + (39).to_bytes(3, "little") + (19).to_bytes(3, "little") + bytes(4)
    webp += b"ANMF" + struct.pack("<I", len(place) + len(frame)) + place + frame
    pixels = "image-too-many-pixels"
    return {
        "png": (png(50_000, 50_000, 8, 6, b"\0"), pixels),
        "png-above-pillows-warning": (png(10_000, 10_000, 8, 6, b"\0"), pixels),
        "png-full": (png(30_000, 30_000, 1, 0, bytes(30_000 * 3_751)), pixels),
        "gif": (gif(50_000, 50_000), pixels),
        "jpeg": (jpeg(50_000, 50_000), pixels),
        "bmp": (bmp + b"\0" * 46, pixels),
        "tiff": (tiff("<", side, b"\0"), pixels),
        "webp": (b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp, pixels),
        "tiff-tags": (tag_bomb(), "image-decode-failed"),
        "gif-frames": (gif(1, 1, 1_000_000), "image-too-many-frames"),
        "tiff-pages": (many_pages(200_000), "image-too-many-frames"),
        "jpeg-scans": (many_scans(), "image-decode-failed"),
        "jpeg-exif": (exif_bomb(), "decoded"),
        "png-exif": (saved(plain(), "PNG", exif=tag_bomb()), "decoded"),
    }


def many_pages(pages: int) -> bytes:
    size = 2 + 8 * 12 + 4
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 279: 1}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    links = [8 + size * page for page in range(1, pages)] + [0]
    return b"II*\0\x08\0\0\0" + b"".join(
        struct.pack("<H", 8) + entries + struct.pack("<I", link) for link in links
    )


def many_scans() -> bytes:
    data = saved(plain(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 600 + data[-2:]


MEASURE = """
import json, resource, sys
from pathlib import Path
from transforms.images.files import ImageLimits
from transforms.images.decode import decode
limits, folder = ImageLimits(), Path(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode((folder / "warm-up").read_bytes(), "0", limits)
found = {}
for name in json.loads(sys.argv[2]):
    data = (folder / name).read_bytes()
    before, cpu = peak(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    result = decode(data, "0", limits)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
    found[name] = [getattr(result, "reason", "decoded"), peak() - before, seconds]
print(json.dumps(found))
"""


def test_bombs_cost_neither_memory_nor_time_nor_a_warning(tmp_path: Path) -> None:
    """A file that announces gigabytes is refused from its header: no memory, no time, nothing on
    stderr.
    """
    files = bombs()
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "warm-up").write_bytes(saved(scene(), "WEBP"))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), json.dumps(list(files))],
        capture_output=True,
        text=True,
        cwd=SRC,
        check=True,
        timeout=120,
    )
    assert run.stderr == ""
    found = json.loads(run.stdout)
    assert {name: reason for name, (reason, _, _) in found.items()} == {
        n: reason for n, (_, reason) in files.items()
    }
    assert {name: kib for name, (_, kib, _) in found.items() if kib > 64 * 1024} == {}
    assert {name: seconds for name, (_, _, seconds) in found.items() if seconds > 1} == {}


# What is no picture, is not read, or is damaged


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"<!DOCTYPE html><html><body><svg></svg>404</body></html>",
        b"<html><head><title>404</title></head></html>",
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b"Not found",
        b"BMW is a maker of cars, and this is a text about it.",
        b"MM is short for millimetre",
        b'{"error": "not found"}',
        b"PK\x03\x04" + bytes(60),
        bytes(1000),
        bytes(range(1, 256)),
        "Größe: 42".encode("utf-16"),
    ],
    ids=_number,
)
def test_not_an_image(data: bytes) -> None:
    """An error page, text or other bytes are no picture, whatever the file is called."""
    assert problem(data).reason == "image-not-an-image"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("SVG", SVG),
        ("SVG", b"\xef\xbb\xbf\n<?xml version='1.0' encoding='UTF-8'?>\n<!-- made -->\n" + SVG),
        (
            "SVG",
            b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd" [<!ENTITY a "b">]>' + SVG,
        ),
        ("SVG", b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>"),
        ("PDF", b"%PDF-1.7\n"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("HEIC", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"),
        ("AVIF", saved(plain(), "AVIF")),
        ("AVIF", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"),
        ("PSD", b"8BPS\0\x01" + bytes(20)),
        ("ICO", saved(plain(size=(16, 16)), "ICO")),
        ("ICNS", b"icns\0\0\0\x10"),
        ("JPEG XL", b"\xff\x0a\xfa\x1f"),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
        ("JPEG 2000", saved(plain(), "JPEG2000")),
        ("Netpbm", saved(plain(), "PPM")),
        ("DDS", saved(plain(size=(16, 16)), "DDS")),
        ("Canon raw", b"II*\0\x10\0\0\0CR\x02\0" + bytes(20)),
        ("QOI", b"qoif" + bytes(10)),
        ("EMF", b"\1\0\0\0" + bytes(36) + b" EMF"),
    ],
    ids=_number,
)
def test_unsupported(name: str, data: bytes) -> None:
    """A picture format that is not read is named, with the formats that are."""
    refused = problem(data)
    assert refused.reason == "image-unsupported"
    assert (
        refused.message
        == f"{name} is not read; convert it to one of JPEG, PNG, WEBP, GIF, BMP, TIFF"
    )


def rle_bmp() -> bytes:
    rows = b"".join(bytes([32, row, 32, 255 - row, 0, 0]) for row in range(64)) + b"\0\1"
    palette = b"".join(bytes([value, value, value, 0]) for value in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(rows), 0, 0, 1078) + header + palette + rows


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8))


WHOLE: dict[str, bytes] = {
    "JPEG": saved(noise(), "JPEG"),
    "JPEG progressive": saved(noise(), "JPEG", progressive=True),
    "JPEG CMYK": saved(noise().convert("CMYK"), "JPEG"),
    "PNG": saved(noise(), "PNG"),
    "WEBP": saved(noise(), "WEBP"),
    "WEBP lossless": saved(noise(), "WEBP", lossless=True),
    "GIF": saved(noise(), "GIF"),
    "GIF animated": saved(noise(), "GIF", save_all=True, append_images=[plain()]),
    "BMP": saved(noise(), "BMP"),
    "BMP run-length": rle_bmp(),
    "TIFF": saved(noise(), "TIFF"),
    "TIFF LZW": saved(noise(), "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": saved(noise(), "TIFF", compression="jpeg"),
    "BigTIFF": saved(noise(), "TIFF", compression="tiff_lzw", big_tiff=True),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated(kind: str) -> None:
    """A picture cut off anywhere behind its first bytes is truncated, not another kind of wrong."""
    data = WHOLE[kind]
    assert decoded(data)
    first_frame = len(WHOLE["GIF"]) if kind == "GIF animated" else len(data)
    cuts = {*range(20, 200, 7), *(int(first_frame * share) for share in (0.3, 0.5, 0.9, 0.98))}
    assert {problem(data[:cut]).reason for cut in cuts if cut < first_frame} == {"image-truncated"}


def _with_strips_cut_off() -> bytes:
    """A compressed TIFF file whose directory stands first, so that cutting it off leaves the header
    whole.
    """
    strip = zlib.compress(noise().tobytes())
    tags = {256: 80, 257: 60, 258: 8, 259: 8, 262: 1, 273: 0, 277: 1, 278: 60, 279: len(strip)}
    first = 8 + 2 + 12 * len(tags) + 4
    tags[273] = first
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    whole = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip
    return whole[: first + len(strip) // 4]


def test_truncated_strips() -> None:
    """A compressed TIFF file that loses only the end of its pixels is truncated, too."""
    assert problem(_with_strips_cut_off()).reason == "image-truncated"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (png(8, 8, 8, 2, b"\7" * 200), "the PNG decoder refused the data"),
        (png(8, 8, 3, 2, b"\0" * 200), "its header is damaged"),
        (WHOLE["PNG"].replace(b"IDAT", b"IDAT\x13\x37", 1), "the PNG decoder refused the data"),
        (WHOLE["JPEG"].replace(b"\xff\xc4", b"\xff\xdd", 1), "the JPEG decoder refused the data"),
        (tiff("<", {256: (3, 8), 257: (3, 8), 259: (3, 999)}, bytes(64)), "its header is damaged"),
        (WHOLE["WEBP"].replace(b"VP8 ", b"VP9 "), "its header is damaged"),
        (many_scans(), "more than 500 scans"),
        (tag_bomb(), "names the same bytes over and over"),
    ],
    ids=_number,
)
def test_decode_failed(data: bytes, told: str) -> None:
    """Data that is whole but wrong is refused by its decoder, and the message is the same every
    time.
    """
    refused = problem(data)
    assert refused.reason == "image-decode-failed"
    assert told in refused.message
    assert "0x" not in refused.message
    assert problem(bytes(bytearray(data))) == refused


DECODE_REASONS = {
    "image-not-an-image",
    "image-unsupported",
    "image-too-many-pixels",
    "image-side-ratio",
    "image-too-many-frames",
    "image-truncated",
    "image-decode-failed",
}


def _accounts_for(data: bytes) -> None:
    result = decode(data, DIGEST, LIMITS)
    assert isinstance(result, DecodedPicture) or result.reason in DECODE_REASONS


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from(
        [b"", *(data[:16] for data in WHOLE.values()), b"<svg", b"\0\0\0\x20ftyp"]
    ),
    rest=st.binary(max_size=300),
)
def test_any_bytes_are_accounted_for(start: bytes, rest: bytes) -> None:
    """Arbitrary bytes, also behind a true beginning, give a picture or a registered reason, never
    an exception.
    """
    _accounts_for(start + rest)


@settings(max_examples=300, deadline=None)
@given(
    whole=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
    in_header=st.booleans(),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damaged_files_are_accounted_for(
    whole: str, changes: list[tuple[float, int]], in_header: bool, kept: float
) -> None:
    """A valid file with bytes changed and its end cut off gives a picture or a registered reason."""
    data = bytearray(WHOLE[whole])
    reach = min(len(data), 300) if in_header else len(data)
    for place, value in changes:
        data[int(place * reach)] = value
    _accounts_for(bytes(data[: int(len(data) * kept)]))


def test_every_image_reason_is_produced(tmp_path: Path) -> None:
    """For each reason of the stage there is a file or reference that is refused with it."""

    def written(data: bytes) -> Callable[[str], object]:
        return lambda name: (tmp_path / name).write_bytes(data)

    makers: dict[str, tuple[str, Callable[[str], object] | None]] = {
        "image-missing": ("no.jpg", None),
        "image-outside-root": ("../a.jpg", None),
        "image-path-invalid": ("http://shop.example/a.jpg", None),
        "image-not-a-file": ("pipe.jpg", lambda name: os.mkfifo(tmp_path / name)),
        "image-empty": ("empty.jpg", written(b"")),
        "image-too-many-bytes": ("large.jpg", written(bytes(3_000_000))),
        "image-not-an-image": ("page.jpg", written(b"<html></html>")),
        "image-unsupported": ("drawing.jpg", written(SVG)),
        "image-too-many-pixels": ("bomb.png", written(png(50_000, 50_000, 8, 6, b"\0"))),
        "image-side-ratio": ("strip.png", written(saved(plain(size=(100, 1)), "PNG"))),
        "image-too-many-frames": ("long.gif", written(gif(1, 1, 501))),
        "image-truncated": ("half.jpg", written(WHOLE["JPEG"][:1000])),
        "image-decode-failed": ("broken.png", written(png(8, 8, 8, 2, b"\7" * 200))),
    }
    limits = replace(LIMITS, max_bytes=2_500_000)
    for reason, (reference, make) in makers.items():
        if make:
            make(reference)
        data = read_picture(str(tmp_path), reference, limits)
        result = (
            decode(data, hashlib.sha256(data).hexdigest(), limits)
            if isinstance(data, bytes)
            else data
        )
        assert isinstance(result, PictureProblem), reference
        assert result.reason == reason
    # Needs another user: test_picture_files.test_unreadable.
    assert {*makers, "image-unreadable"} == {r.id for r in REASONS.values() if r.stage == "images"}
    assert set(makers) >= DECODE_REASONS
