"""Division of long texts, and what stands for the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.embed.chunking import (
    Chunk,
    CountTokens,
    divide,
    pack,
    pooled,
    sentences,
    shortened,
    windows,
)

TEXTS = st.text(st.sampled_from("ab .!\n。é"), max_size=80) | st.text(max_size=30)


def words(texts: Sequence[str]) -> list[int]:
    """As many tokens as words."""
    return [len(text.split()) for text in texts]


def subwords(texts: Sequence[str]) -> list[int]:
    """Two characters a token and one for each word: more together than apart where words are cut."""
    return [len(text.strip()) // 2 + len(text.split()) + len(text) % 2 for text in texts]


COUNTS = st.sampled_from([words, subwords])


def visible(text: str, begin: int, end: int) -> set[int]:
    return {place for place in range(begin, end) if not text[place].isspace()}


@given(TEXTS)
def test_sentences_cover_the_text_without_a_gap(text: str) -> None:
    """Joined again, they are the text."""
    assert "".join(text[begin:end] for begin, end in sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Holds 0.3 l. Safe!", ["Holds 0.3 l.", " Safe!"]),
        ("He said “Stop.” Then left.", ["He said “Stop.”", " Then left."]),
        ("one\n\ntwo", ["one\n\n", "two"]),
        ("これは一。あれは二！", ["これは一。", "あれは二！"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_a_sentence_ends_where_a_reader_would_end_it(text: str, expected: list[str]) -> None:
    """A decimal point ends nothing; marks of other scripts and line ends do."""
    assert [text[begin:end] for begin, end in sentences(text)] == expected


@given(TEXTS, COUNTS, st.integers(1, 12), st.integers(0, 6))
def test_every_visible_character_is_in_a_chunk(
    text: str, count: CountTokens, size: int, overlap: int
) -> None:
    """Nothing that can be read is lost, and chunks stand in the order of the text."""
    chunks = divide(text, count, size, overlap)
    covered: set[int] = set()
    for chunk in chunks:
        assert chunk.of(text) == chunk.of(text).strip() != ""
        covered |= visible(text, chunk.begin, chunk.end)
    assert covered == visible(text, 0, len(text))
    assert chunks == sorted(chunks, key=lambda chunk: (chunk.begin, chunk.end))


@given(TEXTS, COUNTS, st.integers(1, 12), st.integers(0, 6))
def test_no_chunk_has_more_tokens_than_it_may(
    text: str, count: CountTokens, size: int, overlap: int
) -> None:
    """Only a single character may be too long, because nothing is left to divide."""
    for chunk in divide(text, count, size, overlap):
        assert chunk.tokens == count([chunk.of(text)])[0]
        assert chunk.tokens <= size or chunk.end - chunk.begin == 1


def test_chunks_end_with_sentences_and_share_whole_ones() -> None:
    """Without overlap each sentence is in one chunk; with it the last of one begins the next."""
    text = "Title: Mug. Made of clay. Holds a lot. Made in Wales."
    assert [chunk.of(text) for chunk in divide(text, words, 6)] == [
        "Title: Mug. Made of clay.",
        "Holds a lot. Made in Wales.",
    ]
    assert [chunk.of(text) for chunk in divide(text, words, 6, overlap=3)] == [
        "Title: Mug. Made of clay.",
        "Made of clay. Holds a lot.",
        "Holds a lot. Made in Wales.",
    ]


def test_a_long_sentence_is_divided_between_words_and_a_long_word_within() -> None:
    """A cell without a full stop, or without a space, is no reason to lose its end."""
    assert [chunk.of("a b c d e") for chunk in divide("a b c d e", words, 2)] == ["a b", "c d", "e"]
    text = "x" * 40
    chunks = divide(text, subwords, 6)
    assert "".join(chunk.of(text) for chunk in chunks) == text
    assert len(chunks) > 1


def test_tokens_are_asked_for_in_few_calls() -> None:
    """Sentences are counted together: a call for each would cost more than encoding them."""
    calls = []

    def counted(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return words(texts)

    chunks = divide("A short sentence. " * 1_000, counted, 30)
    assert len(chunks) == 100
    assert len(calls) == 2


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 12), st.integers(0, 12))
def test_packed_ranges_cover_all_and_move_on(tokens: list[int], size: int, overlap: int) -> None:
    """Each range has something that none before it had, keeps the size, and shares little."""
    ranges = pack(tokens, size, overlap)
    done = 0
    for begin, end in ranges:
        assert begin <= done < end
        assert sum(tokens[begin:done]) <= overlap
        assert sum(tokens[begin:end]) <= size or end - begin == 1
        done = end
    assert done == len(tokens)


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(9, 40))
def test_every_chunk_is_in_one_window_that_has_its_context(tokens: list[int], size: int) -> None:
    """What an encoder reads at once holds its chunks, and begins no later than the first of them."""
    chunks = [Chunk(10 * place, 10 * place + 5, each) for place, each in enumerate(tokens)]
    found = list(windows(chunks, size))
    assert [chunk for window in found for chunk in window.chunks] == chunks
    for window in found:
        assert window.begin <= window.chunks[0].begin
        assert window.end == window.chunks[-1].end
        read = [c.tokens for c in chunks if window.begin <= c.begin and c.end <= window.end]
        assert sum(read) <= size
    for window in found[1:]:
        before = [c.tokens for c in chunks if window.begin <= c.begin < window.chunks[0].begin]
        assert sum(before) <= size // 4


def test_windows_of_a_long_text_overlap() -> None:
    """The second window reads again what stands before its first chunk."""
    chunks = [Chunk(10 * place, 10 * place + 9, 1) for place in range(12)]
    first, second = windows(chunks, 8)
    assert (first.begin, first.end) == (0, 79)
    assert (second.begin, second.end) == (60, 119)
    assert second.chunks == tuple(chunks[8:])


def test_the_pooled_vector_is_the_weighted_mean_of_length_one() -> None:
    """A chunk of thrice the tokens counts three times; a text of one chunk keeps its vector."""
    one, other = np.eye(2, dtype=np.float32)
    mean = pooled([one, other], [3, 1])
    assert mean is not None
    assert mean.dtype == np.float32
    assert mean == pytest.approx(np.array([3, 1]) / np.sqrt(10), abs=1e-6)
    assert pooled([other], [7]) == pytest.approx(other)


def test_vectors_that_cancel_out_have_no_mean() -> None:
    """A vector of length zero is never scaled to one."""
    one = np.array([1, 0], np.float32)
    assert pooled([one, -one], [2, 2]) is None


@given(TEXTS, st.integers(0, 5))
def test_what_is_shortened_is_the_beginning_in_whole_words(text: str, most: int) -> None:
    """A title that goes before each chunk takes no more than its share."""
    short = shortened(text, words, most)
    assert short.split() == text.split()[:most]
    assert re.sub(r"\s", "", text).startswith(re.sub(r"\s", "", short))
