"""What a picture file's bytes tell without decoding."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transforms.images.formats import (
    READ_FORMATS,
    count_gif_frames,
    count_tiff_pages,
    read_format,
    riff_ends_early,
    unread_format,
    without_further_exif,
)


def saved(file_format: str, frames: int = 1, **options: object) -> bytes:
    file = io.BytesIO()
    more = [Image.new("RGB", (9, 7), (index, 0, 0)) for index in range(1, frames)]
    Image.new("RGB", (9, 7), "white").save(
        file, file_format, **({"save_all": True, "append_images": more} if more else {}), **options
    )
    return file.getvalue()


@pytest.mark.parametrize("file_format", READ_FORMATS)
def test_read_formats_are_known_by_their_first_bytes(file_format: str) -> None:
    """A file that Pillow writes in a format is recognised as that format and as no other."""
    assert read_format(saved(file_format)) == file_format
    assert unread_format(saved(file_format)) is None


@given(st.text())
def test_text_is_no_bmp(text: str) -> None:
    """Text that begins with the two letters of BMP is not taken for one."""
    assert read_format(b"BM" + text.replace("\0", "").encode()) is None


@pytest.mark.parametrize("options", [{}, {"big_tiff": True}, {"compression": "tiff_lzw"}])
@pytest.mark.parametrize("pages", [1, 2, 7])
def test_tiff_pages(pages: int, options: dict[str, object]) -> None:
    """Pages are counted as Pillow counts them, but no further than one above the limit."""
    data = saved("TIFF", pages, **options)
    assert count_tiff_pages(data, 100) == Image.open(io.BytesIO(data)).n_frames == pages
    assert count_tiff_pages(data, 1) == min(pages, 2)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_pages_in_a_circle(order: str) -> None:
    """Directories that link to each other are counted once."""
    mark = b"II" if order == "<" else b"MM"
    page = struct.pack(order + "H", 0)
    data = mark + struct.pack(order + "HI", 42, 8) + page + struct.pack(order + "I", 14) + page
    data += struct.pack(order + "I", 8)
    assert count_tiff_pages(data, 100) == 2


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_gif_frames(frames: int) -> None:
    """Frames are counted as Pillow counts them, but no further than one above the limit."""
    data = saved("GIF", frames, comment=b"a comment, which holds a comma and !")
    assert count_gif_frames(data, 100) == Image.open(io.BytesIO(data)).n_frames == frames
    assert count_gif_frames(data, 1) == min(frames, 2)


@given(
    st.sampled_from([saved("GIF", 5), saved("TIFF", 5), saved("TIFF", 5, big_tiff=True)]),
    st.integers(0),
)
def test_counting_stops_where_the_data_ends(data: bytes, kept: int) -> None:
    """A file that breaks off has the frames before the break."""
    part = data[: kept % len(data)]
    count = count_gif_frames if data.startswith(b"GIF") else count_tiff_pages
    assert 0 <= count(part, 100) <= 5


def test_riff_ends_early() -> None:
    """A WebP file is whole with the bytes that its header announces, and with more behind them."""
    data = saved("WEBP")
    assert not riff_ends_early(data)
    assert not riff_ends_early(data + b"more")
    assert riff_ends_early(data[:-1])


def test_only_the_first_exif_segment_counts() -> None:
    """Further EXIF marks of a JPEG file are made void without moving a byte; other data is left as
    it is.
    """
    mark = b"Exif\0\0"
    assert (
        without_further_exif(b"\xff\xd8" + mark + b"1" + mark + b"2")
        == b"\xff\xd8" + mark + b"1Void\0\x002"
    )
    for same in (b"\xff\xd8" + mark + b"1", b"\xff\xd8", b"RIFF" + mark + mark, b""):
        assert without_further_exif(same) == same
