"""Identifiers, most of them with a check digit."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import CellReader, Reading, TypeOperations
from transforms.attribute_types.reading import checked_text, flagged, shorten, single_entry
from transforms.extraction.cells import as_text
from transforms.extraction.identifiers import normalise_identifier
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
    compact: str | None = to_single_line(text)
    if compact and attribute.scheme is not None and attribute.scheme != "any":
        looks_right = _IDENTIFIER_CHARS.fullmatch(compact)
        compact = normalise_identifier(attribute.scheme, compact)
        if compact is None:
            reason = "value-bad-check-digit" if looks_right else "value-wrong-type"
            expected = (
                f"is not a valid {attribute.scheme.upper()}: its length or check digit is wrong"
            )
            return flagged(attribute, reason, f"{shorten(entry)} {expected}")
    return checked_text(attribute, compact or "")
