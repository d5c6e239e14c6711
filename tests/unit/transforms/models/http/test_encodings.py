"""transforms.models.http.encodings: what is packed is unpacked up to a size, and no further."""

from __future__ import annotations

import tracemalloc

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.misbehaviour.encoded import BOMB_BYTES, PACKERS, bomb, deflated
from transforms.models.http.encodings import EncodingError, unpacked

LIMIT = 2**20


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(sorted(PACKERS)), max_size=2),
    st.integers(0, 4),
)
def test_what_was_packed_comes_out(data: bytes, names: list[str], blanks: int) -> None:
    """Any bytes come back from any two encodings over each other, in whatever case they are named."""
    packed = data
    for name in names:
        packed = PACKERS[name](packed)
    named = ("," + " " * blanks).join(name.upper() for name in names)
    assert unpacked(packed, named, LIMIT) == data


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKERS)), st.data())
def test_what_is_cut_off_is_no_answer(data: bytes, name: str, drawn: st.DataObject) -> None:
    """Wherever a packed response breaks off, it is said that it is not whole, or nothing came."""
    packed = PACKERS[name](data)
    cut = drawn.draw(st.integers(0, len(packed) - 1))
    if cut:
        with pytest.raises(EncodingError) as caught:
            unpacked(packed[:cut], name, LIMIT)
        assert str(caught.value).isprintable()
    else:
        assert unpacked(b"", name, LIMIT) == b""


@given(st.binary(max_size=400), st.sampled_from(sorted(PACKERS)))
def test_any_bytes_are_survived(data: bytes, name: str) -> None:
    """Whatever comes under the name of an encoding, it is unpacked or named."""
    problem = ""
    try:
        unpacked(data, name, LIMIT)
    except EncodingError as error:
        problem = str(error)
    assert len(problem) < 300


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_takes_no_more_memory_than_an_answer(name: str) -> None:
    """A few kilobytes that stand for 256 MiB are given up at the limit: no more than some times that
    is ever held, in Python or in Arrow.
    """
    packed = bomb(name)
    assert len(packed) < BOMB_BYTES / 500
    unpacked(PACKERS[name](b"{}"), name, LIMIT)  # what is imported and made once is not counted
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(EncodingError, match="1,048,576 bytes once unpacked"):
            unpacked(packed, name, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()
    assert pa.total_allocated_bytes() - held < 4 * LIMIT


def test_bombs_in_bombs_are_bounded_at_each_layer() -> None:
    """The limit holds for what is between two encodings as well, and more than two are not unpacked."""
    packed = PACKERS["gzip"](bomb("gzip"))
    with pytest.raises(EncodingError, match="once unpacked"):
        unpacked(packed, "gzip, gzip", LIMIT)
    with pytest.raises(EncodingError, match="packed 3 times over"):
        unpacked(packed, "gzip, gzip, gzip", LIMIT)


@pytest.mark.parametrize("name", ["compress", "gzip-ish", "x" * 5_000, "\x1b[2J"])
def test_another_encoding_is_named(name: str) -> None:
    """What is not read is said, shortened and without what steers a terminal."""
    with pytest.raises(EncodingError, match="which is not read") as caught:
        unpacked(b"{}", name, LIMIT)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_deflate_is_read_with_and_without_its_header() -> None:
    """The standard has a zlib header there, many servers leave it out."""
    assert unpacked(deflated(b"{}"), "deflate", LIMIT) == b"{}"


def test_exactly_the_limit_is_no_bomb() -> None:
    """As many bytes as are allowed are an answer, one more is none."""
    packed = PACKERS["gzip"](b"x" * 1_000)
    assert len(unpacked(packed, "gzip", 1_000)) == 1_000
    with pytest.raises(EncodingError):
        unpacked(packed, "gzip", 999)
