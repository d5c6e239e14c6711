"""transforms.extraction.number_places: patterns of numbers are tried where numbers begin."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.extraction.number_places import NOT_INSIDE, matches_at, number_places

SIGNS = "0123456789.,½⅞/-–' xXcmW(\n٣é"
FREE = re.compile(rf"{NOT_INSIDE}(?:[\d½⅞]+(?:[.,]\d+)?|\.\d+)(?: ?x ?\d+)?")
RUNS = re.compile(r"(?<![\w.,/-])\d{1,4}(?: ?cm)?")


@settings(max_examples=1_000)
@given(st.text(st.sampled_from(SIGNS), max_size=30))
def test_a_pattern_of_numbers_matches_at_their_places_what_it_matches_anywhere(text: str) -> None:
    """Nothing is found more or less, nor elsewhere, than by looking through the whole text."""
    places = number_places(text)
    for pattern, tried in ((FREE, places.free), (RUNS, places.begins)):
        found = [match.span() for match in matches_at(pattern, text, tried)]
        assert found == [match.span() for match in pattern.finditer(text)]
    assert places.digits >= sum(sign.isdecimal() for sign in text)
