"""schemas.sections.patterns: the language is Python's, and each text is answered in time."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.sections.patterns import (
    MAX_PATTERN_CHARS,
    PATTERN_SECS,
    PatternTimeoutError,
    check_expression,
    matches,
)
from schemas.template import ColumnFormat
from transforms.attribute_types.registry import operations_of

USUAL = (
    r"[A-Za-z0-9][A-Za-z0-9 ./_-]*",
    r"^\d{3}-\d{2}$",
    r"(?i)ab|c+d?",
    r"\w+(?:\s\w+)*",
    r"(?P<a>[xy])(?P=a)",
    r"(?!n/a).*\bé\w*",
    r"[^\W\d_]{2,}(?<=b)",
    r"a{,2}\{e\}|[{}]+",
    r".{1,3}\Z",
    r"[]a]+|[^]]?",
    r"[^\W\d]|[\s\d]|[\W_]{2}",
    r"(?s:.)(?-s:.)|(?m:^a$\n?)*",
    r"(?a)\w+\s\d",
    r"(a)?(?(1)b|c)|x{2}+y?",
    r"",
)
# Each needs a time that grows beyond all bounds with the text that it does not fit.
ENDLESS = (
    r"(a+)+$",
    r"(a|aa)+$",
    r"([a-z]+)*\d",
    r"(a*)*b",
    r"(\w+\s?)+:",
    r"(.*a){12}",
    r"(?=(a+)+!)a",
    r"(a+)\1+b",
    r"(?:a?){40}a{40}!",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
)
# Of them and their like, what RE2 does not take.
BACKTRACKING = (r"(?!b)([a-z]+ ?)+", r"\b(\w+\s?)+:", r"(a|aa)+(?=:)", r"(a+)+\1b")


@pytest.mark.parametrize("pattern", USUAL)
@settings(max_examples=30)
@given(data=st.data())
def test_patterns_mean_what_they_mean_to_python(pattern: str, data: st.DataObject) -> None:
    """An accepted expression fits exactly the texts that it fits for Python's own engine."""
    assert check_expression(pattern) == pattern
    text = data.draw(
        st.from_regex(pattern) | st.text("ab12éxy{}]- \n/A", max_size=12) | st.text(max_size=9)
    )
    assert matches(pattern, text) == (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize("size", [30, 1_000, 1_000_000])
@pytest.mark.parametrize("pattern", ENDLESS + BACKTRACKING)
def test_no_text_keeps_a_pattern_at_work(pattern: str, size: int) -> None:
    """Each text is answered, or given up, within a small multiple of the time for one."""
    check_expression(pattern)
    began = time.process_time()
    with suppress(PatternTimeoutError):
        assert not matches(pattern, size * "a" + "!?")
    assert time.process_time() - began < 4 * PATTERN_SECS


@given(
    st.from_regex(r"[a-z]{1,4}", fullmatch=True), st.sampled_from(["\n", "\r", "\u2028", "\x85"])
)
def test_the_end_of_a_pattern_is_the_end_of_the_text(text: str, line_break: str) -> None:
    """`$` lets no line break through behind a value."""
    for pattern in (r"[a-z]+", r"^[a-z]+$", r"(?m)^[a-z]+$", r"[a-z]+\Z"):
        assert matches(pattern, text)
        assert not matches(pattern, text + line_break)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(", "not a regular expression"),
        (r"\d+(?R)?", "not a regular expression"),
        (r"(?1)", "not a regular expression"),
        (r"a{99999999999}", "not a regular expression"),
        ("(" * 9_000, "nested too deep"),
        ("a" * (MAX_PATTERN_CHARS + 1), "50,001 characters"),
        (r"(?|a|b)", "not a regular expression"),
    ],
)
def test_what_is_no_pattern_is_refused_when_the_template_is_read(pattern: str, said: str) -> None:
    """What Python does not read, what only the engine underneath reads, and what is too long."""
    with pytest.raises(ValueError, match=said) as refused:
        check_expression(pattern)
    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)


def test_a_cell_that_a_pattern_cannot_end_on_stays_unknown_with_a_flag() -> None:
    """Nothing hangs and nothing is lost: the value is unknown, and the flag names the pattern."""
    entry: dict[str, Any] = {"name": "code", "type": "string", "pattern": r"(a|aa)+(?=:):"}
    read = operations_of(attribute := Attribute.model_validate(entry)).reader(attribute, ())
    value, (flag,) = read("a" * 5_000 + "!", ColumnFormat(), False)
    assert (value, flag.reason) == (None, "value-pattern-timeout")
    assert "(a|aa)+(?=:): took longer" in flag.detail
    assert read("aaa:", ColumnFormat(), False) == ("aaa:", ())


@pytest.mark.parametrize("pattern", ENDLESS[:4])
def test_usual_patterns_are_answered_and_never_given_up(pattern: str) -> None:
    """Without looking ahead and referring back, the answer depends on no clock."""
    assert [matches(pattern, size * "a" + "?") for size in (10, 1_000, 100_000)] == [False] * 3


def test_half_a_character_is_a_character_that_fits_no_letter() -> None:
    """What UTF-8 cannot write is answered as Python answers it."""
    assert matches(".", "\ud800")
    assert matches("[\ud800]x", "\ud800x")
    assert not matches(r"\w", "\ud800")
