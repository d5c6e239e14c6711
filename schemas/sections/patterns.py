"""Regular expressions of templates: checked when the template is read, ended in time when they run.

Which texts they meet is not known, and an expression such as `([a-z]+ ?)+` takes Python's own
engine a time that doubles with each letter of a text it does not fit; nothing can stop it. RE2
follows all ways through an expression at once, so that its time grows with the text only, and gives
the same answer on every machine. What it can not do (looking ahead and behind, references to
groups, the edges of words) runs on `regex`, which takes a limit.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

from schemas.sections.pattern_syntax import portable
from schemas.texts import shorten

# Processor time for one text, where RE2 does not take the expression; a thousandth is usual.
PATTERN_SECS = 0.25
MAX_PATTERN_CHARS = 50_000


class PatternTimeoutError(Exception):
    """An expression did not come to an end on a text in PATTERN_SECS."""

    def __str__(self) -> str:
        return f"took longer than {PATTERN_SECS} s"


def check_expression(pattern: str) -> str:
    """Return a regular expression; ValueError says why it is none.

    >>> check_expression("[A-Z]{2}-[0-9]+")
    '[A-Z]{2}-[0-9]+'
    """
    shown = shorten(pattern, 80)
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(
            f"{shown!r} is a regular expression of {len(pattern):,} characters; allowed are "
            f"{MAX_PATTERN_CHARS:,}: list the values (type: enum) or write a shorter one"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
            _compiled(pattern)
    except RecursionError as error:
        raise ValueError(f"{shown!r} is not a regular expression: it is nested too deep") from error
    except (re.error, OverflowError, UnicodeError, _error()) as error:
        raise ValueError(f"{shown!r} is not a regular expression: {error}") from error
    return pattern


def matches(pattern: str, text: str) -> bool:
    """Return whether a checked expression fits the whole text, to its very end.

    Raises PatternTimeoutError.

    >>> matches("[a-z]+$", "sku"), matches("[a-z]+$", "sku" + chr(10))
    (True, False)
    """
    return _ask("fullmatch", pattern, text)


def occurs(pattern: str, text: str) -> bool:
    """Return whether a checked expression fits somewhere in the text.

    Raises PatternTimeoutError.
    """
    return _ask("search", pattern, text)


def _ask(how: str, pattern: str, text: str) -> bool:
    in_linear_time = _compiled(pattern)
    if in_linear_time is not None:
        try:
            return getattr(in_linear_time, how)(text) is not None
        except UnicodeEncodeError:  # half a character, which RE2 is not asked about
            pass
    try:
        return getattr(_backtracking(pattern), how)(text, timeout=PATTERN_SECS) is not None
    except TimeoutError as error:
        raise PatternTimeoutError from error


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any | None:
    """Return the expression for RE2, None where RE2 does not take it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(portable(pattern, r"\z"), options)
    except (re2.error, UnicodeEncodeError):
        _backtracking(pattern)
        return None


@lru_cache(maxsize=512)
def _backtracking(pattern: str) -> Any:
    import regex

    return regex.compile(portable(pattern, r"\Z"))


def _error() -> type[Exception]:
    import regex

    error: type[Exception] = regex.error
    return error
