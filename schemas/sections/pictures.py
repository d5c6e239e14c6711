"""The path of a picture made from the columns of its record: `images/{id:0>10}.jpg`.

(pattern, texts by name) → path. A place is `{name}`, `{name:0>10}` (filled up, as Python's format
does for text) or either with a part of it behind: `{id:0>10[:3]}` is the first three characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from schemas.texts import shorten

# Stands for the item's id, from whatever column it comes.
ID = "id"
MAX_WIDTH = 255  # of a file's name, on any file system
_PLACE = re.compile(r"\{([^{}:\[\]]+)(?::([^{}\[\]]*))?(?:\[(-?\d*):(-?\d*)\])?\}")


def check_pattern(pattern: str) -> str:
    """Return the pattern; ValueError says what of it cannot be read."""
    if rest := re.search(r"[{}]", _PLACE.sub("", pattern)):
        raise ValueError(
            f"{pattern!r} has a {rest[0]!r} that belongs to no place; a place is {{id}}, "
            "{column}, {id:0>10} or {id:0>10[:3]}"
        )
    if not _PLACE.search(pattern):
        raise ValueError(f"{pattern!r} is the same for every record; write a place such as {{id}}")
    for name, spec in _places(pattern):
        if any(int(number) > MAX_WIDTH for number in re.findall(r"\d+", spec)):
            raise ValueError(
                f"{shorten(pattern, 80)!r}: a place is filled up to {MAX_WIDTH} characters at "
                "most; write for example {id:0>10}"
            )
        try:
            format("", spec)
        except ValueError as error:
            raise ValueError(
                f"{pattern!r}: {{{name}:{spec}}} cannot be written ({error}); "
                "write for example {id:0>10}"
            ) from error
    return pattern


def pattern_columns(pattern: str) -> tuple[str, ...]:
    """Return the columns that a pattern needs besides the item's id."""
    return tuple(dict.fromkeys(name for name, _ in _places(pattern) if name != ID))


def fill_pattern(pattern: str, texts: Mapping[str, str]) -> str | None:
    """Return the path, or None where a text that it needs is missing.

    >>> fill_pattern("images/{id:0>10[:3]}/{id:0>10}.jpg", {"id": "108775015"})
    'images/010/0108775015.jpg'
    """
    if any(not texts.get(name) for name, _ in _places(pattern)):
        return None

    def write(place: re.Match[str]) -> str:
        text = format(texts[place[1].strip()], place[2] or "")
        begin, end = (int(bound) if bound else None for bound in place.group(3, 4))
        return text[begin:end]

    return _PLACE.sub(write, pattern)


@lru_cache(maxsize=64)
def _places(pattern: str) -> tuple[tuple[str, str], ...]:
    return tuple((place[1].strip(), place[2] or "") for place in _PLACE.finditer(pattern))
