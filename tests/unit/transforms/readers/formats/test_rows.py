"""Rows of a delimited file: those of lines that are there at once are those read one by one."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dripping import Dripping
from transforms.readers.contract import DEFAULT_LIMITS, InputSplit, SplitDigest
from transforms.readers.dialect import Dialect
from transforms.readers.formats.lines import Lines
from transforms.readers.formats.rows import Rows

PIECES = [b"a", b"1", b",", b",", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\xff"]
DIALECTS = [Dialect(), Dialect(quote=""), Dialect(spaces=True), Dialect(escape="\\"), Dialect("::")]


@settings(max_examples=600, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([*PIECES, b'"a\n', b'a"\n', b"a,b\n", b"\xc3\xa9"])),
    dialect=st.sampled_from(DIALECTS),
    columns=st.integers(0, 3),
    piece_bytes=st.integers(1, 60),
)
def test_rows_of_a_block_are_those_read_one_by_one(pieces, dialect, columns, piece_bytes):
    """However quotes are broken and wherever blocks end, looking at many lines at once gives the
    rows that looking at one after the other gives.
    """
    data = b"".join(pieces)
    split = InputSplit("a.csv", "csv", (), 0, len(data), len(data))
    one_by_one, at_once = (
        Lines(each, split, DEFAULT_LIMITS.kept_bytes, SplitDigest())
        for each in (io.BytesIO(data), Dripping(data, piece_bytes))
    )
    expected = Rows(one_by_one, dialect, DEFAULT_LIMITS)
    rows = Rows(at_once, dialect, DEFAULT_LIMITS)
    expected.columns = rows.columns = columns
    found = [told(row) for row in rows.following(at_once)]
    assert found == [told(row) for row in iter(expected.read, None)]


def told(row) -> tuple:
    """A row as it compares: errors by what they say."""
    line, cells, refused, lines, is_literal = row
    return tuple(line), cells, str(refused), lines, is_literal
