"""Texts as programs have harmed them: escapes that were never undone, and characters that were
decoded with the wrong encoding.

str → the text as it is meant. What the source gave stays beside it; a repair that may lose or
invent something is not made, but reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from transforms.extraction.structures.parse import parse_structure

Outcome = Literal["", "repaired", "doubtful"]

# `D:\data`, `\\server\new`, `$\nu$`, `\d+`: backslashes that are meant.
_BACKSLASH_MEANT = re.compile(
    r"""(?:^|[\s"'(=,;])(?:[A-Za-z]:\\[^nrt\s]|\\\\\w)|\$\s?\\[a-z]|\\[A-Zac-mo-qsv-z]"""
)
_LINE_END = r"(?:\\{1,2}r\\{1,2}n|\\{1,2}[nr])"
_LINE_ENDS = re.compile(_LINE_END)
# Where nothing else speaks for prose: `shell\nBlue` breaks a line, `data\new` and `C:\New` do not.
_CLEAR_LINE_END = re.compile(rf"(?<![:\\]){_LINE_END}(?![a-z])|(?<=[.,;!?>)]){_LINE_END}")
_TAB = re.compile(r"\\t(?![a-z])")
_UNICODE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_QUOTE = re.compile(r"""(?<!\\)\\(["'/])""")
_ALL_ESCAPES = re.compile(r"""\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|["'/\\nrtfvb])""")
_ESCAPED = dict(zip("nrtfvb", "\n\n\t  \b", strict=True))
_SPREADSHEET = re.compile(r"_x(000[9AaDd])_")
# The first byte of a character in UTF-8 and one that follows, as western, Cyrillic and Macintosh
# encodings show them. One class each: a text without any is passed over quickly.
_MOJIBAKE = re.compile(
    "[\u00c2-\u00f4\u0420\u0421\u0432\u221a\u251c]"
    "[\u0080-\u00bf\u0152-\u0178\u017d\u017e\u0192\u02c6\u02dc\u0401-\u040f\u0451-\u045f\u0490"
    "\u2013-\u203a\u20ac\u2116\u2122\u2202-\u2265]"
)


def is_unharmed(text: str) -> bool:
    """Return whether a look at the characters tells that there is nothing to repair."""
    return text.isascii() and "\\" not in text and "_x00" not in text


def undo_escapes(text: str, *, always: bool | None = None) -> str:
    r"""Return the text with line breaks and characters for the escapes that stand for them.

    always: True undoes all, False none; else `\n` is a line break in prose only, and a path such as
    `C:\new` stays what it is.

    >>> undo_escapes(r"Warm.\nBlue \u2013 12\" wide")
    'Warm.\nBlue – 12" wide'
    """
    if "_x00" in text and always is not False:
        text = _SPREADSHEET.sub(lambda found: chr(int(found[1], 16)), text)
    if "\\" not in text or always is False:
        return text
    if always:
        return _whole_characters(_ALL_ESCAPES.sub(_unescaped, text))
    text = _UNICODE.sub(
        lambda found: _whole_characters(_ALL_ESCAPES.sub(_unescaped, found[0])), text
    )
    if _BACKSLASH_MEANT.search(text):
        return text
    is_prose = " " in text.strip()
    text = (_LINE_ENDS if is_prose else _CLEAR_LINE_END).sub("\n", text)
    return _QUOTE.sub(r"\1", _TAB.sub(" ", text))


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, code)


def _whole_characters(text: str) -> str:
    """Return the text with halves of a pair put together; a half that is alone is �."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def repair_encoding(text: str) -> tuple[str, Outcome]:
    """Return the text as it was before it was decoded with the wrong encoding, and what was done.

    `doubtful`: it looks like such a text, but no encoding gives back exactly the bytes it had.

    >>> repair_encoding("CafÃ© crÃ¨me"), repair_encoding("Café «CRÈME»")
    (('Café crème', 'repaired'), ('Café «CRÈME»', ''))
    """
    if text.isascii() or not _MOJIBAKE.search(text):
        return text, ""
    from ftfy import fix_encoding_and_explain

    found = fix_encoding_and_explain(text)
    if found.text == text or found.explanation is None:
        return text, ""
    steps = [(step.action, step.parameter) for step in found.explanation]
    if all(action in ("encode", "decode") for action, _ in steps) and _gives_back(
        found.text, steps, text
    ):
        return found.text, "repaired"
    return text, "doubtful"


def _gives_back(repaired: str, steps: list[tuple[str, str]], text: str) -> bool:
    """Return whether the repair, undone step by step, is the text that was given."""
    value: Any = repaired
    try:
        for action, encoding in reversed(steps):
            value = value.encode(encoding) if action == "decode" else value.decode(encoding)
    except (UnicodeError, LookupError):
        return False
    return bool(value == text)


def repair(cell: Any, *, escapes: bool | None = None) -> tuple[Any, Outcome]:
    """Return a cell with its texts as they are meant, those in lists and mappings too.

    A text that is a structure keeps its escapes: they belong to it.
    """
    if isinstance(cell, str):
        if is_unharmed(cell):
            return cell, ""
        if not ("\\" in cell and parse_structure(cell) is not None):
            cell = undo_escapes(cell, always=escapes)
        return repair_encoding(cell)
    if isinstance(cell, list | tuple):
        entries = [repair(entry, escapes=escapes) for entry in cell]
        is_changed = any(new is not old for (new, _), old in zip(entries, cell, strict=True))
        return [new for new, _ in entries] if is_changed else cell, _worst(entries)
    if isinstance(cell, Mapping):
        entries = [repair(value, escapes=escapes) for value in cell.values()]
        return {key: new for key, (new, _) in zip(cell, entries, strict=True)}, _worst(entries)
    return cell, ""


def _worst(entries: Iterable[tuple[Any, Outcome]]) -> Outcome:
    found = {outcome for _, outcome in entries}
    return "doubtful" if "doubtful" in found else "repaired" if "repaired" in found else ""
