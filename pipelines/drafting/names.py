"""What the name of a column says: its words, whatever way they are joined, and what columns of that
name hold in most catalogs. Pure.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Literal

from schemas.lexicons import ColumnNames, every

Called = Literal[
    "title",
    "text",
    "price",
    "category",
    "picture",
    "id",
    "changed",
    "of_others",
    "restless",
    "lists",
    "switches",
]
# A word may be the end of a longer one, "Artikelbezeichnung", but "use" is not the end of "blouse".
MIN_END_CHARS = 4
_IN_BRACKETS = re.compile(r"[(\[].*?[)\]]")
_NEW_WORD = re.compile(
    r"(?<=[a-zß-öø-ÿ0-9])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-ZÀ-ÖØ-Þ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{2})"
)
_WORD = re.compile(r"[^\W\d_]+|\d+")


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a column's name in lower case; what stands in brackets is none of them.

    >>> words_of("productDisplayName"), words_of("Image URLs (x,y,z...)"), words_of("EAN13")
    (('product', 'display', 'name'), ('image', 'urls'), ('ean', '13'))
    """
    # A key inside a column is called as the key is.
    return tuple(_WORD.findall(_NEW_WORD.sub(" ", _IN_BRACKETS.sub(" ", name)).casefold()))


@cache
def _phrases(kind: Called) -> frozenset[tuple[str, ...]]:
    def of_language(lexicon: object) -> tuple[str, ...]:
        names: ColumnNames = lexicon.columns  # type: ignore[attr-defined]
        return tuple(getattr(names, kind))

    return frozenset(words_of(phrase) for phrase in every(of_language))


@cache
def _ends(kind: Called) -> tuple[str, ...]:
    """Return the words that may be the end of a longer one; those of scripts without spaces all
    may.
    """
    return tuple(
        phrase[0]
        for phrase in _phrases(kind)
        if len(phrase) == 1 and (len(phrase[0]) >= MIN_END_CHARS or not phrase[0].isascii())
    )


@lru_cache(maxsize=4096)
def how_much_called(name: str, kind: Called) -> float:
    """Return 1.0 for a name that is such a word itself, less where it only ends or begins with one,
    0.0 for none and for the name of something else.

    >>> [how_much_called(name, "title") for name in ("Title", "item_name", "Artikelbezeichnung")]
    [1.0, 0.9, 0.9]
    >>> [how_much_called(name, "title") for name in ("name-en_US", "Brand Name", "masterCategory")]
    [0.8, 0.0, 0.0]
    """
    words = tuple(word for word in words_of(name) if not word.isdecimal())
    phrases = _phrases(kind)
    if words in phrases:
        return 1.0
    for length in range(min(3, len(words) - 1), 0, -1):
        if words[-length:] in phrases:
            return 0.0 if _of_others(words[:-length]) else 0.9
        # What stands behind is a language or a country: "name-en_US".
        if words[:length] in phrases and len(words[length]) <= 2:
            return 0.8
    for end in _ends(kind) if words else ():
        if words[-1].endswith(end) and len(words[-1]) > len(end):
            before = (*words[:-1], words[-1].removesuffix(end))
            return 0.0 if _of_others(before) else 0.9
    return 0.0


def is_called(name: str, kind: Called) -> bool:
    """Return whether a column's name says that it holds this."""
    return how_much_called(name, kind) > 0.0


def has_word(name: str, kind: Called) -> bool:
    """Return whether one of these words is anywhere in a column's name.

    >>> has_word("price-EUR", "price"), has_word("Price tax excluded", "price")
    (True, True)
    """
    words = words_of(name)
    phrases = _phrases(kind)
    return is_called(name, kind) or any((word,) in phrases for word in words)


def _of_others(words: tuple[str, ...]) -> bool:
    return any((word,) in _phrases("of_others") for word in words)
