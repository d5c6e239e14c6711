"""Closed lists with synonyms in text: a list compiled once, then text → mentions of its values.

Whole words and the longest name win; case, plurals, hyphens, ampersands and apostrophes do not
matter.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas.attributes import PATH_SEPARATOR
from schemas.choices import Choice
from schemas.lexicons import every
from schemas.texts import fold
from transforms.extraction.negation import is_carried, is_denied
from transforms.extraction.tokens import Tokens, lacks_all, number_forms, tokenise

_MAX_FORMS_PER_NAME = 256
# Scripts without spaces between words. One sign alone is too little: 红 (red) also begins 红茶
# (black tea).
_CJK_NAME = re.compile(
    r"(?:[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff].*){2}", re.DOTALL
)

# Directly before a name in scripts without spaces, they deny it.
_UNSPACED_DENIALS = every(lambda words: words.negation.unspaced)
# What "&" in a name is also written as.
_AMPERSAND = every(lambda words: words.ampersand)

Key = tuple[str, ...]
Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mention:
    """A value of the list, named in a text.

    begin, end: code point offsets, end exclusive; text: as it stands there.
    negated: the text says that the value does not hold; synonym: it was named by a synonym of the
    value.
    """

    value: str
    begin: int
    end: int
    text: str
    negated: bool
    synonym: bool


@dataclass(frozen=True, slots=True)
class _Name:
    """A name of a value, as the template writes it, with its own spelling's key.

    in_text: not in cells only.
    """

    value: str
    text: str
    key: Key
    synonym: bool
    in_text: bool = True


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """A closed list, compiled for look-up; `build` makes one.

    names: token key to the names it may stand for; longest: first token to the longest key that
    begins with it.
    cells: for a cell that holds nothing else, look-ups from strict to lax: casefolded text, the
    token key as the
      template spells it, any key in singular or plural; each to all values that it may stand for.
    whole: casefolded value to itself.
    """

    names: dict[Key, tuple[_Name, ...]]
    longest: dict[str, int]
    cells: tuple[dict[str, Values], dict[Key, Values], dict[Key, Values]]
    unspaced: re.Pattern[str] | None
    whole: dict[str, str]

    @classmethod
    def build(cls, choices: Sequence[Choice], *, leaf_only: bool) -> Gazetteer:
        """leaf_only: the values are category paths, and their last step is what a text names."""
        names = [name for choice in choices for name in _names(choice, leaf_only)]
        index: dict[Key, list[_Name]] = defaultdict(list)
        for name in (name for name in names if name.in_text):
            for key in _key_forms(name.key):
                if _says_enough(key):
                    index[key].append(name)
        longest: dict[str, int] = {}
        for key in index:
            longest[key[0]] = max(longest.get(key[0], 0), len(key))
        paths = (
            [name for choice in choices for name in _path_ends(choice.value)] if leaf_only else []
        )
        return cls(
            {key: tuple(entries) for key, entries in index.items()},
            longest,
            _cells([*names, *paths]),
            _unspaced(names),
            {_fold(choice.value): choice.value for choice in choices},
        )

    def exact(self, text: str) -> str | None:
        """Return the list's value that the whole text stands for (case, plural and synonyms aside),
        or None.

        None also when it stands for several. Of a category path, its last steps suffice; a whole
        path is meant itself, though others may end like it.
        """
        if (value := self.whole.get(_fold(text))) is not None:
            return value
        literal, spelled, inflected = self.cells
        tokens = tokenise(text)
        words = _words_only(tokens)
        tried = (
            literal.get(_fold(text)),
            *(cell.get(key) for key in (tokens.keys, words) for cell in (spelled, inflected)),
        )
        values = next(filter(None, tried), ())
        return values[0] if len(values) == 1 else None

    def find(self, text: str) -> list[Mention]:
        """Return the values that a text names, in order of their place, without overlap.

        A name that several values share gives one mention for each of them, at the same place,
        unless the text names another step of just one of their paths.
        """
        # Such names are of signs that ASCII lacks.
        has_unspaced = self.unspaced is not None and not text.isascii()
        if not has_unspaced and lacks_all(text, self.longest.keys()):
            return []
        tokens = tokenise(text)
        found: list[Mention] = []
        denied: tuple[int, int] | None = None
        for first, last, names in self._spans(text, tokens):
            negated = is_denied(text, tokens, first, last) or (
                denied is not None and is_carried(tokens, *denied, first)
            )
            denied = (first, last) if negated else None
            begin, end = tokens.begins[first], tokens.ends[last]
            found += [
                Mention(name.value, begin, end, text[begin:end], negated, name.synonym)
                for name in _resolve(names, tokens, first, last)
            ]
        if has_unspaced:
            found += self._unspaced_mentions(text, found)
        return sorted(found, key=lambda mention: mention.begin)

    def _spans(self, text: str, tokens: Tokens) -> Iterator[tuple[int, int, tuple[_Name, ...]]]:
        keys, longest, index = tokens.keys, self.longest, self.names
        free = 0
        for first in tokens.places_of(longest.keys() & tokens.distinct):
            if first < free:
                continue
            for length in range(min(longest[keys[first]], len(keys) - first), 0, -1):
                names = index.get(keys[first : first + length])
                if names and (fitting := _fitting(names, text, tokens, first, length)):
                    yield first, first + length - 1, fitting
                    free = first + length
                    break

    def _unspaced_mentions(self, text: str, found: Sequence[Mention]) -> list[Mention]:
        mentions: list[Mention] = []
        for match in self.unspaced.finditer(text) if self.unspaced is not None else ():
            begin, end = match.span()
            if any(mention.begin < end and begin < mention.end for mention in found):
                continue
            negated = _is_denied_unspaced(text, begin)
            names = self.names.get(tokenise(match.group()).keys, ())
            mentions += [
                Mention(name.value, begin, end, match.group(), negated, name.synonym)
                for name in names
            ]
        return mentions


def _names(choice: Choice, leaf_only: bool) -> Iterator[_Name]:
    own = choice.value.rsplit(PATH_SEPARATOR.strip(), 1)[-1].strip() if leaf_only else choice.value
    for text in dict.fromkeys((own, *choice.synonyms, *choice.cell_only)):
        tokens = tokenise(text)
        words = _words_only(tokens)
        # "Dr. Martens" is also found without its mark, "salt & pepper" also with the word
        keys = dict.fromkeys(
            filter(None, [tokens.keys, words, tuple(key for key in words if key not in _AMPERSAND)])
        )
        for spelled in _AMPERSAND if "&" in text else ():
            keys[tokenise(text.replace("&", f" {spelled} ")).keys] = None
        for key in keys or {(): None}:
            yield _Name(choice.value, text, key, text != own, text not in choice.cell_only)


def _words_only(tokens: Tokens) -> Key:
    return tuple(key for key, is_word in zip(tokens.keys, tokens.is_word, strict=True) if is_word)


def _key_forms(key: Key) -> Iterator[Key]:
    """Return the key with every word in singular and plural; of a long name only the last word
    varies.
    """
    forms = [sorted(number_forms(word)) for word in key]
    total = 1
    for variants in forms:
        total *= len(variants)
    if total > _MAX_FORMS_PER_NAME:
        forms = [[word] for word in key[:-1]] + forms[-1:]
    return itertools.product(*forms)


def _says_enough(key: Key) -> bool:
    """Digits alone ("38") and marks alone are looked up in cells only: in running text they mean
    anything.
    """
    return any(not part.isnumeric() and part[0].isalnum() for part in key)


def _fitting(
    names: tuple[_Name, ...], text: str, tokens: Tokens, first: int, length: int
) -> tuple[_Name, ...]:
    """Return the names that may be meant: those spelled just so if there are any; short names only
    in their own case.
    """
    key = tokens.keys[first : first + length]
    if len(key) == 1 and len(key[0]) <= 2 and key[0].isascii():
        begin, end = tokens.begins[first], tokens.ends[first]
        stated = text[begin:end]
        names = tuple(
            name
            for name in names
            if name.text == stated and (len(stated) > 1 or _stands_alone(text, begin))
        )
    if len(names) == 1:
        return names
    return tuple(name for name in names if name.key == key) or names


def _stands_alone(text: str, begin: int) -> bool:
    """Return whether a single letter is a name: with space or a bracket around it, and not as a
    unit after a number.
    """
    around = text[begin - 1 : begin] + text[begin + 1 : begin + 2]
    return (
        not around.strip(" \n\t()[],;:/|")
        and not text[max(0, begin - 3) : begin].rstrip()[-1:].isdigit()
    )


def _resolve(names: tuple[_Name, ...], tokens: Tokens, first: int, last: int) -> tuple[_Name, ...]:
    """Return, of names that share a spelling, the one whose path has another step in the text; all
    where this is not just one.
    """
    by_value = {name.value: name for name in reversed(names)}
    if len(by_value) < 2:
        return tuple(by_value.values())
    steps = {value: frozenset(map(str.strip, _steps(value)[:-1])) for value in by_value}
    shared = frozenset.intersection(*steps.values())
    rest = (*tokens.keys[:first], "\n", *tokens.keys[last + 1 :])
    named = [value for value in by_value if _holds_any(rest, steps[value] - shared)]
    chosen = named if len(named) == 1 else sorted(by_value)
    return tuple(by_value[value] for value in chosen)


def _steps(path: str) -> list[str]:
    return path.split(PATH_SEPARATOR.strip())


def _holds_any(keys: Key, steps: Iterable[str]) -> bool:
    return any(_holds(keys, step) for step in steps)


def _holds(keys: Key, step: str) -> bool:
    forms = set(_key_forms(tokenise(step).keys))
    return any(
        keys[at : at + len(form)] == form
        for form in forms
        for at in range(len(keys) - len(form) + 1)
    )


def _path_ends(path: str) -> Iterator[_Name]:
    """Yield the last steps of a category path, one name for each number of steps above one."""
    steps = [step.strip() for step in _steps(path)]
    for at in range(len(steps) - 1):
        text = PATH_SEPARATOR.join(steps[at:])
        yield _Name(path, text, tokenise(text).keys, synonym=False)


def _cells(
    names: Sequence[_Name],
) -> tuple[dict[str, Values], dict[Key, Values], dict[Key, Values]]:
    literal: dict[str, dict[str, None]] = defaultdict(dict)
    spelled: dict[Key, dict[str, None]] = defaultdict(dict)
    inflected: dict[Key, dict[str, None]] = defaultdict(dict)
    for name in names:
        literal[_fold(name.text)][name.value] = None
        if not name.key:  # "-" and the like
            continue
        spelled[name.key][name.value] = None
        for key in _key_forms(name.key):
            inflected[key][name.value] = None
    return (
        {text: tuple(values) for text, values in literal.items()},
        {key: tuple(values) for key, values in spelled.items()},
        {key: tuple(values) for key, values in inflected.items()},
    )


def _fold(text: str) -> str:
    return " ".join(fold(text).split())


def _unspaced(names: Sequence[_Name]) -> re.Pattern[str] | None:
    spoken = {name.text for name in names if name.in_text and _CJK_NAME.search(name.text)}
    texts = sorted(spoken, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, texts)), re.IGNORECASE) if texts else None


def _is_denied_unspaced(text: str, begin: int) -> bool:
    return text[max(0, begin - 4) : begin].rstrip().endswith(_UNSPACED_DENIALS)
