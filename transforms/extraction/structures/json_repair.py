"""JSON as programs write it that know no better: read as it is meant, and what was mended is named.

Python and pandas write NaN and Infinity, JavaScript cuts pairs of surrogates in two, people put a
comma behind each object, and `str(record)` in Python is no JSON at all.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import orjson

from transforms.extraction.structures.exact_json import parse_json

# literal_eval builds a tree that takes some hundred times the text.
_MAX_PYTHON_BYTES = 1 << 20
# Possessive: a string that is open would else be tried again from each of its ends.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_NO_NUMBER = re.compile(_STRING + rb"|(?P<constant>-?\b(?:NaN|Infinity|nan|inf)\b)", re.DOTALL)
_TRAILING = re.compile(_STRING + rb"|(?P<comma>,)(?=\s*[}\]])", re.DOTALL)
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# A backslash that is escaped itself begins no surrogate.
_SURROGATES = re.compile(
    rb"\\\\|(?P<pair>" + _HIGH + _LOW + rb")|(?P<half>" + _HIGH + rb"|" + _LOW + rb")"
)


def mend_json(data: bytes) -> tuple[Any, str]:
    """Return the value that a text means which is almost JSON, and what was mended, in words.

    Raises orjson.JSONDecodeError where the text is none of what is known.

    >>> mend_json(b'{"price": NaN, "name": "NaN"},')
    ({'price': None, 'name': 'NaN'}, 'a comma behind the object, NaN or Infinity')
    >>> mend_json(b"{'a': None, 'b': True}")
    ({'a': None, 'b': True}, "Python's repr")
    """
    mended: list[str] = []
    text = data.strip().removeprefix(b"\xef\xbb\xbf").strip()
    if text.endswith(b","):
        text = text.rstrip(b", \t\r\n")
        mended.append("a comma behind the object")
    for what, pattern, group, instead in (
        ("NaN or Infinity", _NO_NUMBER, "constant", b"null"),
        ("half a pair of surrogates", _SURROGATES, "half", rb"\ufffd"),
        ("a comma before a closing bracket", _TRAILING, "comma", b""),
    ):
        text, count = _replaced(pattern, group, instead, text)
        if count:
            mended.append(what)
    try:
        return parse_json(text), ", ".join(mended)
    except orjson.JSONDecodeError:
        value = _python_literal(text)
        if value is None:
            raise
        return value, ", ".join([*mended, "Python's repr"])


def _replaced(
    pattern: re.Pattern[bytes], group: str, instead: bytes, text: bytes
) -> tuple[bytes, int]:
    count = 0

    def replace(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[group] is None:
            return match[0]
        count += 1
        return instead

    return pattern.sub(replace, text), count


def _python_literal(text: bytes) -> dict[str, Any] | None:
    """Return the dictionary that Python's repr writes so; None for anything else."""
    if not text.startswith(b"{") or len(text) > _MAX_PYTHON_BYTES:
        return None
    # What JSON has in its place was put there above.
    bare = re.sub(rb"\bnull\b", b"None", text)
    try:
        value = ast.literal_eval(bare.decode("utf-8"))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return None
    return value
