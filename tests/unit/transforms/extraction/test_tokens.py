"""transforms.extraction.tokens: words and marks of a text, by two patterns that agree."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.extraction.tokens import lacks_all, token_key, tokenise, words_of

_MARKS = "\u0300-\u036f\u0900-\u0963\u0e31\u0e34-\u0e3a"
_WORD = rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*"
# Every sign is one of these, in one pattern and with all places.
PLAIN = re.compile(
    rf"(?P<word>{_WORD}(?:['’]{_WORD})*)|(?<=\S)[-\u2010-\u2015\u2212](?=\S)|[&'’_™®©]|[^\S\n]+"
    r"|(?P<mark>.|\n)"
)
ASCII_SIGNS = "abZ09 -'&_.,;\n\t()\x1c\x1f\x0b\x00%"
SIGNS = ASCII_SIGNS + "–—’™®©Äéßऀॐไท\ufb01\u2163½\u0301\u0300😀名\u00a0\u0663"


@settings(max_examples=1_000)
@given(st.text(st.sampled_from(ASCII_SIGNS), max_size=20) | st.text(st.sampled_from(SIGNS)))
def test_tokens_and_their_places_are_those_of_one_plain_pattern(text: str) -> None:
    """ASCII and other texts, with and without places: the same words and marks, in order."""
    found = [match for match in PLAIN.finditer(text) if match.lastgroup]
    tokens = tokenise(text)
    assert tokens.keys == tuple(token_key(match.group()) for match in found)
    assert tokens.is_word == tuple(match.lastgroup == "word" for match in found)
    assert tokens.begins == tuple(match.start() for match in found)
    assert tokens.ends == tuple(match.end() for match in found)


@given(st.text(st.sampled_from(ASCII_SIGNS), max_size=20) | st.text(st.sampled_from(SIGNS)))
def test_words_alone_are_those_among_the_tokens(text: str) -> None:
    """They are found without the marks around them, and in the same spelling."""
    assert words_of(text) == [
        key
        for key, is_word in zip(tokenise(text).keys, tokenise(text).is_word, strict=True)
        if is_word
    ]


@given(
    st.text(st.sampled_from(SIGNS), max_size=20),
    st.sets(st.text(st.sampled_from("abz09é.-"), min_size=1, max_size=2)),
)
def test_a_text_that_lacks_tokens_has_none_of_them(text: str, keys: set[str]) -> None:
    """Before its tokens are known nothing is said too much, and afterwards what is so."""
    lacked = lacks_all(text, keys)
    has_none = keys.isdisjoint(tokenise(text).keys)
    assert has_none or not lacked
    assert lacks_all(text, keys) == has_none


def test_long_texts_and_words_have_tokens_too() -> None:
    """What is too long to be kept is read all the same."""
    text = "Crème " * 1_000 + "x" * 100_000
    assert tokenise(text).keys == ("crème",) * 1_000 + ("x" * 100_000,)
