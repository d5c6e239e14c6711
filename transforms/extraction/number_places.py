"""Where the numbers of a text begin: found once, so that the many patterns of amounts are tried
there and nowhere else. Most texts have few numbers, or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

FRACTION_CHARS = "¼½¾⅐-⅞"
# no digit, letter, hyphen or slash before: that is the rest of a number, a range or a model name
_BEFORE = r"[\w.,/'’\-–—⁄]"
NOT_INSIDE = rf"(?=[.\d{FRACTION_CHARS}])(?<!{_BEFORE})"
_INSIDE = re.compile(_BEFORE)
_RUN, _ASCII_RUN = re.compile(rf"[\d{FRACTION_CHARS}]+"), re.compile("[0-9]+")
# Every attribute of an item asks about the same few texts.
_KEPT_TEXTS = 64


@dataclass(frozen=True, slots=True)
class NumberPlaces:
    """Places in one text, in order.

    runs: (begin, end) of each row of digits and fractions; free: where a number begins of which
    NOT_INSIDE holds, its leading point included.
    """

    runs: tuple[tuple[int, int], ...] = ()
    free: tuple[int, ...] = ()

    @property
    def digits(self) -> int:
        """How many digits the text has, in all its numbers."""
        return sum(end - begin for begin, end in self.runs)

    @property
    def begins(self) -> Iterator[int]:
        """Where a row of digits and fractions begins."""
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
    run = _ASCII_RUN if text.isascii() else _RUN
    runs = tuple([match.span() for match in run.finditer(text)])
    if not runs:
        return _NONE
    begins = [begin - (text[begin - 1 : begin] == ".") for begin, _ in runs]
    free = [at for at in begins if at == 0 or _INSIDE.match(text, at - 1) is None]
    return NumberPlaces(runs, tuple(free))


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
