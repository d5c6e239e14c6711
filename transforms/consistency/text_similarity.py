"""How alike two texts are, whatever their language and marks."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from schemas.texts import fold

MIN_WORD_CHARS = 4  # shorter words are found in any row of letters by chance
MAX_WORD_CHARS = 60  # longer ones are none, and comparing takes the square of their length
SHOWN_CHARS, MAX_DETAIL_CHARS = 80, 300  # of one side, and of a finding's whole detail

WORD = re.compile(r"[^\W_]+")


def latin_words(text: str) -> list[str]:
    """Return the longer words of a text that are plain Latin letters after folding, which removes
    accents.

    >>> latin_words("Den SEDMÝ, 乌鸦与麻雀 1984")
    ['sedmy']
    """
    words = WORD.findall(fold(text, marks=False))
    return [
        word
        for word in words
        if MIN_WORD_CHARS <= len(word) <= MAX_WORD_CHARS and word.isascii() and word.isalpha()
    ]


def resemblance(word: str, letters: str) -> float:
    """Return the best likeness of the word to a stretch of `letters` of its length, 0 to 1.

    The likeness is that of Ratcliff and Obershelp (1988), which counts runs of equal letters. The
    longest common subsequence, which faster libraries compute, also rewards letters strewn about:
    "american" in front of other letters than its own reaches a half.

    >>> resemblance("magnificent", "themaonvicentseven") > 0.7
    True
    >>> resemblance("eighth", "densedmyosmanoc") < 0.3
    True
    """
    if word in letters:
        return 1.0
    matcher = SequenceMatcher(None, b=word, autojunk=False)
    best = 0.0
    # SequenceMatcher keeps an index of its second side, so the word stays there and the stretches
    # are put in one after the other; two cheap upper bounds spare most of the real comparisons.
    for begin in range(max(1, len(letters) - len(word) + 1)):
        matcher.set_seq1(letters[begin : begin + len(word)])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            best = max(best, matcher.ratio())
    return best
