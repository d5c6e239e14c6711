"""schemas.texts: what people are shown is one bounded line, what is compared is folded."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.texts import fold, has_words, one_line, shorten


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\x00b\x1b[0m", "ab[0m"),
        (" a \n\t b ", "a b"),
        ("x\u202ey\u200bz", "xyz"),
        ("Größe 5 €", "Größe 5 €"),
        ("", ""),
    ],
)
def test_invisible_characters_are_dropped(text: str, line: str) -> None:
    """Control and invisible characters go, white space becomes single spaces, everything printable
    stays.
    """
    assert one_line(text, invisible="dropped") == line


@given(st.text(), st.integers(4, 40), st.sampled_from(["…", " ..."]))
def test_a_line_is_bounded(text: str, most: int, mark: str) -> None:
    """No line is longer than allowed, and one that fits is not cut."""
    line = one_line(text, most, mark)
    assert len(line) <= most
    assert "\n" not in line
    whole = one_line(text)
    assert line == whole or (len(whole) > most and line.endswith(mark))


@given(st.text(), st.integers(0, 40))
def test_a_mark_may_follow_a_beginning_of_fixed_length(text: str, kept: int) -> None:
    """A mark that is not counted stands after exactly as many characters as were wanted."""
    cut = shorten(text, kept, "...", counted=False)
    assert cut == (text if len(text) <= kept else text[:kept] + "...")


@given(st.text())
def test_without_marks_none_is_left(text: str) -> None:
    """Folding without marks leaves no combining character, so that accents tell nothing apart."""
    assert not any(map(unicodedata.combining, fold(text, marks=False)))


@pytest.mark.parametrize(
    ("one", "other"), [("ÅNGSTRÖM", "ångström"), ("STRASSE", "straße"), ("ﬁsh", "FISH")]
)
def test_spellings_of_one_word_fold_alike(one: str, other: str) -> None:
    """Case, composition and ligatures make no difference."""
    assert fold(one) == fold(other)


@given(st.text(st.sampled_from("ab_ .é1\u0301-"), max_size=12), st.text("ab_ é", min_size=1))
def test_words_are_found_where_no_word_goes_on(whole: str, text: str) -> None:
    """As by a pattern with the ends of words around the text, which would be compiled each time."""
    pattern = rf"(?<!\w){re.escape(text)}(?!\w)"
    assert has_words(whole, text) == bool(re.search(pattern, whole))
