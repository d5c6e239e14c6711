"""Words and punctuation of a text with their offsets, and the singular and plural forms of
a word.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
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
# punctuation. A token is the group; the space behind it goes with it, which halves the matches.
_TOKEN = re.compile(
    rf"(?<=\S)[{_DASHES}](?=\S)|[&'’_™®©]|[^\S\n]+|({_WORD}(?:['’]{_WORD})*|.|\n)[^\S\n]*"
)
# The same for ASCII, in half the time.
_ASCII_TOKEN = re.compile(
    r"([a-zA-Z0-9]+(?:'[a-zA-Z0-9]+)*|\n|[^\w\s&'-]|(?<!\S)-|-(?!\S))[^\S\n]*|[&'_\-\s]"
)
# Most texts can simply be taken apart at white space, with marks set apart before. These are always
# tokens; hyphens and apostrophes are by what is beside them.
_MARKS_OF_ASCII = '!"#$%()*+,./:;<=>?@[\\]^`{|}~'
_LONE_HYPHEN = re.compile(r"(?<!\S)-|-(?!\S)")
_OUTER_APOSTROPHE = re.compile(r"(?<![a-z0-9])'|'(?![a-z0-9])")
# What stands for a lone hyphen and a line's end meanwhile; no printable text has them.
_HYPHEN, _LINE_END = "\x01", "\x02"
# Texts of a bucket or so are asked for again by the next stage. Longer ones would take memory.
_KEPT_TEXTS, _KEPT_LONG_TEXTS, _LONG_CHARS = 4096, 16, 4096
# To look for more than so many in a text takes longer than to take it apart.
_FEW_KEYS = 40
# Letters of ASCII to lower case, and all other signs but digits to spaces.
_ONLY_WORDS = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}


@dataclass(frozen=True, eq=False)
class Tokens:
    """The words and hard punctuation marks of a text.

    keys: casefolded, without apostrophe and possessive s; begins, ends: code point offsets, end
    exclusive;
    is_word: False for punctuation, which no name reaches across unless it holds that mark itself.

    Most texts name nothing that is looked for, which their keys tell; all else is found out where
    it is asked for.
    """

    text: str
    keys: tuple[str, ...]

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The keys, each once."""
        return frozenset(self.keys)

    def places_of(self, keys: Iterable[str]) -> list[int]:
        """Return which tokens are one of these distinct keys, in order."""
        return sorted(itertools.chain.from_iterable(map(self._places_by_key.__getitem__, keys)))

    @cached_property
    def _places_by_key(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for place, key in enumerate(self.keys):
            found.setdefault(key, []).append(place)
        return found

    @cached_property
    def is_word(self) -> tuple[bool, ...]:
        # A word begins with a letter or digit, and no other token does; folding may change that of
        # other signs than those of ASCII.
        firsts = self.keys if self.text.isascii() else [self.text[at] for at in self.begins]
        return tuple([first[0].isalnum() for first in firsts])

    @property
    def begins(self) -> tuple[int, ...]:
        return self._places[0]

    @property
    def ends(self) -> tuple[int, ...]:
        return self._places[1]

    @cached_property
    def _places(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        matches = _pattern_of(self.text).finditer(self.text)
        spans = [match.span(1) for match in matches if match.lastindex]
        return tuple([begin for begin, _ in spans]), tuple([end for _, end in spans])


def tokenise(text: str) -> Tokens:
    """Return the tokens of a text; the last texts are kept, for every attribute and every stage
    asks for the same ones.

    >>> tokenise("Men's V-Neck & Co.").keys
    ('men', 'v', 'neck', 'co', '.')
    """
    if len(text) > _LONG_CHARS:
        return _kept_long_tokens(text)
    known = _KEPT.get(text)
    if known is None:
        if len(_KEPT) >= _KEPT_TEXTS:
            _KEPT.clear()
        known = _KEPT[text] = find_tokens(text)
    return known


def lacks_all(text: str, keys: Collection[str]) -> bool:
    """Tell whether a text has surely none of these tokens, without taking it apart for that."""
    known = _KEPT.get(text)
    if known is not None:
        return known.distinct.isdisjoint(keys)
    # Tokens of such texts stand in them as they are.
    if len(keys) > _FEW_KEYS or not text.isascii() or "'" in text:
        return False
    return not any(map(text.lower().__contains__, keys))


def words_of(text: str) -> list[str]:
    """Return the keys of those tokens of a text that are words.

    >>> words_of("V-Neck & Co., size 4")
    ['v', 'neck', 'co', 'size', '4']
    """
    if text.isascii() and "'" not in text:
        return text.translate(_ONLY_WORDS).split()
    tokens = tokenise(text)
    return list(itertools.compress(tokens.keys, tokens.is_word))


def find_tokens(text: str) -> Tokens:
    """Return the tokens of a text, found afresh."""
    if text.isascii() and text.replace("\n", " ").isprintable():
        return Tokens(text, tuple(map(sys.intern, _ascii_keys(text))))
    found = list(filter(None, _pattern_of(text).findall(text)))
    is_usual = len(max(found, key=len, default="")) <= _KEPT_CHARS
    return Tokens(text, tuple(map(_kept_key if is_usual else token_key, found)))


def _ascii_keys(text: str) -> list[str]:
    """Return the keys of the tokens of printable ASCII and line ends, as _ASCII_TOKEN finds them,
    in a fifth of the time.
    """
    text = text.lower()
    has_hyphens = "-" in text
    if has_hyphens:
        text = _LONE_HYPHEN.sub(f" {_HYPHEN} ", text).replace("-", " ")
    has_apostrophes = "'" in text
    if has_apostrophes:
        text = _OUTER_APOSTROPHE.sub(" ", text)
    for mark in _MARKS_OF_ASCII:
        if mark in text:
            text = text.replace(mark, f" {mark} ")
    has_lines = "\n" in text
    if has_lines:
        text = text.replace("\n", f" {_LINE_END} ")
    keys = text.replace("&", " ").replace("_", " ").split()
    if has_apostrophes:
        keys = [_key(key) if "'" in key else key for key in keys]
    if has_hyphens or has_lines:
        stands_for = {_HYPHEN: "-", _LINE_END: "\n"}
        keys = [stands_for.get(key, key) for key in keys]
    return keys


def _pattern_of(text: str) -> re.Pattern[str]:
    return _ASCII_TOKEN if text.isascii() else _TOKEN


_KEPT: dict[str, Tokens] = {}
_kept_long_tokens = lru_cache(_KEPT_LONG_TEXTS)(find_tokens)


def token_key(token: str) -> str:
    """Return the word as words are compared; those that are usual are kept."""
    return _kept_key(token) if len(token) <= _KEPT_CHARS else _key(token)


def _key(token: str) -> str:
    folded = fold(token).replace("’", "'")
    return folded.removesuffix("'s").replace("'", "") or folded


_kept_key = lru_cache(maxsize=65536)(_key)


def bare_key(key: str) -> str:
    """Return a token's key without accents and other marks; those that are usual are kept.

    >>> bare_key("crème")
    'creme'
    """
    return _kept_bare(key) if len(key) <= _KEPT_CHARS else fold(key, marks=False)


@lru_cache(maxsize=65536)
def _kept_bare(key: str) -> str:
    return fold(key, marks=False)


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
