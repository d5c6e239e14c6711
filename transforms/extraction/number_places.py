"""Where the numbers of a text begin: found once, so that the many patterns of amounts are tried
there and nowhere else. Most texts have few numbers, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

FRACTION_CHARS = "¼½¾⅐-⅞"
_BEFORE = r"\w.,/'’\-–—⁄"
# no digit, letter, hyphen or slash before: that is the rest of a number, a range or a model name
NOT_INSIDE = rf"(?=[.\d{FRACTION_CHARS}])(?<![{_BEFORE}])"
# The same, behind a sign that is quick to look for.
_FREE = re.compile(rf"[.\d{FRACTION_CHARS}](?<![{_BEFORE}].)", re.DOTALL)
_RUN = re.compile(rf"\d+|[{FRACTION_CHARS}]")
# Every attribute of an item asks about the same few texts.
_KEPT_TEXTS = 64


@dataclass(frozen=True, slots=True)
class NumberPlaces:
    """Places in one text, in order.

    runs: (begin, end) of each row of digits and of each fraction; free: where NOT_INSIDE holds.
    """

    runs: tuple[tuple[int, int], ...] = ()
    free: tuple[int, ...] = ()

    @property
    def digits(self) -> int:
        """How many digits the text has, in all its numbers."""
        return sum(end - begin for begin, end in self.runs)

    @property
    def begins(self) -> Iterator[int]:
        """Where a row of digits or a fraction begins."""
        return (begin for begin, _ in self.runs)


_NONE = NumberPlaces()


@lru_cache(_KEPT_TEXTS)
def number_places(text: str) -> NumberPlaces:
    """Return where the numbers of a text are.

    >>> number_places("A4, 20 x 30 cm").runs
    ((1, 2), (4, 6), (9, 11))
    >>> number_places("A4, 20 x 30 cm").free
    (4, 9)
    """
    runs = tuple([match.span() for match in _RUN.finditer(text)])
    if not runs:
        return _NONE
    return NumberPlaces(runs, tuple([match.start() for match in _FREE.finditer(text)]))


def matches_at(
    pattern: re.Pattern[str], text: str, places: Iterable[int]
) -> Iterator[re.Match[str]]:
    r"""Yield what `finditer` does of a pattern that matches nowhere but at these places.

    >>> [match[0] for match in matches_at(re.compile(r"\d+ cm"), "20 x 30 cm", (0, 5))]
    ['30 cm']
    """
    free = 0
    for place in places:
        if place >= free and (match := pattern.match(text, place)) is not None:
            yield match
            free = match.end()
