"""Identifiers, most of them with a check digit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.attribute_types.contract import UNKNOWN, Entry, TypeSpec, matching

_CODE = r"[0-9][0-9-]{6,16}[0-9Xx]"


class IdentifierSpec(TypeSpec):
    """A code of a scheme, in compact form; scheme `any` takes every text and verifies nothing."""

    of_one_row = True
    options = frozenset({"scheme"})

    def problems(self, entry: Entry) -> Iterator[str]:
        if not entry.scheme:
            yield (
                "type identifier needs a scheme; add scheme: gtin, isbn, issn or orcid, whose "
                "check digits are verified, or scheme: any for codes without one"
            )
        if entry.fill and entry.scheme == "any":
            yield (
                "scheme any has no check digit that a found value could be held against; set fill: "
                "false"
            )

    def answer_schema(self, _entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return matching(_CODE)

    def answer_hint(self, entry: Entry, _offered: Sequence[str]) -> str:
        scheme = str(entry.scheme).upper()
        return f'The {scheme}, digit by digit as it stands there, or "{UNKNOWN}".'
