"""XML on its way to a parser: as it was, but for what is longer than any record may be."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.readers.markup.shortening import LongTagError, Shortening

PIECES = st.sampled_from(
    [
        "<a>", "</a>", "<b x='1>2' y=\"'\"/>", "<!-- < '-- \" > -->", "<![CDATA[ <a> ]] > ]]>",
        "text", " > ", "&amp;", "<!---->", "<![CDATA[]]>", "'", '"', "]]", "--", "<b z=''></b>",
    ]
)  # fmt: skip


def blocks_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut into blocks of these sizes, over and over."""
    places = [0]
    while places[-1] < len(data):
        places.append(places[-1] + sizes[len(places) % len(sizes)])
    return [data[begin:end] for begin, end in pairwise(places)]


def shortened(data: bytes, most: int, sizes: list[int]) -> bytes:
    shorten = Shortening(most)
    return b"".join(map(shorten.shortened, blocks_of(data, sizes))) + shorten.rest()


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


@given(st.lists(PIECES, max_size=30), SIZES)
def test_what_fits_stays_as_it_is(pieces: list[str], sizes: list[int]) -> None:
    """Whatever blocks it comes in, and wherever brackets, quotes and marks stand."""
    data = "".join(pieces).encode()
    assert shortened(data, 1_000, sizes) == data


LONG = st.integers(200, 500)


@settings(max_examples=40)
@given(LONG, LONG, LONG, LONG, SIZES)
def test_what_is_too_long_is_cut_and_the_rest_is_read(
    text: int, value: int, note: int, data: int, sizes: list[int]
) -> None:
    """A text, an attribute, a comment full of brackets and CDATA of any length become short ones,
    and what stands behind each is there.
    """
    document = (
        f"<r><t>{'x' * text}</t><t a='1' b='{'>' * value}' c='2'>y</t>"
        f"<!--{'<' * note}--><t><![CDATA[{'<&' * data}]]></t><t>end</t></r>"
    ).encode()
    short = shortened(document, 100, sizes)
    root = ElementTree.fromstring(short)
    first, second, third, last = root
    blocks = 100 + 2 * max(sizes)
    assert 90 < len(first.text or "") <= blocks
    assert 80 < len(second.attrib["b"]) <= blocks
    assert (second.attrib["a"], second.attrib["c"], second.text) == ("1", "2", "y")
    assert 90 < len(third.text or "") <= blocks
    assert last.text == "end"
    assert len(short) < 1_000


def test_a_tag_without_an_end_is_told() -> None:
    """What cannot be cut without making something up is refused with its size."""
    with pytest.raises(LongTagError, match="more than 100 bytes"):
        shortened(b"<a " + b"b" * 500, 100, [16])
