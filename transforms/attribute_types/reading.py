"""What the readers of several types share: flags, checks of a text, and the one entry of a cell."""

from __future__ import annotations

import re
from typing import Any

from schemas import texts
from schemas.attributes import Attribute
from schemas.elements import Flag
from schemas.sections.patterns import PatternTimeoutError, matches
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import NOTHING, Reading
from transforms.extraction.cells import given_text, split_list

_SHOWN_CHARS = 80
_STRUCK_OUT = re.compile(r"<(?:del|s|strike)\b[^<>]*>", re.IGNORECASE)


def shorten(value: Any) -> str:
    """Return a value for a message: text in quotes, cut after 80 characters."""
    text = given_text(value)
    mark = f"… ({len(text):,} characters)"
    shown = texts.shorten(text, _SHOWN_CHARS, mark, counted=False)
    return f"'{shown}'" if isinstance(value, str) else shown


def flagged(attribute: Attribute, reason: str, detail: str) -> Reading:
    """Return no value, with one flag."""
    return None, (Flag(reason, attribute.name, detail),)


def is_struck_out(entry: Any) -> bool:
    """Return whether a part of a text is crossed out, such as a price of before.

    >>> is_struck_out("<del>20 €</del> <ins>15 €</ins>"), is_struck_out("<b>15 €</b>")
    (True, False)
    """
    return isinstance(entry, str) and "<" in entry and _STRUCK_OUT.search(entry) is not None


def checked_text(attribute: Attribute, text: str) -> Reading:
    """Return a cleaned text if it is not too long and matches the attribute's pattern."""
    if not text:
        return NOTHING
    if len(text) > attribute.max_length:
        allowed = f"is {len(text):,} characters long, allowed are {attribute.max_length:,}"
        return flagged(attribute, "value-too-long", f"{shorten(text)} {allowed}")
    if attribute.pattern is not None:
        try:
            fits = matches(attribute.pattern, text)
        except PatternTimeoutError as error:
            why = f"{shorten(text)}: {attribute.pattern} {error}"
            return flagged(attribute, "value-pattern-timeout", why)
        if not fits:
            why = f"{shorten(text)} does not match {attribute.pattern}"
            return flagged(attribute, "value-pattern-mismatch", why)
    return text, ()


def single_entry(
    attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool
) -> tuple[Any, Reading]:
    """Return the one entry of a cell, or None and the reading: nothing, or that there are several.

    Entries that repeat the first are one: exports write the same value once for each variant.
    """
    entries = split_list(cell, column, keyed=keyed)
    if len(entries) == 1 or (entries and all(entry == entries[0] for entry in entries)):
        return entries[0], NOTHING
    if not entries:
        return None, NOTHING
    return None, flagged(
        attribute, "value-wrong-type", f"{shorten(cell)} gives several values; write one"
    )
