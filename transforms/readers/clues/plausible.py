"""Whether a text that was decoded reads as people write: how many of its characters beyond ASCII
stand where such characters do not. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Apostrophes, dashes and the like join letters; quotes and fractions do not.
_JOINING = frozenset("’ʼ‘´`·•×…‐‑–—―\u00ad\u200c\u200d™®©°")
# Kept of old code pages and used by nobody: in its place ISO 8859-15 has the euro.
_NEVER_USED = frozenset("¤")
_BOXES = range(0x2500, 0x25A0)
_FOREIGN = re.compile(r"[^\x00-\x7f]")


def odd_share(text: str) -> float:
    """Return the share of the characters beyond ASCII that stand oddly, 0 to 1.

    >>> [round(odd_share(text), 2) for text in ("Löffel, Größe, 5 €", "LÜffel, GrÜáe", "5 А")]
    [0.0, 0.67, 1.0]
    """
    found = [match.start() for match in _FOREIGN.finditer(text)]
    if not found:
        return 0.0
    words = {script for script in map(_script_of_pair, _pairs(text)) if script}
    odd = sum(_is_odd(text, place, words) for place in found)
    return odd / len(found)


def _pairs(text: str) -> list[str]:
    return [a + b for a, b in pairwise(text) if a > "\x7f" and b > "\x7f"]


def _script_of_pair(pair: str) -> str:
    """Return the script of two letters that stand together, empty if they are of two."""
    one, other = map(script_of, pair)
    return one if one == other else ""


def script_of(char: str) -> str:
    """Return the script of a letter as its name in Unicode begins; empty for other characters."""
    return _script(char) if char.isalpha() else ""


def _script(char: str) -> str:
    # "KATAKANA-HIRAGANA PROLONGED SOUND MARK"
    return re.split(r"[ -]", unicodedata.name(char, ""))[0]


def _is_odd(text: str, place: int, words: set[str]) -> bool:
    char = text[place]
    before = text[place - 1] if place else " "
    after = text[place + 1] if place + 1 < len(text) else " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cn", "Co", "Cs") or char in _NEVER_USED or ord(char) in _BOXES:
        return True
    if category[0] == "L":
        return _is_odd_letter(char, before, after, words)
    if category[0] == "M":
        # Points and vowels stand on letters of their script, accents on any.
        return _script(char) not in ("COMBINING", _script(before))
    is_within = before.isalpha() and after.isalpha()
    return category[0] in "PSN" and is_within and char not in _JOINING


def _is_odd_letter(char: str, before: str, after: str, words: set[str]) -> bool:
    script = script_of(char)
    if script == "LATIN":
        # A capital within a word, as in "LÜffel".
        is_within = before.islower() or (before.isupper() and after.islower())
        return char.isupper() and is_within and not after.isupper()
    if script and script not in words:
        # No two letters of this script stand together.
        return True
    is_alphabet = script in ("CYRILLIC", "GREEK")
    if is_alphabet and any(each.isascii() and each.isalpha() for each in (before, after)):
        return True
    return char.isupper() and before.islower()
