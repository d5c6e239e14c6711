"""Identifiers, most of them with a check digit."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import Flag, Value
from schemas.reasons import CODE_LOST_DIGITS, CODE_RESTORED
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import CellReader, Reading, TypeOperations
from transforms.attribute_types.reading import checked_text, flagged, shorten, single_entry
from transforms.attribute_types.spreadsheets import (
    is_made_date,
    is_rounded,
    of_exponent,
    unwrapped,
    without_fraction,
)
from transforms.extraction.cells import as_text
from transforms.extraction.identifiers import Scheme, normalise_identifier, with_zeros
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, identifier_finder

_IDENTIFIER_CHARS = re.compile(r"[\d\sXx\u2010-\u2013-]+")


class IdentifierOperations(TypeOperations):
    """Codes in compact form. Each names one item, so that there is nothing to learn from them."""

    rule_method = "rule:identifier"
    is_checked_against_texts = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute)

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        return identifier_finder(attribute)

    def parse_answer(self, attribute: Attribute, said: Any) -> Value | None:
        scheme = attribute.scheme
        return None if scheme is None or scheme == "any" else normalise_identifier(scheme, said)


def _read(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    entry, problem = single_entry(attribute, cell, column, keyed)
    if entry is None:
        return problem
    text = as_text(entry)
    if text is None:
        return flagged(
            attribute, "value-wrong-type", f"{shorten(entry)} is not an identifier; write text"
        )
    code = unwrapped(to_single_line(text))
    exponent = of_exponent(code)
    if is_rounded(entry) or (exponent is not None and not exponent[1]):
        detail = "lost its last digits to a spreadsheet; export the column as text"
        return flagged(attribute, CODE_LOST_DIGITS, f"{shorten(entry)} {detail}")
    if is_made_date(code):
        detail = "is a date that a spreadsheet made of a code; export the column as text"
        return flagged(attribute, CODE_LOST_DIGITS, f"{shorten(entry)} {detail}")
    code = without_fraction(code if exponent is None else exponent[0])
    if code and attribute.scheme is not None and attribute.scheme != "any":
        return _of_scheme(attribute, attribute.scheme, entry, code)
    return checked_text(attribute, code)


def _of_scheme(attribute: Attribute, scheme: Scheme, entry: Any, code: str) -> Reading:
    """Read a code whose check digit has to fit, also where its first zeros are lost."""
    compact = normalise_identifier(scheme, code)
    if compact is not None:
        return checked_text(attribute, compact)
    restored = with_zeros(scheme, code)
    if restored is not None:
        value, flags = checked_text(attribute, restored)
        detail = f"{shorten(entry)} is {restored} without its first zeros; its check digit fits"
        return value, (*flags, Flag(CODE_RESTORED, attribute.name, detail))
    reason = "value-bad-check-digit" if _IDENTIFIER_CHARS.fullmatch(code) else "value-wrong-type"
    expected = f"is not a valid {scheme.upper()}: its length or check digit is wrong"
    return flagged(attribute, reason, f"{shorten(entry)} {expected}")
