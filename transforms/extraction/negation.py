"""Denials in a text, of a name that stands there: "without hood", "sugar-free", "no added
sugar".

A cue list with a reach in words, after Chapman et al. 2001 (NegEx, doi:10.1006/jbin.2001.1029).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from schemas.lexicons import Negation, every, lexicons, one_of
from transforms.extraction.tokens import Tokens, token_key


def _keys(words: Callable[[Negation], Iterable[str]]) -> frozenset[str]:
    """Return the words as tokens have them: casefolded and without apostrophes."""
    return frozenset(map(token_key, every(lambda lexicon: words(lexicon.negation))))


# How far after the cue, in words, a denied name may begin.
_REACH = {
    token_key(cue): reach
    for lexicon in lexicons().values()
    for reach, cues in lexicon.negation.cues.items()
    for cue in cues
}
# After these an enumeration goes on being denied with "and" too: "without wool and cotton".
_CARRYING = _keys(lambda words: words.carrying)
_FREE, _FREE_OF = _keys(lambda words: words.free), _keys(lambda words: words.free_of)
# "With" goes on being denied right behind a cue: "not with sugar".
_WITH = _keys(lambda words: words.with_)
_RESUMING = _keys(lambda words: words.resuming) | _WITH
# "inte blå utan röd": after another denial, Swedish "without" is "but".
_BUT_AFTER = {
    token_key(word): frozenset(map(token_key, denials))
    for lexicon in lexicons().values()
    for word, denials in lexicon.negation.only_but_after.items()
}
_ALSO_NUMBER = _keys(lambda words: words.also_number)  # "No 5"
_AND = frozenset(every(lambda words: words.and_))
_OR = frozenset([",", "/", *every(lambda words: words.or_), *_keys(lambda words: words.nor)])


_SPACE = r"\s"


def _absent(words: Negation) -> str:
    """Return an expression for what a language says behind something that is not there."""
    return rf"\s+(?:{one_of(words.is_)}\s)?{one_of(words.absent, space=_SPACE)}\b"


_DENIED_AFTER = re.compile(
    rf"-?\s?{one_of(every(lambda words: words.negation.free_behind))}\b"
    rf"(?!\s+{one_of(every(lambda words: words.negation.free_not_before))}\b)"
    rf"|-{one_of(every(lambda words: words.negation.endings))}\b"
    + "".join(f"|{_absent(lexicon.negation)}" for lexicon in lexicons().values()),
    re.IGNORECASE,
)
_NOTHING_OF = re.compile(
    rf"(?<![\d.,])0\s?%\s(?:{one_of(every(lambda words: words.negation.added))}\s)?$",
    re.IGNORECASE,
)
_HYPHENATED_BEFORE = re.compile(
    rf"(?<![^\W_]){one_of(every(lambda words: words.negation.prefixes))}-$", re.IGNORECASE
)


def is_denied(text: str, tokens: Tokens, first: int, last: int) -> bool:
    """Return whether the words around tokens `first` to `last` deny the name that fills them."""
    begin, end = tokens.begins[first], tokens.ends[last]
    if _DENIED_AFTER.match(text, end) or _HYPHENATED_BEFORE.search(text, max(0, begin - 6), begin):
        return True
    if _NOTHING_OF.search(text, max(0, begin - 20), begin):
        return True
    for distance in range(1, 5):
        index = first - distance
        if index < 0 or not tokens.is_word[index]:
            return False
        word = tokens.keys[index]
        if word in _RESUMING and not (word in _WITH and index and tokens.keys[index - 1] in _REACH):
            return False
        denials = _BUT_AFTER.get(word, frozenset())
        if not denials.isdisjoint(tokens.keys[max(0, index - 4) : index]):
            return False
        if distance <= _REACH.get(word, 0) and not (
            word in _ALSO_NUMBER and tokens.keys[index + 1].isdigit()
        ):
            return True
        if word in _FREE_OF and index and tokens.keys[index - 1] in _FREE:
            return True
    return False


def is_carried(tokens: Tokens, denied_first: int, denied_last: int, first: int) -> bool:
    """Return whether the denial of one name reaches the next one, which begins at token `first`:
    "no nuts, milk or eggs".
    """
    between = tokens.keys[denied_last + 1 : first]
    if not between or len(between) > 2:
        return False
    if all(key in _OR for key in between):
        return True
    carrying = any(key in _CARRYING for key in tokens.keys[max(0, denied_first - 3) : denied_first])
    return carrying and all(key in _OR | _AND for key in between)
