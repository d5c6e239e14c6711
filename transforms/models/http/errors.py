"""What the body of an error says, for people, in whatever form servers put it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MOST_DEPTH, _MOST_ENTRIES = 6, 16
# In this order; `raw` is what a provider said to a gateway.
_KEYS = ("error", "message", "msg", "detail", "errors", "error_description", "raw", "metadata")


def error_words(document: Any) -> str:
    """Return the message in an error's document; nothing where there is none.

    >>> error_words([{"error": {"message": "no such key"}}])
    'no such key'
    >>> error_words({"message": {"detail": [{"loc": ["body", "n"], "msg": "extra"}]}})
    'body.n: extra'
    """
    return "; ".join(dict.fromkeys(_words(document, 0))) if not isinstance(document, str) else ""


def _words(document: Any, depth: int) -> Iterator[str]:
    if isinstance(document, str) and document.strip():
        yield document.strip()
    elif isinstance(document, list) and depth < _MOST_DEPTH:
        for each in document[:_MOST_ENTRIES]:
            yield from _words(each, depth + 1)
    elif isinstance(document, dict) and depth < _MOST_DEPTH:
        loc = document.get("loc")
        where = f"{'.'.join(map(str, loc[:_MOST_ENTRIES]))}: " if isinstance(loc, list) else ""
        for key in _KEYS:
            for words in _words(document.get(key), depth + 1):
                yield where + words
