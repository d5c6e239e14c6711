"""Words and punctuation of a text with their offsets, and the singular and plural forms of
a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from schemas.texts import fold

if TYPE_CHECKING:
    import inflect

# Signs that Python does not count as word characters but that stand inside words: combining
# accents, Hebrew points, Arabic vowels, the vowel signs of the Indic scripts and Thai.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
_WORD = rf"[^\W_]+(?:[{_MARKS}]+[^\W_]*)*"
# A longer word is none, and memory is not for it.
_KEPT_CHARS = 64
_DASHES = "-\u2010-\u2015\u2212"
# Hyphens, ampersands and apostrophes inside a name do not matter; a dash with space around it is
# punctuation.
_TOKEN = re.compile(
    rf"(?P<word>{_WORD}(?:['’]{_WORD})*)|(?<=\S)[{_DASHES}](?=\S)|[&'’_™®©]|[^\S\n]+|(?P<mark>.|\n)"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The words and hard punctuation marks of a text.

    keys: casefolded, without apostrophe and possessive s; begins, ends: code point offsets, end
    exclusive;
    is_word: False for punctuation, which no name reaches across unless it holds that mark itself.
    """

    keys: tuple[str, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    is_word: tuple[bool, ...]


@lru_cache(maxsize=16)
def tokenise(text: str) -> Tokens:
    """Return the tokens of a text; the last texts are kept, for every attribute asks for the same
    ones.

    >>> tokenise("Men's V-Neck & Co.").keys
    ('men', 'v', 'neck', 'co', '.')
    """
    matches = [match for match in _TOKEN.finditer(text) if match.lastgroup]
    return Tokens(
        tuple(token_key(match.group()) for match in matches),
        tuple(match.start() for match in matches),
        tuple(match.end() for match in matches),
        tuple(match.lastgroup == "word" for match in matches),
    )


def token_key(token: str) -> str:
    """Return the word as words are compared; those that are usual are kept."""
    return _kept_key(token) if len(token) <= _KEPT_CHARS else _key(token)


def _key(token: str) -> str:
    folded = fold(token).replace("’", "'")
    return folded.removesuffix("'s").replace("'", "") or folded


_kept_key = lru_cache(maxsize=65536)(_key)


@cache
def _engine() -> inflect.engine:
    import typeguard

    # inflect has typeguard write checks of its arguments' types into its methods, which takes 1.6
    # of the 1.7 seconds of its import. Words are strings here, so it is imported without them, and
    # the decorator is put back for whoever else uses it.
    library: Any = typeguard
    checked = library.typechecked
    library.typechecked = library.typeguard_ignore
    try:
        import inflect
    finally:
        library.typechecked = checked
    return inflect.engine()


def number_forms(word: str) -> frozenset[str]:
    """Return the word with its English singular and plural; other words come back alone.

    >>> [sorted(number_forms(word)) for word in ("leaf", "dress", "children")]
    [['leaf', 'leaves'], ['dress', 'dresses'], ['child', 'children', 'childrens']]
    """
    if not 3 <= len(word) <= _KEPT_CHARS or not (word.isascii() and word.isalpha()):
        return frozenset((word,))
    return _kept_forms(word)


@lru_cache(maxsize=65536)
def _kept_forms(word: str) -> frozenset[str]:
    singular = {form for form in _singulars(word) if len(form) > 2 and _plural(form) == word}
    return frozenset({word, _plural(word), *singular})


def _plural(word: str) -> str:
    plural = str(_engine().plural_noun(word))
    # a pronoun's plural is another word ("her" → "their")
    return plural if plural[0] == word[0] and plural.isalpha() else word


def _singulars(word: str) -> set[str]:
    known = _engine().singular_noun(word)
    ending_in_ie = {word[:-1]} if word.endswith("ies") else set()  # hoodies, cookies
    return {str(known), *ending_in_ie} if known else ending_in_ie
