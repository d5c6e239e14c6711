"""Identifiers with a check digit: (scheme, text) → compact form, and labelled identifiers in
running text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from stdnum import ean, isbn, isni, issn
from stdnum.exceptions import ValidationError

from schemas.lexicons import every, one_of
from transforms.extraction.number_places import number_places
from transforms.extraction.small_words import AND, OR

Scheme = Literal["gtin", "isbn", "issn", "orcid"]

# How a whole number ends that was taken for a float, and from where on a float no longer holds
# every whole number.
WHOLE = ".0"
EXACT = 2**53
# An ORCID iD is an ISNI (ISO 27729) out of a block of its own: the same sixteen digits, the last by
# ISO 7064 mod 11-2.
_MODULES: dict[str, Any] = {"gtin": ean, "isbn": isbn, "issn": issn, "orcid": isni}
_LENGTHS = {"gtin": (14, 13, 12, 8), "isbn": (13, 10), "issn": (8,), "orcid": (16,)}
_ORCID_BLOCKS = ((15_000_000, 35_000_000), (900_000_000_000, 900_100_000_000))

# Capitals are found inside a word too: shop texts run lines together ("106R01409UPC:
# 095205742466").
_ABBREVIATIONS = {
    "gtin": r"GTIN|EAN|UPC|JAN|\b(?i:gtin|ean|upc|jan)",
    "isbn": r"ISBN|\b(?i:isbn)",
    "issn": r"ISSN|\b(?i:issn)",
    "orcid": r"(?:https?://)?(?i:\borcid\.org/)|ORCID(?:\s?iD)?|\b(?i:orcid(?:\s?id)?)",
}


_SPACE = r"\s"


def _label(scheme: Scheme) -> re.Pattern[str]:
    words = every(lambda lexicon: lexicon.identifier_labels.get(scheme, ()))
    spoken = rf"\b(?i:{one_of(words, space=_SPACE)})"
    numbered = r"(?:s\b|-?A\b)?(?:-?(?:8|1[0-4])(?=[\s:]))?"
    return re.compile(rf"(?:{_ABBREVIATIONS[scheme]}|{spoken}){numbered}")


_LABEL: dict[Scheme, re.Pattern[str]] = {scheme: _label(scheme) for scheme in get_args(Scheme)}
_FLOAT_END = re.compile(r"\.0+$")
_RUN = re.compile(r"\d[\d \-\u2010-\u2013]*\d(?:[ -]?[Xx](?![^\W_]))?|\d")
_BETWEEN = re.compile(rf"[\s,;/&|]*(?:{AND}|{OR})?\s*")
_MAX_LABEL_DISTANCE = 20
_MAX_LIST_GAP = 5
# The shortest identifiers have eight signs, of which the last may be an X.
_FEWEST_DIGITS = 7


@dataclass(frozen=True, slots=True)
class IdentifierMention:
    """An identifier in a text.

    begin, end: code point offsets, end exclusive; text: as it stands there.
    """

    value: str
    begin: int
    end: int
    text: str


def normalise_identifier(scheme: Scheme, text: str) -> str | None:
    """Return the identifier in compact form (no spaces, no hyphens), or None when it is not one or
    its check digit is wrong.

    scheme: `gtin` (GTIN-8, -12, -13, -14), `isbn` (ISBN-10, ISBN-13), `issn` or `orcid`. A label in
    front is allowed.

    >>> isbn = "ISBN 978-0-306-40615-7"
    >>> normalise_identifier("isbn", isbn), normalise_identifier("gtin", "4006381333932")
    ('9780306406157', None)
    """
    module = _MODULES[scheme]
    bare = text.strip()
    if bare.endswith("0"):
        bare = _FLOAT_END.sub("", bare)  # an integer that a spreadsheet wrote as a float
    label = _LABEL[scheme].match(bare)
    if label:
        bare = bare[label.end() :].lstrip(" :.#")
    try:
        compact = str(module.validate(bare))
    except ValidationError:
        return None
    if scheme == "orcid" and not any(
        low <= int(compact[:-1]) <= high for low, high in _ORCID_BLOCKS
    ):
        return None
    return compact if set(compact) != {"0"} else None


# Scheme → fewest digits that may have lost zeros, and how many there were. Beyond these the check
# digit, which fits one number in ten by chance, proves too little.
_LOST_ZEROS: dict[Scheme, tuple[int, int]] = {
    "gtin": (9, 12),
    "isbn": (7, 10),
    "issn": (6, 8),
    "orcid": (8, 16),
}


def with_zeros(scheme: Scheme, text: str) -> str | None:
    """Return the identifier with the zeros at its begin that a spreadsheet took, or None where the
    check digit does not prove them.

    >>> with_zeros("gtin", "12345678905"), with_zeros("isbn", "306406152")
    ('012345678905', '0306406152')
    >>> with_zeros("gtin", "12345678906"), with_zeros("gtin", "905")
    (None, None)
    """
    fewest, length = _LOST_ZEROS[scheme]
    digits = text.strip()
    body = digits[:-1] + ("0" if digits[-1:] in ("X", "x") else digits[-1:])
    if not (body.isascii() and body.isdigit() and fewest <= len(digits) < length):
        return None
    return normalise_identifier(scheme, digits.rjust(length, "0"))


def find_identifiers(scheme: Scheme, text: str) -> list[IdentifierMention]:
    """Return identifiers in `text` whose check digit fits and that a label (EAN, …) announces.

    The label stands at most 20 characters before; a text that is nothing but the identifier needs
    none, unless it may be a span of years, as an ISSN may.
    """
    bare = text.strip()
    whole = normalise_identifier(scheme, bare) if bare[:1].isdigit() and scheme != "issn" else None
    if whole is not None:
        begin = text.index(bare)
        return [IdentifierMention(whole, begin, begin + len(bare), bare)]
    if number_places(text).digits < _FEWEST_DIGITS:
        return []
    found = {
        m.begin: m
        for label in _LABEL[scheme].finditer(text)
        for m in _after(scheme, text, label.end())
    }
    return [found[begin] for begin in sorted(found)]


def _after(scheme: Scheme, text: str, label_end: int) -> Iterator[IdentifierMention]:
    """Yield the identifiers behind one label: "EAN a / b" announces both."""
    end, reach = label_end, _MAX_LABEL_DISTANCE
    while (run := _RUN.search(text, end)) is not None and run.start() - end <= reach:
        mention = _at_start(scheme, run)
        if mention is None or (end != label_end and not _BETWEEN.fullmatch(text, end, run.start())):
            return
        yield mention
        end, reach = mention.end, _MAX_LIST_GAP


def _at_start(scheme: Scheme, run: re.Match[str]) -> IdentifierMention | None:
    digits = [match.end() for match in re.finditer(r"[\dXx]", run.group())]
    for length in _LENGTHS[scheme]:
        size = digits[length - 1] if length <= len(digits) else 0
        # the identifier ends where the digits do, or at a gap: never inside a longer number
        if size and not run.group()[size : size + 1].isdigit():
            text = run.group()[:size]
            value = normalise_identifier(scheme, text)
            if value is not None:
                return IdentifierMention(value, run.start(), run.start() + size, text)
    return None
