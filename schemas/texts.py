"""Texts as people are shown them, on one line and cut, and as comparisons see them, folded."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Literal

# Control, format, surrogate, private and unassigned characters.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))


def shorten(text: str, max_chars: int, mark: str = "…", *, counted: bool = True) -> str:
    """Return the text, or its beginning and `mark` where it is longer than `max_chars`.

    counted: the mark is part of the `max_chars`, and no space stands before it; else it follows
    after exactly so many characters.

    >>> shorten("a cup of tea", 7), shorten("a cup of tea", 6, " ...", counted=False)
    ('a cup…', 'a cup  ...')
    """
    if len(text) <= max_chars:
        return text
    return text[: max_chars - len(mark)].rstrip() + mark if counted else text[:max_chars] + mark


def few(names: Iterable[str], most: int = 100, max_chars: int = 200) -> list[str]:
    """Return the first names, each cut: what is kept and printed of columns, however many there are
    and however long they are.

    >>> few(["sku", "n" * 300, "price"], most=2, max_chars=4)
    ['sku', 'nnn…']
    """
    return [shorten(str(name), max_chars) for name in islice(names, most)]


def first_names(names: Collection[str], most: int = 12, conjunction: str = ", ") -> str:
    """Return names for a message: the first ones, each cut, and how many more there are.

    >>> first_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    more = f" and {rest:,} more" if rest > 0 else ""
    return conjunction.join(few(names, most, 60)) + more


def one_line(
    text: str,
    max_chars: int | None = None,
    mark: str = "…",
    *,
    invisible: Literal["kept", "dropped", "spaces"] = "kept",
) -> str:
    r"""Return the text with single spaces in place of all white space, cut to `max_chars`.

    invisible: what becomes of controls, marks of direction and the like. `spaces` puts one in the
    place of everything unprintable, so that what stood apart stays apart.

    >>> one_line("SALE\t 50\x07 %\u202e\n", invisible="dropped")
    'SALE 50 %'
    >>> one_line("SALE\t 50\x07 %\u202e\n", invisible="spaces")
    'SALE 50 %'
    """
    if invisible == "dropped":
        text = "".join(char for char in text if _is_visible(char))
    elif invisible == "spaces":
        text = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(text.split())
    return line if max_chars is None else shorten(line, max_chars, mark)


def _is_visible(char: str) -> bool:
    # White space is a control, too: it becomes a space.
    return char.isspace() or unicodedata.category(char) not in _INVISIBLE


def fold(text: str, *, marks: bool = True) -> str:
    """Return the text as it is compared: case and compatibility forms aside; white space stays.

    marks: False to compare without accents and other combining marks.

    >>> fold("Den SEDMÝ №5"), fold("Den SEDMÝ", marks=False)
    ('den sedmý no5', 'den sedmy')
    """
    if marks:
        return unicodedata.normalize("NFKC", text).casefold()
    # Decomposed, so that an accent is a character of its own.
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in folded if not unicodedata.combining(char))


def has_words(whole: str, text: str) -> bool:
    """Tell whether the text stands in the whole one, and not inside a longer word.

    >>> has_words("a blue-grey mug", "blue"), has_words("a bluebell", "blue")
    (True, False)
    """
    begin = whole.find(text)
    while begin >= 0:
        end = begin + len(text)
        if not (_is_in_word(whole[begin - 1 : begin]) or _is_in_word(whole[end : end + 1])):
            return True
        begin = whole.find(text, begin + 1)
    return False


def _is_in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def is_utf8(name: str) -> bool:
    """Tell whether a name, as Python reads it from the system, can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(name: str) -> str:
    r"""Return a name with the bytes that are not UTF-8 as escapes.

    >>> print(escaped("f\udcff.jsonl"))
    f\xff.jsonl
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
