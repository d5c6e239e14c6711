"""Lines of a split in blocks: the same as line by line, wherever blocks end."""

import hashlib
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dripping import Dripping
from transforms.readers.contract import InputSplit, SplitDigest, UnreadableError
from transforms.readers.formats.lines import BLOCK_BYTES, LONGEST_READY_BYTES, Lines

BOM = b"\xef\xbb\xbf"
KEPT_BYTES = 16 << 20


class Breaking(io.BytesIO):
    """A file whose storage fails behind its data."""

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        if not data:
            raise OSError("connection reset")
        return data


def split_of(data: bytes, begin: int = 0, end: int | None = None) -> InputSplit:
    return InputSplit("a.txt", "csv", (), begin, len(data) if end is None else end, len(data))


def read(lines: Lines) -> list[tuple[int, bytes, int]]:
    return [tuple(line) for line in iter(lines.read, None)]


@settings(max_examples=400, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([b"a", b"\n", b"\n", b"\r\n", BOM, BOM[:1], b"\xff"])),
    piece_bytes=st.integers(1, 9),
    ends=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    by_one=st.integers(0, 5),
)
def test_blocks_have_the_lines_of_their_split(pieces, piece_bytes, ends, by_one):
    """However a file comes in blocks, a split has the lines that it has line by line, with the same
    numbers, sizes and digest; also where some are asked for one by one.
    """
    data = b"".join(pieces)
    begin, end = sorted(min(each, len(data)) for each in ends)
    split = split_of(data, begin, end)
    expected, digest = SplitDigest(), SplitDigest()
    by_line = read(Lines(io.BytesIO(data), split, LONGEST_READY_BYTES - 1, expected))
    lines = Lines(Dripping(data, piece_bytes), split, KEPT_BYTES, digest)
    first = [line for _ in range(by_one) if (line := lines.read()) is not None]
    assert [*map(tuple, first), *lines] == by_line
    assert (digest.size_bytes, digest.hexdigest()) == (expected.size_bytes, expected.hexdigest())
    assert lines.number == len(by_line)


@pytest.mark.parametrize("long_bytes", [BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7])
def test_lines_longer_than_a_block(long_bytes):
    """Lines that are longer than a block, and many that are short, come as they are, all once."""
    long = b"x" * long_bytes + b"\n"
    data = b"".join([b"a\n" * 70_000, long, b"b\n", long, long, b"\n" * 5, b"c"])
    digest = SplitDigest()
    found = list(Lines(io.BytesIO(data), split_of(data), KEPT_BYTES, digest))
    assert [line for _, line, _ in found] == io.BytesIO(data).readlines()
    assert [number for number, *_ in found] == list(range(1, len(found) + 1))
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_of_a_line_that_is_too_long_its_beginning_is_kept():
    """Of a line beyond the limit so many bytes are kept as the limit says, with its whole size."""
    data = b"a\n" + b"x" * (4 * BLOCK_BYTES) + b"\nb\n"
    lines = Lines(io.BytesIO(data), split_of(data), LONGEST_READY_BYTES, SplitDigest())
    sizes = [(len(line), size_bytes) for _, line, size_bytes in lines]
    assert sizes == [(2, 2), (LONGEST_READY_BYTES, 4 * BLOCK_BYTES + 1), (2, 2)]


def test_what_came_before_a_break_is_read():
    """Where a file breaks off, the lines before come first, and the error says how many."""
    data = b"a\nb\nhalf"
    lines = iter(Lines(Breaking(data), split_of(data, end=100), KEPT_BYTES, SplitDigest()))
    assert [line for _, line, _ in itertools.islice(lines, 2)] == [b"a\n", b"b\n"]
    with pytest.raises(UnreadableError, match="after line 2: OSError"):
        next(lines)
